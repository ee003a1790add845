package images

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/singleflight"

	"github.com/slipway-release/slipway/internal/oci"
)

// Registry is where images go, by their canonical names; *oci.Registry is one.
// Something that is not there is oci.ErrNotFound.
type Registry interface {
	Canonical() string
	Resolve(ctx context.Context, ref string) (v1.Hash, error)
	Image(ctx context.Context, ref string) (v1.Image, error)
	Push(ctx context.Context, ref string, img v1.Image) (v1.Hash, error)
	Tag(ctx context.Context, ref, tag string) error
}

var _ Registry = (*oci.Registry)(nil)

// BuildOptions say where Build works and where the images go.
type BuildOptions struct {
	Registry Registry
	// Cache is a folder for finished layers and downloads; needed.
	Cache string
	// Self is the path of the slipway executable, for recipes with a self layer.
	Self string
	// Epoch is the time of everything in the images; the zero value means 1970.
	Epoch time.Time
	// Jobs bounds what is done side by side; default: the number of processors.
	// Compilations take turns in any case, for each uses all processors.
	Jobs int
	// AptDir is where the host's apt sources are described; default /etc/apt.
	AptDir string
	// Environ is as in LockOptions.
	Environ []string
	// Progress hears how far the components are; may be nil.
	Progress Progress
}

// Result is one component's image.
type Result struct {
	Component string     `json:"component"`
	Reference string     `json:"reference"` // canonical, by digest
	Digest    string     `json:"digest"`
	Cached    bool       `json:"cached"` // it was in the registry already
	Seconds   float64    `json:"seconds"`
	Packages  []Package  `json:"packages,omitempty"`  // what the image is made of, with its base
	Materials []Material `json:"materials,omitempty"` // what went into it
}

// Build makes the images of all recipes that are not in the registry yet, and
// pushes them. A component that cannot be built does not keep the others from
// being built: the results are those that could, in the order of the recipes,
// and the error joins all failures. A program that does not compile is a
// *CompileError.
func Build(ctx context.Context, recipes []*Recipe, lock *Lockfile, opts BuildOptions) ([]Result, error) {
	if err := opts.setDefaults(); err != nil {
		return nil, fmt.Errorf("building images: %w", err)
	}
	plan, err := NewPlan(recipes, lock, opts.Epoch)
	if err != nil {
		return nil, err
	}
	b := &builder{
		opts: opts, plan: plan, lock: lock,
		slots: make(chan struct{}, opts.Jobs), jobs: map[string]*job{}, groups: map[string]*group{},
	}
	b.goTools = sync.OnceValues(func() (*goTool, error) { return newGoTool(ctx, opts.Environ) })
	results, err := b.build(ctx)
	if ctx.Err() != nil {
		return nil, fmt.Errorf("building images: %w", context.Cause(ctx))
	}
	return inOrder(recipes, results), err
}

func (o *BuildOptions) setDefaults() error {
	if o.Registry == nil || o.Cache == "" {
		return errors.New("a registry and a cache folder are needed")
	}
	if o.Epoch.IsZero() {
		o.Epoch = time.Unix(0, 0)
	}
	o.Epoch = o.Epoch.UTC().Truncate(time.Second)
	if o.Jobs < 1 {
		o.Jobs = runtime.NumCPU()
	}
	if o.AptDir == "" {
		o.AptDir = "/etc/apt"
	}
	if o.Environ == nil {
		o.Environ = os.Environ()
	}
	if o.Progress == nil {
		o.Progress = silent{}
	}
	return nil
}

// builder carries out one plan.
type builder struct {
	opts  BuildOptions
	plan  *Plan
	lock  *Lockfile
	store *store
	slots chan struct{}

	rootfsTurns *turns // by layer key

	goTools func() (*goTool, error)
	goTool  *goTool // set before anything is compiled
	jobs    map[string]*job
	groups  map[string]*group // by key
	order   []*group
	flights singleflight.Group // layers by key: two components may share one
}

