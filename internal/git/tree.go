package git

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// revisionPattern is what of git's ways to name a commit a person may use: a
// branch, a tag, an id, and ancestors of these (main~2, HEAD^).
var revisionPattern = regexp.MustCompile(`^[0-9A-Za-z_][0-9A-Za-z_.+/-]*[~^0-9]*$`)

func checkName(ref string) error {
	if len(ref) > 255 || !revisionPattern.MatchString(ref) || strings.Contains(ref, "..") || strings.Contains(ref, "//") || strings.HasSuffix(ref, ".lock") {
		return fmt.Errorf("%q names no commit: it is no branch, tag, id or ancestor of one", ref)
	}
	return nil
}

// Around returns the repository in which a folder of this host is checked out, and
// the path of the folder in it, "." for the top. The error wraps fs.ErrNotExist when
// there is none.
func Around(dir string) (*Repository, string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, "", err
	}
	for top := abs; ; top = filepath.Dir(top) {
		if _, err := os.Stat(filepath.Join(top, ".git")); err == nil {
			inside, err := filepath.Rel(top, abs)
			return &Repository{URL: URL{Scheme: "file", Path: top}, dir: top}, filepath.ToSlash(inside), err
		}
		if top == filepath.Dir(top) {
			return nil, "", fmt.Errorf("looking for the repository of %q: there is none around it: %w", dir, fs.ErrNotExist)
		}
	}
}

// Find returns the full id of the commit that a name stands for now: a branch, a tag,
// an id or an ancestor. The error wraps ErrMissing when there is none.
func (r *Repository) Find(ctx context.Context, ref string) (string, error) {
	if err := checkName(ref); err != nil {
		return "", err
	}
	id, err := call{dir: r.dir, args: []string{"rev-parse", "--verify", "--quiet", ref + "^{commit}"}}.output(ctx)
	switch {
	case err == nil && fullID.MatchString(id):
		return id, nil
	case err == nil, ended(err, 1), ended(err, 128) && r.readable(ctx):
		return "", fmt.Errorf("%q in %s: %w", ref, r.URL.Name(), ErrMissing)
	}
	return "", err
}

func (r *Repository) readable(ctx context.Context) bool {
	return call{dir: r.dir, args: []string{"rev-parse", "--git-dir"}}.run(ctx) == nil
}

// Newest fetches what a repository has now, and returns it with the commit that a
// name stands for there: a branch, a tag, a full id, or any ref without "refs/" before
// it, such as pull/12/head. The error wraps ErrMissing when there is none.
func (c *Cache) Newest(ctx context.Context, location URL, ref string) (*Repository, string, error) {
	r, id, err := c.newest(ctx, location, ref)
	if err != nil {
		return nil, "", fmt.Errorf("reading %q of repository %s: %w", ref, location.Name(), err)
	}
	return r, id, nil
}

func (c *Cache) newest(ctx context.Context, location URL, ref string) (*Repository, string, error) {
	if err := checkName(ref); err != nil {
		return nil, "", err
	}
	if fullID.MatchString(ref) {
		r, err := c.Open(ctx, location, ref)
		return r, ref, err
	}
	if location.Scheme == "file" && !c.o.Files {
		return nil, "", errors.New("it is a file of whoever runs this, which must be allowed first")
	}
	if c.o.Offline {
		return nil, "", errors.New("what it stands for now must be fetched, and nothing may be")
	}
	r := &Repository{URL: location, dir: c.dirOf(location), protocols: location.protocols()}
	if err := os.MkdirAll(c.o.Dir, 0o755); err != nil {
		return nil, "", err
	}
	unlock, err := lock(ctx, r.dir+".lock")
	if err != nil {
		return nil, "", err
	}
	defer unlock()
	ctx, cancel := context.WithTimeoutCause(ctx, c.o.Timeout, fmt.Errorf("fetching took more than %s", c.o.Timeout))
	defer cancel()
	if err := r.create(ctx); err != nil {
		return nil, "", err
	}
	if err := r.fetch(ctx); err != nil {
		return nil, "", err
	}
	for _, name := range []string{"refs/tags/" + ref, "refs/heads/" + ref} {
		if id, err := (call{dir: r.dir, args: []string{"rev-parse", "--verify", "--quiet", name + "^{commit}"}}).output(ctx); err == nil && fullID.MatchString(id) {
			return r, id, nil
		}
	}
	if strings.Contains(ref, "/") {
		if err := r.fetchRef(ctx, ref); err != nil {
			return nil, "", err
		}
		id, err := call{dir: r.dir, args: []string{"rev-parse", "--verify", "--quiet", "refs/strays/" + ref + "^{commit}"}}.output(ctx)
		return r, id, err
	}
	id, err := r.Find(ctx, ref)
	return r, id, err
}

