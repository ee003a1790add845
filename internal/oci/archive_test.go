package oci_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/internal/oci"
)

// put stores bytes in an archive as a blob.
func put(t testing.TB, a *oci.Archive, data []byte) (v1.Descriptor, oci.Stored) {
	t.Helper()
	d := describeBytes(t, data)
	how, err := a.PutBlob(context.Background(), "", d, oci.BytesSource(data))
	if err != nil {
		t.Fatal(err)
	}
	return d, how
}

func describeBytes(t testing.TB, data []byte) v1.Descriptor {
	t.Helper()
	digest, size, err := v1.SHA256(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return v1.Descriptor{MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: digest, Size: size}
}

func openArchive(t testing.TB, path string, limit int64) *oci.Archive {
	t.Helper()
	a, err := oci.CreateArchive(context.Background(), path, limit)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// bytesOf reads a blob of a layout whole.
func blobOf(t testing.TB, path string, d v1.Descriptor) string {
	t.Helper()
	l, err := oci.OpenLayout(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	body, err := l.Blob(context.Background(), "", d)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	data, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// sample is content of a length, different for each seed.
func sample(seed byte, length int) []byte {
	return bytes.Repeat([]byte{seed, seed ^ 7, 'x'}, length/3+1)[:length]
}

func TestArchiveIsATarFileThatOthersRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.tar")
	a := openArchive(t, file, 0)
	if _, err := os.Stat(file); err == nil {
		t.Error("an archive has its name before it holds anything")
	}
	d, how := put(t, a, sample(1, 1000))
	if how != oci.Copied {
		t.Errorf("the blob was %s", how)
	}
	if _, how := put(t, a, sample(1, 1000)); how != oci.Present {
		t.Errorf("the second time it was %s", how)
	}
	if err := a.List(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	a.Close()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var names []string
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
	}
	if got, want := strings.Join(names, " "), "oci-layout blobs/sha256/"+d.Digest.Hex+" index.json"; got != want {
		t.Errorf("it holds %s, want %s", got, want)
	}
}

func TestArchiveIsAddedTo(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.tar")
	var all []v1.Descriptor
	for n := byte(1); n <= 3; n++ {
		a := openArchive(t, file, 0)
		d, _ := put(t, a, sample(n, 700))
		all = append(all, d)
		if err := a.List(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		a.Close()
	}
	// A run that adds and dies leaves what was there before.
	a := openArchive(t, file, 0)
	put(t, a, sample(9, 5000))
	a.Close()
	l, err := oci.OpenLayout(file)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := l.Entries()
	l.Close()
	if err != nil || len(entries) != len(all) {
		t.Errorf("%d entries, %v", len(entries), err)
	}
	for i, d := range all {
		if got := blobOf(t, file, d); got != string(sample(byte(i+1), 700)) {
			t.Errorf("blob %d is not what it was", i)
		}
	}
}

// TestArchiveGoesOnAfterACut cuts an archive that was not finished at every
// length, as a power cut may, and lets a second run finish it.
func TestArchiveGoesOnAfterACut(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "a.tar")
	a := openArchive(t, whole, 0)
	contents := [][]byte{sample(1, 600), sample(2, 0), sample(3, 512), sample(4, 1500)}
	for _, c := range contents {
		put(t, a, c)
	}
	a.Close()
	data, err := os.ReadFile(whole + ".partial")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for cut := 0; cut <= len(data); cut += 97 {
		for _, zeroed := range []bool{false, true} {
			file := filepath.Join(dir, "b.tar")
			left := bytes.Clone(data[:cut])
			if zeroed { // the length reached the disk, and the bytes did not
				left = append(left, make([]byte, len(data)-cut)...)
			}
			if err := os.WriteFile(file+".partial", left, 0o644); err != nil {
				t.Fatal(err)
			}
			b := openArchive(t, file, 0)
			var all []v1.Descriptor
			for _, c := range contents {
				d, _ := put(t, b, c)
				all = append(all, d)
			}
			if err := b.List(t.Context(), all...); err != nil {
				t.Fatal(err)
			}
			b.Close()
			for i, d := range all {
				if got := blobOf(t, file, d); got != string(contents[i]) {
					t.Fatalf("cut at %d (zeroed %t): blob %d is wrong", cut, zeroed, i)
				}
			}
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestArchiveTakesNoWrongBytes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.tar")
	a := openArchive(t, file, 0)
	want := sample(1, 1000)
	d := describeBytes(t, want)
	for _, wrong := range [][]byte{sample(2, 1000), sample(1, 999), sample(1, 1001), nil} {
		if _, err := a.PutBlob(t.Context(), "", d, oci.BytesSource(wrong)); !errors.Is(err, oci.ErrDamaged) {
			t.Errorf("%d bytes: %v", len(wrong), err)
		}
	}
	if a.Has(d) {
		t.Error("wrong bytes count")
	}
	a.Close()
	b := openArchive(t, file, 0)
	defer b.Close()
	if b.Has(d) {
		t.Error("wrong bytes count in the next run")
	}
	put(t, b, want)
	if err := b.List(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if got := blobOf(t, file, d); got != string(want) {
		t.Error("the right bytes did not take the place of the wrong ones")
	}
	if info, err := os.Stat(file); err != nil || info.Size() > 6000 {
		t.Errorf("the attempts left %d bytes, %v", info.Size(), err)
	}
}

func TestArchiveSeries(t *testing.T) {
	dir := t.TempDir()
	const limit = 20_000
	a := openArchive(t, dir, limit)
	var all []v1.Descriptor
	for n := byte(0); n < 10; n++ {
		d, _ := put(t, a, sample(n, 6000))
		all = append(all, d)
	}
	big := sample(99, limit)
	if _, err := a.PutBlob(t.Context(), "", describeBytes(t, big), oci.BytesSource(big)); err == nil || !strings.Contains(err.Error(), "does not fit") {
		t.Errorf("a blob larger than a file: %v", err)
	}
	if _, err := oci.OpenLayout(dir); err == nil {
		t.Error("a series without its end was opened")
	}
	if err := a.List(t.Context(), all...); err != nil {
		t.Fatal(err)
	}
	files := a.Files()
	a.Close()
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil || info.Size() > limit {
			t.Errorf("%s: %d bytes, %v", f, info.Size(), err)
		}
	}
	for i, d := range all {
		// By its folder, and by any of its files.
		for _, path := range []string{dir, files[0], files[len(files)-1]} {
			if got := blobOf(t, path, d); got != string(sample(byte(i), 6000)) {
				t.Errorf("blob %d is not what it was", i)
			}
		}
	}
	if err := os.Remove(files[1]); err != nil {
		t.Fatal(err)
	}
	if _, err := oci.OpenLayout(dir); err == nil || !strings.Contains(err.Error(), "mirror_000002.tar") {
		t.Errorf("a missing part: %v", err)
	}
}

func TestArchiveIsWrittenByOneProcess(t *testing.T) {
	for _, limit := range []int64{0, 20_000} {
		path := filepath.Join(t.TempDir(), "a")
		a := openArchive(t, path, limit)
		if _, err := oci.CreateArchive(t.Context(), path, limit); err == nil || !strings.Contains(err.Error(), "another process") {
			t.Errorf("limit %d: %v", limit, err)
		}
		a.Close()
		openArchive(t, path, limit).Close()
	}
}

// entry is a file of a tar made by hand.
type entry struct {
	header tar.Header
	data   string
}

func tarFile(t testing.TB, entries ...entry) string {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range entries {
		h := e.header
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		h.Mode = 0o644
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(e.data))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "hostile.tar")
	if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func layoutEntries(index string) []entry {
	return []entry{{tar.Header{Name: "oci-layout"}, `{"imageLayoutVersion":"1.0.0"}`}, {tar.Header{Name: "index.json"}, index}}
}

func TestHostileArchivesAreRefused(t *testing.T) {
	blob := "blobs/sha256/" + strings.Repeat("a", 64)
	for name, e := range map[string]entry{
		"absolute path":    {tar.Header{Name: "/etc/passwd"}, "x"},
		"path that leaves": {tar.Header{Name: "blobs/../../etc/passwd"}, "x"},
		"link":             {tar.Header{Name: blob, Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}, ""},
		"hard link":        {tar.Header{Name: blob, Typeflag: tar.TypeLink, Linkname: "index.json"}, ""},
		"device":           {tar.Header{Name: blob, Typeflag: tar.TypeBlock}, ""},
		"pipe":             {tar.Header{Name: blob, Typeflag: tar.TypeFifo}, ""},
		"backslashes":      {tar.Header{Name: `blobs\..\..\x`}, "x"},
	} {
		t.Run(name, func(t *testing.T) {
			file := tarFile(t, append(layoutEntries(`{"schemaVersion":2,"manifests":[]}`), e)...)
			if l, err := oci.OpenLayout(file); err == nil {
				l.Close()
				t.Error("it was opened")
			}
			if a, err := oci.CreateArchive(t.Context(), file, 0); err == nil {
				a.Close()
				t.Error("it was added to")
			}
		})
	}
	if _, err := oci.OpenLayout(tarFile(t, entry{tar.Header{Name: "notes.txt"}, "x"})); err == nil {
		t.Error("a tar file of something else was opened")
	}
	if _, err := oci.CreateArchive(t.Context(), tarFile(t, entry{tar.Header{Name: "notes.txt"}, "x"}), 0); err == nil {
		t.Error("a tar file of something else was added to")
	}
	text := filepath.Join(t.TempDir(), "text.tar")
	if err := os.WriteFile(text, bytes.Repeat([]byte("text "), 1000), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := oci.OpenLayout(text); err == nil || !strings.Contains(err.Error(), "plain tar") {
		t.Errorf("a text file: %v", err)
	}
}

func TestSizesThatLie(t *testing.T) {
	const huge = `{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":999999999999,"digest":"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}]}`
	l, err := oci.OpenLayout(tarFile(t, append(layoutEntries(huge), entry{tar.Header{Name: "blobs/sha256/" + strings.Repeat("a", 64)}, "{}"})...))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := l.Image(t.Context(), "x@sha256:"+strings.Repeat("a", 64)); err == nil {
		t.Error("a manifest of a terabyte was read")
	}
	negative, err := oci.OpenLayout(tarFile(t, layoutEntries(strings.Replace(huge, "999999999999", "-1", 1))...))
	if err != nil {
		t.Fatal(err)
	}
	defer negative.Close()
	if _, err := negative.Entries(); err == nil {
		t.Error("a manifest of less than nothing was listed")
	}
}

// FuzzArchive reads whatever bytes there are as an archive, and adds to what can
// be added to: the addition must then be there, and whole.
func FuzzArchive(f *testing.F) {
	blob := sample(3, 700)
	good, err := os.ReadFile(tarFile(f, append(layoutEntries(`{"schemaVersion":2,"manifests":[]}`), entry{tar.Header{Name: "blobs/sha256/" + describeBytes(f, blob).Digest.Hex}, string(blob)})...))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)-1024])
	f.Add(good[:700])
	f.Add([]byte{})
	half := bytes.Replace(bytes.Clone(good), []byte("blobs/sha256"), []byte("incoming/sha"), 1)
	f.Add(half)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		file := filepath.Join(dir, "f.tar")
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
		if l, err := oci.OpenLayout(file); err == nil {
			entries, _ := l.Entries()
			for _, d := range entries {
				if raw, got, err := l.Manifest(t.Context(), "x@"+d.Digest.String()); err == nil && describeBytes(t, raw).Digest != got.Digest {
					t.Error("bytes were handed out that do not have their digest")
				}
			}
			l.Close()
		}
		a, err := oci.CreateArchive(t.Context(), file, 0)
		if err != nil {
			return
		}
		d, _ := put(t, a, sample(77, 900))
		err = a.List(t.Context(), d)
		a.Close()
		if err != nil {
			t.Fatal(err)
		}
		if got := blobOf(t, file, d); got != string(sample(77, 900)) {
			t.Error("what was added is not there")
		}
	})
}
