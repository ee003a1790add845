package mirror

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/release"
)

// annotationFullName is where containerd and its tools look for the whole name of
// an image in a layout; here it tells where the image was copied from.
const annotationFullName = "io.containerd.image.name"

// fileStore is a layout or an archive, as this package writes it.
type fileStore interface {
	Has(d v1.Descriptor) bool
	PutBlob(ctx context.Context, repository string, d v1.Descriptor, from oci.BlobSource) (oci.Stored, error)
	List(ctx context.Context, entries ...v1.Descriptor) error
}

// filesDestination copies into a layout or an archive, whose index.json names
// what was copied in one step at the end.
type filesDestination struct {
	store fileStore
	room  func(v1.Descriptor) error

	mu      sync.Mutex
	entries []v1.Descriptor
}

// ToLayout copies to an OCI layout in a directory. Its images have the names that
// tags have in a registry, <version>-<arch>-<component>; the payload's entry has
// the annotation io.openshift.release as well.
func ToLayout(l *oci.Layout) Destination {
	return &filesDestination{store: l, room: func(v1.Descriptor) error { return nil }}
}

// ToArchive copies to a tar file or a series of them, named like ToLayout's.
func ToArchive(a *oci.Archive) Destination {
	return &filesDestination{store: a, room: a.Room}
}

// ToNothing is a place that has nothing, for a dry run towards files that do not
// exist yet. It takes nothing either.
func ToNothing() Destination {
	return &filesDestination{store: nothing{}, room: func(v1.Descriptor) error { return nil }}
}

type nothing struct{}

func (nothing) Has(v1.Descriptor) bool { return false }

func (nothing) PutBlob(context.Context, string, v1.Descriptor, oci.BlobSource) (oci.Stored, error) {
	return oci.Present, errors.New("this is a dry run")
}

func (nothing) List(context.Context, ...v1.Descriptor) error { return errors.New("this is a dry run") }

func (f *filesDestination) place(version, arch, component string) (repository, tag string, err error) {
	tag, err = tagFor(version, arch, component)
	return "", tag, err
}

func (f *filesDestination) has(d v1.Descriptor) bool { return f.store.Has(d) }

// present is false: what a layout has is looked up blob by blob, which costs
// nothing and finds what somebody removed.
func (f *filesDestination) present(context.Context, string, v1.Descriptor) (bool, error) {
	return false, nil
}

func (f *filesDestination) tagged(context.Context, string, string) (v1.Hash, error) {
	return v1.Hash{}, nil
}

func (f *filesDestination) listed(context.Context, string, v1.Hash) (map[v1.Hash]bool, error) {
	return nil, nil
}

func (f *filesDestination) replaceable(context.Context, string, string, manifest) (bool, error) {
	return true, nil
}

func (f *filesDestination) putBlob(ctx context.Context, repository string, d v1.Descriptor, from oci.BlobSource) (oci.Stored, error) {
	if err := f.room(d); err != nil {
		return oci.Present, err
	}
	return f.store.PutBlob(ctx, repository, d, from)
}

func (f *filesDestination) putManifest(ctx context.Context, _, tag string, m manifest) (oci.Stored, error) {
	how, err := f.store.PutBlob(ctx, "", m.descriptor, oci.BytesSource(m.raw))
	if err != nil || (tag == "" && m.subject == nil) {
		return how, err
	}
	d := v1.Descriptor{MediaType: m.descriptor.MediaType, Digest: m.descriptor.Digest, Size: m.descriptor.Size, ArtifactType: m.artifactType}
	d.Annotations = map[string]string{}
	if tag != "" {
		d.Annotations[oci.AnnotationRefName] = tag
	}
	if m.from != "" {
		d.Annotations[annotationFullName] = m.from
	}
	if m.version != "" {
		d.Annotations[release.LabelRelease] = m.version
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.entries = append(f.entries, d)
	return how, nil
}

func (f *filesDestination) finish(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	// The same content gives the same index.json, whoever was ready first.
	slices.SortFunc(f.entries, func(x, y v1.Descriptor) int {
		return cmp.Or(
			cmp.Compare(x.Annotations[oci.AnnotationRefName], y.Annotations[oci.AnnotationRefName]),
			cmp.Compare(x.Digest.String(), y.Digest.String()),
		)
	})
	return f.store.List(ctx, f.entries...)
}
