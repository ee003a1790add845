package release

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// File is one file of a payload, by its name in release-manifests/.
type File struct {
	Name string
	Data []byte
}

// Payload is what a release image says. Its identity is Digest, for life.
type Payload struct {
	Version    Version
	Digest     v1.Hash
	Reference  string // pull spec by digest; empty when whoever loaded the image did not say where it came from
	Created    time.Time
	References ImageReferences
	Metadata   Metadata
	// Manifests are all other files, sorted by name. Most are YAML; some
	// payloads carry files that are no manifests.
	Manifests []File

	raw map[string][]byte
}

// FromFiles makes a payload of the files of release-manifests/ and checks that they
// belong together. All that is wrong is reported at once. Digest, Reference and Created stay empty.
func FromFiles(files []File) (*Payload, error) {
	p := &Payload{raw: map[string][]byte{}}
	var problems []error
	for _, f := range files {
		if _, twice := p.raw[f.Name]; twice {
			problems = append(problems, fmt.Errorf("reading payload: file %q occurs twice", f.Name))
		}
		p.raw[f.Name] = f.Data
		if f.Name != ReferencesFile && f.Name != MetadataFile {
			p.Manifests = append(p.Manifests, f)
		}
	}
	for _, name := range []string{ReferencesFile, MetadataFile} {
		if _, ok := p.raw[name]; !ok {
			problems = append(problems, fmt.Errorf("reading payload: file %q is missing", name))
		}
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	var refErr, metaErr error
	p.References, refErr = ParseImageReferences(p.raw[ReferencesFile])
	p.Metadata, metaErr = ParseMetadata(p.raw[MetadataFile])
	if err := errors.Join(refErr, metaErr); err != nil {
		return nil, fmt.Errorf("reading payload: %w", err)
	}
	p.Version = p.Metadata.Version
	sortFiles(p.Manifests)
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("reading payload %q: %w", p.Version, err)
	}
	return p, nil
}

func (p *Payload) check() error {
	var problems []error
	if p.References.Name != p.Metadata.Version.String() {
		problems = append(problems, fmt.Errorf("%s is named %q, but %s says version %q", ReferencesFile, p.References.Name, MetadataFile, p.Metadata.Version))
	}
	if len(p.References.Tags) == 0 {
		problems = append(problems, fmt.Errorf("%s names no image", ReferencesFile))
	}
	for _, t := range p.References.Tags {
		if _, err := name.NewDigest(t.Image); err != nil {
			problems = append(problems, fmt.Errorf("component %q: image %q is not pinned by digest", t.Name, t.Image))
		}
	}
	if _, err := p.References.ComponentVersions(); err != nil {
		problems = append(problems, err)
	}
	for _, f := range p.Manifests {
		if f.Name == "" || f.Name == "." || f.Name == ".." || strings.ContainsAny(f.Name, "/\\\x00") {
			problems = append(problems, fmt.Errorf("%q is not the name of a file", f.Name))
		}
	}
	return errors.Join(problems...)
}

// Image returns the pull spec, by digest, of a component.
func (p *Payload) Image(component string) (string, bool) { return p.References.Image(component) }

// Components returns the names of all components, sorted.
func (p *Payload) Components() []string {
	names := make([]string, 0, len(p.References.Tags))
	for _, t := range p.References.Tags {
		names = append(names, t.Name)
	}
	return names
}

// Contains reports whether one of the payload's components is exactly this image.
func (p *Payload) Contains(image string) bool {
	for _, t := range p.References.Tags {
		if t.Image == image {
			return true
		}
	}
	return false
}

// ComponentVersion returns the version that the images announce for a key such
// as "kubernetes", if they announce one and agree on it.
func (p *Payload) ComponentVersion(key string) (string, bool) {
	all, err := p.References.ComponentVersions()
	if err != nil || len(all[key]) != 1 {
		return "", false
	}
	return all[key][0], true
}

// KubernetesVersion returns the version of Kubernetes without a leading v, "1.36.3".
func (p *Payload) KubernetesVersion() (string, error) {
	all, err := p.References.ComponentVersions()
	if err != nil {
		return "", fmt.Errorf("reading the Kubernetes version of payload %q: %w", p.Version, err)
	}
	switch versions := all["kubernetes"]; len(versions) {
	case 0:
		return "", fmt.Errorf("reading the Kubernetes version of payload %q: no component announces one (label %s)", p.Version, LabelVersions)
	case 1:
		return versions[0], nil
	default:
		return "", fmt.Errorf("reading the Kubernetes version of payload %q: components disagree: %s", p.Version, strings.Join(versions, ", "))
	}
}

// File returns the bytes of one file of release-manifests/ as they stand in the
// image, ReferencesFile and MetadataFile included.
func (p *Payload) File(name string) ([]byte, bool) {
	data, ok := p.raw[name]
	return data, ok
}
