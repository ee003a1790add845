package oci

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// maxArtifact bounds what Fetch reads, in bytes. The bill of materials of a
// whole distribution is a few megabytes.
const maxArtifact = 128 << 20

// Referrer is an artifact that a registry has. Nothing in it is proven before
// Content's signature is checked.
type Referrer struct {
	Subject      string // the reference that was asked about
	Digest       v1.Hash
	Size         int64 // of the manifest
	ArtifactType string
	Annotations  map[string]string
}

// Attach stores an artifact beside an image, as a referrer of OCI 1.1, and
// returns the digest of the artifact's manifest. subject must end in a digest,
// and the registry must have it. Attaching the same artifact again changes
// nothing.
//
// Where the registry does not list referrers itself, the list is an index under
// the tag sha256-<hex> that every client reads, extends and writes back. Attach
// makes sure that its own entry is still there after others had the time to
// write theirs.
func (r *Registry) Attach(ctx context.Context, subject string, a Artifact) (v1.Hash, error) {
	located, err := r.locateDigest(subject)
	if err != nil {
		return v1.Hash{}, err
	}
	digest, err := r.attach(ctx, located, a)
	if err != nil {
		return v1.Hash{}, failure("attaching "+a.Type+" to image", subject, "in", located.Context(), err)
	}
	return digest, nil
}

func (r *Registry) attach(ctx context.Context, subject name.Digest, a Artifact) (v1.Hash, error) {
	described, err := r.puller.Head(ctx, subject)
	if err != nil {
		return v1.Hash{}, err
	}
	content := static.NewLayer(a.Content, types.MediaType(a.MediaType))
	manifest, err := newArtifactManifest(a, content, *described)
	if err != nil {
		return v1.Hash{}, err
	}
	if err := r.upload(ctx, subject.Context(), []v1.Layer{emptyConfig, content}); err != nil {
		return v1.Hash{}, err
	}
	unlock := r.writers.lock(subject.String())
	defer unlock()
	return manifest.digest, r.list(ctx, subject, manifest)
}

// list puts the manifest and sees to it that it stays in the subject's list.
func (r *Registry) list(ctx context.Context, subject name.Digest, manifest *rawManifest) error {
	for attempt := 1; ; attempt++ {
		begun := time.Now()
		pusher, err := remote.NewPusher(r.options...)
		if err != nil {
			return err
		}
		// Put also extends the list where the registry does not.
		if err := pusher.Put(ctx, subject.Context().Digest(manifest.digest.String()), manifest); err != nil {
			return err
		}
		if stays, err := r.stays(ctx, subject, manifest.digest, time.Since(begun)); err != nil || stays {
			return err
		}
		if attempt == 4*r.patience.attempts {
			return errors.New("others keep overwriting the list of what refers to the image")
		}
	}
}

// stays says whether our entry is still in the list after others had the time to
// write theirs. A registry that keeps the list itself loses none.
func (r *Registry) stays(ctx context.Context, subject name.Digest, digest v1.Hash, turn time.Duration) (bool, error) {
	native, err := r.listsReferrers(ctx, subject)
	if err != nil {
		return false, err
	}
	needed := looks
	if native {
		needed = 1
	}
	for look := range needed {
		if look > 0 {
			if err := settle(ctx, turn); err != nil {
				return false, err
			}
		}
		index, err := r.referrers(ctx, subject)
		if err != nil {
			return false, err
		}
		if !contains(index, digest) {
			return false, nil
		}
	}
	return true, nil
}

// listsReferrers says whether the registry itself keeps the list, as OCI 1.1 asks.
func (r *Registry) listsReferrers(ctx context.Context, subject name.Digest) (bool, error) {
	repo := subject.Context()
	if known, ok := r.listing.Load(repo); ok {
		return known.(bool), nil
	}
	client, err := r.client(ctx, repo, []string{transport.PullScope})
	if err != nil {
		return false, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, urlOf(repo, "referrers/"+subject.DigestStr()), nil)
	if err != nil {
		return false, err
	}
	req.Header.Set("Accept", string(types.OCIImageIndex))
	resp, err := client.Do(req)
	if err != nil {
		return false, err
	}
	defer discard(resp)
	native := resp.StatusCode == http.StatusOK && resp.Header.Get("Content-Type") == string(types.OCIImageIndex)
	r.listing.Store(repo, native)
	return native, nil
}

func contains(index *v1.IndexManifest, digest v1.Hash) bool {
	for _, m := range index.Manifests {
		if m.Digest == digest {
			return true
		}
	}
	return false
}

func (r *Registry) referrers(ctx context.Context, subject name.Digest) (*v1.IndexManifest, error) {
	index, err := remote.Referrers(subject, remote.Reuse(r.puller), remote.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	return index.IndexManifest()
}

// Referrers returns what was attached to an image, of one artifact type or, when
// that is empty, of all. subject must end in a digest.
func (r *Registry) Referrers(ctx context.Context, subject, artifactType string) ([]Referrer, error) {
	if _, err := r.locateDigest(subject); err != nil {
		return nil, err
	}
	answered := false
	index, err := somewhere(ctx, r, subject, func(located name.Reference) (*v1.IndexManifest, error) {
		index, err := r.referrers(ctx, located.Context().Digest(located.Identifier()))
		if err != nil {
			return nil, failure("listing what refers to image", subject, "in", located.Context(), err)
		}
		answered = true
		if len(index.Manifests) == 0 {
			// A mirror may have been given the image alone.
			return nil, failure("listing what refers to image", subject, "in", located.Context(), ErrNotFound)
		}
		return index, nil
	})
	if err != nil && answered {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return referrersOf(subject, index.Manifests, artifactType), nil
}

// Fetch returns an artifact's content, checked against its digest. An artifact
// that does not refer to the subject it was listed for is an error.
func (r *Registry) Fetch(ctx context.Context, ref Referrer) ([]byte, error) {
	if _, err := r.locateDigest(ref.Subject); err != nil {
		return nil, err
	}
	return somewhere(ctx, r, ref.Subject, func(located name.Reference) ([]byte, error) {
		content, err := r.fetch(ctx, located.Context().Digest(located.Identifier()), ref)
		if err != nil {
			return nil, failure("reading artifact", ref.Digest.String(), "from", located.Context(), err)
		}
		return content, nil
	})
}

func (r *Registry) fetch(ctx context.Context, subject name.Digest, ref Referrer) ([]byte, error) {
	descriptor, err := r.puller.Get(ctx, subject.Context().Digest(ref.Digest.String()))
	if err != nil {
		return nil, err
	}
	content, err := soleContent(descriptor.Manifest, subject.DigestStr())
	if err != nil {
		return nil, err
	}
	img, err := descriptor.Image()
	if err != nil {
		return nil, err
	}
	layer, err := img.LayerByDigest(content.Digest)
	if err != nil {
		return nil, err
	}
	body, err := layer.Compressed()
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(io.LimitReader(body, maxArtifact+1))
}
