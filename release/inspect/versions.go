package inspect

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/slipway-release/slipway/release"
)

// addVersions fills the versions that components announce, and warns about keys
// on which they disagree. Of several versions the first in order is shown, as oc does.
func (i *Info) addVersions(refs release.ImageReferences) {
	tags := map[string]map[string][]string{}
	labels := map[string][]string{}
	for _, t := range refs.Tags {
		versions, err := release.ParseComponentVersions(t.Annotations[release.LabelVersions])
		if err != nil {
			i.Warnings = append(i.Warnings, fmt.Sprintf("component %q: %v", t.Name, err))
			continue
		}
		for key, v := range versions {
			if tags[key] == nil {
				tags[key] = map[string][]string{}
			}
			tags[key][v] = append(tags[key][v], t.Name)
		}
		for key, label := range displayNames(t.Annotations[release.LabelVersionDisplayNames]) {
			if _, announced := versions[key]; announced && !slices.Contains(labels[key], label) {
				labels[key] = append(labels[key], label)
			}
		}
	}
	for key, label := range displayNames(refs.Annotations[release.LabelVersionDisplayNames]) {
		labels[key] = []string{label}
	}
	i.override(refs, tags)
	if len(tags) == 0 {
		return
	}
	i.Versions, i.DisplayVersions, i.VersionsTags = map[string]string{}, map[string]DisplayVersion{}, tags
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		versions := slices.Sorted(maps.Keys(tags[key]))
		slices.Sort(labels[key])
		shown := DisplayVersion{Version: versions[0]}
		if len(labels[key]) > 0 {
			shown.DisplayName = labels[key][0]
		}
		i.Versions[key], i.DisplayVersions[key] = shown.Version, shown
		if len(versions) > 1 {
			i.Warnings = append(i.Warnings, fmt.Sprintf("components disagree on the version of %s: %s", key, announcements(tags[key], versions)))
		}
		if len(labels[key]) > 1 {
			i.Warnings = append(i.Warnings, fmt.Sprintf("components disagree on the name of %s: %s", key, strings.Join(labels[key], ", ")))
		}
	}
}

// override puts in what whoever assembled the release chose in place of what the
// components announce.
func (i *Info) override(refs release.ImageReferences, tags map[string]map[string][]string) {
	chosen, err := release.ParseComponentVersions(refs.Annotations[release.LabelVersions])
	if err != nil {
		i.Warnings = append(i.Warnings, fmt.Sprintf("annotations of %s: %v", release.ReferencesFile, err))
		return
	}
	for key, v := range chosen {
		tags[key] = map[string][]string{v: tags[key][v]}
	}
}

func announcements(tags map[string][]string, versions []string) string {
	parts := make([]string, len(versions))
	for i, v := range versions {
		parts[i] = fmt.Sprintf("%s (%s)", v, strings.Join(tags[v], ", "))
	}
	return strings.Join(parts, ", ")
}

// displayNames reads the value of release.LabelVersionDisplayNames,
// "machine-os=CentOS Stream CoreOS,kubernetes=Kubernetes". It is only shown, so
// what is malformed is left out.
func displayNames(label string) map[string]string {
	names := map[string]string{}
	for _, pair := range strings.Split(label, ",") {
		if key, text, ok := strings.Cut(strings.TrimSpace(pair), "="); ok && key != "" && text != "" {
			names[key] = text
		}
	}
	return names
}
