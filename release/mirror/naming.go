package mirror

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// releaseComponent stands for the payload itself where components are named.
const releaseComponent = "release"

// The words of a template for where components go.
const (
	componentWord = "${component}"
	versionWord   = "${version}"
)

// architectures are the names that tags and clusters have for what Go and OCI
// call otherwise.
var architectures = map[string]string{"amd64": "x86_64", "arm64": "aarch64"}

// archName returns an architecture as it stands in tags.
func archName(oci string) string {
	if other, ok := architectures[oci]; ok {
		return other
	}
	return oci
}

// multiArch is the architecture of a payload for several.
const multiArch = "multi"

// validTag is what registries take as a tag.
var validTag = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)

// tagFor names an image as `oc adm release mirror` does: the version, the
// architecture, and the component unless it is the release.
func tagFor(version, arch, component string) (string, error) {
	tag := version + "-" + arch
	if component != releaseComponent {
		tag += "-" + component
	}
	return tag, checkTag(tag)
}

func checkTag(tag string) error {
	if !validTag.MatchString(tag) {
		return fmt.Errorf("%q is not a tag: it may have 128 letters, digits, '_', '.' and '-'", tag)
	}
	return nil
}

// layoutOf says where in a registry images go.
type layoutOf struct {
	to      string // repository or template
	release string // reference of the payload, or empty
}

// parseTo checks a repository, or a template with ${component} and perhaps
// ${version}, such as "host/ocp/${component}" or "host/${component}:${version}".
func parseTo(to, release string) (layoutOf, error) {
	sample := strings.NewReplacer(componentWord, "component", versionWord, "1.0.0").Replace(to)
	if strings.Contains(sample, "$") {
		return layoutOf{}, fmt.Errorf("reading target %q: known words are %s and %s", to, componentWord, versionWord)
	}
	repository, tag := splitTag(sample)
	switch {
	case strings.Contains(to, "@"):
		return layoutOf{}, fmt.Errorf("reading target %q: it must not have a digest", to)
	case tag != "" && !strings.Contains(to, componentWord):
		return layoutOf{}, fmt.Errorf("reading target %q: name a repository without a tag, for every image gets its own", to)
	case strings.Contains(to, versionWord) && !strings.Contains(to, componentWord):
		return layoutOf{}, fmt.Errorf("reading target %q: a template must have %s", to, componentWord)
	}
	if _, err := name.NewRepository(repository, name.StrictValidation); err != nil {
		return layoutOf{}, fmt.Errorf("reading target %q: it must be HOST[:PORT]/REPOSITORY", to)
	}
	if release != "" {
		if _, err := name.NewTag(release, name.StrictValidation); err != nil {
			return layoutOf{}, fmt.Errorf("reading the release's target %q: it must be HOST[:PORT]/REPOSITORY:TAG", release)
		}
	}
	return layoutOf{to, release}, nil
}

// place returns repository and tag of a component.
func (l layoutOf) place(version, arch, component string) (repository, tag string, err error) {
	if component == releaseComponent && l.release != "" {
		repository, tag = splitTag(l.release)
		return repository, tag, nil
	}
	if strings.Contains(l.to, componentWord) {
		repository, tag = splitTag(strings.NewReplacer(componentWord, component, versionWord, version).Replace(l.to))
		if tag == "" {
			tag, err = tagFor(version, arch, releaseComponent)
			return repository, tag, err
		}
		return repository, tag, checkTag(tag)
	}
	tag, err = tagFor(version, arch, component)
	return l.to, tag, err
}

// splitTag cuts a reference without digest.
func splitTag(ref string) (repository, tag string) {
	if i := strings.LastIndexByte(ref, ':'); i > strings.LastIndexByte(ref, '/') {
		return ref[:i], ref[i+1:]
	}
	return ref, ""
}

// repositoryOf cuts tag and digest off.
func repositoryOf(ref string) string {
	repository, _, _ := strings.Cut(ref, "@")
	repository, _ = splitTag(repository)
	return repository
}

// hostOf returns the registry of a reference.
func hostOf(ref string) string {
	host, _, _ := strings.Cut(ref, "/")
	return host
}

var errNotPinned = errors.New("it must be named by digest, @sha256:…")
