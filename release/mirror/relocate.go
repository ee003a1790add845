package mirror

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Relocation is a copy of component images ahead of the payload that will name them
// where the copies are.
type Relocation struct {
	options Options
	version string
	items   map[string]*item
}

// Relocate plans the copy of images, by component and named by digest, to a place of
// ToRegistry. Tags are those of a release's copy: architecture is the payload's, as
// OCI names it, or "multi". Of the options, Source, To, Jobs, Overwrite and
// Progress count; there is no payload yet whose signature could be verified.
func Relocate(o Options, version, architecture string, images map[string]string) (*Relocation, error) {
	if o.Progress == nil {
		o.Progress = &Progress{}
	}
	r := &Relocation{options: o, version: version, items: map[string]*item{}}
	var problems []error
	for _, component := range slices.Sorted(maps.Keys(images)) {
		pullspec := images[component]
		_, digest, _ := strings.Cut(pullspec, "@")
		hash, err := v1.NewHash(digest)
		if err != nil {
			problems = append(problems, fmt.Errorf("component %s: reading image %q: %w", component, pullspec, errNotPinned))
			continue
		}
		i := &item{component: component, pullspec: pullspec, digest: hash}
		if i.repository, i.tag, err = o.To.place(version, archName(architecture), component); err != nil {
			problems = append(problems, fmt.Errorf("component %s: %w", component, err))
			continue
		}
		r.items[component] = i
	}
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("planning the copy of release %q's images: %w", version, err)
	}
	return r, nil
}

// Reference is a component's pull spec where its copy will be, by the same digest;
// "" for a component that was not named.
func (r *Relocation) Reference(component string) string {
	i := r.items[component]
	if i == nil {
		return ""
	}
	return i.repository + "@" + i.digest.String()
}

// Run copies the images of these components, all platforms of each, with what was
// said about them, as Run of the package does.
func (r *Relocation) Run(ctx context.Context, components []string) ([]Image, error) {
	var items []*item
	for _, component := range components {
		if i := r.items[component]; i != nil {
			items = append(items, i)
		}
	}
	r.options.Progress.Images.Store(int64(len(items)))
	c := newCopier(r.options)
	images, err := c.components(ctx, items, func(ctx context.Context, i *item) (string, manifest, error) {
		m, err := c.read(ctx, i.pullspec)
		return repositoryOf(i.pullspec), m, err
	})
	if err == nil {
		err = r.options.To.finish(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("copying the images of release %q: %w", r.version, err)
	}
	return images, nil
}
