package oci

import (
	"context"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// ImageReader is where images and indexes are read: a Registry or a Layout.
type ImageReader interface {
	Descriptor(ctx context.Context, ref string) (v1.Descriptor, error)
	Image(ctx context.Context, ref string) (v1.Image, error)
	Index(ctx context.Context, ref string) (v1.ImageIndex, error)
}

// PlatformsOf lists the images of an index. Attestations, which builders put beside
// them under the platform unknown/unknown, are left out.
func PlatformsOf(index v1.ImageIndex) ([]v1.Descriptor, error) {
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, fmt.Errorf("reading its index: %w", err)
	}
	var images []v1.Descriptor
	for _, d := range manifest.Manifests {
		if d.Platform != nil && d.Platform.OS != "unknown" && d.MediaType.IsImage() && d.MediaType != types.DockerManifestSchema1 {
			images = append(images, d)
		}
	}
	return images, nil
}

// Architectures returns the digest of what a reference has for each architecture of
// Linux: of an index the first image for it, or else the image itself. list says that it is
// an index. Images that name no architecture are of the days when there was only amd64.
func Architectures(ctx context.Context, from ImageReader, ref string) (images map[string]v1.Hash, list bool, err error) {
	d, err := from.Descriptor(ctx, ref)
	if err != nil {
		return nil, false, err
	}
	images = map[string]v1.Hash{}
	if !d.MediaType.IsIndex() {
		img, err := from.Image(ctx, ref)
		if err != nil {
			return nil, false, err
		}
		config, err := img.ConfigFile()
		if err != nil {
			return nil, false, fmt.Errorf("reading the configuration of %q: %w", ref, err)
		}
		if config.Architecture == "" {
			config.Architecture = "amd64"
		}
		images[config.Architecture] = d.Digest
		return images, false, nil
	}
	index, err := from.Index(ctx, ref)
	if err != nil {
		return nil, true, err
	}
	all, err := PlatformsOf(index)
	if err != nil {
		return nil, true, fmt.Errorf("reading %q: %w", ref, err)
	}
	for _, d := range all {
		if _, have := images[d.Platform.Architecture]; !have && d.Platform.OS == "linux" {
			images[d.Platform.Architecture] = d.Digest
		}
	}
	return images, true, nil
}

// AnyImage returns the image that Image does, and of an index that has none for its
// platform the first: for what all images of the index say alike.
func AnyImage(ctx context.Context, from ImageReader, ref string, platform v1.Platform) (v1.Image, error) {
	d, err := from.Descriptor(ctx, ref)
	if err != nil {
		return nil, err
	}
	if !d.MediaType.IsIndex() {
		return from.Image(ctx, ref)
	}
	index, err := from.Index(ctx, ref)
	if err != nil {
		return nil, err
	}
	all, err := PlatformsOf(index)
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", ref, err)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("reading %q: its index lists no image of any platform", ref)
	}
	chosen := all[0]
	for _, d := range all {
		if d.Platform.OS == platform.OS && d.Platform.Architecture == platform.Architecture {
			chosen = d
			break
		}
	}
	return index.Image(chosen.Digest)
}