// job is a component on its way.
type job struct {
	*PlannedComponent
	base   *job
	done   chan struct{} // closed when result or err is there
	result *Result
	err    error
}

func (b *builder) build(ctx context.Context) (map[string]Result, error) {
	store, release, err := openStore(b.opts.Cache)
	if err != nil {
		return nil, fmt.Errorf("building images: %w", err)
	}
	defer release()
	b.store = store
	var todo []*job
	for _, c := range b.plan.Components {
		j := &job{PlannedComponent: c, done: make(chan struct{})}
		if c.Base != nil {
			j.base = b.jobs[c.Base.Name()]
		}
		b.jobs[c.Name()] = j
	}
	if todo, err = b.lookUp(ctx); err != nil {
		return nil, fmt.Errorf("building images: %w", err)
	}
	if err := b.run(ctx, todo); err != nil {
		return nil, fmt.Errorf("building images: %w", err)
	}
	return b.gather()
}

// lookUp finds the images that are in the registry already and returns the
// others. What stands on an image that must be built must be built as well, as
// far as can be known now.
func (b *builder) lookUp(ctx context.Context) ([]*job, error) {
	var todo []*job
	for _, c := range b.plan.Components {
		j := b.jobs[c.Name()]
		if j.base != nil && j.base.result == nil {
			todo = append(todo, j)
			continue
		}
		began := time.Now()
		result, err := b.cached(ctx, j)
		if err != nil {
			return nil, err
		}
		if result == nil {
			todo = append(todo, j)
			continue
		}
		result.Seconds = time.Since(began).Seconds()
		j.result = result
		b.opts.Progress.Start(j.Name())
		b.opts.Progress.Done(j.Name(), nil)
		close(j.done)
	}
	return todo, nil
}

// cached returns the image of a component from the registry, or nil.
func (b *builder) cached(ctx context.Context, j *job) (*Result, error) {
	key := b.key(j)
	digest, err := b.opts.Registry.Resolve(ctx, b.repository(j.Name())+":"+cacheTag(key))
	if errors.Is(err, oci.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	rec, err := b.findRecord(ctx, j.Name(), key, digest)
	if rec == nil || err != nil {
		return nil, err
	}
	return b.result(j, digest, rec, true), nil
}

func (b *builder) key(j *job) string {
	base := ""
	if j.base != nil {
		base = j.base.result.Digest
	}
	return b.plan.ImageKey(j.PlannedComponent, base)
}

func (b *builder) repository(component string) string {
	return b.opts.Registry.Canonical() + "/" + component
}

func (b *builder) result(j *job, digest v1.Hash, rec *record, cached bool) *Result {
	return &Result{
		Component: j.Name(), Reference: b.repository(j.Name()) + "@" + digest.String(), Digest: digest.String(),
		Cached: cached, Packages: rec.Packages, Materials: rec.Materials,
	}
}

// gather returns what was built and joins what was not.
func (b *builder) gather() (map[string]Result, error) {
	results := map[string]Result{}
	var errs []error
	for _, c := range b.plan.Components {
		switch j := b.jobs[c.Name()]; {
		case j.err != nil:
			errs = append(errs, fmt.Errorf("building image %q: %w", c.Name(), j.err))
		case j.result != nil:
			results[c.Name()] = *j.result
		}
	}
	if len(errs) == 0 {
		b.dropPrograms()
	}
	return results, errors.Join(errs...)
}

// dropPrograms removes compiled programs, for they are in layers now. That fails
// only where the next build can do it.
func (b *builder) dropPrograms() {
	for _, c := range b.plan.Components {
		for _, l := range c.Layers {
			if l.build != nil {
				os.RemoveAll(b.store.path("programs", cacheKey(l.build)))
			}
		}
	}
}

func inOrder(recipes []*Recipe, results map[string]Result) []Result {
	var out []Result
	for _, r := range recipes {
		if result, ok := results[r.Metadata.Name]; ok {
			out = append(out, result)
		}
	}
	return out
}
