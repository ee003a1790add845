package oci

import (
	"bytes"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// layoutImage is an image in a layout, as far as go-containerregistry cannot
// work it out by itself.
type layoutImage struct {
	layout   *Layout
	raw      []byte
	media    types.MediaType
	manifest *v1.Manifest
}

var _ partial.CompressedImageCore = (*layoutImage)(nil)

func newLayoutImage(l *Layout, d v1.Descriptor) (v1.Image, error) {
	raw, err := l.readManifest(d)
	if err != nil {
		return nil, err
	}
	manifest, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("its manifest is not valid: %w", err)
	}
	return partial.CompressedToImage(&layoutImage{layout: l, raw: raw, media: d.MediaType, manifest: manifest})
}

// RawManifest implements partial.CompressedImageCore.
func (i *layoutImage) RawManifest() ([]byte, error) { return i.raw, nil }

// MediaType implements partial.CompressedImageCore.
func (i *layoutImage) MediaType() (types.MediaType, error) { return i.media, nil }

// RawConfigFile implements partial.CompressedImageCore.
func (i *layoutImage) RawConfigFile() ([]byte, error) {
	if i.manifest.Config.Size > maxManifest {
		return nil, fmt.Errorf("the configuration has %d bytes, more than the %d allowed", i.manifest.Config.Size, maxManifest)
	}
	body, err := i.layout.openBlob(i.manifest.Config)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(body)
}

// LayerByDigest implements partial.CompressedImageCore.
func (i *layoutImage) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	for _, d := range append(i.manifest.Layers, i.manifest.Config) {
		if d.Digest == h {
			return &layoutBlob{layout: i.layout, descriptor: d}, nil
		}
	}
	return nil, fmt.Errorf("the image has no layer %s", h)
}

// layoutBlob is a layer in a layout.
type layoutBlob struct {
	layout     *Layout
	descriptor v1.Descriptor
}

var _ partial.CompressedLayer = (*layoutBlob)(nil)

// Digest implements partial.CompressedLayer.
func (b *layoutBlob) Digest() (v1.Hash, error) { return b.descriptor.Digest, nil }

// Size implements partial.CompressedLayer.
func (b *layoutBlob) Size() (int64, error) { return b.descriptor.Size, nil }

// MediaType implements partial.CompressedLayer.
func (b *layoutBlob) MediaType() (types.MediaType, error) { return b.descriptor.MediaType, nil }

// Compressed implements partial.CompressedLayer.
func (b *layoutBlob) Compressed() (io.ReadCloser, error) { return b.layout.openBlob(b.descriptor) }

// Descriptor lets annotations of the layer be seen.
func (b *layoutBlob) Descriptor() (*v1.Descriptor, error) { return &b.descriptor, nil }

// layoutIndex is a multi-platform index in a layout.
type layoutIndex struct {
	layout     *Layout
	raw        []byte
	descriptor v1.Descriptor
	manifest   *v1.IndexManifest
}

var _ v1.ImageIndex = (*layoutIndex)(nil)

func newLayoutIndex(l *Layout, d v1.Descriptor) (*layoutIndex, error) {
	raw, err := l.readManifest(d)
	if err != nil {
		return nil, err
	}
	manifest, err := v1.ParseIndexManifest(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("its manifest is not valid: %w", err)
	}
	return &layoutIndex{layout: l, raw: raw, descriptor: d, manifest: manifest}, nil
}

// MediaType implements v1.ImageIndex.
func (i *layoutIndex) MediaType() (types.MediaType, error) { return i.descriptor.MediaType, nil }

// Digest implements v1.ImageIndex.
func (i *layoutIndex) Digest() (v1.Hash, error) { return i.descriptor.Digest, nil }

// Size implements v1.ImageIndex.
func (i *layoutIndex) Size() (int64, error) { return i.descriptor.Size, nil }

// IndexManifest implements v1.ImageIndex.
func (i *layoutIndex) IndexManifest() (*v1.IndexManifest, error) { return i.manifest.DeepCopy(), nil }

// RawManifest implements v1.ImageIndex.
func (i *layoutIndex) RawManifest() ([]byte, error) { return i.raw, nil }

// Image implements v1.ImageIndex.
func (i *layoutIndex) Image(h v1.Hash) (v1.Image, error) {
	d, err := i.child(h)
	if err != nil {
		return nil, err
	}
	return newLayoutImage(i.layout, d)
}

// ImageIndex implements v1.ImageIndex.
func (i *layoutIndex) ImageIndex(h v1.Hash) (v1.ImageIndex, error) {
	d, err := i.child(h)
	if err != nil {
		return nil, err
	}
	return newLayoutIndex(i.layout, d)
}

func (i *layoutIndex) child(h v1.Hash) (v1.Descriptor, error) {
	for _, d := range i.manifest.Manifests {
		if d.Digest == h {
			return d, nil
		}
	}
	return v1.Descriptor{}, fmt.Errorf("the index has no manifest %s", h)
}
