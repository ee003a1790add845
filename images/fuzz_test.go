package images

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// FuzzDebianTar reads any bytes as a root file system. What is accepted must come
// out as an archive in which every name is there once and within the root, and
// must not change when it goes through a second time.
func FuzzDebianTar(f *testing.F) {
	add := func(headers ...tar.Header) {
		var buf bytes.Buffer
		w := tar.NewWriter(&buf)
		for _, h := range headers {
			if h.Typeflag == tar.TypeReg {
				h.Size = 4
			}
			if err := w.WriteHeader(&h); err != nil {
				f.Fatal(err)
			}
			if h.Typeflag == tar.TypeReg {
				_, _ = io.WriteString(w, "data")
			}
		}
		if err := w.Close(); err != nil {
			f.Fatal(err)
		}
		f.Add(buf.Bytes())
	}
	add(tar.Header{Typeflag: tar.TypeDir, Name: "./etc/"}, tar.Header{Typeflag: tar.TypeReg, Name: "./etc/x"}, tar.Header{Typeflag: tar.TypeLink, Name: "./y", Linkname: "./etc/x"})
	add(tar.Header{Typeflag: tar.TypeLink, Name: "a", Linkname: "b"}, tar.Header{Typeflag: tar.TypeLink, Name: "b", Linkname: "a"})
	add(tar.Header{Typeflag: tar.TypeSymlink, Name: "lib", Linkname: "usr/lib"}, tar.Header{Typeflag: tar.TypeReg, Name: "../../x"})
	f.Add([]byte("no archive at all"))
	f.Fuzz(func(t *testing.T, data []byte) {
		once, err := normalise(t, data)
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for r := tar.NewReader(bytes.NewReader(once)); ; {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("what was written cannot be read: %v", err)
			}
			name := strings.TrimSuffix(h.Name, "/")
			if seen[name] || strings.HasPrefix(name, "/") || name == ".." || strings.HasPrefix(name, "../") {
				t.Errorf("entry %q", h.Name)
			}
			seen[name] = true
		}
		twice, err := normalise(t, once)
		if err != nil || !bytes.Equal(once, twice) {
			t.Errorf("a second time it is another archive: %v", err)
		}
	})
}

func normalise(t *testing.T, data []byte) ([]byte, error) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "root.tar")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := openDebianTar(t.Context(), name, nil)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	if err := d.write(t.Context(), w, time.Unix(0, 0)); err != nil {
		return nil, err
	}
	return buf.Bytes(), w.Close()
}

// FuzzRecord reads any bytes as the record of a build that a registry gave.
func FuzzRecord(f *testing.F) {
	good, err := (&record{Image: "sha256:abc", Packages: []Package{{Name: "bash"}}, Materials: []Material{{URI: "pkg:deb/bash"}}}).encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"image":"x","unknown":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseRecord(data)
		if err != nil {
			return
		}
		once, err := r.encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseRecord(once)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if twice, err := again.encode(); err != nil || !bytes.Equal(once, twice) {
			t.Errorf("%s became %s: %v", once, twice, err)
		}
	})
}
