package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/release/mirror"
)

// The names that say that a payload lies in files, as skopeo spells them.
const (
	layoutScheme  = "oci:"
	archiveScheme = "oci-archive:"
)

// namedFile is a payload in files: the layout's directory or tar file, and which
// of its images is meant.
type namedFile struct {
	scheme string
	path   string
	ref    string // may be empty
}

// parseNamedFile reads oci:DIR[:REF], oci-archive:FILE[:REF], or the path of a
// layout or tar file that exists. Anything else is a payload in a registry.
func parseNamedFile(named string) (namedFile, bool, error) {
	for _, scheme := range []string{layoutScheme, archiveScheme} {
		rest, ok := strings.CutPrefix(named, scheme)
		if !ok {
			continue
		}
		path, ref, err := splitExisting(rest)
		if err != nil {
			return namedFile{}, true, fmt.Errorf("reading payload %q: %w", named, err)
		}
		return namedFile{scheme, path, ref}, true, nil
	}
	info, err := os.Stat(named)
	switch {
	case err != nil:
		return namedFile{}, false, nil
	case info.IsDir() && isLayout(named):
		return namedFile{layoutScheme, named, ""}, true, nil
	case info.Mode().IsRegular() && strings.HasSuffix(named, ".tar"):
		return namedFile{archiveScheme, named, ""}, true, nil
	}
	return namedFile{}, false, nil
}

// isLayout says whether a directory holds a layout or the segments of one.
func isLayout(dir string) bool {
	for _, pattern := range []string{"oci-layout", "mirror_000001.tar"} {
		if _, err := os.Stat(filepath.Join(dir, pattern)); err == nil {
			return true
		}
	}
	return false
}

// splitExisting cuts PATH[:REF] behind the longest path that exists.
func splitExisting(s string) (path, ref string, err error) {
	for i := len(s); i > 0; {
		if _, err := os.Stat(s[:i]); err == nil {
			return s[:i], strings.TrimLeft(s[i:], ":@"), nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", "", err
		}
		i = strings.LastIndexAny(s[:i], ":@")
	}
	return "", "", errors.New("there is no such file or directory")
}

// locateFile opens a payload in files, and returns the reference by digest under
// which the layout and everybody else finds it.
func (a *app) locateFile(file namedFile) (*oci.Layout, string, error) {
	opts, err := a.registryOptions()
	if err != nil {
		return nil, "", err
	}
	path, err := filepath.Abs(file.path)
	if err != nil {
		return nil, "", err
	}
	if strings.Contains(path, "@") {
		return nil, "", usage(fmt.Errorf("reading %q: a path with @ in it cannot be told from a reference; use a link without", path))
	}
	layout, err := oci.OpenLayout(path, opts...)
	if err != nil {
		return nil, "", usage(err)
	}
	a.closers = append(a.closers, func() { layout.Close() })
	entries, err := layout.Entries()
	if err != nil {
		return nil, "", usage(err)
	}
	d, err := mirror.FindPayload(entries, file.ref)
	if err != nil {
		// What an index holds has no entry of its own, and can be named by digest.
		d, err = a.unlisted(layout, file.ref, err)
	}
	if err != nil {
		return nil, "", usage(fmt.Errorf("reading OCI layout %q: %w", path, err))
	}
	return layout, file.scheme + path + "@" + d.Digest.String(), nil
}

func (a *app) unlisted(layout *oci.Layout, ref string, unknown error) (v1.Descriptor, error) {
	if _, err := v1.NewHash(ref); err != nil {
		return v1.Descriptor{}, unknown
	}
	d, err := layout.Descriptor(context.Background(), ref)
	if errors.Is(err, oci.ErrNotFound) {
		return d, unknown
	}
	return d, err
}
