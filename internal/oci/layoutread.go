package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sort"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// missing is the error for what a layout does not hold.
func (l *Layout) missing(what, ref string) error {
	return fmt.Errorf("%s %q in OCI layout %q: %w", what, ref, l.path, ErrNotFound)
}

// splitReference returns the digest a reference ends in, if it does, and the
// names under which it may be stored otherwise.
func splitReference(ref string) (*v1.Hash, []string, error) {
	if _, digest, ok := strings.Cut(ref, "@"); ok {
		h, err := v1.NewHash(digest)
		if err != nil {
			return nil, nil, fmt.Errorf("reading image reference %q: what follows @ is not a sha256 digest", ref)
		}
		return &h, nil, nil
	}
	if strings.HasPrefix(ref, "sha256:") {
		if h, err := v1.NewHash(ref); err == nil {
			return &h, nil, nil
		}
	}
	return nil, []string{ref, tagOf(ref)}, nil
}

// tagOf returns the tag of a reference; one without colon is a tag itself.
func tagOf(ref string) string {
	if i := strings.LastIndexByte(ref, ':'); i > strings.LastIndexByte(ref, '/') {
		return ref[i+1:]
	}
	return ref
}

// Descriptor returns digest, size and media type of the manifest or index that a
// reference names, and the annotations that index.json has for it. The error
// wraps ErrNotFound when the layout has none.
func (l *Layout) Descriptor(_ context.Context, ref string) (v1.Descriptor, error) {
	digest, names, err := splitReference(ref)
	if err != nil {
		return v1.Descriptor{}, err
	}
	c, err := l.contents()
	if err != nil {
		return v1.Descriptor{}, err
	}
	if digest != nil {
		if d, ok := c.digests[*digest]; ok {
			return d, nil
		}
		return l.sniff(*digest, ref)
	}
	for _, n := range names {
		if d, ok := c.names[n]; ok {
			return d, nil
		}
	}
	return v1.Descriptor{}, l.missing("resolving image", ref)
}

// sniff finds out about a manifest that index.json does not list: one inside an
// index, or one that somebody else's tool left out.
func (l *Layout) sniff(digest v1.Hash, ref string) (v1.Descriptor, error) {
	size, err := l.files.size(blobName(digest))
	if errors.Is(err, fs.ErrNotExist) {
		return v1.Descriptor{}, l.missing("resolving image", ref)
	}
	if err != nil {
		return v1.Descriptor{}, fmt.Errorf("resolving image %q in OCI layout %q: %w", ref, l.path, err)
	}
	d := v1.Descriptor{Digest: digest, Size: size}
	raw, err := l.readManifest(d)
	if err != nil {
		return v1.Descriptor{}, fmt.Errorf("resolving image %q in OCI layout %q: %w", ref, l.path, err)
	}
	d.MediaType, err = mediaTypeOf(raw)
	if err != nil {
		return v1.Descriptor{}, fmt.Errorf("resolving image %q in OCI layout %q: %w", ref, l.path, err)
	}
	return d, nil
}

