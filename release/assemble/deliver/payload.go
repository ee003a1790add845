package deliver

import (
	"context"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/slipway-release/slipway/release"
)

// Payload is what is written: an image, or an index with an image for each platform.
type Payload struct {
	Image v1.Image      // nil when Index is not
	Index v1.ImageIndex // nil for a single image
	// Parts are the payload for each platform; one for a single image.
	Parts []Part
}

// Part is the payload for one platform.
type Part struct {
	Platform v1.Platform
	Image    v1.Image
	Payload  *release.Payload
}

// Digest is that of the image or index.
func (p *Payload) Digest() (v1.Hash, error) {
	if p.Index != nil {
		return p.Index.Digest()
	}
	return p.Image.Digest()
}

// Version of the payload, the same in all parts.
func (p *Payload) Version() release.Version { return p.Parts[0].Payload.Version }

// Store takes images: a registry or an OCI layout.
type Store interface {
	Push(ctx context.Context, ref string, img v1.Image) (v1.Hash, error)
	PushIndex(ctx context.Context, ref string, index v1.ImageIndex) (v1.Hash, error)
}

// Push stores the payload under a reference with a tag, which is set last.
func (p *Payload) Push(ctx context.Context, store Store, ref string) error {
	var err error
	if p.Index != nil {
		_, err = store.PushIndex(ctx, ref, p.Index)
	} else {
		_, err = store.Push(ctx, ref, p.Image)
	}
	return err
}

// descriptor names the image or index in an OCI layout's list.
func (p *Payload) descriptor() (v1.Descriptor, []byte, error) {
	var source interface {
		Digest() (v1.Hash, error)
		MediaType() (types.MediaType, error)
		RawManifest() ([]byte, error)
	} = p.Image
	if p.Index != nil {
		source = p.Index
	}
	raw, err := source.RawManifest()
	if err != nil {
		return v1.Descriptor{}, nil, err
	}
	digest, err := source.Digest()
	if err != nil {
		return v1.Descriptor{}, nil, err
	}
	mediaType, err := source.MediaType()
	return v1.Descriptor{MediaType: mediaType, Size: int64(len(raw)), Digest: digest}, raw, err
}

// single returns the only part, or says why there is none.
func (p *Payload) single(what string) (Part, error) {
	if len(p.Parts) != 1 {
		return Part{}, fmt.Errorf("writing %s: the payload has %d platforms, and %s holds one; leave --keep-manifest-list out", what, len(p.Parts), what)
	}
	return p.Parts[0], nil
}

// payloadLayer is the layer with the payload's files, the last one.
func payloadLayer(img v1.Image) (v1.Layer, error) {
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	if len(layers) == 0 {
		return nil, errors.New("it has no layer")
	}
	return layers[len(layers)-1], nil
}
