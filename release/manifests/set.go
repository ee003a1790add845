package manifests

import (
	"errors"
	"fmt"
)

// Duplicates reports objects that occur twice and that one cluster would both
// apply. Two components that both own one object would undo each other's work in a cluster for
// ever. The flaw of every problem is DuplicateObject.
func Duplicates(objects []Object) Problems { return duplicates(objects, Exclusive) }

func duplicates(objects []Object, apart func(a, b Object) bool) Problems {
	var problems Problems
	seen := map[string][]Object{}
	for _, o := range objects {
		key := o.Key()
		for _, other := range seen[key] {
			if !apart(o, other) {
				problems = append(problems, Problem{
					File: o.File, Line: o.Line, Message: fmt.Sprintf("%s stands in %s:%d as well", o, other.File, other.Line),
					Flaw: DuplicateObject, Object: o.String(), Other: other.File,
				})
				break
			}
		}
		seen[key] = append(seen[key], o)
	}
	return problems
}

// MissingNamespaces reports objects without namespace whose definition in the
// same payload says that they live in one. The flaw of every problem is MissingNamespace.
func MissingNamespaces(objects []Object) Problems {
	scoped := map[[2]string]bool{}
	for _, o := range objects {
		if !o.is("apiextensions.k8s.io", "CustomResourceDefinition") {
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
			problems.flaw(MissingNamespace, o.File, o.Line, "metadata.namespace of %s %q is missing", o.Kind, o.Name)
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
