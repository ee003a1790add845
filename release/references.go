package release

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	imageStreamKind       = "ImageStream"
	imageStreamAPIVersion = "image.openshift.io/v1"
	dockerImageKind       = "DockerImage"
)

// tagPattern is that of registry tags, which component names are in an ImageStream.
var tagPattern = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}$`)

// ImageReferences is the file image-references: which image every component is.
// It is written as an ImageStream, for that is what its readers expect.
type ImageReferences struct {
	// Name is the version in a payload; in a component's own file it means nothing.
	Name        string
	Created     time.Time // whole seconds; zero is written as null
	Annotations map[string]string
	Tags        []ImageTag // sorted by name, each name once
}

// ImageTag is one component.
type ImageTag struct {
	Name string
	// Image is a pull spec: in a payload always by digest.
	Image string
	// Annotations tell where the image comes from: LabelCommit, LabelSource, LabelVersions.
	Annotations map[string]string
	// The rest means something to the API that image streams come from, and
	// nothing in a payload. It is kept so that what was read is written again.
	Generation      *int64
	ImportPolicy    json.RawMessage // a JSON object; empty stands for {}
	ReferencePolicy string
}

// The ImageStream as oc writes it, field by field in its order.
type imageStream struct {
	Kind       string            `json:"kind"`
	APIVersion string            `json:"apiVersion"`
	Metadata   streamMeta        `json:"metadata"`
	Spec       imageStreamSpec   `json:"spec"`
	Status     imageStreamStatus `json:"status"`
}

type streamMeta struct {
	Name              string            `json:"name"`
	CreationTimestamp *time.Time        `json:"creationTimestamp"`
	Annotations       map[string]string `json:"annotations,omitempty"`
}

type imageStreamSpec struct {
	LookupPolicy struct {
		Local bool `json:"local"`
	} `json:"lookupPolicy"`
	Tags []imageStreamTag `json:"tags"`
}

type imageStreamTag struct {
	Name            string            `json:"name"`
	Annotations     map[string]string `json:"annotations"`
	From            *objectReference  `json:"from"`
	Generation      *int64            `json:"generation"`
	ImportPolicy    json.RawMessage   `json:"importPolicy"`
	ReferencePolicy struct {
		Type string `json:"type"`
	} `json:"referencePolicy"`
}

type objectReference struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
}

type imageStreamStatus struct {
	DockerImageRepository string `json:"dockerImageRepository"`
}

// ParseImageReferences reads an image-references file in JSON. Fields it does
// not know are left out; another kind, a tag without an image, and a tag that
// occurs twice are errors, all reported at once.
func ParseImageReferences(data []byte) (ImageReferences, error) {
	var is imageStream
	err := json.Unmarshal(data, &is)
	if err != nil {
		return ImageReferences{}, fmt.Errorf("parsing %s: %w", ReferencesFile, err)
	}
	if is.Kind != imageStreamKind || (is.APIVersion != imageStreamAPIVersion && is.APIVersion != "v1") {
		return ImageReferences{}, fmt.Errorf("parsing %s: kind is %q in %q, expected %s in %s",
			ReferencesFile, is.Kind, is.APIVersion, imageStreamKind, imageStreamAPIVersion)
	}
	refs := ImageReferences{Name: is.Metadata.Name, Annotations: is.Metadata.Annotations}
	if t := is.Metadata.CreationTimestamp; t != nil {
		refs.Created = t.UTC().Truncate(time.Second)
	}
	var problems []error
	seen := map[string]bool{}
	for i, t := range is.Spec.Tags {
		if err := checkTag(t, seen); err != nil {
			problems = append(problems, fmt.Errorf("parsing %s: spec.tags[%d]: %w", ReferencesFile, i, err))
			continue
		}
		seen[t.Name] = true
		tag := ImageTag{Name: t.Name, Image: t.From.Name, Annotations: t.Annotations, Generation: t.Generation, ReferencePolicy: t.ReferencePolicy.Type}
		if tag.ImportPolicy, err = importPolicyOf(t.ImportPolicy); err != nil {
			problems = append(problems, fmt.Errorf("parsing %s: spec.tags[%d].importPolicy: %w", ReferencesFile, i, err))
		}
		refs.Tags = append(refs.Tags, tag)
	}
	refs.sort()
	return refs, errors.Join(problems...)
}

func checkTag(t imageStreamTag, seen map[string]bool) error {
	switch {
	case !tagPattern.MatchString(t.Name):
		return fmt.Errorf("%q is not the name of a component", t.Name)
	case seen[t.Name]:
		return fmt.Errorf("component %q is named twice", t.Name)
	case t.From == nil || t.From.Name == "":
		return fmt.Errorf("component %q has no image (from.name)", t.Name)
	case t.From.Kind != dockerImageKind:
		return fmt.Errorf("component %q: from.kind is %q, expected %s", t.Name, t.From.Kind, dockerImageKind)
	}
	return nil
}

// importPolicyOf returns the policy without white space, nil for an empty one.
func importPolicyOf(raw json.RawMessage) (json.RawMessage, error) {
	var policy map[string]json.RawMessage
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &policy); err != nil {
			return nil, err
		}
	}
	if len(policy) == 0 {
		return nil, nil
	}
	var compact bytes.Buffer
	err := json.Compact(&compact, raw)
	return compact.Bytes(), err
}

func (r *ImageReferences) sort() {
	slices.SortFunc(r.Tags, func(a, b ImageTag) int { return strings.Compare(a.Name, b.Name) })
}

// Image returns the pull spec of a component.
func (r ImageReferences) Image(component string) (string, bool) {
	for _, t := range r.Tags {
		if t.Name == component {
			return t.Image, true
		}
	}
	return "", false
}

// Marshal writes the file byte for byte as oc does: JSON indented by two spaces, no
// newline at the end, tags sorted.
func (r ImageReferences) Marshal() ([]byte, error) {
	r.Tags = slices.Clone(r.Tags)
	r.sort()
	is := imageStream{Kind: imageStreamKind, APIVersion: imageStreamAPIVersion}
	is.Metadata = streamMeta{Name: r.Name, Annotations: r.Annotations}
	if !r.Created.IsZero() {
		t := r.Created.UTC().Truncate(time.Second)
		is.Metadata.CreationTimestamp = &t
	}
	is.Spec.Tags = make([]imageStreamTag, 0, len(r.Tags))
	for _, t := range r.Tags {
		tag := imageStreamTag{
			Name: t.Name, Annotations: t.Annotations, From: &objectReference{Kind: dockerImageKind, Name: t.Image},
			Generation: t.Generation, ImportPolicy: t.ImportPolicy,
		}
		if len(tag.ImportPolicy) == 0 {
			tag.ImportPolicy = json.RawMessage("{}")
		}
		tag.ReferencePolicy.Type = t.ReferencePolicy
		is.Spec.Tags = append(is.Spec.Tags, tag)
	}
	data, err := json.MarshalIndent(is, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", ReferencesFile, err)
	}
	return data, nil
}
