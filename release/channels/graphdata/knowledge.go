package graphdata

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/blang/semver/v4"
)

// architectures are those that a version may be for, in versions and patterns.
var architectures = []string{"amd64", "arm64", "ppc64le", "s390x", "multi"}

// knowledge is what rules look at, gathered once.
type knowledge struct {
	*Data
	all      []Channel // public and internal
	byName   map[string]*Channel
	versions []string // of all channels, without architecture, by semver; each once
	parsed   []version
	full     []string // VERSION+ARCH of these
	// matched keeps what patterns are found in, by their text.
	matched map[string][]string
	// queries keeps what is wrong with PromQL, by its text.
	queries map[string]error
}

func newKnowledge(d *Data) *knowledge {
	k := &knowledge{Data: d, all: slices.Concat(d.Channels, d.Internal), byName: map[string]*Channel{}, matched: map[string][]string{}, queries: map[string]error{}}
	seen := map[string]bool{}
	for i := range k.all {
		c := &k.all[i]
		if _, public := k.byName[c.Name]; !public {
			k.byName[c.Name] = c
		}
		for _, v := range slices.Concat(c.Versions, c.Tombstones) {
			version, _, _ := strings.Cut(v, "+")
			if _, err := semver.Parse(version); err == nil {
				seen[version] = true
			}
		}
	}
	for v := range seen {
		k.versions = append(k.versions, v)
	}
	slices.SortFunc(k.versions, compareVersions)
	for _, v := range k.versions {
		k.parsed = append(k.parsed, version{v, semver.MustParse(v)})
		for _, arch := range architectures {
			k.full = append(k.full, v+"+"+arch)
		}
	}
	return k
}

// sources are the known VERSION+ARCH that a pattern is found in.
func (k *knowledge) sources(pattern *regexp.Regexp) []string {
	found, ok := k.matched[pattern.String()]
	if !ok {
		for _, v := range k.full {
			if pattern.MatchString(v) {
				found = append(found, v)
			}
		}
		k.matched[pattern.String()] = found
	}
	return found
}

// misspelt says what is wrong with VERSION or VERSION+ARCH; "" when nothing is.
func misspelt(text string) string {
	v, err := semver.Parse(text)
	switch {
	case err != nil:
		return fmt.Sprintf("%q is no version: %v", text, err)
	case v.String() != text:
		return fmt.Sprintf("%q is written %q", text, v)
	case len(v.Build) > 1 || len(v.Build) == 1 && !slices.Contains(architectures, v.Build[0]):
		return fmt.Sprintf("%q is for architecture %q, which is none of %s", text, strings.Join(v.Build, "."), strings.Join(architectures, ", "))
	}
	return ""
}

// minorOf is the minor version that a channel is for: stable-4.17 is for 4.17. ok is
// false for channels of all versions.
func minorOf(channel string) (family, minor string, ok bool) {
	cut := strings.LastIndexByte(channel, '-')
	if cut <= 0 {
		return channel, "", false
	}
	if _, err := semver.Parse(channel[cut+1:] + ".0"); err != nil {
		return channel, "", false
	}
	return channel[:cut], channel[cut+1:], true
}
