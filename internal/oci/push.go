package oci

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"golang.org/x/sync/errgroup"

	"github.com/slipway-release/slipway/internal/clock"
)

// Push stores an image under a reference with a tag or a digest, and returns its
// digest. Blobs go first, the manifest and with it the tag last, so that nobody
// ever finds an incomplete image. What the registry already has is not sent
// again, unless its size shows that it is damaged; then it is replaced.
func (r *Registry) Push(ctx context.Context, ref string, img v1.Image) (v1.Hash, error) {
	located, err := r.Locate(ref)
	if err != nil {
		return v1.Hash{}, err
	}
	digest, err := img.Digest()
	if err != nil {
		return v1.Hash{}, fmt.Errorf("pushing image %q: %w", ref, err)
	}
	if want, ok := located.(name.Digest); ok && want.DigestStr() != digest.String() {
		return v1.Hash{}, fmt.Errorf("pushing image %q: the image's digest is %s", ref, digest)
	}
	if err := r.push(ctx, located, img); err != nil {
		return v1.Hash{}, failure("pushing image", ref, "to", located.Context(), err)
	}
	return digest, nil
}

func (r *Registry) push(ctx context.Context, ref name.Reference, img v1.Image) error {
	blobs, err := blobsOf(img)
	if err != nil {
		return err
	}
	if err := r.upload(ctx, ref.Context(), blobs); err != nil {
		return err
	}
	pusher, err := remote.NewPusher(r.options...)
	if err != nil {
		return err
	}
	return pusher.Put(ctx, ref, img)
}

// blobsOf returns layers and configuration, each once.
func blobsOf(img v1.Image) ([]v1.Layer, error) {
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	config, err := partial.ConfigLayer(img)
	if err != nil {
		return nil, err
	}
	seen := map[v1.Hash]bool{}
	var blobs []v1.Layer
	for _, l := range append(layers, config) {
		mediaType, err := l.MediaType()
		if err != nil {
			return nil, err
		}
		digest, err := l.Digest()
		if err != nil {
			return nil, err
		}
		if mediaType.IsDistributable() && !seen[digest] {
			seen[digest] = true
			blobs = append(blobs, l)
		}
	}
	return blobs, nil
}

// upload brings blobs into a repository, several side by side.
func (r *Registry) upload(ctx context.Context, repo name.Repository, blobs []v1.Layer) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(r.jobs)
	for _, blob := range blobs {
		group.Go(func() error { return r.ensureBlob(ctx, repo, blob) })
	}
	return group.Wait()
}

// ensureBlob makes a repository have a blob. A registry believes in what it has
// by name alone, so the size is compared here.
func (r *Registry) ensureBlob(ctx context.Context, repo name.Repository, blob v1.Layer) error {
	digest, err := blob.Digest()
	if err != nil {
		return err
	}
	size, err := blob.Size()
	if err != nil {
		return err
	}
	stored, err := r.storedSize(ctx, repo, digest)
	if err != nil {
		return err
	}
	if stored == size {
		r.mounts.Store(digest, repo)
		return nil
	}
	if stored >= 0 {
		if err := r.deleteBlob(ctx, repo, digest); err != nil {
			return fmt.Errorf("replacing the damaged blob %s: %w", digest, err)
		}
	}
	if err := r.uploadBlob(ctx, repo, r.mountable(repo, blob, digest)); err != nil {
		return err
	}
	if stored, err = r.storedSize(ctx, repo, digest); err != nil {
		return err
	}
	if stored != size {
		return fmt.Errorf("the registry holds a damaged blob %s (%d bytes instead of %d) and will not replace it; delete it there and push again", digest, stored, size)
	}
	r.mounts.Store(digest, repo)
	return nil
}

// storedSize returns the size a registry gives for a blob, -1 if it has none.
func (r *Registry) storedSize(ctx context.Context, repo name.Repository, digest v1.Hash) (int64, error) {
	layer, err := r.puller.Layer(ctx, repo.Digest(digest.String()))
	if err != nil {
		return 0, err
	}
	size, err := layer.Size()
	var status *transport.Error
	switch {
	case err == nil:
		return size, nil
	case errors.As(err, &status) && (status.StatusCode == http.StatusNotFound || status.StatusCode == http.StatusForbidden):
		// Some registries say 403 for what does not exist; whether it is a real
		// refusal shows when the upload begins.
		return -1, nil
	}
	return 0, err
}

