package git

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// ErrMissing says that a repository was read and does not have the revision.
var ErrMissing = errors.New("no such revision")

// Options say where repositories are kept and how they are reached.
type Options struct {
	// Dir is the folder of the bare copies; it may be deleted at any time.
	Dir string
	// Local is a folder of repositories that are there already, as
	// HOST/PATH, HOST/PATH.git, or by the last part of their path. They are read
	// and never written; what they do not have is fetched into Dir.
	Local string
	// Offline forbids to fetch.
	Offline bool
	// Files allows repositories on this host's disk, file:///PATH.
	Files bool
	// Timeout ends one fetch; 15 minutes when zero.
	Timeout time.Duration
}

// Cache holds repositories. It is safe for use by many goroutines and processes.
type Cache struct{ o Options }

// NewCache returns a cache; nothing is written before a repository is asked for.
func NewCache(o Options) *Cache {
	o.Timeout = cmp.Or(o.Timeout, 15*time.Minute)
	return &Cache{o}
}

// Repository is a repository on this host's disk: commits and trees, and file
// contents where somebody asked for them.
type Repository struct {
	URL URL

	dir       string
	protocols string // by which it may be reached
}

// Open returns a repository that has the revisions. It is fetched when it
// lacks one: its commits and trees, without file contents. The error wraps
// ErrMissing when the repository was read and does not have a revision.
func (c *Cache) Open(ctx context.Context, location URL, revisions ...string) (*Repository, error) {
	for _, rev := range revisions {
		if err := checkRevision(rev); err != nil {
			return nil, fmt.Errorf("opening repository %s: %w", location.Name(), err)
		}
	}
	if location.Scheme == "file" && !c.o.Files {
		return nil, fmt.Errorf("opening repository %q: it is a file of whoever runs this, which must be allowed first", location)
	}
	local, err := c.local(location)
	if err != nil {
		return nil, fmt.Errorf("opening repository %s: %w", location.Name(), err)
	}
	if local != "" {
		r := &Repository{URL: location, dir: local, protocols: location.protocols()}
		err := r.has(ctx, revisions)
		if err == nil {
			return r, nil
		}
		if !errors.Is(err, ErrMissing) || c.o.Offline {
			return nil, fmt.Errorf("opening repository %s: %w", location.Name(), err)
		}
	}
	r := &Repository{URL: location, dir: c.dirOf(location), protocols: location.protocols()}
	if err := c.provide(ctx, r, revisions); err != nil {
		return nil, fmt.Errorf("opening repository %s: %w", location.Name(), err)
	}
	return r, nil
}

// dirOf is where the copy of a repository is: named for people, made unique by
// a digest, so that no location reaches a folder of another.
func (c *Cache) dirOf(location URL) string {
	sum := sha256.Sum256([]byte(location.String()))
	return filepath.Join(c.o.Dir, path.Base(location.Path)+"-"+hex.EncodeToString(sum[:8])+".git")
}

// local finds the repository in the folder of those that are there already.
func (c *Cache) local(location URL) (string, error) {
	if c.o.Local == "" {
		return "", nil
	}
	if _, err := os.Stat(c.o.Local); err != nil {
		return "", err
	}
	name, base := location.Name(), path.Base(location.Path)
	for _, candidate := range []string{name, name + ".git", base, base + ".git"} {
		dir := filepath.Join(c.o.Local, filepath.FromSlash(candidate))
		for _, head := range []string{"HEAD", ".git"} {
			if _, err := os.Stat(filepath.Join(dir, head)); err == nil {
				return dir, nil
			}
		}
	}
	return "", nil
}

