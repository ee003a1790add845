package manifests

import (
	"sort"

	yaml "go.yaml.in/yaml/v3"
)

// CheckImages reports every image of a pod, wherever in an object its
// specification stands, that is not pinned by digest or that allowed refuses.
// A payload whose objects pass runs nothing but what it names. The error is of type Problems.
func CheckImages(objects []Object, allowed func(reference string) bool) error {
	var problems Problems
	for _, o := range objects {
		for _, u := range podImages(o.Content, nil, 0) {
			line := o.Line
			if n := findScalar(o.node, u.reference, 0); n != nil {
				line = n.Line + o.shift
			}
			switch {
			case !pinnedPattern.MatchString(u.reference):
				problems.add(o.File, line, "%s: image %q of %s %q is not pinned by digest", o, u.reference, u.what, u.name)
			case !allowed(u.reference):
				problems.add(o.File, line, "%s: image %q of %s %q is not in the payload", o, u.reference, u.what, u.name)
			}
		}
	}
	return problems.Err()
}

// imageUse is one place of a pod's specification that names an image.
type imageUse struct{ what, name, reference string }

var containerLists = map[string]string{
	"containers":          "container",
	"initContainers":      "init container",
	"ephemeralContainers": "ephemeral container",
}

// podImages looks for pod specifications by their lists of containers and
// volumes, so that those inside other kinds than Kubernetes' own are found too.
func podImages(v any, found []imageUse, depth int) []imageUse {
	if depth > maxDepth {
		return found
	}
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			found = podImages(item, found, depth+1)
		}
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		for _, k := range keys {
			items, _ := v[k].([]any)
			for _, item := range items {
				if use, ok := imageOf(k, item); ok {
					found = append(found, use)
				}
			}
			found = podImages(v[k], found, depth+1)
		}
	}
	return found
}

func imageOf(list string, item any) (imageUse, bool) {
	m, _ := item.(map[string]any)
	use := imageUse{what: containerLists[list]}
	use.name, _ = m["name"].(string)
	var ok bool
	switch {
	case use.what != "":
		use.reference, ok = m["image"].(string)
	case list == "volumes":
		use.what = "volume"
		source, _ := m["image"].(map[string]any)
		use.reference, ok = source["reference"].(string)
	}
	return use, ok
}

func findScalar(n *yaml.Node, value string, depth int) *yaml.Node {
	if n == nil || depth > maxDepth {
		return nil
	}
	if n.Kind == yaml.ScalarNode && n.Value == value {
		return n
	}
	for _, c := range n.Content {
		if found := findScalar(c, value, depth+1); found != nil {
			return found
		}
	}
	return nil
}
