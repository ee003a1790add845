package images

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// addFolder puts a folder of fsys below a path of the image. skip says which
// files (relative to the folder) to leave out.
func (t tree) addFolder(ctx context.Context, fsys fs.FS, root, to string, skip func(rel string) bool) error {
	return fs.WalkDir(fsys, root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		rel := strings.TrimPrefix(strings.TrimPrefix(p, root), "/")
		if rel != "" && skip != nil && skip(rel) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		return t.addFrom(fsys, p, d, path.Join("/", to, rel))
	})
}

func (t tree) addFrom(fsys fs.FS, p string, d fs.DirEntry, to string) error {
	switch {
	case d.IsDir():
		if !slices.Contains(linked, relative(to)) {
			t.dir(to, folderMode(to))
		}
		return nil
	case d.Type() == fs.ModeSymlink:
		target, err := fs.ReadLink(fsys, p)
		if err != nil {
			return err
		}
		t.link(to, target)
		return nil
	case !d.Type().IsRegular():
		return fmt.Errorf("%q is neither a file, a folder nor a symbolic link", p)
	}
	info, err := d.Info()
	if err != nil {
		return err
	}
	mode, err := guessMode(fsys, p)
	if err != nil {
		return err
	}
	t.file(to, mode, info.Size(), func() (io.ReadCloser, error) { return fsys.Open(p) })
	return nil
}

func folderMode(p string) int64 {
	if m, ok := parentModes[relative(p)]; ok {
		return m
	}
	return 0o755
}

// guessMode tells programs and scripts from other files by their first bytes.
func guessMode(fsys fs.FS, p string) (int64, error) {
	f, err := fsys.Open(p)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	head := make([]byte, 4)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return 0, err
	}
	if bytes.HasPrefix(head[:n], []byte("#!")) || bytes.HasPrefix(head[:n], []byte("\x7fELF")) {
		return 0o755, nil
	}
	return 0o644, nil
}

// filesTree is the content of a files layer.
func filesTree(ctx context.Context, r *Recipe, l *FilesLayer) (tree, error) {
	t := tree{}
	for _, d := range l.Directories {
		t.dir(d, folderMode(d))
	}
	if l.From != "" {
		if err := t.addFolder(ctx, r.Files, l.From, l.To, nil); err != nil {
			return nil, err
		}
	}
	for link, target := range l.Links {
		t.link(link, target)
	}
	return t, t.setModes(l.Modes)
}

// manifestsTree is the content of the layer with a component's manifests.
func manifestsTree(ctx context.Context, r *Recipe) (tree, error) {
	t := tree{}
	return t, t.addFolder(ctx, r.Files, manifestsDir, "/"+manifestsDir, nil)
}

// moduleFilesTree is the content of a moduleFiles layer, taken from the module's
// source at dir.
func moduleFilesTree(ctx context.Context, dir string, l *ModuleFilesLayer) (tree, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	// The files are opened when the layer is written, after root is closed.
	fsys := os.DirFS(dir)
	t := tree{}
	if _, err := root.Stat(filepath.FromSlash(l.From)); err != nil {
		return nil, fmt.Errorf("%w: module %s has no folder %q", ErrInput, l.Module, l.From)
	}
	skip := func(rel string) bool {
		return slices.ContainsFunc(l.Exclude, func(pattern string) bool { return matches(pattern, rel) })
	}
	if err := t.addFolder(ctx, fsys, l.From, l.To, skip); err != nil {
		return nil, err
	}
	for _, r := range l.Replace {
		if err := t.replace(r); err != nil {
			return nil, err
		}
	}
	return t, t.setModes(l.Modes)
}

// replace changes text in one file of the tree.
func (t tree) replace(r Replacement) error {
	p := relative(r.Path)
	e, ok := t[p]
	if !ok || e.open == nil {
		return fmt.Errorf("%w: there is no file %q to change", ErrInput, r.Path)
	}
	f, err := e.open()
	if err != nil {
		return err
	}
	defer f.Close()
	old, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	if !bytes.Contains(old, []byte(r.Old)) {
		return fmt.Errorf("%w: the text %q to change does not stand in %q", ErrInput, r.Old, r.Path)
	}
	changed := bytes.ReplaceAll(old, []byte(r.Old), []byte(r.New))
	t.file(p, e.header.Mode, int64(len(changed)), func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(changed)), nil
	})
	return nil
}

// matches says whether a pattern names a path or a folder above it.
func matches(pattern, p string) bool {
	for ; p != "." && p != "/" && p != ""; p = path.Dir(p) {
		if ok, err := path.Match(pattern, p); err == nil && ok {
			return true
		}
	}
	return false
}

// programsTree holds programs that lie in files of the host: path in the image
// → path on the host.
func programsTree(programs map[string]string) (tree, error) {
	t := tree{}
	for _, to := range slices.Sorted(maps.Keys(programs)) {
		from := programs[to]
		info, err := os.Stat(from)
		if err != nil {
			return nil, err
		}
		t.file(to, 0o755, info.Size(), func() (io.ReadCloser, error) { return os.Open(from) })
	}
	return t, nil
}
