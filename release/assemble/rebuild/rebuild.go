package rebuild

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/assemble"
	"github.com/slipway-release/slipway/release/assemble/input"
)

// Original is the payload to be rebuilt.
type Original struct {
	Image v1.Image      // nil when Index is not
	Index v1.ImageIndex // a multi-platform payload
	// Components are what a signed statement says the payload was made of, by
	// name; nil: the payload's own image-references are believed.
	Components map[string]string
}

// Options say how components are read.
type Options struct {
	Source   assemble.Source
	Cache    *assemble.Cache
	Jobs     int
	Progress func(read, all int)
}

// Rebuild assembles a payload again and compares the result with it. A
// payload that cannot be assembled any more, because a component is gone, is an error.
func Rebuild(ctx context.Context, o Original, options Options) (*Report, error) {
	if o.Index == nil {
		part, _, _, err := one(ctx, o.Image, o.Components, v1.Platform{}, options)
		if err != nil {
			return nil, err
		}
		return reportOf(part), nil
	}
	return rebuildIndex(ctx, o, options)
}

func rebuildIndex(ctx context.Context, o Original, options Options) (*Report, error) {
	manifest, err := o.Index.IndexManifest()
	if err != nil {
		return nil, fmt.Errorf("reading the payload's index: %w", err)
	}
	report := &Report{SameContent: true}
	var platforms []v1.Platform
	var rebuilt []v1.Image
	var last assemble.Options
	for _, d := range manifest.Manifests {
		if d.Platform == nil || !d.MediaType.IsImage() {
			continue
		}
		img, err := o.Index.Image(d.Digest)
		if err != nil {
			return nil, fmt.Errorf("reading the payload for %s: %w", d.Platform, err)
		}
		part, again, opts, err := one(ctx, img, o.Components, *d.Platform, options)
		if err != nil {
			return nil, fmt.Errorf("rebuilding the payload for %s: %w", d.Platform, err)
		}
		part.Platform = d.Platform.String()
		report.add(part)
		platforms, rebuilt, last = append(platforms, *d.Platform), append(rebuilt, again), opts
	}
	if len(rebuilt) == 0 {
		return nil, errors.New("reading the payload's index: it lists no image of any platform")
	}
	last.Docker = manifest.MediaType == types.DockerManifestList
	index, err := assemble.NewIndex(last, platforms, rebuilt)
	if err != nil {
		return nil, err
	}
	if err := report.indexes(o.Index, index); err != nil {
		return nil, err
	}
	return report, nil
}

// one rebuilds the payload of one platform.
func one(ctx context.Context, img v1.Image, components map[string]string, platform v1.Platform, options Options) (*Part, v1.Image, assemble.Options, error) {
	var opts assemble.Options
	p, err := release.Load(ctx, img)
	if err != nil {
		return nil, nil, opts, err
	}
	opts, notes, err := recipe(ctx, img, p, components, platform, options)
	if err != nil {
		return nil, nil, opts, err
	}
	made, err := assemble.Make(ctx, opts)
	if err != nil {
		return nil, nil, opts, err
	}
	part, err := Compare(ctx, img, made.Image)
	if err != nil {
		return nil, nil, opts, err
	}
	part.Notes = append(part.Notes, notes...)
	return part, made.Image, opts, nil
}

// recipe says how a payload was assembled, as far as it tells. What was let pass
// then is let pass again: it changes no byte.
func recipe(ctx context.Context, img v1.Image, p *release.Payload, components map[string]string, platform v1.Platform, options Options) (assemble.Options, []string, error) {
	set := input.Recorded(p)
	var notes []string
	if components != nil {
		set.Components, notes = believed(set.Components, components)
	}
	manifest, err := img.Manifest()
	if err != nil {
		return assemble.Options{}, nil, fmt.Errorf("reading the payload's manifest: %w", err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		return assemble.Options{}, nil, fmt.Errorf("reading the payload's configuration: %w", err)
	}
	opts := assemble.Options{
		Version: p.Version, Components: set.Components, Source: options.Source, Cache: options.Cache, Jobs: options.Jobs, Progress: options.Progress,
		Previous: set.Previous, Next: set.Next, Metadata: set.Metadata, MetadataOther: set.MetadataOther, StreamAnnotations: set.Annotations,
		Annotations: manifest.Annotations, Epoch: config.Created.Time, Created: p.References.Created,
		Docker: manifest.MediaType == types.DockerManifestSchema2, AllowMissing: true, SkipChecks: true,
		Platform: platform, MultiPlatform: platform.OS != "",
	}
	if opts.Repository, err = assemble.RepositoryOf(img, p); err != nil {
		return opts, nil, err
	}
	opts.Base, err = input.FindBase(ctx, options.Source, img, set.Components, "cluster-version-operator")
	if errors.Is(err, input.ErrNoBase) {
		notes = append(notes, "no component is the image that the payload stands on; its base layers were taken from the payload itself")
		opts.BaseImage, opts.BaseDigest, err = withoutPayload(img, config)
	}
	return opts, notes, err
}

// believed gives the components the images that a signed statement says they had.
func believed(recorded []assemble.Component, signed map[string]string) ([]assemble.Component, []string) {
	var notes []string
	var components []assemble.Component
	for _, c := range recorded {
		image, ok := signed[c.Name]
		switch {
		case !ok:
			notes = append(notes, fmt.Sprintf("component %q is not in the provenance", c.Name))
			continue
		case image != c.Reference:
			notes = append(notes, fmt.Sprintf("component %q is %s in the payload and %s in its provenance", c.Name, c.Reference, image))
			c.Reference = image
		}
		components = append(components, c)
	}
	known := func(name string) bool {
		return slices.ContainsFunc(recorded, func(c assemble.Component) bool { return c.Name == name })
	}
	for _, name := range slices.Sorted(maps.Keys(signed)) {
		if !known(name) {
			notes = append(notes, fmt.Sprintf("component %q is in the provenance and not in the payload", name))
			components = append(components, assemble.Component{Name: name, Reference: signed[name]})
		}
	}
	return components, notes
}

// withoutPayload returns what a payload stands on, as far as the payload shows it.
func withoutPayload(img v1.Image, config *v1.ConfigFile) (v1.Image, v1.Hash, error) {
	layers, err := img.Layers()
	if err != nil {
		return nil, v1.Hash{}, fmt.Errorf("reading the payload's layers: %w", err)
	}
	mediaType, err := img.MediaType()
	if err != nil {
		return nil, v1.Hash{}, err
	}
	base := mutate.MediaType(empty.Image, mediaType)
	bare := config.DeepCopy()
	bare.RootFS, bare.History = v1.RootFS{Type: "layers"}, nil
	if base, err = mutate.ConfigFile(base, bare); err != nil {
		return nil, v1.Hash{}, err
	}
	for _, l := range layers[:max(len(layers)-1, 0)] {
		lt, err := l.MediaType()
		if err != nil {
			return nil, v1.Hash{}, err
		}
		if base, err = mutate.Append(base, mutate.Addendum{Layer: l, MediaType: lt}); err != nil {
			return nil, v1.Hash{}, err
		}
	}
	digest, err := v1.NewHash(config.Config.Labels[release.LabelBaseDigest])
	if err != nil {
		return base, v1.Hash{}, nil // the comparison shows what became of the label
	}
	return base, digest, nil
}
