package git

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Checkout puts a commit, given by its full id, into a folder, with the history
// that the copy has and its own place as remote "origin". A folder that is a checkout
// of the same repository already is moved to the commit, and left alone where that
// would overwrite changes; any other folder is an error. File contents are fetched.
func (r *Repository) Checkout(ctx context.Context, dir, commit string) error {
	if !fullID.MatchString(commit) {
		return fmt.Errorf("checking out %s: %q is no full id", r.URL.Name(), commit)
	}
	if err := r.checkout(ctx, dir, commit); err != nil {
		return fmt.Errorf("checking out %s at %s into %q: %w", r.URL.Name(), commit, dir, err)
	}
	return nil
}

func (r *Repository) checkout(ctx context.Context, dir, commit string) error {
	_, err := os.Lstat(dir)
	if err == nil {
		return r.move(ctx, dir, commit)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	beside, err := os.MkdirTemp(parent, "."+filepath.Base(dir)+".*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(beside)
	if err := r.clone(ctx, beside); err != nil {
		return err
	}
	if err := r.switchTo(ctx, beside, commit); err != nil {
		return err
	}
	if err := os.Chmod(beside, 0o755); err != nil {
		return err
	}
	return os.Rename(beside, dir)
}

// clone links the copy's objects into a new repository, which stays whole when
// the copy is deleted.
func (r *Repository) clone(ctx context.Context, dir string) error {
	source, err := filepath.Abs(r.dir)
	if err != nil {
		return err
	}
	args := []string{"clone", "--quiet", "--local", "--no-checkout", "--no-tags", "--template=", "--", source, dir}
	if err := (call{args: args, protocols: "file"}).run(ctx); err != nil {
		return err
	}
	return r.promise(ctx, dir)
}

// move takes an existing checkout to another commit.
func (r *Repository) move(ctx context.Context, dir, commit string) error {
	url, err := call{dir: dir, args: []string{"config", "--local", "remote.origin.url"}}.output(ctx)
	if err != nil || url != r.URL.String() {
		return errors.New("the folder exists and is no checkout of this repository; remove it or choose another")
	}
	if at, err := (call{dir: dir, args: []string{"rev-parse", "--verify", "--quiet", "HEAD"}}).output(ctx); err == nil && at == commit {
		return nil
	}
	if _, err := (&Repository{URL: r.URL, dir: dir}).Commit(ctx, commit); errors.Is(err, ErrMissing) {
		fetch := call{dir: dir, protocols: r.protocols, args: []string{"fetch", "--quiet", "--filter=blob:none", "--no-auto-maintenance", "origin", commit}}
		if err := fetch.run(ctx); err != nil {
			return err
		}
	}
	return r.switchTo(ctx, dir, commit)
}

func (r *Repository) switchTo(ctx context.Context, dir, commit string) error {
	return call{dir: dir, protocols: r.protocols, args: []string{"checkout", "--quiet", "--detach", commit}}.run(ctx)
}