// mediaTypeOf reads the media type that a manifest gives itself; OCI manifests
// may leave it out.
func mediaTypeOf(raw []byte) (types.MediaType, error) {
	var m struct {
		MediaType types.MediaType `json:"mediaType"`
		Manifests json.RawMessage `json:"manifests"`
		Layers    json.RawMessage `json:"layers"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return "", fmt.Errorf("it is not a manifest: %w", err)
	}
	switch {
	case m.MediaType != "":
		return m.MediaType, nil
	case m.Manifests != nil:
		return types.OCIImageIndex, nil
	case m.Layers != nil:
		return types.OCIManifestSchema1, nil
	}
	return "", errors.New("it is not a manifest")
}

// readManifest reads a manifest whole and checks it.
func (l *Layout) readManifest(d v1.Descriptor) ([]byte, error) {
	if d.Size > maxManifest {
		return nil, fmt.Errorf("manifest %s has %d bytes, more than the %d allowed", d.Digest, d.Size, maxManifest)
	}
	body, err := l.openBlob(d)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(body)
}

// openBlob returns a blob's bytes, which are checked up to the last one.
func (l *Layout) openBlob(d v1.Descriptor) (io.ReadCloser, error) {
	body, size, err := l.files.open(blobName(d.Digest))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, l.missing("reading blob", d.Digest.String())
	}
	if err != nil {
		return nil, fmt.Errorf("reading blob %s in OCI layout %q: %w", d.Digest, l.path, err)
	}
	if size != d.Size {
		body.Close()
		return nil, fmt.Errorf("reading OCI layout %q: %w", l.path, &damagedError{fmt.Sprintf("blob %s has %d bytes instead of %d", d.Digest, size, d.Size)})
	}
	return newChecked(body, d), nil
}

// Manifest returns the bytes of the manifest or index a reference names. The
// error wraps ErrNotFound when the layout has none.
func (l *Layout) Manifest(ctx context.Context, ref string) ([]byte, v1.Descriptor, error) {
	d, err := l.Descriptor(ctx, ref)
	if err != nil {
		return nil, d, err
	}
	raw, err := l.readManifest(d)
	if err != nil {
		return nil, d, fmt.Errorf("reading image %q: %w", ref, err)
	}
	return raw, d, nil
}

// Blob returns the bytes of a blob, checked against its digest up to the last
// one. repository is not looked at.
func (l *Layout) Blob(_ context.Context, _ string, d v1.Descriptor) (io.ReadCloser, error) {
	return l.openBlob(d)
}

// Resolve returns the digest of the manifest or index a reference names. The
// error wraps ErrNotFound when the layout has none.
func (l *Layout) Resolve(ctx context.Context, ref string) (v1.Hash, error) {
	d, err := l.Descriptor(ctx, ref)
	return d.Digest, err
}

// Image returns the image a reference names; of a multi-platform index, the one
// for the layout's platform. Layers are read when they are asked for. The error
// wraps ErrNotFound when the layout has no such image.
func (l *Layout) Image(ctx context.Context, ref string) (v1.Image, error) {
	d, err := l.Descriptor(ctx, ref)
	if err != nil {
		return nil, err
	}
	img, err := l.imageOf(d, 0)
	if err != nil {
		return nil, fmt.Errorf("reading image %q from OCI layout %q: %w", ref, l.path, err)
	}
	return img, nil
}

func (l *Layout) imageOf(d v1.Descriptor, depth int) (v1.Image, error) {
	if !d.MediaType.IsIndex() {
		return newLayoutImage(l, d)
	}
	if depth == maxDepth {
		return nil, fmt.Errorf("indexes lie in one another more than %d deep", maxDepth)
	}
	index, err := newLayoutIndex(l, d)
	if err != nil {
		return nil, err
	}
	for _, child := range index.manifest.Manifests {
		// An entry that does not say what it is for is for the platform that
		// registries' clients take it for.
		platform := v1.Platform{OS: "linux", Architecture: "amd64"}
		if child.Platform != nil {
			platform = *child.Platform
		}
		if platform.Satisfies(l.platform) {
			return l.imageOf(child, depth+1)
		}
	}
	return nil, fmt.Errorf("the index has no image for platform %s", l.platform)
}

// Index returns the multi-platform index a reference names. A single image is an
// error; Descriptor tells which it is.
func (l *Layout) Index(ctx context.Context, ref string) (v1.ImageIndex, error) {
	d, err := l.Descriptor(ctx, ref)
	if err != nil {
		return nil, err
	}
	if !d.MediaType.IsIndex() {
		return nil, fmt.Errorf("reading image index %q from OCI layout %q: it is a single image", ref, l.path)
	}
	index, err := newLayoutIndex(l, d)
	if err != nil {
		return nil, fmt.Errorf("reading image index %q from OCI layout %q: %w", ref, l.path, err)
	}
	return index, nil
}

// Tags returns the names of the layout's images in sorted order. The repository
// is not looked at.
func (l *Layout) Tags(context.Context, string) ([]string, error) {
	c, err := l.contents()
	if err != nil {
		return nil, err
	}
	tags := make([]string, 0, len(c.names))
	for n := range c.names {
		tags = append(tags, tagOf(n))
	}
	sort.Strings(tags)
	return slices.Compact(tags), nil
}

// Referrers returns what was attached to an image, of one artifact type or, when
// that is empty, of all. subject must end in a digest.
func (l *Layout) Referrers(_ context.Context, subject, artifactType string) ([]Referrer, error) {
	digest, _, err := splitReference(subject)
	if err != nil {
		return nil, err
	}
	if digest == nil {
		return nil, fmt.Errorf("reading image reference %q: it must end in a digest, @sha256:…", subject)
	}
	c, err := l.contents()
	if err != nil {
		return nil, err
	}
	c.once.Do(func() { c.subjects, c.err = l.subjects(c) })
	if c.err != nil {
		return nil, fmt.Errorf("listing what refers to image %q in OCI layout %q: %w", subject, l.path, c.err)
	}
	return referrersOf(subject, c.subjects[*digest], artifactType), nil
}

// subjects finds what refers to what: in the manifests that index.json lists,
// and in the lists sha256-<hex> that clients keep where a registry keeps none.
func (l *Layout) subjects(c *contents) (map[v1.Hash][]v1.Descriptor, error) {
	found := map[v1.Hash][]v1.Descriptor{}
	seen := map[[2]v1.Hash]bool{}
	add := func(d v1.Descriptor) error {
		subject, d, err := l.describeReferrer(d)
		if err != nil || subject == nil || seen[[2]v1.Hash{*subject, d.Digest}] {
			return err
		}
		seen[[2]v1.Hash{*subject, d.Digest}] = true
		found[*subject] = append(found[*subject], d)
		return nil
	}
	for _, d := range c.index.Manifests {
		if !d.MediaType.IsIndex() {
			if err := add(d); err != nil {
				return nil, err
			}
			continue
		}
		if _, err := v1.NewHash(strings.Replace(d.Annotations[AnnotationRefName], "-", ":", 1)); err != nil {
			continue
		}
		list, err := newLayoutIndex(l, d)
		if err != nil {
			return nil, err
		}
		for _, m := range list.manifest.Manifests {
			if err := add(m); err != nil && !errors.Is(err, ErrNotFound) {
				return nil, err
			}
		}
	}
	return found, nil
}

// describeReferrer returns the subject of a manifest, and its descriptor as lists
// of referrers show it: with the manifest's type and annotations.
func (l *Layout) describeReferrer(d v1.Descriptor) (*v1.Hash, v1.Descriptor, error) {
	raw, err := l.readManifest(d)
	if err != nil {
		return nil, d, err
	}
	var m struct {
		ArtifactType string            `json:"artifactType"`
		Config       v1.Descriptor     `json:"config"`
		Subject      *v1.Descriptor    `json:"subject"`
		Annotations  map[string]string `json:"annotations"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, d, fmt.Errorf("manifest %s is not valid: %w", d.Digest, err)
	}
	if m.Subject == nil {
		return nil, d, nil
	}
	d.ArtifactType, d.Annotations = m.ArtifactType, m.Annotations
	if d.ArtifactType == "" {
		d.ArtifactType = string(m.Config.MediaType)
	}
	return &m.Subject.Digest, d, nil
}

