package images

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// Plan says what a build consists of, before anything is looked up or done. It
// is a pure function of recipes and lock.
type Plan struct {
	Platform string
	Epoch    time.Time
	// Components are in an order in which each base comes before what stands on it.
	Components []*PlannedComponent
}

// PlannedComponent is one image to be.
type PlannedComponent struct {
	Recipe *Recipe
	Base   *PlannedComponent // nil for an image on nothing
	Layers []PlannedLayer
	Labels map[string]string

	files []Material
}

// Name is the component's name.
func (c *PlannedComponent) Name() string { return c.Recipe.Metadata.Name }

// PlannedLayer is one layer to be.
type PlannedLayer struct {
	Kind string // go, debian, files, moduleFiles, c, self, manifests
	// Key stands for every input of the layer.
	Key string

	layer  *Layer // nil for manifests
	build  *goBuild
	debian *LockedDebian
}

// NewPlan works out the order of the components and the key of every layer. An
// input that is not in the lock is an *InputError; all of them are reported.
func NewPlan(recipes []*Recipe, lock *Lockfile, epoch time.Time) (*Plan, error) {
	order, problems := Order(recipes)
	var errs []error
	for _, p := range problems {
		errs = append(errs, p)
	}
	p := &Plan{Platform: lock.Platform, Epoch: epoch}
	byName := map[string]*PlannedComponent{}
	for _, r := range order {
		c := &PlannedComponent{Recipe: r, Base: byName[r.From]}
		if err := p.component(c, lock); err != nil {
			errs = append(errs, fmt.Errorf("planning image %q: %w", c.Name(), err))
		}
		byName[c.Name()] = c
		p.Components = append(p.Components, c)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return p, nil
}

func (p *Plan) component(c *PlannedComponent, lock *Lockfile) error {
	var errs []error
	for i := range c.Recipe.Layers {
		layer, err := p.layer(c, &c.Recipe.Layers[i], lock)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		c.Layers = append(c.Layers, layer)
	}
	if c.Recipe.HasManifests() {
		digest, err := c.file(lock, manifestsDir)
		errs = append(errs, err)
		c.Layers = append(c.Layers, PlannedLayer{Kind: manifestsDir, Key: p.key(manifestsDir, digest)})
	}
	var err error
	c.Labels, err = labels(c.Recipe, lock)
	return errors.Join(append(errs, err)...)
}

// file looks a file or folder of the component up in the lock.
func (c *PlannedComponent) file(lock *Lockfile, path string) (string, error) {
	digest, err := lock.file(c.Name(), path)
	if err == nil {
		c.files = append(c.files, Material{Name: c.Name() + "/" + path, URI: "file:" + c.Name() + "/" + path, Digest: map[string]string{"slipwayTree": hexOf(digest)}})
	}
	return digest, err
}

func (p *Plan) layer(c *PlannedComponent, l *Layer, lock *Lockfile) (PlannedLayer, error) {
	out := PlannedLayer{layer: l}
	var err error
	var inputs any
	switch {
	case l.Go != nil:
		out.Kind = "go"
		out.build, err = newGoBuild(lock, l.Go)
		inputs = []any{out.build, l.Go.Programs}
	case l.Debian != nil:
		out.Kind = "debian"
		if out.debian, err = lock.debian(l.Debian); err == nil {
			inputs = []any{out.debian.Closure, l.Debian.Remove, l.Debian.Commands, lock.Toolchain.Mmdebstrap}
		}
	case l.Files != nil:
		out.Kind = "files"
		digest := ""
		if l.Files.From != "" {
			digest, err = c.file(lock, l.Files.From)
		}
		inputs = []any{l.Files, digest}
	case l.ModuleFiles != nil:
		out.Kind = "moduleFiles"
		var m *LockedModule
		if m, err = lock.module(l.ModuleFiles.Module, l.ModuleFiles.Version); err == nil {
			c.files = append(c.files, moduleMaterial(m))
			inputs = []any{l.ModuleFiles, m.Sum}
		}
	case l.C != nil:
		out.Kind = "c"
		inputs, err = c.cInputs(l.C, lock)
	case l.Self != nil:
		out.Kind = "self"
		if lock.Self == "" {
			err = &InputError{Input: "the slipway executable", Found: "it in a recipe"}
		}
		c.files = append(c.files, Material{Name: "slipway", URI: "file:slipway", Digest: map[string]string{"sha256": hexOf(lock.Self)}})
		inputs = []any{l.Self, lock.Self}
	}
	out.Key = p.key(out.Kind, inputs)
	return out, err
}

func (c *PlannedComponent) cInputs(l *CLayer, lock *Lockfile) (any, error) {
	if l.Module != "" {
		m, err := lock.module(l.Module, l.Version)
		if err != nil {
			return nil, err
		}
		c.files = append(c.files, moduleMaterial(m))
		return []any{l, m.Sum, lock.Toolchain.C.only(nil)}, nil
	}
	inputs := []any{l, lock.Toolchain.C.only(nil)}
	for _, s := range l.Sources {
		digest, err := c.file(lock, s)
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, digest)
	}
	return inputs, nil
}