// mountable offers the registry to take the blob from a repository of its own
// that is known to have it, instead of having it sent again.
func (r *Registry) mountable(repo name.Repository, blob v1.Layer, digest v1.Hash) v1.Layer {
	if _, ok := blob.(*remote.MountableLayer); ok {
		return blob
	}
	from, ok := r.mounts.Load(digest)
	if !ok {
		return blob
	}
	known := from.(name.Repository)
	if known.RegistryStr() != repo.RegistryStr() || known.RepositoryStr() == repo.RepositoryStr() {
		return blob
	}
	return &remote.MountableLayer{Layer: blob, Reference: known.Digest(digest.String())}
}

// uploadBlob sends one blob, from its beginning again when that fails in a way
// that may pass: the registries' protocol has no dependable way to go on.
func (r *Registry) uploadBlob(ctx context.Context, repo name.Repository, blob v1.Layer) error {
	for attempt := 1; ; attempt++ {
		asked := &hint{}
		pusher, err := remote.NewPusher(r.options...)
		if err != nil {
			return err
		}
		err = pusher.Upload(context.WithValue(ctx, hintKey{}, asked), repo, blob)
		if err == nil || ctx.Err() != nil || !worthAnotherUpload(err) {
			return err
		}
		if attempt == r.patience.attempts {
			return err
		}
		if err := clock.Sleep(ctx, r.patience.before(attempt+1, asked.retryAfter)); err != nil {
			return err
		}
	}
}

func worthAnotherUpload(err error) bool {
	var gone *exhaustedError
	if errors.As(err, &gone) {
		return false
	}
	var status *transport.Error
	if !errors.As(err, &status) {
		return transient(err)
	}
	for _, d := range status.Errors {
		switch d.Code {
		case transport.BlobUploadUnknownErrorCode, transport.BlobUploadInvalidErrorCode,
			transport.DigestInvalidErrorCode, transport.SizeInvalidErrorCode, "RANGE_INVALID":
			return true // the upload was lost or garbled on its way
		}
	}
	return transientStatus(status.StatusCode) || status.StatusCode == http.StatusRequestedRangeNotSatisfiable
}

// deleteBlob asks the registry to forget a blob.
func (r *Registry) deleteBlob(ctx context.Context, repo name.Repository, digest v1.Hash) error {
	client, err := r.client(ctx, repo, []string{transport.PushScope, transport.DeleteScope})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, urlOf(repo, "blobs/"+digest.String()), nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer discard(resp)
	return transport.CheckError(resp, http.StatusAccepted, http.StatusOK, http.StatusNoContent, http.StatusNotFound)
}

// Tag gives an image that the registry has a further tag. ref must end in a
// digest.
func (r *Registry) Tag(ctx context.Context, ref, tag string) error {
	digest, err := r.locateDigest(ref)
	if err != nil {
		return err
	}
	named, err := name.NewTag(digest.Context().Name()+":"+tag, r.nameOptionsFor(digest.Context().Name())...)
	if err != nil {
		return fmt.Errorf("tagging image %q as %q: a tag has letters, digits, '_', '.' and '-', at most 128 of them", ref, tag)
	}
	descriptor, err := r.puller.Get(ctx, digest)
	if err != nil {
		return failure("tagging image", ref, "in", digest.Context(), err)
	}
	pusher, err := remote.NewPusher(r.options...)
	if err != nil {
		return err
	}
	if err := pusher.Put(ctx, named, descriptor); err != nil {
		return failure("tagging image", ref, "in", digest.Context(), err)
	}
	return nil
}

// Delete removes a manifest by digest, or a tag. The error wraps ErrNotFound
// when there is none.
func (r *Registry) Delete(ctx context.Context, ref string) error {
	located, err := r.Locate(ref)
	if err != nil {
		return err
	}
	pusher, err := remote.NewPusher(r.options...)
	if err != nil {
		return err
	}
	if err := pusher.Delete(ctx, located); err != nil {
		return failure("deleting image", ref, "from", located.Context(), err)
	}
	return nil
}
