package mirror

import (
	"encoding/json"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// manifest is a manifest or index on its way.
type manifest struct {
	raw          []byte
	descriptor   v1.Descriptor
	blobs        []v1.Descriptor // configuration and layers, each once
	layers       []v1.Descriptor // the layers alone
	children     []v1.Descriptor // of an index
	subject      *v1.Descriptor
	artifactType string

	from    string // where it was read, for the main images of a release
	version string // of the release, for its payload
}

// parseManifest reads what a manifest names. One of a kind that nobody knows, and
// sizes below zero, are errors.
func parseManifest(d v1.Descriptor, raw []byte) (manifest, error) {
	var parsed struct {
		ArtifactType string          `json:"artifactType"`
		Config       *v1.Descriptor  `json:"config"`
		Layers       []v1.Descriptor `json:"layers"`
		Manifests    []v1.Descriptor `json:"manifests"`
		Subject      *v1.Descriptor  `json:"subject"`
	}
	if err := json.Unmarshal(raw, &parsed); err != nil {
		return manifest{}, fmt.Errorf("manifest %s is not valid: %w", d.Digest, err)
	}
	m := manifest{raw: raw, descriptor: d, layers: parsed.Layers, subject: parsed.Subject, artifactType: parsed.ArtifactType}
	m.descriptor.Annotations, m.descriptor.Platform = nil, nil
	if d.MediaType.IsSchema1() {
		return manifest{}, fmt.Errorf("manifest %s is of Docker's schema 1, which has no sizes; push the image again with a newer tool", d.Digest)
	}
	if d.MediaType.IsIndex() {
		m.children = once(parsed.Manifests)
		return m, checkSizes(d, m.children)
	}
	if parsed.Config == nil {
		return manifest{}, fmt.Errorf("manifest %s is neither an image's nor an index's", d.Digest)
	}
	m.blobs = once(append([]v1.Descriptor{*parsed.Config}, parsed.Layers...))
	if m.subject != nil && m.artifactType == "" {
		m.artifactType = string(parsed.Config.MediaType)
	}
	return m, checkSizes(d, m.blobs)
}

func once(all []v1.Descriptor) []v1.Descriptor {
	seen := map[v1.Hash]bool{}
	var unique []v1.Descriptor
	for _, d := range all {
		// Layers that only their maker may hand out are not in registries.
		if !seen[d.Digest] && d.MediaType.IsDistributable() {
			seen[d.Digest] = true
			unique = append(unique, d)
		}
	}
	return unique
}

func checkSizes(d v1.Descriptor, parts []v1.Descriptor) error {
	for _, p := range parts {
		if p.Size < 0 || p.Digest.Hex == "" {
			return fmt.Errorf("manifest %s names %q with %d bytes", d.Digest, p.Digest, p.Size)
		}
	}
	return nil
}
