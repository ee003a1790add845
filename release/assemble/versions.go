package assemble

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/slipway-release/slipway/internal/layer"
	"github.com/slipway-release/slipway/release"
)

// displayNamePattern is what oc accepts for the name of a version.
var displayNamePattern = regexp.MustCompile(`^[a-zA-Z0-9\-:\s().]+$`)

func checkVersionKeys(versions, names map[string]string) error {
	var problems []error
	for _, key := range slices.Sorted(maps.Keys(versions)) {
		if _, err := release.ParseComponentVersions(key + "=" + versions[key]); err != nil {
			problems = append(problems, fmt.Errorf("component version %s=%s: %w", key, versions[key], err))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(names)) {
		if _, err := release.ParseComponentVersions(key + "=0.0.0"); err != nil {
			problems = append(problems, fmt.Errorf("display name of component version %q: the key is not made of at least two lower case letters, digits and dashes", key))
		}
		if !displayNamePattern.MatchString(names[key]) {
			problems = append(problems, fmt.Errorf("display name of component version %q: %q may have letters, digits, blanks and the characters - : ( ) . alone", key, names[key]))
		}
	}
	return errors.Join(problems...)
}

// streamAnnotations are those given, and the versions that whoever assembles
// the release states himself.
func (o Options) streamAnnotations() map[string]string {
	annotations := maps.Clone(o.StreamAnnotations)
	for label, pairs := range map[string]map[string]string{
		release.LabelVersions: o.ComponentVersions, release.LabelVersionDisplayNames: o.DisplayNames,
	} {
		if len(pairs) == 0 {
			continue
		}
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[label] = mergePairs(annotations[label], pairs)
	}
	return annotations
}

// mergePairs puts pairs over those of a list KEY=VALUE,KEY=VALUE.
func mergePairs(list string, pairs map[string]string) string {
	all := map[string]string{}
	for _, pair := range strings.Split(list, ",") {
		if key, value, ok := strings.Cut(strings.TrimSpace(pair), "="); ok {
			all[key] = value
		}
	}
	maps.Copy(all, pairs)
	out := make([]string, 0, len(all))
	for _, key := range slices.Sorted(maps.Keys(all)) {
		out = append(out, key+"="+all[key])
	}
	return strings.Join(out, ",")
}

var snapshotKey = regexp.MustCompile(`0\.0\.1-snapshot-([a-z0-9][-a-z0-9]*[a-z0-9])`)

// withGuesses adds a version for every key that the files name and nobody
// announces, for a check of all else.
func withGuesses(versions map[string][]string, files []layer.File) map[string][]string {
	guessed := maps.Clone(versions)
	for _, f := range files {
		for _, m := range snapshotKey.FindAllSubmatch(f.Data, -1) {
			if key := string(m[1]); len(guessed[key]) == 0 {
				guessed[key] = []string{"0.0.0"}
			}
		}
	}
	return guessed
}
