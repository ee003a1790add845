package compare

import (
	"slices"
	"strings"

	"github.com/slipway-release/slipway/release"
)

// naming puts names in place of what differs between any two payloads: the
// references of component images become <image NAME>, the payload's own version
// becomes <version>. What is still different afterwards is a change of a manifest.
type naming struct {
	images  *strings.Replacer
	version string
}

// namings returns the naming of two payloads. Components that share an image in
// either of them bear one name in both, that of the first in order, for nobody can
// tell which of them a manifest meant.
func namings(from, to *release.Payload) (naming, naming) {
	same := groups{}
	for _, p := range []*release.Payload{from, to} {
		first := map[string]string{}
		for _, t := range p.References.Tags {
			if other, ok := first[t.Image]; ok {
				same.unite(other, t.Name)
			} else {
				first[t.Image] = t.Name
			}
		}
	}
	return newNaming(from, same), newNaming(to, same)
}

func newNaming(p *release.Payload, same groups) naming {
	var pairs []string
	seen := map[string]bool{}
	add := func(old, put string) {
		if old != "" && !seen[old] {
			seen[old] = true
			pairs = append(pairs, old, put)
		}
	}
	// A replacer takes the first of its pairs that fits at a place, so whole
	// references come before bare digests.
	for _, t := range p.References.Tags {
		add(t.Image, "<image "+same.first(t.Name)+">")
	}
	for _, t := range p.References.Tags {
		_, digest, _ := strings.Cut(t.Image, "@")
		add(digest, "<digest of "+same.first(t.Name)+">")
	}
	return naming{images: strings.NewReplacer(pairs...), version: p.Version.String()}
}

func (n naming) text(s string) string {
	if strings.Contains(s, "sha256:") {
		s = n.images.Replace(s)
	}
	return replaceWord(s, n.version, "<version>")
}

// value is a copy of v with names in place.
func (n naming) value(v any) any {
	switch v := v.(type) {
	case string:
		return n.text(v)
	case []any:
		named := make([]any, len(v))
		for i := range v {
			named[i] = n.value(v[i])
		}
		return named
	case map[string]any:
		named := make(map[string]any, len(v))
		for k := range v {
			named[k] = n.value(v[k])
		}
		return named
	}
	return v
}

// replaceWord replaces a version where it is not a part of a longer one.
func replaceWord(s, word, put string) string {
	var b strings.Builder
	for rest := s; ; {
		at := strings.Index(rest, word)
		if at < 0 || word == "" {
			if b.Len() == 0 {
				return s
			}
			b.WriteString(rest)
			return b.String()
		}
		end := at + len(word)
		whole := (at == 0 || !partOfVersion(rest[at-1])) && (end == len(rest) || !partOfVersion(rest[end]))
		b.WriteString(rest[:at])
		if whole {
			b.WriteString(put)
		} else {
			b.WriteString(word)
		}
		rest = rest[end:]
	}
}

func partOfVersion(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.IndexByte(".-+", c) >= 0
}

// groups are sets of names; the smallest of a set speaks for it.
type groups map[string]string

func (g groups) first(name string) string {
	for {
		other, ok := g[name]
		if !ok || other == name {
			return name
		}
		name = other
	}
}

func (g groups) unite(a, b string) {
	roots := []string{g.first(a), g.first(b)}
	slices.Sort(roots)
	if roots[0] != roots[1] {
		g[roots[1]] = roots[0]
	}
}
