package images

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/slipway-release/slipway/internal/oci"
)

// Package is a piece of software in an image.
type Package struct {
	Kind    string `json:"kind"` // golang or deb
	Name    string `json:"name"`
	Version string `json:"version"`
	PURL    string `json:"purl"`
	// Digest holds the digests that the package's own system keeps, by
	// algorithm: sha256 of a .deb, dirHash (hex of h1:) of a Go module.
	Digest map[string]string `json:"digest,omitempty"`
}

// Material is an input of an image, in the shape of SLSA's resolvedDependencies.
type Material struct {
	Name   string            `json:"name,omitempty"`
	URI    string            `json:"uri"`
	Digest map[string]string `json:"digest,omitempty"`
}

const (
	recordConfig types.MediaType = "application/vnd.slipway.build-record.config.v1+json"
	recordLayer  types.MediaType = "application/vnd.slipway.build-record.v1+json"
	// maxRecord bounds what is read of a record, in bytes.
	maxRecord = 64 << 20
)

// record is what a build knows about an image and the image itself does not
// say. It is stored beside the cache entry, so that a machine that finds the
// image in the registry need not build it to describe it.
type record struct {
	Image string `json:"image"` // digest
	// Built is when the image was stored; zero in records of before there was this.
	Built     time.Time  `json:"built,omitzero"`
	Packages  []Package  `json:"packages,omitempty"`
	Materials []Material `json:"materials,omitempty"`
}

func (r *record) encode() ([]byte, error) { return json.Marshal(r) }

func parseRecord(data []byte) (*record, error) {
	var r record
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		return nil, err
	}
	return &r, nil
}

// image wraps a record for the registry.
func (r *record) image() (v1.Image, error) {
	data, err := r.encode()
	if err != nil {
		return nil, err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), recordConfig)
	return mutate.AppendLayers(img, static.NewLayer(data, recordLayer))
}

func readRecord(img v1.Image) (*record, error) {
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	if len(layers) != 1 {
		return nil, fmt.Errorf("a build record has one layer, not %d", len(layers))
	}
	r, err := layers[0].Compressed()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, maxRecord))
	if err != nil {
		return nil, err
	}
	return parseRecord(data)
}

// recordTag is the tag of the record that belongs to a cache entry.
func recordTag(key string) string { return cacheTag(key) + recordSuffix }

const recordSuffix = "-record"

// cacheTag is the tag of the image with these inputs.
func cacheTag(key string) string { return "cache-" + key }

// findRecord returns the record of a cached image from the store or else from
// the registry, and nil when neither has it.
func (b *builder) findRecord(ctx context.Context, component, key string, digest v1.Hash) (*record, error) {
	if r := b.store.record(digest); r != nil && r.Image == digest.String() {
		return r, nil
	}
	img, err := b.opts.Registry.Image(ctx, b.repository(component)+":"+recordTag(key))
	if errors.Is(err, oci.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r, err := readRecord(img)
	if err != nil || r.Image != digest.String() {
		// A record that does not fit is as good as none: the image is built again.
		return nil, ctx.Err()
	}
	return r, b.store.putRecord(digest, r)
}
