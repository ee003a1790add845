package hop

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/slipway-release/slipway/release/manifests"
)

// field is one that the API server lets nobody change once the object exists.
type field struct {
	path []string
	// unset is what the API server puts in the place of nothing; nil when it leaves nothing.
	unset any
}

type groupKind struct{ group, kind string }

// immutableFields are those of the validation of updates in Kubernetes
// (k8s.io/kubernetes/pkg/apis/*/validation). Jobs are not among them: a rollout makes
// a Job anew whose template has changed, as every release changes its image.
var immutableFields = map[groupKind][]field{
	{"apps", "Deployment"}: {{path: []string{"spec", "selector"}}},
	{"apps", "DaemonSet"}:  {{path: []string{"spec", "selector"}}},
	{"apps", "ReplicaSet"}: {{path: []string{"spec", "selector"}}},
	{"apps", "StatefulSet"}: {
		{path: []string{"spec", "selector"}}, {path: []string{"spec", "serviceName"}},
		{path: []string{"spec", "podManagementPolicy"}, unset: "OrderedReady"}, {path: []string{"spec", "volumeClaimTemplates"}},
	},
	{"storage.k8s.io", "StorageClass"}: {
		{path: []string{"parameters"}}, {path: []string{"provisioner"}},
		{path: []string{"reclaimPolicy"}, unset: "Delete"}, {path: []string{"volumeBindingMode"}, unset: "Immediate"},
	},
	{"rbac.authorization.k8s.io", "RoleBinding"}:         {{path: []string{"roleRef"}}},
	{"rbac.authorization.k8s.io", "ClusterRoleBinding"}:  {{path: []string{"roleRef"}}},
	{"scheduling.k8s.io", "PriorityClass"}:               {{path: []string{"value"}}, {path: []string{"preemptionPolicy"}, unset: "PreemptLowerPriority"}},
	{"node.k8s.io", "RuntimeClass"}:                      {{path: []string{"handler"}}},
	{"networking.k8s.io", "IngressClass"}:                {{path: []string{"spec", "controller"}}},
	{"apiextensions.k8s.io", "CustomResourceDefinition"}: {{path: []string{"spec", "scope"}}},
	{"", "Secret"}: {{path: []string{"type"}, unset: "Opaque"}},
}

// immutable reports changes that a request to the API server would be refused for.
func immutable(from, to End) []Problem {
	var found []Problem
	pairs(from, to, func(before, after *manifests.Object) {
		if after.CreateOnly() || after.Deleted() || before.Deleted() {
			return
		}
		add := func(path []string, message string) {
			way := make([]any, 0, len(path))
			for _, step := range path {
				way = append(way, step)
			}
			found = append(found, Problem{Flaw: ImmutableField, Before: before, After: after, Path: way, Message: strings.Join(path, ".") + " of " + after.String() + message})
		}
		change := func(path []string, old, new any) {
			add(path, fmt.Sprintf(" becomes %s and was %s, which the API server refuses", brief(new), brief(old)))
		}
		for _, f := range immutableFields[groupKind{after.Group(), after.Kind}] {
			old, new := value(before.Content, f.path...), value(after.Content, f.path...)
			if old == nil {
				old = f.unset
			}
			if new == nil {
				new = f.unset
			}
			if !same(old, new) {
				change(f.path, old, new)
			}
		}
		if path, old, new := changedAddress(before, after); path != nil {
			change(path, old, new)
		}
		if key := changedContent(before, after); key != "" {
			add([]string{key}, " changes, which the API server refuses of what was immutable")
		}
	})
	return found
}

// changedAddress finds a Service that asks for another address than the one it has. One that
// names none keeps what it has got.
func changedAddress(before, after *manifests.Object) (path []string, old, new any) {
	if after.Group() != "" || after.Kind != "Service" {
		return nil, nil, nil
	}
	const external = "ExternalName" // has no address, and may get or lose one
	if value(before.Content, "spec", "type") == external || value(after.Content, "spec", "type") == external {
		return nil, nil, nil
	}
	path = []string{"spec", "clusterIP"}
	old, new = value(before.Content, path...), value(after.Content, path...)
	if empty(new) || same(old, new) {
		return nil, nil, nil
	}
	if empty(old) {
		old = "chosen by the cluster"
	}
	return path, old, new
}

// changedContent finds a change to a ConfigMap or Secret that said it never changes.
func changedContent(before, after *manifests.Object) (key string) {
	if after.Group() != "" || after.Kind != "ConfigMap" && after.Kind != "Secret" || value(before.Content, "immutable") != true {
		return ""
	}
	for _, key := range []string{"immutable", "data", "binaryData", "stringData"} {
		if !same(before.Content[key], after.Content[key]) {
			return key
		}
	}
	return ""
}

// brief is a value for a message; what is long is cut.
func brief(v any) string {
	const most = 60
	if v == nil {
		return "unset"
	}
	data, err := json.Marshal(v)
	if err != nil {
		return "another"
	}
	text := []rune(string(data))
	if len(text) > most {
		return string(text[:most]) + "…"
	}
	return string(text)
}

// same compares two values as the API server would: what holds nothing is as good as
// what is not there.
func same(a, b any) bool { return reflect.DeepEqual(prune(a), prune(b)) }

func prune(v any) any {
	switch v := v.(type) {
	case map[string]any:
		kept := map[string]any{}
		for key, item := range v {
			if pruned := prune(item); pruned != nil {
				kept[key] = pruned
			}
		}
		if len(kept) == 0 {
			return nil
		}
		return kept
	case []any:
		if len(v) == 0 {
			return nil
		}
		kept := make([]any, 0, len(v))
		for _, item := range v {
			kept = append(kept, prune(item))
		}
		return kept
	case int64:
		return float64(v)
	}
	return v
}

func empty(v any) bool { return v == nil || v == "" }

// value returns what stands at the end of a way of keys, nil when there is nothing.
func value(content map[string]any, path ...string) any {
	var v any = content
	for _, key := range path {
		m, _ := v.(map[string]any)
		v = m[key]
	}
	return v
}
