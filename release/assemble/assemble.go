package assemble

import (
	"context"
	"encoding/json"
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
	Name string
	// Image is the component's image. Nil: it is read from Options.Source by Reference.
	Image v1.Image
	// Reference is the canonical pull spec by digest that the payload names. It may
	// name a multi-platform index; Options.Platform says which image of it counts.
	Reference string
	// Tag is what an input said of the component besides its image. Annotations of
	// the image's labels stand over those given here.
	Tag release.ImageTag
	// Files are what /manifests holds, image-references included, where somebody
	// extracted it before. Not nil: the image is not read at all.
	Files []release.File
}

// Source is where component images are read: a registry or an OCI layout.
type Source interface {
	Descriptor(ctx context.Context, ref string) (v1.Descriptor, error)
	Image(ctx context.Context, ref string) (v1.Image, error)
	Index(ctx context.Context, ref string) (v1.ImageIndex, error)
}

// Options says what is assembled.
type Options struct {
	Version    release.Version
	Components []Component
	// Source reads components that come without Image.
	Source Source
	// Platform is the image taken from multi-platform components; default linux/amd64.
	Platform v1.Platform
	// Cache keeps what was read of images; nil for none.
	Cache *Cache
	// Base is the component whose layers and configuration the payload image gets.
	Base string
	// BaseImage stands in place of the image of Base, which may be empty then.
	// BaseDigest, when set, is recorded as its digest.
	BaseImage  v1.Image
	BaseDigest v1.Hash
	// Repository is the distribution's canonical one, e.g.
	// registry.slipway.internal/skiff. Below it, <component> in a manifest means that
	// component, and the payload's own reference is <Repository>/release@<digest>.
	// Empty: only images that components list in their image-references are substituted.
	Repository string
	// Previous may upgrade to this release, which may upgrade to Next.
	Previous, Next []release.Version
	// Metadata goes into release-metadata, e.g. a URL or the lock's digest;
	// MetadataOther are values that are no strings.
	Metadata      map[string]string
	MetadataOther map[string]json.RawMessage
	// ComponentVersions stand in place of what images announce under the same key;
	// DisplayNames say what a key's version is a version of.
	ComponentVersions, DisplayNames map[string]string
	// StreamAnnotations are those of the file image-references itself.
	StreamAnnotations map[string]string
	// Annotations are added to those of the image manifest.
	Annotations map[string]string
	// Exclude drops components. Prune drops those that bring no manifests and that
	// no manifest names, unless Include lists them.
	Exclude, Include []string
	Prune            bool
	// AllowMissing leaves images in place that a component lists for a component
	// which is not in the payload.
	AllowMissing bool
	// SkipChecks makes warnings of what is wrong with manifests as such: documents
	// that are no objects, duplicates, names of files, images that are not pinned.
	// A second file of one name gets _2 behind its name, as oc does it.
	SkipChecks bool
	// Epoch is the time of all that the image holds. Zero: the second in the
	// version's name, or 1970-01-01 when it has none.
	Epoch time.Time
	// Created is the time in image-references. Zero: that of the version's name, else Epoch.
	Created time.Time
	// Docker writes Docker schema 2 media types in place of OCI's.
	Docker bool
	// Jobs bounds how many components are read at once; default 8.
	Jobs int
	// Progress hears how many components were read; may be nil. Calls may overlap.
	Progress func(read, all int)
	// MultiPlatform says that Platform chooses among the images of an index, and that a
	// component without one may stay if it brings no manifests. Else the source chooses.
	MultiPlatform bool
	// Architectures are those that MakeIndex makes payloads for, on Linux; it is an error
	// that the base or any component lacks one. None: those of the base.
	Architectures []string
}

// Result is an assembled payload.
type Result struct {
	Image   v1.Image
	Payload *release.Payload
	// Warnings are what was wrong and let pass, as AllowMissing and SkipChecks say.
	Warnings []string
	// Components are those in the payload, with Files as they came, image-references included.
	Components []Component
}

