package manifests

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var (
	// Either a location with its scheme, up to where a query begins, or a run of
	// characters that references are made of. What stands around one in a comma list,
	// in braces, quotes or behind an equals sign is not part of it.
	tokenPattern = regexp.MustCompile(`[A-Za-z][A-Za-z0-9.-]*://[^\s"'<>{}|\\^,;?#\x60]*|[A-Za-z0-9._/:@-]+`)
	// What a shell writes before the default of a variable: ${X:-image}.
	defaultPattern   = regexp.MustCompile(`^(?:[A-Za-z_][A-Za-z0-9_]*:)?-`)
	transportPattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9.-]*://`)
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
	var out strings.Builder
	end := 0
	for _, at := range tokenPattern.FindAllStringIndex(text, -1) {
		behind := text[at[1]:]
		token := strings.TrimRight(text[at[0]:at[1]], ".:")
		prefix := defaultPattern.FindString(token)
		token = token[len(prefix):]
		at[0] += len(prefix)
		replaced, problem := s.image(token)
		if problem == "" && replaced != token && at[0]+len(token) != at[1] && isComputed(behind) {
			problem = fmt.Sprintf("the tag of image %q is put together only when it runs; name the image without tag or with a fixed one", token)
		}
		if problem != "" {
			problems = append(problems, problem)
		}
		out.WriteString(text[end:at[0]])
		out.WriteString(replaced)
		end = at[0] + len(token)
	}
	out.WriteString(text[end:])
	return s.rewriteVersions(out.String(), problems)
}

// isComputed reports whether a text begins with what a shell, a kubelet or a
// template fills in later.
func isComputed(text string) bool {
	return strings.HasPrefix(text, "$") || strings.HasPrefix(text, "{{") || strings.HasPrefix(text, "%")
}

func (s *Substitution) rewriteVersions(text string, problems []string) (string, []string) {
	if !strings.Contains(text, snapshot) {
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

// snapshot is what sources write for the release's version.
const snapshot = "0.0.1-snapshot"

// imageToken cuts the transport off a token. It is no image when a location of
// another kind stands there.
func imageToken(token string) (transport, ref string, ok bool) {
	transport = transportPattern.FindString(token)
	return transport, token[len(transport):], transport == "" || slices.Contains(imageTransports, transport)
}

func (s *Substitution) image(token string) (replaced, problem string) {
	transport, ref, ok := imageToken(token)
	if !ok {
		return token, ""
	}
	if pinned, ok := s.Images[RepositoryOf(ref)]; ok {
		return transport + pinned, ""
	}
	if s.Repository != "" && strings.Contains(ref, s.Repository+"/") {
		return token, "image \"" + ref + "\" is not in the payload"
	}
	// Behind a colon stands a listed image for which no reference can be put,
	// since nobody knows what the word before it makes of one ("dir:registry/image").
	for i := strings.IndexByte(ref, ':'); i >= 0; {
		if _, listed := s.Images[RepositoryOf(ref[i+1:])]; listed {
			return token, fmt.Sprintf("image %q cannot be replaced because of the %q before it; separate them", ref[i+1:], ref[:i+1])
		}
		next := strings.IndexByte(ref[i+1:], ':')
		if next < 0 {
			break
		}
		i += 1 + next
	}
	return token, ""
}

func (s *Substitution) version(suffix string) (version, problem string) {
	if suffix == "" {
		return s.Version, ""
	}
	key, ok := strings.CutPrefix(suffix, "-")
	if !ok || key == "" {
		return "", snapshot + suffix + " names no version: 0.0.1-snapshot or 0.0.1-snapshot-<component version> is expected"
	}
	switch versions := s.ComponentVersions[key]; len(versions) {
	case 0:
		return "", snapshot + suffix + ": no component announces a version of \"" + key + "\""
	case 1:
		return versions[0], ""
	default:
		return "", snapshot + suffix + ": components announce different versions of \"" + key + "\": " + strings.Join(versions, ", ")
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
