package mirror

import (
	"context"
	"errors"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/internal/oci"
)

// Destination is where a release is copied to.
type Destination interface {
	// place says where an image goes.
	place(version, arch, component string) (repository, tag string, err error)
	// has says whether a blob is known to be there, without asking anybody.
	has(d v1.Descriptor) bool
	// present says whether a manifest is there with everything it names.
	present(ctx context.Context, repository string, d v1.Descriptor) (bool, error)
	// tagged returns the digest that a tag names; zero when there is no such tag.
	tagged(ctx context.Context, repository, tag string) (v1.Hash, error)
	// listed returns what is known to refer to a digest.
	listed(ctx context.Context, repository string, subject v1.Hash) (map[v1.Hash]bool, error)
	putBlob(ctx context.Context, repository string, d v1.Descriptor, from oci.BlobSource) (oci.Stored, error)
	// putManifest stores a manifest whose blobs and children are there, under its
	// digest when tag is empty.
	putManifest(ctx context.Context, repository, tag string, m manifest) (oci.Stored, error)
	// finish completes the copy.
	finish(ctx context.Context) error
	// replaceable says whether nothing is lost when a tag of cosign's is moved.
	replaceable(ctx context.Context, repository, tag string, m manifest) (bool, error)
}

// registryDestination copies into a registry.
type registryDestination struct {
	layoutOf
	registry *oci.Registry
}

// ToRegistry copies to a registry. to is a repository that takes all images under
// tags <version>-<arch>-<component>, or a template with ${component} (and perhaps
// ${version}) that says where each goes. release is the payload's reference with
// a tag; empty stands for the tag <version>-<arch> in to.
func ToRegistry(registry *oci.Registry, to, release string) (Destination, error) {
	where, err := parseTo(to, release)
	if err != nil {
		return nil, err
	}
	return &registryDestination{where, registry}, nil
}

func (r *registryDestination) has(v1.Descriptor) bool { return false }

func (r *registryDestination) present(ctx context.Context, repository string, d v1.Descriptor) (bool, error) {
	// A registry takes a manifest only when it has what the manifest names.
	_, err := r.registry.Descriptor(ctx, repository+"@"+d.Digest.String())
	if errors.Is(err, oci.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func (r *registryDestination) tagged(ctx context.Context, repository, tag string) (v1.Hash, error) {
	d, err := r.registry.Descriptor(ctx, repository+":"+tag)
	if errors.Is(err, oci.ErrNotFound) {
		return v1.Hash{}, nil
	}
	return d.Digest, err
}

func (r *registryDestination) listed(ctx context.Context, repository string, subject v1.Hash) (map[v1.Hash]bool, error) {
	referrers, err := r.registry.Referrers(ctx, repository+"@"+subject.String(), "")
	if err != nil {
		return nil, err
	}
	known := map[v1.Hash]bool{}
	for _, f := range referrers {
		known[f.Digest] = true
	}
	return known, nil
}

func (r *registryDestination) putBlob(ctx context.Context, repository string, d v1.Descriptor, from oci.BlobSource) (oci.Stored, error) {
	return r.registry.PutBlob(ctx, repository, d, from)
}

func (r *registryDestination) putManifest(ctx context.Context, repository, tag string, m manifest) (oci.Stored, error) {
	ref := repository + "@" + m.descriptor.Digest.String()
	if tag != "" {
		ref = repository + ":" + tag
	}
	return oci.Copied, r.registry.PutManifest(ctx, ref, m.descriptor.MediaType, m.raw)
}

func (r *registryDestination) finish(context.Context) error { return nil }

func (r *registryDestination) replaceable(ctx context.Context, repository, tag string, m manifest) (bool, error) {
	raw, d, err := r.registry.Manifest(ctx, repository+":"+tag)
	if err != nil {
		return errors.Is(err, oci.ErrNotFound), err
	}
	there, err := parseManifest(d, raw)
	if err != nil {
		return false, nil //nolint:nilerr // what cannot be read is not ours to replace
	}
	has := map[v1.Hash]bool{}
	for _, l := range m.blobs {
		has[l.Digest] = true
	}
	for _, l := range there.layers {
		if !has[l.Digest] {
			return false, nil
		}
	}
	return true, nil
}

// located returns a repository of a source as registries know it, "" for sources
// in files.
func located(s Source, repository string, d v1.Descriptor) string {
	registry, ok := s.(interface {
		Locate(ref string) (name.Reference, error)
	})
	if !ok {
		return ""
	}
	ref, err := registry.Locate(repository + "@" + d.Digest.String())
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(ref.Context().Name(), "/")
}
