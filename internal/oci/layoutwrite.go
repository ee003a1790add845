package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"
)

// Stored says how a blob came to be where it is now.
type Stored int

// A blob was there before, or was taken from another repository of the same
// registry, or its bytes were copied.
const (
	Present Stored = iota
	Mounted
	Copied
)

// String names the way for reports.
func (s Stored) String() string {
	return [...]string{"present", "mounted", "copied"}[s]
}

// begin makes ready for writing, or says why that cannot be.
func (l *Layout) begin() error {
	if l.writable == nil {
		return fmt.Errorf("writing OCI layout %q: a layout in a tar file can only be read", l.path)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.writable.beginWriting(); err != nil {
		return fmt.Errorf("writing OCI layout %q: %w", l.path, err)
	}
	return nil
}

// Has says whether the layout has a blob of this digest and size.
func (l *Layout) Has(d v1.Descriptor) bool {
	size, err := l.files.size(blobName(d.Digest))
	return err == nil && size == d.Size
}

// PutBlob stores a blob under its digest, unless one of that size is there.
// from is opened only when the bytes are needed; they are checked, and a blob
// that does not have its digest is never seen under it. repository is not
// looked at.
func (l *Layout) PutBlob(_ context.Context, _ string, d v1.Descriptor, from BlobSource) (Stored, error) {
	if err := l.begin(); err != nil {
		return Present, err
	}
	if l.Has(d) {
		return Present, nil
	}
	body, err := from.Open()
	if err != nil {
		return Present, err
	}
	defer body.Close()
	if err := l.writable.writeBlob(d, body); err != nil {
		return Present, fmt.Errorf("writing blob %s to OCI layout %q: %w", d.Digest, l.path, err)
	}
	return Copied, nil
}

// putManifest stores a manifest as a blob.
func (l *Layout) putManifest(ctx context.Context, raw []byte, media types.MediaType) (v1.Descriptor, error) {
	digest, size, err := v1.SHA256(bytes.NewReader(raw))
	if err != nil {
		return v1.Descriptor{}, err
	}
	d := v1.Descriptor{MediaType: media, Digest: digest, Size: size}
	_, err = l.PutBlob(ctx, "", d, BytesSource(raw))
	return d, err
}

// List makes index.json list manifests that the layout has, all of them at once.
// One that bears a name under AnnotationRefName takes it from whatever bore it
// before; one without is listed once.
func (l *Layout) List(ctx context.Context, entries ...v1.Descriptor) error {
	if err := l.begin(); err != nil {
		return err
	}
	return l.update(ctx, func(index *v1.IndexManifest) error {
		mergeEntries(index, entries)
		return nil
	})
}

// update changes index.json under a lock.
func (l *Layout) update(ctx context.Context, change func(*v1.IndexManifest) error) error {
	unlock, err := l.writable.lock(ctx)
	if err != nil {
		return fmt.Errorf("writing OCI layout %q: %w", l.path, err)
	}
	defer unlock()
	index, err := l.readIndex()
	if errors.Is(err, fs.ErrNotExist) {
		index, err = emptyIndex(), nil
	}
	if err != nil {
		return fmt.Errorf("writing OCI layout %q: %w", l.path, err)
	}
	before, err := json.Marshal(index)
	if err != nil {
		return err
	}
	if err := change(index); err != nil {
		return err
	}
	data, err := json.Marshal(index)
	if err != nil {
		return err
	}
	if bytes.Equal(before, data) && len(index.Manifests) > 0 {
		return nil
	}
	// Everything that index.json names must be on the disk before it is.
	if err := l.writable.syncFolders(); err != nil {
		return fmt.Errorf("writing OCI layout %q: %w", l.path, err)
	}
	if err := l.writable.writeFile(indexFile, data); err != nil {
		return fmt.Errorf("writing OCI layout %q: %w", l.path, err)
	}
	return l.writable.syncFolders()
}

// mergeEntries adds descriptors to an index as List says.
func mergeEntries(index *v1.IndexManifest, entries []v1.Descriptor) {
	for _, e := range entries {
		name := e.Annotations[AnnotationRefName]
		same := func(d v1.Descriptor) bool { return d.Digest == e.Digest && d.Annotations[AnnotationRefName] == name }
		if i := slices.IndexFunc(index.Manifests, same); i >= 0 {
			index.Manifests[i] = e
			continue
		}
		if name == "" {
			if !slices.ContainsFunc(index.Manifests, func(d v1.Descriptor) bool { return d.Digest == e.Digest }) {
				index.Manifests = append(index.Manifests, e)
			}
			continue
		}
		index.Manifests = slices.DeleteFunc(index.Manifests, func(d v1.Descriptor) bool {
			was := d.Annotations[AnnotationRefName]
			return was == name || (was == "" && d.Digest == e.Digest)
		})
		index.Manifests = append(index.Manifests, e)
	}
}

// Push stores an image and returns its digest. Under a reference with a tag it
// is found by that tag; under a digest or the empty reference, by its digest.
func (l *Layout) Push(ctx context.Context, ref string, img v1.Image) (v1.Hash, error) {
	digest, err := img.Digest()
	if err != nil {
		return v1.Hash{}, fmt.Errorf("pushing image %q: %w", ref, err)
	}
	d, err := l.pushAs(ctx, ref, digest)
	if err == nil {
		err = layoutPlace{l}.image(ctx, img)
	}
	if err == nil {
		d, err = describeManifest(d, img)
	}
	if err == nil {
		err = l.List(ctx, d)
	}
	if err != nil {
		return v1.Hash{}, fmt.Errorf("pushing image %q: %w", ref, err)
	}
	return digest, nil
}

// PushIndex stores a multi-platform index with everything it names, and returns
// its digest.
func (l *Layout) PushIndex(ctx context.Context, ref string, index v1.ImageIndex) (v1.Hash, error) {
	digest, err := index.Digest()
	if err != nil {
		return v1.Hash{}, fmt.Errorf("pushing image index %q: %w", ref, err)
	}
	d, err := l.pushAs(ctx, ref, digest)
	if err == nil {
		err = pushChildren(ctx, layoutPlace{l}, index, 1)
	}
	if err == nil {
		err = layoutPlace{l}.manifest(ctx, index)
	}
	if err == nil {
		d, err = describeManifest(d, index)
	}
	if err == nil {
		err = l.List(ctx, d)
	}
	if err != nil {
		return v1.Hash{}, fmt.Errorf("pushing image index %q: %w", ref, err)
	}
	return digest, nil
}

// pushAs begins the entry of index.json for something pushed under a reference.
func (l *Layout) pushAs(_ context.Context, ref string, digest v1.Hash) (v1.Descriptor, error) {
	if err := l.begin(); err != nil {
		return v1.Descriptor{}, err
	}
	d := v1.Descriptor{Digest: digest}
	if ref == "" {
		return d, nil
	}
	want, _, err := splitReference(ref)
	if err != nil {
		return d, err
	}
	if want == nil {
		d.Annotations = map[string]string{AnnotationRefName: tagOf(ref)}
	} else if *want != digest {
		return d, fmt.Errorf("its digest is %s", digest)
	}
	return d, nil
}

// describeManifest completes an entry of index.json.
func describeManifest(d v1.Descriptor, m interface {
	MediaType() (types.MediaType, error)
	Size() (int64, error)
}) (v1.Descriptor, error) {
	var err error
	if d.MediaType, err = m.MediaType(); err != nil {
		return d, err
	}
	d.Size, err = m.Size()
	return d, err
}

// layoutPlace takes the parts of an index into a layout.
type layoutPlace struct{ layout *Layout }

func (p layoutPlace) image(ctx context.Context, img v1.Image) error {
	blobs, err := blobsOf(img)
	if err != nil {
		return err
	}
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(p.layout.jobs)
	for _, b := range blobs {
		group.Go(func() error { return p.layout.putLayer(within, b) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return p.put(ctx, img)
}

func (p layoutPlace) manifest(ctx context.Context, index v1.ImageIndex) error {
	return p.put(ctx, index)
}

func (p layoutPlace) put(ctx context.Context, m interface {
	MediaType() (types.MediaType, error)
	RawManifest() ([]byte, error)
}) error {
	raw, err := m.RawManifest()
	if err != nil {
		return err
	}
	media, err := m.MediaType()
	if err != nil {
		return err
	}
	_, err = p.layout.putManifest(ctx, raw, media)
	return err
}

func (l *Layout) putLayer(ctx context.Context, layer v1.Layer) error {
	d, err := describe(layer)
	if err != nil {
		return err
	}
	_, err = l.PutBlob(ctx, "", d, BlobSource{Open: layer.Compressed})
	return err
}

// Tag gives an image that the layout has a further name. ref must end in a
// digest.
func (l *Layout) Tag(ctx context.Context, ref, tag string) error {
	digest, _, err := splitReference(ref)
	if err != nil {
		return err
	}
	if digest == nil {
		return fmt.Errorf("tagging image %q: it must be named by digest, @sha256:…", ref)
	}
	d, err := l.Descriptor(ctx, ref)
	if err != nil {
		return fmt.Errorf("tagging image %q as %q: %w", ref, tag, err)
	}
	annotations := map[string]string{}
	for k, v := range d.Annotations {
		annotations[k] = v
	}
	annotations[AnnotationRefName] = tag
	d.Annotations = annotations
	return l.List(ctx, d)
}

// Attach stores an artifact beside an image, as a referrer of OCI 1.1, and
// returns the digest of the artifact's manifest. subject must end in a digest,
// and the layout must have it. Attaching the same artifact again changes nothing.
func (l *Layout) Attach(ctx context.Context, subject string, a Artifact) (v1.Hash, error) {
	digest, err := l.attach(ctx, subject, a)
	if err != nil {
		return v1.Hash{}, fmt.Errorf("attaching %s to image %q: %w", a.Type, subject, err)
	}
	return digest, nil
}

func (l *Layout) attach(ctx context.Context, subject string, a Artifact) (v1.Hash, error) {
	named, _, err := splitReference(subject)
	if err != nil {
		return v1.Hash{}, err
	}
	if named == nil {
		return v1.Hash{}, errors.New("it must be named by digest, @sha256:…")
	}
	described, err := l.Descriptor(ctx, subject)
	if err != nil {
		return v1.Hash{}, err
	}
	content := static.NewLayer(a.Content, types.MediaType(a.MediaType))
	manifest, err := newArtifactManifest(a, content, described)
	if err != nil {
		return v1.Hash{}, err
	}
	for _, blob := range []v1.Layer{emptyConfig, content} {
		if err := l.putLayer(ctx, blob); err != nil {
			return v1.Hash{}, err
		}
	}
	d, err := l.putManifest(ctx, manifest.raw, types.OCIManifestSchema1)
	if err != nil {
		return v1.Hash{}, err
	}
	d.ArtifactType, d.Annotations = a.Type, a.Annotations
	return d.Digest, l.List(ctx, d)
}

// Amend changes the image under a tag that others may change at the same time,
// as Registry's Amend does. change may run many times.
func (l *Layout) Amend(ctx context.Context, ref string, change func(v1.Image) (v1.Image, error)) error {
	for {
		var img v1.Image
		before, err := l.Descriptor(ctx, ref)
		if err == nil {
			img, err = l.Image(ctx, ref)
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		next, err := change(img)
		if err != nil || next == nil {
			return err
		}
		again, err := l.replace(ctx, ref, before.Digest, next)
		if err != nil || !again {
			return err
		}
	}
}

// replace stores an image under a tag if the tag still names what it did.
func (l *Layout) replace(ctx context.Context, ref string, before v1.Hash, img v1.Image) (changed bool, err error) {
	digest, err := img.Digest()
	if err != nil {
		return false, err
	}
	d, err := l.pushAs(ctx, ref, digest)
	if err != nil {
		return false, err
	}
	if d, err = describeManifest(d, img); err != nil {
		return false, err
	}
	if err := (layoutPlace{l}).image(ctx, img); err != nil {
		return false, err
	}
	err = l.update(ctx, func(index *v1.IndexManifest) error {
		var now v1.Hash
		for _, e := range index.Manifests {
			if e.Annotations[AnnotationRefName] == tagOf(ref) {
				now = e.Digest
			}
		}
		if changed = now != before; !changed {
			mergeEntries(index, []v1.Descriptor{d})
		}
		return nil
	})
	return changed, err
}
