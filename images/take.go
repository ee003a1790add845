package images

import (
	"context"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/internal/oci"
)

// ImageSource is where images are read from.
type ImageSource interface {
	Image(ctx context.Context, reference string) (v1.Image, error)
}

// Take copies an image that was built elsewhere, as it is, to where a component's images
// are, and returns what Build would of it. reference is by digest. What it is made of is
// known of images that were built here, by the cache of the build.
func Take(ctx context.Context, from ImageSource, to *oci.Registry, cache, component, reference string) (Result, error) {
	start := time.Now()
	img, err := from.Image(ctx, reference)
	if err != nil {
		return Result{}, err
	}
	digest, err := img.Digest()
	if err != nil {
		return Result{}, err
	}
	canonical := to.Canonical() + "/" + component + "@" + digest.String()
	if _, err := to.Push(ctx, canonical, img); err != nil {
		return Result{}, err
	}
	result := Result{
		Component: component, Reference: canonical, Digest: digest.String(), Cached: true, Seconds: time.Since(start).Seconds(),
		Materials: []Material{{URI: "docker://" + reference, Digest: map[string]string{"sha256": digest.Hex}}},
	}
	if known := (&store{dir: cache}).record(digest); known != nil {
		result.Packages = known.Packages
		result.Materials = append(result.Materials, known.Materials...)
	}
	return result, nil
}
