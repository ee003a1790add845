package premerge

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/distros"
	"github.com/slipway-release/slipway/images"
	"github.com/slipway-release/slipway/internal/progress"
	"github.com/slipway-release/slipway/internal/spelling"
	"github.com/slipway-release/slipway/pipelines/report"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/assemble"
	"github.com/slipway-release/slipway/release/assemble/input"
)

// change is a component that differs from the base's.
type change struct {
	report.Change
	// recipe says how its image is built; nil for an image that is taken as it is.
	recipe *images.Recipe
	// image is one in files, which must be pushed first; nil for all others.
	image v1.Image
	// given says that the image was named, and by its reference is no component's.
	given bool
}

// component is what a payload is assembled of.
func (ch *change) component() assemble.Component {
	a := assemble.Component{Name: ch.Component, Reference: ch.Image, Image: ch.image, Tag: release.ImageTag{Name: ch.Component}}
	if ch.given {
		a.Tag.Annotations = map[string]string{input.AnnotationOverride: "true"}
	}
	return a
}

// resolve opens all that sources name, without building anything.
func (c *check) resolve(ctx context.Context, item *progress.Item) (string, error) {
	if err := c.checkNames(); err != nil {
		return "", err
	}
	if len(c.Sources) == 0 {
		return c.compareCheckout()
	}
	f := finder{checkout: c.Checkout, distro: c.Distribution.Name, cache: c.State.Cache("components-of-others")}
	folders := map[string]distros.Folder{}
	var problems []error
	for _, s := range c.Sources {
		item.Update(s.Component)
		ch := &change{Change: report.Change{Component: s.Component, Source: s.Named}}
		c.changes = append(c.changes, ch)
		if s.Image != "" {
			problems = append(problems, c.takeImage(ctx, ch, s))
			continue
		}
		if c.Distribution.Component(s.Component) == nil {
			problems = append(problems, wrong(fmt.Errorf("checking component %q: it is in release %s but not in distribution %q, which says how it is built; give an image of it", s.Component, c.Base.Payload.Version, c.Distribution.Path)))
			continue
		}
		folder, origin, err := f.folder(ctx, s)
		if err != nil {
			problems = append(problems, wrong(err))
			continue
		}
		ch.Origin, folders[s.Component] = origin, folder
	}
	if err := errors.Join(problems...); err != nil {
		return "", err
	}
	return c.overlay(folders)
}

// overlay lays folders over the distribution, and adds what stands on their images.
func (c *check) overlay(folders map[string]distros.Folder) (string, error) {
	var err error
	if c.distribution, err = c.Distribution.With(folders); err != nil {
		return "", wrong(err)
	}
	var built []string
	for _, ch := range c.changes {
		if _, ok := folders[ch.Component]; ok {
			ch.recipe = c.distribution.Component(ch.Component)
			built = append(built, ch.Component)
		}
	}
	for _, name := range images.StandingOn(c.distribution.Components, built...) {
		_, inBase := c.Base.Payload.Image(name)
		named := slices.ContainsFunc(c.changes, func(ch *change) bool { return ch.Component == name })
		if inBase && !named {
			c.changes = append(c.changes, &change{
				Change: report.Change{Component: name, Source: "stands on what changed"}, recipe: c.distribution.Component(name),
			})
		}
	}
	return c.names(), nil
}

func (c *check) names() string {
	var names []string
	for _, ch := range c.changes {
		names = append(names, ch.Component)
	}
	return strings.Join(append(names, c.removed...), ", ")
}

// takeImage pins an image that is taken as it is.
func (c *check) takeImage(ctx context.Context, ch *change, s Source) error {
	img, reference, err := c.Open(ctx, s.Image)
	if err != nil {
		return fmt.Errorf("reading component %q from %s: %w", s.Component, s.Named, err)
	}
	ch.Image, ch.given = reference, true
	if reference == "" {
		digest, err := img.Digest()
		if err != nil {
			return fmt.Errorf("reading component %q from %s: %w", s.Component, s.Named, err)
		}
		ch.Image, ch.given = c.Distribution.Repository+"/"+s.Component+"@"+digest.String(), false
		ch.image = img
	}
	ch.Origin = digestOf(ch.Image)
	return nil
}

// compareCheckout takes every component of the checkout for changed until its image
// is known; before that, those are told of whose manifests differ.
func (c *check) compareCheckout() (string, error) {
	for _, r := range c.Distribution.Components {
		c.changes = append(c.changes, &change{Change: report.Change{Component: r.Metadata.Name, Source: "the checkout"}, recipe: r})
	}
	for _, name := range c.Base.Payload.Components() {
		if c.Distribution.Component(name) == nil {
			c.removed = append(c.removed, name)
		}
	}
	return "all that differs from " + c.Base.Payload.Version.String(), nil
}

// checkNames finds components that the base does not have.
func (c *check) checkNames() error {
	known := c.Base.Payload.Components()
	var problems []error
	for _, s := range c.Sources {
		if slices.Contains(known, s.Component) {
			continue
		}
		hint := "it has " + strings.Join(known, ", ")
		if close := near(s.Component, known); len(close) > 0 {
			hint = "did you mean " + strings.Join(close, " or ") + "?"
		}
		problems = append(problems, fmt.Errorf("checking component %q: release %s has no such component; %s", s.Component, c.Base.Payload.Version, hint))
	}
	return wrong(errors.Join(problems...))
}

// near returns the names that a person may have meant, the nearest first: a few
// letters away, or with the one in the other.
func near(name string, known []string) []string {
	type candidate struct {
		name     string
		distance int
	}
	var found []candidate
	for _, k := range known {
		d := spelling.Distance(name, k)
		if strings.Contains(k, name) || strings.Contains(name, k) {
			d = min(d, 2)
		}
		if d <= max(2, len(name)/3) {
			found = append(found, candidate{k, d})
		}
	}
	slices.SortStableFunc(found, func(a, b candidate) int { return a.distance - b.distance })
	var names []string
	for _, f := range found[:min(len(found), 3)] {
		names = append(names, f.name)
	}
	return names
}

// manifestsFolder is where a component's folder has what it brings into the release.
const manifestsFolder = "manifests"

// manifestsOf reads the manifests of a component's folder, image-references included.
// The slice is never nil.
func manifestsOf(r *images.Recipe) ([]release.File, error) {
	files := []release.File{}
	entries, err := fs.ReadDir(r.Files, manifestsFolder)
	if errors.Is(err, fs.ErrNotExist) {
		return files, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the manifests of component %q: %w", r.Metadata.Name, err)
	}
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		data, err := fs.ReadFile(r.Files, path.Join(manifestsFolder, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("reading the manifests of component %q: %w", r.Metadata.Name, err)
		}
		files = append(files, release.File{Name: e.Name(), Data: data})
	}
	return files, nil
}

// sourceOf is the file of a component's folder, for people.
func (ch *change) sourceOf(file string) string {
	if ch.recipe == nil {
		return ""
	}
	return filepath.ToSlash(filepath.Join(ch.recipe.Dir, manifestsFolder, file))
}