// fetchRef gets what is neither a branch nor a tag.
func (r *Repository) fetchRef(ctx context.Context, ref string) error {
	err := call{dir: r.dir, protocols: r.protocols, args: []string{
		"fetch", "--quiet", "--filter=blob:none", "--force", "--no-write-fetch-head", "--no-tags", "--no-auto-maintenance",
		"origin", "+refs/" + ref + ":refs/strays/" + ref,
	}}.run(ctx)
	if ended(err, 128) && ctx.Err() == nil && strings.Contains(err.Error(), "couldn't find remote ref") {
		return ErrMissing
	}
	return err
}

// HasFolder says whether a commit, given by its full id, has a folder of a path.
func (r *Repository) HasFolder(ctx context.Context, commit, folder string) (bool, error) {
	kind, err := call{dir: r.dir, args: []string{"cat-file", "-t", treeName(commit, folder)}}.output(ctx)
	if ended(err, 128) || ended(err, 1) {
		return false, nil
	}
	return kind == "tree", err
}

func treeName(commit, folder string) string {
	if folder = path.Clean(folder); folder == "." {
		return commit + ":"
	}
	return commit + ":" + folder
}

// Export writes what is below a folder of a commit, given by its full id, into dir,
// which appears whole or not at all and is left alone when it is there already. The
// file contents that the copy lacks are fetched. No filter of the repository's runs.
func (r *Repository) Export(ctx context.Context, commit, folder, dir string) error {
	if !fullID.MatchString(commit) {
		return fmt.Errorf("exporting from %s: %q is no full id", r.URL.Name(), commit)
	}
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := r.export(ctx, commit, folder, dir); err != nil {
		return fmt.Errorf("exporting %q of %s at %s: %w", folder, r.URL.Name(), commit, err)
	}
	return nil
}

func (r *Repository) export(ctx context.Context, commit, folder, dir string) error {
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	beside, err := os.MkdirTemp(parent, "."+filepath.Base(dir)+".*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(beside)
	read, write := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := unpack(read, beside)
		read.CloseWithError(err) // git ends when nobody reads any more
		done <- err
	}()
	// The archive of a tree has its paths, and honours no attribute of a commit.
	archived := call{dir: r.dir, protocols: r.protocols, stdout: write, args: []string{"archive", "--format=tar", treeName(commit, folder)}}.run(ctx)
	write.CloseWithError(archived)
	if unpacked := <-done; archived == nil {
		archived = unpacked
	}
	if archived != nil {
		return archived
	}
	if err := os.Chmod(beside, 0o755); err != nil {
		return err
	}
	return os.Rename(beside, dir)
}

// maxExport bounds the bytes of one folder.
const maxExport = 1 << 30

// unpack writes an archive below a folder, which nothing in it can leave.
func unpack(r io.Reader, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	archive := tar.NewReader(io.LimitReader(r, maxExport))
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			_, err := io.Copy(io.Discard, r) // git pads what it writes
			return err
		}
		if err != nil {
			return err
		}
		if err := unpackEntry(root, h, archive); err != nil {
			return err
		}
	}
}

func unpackEntry(root *os.Root, h *tar.Header, content io.Reader) error {
	name := filepath.FromSlash(path.Clean(h.Name))
	switch h.Typeflag {
	case tar.TypeDir:
		return root.MkdirAll(name, 0o755)
	case tar.TypeSymlink:
		return root.Symlink(h.Linkname, name)
	case tar.TypeReg:
		mode := fs.FileMode(0o644)
		if h.Mode&0o100 != 0 {
			mode = 0o755
		}
		f, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_EXCL, mode)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, content)
		return errors.Join(err, f.Close())
	}
	return nil // the comment that names a commit
}
