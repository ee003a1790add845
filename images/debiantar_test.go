package images

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// rootTar writes headers as an archive; regular files hold their own name.
func rootTar(t *testing.T, headers []tar.Header) string {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, h := range headers {
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(h.Name))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			io.WriteString(w, h.Name)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "root.tar")
	if err := os.WriteFile(name, buf.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func normalised(t *testing.T, name string, remove []string) []byte {
	t.Helper()
	d, err := openDebianTar(t.Context(), name, remove)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	if err := d.write(t.Context(), w, time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func describe(t *testing.T, data []byte) []string {
	t.Helper()
	var out []string
	r := tar.NewReader(bytes.NewReader(data))
	for {
		h, err := r.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, strings.TrimSpace(strings.Join([]string{string(h.Typeflag), h.Name, h.Linkname, string(content)}, " ")))
		if h.ModTime.Unix() != 0 || h.Uname != "" || h.Gname != "" {
			t.Errorf("%s: time %v, owner %q:%q", h.Name, h.ModTime, h.Uname, h.Gname)
		}
	}
}

func installed(at time.Time) []tar.Header {
	return []tar.Header{
		{Typeflag: tar.TypeDir, Name: "./", Mode: 0o755, ModTime: at},
		{Typeflag: tar.TypeDir, Name: "./usr/", Mode: 0o755, ModTime: at},
		{Typeflag: tar.TypeReg, Name: "./usr/z", Mode: 0o4755, ModTime: at, Uname: "root"},
		{Typeflag: tar.TypeLink, Name: "./usr/b", Linkname: "./usr/z", Mode: 0o4755, ModTime: at},
		{Typeflag: tar.TypeLink, Name: "./usr/c", Linkname: "./usr/z", Mode: 0o4755, ModTime: at},
		{Typeflag: tar.TypeSymlink, Name: "./lib", Linkname: "usr/lib", Mode: 0o777, ModTime: at},
		{Typeflag: tar.TypeDir, Name: "./dev/", Mode: 0o755, ModTime: at},
		{Typeflag: tar.TypeChar, Name: "./dev/null", Mode: 0o666, Devmajor: 1, Devminor: 3, ModTime: at},
		{Typeflag: tar.TypeReg, Name: "./etc/machine-id", ModTime: at},
		{Typeflag: tar.TypeReg, Name: "./etc/hostname", ModTime: at},
		{Typeflag: tar.TypeReg, Name: "./etc/resolv.conf", ModTime: at},
		{Typeflag: tar.TypeReg, Name: "./etc/passwd", Mode: 0o644, Gid: 42, ModTime: at},
		{Typeflag: tar.TypeReg, Name: "./etc/passwd-", ModTime: at},
		{Typeflag: tar.TypeReg, Name: "./var/log/dpkg.log", ModTime: at},
		{Typeflag: tar.TypeDir, Name: "./var/log/apt/", Mode: 0o755, ModTime: at},
		{Typeflag: tar.TypeReg, Name: "./var/log/apt/history.log", ModTime: at},
		{Typeflag: tar.TypeReg, Name: "./var/lib/dpkg/status", Mode: 0o644, ModTime: at},
		{Typeflag: tar.TypeReg, Name: "./var/lib/dpkg/status-old", ModTime: at},
		{Typeflag: tar.TypeReg, Name: "./var/lib/apt/lists/a_Packages", ModTime: at},
		{Typeflag: tar.TypeReg, Name: "./var/cache/ldconfig/aux-cache", ModTime: at},
		{Typeflag: tar.TypeReg, Name: "./bin/ping", Mode: 0o755, ModTime: at, PAXRecords: map[string]string{"SCHILY.xattr.security.capability": "\x01\x00"}},
		{Typeflag: tar.TypeReg, Name: "./usr/share/doc/x/README", ModTime: at},
		{Typeflag: tar.TypeReg, Name: "./usr/share/doc-base/y", Mode: 0o644, ModTime: at},
	}
}

func TestDebianTar(t *testing.T) {
	first := rootTar(t, installed(time.Unix(1000, 0)))
	got := describe(t, normalised(t, first, []string{"/usr/share/doc/*"}))
	want := []string{
		"0 bin/ping  ./bin/ping",
		"5 dev/",
		"0 etc/passwd  ./etc/passwd",
		"2 lib usr/lib",
		"5 usr/",
		"0 usr/b  ./usr/z", // the first of the linked names has the content
		"1 usr/c usr/b",
		"0 usr/share/doc-base/y  ./usr/share/doc-base/y",
		"1 usr/z usr/b",
		"0 var/lib/dpkg/status  ./var/lib/dpkg/status",
		"5 var/log/apt/",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestDebianTarKeepsOwnersAndCapabilities(t *testing.T) {
	r := tar.NewReader(bytes.NewReader(normalised(t, rootTar(t, installed(time.Unix(1000, 0))), nil)))
	seen := 0
	for {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch h.Name {
		case "bin/ping":
			seen++
			if h.PAXRecords["SCHILY.xattr.security.capability"] != "\x01\x00" {
				t.Errorf("ping's capabilities are %q", h.PAXRecords)
			}
		case "etc/passwd":
			seen++
			if h.Gid != 42 {
				t.Errorf("passwd's group is %d, want 42", h.Gid)
			}
		case "usr/b":
			seen++
			if h.Mode != 0o4755 {
				t.Errorf("b's mode is %o, want 4755", h.Mode)
			}
		}
	}
	if seen != 3 {
		t.Errorf("%d of 3 files were seen", seen)
	}
}

// TestDebianTarIsTheSame installs at another time and in another order.
func TestDebianTarIsTheSame(t *testing.T) {
	other := installed(time.Unix(2000, 5))
	slices.Reverse(other)
	// A hard link must stand behind what it links to.
	slices.SortStableFunc(other, func(a, b tar.Header) int {
		return int(a.Typeflag&^tar.TypeReg) - int(b.Typeflag&^tar.TypeReg)
	})
	a := normalised(t, rootTar(t, installed(time.Unix(1000, 0))), nil)
	b := normalised(t, rootTar(t, other), nil)
	if !bytes.Equal(a, b) {
		t.Errorf("not the same bytes:\n%s\n\n%s", strings.Join(describe(t, a), "\n"), strings.Join(describe(t, b), "\n"))
	}
}

func TestDebianTarRemove(t *testing.T) {
	name := rootTar(t, installed(time.Unix(0, 0)))
	// The content moves to the names that stay.
	got := strings.Join(describe(t, normalised(t, name, []string{"/usr/z"})), "\n")
	if !strings.Contains(got, "0 usr/b  ./usr/z") || strings.Contains(got, "1 usr/z") {
		t.Errorf("removing the first of linked names gives:\n%s", got)
	}
	if _, err := openDebianTar(t.Context(), name, []string{"/usr/nothing"}); !errors.Is(err, ErrInput) {
		t.Errorf("error %v, want one about what is not there", err)
	}
	if d, err := openDebianTar(t.Context(), name, []string{"/usr/nothing/*"}); err != nil {
		t.Errorf("a pattern may come to nothing: %v", err)
	} else {
		d.Close()
	}
}
