package oci

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Names of the segments of a split archive.
const (
	seriesPrefix  = "mirror_"
	seriesPattern = seriesPrefix + "[0-9][0-9][0-9][0-9][0-9][0-9].tar"
)

// maxArchiveEntries bounds the table of a tar file. A thousand releases have fewer.
const maxArchiveEntries = 1 << 20

func segmentName(n int) string { return fmt.Sprintf("%s%06d.tar", seriesPrefix, n) }

// extent is where the bytes of a file lie in a tar file.
type extent struct {
	file         int // which of the tar files
	offset, size int64
}

// archiveFiles are the files of a layout in one or several tar files, which are
// read in place.
type archiveFiles struct {
	tars  []*os.File
	table map[string]extent
}

var _ layoutFiles = (*archiveFiles)(nil)

// openArchive opens a tar file, or the series whose first file it is.
func (l *Layout) openArchive(path string) error {
	a := &archiveFiles{table: map[string]extent{}}
	l.files = a
	paths := []string{path}
	if ok, err := filepath.Match(seriesPattern, filepath.Base(path)); err == nil && ok {
		if paths, err = series(filepath.Dir(path)); err != nil {
			return err
		}
	}
	for _, p := range paths {
		if err := a.add(p); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(p), err)
		}
	}
	return nil
}

// series returns the files of a split archive, in order.
func series(dir string) ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(dir, seriesPattern))
	if err != nil {
		return nil, err
	}
	for i, p := range paths { // Glob sorts
		if want := segmentName(i + 1); filepath.Base(p) != want {
			return nil, fmt.Errorf("the part %s of the series is missing", want)
		}
	}
	return paths, nil
}

func (a *archiveFiles) add(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	a.tars = append(a.tars, f)
	n := len(a.tars) - 1
	_, err = scanTar(f, func(name string, offset, size int64) {
		a.table[name] = extent{n, offset, size}
	})
	return err
}

// scanTar reads the headers of a tar file and tells of every file of a layout
// that is in it whole, later ones of a name after earlier ones. It returns where
// the last whole entry ends: what follows is the end of the archive, or what an
// interrupted run left. Entries that no layout has are errors where they could
// do harm, and are skipped elsewhere.
func scanTar(f io.ReadSeeker, found func(name string, offset, size int64)) (end int64, err error) {
	length, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	r := tar.NewReader(f)
	for n := 0; ; n++ {
		h, err := r.Next()
		if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
			return end, nil
		}
		if err != nil {
			if end == 0 {
				return 0, fmt.Errorf("it is not a plain tar file (unpack a compressed one first): %w", err)
			}
			return end, nil
		}
		if n == maxArchiveEntries {
			return end, fmt.Errorf("it has more than %d entries", maxArchiveEntries)
		}
		// The reader takes no more than it needs, so the file stands where the
		// content begins.
		offset, err := f.Seek(0, io.SeekCurrent)
		if err != nil {
			return end, err
		}
		name, err := layoutName(h)
		if err != nil {
			return end, err
		}
		if h.Size < 0 || h.Size > length-offset {
			return end, nil // the file was cut short here
		}
		end = offset + (h.Size+511)/512*512
		if name != "" {
			found(name, offset, h.Size)
		}
	}
}

// layoutName returns the name of a file as a layout knows it, "" for entries
// without content, and an error for what could do harm to whoever unpacks it.
func layoutName(h *tar.Header) (string, error) {
	name := strings.TrimPrefix(h.Name, "./")
	switch {
	case strings.HasPrefix(h.Name, "/"), strings.ContainsAny(h.Name, "\\\x00"), h.Name != "" && escapes(h.Name):
		return "", fmt.Errorf("its entry %q has a path that no layout has", h.Name)
	case h.Typeflag == tar.TypeDir, h.Typeflag == tar.TypeXGlobalHeader:
		return "", nil
	case h.Typeflag != tar.TypeReg || sparse(h):
		return "", fmt.Errorf("its entry %q is a link or a special file, which no layout has", h.Name)
	}
	return path.Clean(name), nil
}

func escapes(name string) bool {
	for _, part := range strings.Split(name, "/") {
		if part == ".." {
			return true
		}
	}
	return false
}

// sparse says whether the content does not lie in the archive as it is.
func sparse(h *tar.Header) bool {
	for k := range h.PAXRecords {
		if strings.HasPrefix(k, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// open implements layoutFiles.
func (a *archiveFiles) open(name string) (io.ReadCloser, int64, error) {
	e, ok := a.table[name]
	if !ok {
		return nil, 0, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return io.NopCloser(io.NewSectionReader(a.tars[e.file], e.offset, e.size)), e.size, nil
}

// size implements layoutFiles.
func (a *archiveFiles) size(name string) (int64, error) {
	e, ok := a.table[name]
	if !ok {
		return 0, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return e.size, nil
}

// stamp implements layoutFiles.
func (a *archiveFiles) stamp(name string) (any, error) {
	e, ok := a.table[name]
	if !ok {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return e, nil
}

// Close implements layoutFiles.
func (a *archiveFiles) Close() error {
	var errs []error
	for _, f := range a.tars {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// digestOfName returns the digest that the name of a file in a folder tells.
func digestOfName(name, folder string) (v1.Hash, bool) {
	hex, ok := strings.CutPrefix(name, folder)
	if !ok {
		return v1.Hash{}, false
	}
	h, err := v1.NewHash("sha256:" + hex)
	return h, err == nil
}
