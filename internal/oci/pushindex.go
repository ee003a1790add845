package oci

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// maxDepth bounds how deep indexes may lie in one another. Nothing real goes
// beyond two.
const maxDepth = 8

// PushIndex stores a multi-platform index with everything it names under a
// reference with a tag or a digest, and returns its digest. Blobs go first, as
// Push sends them, then the images and indexes inside, whatever platform they are
// said to be for, and the index itself last.
func (r *Registry) PushIndex(ctx context.Context, ref string, index v1.ImageIndex) (v1.Hash, error) {
	located, err := r.Locate(ref)
	if err != nil {
		return v1.Hash{}, err
	}
	digest, err := index.Digest()
	if err != nil {
		return v1.Hash{}, fmt.Errorf("pushing image index %q: %w", ref, err)
	}
	if want, ok := located.(name.Digest); ok && want.DigestStr() != digest.String() {
		return v1.Hash{}, fmt.Errorf("pushing image index %q: the index's digest is %s", ref, digest)
	}
	into := registryPlace{r, located.Context()}
	if err := pushChildren(ctx, into, index, 1); err != nil {
		return v1.Hash{}, failure("pushing image index", ref, "to", located.Context(), err)
	}
	pusher, err := remote.NewPusher(r.options...)
	if err != nil {
		return v1.Hash{}, err
	}
	if err := pusher.Put(ctx, located, index); err != nil {
		return v1.Hash{}, failure("pushing image index", ref, "to", located.Context(), err)
	}
	return digest, nil
}

// place takes the parts of an index.
type place interface {
	image(ctx context.Context, img v1.Image) error       // blobs and manifest
	manifest(ctx context.Context, m v1.ImageIndex) error // whose children are there
}

type registryPlace struct {
	registry *Registry
	repo     name.Repository
}

func (p registryPlace) image(ctx context.Context, img v1.Image) error {
	digest, err := img.Digest()
	if err != nil {
		return err
	}
	return p.registry.push(ctx, p.repo.Digest(digest.String()), img)
}

func (p registryPlace) manifest(ctx context.Context, index v1.ImageIndex) error {
	digest, err := index.Digest()
	if err != nil {
		return err
	}
	pusher, err := remote.NewPusher(p.registry.options...)
	if err != nil {
		return err
	}
	return pusher.Put(ctx, p.repo.Digest(digest.String()), index)
}

// pushChildren brings everything below an index to a place, each part once.
func pushChildren(ctx context.Context, into place, index v1.ImageIndex, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("indexes lie in one another more than %d deep", maxDepth)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return err
	}
	seen := map[v1.Hash]bool{}
	for _, child := range manifest.Manifests {
		if seen[child.Digest] {
			continue
		}
		seen[child.Digest] = true
		if err := pushChild(ctx, into, index, child, depth); err != nil {
			return fmt.Errorf("%s: %w", child.Digest, err)
		}
	}
	return nil
}

func pushChild(ctx context.Context, into place, index v1.ImageIndex, child v1.Descriptor, depth int) error {
	if child.MediaType.IsIndex() {
		nested, err := index.ImageIndex(child.Digest)
		if err != nil {
			return err
		}
		if err := pushChildren(ctx, into, nested, depth+1); err != nil {
			return err
		}
		return into.manifest(ctx, nested)
	}
	img, err := index.Image(child.Digest)
	if err != nil {
		return err
	}
	return into.image(ctx, img)
}
