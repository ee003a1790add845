package manifests

import (
	"regexp"
	"slices"
	"strings"
)

var (
	// A run of characters that references are made of. What stands around one
	// in a comma list, in braces, quotes or behind an equals sign is not part of it.
	tokenPattern     = regexp.MustCompile(`[A-Za-z0-9._/:@-]+`)
	transportPattern = regexp.MustCompile(`^[a-z][a-z0-9-]*://`)
	snapshotPattern  = regexp.MustCompile(`(^|[^A-Za-z0-9_])0\.0\.1-snapshot([A-Za-z0-9-]*)`)
	pinnedPattern    = regexp.MustCompile(`@sha256:[0-9a-f]{64}$`)
)

// imageTransports are the schemes behind which an image reference stands; behind
// any other it is a location that only looks like one.
var imageTransports = []string{"docker://", "oci://"}

// Substitution says what is put in place of what.
type Substitution struct {
	// Images maps a repository as sources write it, without tag and digest, to
	// the reference by digest that takes its place, with whatever tag or digest it bears.
	Images map[string]string
	// Repository is where the distribution's own images are. A reference below
	// it that Images does not list is an error. Empty: nothing is checked.
	Repository string
	// Version takes the place of 0.0.1-snapshot.
	Version string
	// ComponentVersions take the place of 0.0.1-snapshot-<key>. A key with more
	// than one version may stand in no manifest, as components disagree on it.
	ComponentVersions map[string][]string
}

// rewrite returns the text with everything substituted, and what is wrong with it.
func (s *Substitution) rewrite(text string) (string, []string) {
	var problems []string
	text = tokenPattern.ReplaceAllStringFunc(text, func(run string) string {
		token := strings.TrimRight(run, ".:/-_@")
		replaced, problem := s.image(token)
		if problem != "" {
			problems = append(problems, problem)
		}
		return replaced + run[len(token):]
	})
	if !strings.Contains(text, "0.0.1-snapshot") {
		return text, problems
	}
	text = snapshotPattern.ReplaceAllStringFunc(text, func(match string) string {
		m := snapshotPattern.FindStringSubmatch(match)
		version, problem := s.version(m[2])
		if problem != "" {
			problems = append(problems, problem)
			return match
		}
		return m[1] + version
	})
	return text, problems
}

func (s *Substitution) image(token string) (replaced, problem string) {
	transport := transportPattern.FindString(token)
	if transport != "" && !slices.Contains(imageTransports, transport) {
		return token, ""
	}
	ref := token[len(transport):]
	if pinned, ok := s.Images[RepositoryOf(ref)]; ok {
		return transport + pinned, ""
	}
	if s.Repository != "" && strings.Contains(ref, s.Repository+"/") {
		return token, "image \"" + ref + "\" is not in the payload"
	}
	return token, ""
}

func (s *Substitution) version(suffix string) (version, problem string) {
	if suffix == "" {
		return s.Version, ""
	}
	key, ok := strings.CutPrefix(suffix, "-")
	if !ok || key == "" {
		return "", "0.0.1-snapshot" + suffix + " names no version: 0.0.1-snapshot or 0.0.1-snapshot-<component version> is expected"
	}
	switch versions := s.ComponentVersions[key]; len(versions) {
	case 0:
		return "", "0.0.1-snapshot" + suffix + ": no component announces a version of \"" + key + "\""
	case 1:
		return versions[0], ""
	default:
		return "", "0.0.1-snapshot" + suffix + ": components announce different versions of \"" + key + "\": " + strings.Join(versions, ", ")
	}
}

// RepositoryOf returns an image reference without its tag and digest.
func RepositoryOf(reference string) string {
	repository, _, _ := strings.Cut(reference, "@")
	if i := strings.LastIndexByte(repository, ':'); i > strings.LastIndexByte(repository, '/') {
		repository = repository[:i]
	}
	return repository
}