// Fetch returns an artifact's content, checked against its digest. An artifact
// that does not refer to the subject it was listed for is an error.
func (l *Layout) Fetch(_ context.Context, ref Referrer) ([]byte, error) {
	content, err := l.fetch(ref)
	if err != nil {
		return nil, fmt.Errorf("reading artifact %q from OCI layout %q: %w", ref.Digest, l.path, err)
	}
	return content, nil
}

func (l *Layout) fetch(ref Referrer) ([]byte, error) {
	subject, _, err := splitReference(ref.Subject)
	if err != nil {
		return nil, err
	}
	if subject == nil {
		return nil, fmt.Errorf("its subject %q must end in a digest, @sha256:…", ref.Subject)
	}
	raw, err := l.readManifest(v1.Descriptor{Digest: ref.Digest, Size: ref.Size})
	if err != nil {
		return nil, err
	}
	content, err := soleContent(raw, subject.String())
	if err != nil {
		return nil, err
	}
	body, err := l.openBlob(content)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(body)
}

// soleContent returns the one part of an artifact about a subject.
func soleContent(raw []byte, subject string) (v1.Descriptor, error) {
	manifest, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil {
		return v1.Descriptor{}, fmt.Errorf("its manifest is not valid: %w", err)
	}
	if manifest.Subject == nil || manifest.Subject.Digest.String() != subject {
		return v1.Descriptor{}, fmt.Errorf("it is not about %s", subject)
	}
	if len(manifest.Layers) != 1 {
		return v1.Descriptor{}, fmt.Errorf("it has %d parts instead of one", len(manifest.Layers))
	}
	if size := manifest.Layers[0].Size; size > maxArtifact {
		return v1.Descriptor{}, fmt.Errorf("it has %d bytes, more than the %d allowed", size, maxArtifact)
	}
	return manifest.Layers[0], nil
}

// referrersOf turns a list of descriptors into what Referrers returns.
func referrersOf(subject string, list []v1.Descriptor, artifactType string) []Referrer {
	var found []Referrer
	for _, m := range list {
		if artifactType != "" && m.ArtifactType != artifactType {
			continue
		}
		found = append(found, Referrer{Subject: subject, Digest: m.Digest, Size: m.Size, ArtifactType: m.ArtifactType, Annotations: m.Annotations})
	}
	return found
}
