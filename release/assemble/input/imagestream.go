package input

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"sigs.k8s.io/yaml"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/assemble"
	"github.com/slipway-release/slipway/release/manifests"
)

// The reference modes say which pull spec of an ImageStream's image is taken.
const (
	// ReferencePublic is the stream's public repository, where it has one.
	ReferencePublic = "public"
	// ReferenceSource is where the image was imported from.
	ReferenceSource = "source"
)

// maxImageStream is the size of an ImageStream that is read, in bytes.
const maxImageStream = 16 << 20

// stream is an ImageStream of image.openshift.io/v1, with the fields that say
// where images are.
type stream struct {
	Kind       string `json:"kind"`
	APIVersion string `json:"apiVersion"`
	Metadata   struct {
		Name        string            `json:"name"`
		Namespace   string            `json:"namespace"`
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
	Spec struct {
		Tags []specTag `json:"tags"`
	} `json:"spec"`
	Status struct {
		Repository       string      `json:"dockerImageRepository"`
		PublicRepository string      `json:"publicDockerImageRepository"`
		Tags             []statusTag `json:"tags"`
	} `json:"status"`
}

type specTag struct {
	Name        string            `json:"name"`
	Annotations map[string]string `json:"annotations"`
	From        *struct {
		Kind string `json:"kind"`
		Name string `json:"name"`
	} `json:"from"`
	Generation      *int64          `json:"generation"`
	ImportPolicy    json.RawMessage `json:"importPolicy"`
	ReferencePolicy struct {
		Type string `json:"type"`
	} `json:"referencePolicy"`
}

type statusTag struct {
	Tag   string `json:"tag"`
	Items []struct {
		Reference  string `json:"dockerImageReference"`
		Image      string `json:"image"` // digest
		Generation int64  `json:"generation"`
	} `json:"items"`
	Conditions []struct {
		Type       string `json:"type"`
		Status     string `json:"status"`
		Message    string `json:"message"`
		Generation int64  `json:"generation"`
	} `json:"conditions"`
}

// FromImageStream takes the components from an ImageStream in JSON or YAML. An
// image that the stream has imported is known by digest from its status; what only spec.tags names
// keeps the pull spec that stands there, by tag or digest. A stream without a
// public repository is taken at its images' own places. All that is wrong is reported at once.
// Tags named in without are left out, whatever is wrong with them.
func FromImageStream(data []byte, mode string, without ...string) (*Set, error) {
	is, err := parseStream(data)
	if err != nil {
		return nil, err
	}
	is.leaveOut(without)
	s, err := is.set(mode)
	if err != nil {
		return nil, err
	}
	if is.Metadata.Namespace != "" && is.Metadata.Name != "" {
		s.Annotations = map[string]string{AnnotationFromImageStream: is.Metadata.Namespace + "/" + is.Metadata.Name}
	}
	return s, nil
}

func parseStream(data []byte) (*stream, error) {
	if len(data) > maxImageStream {
		return nil, fmt.Errorf("reading ImageStream: it is larger than %d bytes", maxImageStream)
	}
	asJSON, err := yaml.YAMLToJSON(data)
	if err != nil {
		return nil, fmt.Errorf("reading ImageStream: %w", err)
	}
	var is stream
	if err := json.Unmarshal(asJSON, &is); err != nil {
		return nil, fmt.Errorf("reading ImageStream: %w", err)
	}
	if is.Kind != "ImageStream" || (is.APIVersion != "image.openshift.io/v1" && is.APIVersion != "v1") {
		return nil, fmt.Errorf("reading ImageStream: kind is %q in %q, expected ImageStream in image.openshift.io/v1", is.Kind, is.APIVersion)
	}
	return &is, nil
}

func (is *stream) leaveOut(names []string) {
	is.Spec.Tags = slices.DeleteFunc(is.Spec.Tags, func(t specTag) bool { return slices.Contains(names, t.Name) })
	is.Status.Tags = slices.DeleteFunc(is.Status.Tags, func(t statusTag) bool { return slices.Contains(names, t.Tag) })
}

func (is *stream) set(mode string) (*Set, error) {
	if mode == "" {
		mode = ReferencePublic
	}
	if mode != ReferencePublic && mode != ReferenceSource {
		return nil, fmt.Errorf("reading ImageStream: reference mode %q is neither %q nor %q", mode, ReferencePublic, ReferenceSource)
	}
	components, err := is.components(mode)
	if err != nil {
		return nil, fmt.Errorf("reading ImageStream %q: %w", is.Metadata.Name, err)
	}
	if len(components) == 0 {
		return nil, fmt.Errorf("reading ImageStream %q: it has no tags", is.Metadata.Name)
	}
	s := &Set{Components: components}
	s.sort()
	return s, nil
}

func (is *stream) components(mode string) ([]assemble.Component, error) {
	status := map[string]*statusTag{}
	for i := range is.Status.Tags {
		status[is.Status.Tags[i].Tag] = &is.Status.Tags[i]
	}
	var components []assemble.Component
	var problems []error
	seen := map[string]bool{}
	add := func(spec specTag, imported *statusTag) {
		c, err := is.component(spec, imported, mode)
		switch {
		case !componentName.MatchString(spec.Name):
			err = errors.New("it is not the name of a component")
		case seen[spec.Name]:
			err = errors.New("it occurs twice")
		}
		seen[spec.Name] = true
		if err != nil {
			problems = append(problems, fmt.Errorf("tag %q: %w", spec.Name, err))
			return
		}
		components = append(components, c)
	}
	for _, t := range is.Spec.Tags {
		add(t, status[t.Name])
	}
	for i := range is.Status.Tags {
		t := &is.Status.Tags[i]
		if !slices.ContainsFunc(is.Spec.Tags, func(s specTag) bool { return s.Name == t.Tag }) {
			add(specTag{Name: t.Tag}, t)
		}
	}
	return components, errors.Join(problems...)
}

func (is *stream) component(spec specTag, imported *statusTag, mode string) (assemble.Component, error) {
	image, err := is.image(spec, imported, mode)
	if err != nil {
		return assemble.Component{}, err
	}
	tag := release.ImageTag{Name: spec.Name, Annotations: spec.Annotations, Generation: spec.Generation, ReferencePolicy: spec.ReferencePolicy.Type}
	if policy := string(spec.ImportPolicy); policy != "{}" && policy != "null" {
		tag.ImportPolicy = spec.ImportPolicy
	}
	return assemble.Component{Name: spec.Name, Reference: image, Tag: tag}, nil
}

// image chooses a tag's pull spec.
func (is *stream) image(spec specTag, imported *statusTag, mode string) (string, error) {
	source := ""
	if spec.From != nil && spec.From.Kind == "DockerImage" {
		source = spec.From.Name
	}
	if err := importFailure(spec, imported); err != nil {
		return "", err
	}
	if imported == nil || len(imported.Items) == 0 {
		if source == "" {
			return "", errors.New("it has not been imported, and names no image of a registry (from.kind DockerImage)")
		}
		return source, nil
	}
	latest := imported.Items[0]
	digest := latest.Image
	if pinned, err := name.NewDigest(source); err == nil {
		if digest != "" && pinned.DigestStr() != digest {
			return "", fmt.Errorf("it has not been imported since it was changed: from.name says %s, its newest image is %s", pinned.DigestStr(), digest)
		}
		digest = pinned.DigestStr()
	}
	if !isDigest(digest) {
		if source != "" {
			return source, nil
		}
		return "", fmt.Errorf("its newest image %q is not a digest", digest)
	}
	switch {
	case mode == ReferencePublic && is.Status.PublicRepository != "":
		return is.Status.PublicRepository + "@" + digest, nil
	case source != "":
		return manifests.RepositoryOf(source) + "@" + digest, nil
	case latest.Reference != "":
		return manifests.RepositoryOf(latest.Reference) + "@" + digest, nil
	case is.Status.Repository != "":
		return is.Status.Repository + "@" + digest, nil
	}
	return "", fmt.Errorf("nothing says in which repository its image %s is", digest)
}

// importFailure is what the cluster says about an import that went wrong and was
// not repeated with success.
func importFailure(spec specTag, imported *statusTag) error {
	if imported == nil {
		return nil
	}
	for _, c := range imported.Conditions {
		if c.Type == "ImportSuccess" && c.Status == "False" && (spec.Generation == nil || c.Generation >= *spec.Generation) {
			return fmt.Errorf("its image could not be imported: %s", strings.TrimSpace(c.Message))
		}
	}
	if spec.Generation != nil && len(imported.Items) > 0 && imported.Items[0].Generation != 0 && imported.Items[0].Generation < *spec.Generation {
		return fmt.Errorf("it has not been imported since it was changed (generation %d, newest image of %d)", *spec.Generation, imported.Items[0].Generation)
	}
	return nil
}

func isDigest(s string) bool {
	_, err := name.NewDigest("registry.invalid/image@" + s)
	return err == nil
}
