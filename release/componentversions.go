package release

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/blang/semver/v4"
)

var versionKeyPattern = regexp.MustCompile(`^[a-z0-9]+[-a-z0-9]*[a-z0-9]+$`)

// ParseComponentVersions reads the value of LabelVersions, "kubernetes=1.36.3,kubectl=1.36.3".
// Values are semver; what stands behind a + is dropped, as it cannot stand in every place a version can.
func ParseComponentVersions(label string) (map[string]string, error) {
	versions := map[string]string{}
	if strings.TrimSpace(label) == "" {
		return versions, nil
	}
	for _, pair := range strings.Split(label, ",") {
		key, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
		if !ok || !versionKeyPattern.MatchString(key) {
			return nil, fmt.Errorf("parsing component versions %q: %q is not KEY=VERSION with a key of at least two lower case letters, digits and dashes", label, pair)
		}
		if _, err := semver.Parse(value); err != nil {
			return nil, fmt.Errorf("parsing component versions %q: %s: %w", label, key, err)
		}
		if _, twice := versions[key]; twice {
			return nil, fmt.Errorf("parsing component versions %q: %s occurs twice", label, key)
		}
		versions[key], _, _ = strings.Cut(value, "+")
	}
	return versions, nil
}

// ComponentVersions returns what the images announce: for every key the
// different versions, sorted. More than one means that components disagree. A
// version in the annotations of the file itself, where whoever assembled the release
// wrote it, stands in place of what the images say.
func (r ImageReferences) ComponentVersions() (map[string][]string, error) {
	all := map[string][]string{}
	for _, t := range r.Tags {
		versions, err := ParseComponentVersions(t.Annotations[LabelVersions])
		if err != nil {
			return nil, fmt.Errorf("reading component %q: %w", t.Name, err)
		}
		for key, v := range versions {
			if !slices.Contains(all[key], v) {
				all[key] = append(all[key], v)
			}
		}
	}
	for _, vs := range all {
		slices.Sort(vs)
	}
	chosen, err := ParseComponentVersions(r.Annotations[LabelVersions])
	if err != nil {
		return nil, fmt.Errorf("reading the annotations of %s: %w", ReferencesFile, err)
	}
	for key, v := range chosen {
		all[key] = []string{v}
	}
	return all, nil
}
