package hop

import (
	"fmt"
	"maps"
	"slices"

	"github.com/slipway-release/slipway/release/manifests"
)

// definedVersion is what a definition says about one version of its kind.
type definedVersion struct{ served, stored bool }

func versionsOf(definition *manifests.Object) map[string]definedVersion {
	items, _ := value(definition.Content, "spec", "versions").([]any)
	versions := map[string]definedVersion{}
	for _, item := range items {
		v, _ := item.(map[string]any)
		if name, _ := v["name"].(string); name != "" {
			versions[name] = definedVersion{served: v["served"] == true, stored: v["storage"] == true}
		}
	}
	return versions
}

// droppedVersions reports definitions that no longer have a version in which objects are
// stored, which the API server refuses, or no longer serve one that the old release uses.
func droppedVersions(from, to End) []Problem {
	users := map[string][]*manifests.Object{} // by group, kind and version
	for i := range from.Objects {
		o := &from.Objects[i]
		if !o.Deleted() {
			users[o.APIVersion+" "+o.Kind] = append(users[o.APIVersion+" "+o.Kind], o)
		}
	}
	var found []Problem
	pairs(from, to, func(before, after *manifests.Object) {
		if after.Kind != "CustomResourceDefinition" || after.Group() != "apiextensions.k8s.io" || after.CreateOnly() || after.Deleted() {
			return
		}
		group, _ := value(before.Content, "spec", "group").(string)
		kind, _ := value(before.Content, "spec", "names", "kind").(string)
		old, new := versionsOf(before), versionsOf(after)
		for _, name := range slices.Sorted(maps.Keys(old)) {
			message := ""
			using := users[group+"/"+name+" "+kind]
			switch left, kept := new[name]; {
			case old[name].stored && !kept:
				message = fmt.Sprintf("%s no longer has version %s, in which the release before stores objects", after, name)
			case old[name].served && !left.served && len(using) > 0:
				message = fmt.Sprintf("%s no longer serves version %s, which %s of the release before uses", after, name, using[0])
			default:
				continue
			}
			found = append(found, Problem{Flaw: DroppedVersion, Before: before, After: after, Path: []any{"spec", "versions"}, Message: message})
		}
	})
	return found
}
