package premerge

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/slipway-release/slipway/distros"
	"github.com/slipway-release/slipway/internal/git"
)

// finder opens what sources name.
type finder struct {
	// checkout is the folder that git:REF is about, that of distro.yaml or one above it.
	checkout string
	// distro is the name of the distribution.
	distro string
	// cache is a folder for what is fetched.
	cache string
}

// folder opens the component's folder that a source names, and says which commit it
// is of; "" for a folder of this host.
func (f finder) folder(ctx context.Context, s Source) (distros.Folder, string, error) {
	if s.Folder != "" {
		return distros.Folder{FS: os.DirFS(s.Folder), Path: filepath.ToSlash(s.Folder)}, "", nil
	}
	repository, commit, inside, err := f.commit(ctx, s)
	if err != nil {
		return distros.Folder{}, "", fmt.Errorf("reading component %q from %s: %w", s.Component, s.Named, err)
	}
	found, err := f.find(ctx, repository, commit, s, inside)
	if err != nil {
		return distros.Folder{}, "", fmt.Errorf("reading component %q from %s: %w", s.Component, s.Named, err)
	}
	sum := sha256.Sum256([]byte(repository.URL.String() + "\x00" + found))
	dir := filepath.Join(f.cache, "exported", fmt.Sprintf("%s-%s-%x", s.Component, commit, sum[:6]))
	if err := repository.Export(ctx, commit, found, dir); err != nil {
		return distros.Folder{}, "", fmt.Errorf("reading component %q from %s: %w", s.Component, s.Named, err)
	}
	return distros.Folder{FS: os.DirFS(dir), Path: found}, commit, nil
}

// commit finds the repository and the commit, and where in it the distribution is, as
// far as that is known.
func (f finder) commit(ctx context.Context, s Source) (*git.Repository, string, string, error) {
	if s.Repository != nil {
		cache := git.NewCache(git.Options{Dir: filepath.Join(f.cache, "repositories"), Files: true})
		r, commit, err := cache.Newest(ctx, *s.Repository, s.Ref)
		return r, commit, "", err
	}
	r, inside, err := git.Around(f.checkout)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", "", fmt.Errorf("git:REF is a commit of the checkout that the distribution is in, and %q is in none", f.checkout)
	}
	if err != nil {
		return nil, "", "", err
	}
	commit, err := r.Find(ctx, s.Ref)
	return r, commit, inside, err
}

// find looks for the component's folder where distributions have it.
func (f finder) find(ctx context.Context, r *git.Repository, commit string, s Source, inside string) (string, error) {
	candidates := []string{s.Path}
	if s.Path == "" {
		candidates = []string{
			path.Join("distros", f.distro, "components", s.Component), path.Join("components", s.Component),
		}
		if inside != "" {
			candidates = append([]string{path.Join(inside, "components", s.Component)}, candidates...)
		}
	}
	for _, candidate := range candidates {
		has, err := r.HasFolder(ctx, commit, candidate)
		if err != nil {
			return "", err
		}
		if has {
			return candidate, nil
		}
	}
	hint := "; say where it is with #REF:PATH"
	if s.Repository == nil {
		hint = ""
	}
	return "", fmt.Errorf("commit %s has no folder %q%s", commit, candidates[0], hint)
}
