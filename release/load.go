package release

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/internal/layer"
)

// ErrNoPayload is wrapped by Load's error about an image that is no release.
var ErrNoPayload = errors.New("no layer holds " + Directory + "/")

// Load reads a payload out of its image. The topmost layer that holds
// release-manifests/ counts; it is the last one in what Slipway and oc write.
// The image's bytes are checked against their digests on the way. Reference is
// left to the caller, who knows where the image came from.
func Load(ctx context.Context, img v1.Image) (*Payload, error) {
	digest, err := img.Digest()
	if err != nil {
		return nil, fmt.Errorf("loading payload: %w", err)
	}
	p, err := load(ctx, img)
	if err != nil {
		return nil, fmt.Errorf("loading payload %s: %w", digest, err)
	}
	p.Digest = digest
	return p, nil
}

func load(ctx context.Context, img v1.Image) (*Payload, error) {
	config, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading its configuration: %w", err)
	}
	files, err := payloadFiles(ctx, img)
	if err != nil {
		return nil, err
	}
	p, err := FromFiles(files)
	if err != nil {
		return nil, err
	}
	if label, ok := config.Config.Labels[LabelRelease]; ok && label != p.Version.String() {
		return nil, fmt.Errorf("label %s says %q, %s says %q", LabelRelease, label, MetadataFile, p.Version)
	}
	p.Created = config.Created.UTC()
	return p, nil
}

func payloadFiles(ctx context.Context, img v1.Image) ([]File, error) {
	layers, err := img.Layers()
	if err != nil {
		return nil, fmt.Errorf("reading its layers: %w", err)
	}
	for _, l := range slices.Backward(layers) {
		listing, err := layer.List(ctx, l, Directory, layer.Limits{})
		if err != nil {
			return nil, err
		}
		if listing.Empty() {
			continue
		}
		// A layer that deletes parts of a payload below it would make readers
		// of the last layer and readers of the file system see two releases.
		if len(listing.Hidden) > 0 || listing.Opaque {
			return nil, fmt.Errorf("a layer deletes or replaces parts of %s/, which must be whole in one layer", Directory)
		}
		files := make([]File, 0, len(listing.Files))
		for _, f := range listing.Files {
			files = append(files, File(f))
		}
		return files, nil
	}
	return nil, ErrNoPayload
}

func sortFiles(files []File) {
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
}
