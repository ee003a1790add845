package assemble

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/gzip"

	"github.com/slipway-release/slipway/internal/layer"
)

const (
	// maxLayersAtOnce bounds the memory and connections that open layers take.
	maxLayersAtOnce = 8
	// readAhead is what one layer is read by from the network, in bytes.
	readAhead = 128 << 10
	// maxBrought bounds what all components bring together, in bytes.
	maxBrought = 256 << 20
)

// listingLimits bound what one layer may bring: far more than any does.
var listingLimits = layer.Limits{Total: 32 << 20}

// layerReader reads every layer once, however many components share it.
type layerReader struct {
	cache *Cache
	turns chan struct{}
	bytes atomic.Int64 // of all listings

	mu     sync.Mutex
	layers map[v1.Hash]*layerRead
}

type layerRead struct {
	once    sync.Once
	listing layer.Listing
	err     error
}

// directory returns /manifests of the image as a container would see it. Layers
// below one that hides the directory are not read.
func (s *layerReader) directory(ctx context.Context, img opened) ([]layer.File, error) {
	var topDown []layer.Listing
	for _, d := range slices.Backward(img.manifest.Layers) {
		if !d.MediaType.IsLayer() {
			return nil, fmt.Errorf("layer %s has media type %q, in which no manifests can be looked for", d.Digest, d.MediaType)
		}
		listing, err := s.list(ctx, img, d.Digest)
		if err != nil {
			return nil, err
		}
		topDown = append(topDown, listing)
		if listing.Opaque {
			break
		}
	}
	return layer.Merge(topDown), nil
}

func (s *layerReader) list(ctx context.Context, img opened, digest v1.Hash) (layer.Listing, error) {
	s.mu.Lock()
	if s.layers == nil {
		s.layers = map[v1.Hash]*layerRead{}
	}
	read := s.layers[digest]
	if read == nil {
		read = &layerRead{}
		s.layers[digest] = read
	}
	s.mu.Unlock()
	read.once.Do(func() {
		if read.listing, read.err = s.read(ctx, img, digest); read.err == nil {
			read.err = s.account(read.listing)
		}
	})
	if read.err != nil {
		return layer.Listing{}, fmt.Errorf("reading layer %s: %w", digest, read.err)
	}
	return read.listing, nil
}

func (s *layerReader) account(l layer.Listing) error {
	var size int64
	for _, f := range l.Files {
		size += int64(len(f.Data))
	}
	if s.bytes.Add(size) > maxBrought {
		return fmt.Errorf("all components together bring more than %d bytes of manifests: %w", int64(maxBrought), layer.ErrLimit)
	}
	return nil
}

func (s *layerReader) read(ctx context.Context, img opened, digest v1.Hash) (layer.Listing, error) {
	var listing layer.Listing
	if s.cache.get(layerEntry, digest.String(), &listing) {
		return listing, nil
	}
	select {
	case s.turns <- struct{}{}:
		defer func() { <-s.turns }()
	case <-ctx.Done():
		return listing, context.Cause(ctx)
	}
	l, err := img.layer(ctx, digest)
	if err != nil {
		return listing, err
	}
	if listing, err = layer.List(ctx, swift{l}, manifestsDir, listingLimits); err != nil {
		return layer.Listing{}, err
	}
	s.cache.put(layerEntry, digest.String(), listing)
	return listing, nil
}

// swift is a layer whose gzip is unpacked by the faster of the two libraries at
// hand. The compressed bytes, which carry the digest, are read to their end.
type swift struct{ v1.Layer }

// Uncompressed implements v1.Layer.
func (l swift) Uncompressed() (io.ReadCloser, error) {
	rc, err := l.Compressed()
	if err != nil {
		return nil, err
	}
	buffered := bufio.NewReaderSize(rc, readAhead)
	head, err := buffered.Peek(2)
	if err != nil || !bytes.Equal(head, []byte{0x1f, 0x8b}) {
		rc.Close()
		return l.Layer.Uncompressed()
	}
	zr, err := gzip.NewReader(buffered)
	if err != nil {
		rc.Close()
		return nil, fmt.Errorf("unpacking: %w", err)
	}
	return &unpacking{Reader: zr, compressed: rc}, nil
}

// unpacking closes what it reads from.
type unpacking struct {
	*gzip.Reader
	compressed io.ReadCloser
}

// Close implements io.Closer.
func (u *unpacking) Close() error {
	if err := u.Reader.Close(); err != nil {
		u.compressed.Close()
		return err
	}
	return u.compressed.Close()
}
