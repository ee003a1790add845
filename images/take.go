package images

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/internal/oci"
)

// Take copies an image that was built elsewhere, as it is, to where a component's images
// are, and returns what Build would of it. reference is by digest. What it is made of is
// known of images that were built here, by the cache of the build.
//
// Of a multi-platform index, the image for the one architecture given is taken, or, for
// several, the index with all that it names; with none, what the source takes it for. That
// all are there is an error otherwise, before anything is copied.
func Take(ctx context.Context, from oci.ImageReader, to *oci.Registry, cache, component, reference string, architectures ...string) (Result, error) {
	start := time.Now()
	t := taking{from: from, to: to, component: component, reference: reference}
	if err := t.find(ctx, architectures); err != nil {
		return Result{}, err
	}
	canonical, err := t.copy(ctx)
	if err != nil {
		return Result{}, err
	}
	result := Result{
		Component: component, Reference: canonical, Digest: t.digest.String(), Cached: true,
		Materials: []Material{{URI: "docker://" + reference, Digest: map[string]string{"sha256": digestHex(reference)}}},
	}
	for _, a := range architectures {
		if image := t.images[a]; image.Hex != digestHex(reference) {
			result.Materials = append(result.Materials, Material{
				Name: "linux/" + a, URI: "docker://" + repositoryOf(reference) + "@" + image.String(), Digest: map[string]string{"sha256": image.Hex},
			})
		}
	}
	if known := (&store{dir: cache}).record(t.digest); known != nil {
		result.Packages = known.Packages
		result.Materials = append(result.Materials, known.Materials...)
	}
	result.Seconds = time.Since(start).Seconds()
	return result, nil
}

// taking is a copy of an image or index.
type taking struct {
	from                 oci.ImageReader
	to                   *oci.Registry
	component, reference string

	images map[string]v1.Hash // by architecture, of those that were asked for
	whole  bool               // the index is copied
	one    v1.Hash            // of the image of the index that is; zero for another
	digest v1.Hash            // of what was copied
}

// find looks for what is asked for.
func (t *taking) find(ctx context.Context, architectures []string) error {
	if len(architectures) == 0 {
		return nil
	}
	images, list, err := oci.Architectures(ctx, t.from, t.reference)
	if err != nil {
		return err
	}
	if err := Lacking(images, architectures); err != nil {
		return err
	}
	t.images, t.whole = images, list && len(architectures) > 1
	if list && !t.whole {
		t.one = images[architectures[0]]
	}
	return nil
}

// Lacking is the error about architectures that are asked for and not among the images of
// a component, or nil.
func Lacking(images map[string]v1.Hash, architectures []string) error {
	var lacking []string
	for _, a := range architectures {
		if _, ok := images[a]; !ok {
			lacking = append(lacking, a)
		}
	}
	if len(lacking) == 0 {
		return nil
	}
	text := "there is no image for " + strings.Join(lacking, " and ")
	if len(images) > 0 {
		text += ", but for " + strings.Join(slices.Sorted(maps.Keys(images)), ", ")
	}
	return errors.New(text)
}

// copy puts it beside the component's other images.
func (t *taking) copy(ctx context.Context) (canonical string, err error) {
	if t.whole {
		index, err := t.from.Index(ctx, t.reference)
		if err != nil {
			return "", err
		}
		if t.digest, err = index.Digest(); err != nil {
			return "", err
		}
		canonical = t.to.Canonical() + "/" + t.component + "@" + t.digest.String()
		_, err = t.to.PushIndex(ctx, canonical, index)
		return canonical, err
	}
	img, err := t.image(ctx)
	if err != nil {
		return "", err
	}
	if t.digest, err = img.Digest(); err != nil {
		return "", err
	}
	canonical = t.to.Canonical() + "/" + t.component + "@" + t.digest.String()
	_, err = t.to.Push(ctx, canonical, img)
	return canonical, err
}

func (t *taking) image(ctx context.Context) (v1.Image, error) {
	if t.one == (v1.Hash{}) {
		return t.from.Image(ctx, t.reference)
	}
	index, err := t.from.Index(ctx, t.reference)
	if err != nil {
		return nil, err
	}
	return index.Image(t.one)
}

func repositoryOf(reference string) string { return reference[:strings.LastIndexByte(reference, '@')] }

func digestHex(reference string) string {
	return reference[strings.LastIndexByte(reference, ':')+1:]
}
