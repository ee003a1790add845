package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/slipway-release/slipway/internal/clock"
)

// Here are the parts that copies between stores are made of. Manifests are handed
// on as the bytes they are, so that digests stay.

// Manifest returns the bytes of the manifest or index a reference names, whatever
// its media type. The error wraps ErrNotFound when the registry has none.
func (r *Registry) Manifest(ctx context.Context, ref string) ([]byte, v1.Descriptor, error) {
	var d v1.Descriptor
	raw, err := somewhere(ctx, r, ref, func(located name.Reference) ([]byte, error) {
		got, err := r.puller.Get(ctx, located)
		if err != nil {
			return nil, failure("reading manifest", ref, "from", located.Context(), err)
		}
		d = got.Descriptor
		return got.Manifest, nil
	})
	return raw, d, err
}

// Blob returns the bytes of a blob in a repository, checked against its digest
// up to the last one. They are read under ctx. The error wraps ErrNotFound when
// the repository has no such blob.
func (r *Registry) Blob(ctx context.Context, repository string, d v1.Descriptor) (io.ReadCloser, error) {
	return somewhere(ctx, r, repository+"@"+d.Digest.String(), func(located name.Reference) (io.ReadCloser, error) {
		repo := located.Context()
		body, err := r.blob(ctx, repo, d)
		if err != nil {
			return nil, failure("reading blob", d.Digest.String(), "from", repo, err)
		}
		return newChecked(body, d), nil
	})
}

func (r *Registry) blob(ctx context.Context, repo name.Repository, d v1.Descriptor) (io.ReadCloser, error) {
	client, err := r.client(ctx, repo, []string{transport.PullScope})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, urlOf(repo, "blobs/"+d.Digest.String()), nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	if err := transport.CheckError(resp, http.StatusOK); err != nil {
		discard(resp)
		return nil, err
	}
	return resp.Body, nil
}

// BlobSource is where the bytes of a blob come from.
type BlobSource struct {
	// Repository is one that has the blob, or empty. If it lies in the registry
	// that the blob is to be put into, no byte travels.
	Repository string
	// Open returns the bytes. It may be called several times, or not at all.
	Open func() (io.ReadCloser, error)
}

// BytesSource is the source of a small blob that is at hand.
func BytesSource(data []byte) BlobSource {
	return BlobSource{Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }}
}

// PutBlob makes a repository have a blob: because it is there, by a mount within
// the registry, or by sending its bytes, which are checked on the way and sent
// again from their beginning when that fails in a way that may pass. A blob of
// another size under the digest is damaged, and is replaced.
func (r *Registry) PutBlob(ctx context.Context, repository string, d v1.Descriptor, from BlobSource) (Stored, error) {
	repo, err := r.locateRepository(repository)
	if err != nil {
		return Present, err
	}
	how, err := r.putBlob(ctx, repo, d, from)
	if err != nil {
		return how, failure("writing blob", d.Digest.String(), "to", repo, err)
	}
	r.mounts.Store(d.Digest, repo)
	return how, nil
}

func (r *Registry) putBlob(ctx context.Context, repo name.Repository, d v1.Descriptor, from BlobSource) (Stored, error) {
	source := r.neighbour(repo, d.Digest, from.Repository)
	if source != nil && source.RepositoryStr() != repo.RepositoryStr() {
		mounted, err := r.mount(ctx, repo, *source, d.Digest)
		if err != nil || mounted {
			return Mounted, err
		}
	}
	stored, err := r.storedSize(ctx, repo, d.Digest)
	switch {
	case err != nil:
		return Present, err
	case stored == d.Size:
		return Present, nil
	case stored >= 0:
		if err := r.deleteBlob(ctx, repo, d.Digest); err != nil {
			return Present, fmt.Errorf("replacing the damaged blob: %w", err)
		}
	}
	return Copied, r.send(ctx, repo, d, from.Open)
}

// neighbour returns a repository of the same registry that has a blob, if one is
// known. The one a caller names is only believed when it lies there.
func (r *Registry) neighbour(repo name.Repository, digest v1.Hash, named string) *name.Repository {
	if named != "" {
		if source, err := r.locateRepository(named); err == nil && source.RegistryStr() == repo.RegistryStr() {
			return &source
		}
	}
	known, ok := r.mounts.Load(digest)
	if !ok {
		return nil
	}
	if source := known.(name.Repository); source.RegistryStr() == repo.RegistryStr() {
		return &source
	}
	return nil
}

// mount asks the registry to take a blob from another of its repositories. One
// that does not do that begins an upload instead, which is left to it to forget.
func (r *Registry) mount(ctx context.Context, repo, from name.Repository, digest v1.Hash) (bool, error) {
	client, err := r.client(ctx, repo, []string{transport.PushScope}, from)
	if err != nil {
		return false, err
	}
	query := url.Values{"mount": {digest.String()}, "from": {from.RepositoryStr()}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, urlOf(repo, "blobs/uploads/?"+query.Encode()), nil)
	if err != nil {
		return false, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return false, err
	}
	defer discard(resp)
	switch resp.StatusCode {
	case http.StatusCreated:
		return true, nil
	case http.StatusAccepted:
		r.abandon(ctx, client, resp)
		return false, nil
	case http.StatusNotFound, http.StatusForbidden, http.StatusUnauthorized, http.StatusMethodNotAllowed, http.StatusBadRequest:
		return false, nil // what cannot be mounted is sent; if that is not allowed either, it says so
	}
	return false, transport.CheckError(resp, http.StatusCreated)
}

