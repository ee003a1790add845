package images

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// LockOptions say where Lock looks things up.
type LockOptions struct {
	// Cache is a folder for what was looked up before; needed.
	Cache string
	// Self is the path of the slipway executable, for recipes with a self layer.
	Self string
	// Platform of the images; default linux/amd64.
	Platform string
	// Existing is the lock to go by. Every input is compared with it, and a
	// changed or missing one is an InputError. Left out, a new lock is made.
	Existing *Lockfile
	// AptDir is where the host's apt sources are described; default /etc/apt.
	AptDir string
	// ListsAge is how old Debian's package lists may get; default one hour.
	ListsAge time.Duration
	// Environ is this process's environment; default os.Environ(). Only settings
	// of the network and of Go's caches and proxies are used.
	Environ []string
	// Progress hears what is being looked up; may be nil.
	Progress Progress
}

// Lock resolves every input of the recipes. Errors about inputs that do not
// exist or changed wrap ErrInput.
func Lock(ctx context.Context, recipes []*Recipe, opts LockOptions) (*Lockfile, error) {
	opts.setDefaults()
	l := &locker{opts: opts, recipes: recipes, requests: collect(recipes)}
	l.file = &Lockfile{APIVersion: APIVersion, Kind: "Lock", Platform: opts.Platform}
	if err := os.MkdirAll(opts.Cache, 0o755); err != nil {
		return nil, fmt.Errorf("locking inputs: %w", err)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return l.lockGo(ctx) })
	g.Go(func() error { return l.lockDebian(ctx) })
	g.Go(func() error { return l.lockFiles(ctx) })
	g.Go(func() error { return l.lockTools(ctx) })
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("locking inputs: %w", err)
	}
	if opts.Existing != nil {
		if err := opts.Existing.Verify(l.file); err != nil {
			return nil, fmt.Errorf("verifying lock: %w", err)
		}
	}
	return l.file, nil
}

func (o *LockOptions) setDefaults() {
	if o.Platform == "" {
		o.Platform = "linux/amd64"
	}
	if o.AptDir == "" {
		o.AptDir = "/etc/apt"
	}
	if o.ListsAge == 0 {
		o.ListsAge = time.Hour
	}
	if o.Environ == nil {
		o.Environ = os.Environ()
	}
	if o.Progress == nil {
		o.Progress = silent{}
	}
}

// locker fills a lock; each of its parts is written by one goroutine.
type locker struct {
	opts     LockOptions
	recipes  []*Recipe
	requests requests
	file     *Lockfile
}

// requests are the inputs that recipes name, each once, in a fixed order.
type requests struct {
	modules   []LockedModule // path and version only
	builds    []LockedBuild  // without GoMod and GoSum
	debian    []LockedDebian // without Closure
	files     []fileRequest
	libraries []string
	cgo       bool // or C
	self      bool
}

type fileRequest struct {
	recipe *Recipe
	path   string // in the component's folder
}

func (f fileRequest) key() string { return f.recipe.Metadata.Name + "/" + f.path }

func collect(recipes []*Recipe) requests {
	var r requests
	for _, recipe := range recipes {
		if recipe.HasManifests() {
			r.files = append(r.files, fileRequest{recipe, manifestsDir})
		}
		for i := range recipe.Layers {
			r.layer(recipe, &recipe.Layers[i])
		}
	}
	r.sort()
	return r
}

func (r *requests) layer(recipe *Recipe, l *Layer) {
	switch {
	case l.Go != nil:
		r.addModule(l.Go.Module, l.Go.Version)
		r.addBuild(l.Go)
		r.libraries = append(r.libraries, l.Go.Libraries...)
		r.cgo = r.cgo || l.Go.Cgo
	case l.Debian != nil:
		want := debianRequest(l.Debian)
		if !slices.ContainsFunc(r.debian, func(d LockedDebian) bool { return d.sameRequest(&want) }) {
			r.debian = append(r.debian, want)
		}
	case l.Files != nil && l.Files.From != "":
		r.files = append(r.files, fileRequest{recipe, l.Files.From})
	case l.ModuleFiles != nil:
		r.addModule(l.ModuleFiles.Module, l.ModuleFiles.Version)
	case l.C != nil:
		r.cgo = true
		if l.C.Module != "" {
			r.addModule(l.C.Module, l.C.Version)
			return
		}
		for _, s := range l.C.Sources {
			r.files = append(r.files, fileRequest{recipe, s})
		}
	case l.Self != nil:
		r.self = true
	}
}

func (r *requests) addModule(path, version string) {
	same := func(m LockedModule) bool { return m.Module == path && m.Version == version }
	if !slices.ContainsFunc(r.modules, same) {
		r.modules = append(r.modules, LockedModule{Module: path, Version: version})
	}
}

// addBuild joins the packages of layers that share a module graph.
func (r *requests) addBuild(g *GoLayer) {
	at := slices.IndexFunc(r.builds, func(b LockedBuild) bool { return b.serves(g) })
	if at < 0 {
		at = len(r.builds)
		r.builds = append(r.builds, LockedBuild{Module: g.Module, Version: g.Version, LocalReplaces: g.LocalReplaces, Require: g.Require})
	}
	b := &r.builds[at]
	load := loadOf(g)
	for i := range b.Loads {
		if have := &b.Loads[i]; have.Cgo == load.Cgo && slices.Equal(have.Tags, load.Tags) {
			have.Packages = slices.Compact(slices.Sorted(slices.Values(append(have.Packages, load.Packages...))))
			return
		}
	}
	b.Loads = append(b.Loads, load)
}

func (r *requests) sort() {
	slices.SortFunc(r.modules, func(a, b LockedModule) int {
		return strings.Compare(a.Module+"@"+a.Version, b.Module+"@"+b.Version)
	})
	for i := range r.builds {
		slices.SortFunc(r.builds[i].Loads, func(a, b Load) int { return strings.Compare(sortKey(a), sortKey(b)) })
	}
	slices.SortFunc(r.builds, func(a, b LockedBuild) int { return strings.Compare(sortKey(a), sortKey(b)) })
	slices.SortFunc(r.debian, func(a, b LockedDebian) int { return strings.Compare(a.input(), b.input()) })
	slices.Sort(r.libraries)
	r.libraries = slices.Compact(r.libraries)
}

// lockFiles takes the digests of folders and files of the components, and of the
// slipway executable.
func (l *locker) lockFiles(ctx context.Context) error {
	for _, f := range l.requests.files {
		if err := ctx.Err(); err != nil {
			return err
		}
		digest, err := treeDigest(f.recipe.Files, f.path)
		if err != nil {
			return fmt.Errorf("reading %s: %w", filesInput(f.key()), err)
		}
		if l.file.Files == nil {
			l.file.Files = map[string]string{}
		}
		l.file.Files[f.key()] = digest
	}
	if !l.requests.self {
		return nil
	}
	if l.opts.Self == "" {
		return fmt.Errorf("reading the slipway executable: its path is not known")
	}
	digest, err := fileDigest(l.opts.Self)
	if err != nil {
		return fmt.Errorf("reading the slipway executable: %w", err)
	}
	l.file.Self = digest
	return nil
}

// architecture returns Go's name of the processor in a platform: amd64.
func architecture(platform string) string {
	_, arch, ok := strings.Cut(platform, "/")
	if !ok {
		return runtime.GOARCH
	}
	arch, _, _ = strings.Cut(arch, "/")
	return arch
}
