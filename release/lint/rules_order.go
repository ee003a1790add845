package lint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/slipway-release/slipway/release/manifests"
)

const (
	includePrefix = "include.release.openshift.io/"
)

var orderRules = []*Rule{
	{
		ID: "SLW101", Name: "never-applied", Level: Error,
		Title: "An object names no cluster profile, though the release is for one or other objects of the payload name theirs.",
		Why:   "A cluster applies only what is annotated " + includePrefix + "<profile>: \"true\" for its own profile. It says nothing about the rest: the object is in the payload and silently never in a cluster.",
		Fix:   "Annotate the object " + includePrefix + "<profile>: \"true\" for every profile it belongs to, or \"false\" where it is left out on purpose.",
		check: checkProfiles,
	},
	{
		ID: "SLW102", Name: "impossible-selection", Level: Warning,
		Title: "The annotations that choose clusters contradict each other, or name what the cluster-version operator does not know.",
		Why:   "No cluster meets them, so the object is never applied, and nothing says so.",
		Fix:   "Correct release.openshift.io/feature-set, feature-gate or major-version; feature set and gate exclude each other.",
		check: func(p *payload, report func(place, string)) {
			for _, o := range p.objects {
				for _, c := range manifests.Contradictions(o) {
					report(at(o, "metadata", "annotations", c.Annotation), fmt.Sprintf("%s is never applied: %s", o, c.Reason))
				}
			}
		},
	},
	{
		ID: "SLW103", Name: "custom-resource-before-definition", Level: Error,
		Title: "A custom resource is applied before the definition of its kind.",
		Why:   "The API server does not know the kind yet. A new cluster never gets past the resource, for the definition is applied only after it.",
		Fix:   "Move the CustomResourceDefinition to an earlier run level, or to an earlier file of the same component.",
		check: definitionRule(after, "%s is applied before its definition in %s"),
	},
	{
		ID: "SLW104", Name: "custom-resource-beside-definition", Level: Warning,
		Title: "A custom resource and the definition of its kind are applied at the same time, by two components of one run level.",
		Why:   "Which one is first is chance. The resource fails until the definition is there, and is tried again; until then everything behind it waits.",
		Fix:   "Move the CustomResourceDefinition to an earlier run level.",
		check: definitionRule(beside, "%s is applied at the same time as its definition in %s"),
	},
	{
		ID: "SLW105", Name: "unserved-version", Level: Error,
		Title: "A custom resource uses a version that its definition in the payload does not serve.",
		Why:   "The API server does not find the kind, and the update stops there.",
		Fix:   "Use a version that the definition serves, or have it serve this one.",
		check: checkServed,
	},
	{
		ID: "SLW106", Name: "namespace-too-late", Level: Error,
		Title: "An object is applied before its namespace, or at the same time.",
		Why:   "The API server refuses objects of a namespace that does not exist. A new cluster does not get past the object when the namespace comes after it.",
		Fix:   "Move the Namespace to an earlier run level, or to an earlier file of the same component.",
		check: func(p *payload, report func(place, string)) {
			for _, o := range p.applied {
				namespace, when, ok := p.earliest(p.namespaces[o.Namespace], o)
				if o.Namespace == "" || !ok || when == before {
					continue
				}
				moment := "before"
				if when == beside {
					moment = "at the same time as"
				}
				report(at(o, "metadata", "namespace"), fmt.Sprintf("%s is applied %s its namespace, which %s makes", o, moment, p.options.Origin(namespace.File)))
			}
		},
	},
}

func checkProfiles(p *payload, report func(place, string)) {
	reason := "others of the payload name theirs"
	wanted := p.options.Profile != ""
	if wanted {
		reason = "the release is for profile " + p.options.Profile
	} else {
		wanted = slices.ContainsFunc(p.objects, func(o manifests.Object) bool { return len(o.Profiles()) > 0 })
	}
	for _, o := range p.objects {
		named := false
		annotations := o.Annotations()
		for _, key := range sortedKeys(annotations) {
			if !strings.HasPrefix(key, includePrefix) {
				continue
			}
			named = true
			switch strings.ToLower(strings.TrimSpace(annotations[key])) {
			case "true", "yes", "on", "1":
				if annotations[key] != "true" {
					report(at(o, "metadata", "annotations", key), fmt.Sprintf("%s is never applied: %s is %q, and only \"true\" counts", o, key, annotations[key]))
				}
			}
		}
		if wanted && !named {
			report(at(o), fmt.Sprintf("%s names no cluster profile, and %s; it is never applied", o, reason))
		}
	}
}

func definitionRule(reported order, format string) func(*payload, func(place, string)) {
	return func(p *payload, report func(place, string)) {
		for _, o := range p.applied {
			definition, when, ok := p.earliest(p.definitions[groupKind{o.Group(), o.Kind}], o)
			if ok && when == reported {
				report(at(o), fmt.Sprintf(format, o, p.options.Origin(definition.File)))
			}
		}
	}
}

func checkServed(p *payload, report func(place, string)) {
	for _, o := range p.applied {
		var served []string
		possible := false
		for _, d := range p.definitions[groupKind{o.Group(), o.Kind}] {
			if !manifests.Exclusive(d, o) {
				possible = true
				served = append(served, servedBy(d)...)
			}
		}
		_, version, _ := strings.Cut(o.APIVersion, "/")
		if !possible || len(served) == 0 || slices.Contains(served, version) {
			continue
		}
		slices.Sort(served)
		report(at(o, "apiVersion"), fmt.Sprintf("%s uses version %s, of which its definition serves %s", o, version, strings.Join(slices.Compact(served), ", ")))
	}
}

func servedBy(definition manifests.Object) []string {
	var served []string
	for _, item := range list(definition.Content, "spec", "versions") {
		version, _ := item.(map[string]any)
		if name := text(version, "name"); name != "" && version["served"] == true {
			served = append(served, name)
		}
	}
	return served
}