func (o Options) withDefaults() Options {
	if o.Jobs < 1 {
		o.Jobs = 8
	}
	if o.Platform.OS == "" {
		o.Platform = v1.Platform{OS: "linux", Architecture: "amd64"}
	}
	if o.Epoch.IsZero() {
		o.Epoch, _ = o.Version.Time()
	}
	if o.Epoch.IsZero() {
		o.Epoch = time.Unix(0, 0)
	}
	o.Epoch = o.Epoch.UTC().Truncate(time.Second)
	if o.Created.IsZero() {
		o.Created, _ = o.Version.Time()
	}
	if o.Created.IsZero() {
		o.Created = o.Epoch
	}
	components := make([]Component, 0, len(o.Components))
	for _, c := range o.Components {
		if !slices.Contains(o.Exclude, c.Name) {
			components = append(components, c)
		}
	}
	slices.SortFunc(components, func(a, b Component) int { return strings.Compare(a.Name, b.Name) })
	o.Components = components
	return o
}

// Assemble is Make for a caller who has no use for warnings.
func Assemble(ctx context.Context, options Options) (v1.Image, *release.Payload, error) {
	r, err := Make(ctx, options)
	if err != nil {
		return nil, nil, err
	}
	return r.Image, r.Payload, nil
}

// Make makes the payload image and reads it back as clusters will. All that
// is wrong with any component or manifest is reported at once; problems of
// manifests are of type manifests.Problems, with "<component>/<file>" for the file.
func Make(ctx context.Context, options Options) (*Result, error) {
	o := options.withDefaults()
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("assembling release %q: %w", o.Version, err)
	}
	result, err := o.make(ctx)
	if err != nil {
		return nil, fmt.Errorf("assembling release %q: %w", o.Version, err)
	}
	return result, nil
}

func (o Options) make(ctx context.Context) (*Result, error) {
	harvests, failed, err := o.harvest(ctx)
	if err != nil {
		return nil, err
	}
	base, err := o.base(ctx, harvests)
	failed = errors.Join(failed, err)
	o, harvests = o.pruned(harvests)
	refs := o.references(harvests)
	files, warnings, err := o.manifests(refs, harvests, failed != nil)
	if err := errors.Join(failed, err); err != nil {
		return nil, err
	}
	meta, err := o.metadataFiles(refs)
	if err != nil {
		return nil, err
	}
	img, err := o.image(base, append(meta, files...))
	if err != nil {
		return nil, err
	}
	payload, err := release.Load(ctx, img)
	if err != nil {
		return nil, err
	}
	if o.Repository != "" {
		payload.Reference = o.Repository + "/release@" + payload.Digest.String()
	}
	result := &Result{Image: img, Payload: payload, Warnings: warnings, Components: o.Components}
	for i := range result.Components {
		result.Components[i].Files = harvests[i].raw
	}
	return result, nil
}

// base returns the image that the payload stands on; nil when the component
// that it should be could not be read, which is reported elsewhere.
func (o Options) base(ctx context.Context, harvests []harvest) (v1.Image, error) {
	if o.BaseImage != nil {
		return o.BaseImage, nil
	}
	for i, c := range o.Components {
		if c.Name != o.Base || (harvests[i].image == nil && c.Files == nil) {
			continue
		}
		if c.Files == nil {
			return harvests[i].image(ctx)
		}
		if c.Image == nil && o.Source == nil {
			return nil, fmt.Errorf("reading base %q: there is no image", o.Base)
		}
		img, _, err := o.open(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("reading base %q: %w", o.Base, err)
		}
		return img.open(ctx)
	}
	return nil, nil
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
	base := o.BaseImage != nil
	for i, c := range o.Components {
		base = base || c.Name == o.Base
		if i > 0 && c.Name == o.Components[i-1].Name {
			problems = append(problems, fmt.Errorf("component %q is given twice", c.Name))
		}
		if err := o.checkComponent(c); err != nil {
			problems = append(problems, fmt.Errorf("component %q: %w", c.Name, err))
		}
	}
	switch {
	case !base && slices.Contains(o.Exclude, o.Base):
		problems = append(problems, fmt.Errorf("base %q is excluded; name another base or leave it in", o.Base))
	case !base:
		problems = append(problems, fmt.Errorf("base %q is not among the components", o.Base))
	}
	return errors.Join(append(problems, checkVersionKeys(o.ComponentVersions, o.DisplayNames))...)
}

