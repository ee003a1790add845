package assemble

import (
	"regexp"
	"slices"
	"strings"
)

// digestPattern finds the pinned images in a manifest.
var digestPattern = regexp.MustCompile(`sha256:[0-9a-f]{64}`)

// pruned drops the components that a payload does not need: those that bring no
// manifests, that are named by none, and that nobody wants in any case.
func (o Options) pruned(harvests []harvest) (Options, []harvest) {
	if !o.Prune {
		return o, harvests
	}
	needed := o.named(harvests)
	needed[o.Base] = true
	for _, name := range o.Include {
		needed[name] = true
	}
	components := make([]Component, 0, len(o.Components))
	kept := make([]harvest, 0, len(harvests))
	for i, c := range o.Components {
		if needed[c.Name] || len(harvests[i].files) > 0 {
			components, kept = append(components, c), append(kept, harvests[i])
		}
	}
	o.Components = components
	return o, kept
}

// named returns the components that manifests name: in a component's list, below the
// canonical repository, or by digest.
func (o Options) named(harvests []harvest) map[string]bool {
	named := map[string]bool{}
	byDigest := map[string][]string{}
	for _, c := range o.Components {
		_, digest, _ := strings.Cut(c.Reference, "@")
		byDigest[digest] = append(byDigest[digest], c.Name)
	}
	var canonical *regexp.Regexp
	if o.Repository != "" {
		canonical = regexp.MustCompile(regexp.QuoteMeta(o.Repository) + `/([A-Za-z0-9_][A-Za-z0-9_.-]*)`)
	}
	for _, h := range harvests {
		for _, s := range h.sources {
			named[s.Name] = true
		}
		for _, f := range h.files {
			for _, digest := range digestPattern.FindAll(f.Data, -1) {
				for _, name := range byDigest[string(digest)] {
					named[name] = true
				}
			}
			if canonical == nil {
				continue
			}
			for _, m := range canonical.FindAllSubmatch(f.Data, -1) {
				named[strings.TrimRight(string(m[1]), ".-_")] = true
			}
		}
	}
	return named
}

// Unknown returns those of the names that no component bears, sorted.
func Unknown(names []string, components []Component) []string {
	var unknown []string
	for _, name := range names {
		if !slices.ContainsFunc(components, func(c Component) bool { return c.Name == name }) {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	return slices.Compact(unknown)
}
