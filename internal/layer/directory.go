package layer

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// The marks by which a layer deletes what lower layers hold, from the OCI image
// layer specification.
const (
	whiteoutPrefix = ".wh."
	opaqueMarker   = ".wh..wh..opq"
)

// File is a regular file of a directory.
type File struct {
	Name string
	Data []byte
}

// Listing is what one layer says about one directory of the image.
type Listing struct {
	// Files are the regular files directly in the directory, sorted by name.
	Files []File
	// Hidden are names that this layer deletes or replaces by something that is no file.
	Hidden []string
	// Opaque says that nothing of the directory in lower layers is seen.
	Opaque bool
}

// Empty reports whether the layer says nothing about the directory.
func (l Listing) Empty() bool { return len(l.Files) == 0 && len(l.Hidden) == 0 && !l.Opaque }

// List reads what a layer says about a directory, given relative to the root of
// the image ("manifests"). Sub-directories are left out. Links and devices in the
// directory, a directory that is itself a link, a file that occurs twice, and names
// with control characters or too long for a file system are errors.
func List(ctx context.Context, l v1.Layer, dir string, limits Limits) (Listing, error) {
	all, err := ListAll(ctx, l, []string{dir}, limits)
	if err != nil {
		return Listing{}, err
	}
	return all[0], nil
}

// ListAll is List of several directories, in one reading of the layer; "." is the root of
// the image. The limits hold for each directory, that of the archive for all.
func ListAll(ctx context.Context, l v1.Layer, dirs []string, limits Limits) ([]Listing, error) {
	scans := make([]scan, len(dirs))
	for i, dir := range dirs {
		scans[i] = scan{dir: strings.TrimPrefix(path.Clean("/"+dir), "/"), limits: limits.withDefaults(), files: map[string][]byte{}}
	}
	err := Walk(ctx, l, limits, func(e *Entry) error {
		for i := range scans { // an entry is a file of one of them at most
			if err := scans[i].visit(e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	all := make([]Listing, len(dirs))
	for i := range scans {
		all[i] = scans[i].result()
	}
	return all, nil
}

type scan struct {
	dir     string
	limits  Limits
	total   int64
	files   map[string][]byte
	listing Listing
}

func (s *scan) result() Listing {
	for name, data := range s.files {
		s.listing.Files = append(s.listing.Files, File{Name: name, Data: data})
	}
	slices.SortFunc(s.listing.Files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	slices.Sort(s.listing.Hidden)
	return s.listing
}

func (s *scan) visit(e *Entry) error {
	parent, base := path.Split(e.Path)
	parent = strings.TrimSuffix(parent, "/")
	switch {
	case e.Path == s.dir || strings.HasPrefix(s.dir, e.Path+"/"):
		return s.visitAncestor(e)
	case base == opaqueMarker:
		if parent == "" || parent == s.dir || strings.HasPrefix(s.dir, parent+"/") {
			s.listing.Opaque = true
		}
	case strings.HasPrefix(base, whiteoutPrefix):
		target := path.Join(parent, strings.TrimPrefix(base, whiteoutPrefix))
		if target == s.dir || strings.HasPrefix(s.dir, target+"/") {
			s.listing.Opaque = true
		} else if parent == s.dir {
			s.listing.Hidden = append(s.listing.Hidden, path.Base(target))
		}
	case parent == s.dir:
		return s.visitChild(e, base)
	}
	return nil
}

// visitAncestor handles the directory itself and those above it: anything else
// in their place hides what lower layers have there.
func (s *scan) visitAncestor(e *Entry) error {
	switch e.Typeflag {
	case tar.TypeDir:
		return nil
	case tar.TypeSymlink, tar.TypeLink:
		return fmt.Errorf("reading directory %q: %q is a link, which is not followed", s.dir, e.Path)
	default:
		s.listing.Opaque = true
		return nil
	}
}

func (s *scan) visitChild(e *Entry, name string) error {
	switch e.Typeflag {
	case tar.TypeDir:
		s.listing.Hidden = append(s.listing.Hidden, name)
		return nil
	case tar.TypeReg:
	default:
		return fmt.Errorf("reading directory %q: %q is a link or a device, only files are accepted", s.dir, name)
	}
	if err := checkName(name); err != nil {
		return fmt.Errorf("reading directory %q: %w", s.dir, err)
	}
	if _, twice := s.files[name]; twice {
		return fmt.Errorf("reading directory %q: file %q occurs twice in one layer", s.dir, name)
	}
	if len(s.files) >= s.limits.Files {
		return fmt.Errorf("reading directory %q: more than %d files: %w", s.dir, s.limits.Files, ErrLimit)
	}
	if e.Size > s.limits.File {
		return fmt.Errorf("reading directory %q: file %q has %d bytes, at most %d are accepted: %w", s.dir, name, e.Size, s.limits.File, ErrLimit)
	}
	if s.total += e.Size; s.total > s.limits.Total {
		return fmt.Errorf("reading directory %q: more than %d bytes in all: %w", s.dir, s.limits.Total, ErrLimit)
	}
	data := make([]byte, e.Size) // bounded above
	if _, err := io.ReadFull(e.Reader, data); err != nil {
		return fmt.Errorf("reading file %q: %w", e.Path, err)
	}
	s.files[name] = data
	return nil
}

// longestName is what file systems take, in bytes.
const longestName = 255

// checkName refuses names that no file system takes, and those that would change
// what a terminal shows when they are printed.
func checkName(name string) error {
	switch {
	case len(name) > longestName:
		return fmt.Errorf("a file's name has %d bytes, at most %d are accepted: %w", len(name), longestName, ErrLimit)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("the name of file %q holds control characters", name)
	}
	return nil
}

// Merge gives the files of a directory as a container sees them: listings come
// from the topmost layer down.
func Merge(topDown []Listing) []File {
	var files []File
	hidden := map[string]bool{}
	for _, l := range topDown {
		for _, f := range l.Files {
			if !hidden[f.Name] {
				files = append(files, f)
			}
		}
		if l.Opaque {
			break
		}
		for _, f := range l.Files {
			hidden[f.Name] = true
		}
		for _, name := range l.Hidden {
			hidden[name] = true
		}
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	return files
}