// provide fetches what is missing, while nobody else does.
func (c *Cache) provide(ctx context.Context, r *Repository, revisions []string) error {
	if _, err := os.Stat(r.dir); err == nil {
		if err := r.has(ctx, revisions); !errors.Is(err, ErrMissing) {
			return err
		}
	} else if c.o.Offline {
		return errors.New("it is not on this host, and nothing may be fetched")
	}
	if c.o.Offline {
		return r.has(ctx, revisions)
	}
	if err := os.MkdirAll(c.o.Dir, 0o755); err != nil {
		return err
	}
	unlock, err := lock(ctx, r.dir+".lock")
	if err != nil {
		return err
	}
	defer unlock()
	if err := r.create(ctx); err != nil {
		return err
	}
	if err := r.has(ctx, revisions); !errors.Is(err, ErrMissing) {
		return err // somebody else fetched it meanwhile, or it cannot be read
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.o.Timeout, fmt.Errorf("fetching took more than %s", c.o.Timeout))
	defer cancel()
	if err := r.fetch(ctx); err != nil {
		return err
	}
	return r.fetchStrays(ctx, revisions)
}

// create makes the empty copy where there is none.
func (r *Repository) create(ctx context.Context) error {
	if _, err := os.Stat(r.dir); err == nil {
		return nil
	}
	beside := r.dir + ".new"
	if err := os.RemoveAll(beside); err != nil {
		return err
	}
	if err := (call{args: []string{"init", "--quiet", "--bare", "--template=", beside}}).run(ctx); err != nil {
		return err
	}
	if err := r.promise(ctx, beside); err != nil {
		return err
	}
	return os.Rename(beside, r.dir)
}

// promise configures that what a copy lacks is at the repository's own place.
func (r *Repository) promise(ctx context.Context, dir string) error {
	for _, kv := range [][2]string{
		{"core.repositoryFormatVersion", "1"},
		{"extensions.partialClone", "origin"},
		{"remote.origin.url", r.URL.String()},
		{"remote.origin.promisor", "true"},
		{"remote.origin.partialCloneFilter", "blob:none"},
	} {
		if err := (call{dir: dir, args: []string{"config", kv[0], kv[1]}}).run(ctx); err != nil {
			return err
		}
	}
	return nil
}

// fetch gets all branches and tags as they are now.
func (r *Repository) fetch(ctx context.Context) error {
	if err := sweep(r.dir); err != nil {
		return err
	}
	return call{dir: r.dir, protocols: r.protocols, args: []string{
		"fetch", "--quiet", "--filter=blob:none", "--force", "--no-write-fetch-head", "--no-auto-maintenance",
		"origin", "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*",
	}}.run(ctx)
}

// fetchStrays gets commits that no branch or tag holds any more. Most servers
// give them out by their full id.
func (r *Repository) fetchStrays(ctx context.Context, revisions []string) error {
	for _, rev := range revisions {
		_, err := r.Commit(ctx, rev)
		if err == nil {
			continue
		}
		if !errors.Is(err, ErrMissing) || !fullID.MatchString(rev) {
			return err
		}
		refused := call{dir: r.dir, protocols: r.protocols, args: []string{
			"fetch", "--quiet", "--filter=blob:none", "--force", "--no-write-fetch-head", "--no-tags", "--no-auto-maintenance",
			"origin", "+" + rev + ":refs/strays/" + rev,
		}}.run(ctx)
		if refused != nil && ctx.Err() != nil {
			return refused
		}
		if _, err := r.Commit(ctx, rev); err != nil {
			return err
		}
	}
	return nil
}

// has returns the error of the first revision that cannot be found.
func (r *Repository) has(ctx context.Context, revisions []string) error {
	for _, rev := range revisions {
		if _, err := r.Commit(ctx, rev); err != nil {
			return err
		}
	}
	return nil
}

// sweep removes what a fetch that was killed has left: git's own lock files and
// half-written packs. Nobody else writes here while ours is held.
func sweep(dir string) error {
	return filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if strings.HasSuffix(file, ".lock") || strings.HasPrefix(d.Name(), "tmp_") {
			return os.Remove(file)
		}
		return nil
	})
}

// lock waits until nobody else, in this process or another, holds the file. The
// kernel gives it back when a process dies.
func lock(ctx context.Context, file string) (unlock func(), err error) {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE|syscall.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return func() { f.Close() }, nil
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR):
			f.Close()
			return nil, fmt.Errorf("locking %q: %w", file, err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
