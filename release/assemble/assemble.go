package assemble

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/manifests"
)

// Component is one image of the release.
type Component struct {
	Name  string
	Image v1.Image
	// Reference is the canonical pull spec by digest that the payload names.
	Reference string
}

// Options says what is assembled.
type Options struct {
	Version    release.Version
	Components []Component
	// Base is the component whose layers and configuration the payload image gets.
	Base string
	// Repository is the distribution's canonical one, e.g.
	// registry.slipway.internal/skiff. Below it, <component> in a manifest means that
	// component, and the payload's own reference is <Repository>/release@<digest>.
	// Empty: only images that components list in their image-references are substituted.
	Repository string
	// Previous may upgrade to this release, which may upgrade to Next.
	Previous, Next []release.Version
	// Metadata goes into release-metadata, e.g. a URL or the lock's digest.
	Metadata map[string]string
	// Annotations are added to those of the image manifest.
	Annotations map[string]string
	// Epoch is the time of all that the image holds. Zero: the second in the
	// version's name, or 1970-01-01 when it has none.
	Epoch time.Time
	// Docker writes Docker schema 2 media types in place of OCI's.
	Docker bool
	// Jobs bounds how many components are read at once; default 8.
	Jobs int
}

func (o Options) withDefaults() Options {
	if o.Jobs < 1 {
		o.Jobs = 8
	}
	if o.Epoch.IsZero() {
		o.Epoch, _ = o.Version.Time()
	}
	if o.Epoch.IsZero() {
		o.Epoch = time.Unix(0, 0)
	}
	o.Epoch = o.Epoch.UTC().Truncate(time.Second)
	o.Components = slices.Clone(o.Components)
	slices.SortFunc(o.Components, func(a, b Component) int { return strings.Compare(a.Name, b.Name) })
	return o
}

// Assemble makes the payload image and reads it back as clusters will. All that
// is wrong with any component or manifest is reported at once; problems of
// manifests are of type manifests.Problems, with "<component>/<file>" for the file.
func Assemble(ctx context.Context, options Options) (v1.Image, *release.Payload, error) {
	o := options.withDefaults()
	if err := o.check(); err != nil {
		return nil, nil, fmt.Errorf("assembling release %q: %w", o.Version, err)
	}
	img, payload, err := o.assemble(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("assembling release %q: %w", o.Version, err)
	}
	return img, payload, nil
}

func (o Options) assemble(ctx context.Context) (v1.Image, *release.Payload, error) {
	harvests, err := o.harvest(ctx)
	if err != nil {
		return nil, nil, err
	}
	refs := o.references(harvests)
	files, err := o.manifests(refs, harvests)
	if err != nil {
		return nil, nil, err
	}
	meta, err := o.metadataFiles(refs)
	if err != nil {
		return nil, nil, err
	}
	img, err := o.image(append(meta, files...))
	if err != nil {
		return nil, nil, err
	}
	payload, err := release.Load(ctx, img)
	if err != nil {
		return nil, nil, err
	}
	if o.Repository != "" {
		payload.Reference = o.Repository + "/release@" + payload.Digest.String()
	}
	return img, payload, nil
}

// check reports what is wrong with the options themselves.
func (o Options) check() error {
	var problems []error
	if o.Version.IsZero() {
		problems = append(problems, errors.New("the version is missing"))
	}
	if len(o.Components) == 0 {
		problems = append(problems, errors.New("there are no components"))
	}
	base := false
	for i, c := range o.Components {
		base = base || c.Name == o.Base
		if i > 0 && c.Name == o.Components[i-1].Name {
			problems = append(problems, fmt.Errorf("component %q is given twice", c.Name))
		}
		if err := c.check(); err != nil {
			problems = append(problems, fmt.Errorf("component %q: %w", c.Name, err))
		}
	}
	if !base {
		problems = append(problems, fmt.Errorf("base %q is not among the components", o.Base))
	}
	return errors.Join(problems...)
}

func (c Component) check() error {
	if c.Image == nil {
		return errors.New("there is no image")
	}
	ref, err := name.NewDigest(c.Reference)
	if err != nil {
		return fmt.Errorf("reference %q is not pinned by digest: %w", c.Reference, err)
	}
	digest, err := c.Image.Digest()
	if err != nil {
		return fmt.Errorf("reading its digest: %w", err)
	}
	if ref.DigestStr() != digest.String() {
		return fmt.Errorf("reference %q does not name the image given, whose digest is %s", c.Reference, digest)
	}
	return nil
}

// annotationLabels are copied from a component's labels to its tag.
var annotationLabels = []string{
	release.LabelCommit, release.LabelCommitRef, release.LabelSource, release.LabelVersions, release.LabelVersionDisplayNames,
}

func (o Options) references(harvests []harvest) release.ImageReferences {
	refs := release.ImageReferences{Name: o.Version.String(), Created: o.Epoch}
	if t, ok := o.Version.Time(); ok {
		refs.Created = t
	}
	for i, c := range o.Components {
		annotations := map[string]string{}
		for _, label := range annotationLabels {
			if value, ok := harvests[i].labels[label]; ok {
				annotations[label] = value
			}
		}
		refs.Tags = append(refs.Tags, release.ImageTag{Name: c.Name, Image: c.Reference, Annotations: annotations})
	}
	return refs
}

func (o Options) metadataFiles(refs release.ImageReferences) ([]release.File, error) {
	references, err := refs.Marshal()
	if err != nil {
		return nil, err
	}
	metadata, err := release.Metadata{
		Version: o.Version, Previous: o.Previous, Next: o.Next, Values: o.Metadata,
	}.Marshal()
	if err != nil {
		return nil, err
	}
	return []release.File{{Name: release.ReferencesFile, Data: references}, {Name: release.MetadataFile, Data: metadata}}, nil
}

// manifests substitutes, names and checks the manifests of all components.
func (o Options) manifests(refs release.ImageReferences, harvests []harvest) ([]release.File, error) {
	versions, err := refs.ComponentVersions()
	if err != nil {
		return nil, err
	}
	c := collection{
		options: o, refs: refs, versions: versions,
		owners: map[string]string{},
	}
	for i, h := range harvests {
		c.add(o.Components[i].Name, h)
	}
	if err := c.problems.Err(); err != nil {
		return nil, err
	}
	objects, err := manifests.ParseAll(c.files)
	if err != nil {
		return nil, c.attribute(err)
	}
	images := make(map[string]bool, len(refs.Tags))
	for _, t := range refs.Tags {
		images[t.Image] = true
	}
	if err := manifests.CheckImages(objects, func(ref string) bool { return images[ref] }); err != nil {
		return nil, c.attribute(err)
	}
	return c.files, nil
}
