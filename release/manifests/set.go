package manifests

import "errors"

// duplicates reports objects that occur twice. Two components that both own one
// object would undo each other's work in a cluster for ever.
func duplicates(objects []Object) Problems {
	var problems Problems
	first := map[string]Object{}
	for _, o := range objects {
		f, ok := first[o.key()]
		if !ok {
			first[o.key()] = o
			continue
		}
		problems.add(o.File, o.Line, "%s stands in %s:%d as well", o, f.File, f.Line)
	}
	return problems
}

// missingNamespaces reports objects without namespace whose definition in the
// same payload says that they live in one.
func missingNamespaces(objects []Object) Problems {
	scoped := map[[2]string]bool{}
	for _, o := range objects {
		if o.Kind != "CustomResourceDefinition" || o.Group() != "apiextensions.k8s.io" {
			continue
		}
		spec, _ := o.Content["spec"].(map[string]any)
		names, _ := spec["names"].(map[string]any)
		group, _ := spec["group"].(string)
		kind, _ := names["kind"].(string)
		scoped[[2]string{group, kind}] = spec["scope"] == "Namespaced"
	}
	var problems Problems
	for _, o := range objects {
		if o.Namespace == "" && scoped[[2]string{o.Group(), o.Kind}] {
			problems.add(o.File, o.Line, "metadata.namespace of %s %q is missing", o.Kind, o.Name)
		}
	}
	return problems
}

func asProblems(file string, err error) Problems {
	var problems Problems
	if errors.As(err, &problems) {
		return problems
	}
	return Problems{{File: file, Message: err.Error()}}
}
