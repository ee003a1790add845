package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"sort"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"go.yaml.in/yaml/v3"
)

// Mirror says that images of one place are also to be had at others.
type Mirror struct {
	// Source is a registry, a repository or the beginning of a repository's path,
	// "quay.io/okd"; "*.example.com" stands for all hosts below example.com.
	Source string `json:"source"`
	// Mirrors stand for Source in a reference; they are tried in order.
	Mirrors []string `json:"mirrors"`
	// Exclusive keeps the source from being asked when no mirror has an image.
	Exclusive bool `json:"exclusive,omitempty"`
}

// Mirrors are tried for references by digest only, and for the tags that cosign
// derives from digests: whatever a mirror answers, it cannot be another image.
type Mirrors []Mirror

// mirrorDocument is any of the forms that ParseMirrors reads. Field names are
// those of config.openshift.io/v1 ImageDigestMirrorSet, operator.openshift.io/v1alpha1
// ImageContentSourcePolicy, and OpenShift's install-config.yaml.
type mirrorDocument struct {
	Kind string `yaml:"kind"`
	Spec struct {
		ImageDigestMirrors      []mirrorEntry `yaml:"imageDigestMirrors"`
		RepositoryDigestMirrors []mirrorEntry `yaml:"repositoryDigestMirrors"`
	} `yaml:"spec"`
	ImageDigestSources  []mirrorEntry `yaml:"imageDigestSources"`
	ImageContentSources []mirrorEntry `yaml:"imageContentSources"`
}

type mirrorEntry struct {
	Source             string   `yaml:"source"`
	Mirrors            []string `yaml:"mirrors"`
	MirrorSourcePolicy string   `yaml:"mirrorSourcePolicy"`
}

// ParseMirrors reads YAML or JSON with any number of ImageDigestMirrorSets and
// ImageContentSourcePolicies, or with the entries imageDigestSources and
// imageContentSources of an install configuration, which is what
// `slipway release mirror` prints. A file without any mirror is an error.
func ParseMirrors(data []byte) (Mirrors, error) {
	var all Mirrors
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for n := 1; ; n++ {
		var d mirrorDocument
		err := decoder.Decode(&d)
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("document %d is not valid: %w", n, err)
		}
		switch d.Kind {
		case "", "ImageDigestMirrorSet", "ImageContentSourcePolicy":
		default:
			return nil, fmt.Errorf("document %d is a %s; known are ImageDigestMirrorSet and ImageContentSourcePolicy", n, d.Kind)
		}
		for _, entries := range [][]mirrorEntry{d.Spec.ImageDigestMirrors, d.Spec.RepositoryDigestMirrors, d.ImageDigestSources, d.ImageContentSources} {
			for _, e := range entries {
				m, err := e.mirror()
				if err != nil {
					return nil, fmt.Errorf("document %d: %w", n, err)
				}
				all = append(all, m)
			}
		}
	}
	if len(all) == 0 {
		return nil, errors.New("it names no mirrors")
	}
	return all, nil
}

func (e mirrorEntry) mirror() (Mirror, error) {
	m := Mirror{Source: strings.TrimSuffix(e.Source, "/")}
	if m.Source == "" {
		return m, errors.New("an entry has no source")
	}
	switch e.MirrorSourcePolicy {
	case "", "AllowContactingSource":
	case "NeverContactSource":
		m.Exclusive = true
	default:
		return m, fmt.Errorf("source %q has the policy %q; known are AllowContactingSource and NeverContactSource", e.Source, e.MirrorSourcePolicy)
	}
	for _, mirror := range e.Mirrors {
		mirror = strings.TrimSuffix(mirror, "/")
		if mirror == "" || strings.ContainsAny(mirror, " @*") {
			return m, fmt.Errorf("source %q has the mirror %q, which is not HOST[:PORT][/PATH]", e.Source, mirror)
		}
		m.Mirrors = append(m.Mirrors, mirror)
	}
	return m, nil
}

// match returns what stands behind the source in a reference.
func (m Mirror) match(ref string) (rest string, ok bool) {
	if domain, wild := strings.CutPrefix(m.Source, "*"); wild {
		host, path, _ := strings.Cut(ref, "/")
		return "/" + path, strings.HasSuffix(host, domain)
	}
	rest, ok = strings.CutPrefix(ref, m.Source)
	return rest, ok && (rest == "" || strings.ContainsAny(rest[:1], "/:@"))
}

// derived are tags that name a digest, as cosign and the referrers' fallback
// make them.
var derived = regexp.MustCompile(`:sha256-[0-9a-f]{64}(\.[a-z.]+)?$`)

// Places returns where a reference is looked for, in order: its mirrors, those
// of the longest source first, and the reference itself unless that is ruled out.
func (ms Mirrors) Places(ref string) []string {
	if !strings.Contains(ref, "@") && !derived.MatchString(ref) {
		return []string{ref}
	}
	matching := make([]Mirror, 0, len(ms))
	for _, m := range ms {
		if _, ok := m.match(ref); ok {
			matching = append(matching, m)
		}
	}
	sort.SliceStable(matching, func(i, j int) bool { return len(matching[i].Source) > len(matching[j].Source) })
	var places []string
	exclusive := false
	for _, m := range matching {
		rest, _ := m.match(ref)
		for _, mirror := range m.Mirrors {
			places = append(places, mirror+rest)
		}
		exclusive = exclusive || m.Exclusive
	}
	if exclusive && len(places) > 0 {
		return places
	}
	return append(places, ref)
}

// WithMirrors has images looked for at mirrors first, for reading only.
func WithMirrors(m Mirrors) Option {
	return func(s *settings) error {
		s.mirrors = m
		return nil
	}
}

// somewhere reads from the places of a reference, one after the other, until one
// of them answers. The error is the last place's, and says what became of the
// others when the reason was not that they have no such image.
func somewhere[T any](ctx context.Context, r *Registry, ref string, read func(name.Reference) (T, error)) (T, error) {
	var none T
	var troubles []string
	places := r.mirrors.Places(ref)
	for i, place := range places {
		located, err := r.Locate(place)
		if err != nil {
			return none, err
		}
		got, err := read(located)
		if err == nil {
			return got, nil
		}
		if i < len(places)-1 && ctx.Err() == nil {
			if !errors.Is(err, ErrNotFound) {
				troubles = append(troubles, err.Error())
			}
			continue
		}
		if len(troubles) > 0 {
			err = fmt.Errorf("%w (its mirrors failed as well: %s)", err, strings.Join(troubles, "; "))
		}
		return none, err
	}
	return none, fmt.Errorf("reading image %q: there is no place to read it from", ref)
}
