package oci

import (
	"context"
	"errors"
	"net/http"
	"sort"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Image returns the image a reference names; of a multi-platform index, the one
// for the registry's platform. Layers are read when they are asked for, under
// ctx, and are checked against their digests before their end is reported. The
// error wraps ErrNotFound when the registry has no such image.
func (r *Registry) Image(ctx context.Context, ref string) (v1.Image, error) {
	return somewhere(ctx, r, ref, func(located name.Reference) (v1.Image, error) {
		descriptor, err := r.puller.Get(ctx, located)
		if err != nil {
			return nil, failure("reading image", ref, "from", located.Context(), err)
		}
		img, err := descriptor.Image()
		if err != nil {
			return nil, failure("reading image", ref, "from", located.Context(), err)
		}
		return img, nil
	})
}

// Index returns the multi-platform index a reference names. A single image is an
// error; Descriptor tells which it is. The error wraps ErrNotFound when the
// registry has neither.
func (r *Registry) Index(ctx context.Context, ref string) (v1.ImageIndex, error) {
	return somewhere(ctx, r, ref, func(located name.Reference) (v1.ImageIndex, error) {
		descriptor, err := r.puller.Get(ctx, located)
		if err != nil {
			return nil, failure("reading image index", ref, "from", located.Context(), err)
		}
		index, err := descriptor.ImageIndex()
		if err != nil {
			return nil, failure("reading image index", ref, "from", located.Context(), err)
		}
		return index, nil
	})
}

// Resolve returns the digest of the manifest or index a reference names. The
// error wraps ErrNotFound when the registry has none.
func (r *Registry) Resolve(ctx context.Context, ref string) (v1.Hash, error) {
	d, err := r.Descriptor(ctx, ref)
	if err != nil {
		return v1.Hash{}, err
	}
	return d.Digest, nil
}

// Descriptor is Resolve with size and media type.
func (r *Registry) Descriptor(ctx context.Context, ref string) (v1.Descriptor, error) {
	return somewhere(ctx, r, ref, func(located name.Reference) (v1.Descriptor, error) {
		d, err := r.puller.Head(ctx, located)
		if err == nil {
			return *d, nil
		}
		// A registry may answer HEAD with less than it should; GET says what is wrong.
		// One that takes no more requests says the same to both.
		var status *transport.Error
		if errors.As(err, &status) && (status.StatusCode == http.StatusNotFound || status.StatusCode == http.StatusTooManyRequests) {
			return v1.Descriptor{}, failure("resolving image", ref, "in", located.Context(), err)
		}
		full, err := r.puller.Get(ctx, located)
		if err != nil {
			return v1.Descriptor{}, failure("resolving image", ref, "in", located.Context(), err)
		}
		return full.Descriptor, nil
	})
}

// Tags returns the tags of a repository in sorted order; none when there is no
// such repository.
func (r *Registry) Tags(ctx context.Context, repository string) ([]string, error) {
	repo, err := r.locateRepository(repository)
	if err != nil {
		return nil, err
	}
	tags, err := r.puller.List(ctx, repo)
	if err != nil {
		err = failure("listing tags of", repository, "in", repo, err)
		if errors.Is(err, ErrNotFound) {
			return nil, nil
		}
		return nil, err
	}
	sort.Strings(tags)
	return tags, nil
}

// RemoteOptions returns what go-containerregistry needs to reach the registry
// the way this client does. Transport, credentials and retries are included.
func (r *Registry) RemoteOptions(ctx context.Context) []remote.Option {
	return append(append([]remote.Option(nil), r.options...), remote.WithContext(ctx))
}
