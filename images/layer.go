package images

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// manifestsDir is the folder of a component that holds its manifests, and where
// they lie in its image.
const manifestsDir = "manifests"

// tree is the content of a layer by path, without a slash at the front.
type tree map[string]entry

// entry is a file, folder or symbolic link owned by root.
type entry struct {
	header tar.Header
	open   func() (io.ReadCloser, error) // nil for what has no content
}

// parentModes are folders whose mode is not 0755 on any system.
var parentModes = map[string]int64{"tmp": 0o1777, "var/tmp": 0o1777, "root": 0o700}

// linked are folders of the root that are symbolic links to /usr/… on today's
// systems. A folder entry of the same name would replace the link in the base.
var linked = []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32"}

func relative(p string) string { return strings.TrimPrefix(path.Clean("/"+p), "/") }

func (t tree) dir(p string, mode int64) {
	p = relative(p)
	if p == "" {
		return
	}
	t[p] = entry{header: tar.Header{Typeflag: tar.TypeDir, Name: p + "/", Mode: mode}}
}

func (t tree) link(p, target string) {
	p = relative(p)
	t[p] = entry{header: tar.Header{Typeflag: tar.TypeSymlink, Name: p, Linkname: target, Mode: 0o777}}
}

func (t tree) file(p string, mode, size int64, open func() (io.ReadCloser, error)) {
	p = relative(p)
	t[p] = entry{header: tar.Header{Typeflag: tar.TypeReg, Name: p, Mode: mode, Size: size}, open: open}
}

// addParents makes the folders on the way to every entry explicit, for what
// engines do about missing ones differs.
func (t tree) addParents() {
	for p := range maps.Clone(t) {
		for d := path.Dir(p); d != "." && d != "/"; d = path.Dir(d) {
			if _, ok := t[d]; ok || slices.Contains(linked, d) {
				continue
			}
			mode := int64(0o755)
			if m, ok := parentModes[d]; ok {
				mode = m
			}
			t.dir(d, mode)
		}
	}
}

// setModes applies the modes of a recipe. Every path must exist.
func (t tree) setModes(modes map[string]string) error {
	for _, p := range slices.Sorted(maps.Keys(modes)) {
		e, ok := t[relative(p)]
		if !ok {
			return fmt.Errorf("setting the mode of %q: the layer has no such file", p)
		}
		mode, err := parseMode(modes[p])
		if err != nil {
			return fmt.Errorf("setting the mode of %q: %w", p, err)
		}
		e.header.Mode = mode
		t[relative(p)] = e
	}
	return nil
}

// write puts the tree into an archive: sorted, and with one time for all.
func (t tree) write(ctx context.Context, tw *tar.Writer, epoch time.Time) error {
	for _, p := range slices.Sorted(maps.Keys(t)) {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		e := t[p]
		e.header.ModTime = epoch
		if err := e.write(ctx, tw); err != nil {
			return fmt.Errorf("writing %q: %w", p, err)
		}
	}
	return nil
}

func (e *entry) write(ctx context.Context, tw *tar.Writer) error {
	if err := tw.WriteHeader(&e.header); err != nil {
		return err
	}
	if e.open == nil {
		return nil
	}
	r, err := e.open()
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(tw, &contextReader{ctx, r})
	return err
}

// contextReader ends a copy when its context ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}