// abandon ends an upload that nothing will be sent to. It may fail.
func (r *Registry) abandon(ctx context.Context, client *http.Client, begun *http.Response) {
	location, err := begun.Location()
	if err != nil {
		return
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, location.String(), nil)
	if err != nil {
		return
	}
	if resp, err := client.Do(req); err == nil {
		discard(resp)
	}
}

// send uploads a blob, from its beginning again when that fails in a way that
// may pass.
func (r *Registry) send(ctx context.Context, repo name.Repository, d v1.Descriptor, open func() (io.ReadCloser, error)) error {
	for attempt := 1; ; attempt++ {
		asked := &hint{}
		err := r.sendOnce(context.WithValue(ctx, hintKey{}, asked), repo, d, open)
		if err == nil || ctx.Err() != nil || errors.Is(err, ErrNotFound) || attempt == r.patience.attempts || !worthAnotherUpload(err) {
			return err
		}
		if err := clock.Sleep(ctx, r.patience.before(attempt+1, asked.retryAfter)); err != nil {
			return err
		}
	}
}

// sendOnce uploads a blob in one request after the one that begins the upload.
func (r *Registry) sendOnce(ctx context.Context, repo name.Repository, d v1.Descriptor, open func() (io.ReadCloser, error)) error {
	client, err := r.client(ctx, repo, []string{transport.PushScope})
	if err != nil {
		return err
	}
	location, err := r.beginUpload(ctx, client, repo)
	if err != nil {
		return err
	}
	body, err := open()
	if err != nil {
		return err
	}
	defer body.Close()
	query := location.Query()
	query.Set("digest", d.Digest.String())
	location.RawQuery = query.Encode()
	source := newChecked(body, d)
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, location.String(), io.NopCloser(source))
	if err != nil {
		return err
	}
	req.ContentLength = d.Size
	if d.Size == 0 {
		req.Body = http.NoBody
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	resp, err := client.Do(req)
	if failed := source.failure(); failed != nil {
		// That is why the registry did not get all, and says more than the registry.
		err = failed
	}
	if err != nil {
		if resp != nil {
			discard(resp)
		}
		return err
	}
	defer discard(resp)
	return transport.CheckError(resp, http.StatusCreated, http.StatusNoContent, http.StatusAccepted)
}

func (r *Registry) beginUpload(ctx context.Context, client *http.Client, repo name.Repository) (*url.URL, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, urlOf(repo, "blobs/uploads/"), nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer discard(resp)
	if err := transport.CheckError(resp, http.StatusAccepted); err != nil {
		return nil, err
	}
	location, err := resp.Location()
	if err != nil {
		return nil, errors.New("the registry does not say where to upload to")
	}
	return location, nil
}

// PutManifest stores a manifest or index under a reference with a tag or a
// digest. What it names must be there. A manifest about another one is put into
// the list of what refers to that, also where the registry keeps no such list.
func (r *Registry) PutManifest(ctx context.Context, ref string, mediaType types.MediaType, raw []byte) error {
	located, err := r.Locate(ref)
	if err != nil {
		return err
	}
	if want, ok := located.(name.Digest); ok && !hasDigest(raw, v1.Hash{Algorithm: "sha256", Hex: want.DigestStr()[len("sha256:"):]}) {
		return fmt.Errorf("writing manifest %q: its bytes do not have this digest", ref)
	}
	if err := r.putManifest(ctx, located, mediaType, raw); err != nil {
		return failure("writing manifest", ref, "to", located.Context(), err)
	}
	return nil
}

func (r *Registry) putManifest(ctx context.Context, ref name.Reference, mediaType types.MediaType, raw []byte) error {
	subject, err := subjectOf(raw)
	if err != nil {
		return err
	}
	client, err := r.client(ctx, ref.Context(), []string{transport.PushScope})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, urlOf(ref.Context(), "manifests/"+ref.Identifier()), bytes.NewReader(raw))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", string(mediaType))
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer discard(resp)
	if err := transport.CheckError(resp, http.StatusCreated, http.StatusOK, http.StatusAccepted, http.StatusNoContent); err != nil {
		return err
	}
	if subject == nil || resp.Header.Get("OCI-Subject") != "" {
		return nil
	}
	about := ref.Context().Digest(subject.Digest.String())
	unlock := r.writers.lock(about.String())
	defer unlock()
	m, err := newRawManifest(raw, mediaType)
	if err != nil {
		return err
	}
	return r.list(ctx, about, m)
}

// subjectOf returns what a manifest is about, nil if it does not say.
func subjectOf(raw []byte) (*v1.Descriptor, error) {
	var m struct {
		Subject *v1.Descriptor `json:"subject"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("it is not a manifest: %w", err)
	}
	return m.Subject, nil
}