// key is the name of a layer in the cache.
func (p *Plan) key(kind string, inputs any) string {
	return cacheKey([]any{kind, layerFormat, compressor(), compressionLevel, p.Platform, p.Epoch.Unix(), inputs})
}

// ImageKey stands for every input of a component's image. The base's digest
// ("" for none) stands for all that went into the base.
func (p *Plan) ImageKey(c *PlannedComponent, base string) string {
	keys := make([]string, len(c.Layers))
	for i, l := range c.Layers {
		keys[i] = l.Key
	}
	return cacheKey([]any{"image", layerFormat, p.Platform, p.Epoch.Unix(), c.Name(), c.Recipe.Image, c.Labels, c.Recipe.From, base, keys})
}

// compressor is the version of the module that compresses layers: another one
// may give other bytes.
func compressor() string {
	const path = "github.com/klauspost/compress"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return path
	}
	for _, d := range info.Deps {
		if d.Path == path {
			if d.Replace != nil {
				d = d.Replace
			}
			return d.Path + "@" + d.Version
		}
	}
	return path
}

// labels are what the image says about itself, in the words that release tools read.
func labels(r *Recipe, lock *Lockfile) (map[string]string, error) {
	out := map[string]string{"org.opencontainers.image.title": r.Metadata.Name}
	if r.Metadata.Description != "" {
		out["org.opencontainers.image.description"] = r.Metadata.Description
	}
	source, rev, version, err := origin(r, lock)
	if err != nil {
		return nil, err
	}
	for key, value := range map[string]string{
		"io.openshift.build.source-location": source, "org.opencontainers.image.source": source,
		"io.openshift.build.commit.id": rev, "org.opencontainers.image.revision": rev,
		"org.opencontainers.image.version": version,
	} {
		if value != "" {
			out[key] = value
		}
	}
	if versions := r.Announces(); versions != "" {
		out["io.openshift.build.versions"] = versions
	}
	if r.HasManifests() {
		out["io.openshift.release.operator"] = "true"
	}
	return out, nil
}

// Announces are the recipe's versions as the label io.openshift.build.versions has
// them: "kubectl=1.36.3,kubernetes=1.36.3".
func (r *Recipe) Announces() string {
	var versions []string
	for _, name := range slices.Sorted(maps.Keys(r.Versions)) {
		versions = append(versions, name+"="+strings.TrimPrefix(r.Versions[name], "v"))
	}
	return strings.Join(versions, ",")
}

// origin is where a component's source comes from: what the recipe says, else
// what is known of its first Go module. A version is said only where all of the
// component's programs have the same.
func origin(r *Recipe, lock *Lockfile) (source, rev, version string, err error) {
	source, rev = r.Source, r.Revision
	for i := range r.Layers {
		path, want := r.Layers[i].sourceModule()
		if path == "" {
			continue
		}
		m, err := lock.module(path, want)
		if err != nil {
			return "", "", "", err
		}
		source = cmp.Or(source, m.Repository, "https://"+m.Module)
		rev = cmp.Or(rev, m.Commit)
		if number := strings.TrimPrefix(m.Version, "v"); version == "" {
			version = number
		} else if version != number {
			return source, rev, "", nil
		}
	}
	return source, rev, version, nil
}

// sourceModule is the Go module that the programs of a layer are compiled from.
func (l *Layer) sourceModule() (path, version string) {
	switch {
	case l.Go != nil:
		return l.Go.Module, l.Go.Version
	case l.C != nil:
		return l.C.Module, l.C.Version
	}
	return "", ""
}

func moduleMaterial(m *LockedModule) Material {
	p := goPackage(m.Module, m.Version, m.Sum)
	return Material{Name: m.Module, URI: p.PURL, Digest: p.Digest}
}

func hexOf(digest string) string { return strings.TrimPrefix(digest, "sha256:") }