func (o Options) checkComponent(c Component) error {
	if c.Image == nil && o.Source == nil && c.Files == nil {
		return errors.New("there is no image")
	}
	ref, err := name.NewDigest(c.Reference)
	if err != nil {
		return fmt.Errorf("reference %q is not pinned by digest: %w", c.Reference, err)
	}
	if c.Image == nil {
		return nil
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
	refs := release.ImageReferences{Name: o.Version.String(), Created: o.Created, Annotations: o.streamAnnotations()}
	for i, c := range o.Components {
		tag := c.Tag
		known := tag.Annotations
		tag.Name, tag.Image, tag.Annotations = c.Name, c.Reference, map[string]string{}
		for key, value := range known {
			tag.Annotations[key] = value
		}
		for _, label := range annotationLabels {
			if value, ok := harvests[i].labels[label]; ok {
				tag.Annotations[label] = value
			}
		}
		if c.Tag.Name != "" && known == nil && len(tag.Annotations) == 0 {
			tag.Annotations = nil // as the input has it
		}
		refs.Tags = append(refs.Tags, tag)
	}
	return refs
}

func (o Options) metadataFiles(refs release.ImageReferences) ([]release.File, error) {
	references, err := refs.Marshal()
	if err != nil {
		return nil, err
	}
	metadata, err := release.Metadata{
		Version: o.Version, Previous: o.Previous, Next: o.Next, Values: o.Metadata, Other: o.MetadataOther,
	}.Marshal()
	if err != nil {
		return nil, err
	}
	return []release.File{{Name: release.ReferencesFile, Data: references}, {Name: release.MetadataFile, Data: metadata}}, nil
}

// manifests substitutes, names and checks the manifests of all components.
// partial says that some components could not be read, so that what they would
// have said is not missed here a second time.
func (o Options) manifests(refs release.ImageReferences, harvests []harvest, partial bool) ([]release.File, []string, error) {
	versions, err := refs.ComponentVersions()
	if err != nil {
		return nil, nil, err
	}
	c := &collection{options: o, refs: refs, versions: versions, partial: partial, owners: map[string]string{}, missing: map[string]bool{}}
	c.addAll(harvests)
	if err := c.check(); err != nil {
		return nil, nil, err
	}
	return c.files, c.warnings, nil
}

// MadeBy is what the last entry of a payload image's history names as its maker.
const MadeBy = "slipway"

// RepositoryOf returns the canonical repository that a payload of Slipway's was
// assembled with, Options.Repository: that below which every component has its own name. It is
// empty for payloads of others and for components at different places.
func RepositoryOf(img v1.Image, p *release.Payload) (string, error) {
	config, err := img.ConfigFile()
	if err != nil {
		return "", fmt.Errorf("reading the payload's configuration: %w", err)
	}
	if n := len(config.History); n == 0 || config.History[n-1].CreatedBy != MadeBy {
		return "", nil
	}
	repository := ""
	for _, t := range p.References.Tags {
		if t.Annotations[overrideMark] != "" {
			continue
		}
		own, ok := strings.CutSuffix(manifests.RepositoryOf(t.Image), "/"+t.Name)
		if !ok || (repository != "" && own != repository) {
			return "", nil
		}
		repository = own
	}
	return repository, nil
}

// overrideMark is the annotation of a tag whose image was named by a mapping.
const overrideMark = "io.openshift.release.override"
