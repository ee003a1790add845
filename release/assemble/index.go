package assemble

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

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/release"
)

// IndexResult is a payload for several platforms.
type IndexResult struct {
	Index v1.ImageIndex
	// Results are the platforms' own, in the order of Platforms.
	Platforms []v1.Platform
	Results   []*Result
}

// MakeIndex makes a payload for each platform out of the components' images for
// that platform, and the index of them. The platforms are those of the base,
// which is BaseIndex or, when that is nil, the index that the component Base refers
// to, or those of Options.Architectures among them. Components without an image for a
// platform are errors if they bring manifests or architectures are named.
func MakeIndex(ctx context.Context, options Options, baseIndex v1.ImageIndex) (*IndexResult, error) {
	r, err := makeIndex(ctx, options, baseIndex)
	if err != nil {
		return nil, fmt.Errorf("assembling multi-platform release %q: %w", options.Version, err)
	}
	return r, nil
}

func makeIndex(ctx context.Context, o Options, baseIndex v1.ImageIndex) (*IndexResult, error) {
	given := baseIndex != nil
	if !given {
		var err error
		if baseIndex, err = o.baseIndex(ctx); err != nil {
			return nil, err
		}
	}
	images, err := oci.PlatformsOf(baseIndex)
	if err != nil {
		return nil, fmt.Errorf("reading the base: %w", err)
	}
	if len(images) == 0 {
		return nil, errors.New("reading the base: its index lists no image of any platform")
	}
	if images, err = o.demanded(images); err != nil {
		return nil, err
	}
	slices.SortFunc(images, func(a, b v1.Descriptor) int { return compareNames(a.Platform.String(), b.Platform.String()) })
	o.MultiPlatform = true
	o.Metadata = maps.Clone(o.Metadata)
	if o.Metadata == nil {
		o.Metadata = map[string]string{}
	}
	o.Metadata[release.MetadataArchitecture] = release.ArchitectureMulti
	result := &IndexResult{}
	var problems []error
	for _, d := range images {
		p := o
		p.Platform = *d.Platform
		if given {
			if p.BaseImage, err = baseIndex.Image(d.Digest); err != nil {
				return nil, fmt.Errorf("reading the base for %s: %w", d.Platform, err)
			}
		}
		made, err := Make(ctx, p)
		if err != nil {
			problems = append(problems, fmt.Errorf("for %s: %w", d.Platform, err))
			continue
		}
		result.Platforms, result.Results = append(result.Platforms, *d.Platform), append(result.Results, made)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	made := make([]v1.Image, len(result.Results))
	for i, r := range result.Results {
		made[i] = r.Image
	}
	if result.Index, err = NewIndex(o, result.Platforms, made); err != nil {
		return nil, err
	}
	return result, o.refer(result)
}

// demanded are the images of the base for the architectures that are asked for, all of
// them when none are.
func (o Options) demanded(images []v1.Descriptor) ([]v1.Descriptor, error) {
	if len(o.Architectures) == 0 {
		return images, nil
	}
	var chosen []v1.Descriptor
	var problems []error
	for _, a := range o.Architectures {
		of := slices.DeleteFunc(slices.Clone(images), func(d v1.Descriptor) bool {
			return d.Platform.OS != "linux" || d.Platform.Architecture != a
		})
		if len(of) == 0 {
			problems = append(problems, fmt.Errorf("reading the base: its index has no image for linux/%s", a))
		}
		chosen = append(chosen, of...)
	}
	return chosen, errors.Join(problems...)
}

func (o Options) baseIndex(ctx context.Context) (v1.ImageIndex, error) {
	for _, c := range o.Components {
		if c.Name == o.Base && o.Source != nil {
			index, err := o.Source.Index(ctx, c.Reference)
			if err != nil {
				return nil, fmt.Errorf("reading base %q: %w", o.Base, err)
			}
			return index, nil
		}
	}
	return nil, fmt.Errorf("base %q is not among the components", o.Base)
}

// NewIndex makes the index of payload images for several platforms. Of the
// options those count that name the release and say how it is written.
func NewIndex(o Options, platforms []v1.Platform, images []v1.Image) (v1.ImageIndex, error) {
	o = o.withDefaults()
	mediaType := types.OCIImageIndex
	if o.Docker {
		mediaType = types.DockerManifestList
	}
	index := mutate.IndexMediaType(empty.Index, mediaType)
	for i, img := range images {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &platforms[i]}})
	}
	annotations := o.annotations(v1.Hash{})
	delete(annotations, annotationBaseDigest)
	annotated, ok := mutate.Annotations(index, annotations).(v1.ImageIndex)
	if !ok {
		return nil, fmt.Errorf("annotating the index: it is a %T no longer", index)
	}
	return annotated, nil
}

// refer gives every platform's payload the index's reference, which is the one
// that clusters pull by.
func (o Options) refer(r *IndexResult) error {
	digest, err := r.Index.Digest()
	if err != nil {
		return err
	}
	if o.Repository != "" {
		for _, made := range r.Results {
			made.Payload.Reference = o.Repository + "/release@" + digest.String()
		}
	}
	return nil
}
