package oci

import (
	"bytes"
	"encoding/json"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// emptyConfig is what the OCI image specification 1.1 wants as configuration of
// an artifact that has none.
var emptyConfig = static.NewLayer([]byte("{}"), "application/vnd.oci.empty.v1+json")

// Artifact is something to be said about an image.
type Artifact struct {
	Type        string // artifactType, by which it is found
	MediaType   string // of Content
	Content     []byte
	Annotations map[string]string // of the manifest; the registry shows them in lists
}

// rawManifest is a manifest as go-containerregistry puts it.
type rawManifest struct {
	raw    []byte
	media  types.MediaType
	digest v1.Hash
}

var _ remote.Taggable = (*rawManifest)(nil)

func newRawManifest(raw []byte, media types.MediaType) (*rawManifest, error) {
	digest, _, err := v1.SHA256(bytes.NewReader(raw))
	return &rawManifest{raw: raw, media: media, digest: digest}, err
}

// newArtifactManifest is an image manifest about another image.
func newArtifactManifest(a Artifact, content v1.Layer, subject v1.Descriptor) (*rawManifest, error) {
	config, err := describe(emptyConfig)
	if err != nil {
		return nil, err
	}
	layer, err := describe(content)
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(v1.Manifest{
		SchemaVersion: 2,
		MediaType:     types.OCIManifestSchema1,
		ArtifactType:  a.Type,
		Config:        config,
		Layers:        []v1.Descriptor{layer},
		Subject:       &v1.Descriptor{MediaType: subject.MediaType, Digest: subject.Digest, Size: subject.Size},
		Annotations:   a.Annotations,
	})
	if err != nil {
		return nil, err
	}
	return newRawManifest(raw, types.OCIManifestSchema1)
}

func describe(l v1.Layer) (v1.Descriptor, error) {
	digest, err := l.Digest()
	if err != nil {
		return v1.Descriptor{}, err
	}
	size, err := l.Size()
	if err != nil {
		return v1.Descriptor{}, err
	}
	mediaType, err := l.MediaType()
	return v1.Descriptor{MediaType: mediaType, Digest: digest, Size: size}, err
}

// RawManifest implements remote.Taggable.
func (m *rawManifest) RawManifest() ([]byte, error) { return m.raw, nil }

// MediaType tells the library what it puts.
func (m *rawManifest) MediaType() (types.MediaType, error) { return m.media, nil }
