package permissions

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	rbac "k8s.io/api/rbac/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/slipway-release/slipway/release/manifests"
)

const (
	kindClusterRole    = "ClusterRole"
	kindRole           = "Role"
	kindServiceAccount = "ServiceAccount"

	aggregatePrefix = "rbac.authorization.k8s.io/aggregate-to-"
)

// Subject is who may do something: a ServiceAccount, a User or a Group; or, of
// roles that the payload binds to nobody, a Role or ClusterRole and whoever will be bound.
type Subject struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// String is "ServiceAccount kube-system/coredns".
func (s Subject) String() string {
	return manifests.Object{Kind: s.Kind, Namespace: s.Namespace, Name: s.Name}.String()
}

// roleKey names a Role, or with an empty namespace a ClusterRole.
type roleKey struct{ namespace, name string }

func (k roleKey) kind() string {
	if k.namespace == "" {
		return kindClusterRole
	}
	return kindRole
}

func (k roleKey) String() string {
	return manifests.Object{Kind: k.kind(), Namespace: k.namespace, Name: k.name}.String()
}

// rule is one rule of a role, and where it holds.
type rule struct {
	rbac.PolicyRule
	scope string // namespace; "" for the whole cluster
	via   string // the role
}

// binding gives a subject a role.
type binding struct {
	subject Subject
	role    roleKey
	scope   string // namespace; "" for the whole cluster
}

// roles is what the RBAC objects of one payload say.
type roles struct {
	rules    map[roleKey][]rbac.PolicyRule
	bindings []binding
	warnings []string

	aggregating map[roleKey]*rbac.AggregationRule
	labels      map[roleKey]map[string]string
}

func readRoles(objects []manifests.Object) *roles {
	r := &roles{rules: map[roleKey][]rbac.PolicyRule{}, aggregating: map[roleKey]*rbac.AggregationRule{}, labels: map[roleKey]map[string]string{}}
	for _, o := range objects {
		if o.Group() != rbac.GroupName {
			continue
		}
		if err := r.read(o); err != nil {
			r.warnings = append(r.warnings, fmt.Sprintf("%s:%d: %s: %v", o.File, o.Line, o, err))
		}
	}
	r.aggregate()
	return r
}

// read adds an object. A payload may hold variants of one for other clusters; a
// cluster gets one of them, so all they allow together is what must be looked at.
func (r *roles) read(o manifests.Object) error {
	switch o.Kind {
	case kindClusterRole, kindRole:
		var role rbac.ClusterRole
		if err := decode(o, &role); err != nil {
			return err
		}
		key := roleKey{o.Namespace, o.Name}
		r.rules[key] = append(r.rules[key], role.Rules...)
		if o.Kind == kindClusterRole {
			r.labels[key] = role.Labels
			if role.AggregationRule != nil {
				r.aggregating[key] = role.AggregationRule
			}
		}
	case "ClusterRoleBinding", "RoleBinding":
		var b rbac.RoleBinding
		if err := decode(o, &b); err != nil {
			return err
		}
		key := roleKey{name: b.RoleRef.Name}
		if b.RoleRef.Kind == kindRole {
			key.namespace = o.Namespace
		}
		for _, s := range b.Subjects {
			subject := Subject{Kind: s.Kind, Name: s.Name}
			if s.Kind == kindServiceAccount {
				subject.Namespace = s.Namespace
			}
			r.bindings = append(r.bindings, binding{subject, key, o.Namespace})
		}
	}
	return nil
}

func decode(o manifests.Object, into any) error {
	data, err := json.Marshal(o.Content)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}

// aggregate gives ClusterRoles the rules of those that they collect by label, and
// those of the built-in admin, edit and view, which every cluster has.
func (r *roles) aggregate() {
	for _, name := range []string{"admin", "edit", "view"} {
		key := roleKey{name: name}
		if _, own := r.aggregating[key]; !own {
			r.aggregating[key] = &rbac.AggregationRule{ClusterRoleSelectors: []meta.LabelSelector{{MatchLabels: map[string]string{aggregatePrefix + name: "true"}}}}
		}
	}
	collected := map[roleKey][]rbac.PolicyRule{}
	for key, aggregation := range r.aggregating {
		for i := range aggregation.ClusterRoleSelectors {
			selector, err := meta.LabelSelectorAsSelector(&aggregation.ClusterRoleSelectors[i])
			if err != nil {
				r.warnings = append(r.warnings, fmt.Sprintf("%s: %v", key, err))
				continue
			}
			for _, other := range sortedRoles(r.labels) {
				if other != key && selector.Matches(labels.Set(r.labels[other])) {
					collected[key] = append(collected[key], r.rules[other]...)
				}
			}
		}
	}
	for key, rules := range collected {
		r.rules[key] = append(r.rules[key], rules...)
	}
}

func sortedRoles[V any](m map[roleKey]V) []roleKey {
	return slices.SortedFunc(maps.Keys(m), func(a, b roleKey) int { return strings.Compare(a.String(), b.String()) })
}

// granted returns for every subject what the payload lets it do, and which roles it
// has that the payload does not hold.
func (r *roles) granted() (map[Subject][]rule, map[Subject][]binding) {
	rules, outside := map[Subject][]rule{}, map[Subject][]binding{}
	for _, b := range r.bindings {
		found, ok := r.rules[b.role]
		if !ok {
			outside[b.subject] = append(outside[b.subject], b)
			continue
		}
		for _, p := range found {
			rules[b.subject] = append(rules[b.subject], rule{p, b.scope, b.role.String()})
		}
		// The built-in ones hold more than the payload adds to them.
		if builtIn(b.role) {
			outside[b.subject] = append(outside[b.subject], b)
		}
	}
	return rules, outside
}

func builtIn(k roleKey) bool {
	return k.namespace == "" && (k.name == "admin" || k.name == "edit" || k.name == "view")
}

// unbound returns the roles that nobody in the payload is bound to, and that no
// other role collects.
func (r *roles) unbound() []roleKey {
	used := map[roleKey]bool{}
	for _, b := range r.bindings {
		used[b.role] = true
	}
	var left []roleKey
	for _, key := range sortedRoles(r.rules) {
		if !used[key] && !r.collected(key) {
			left = append(left, key)
		}
	}
	return left
}

func (r *roles) collected(key roleKey) bool {
	for label, value := range r.labels[key] {
		if value == "true" && strings.HasPrefix(label, aggregatePrefix) {
			return true
		}
	}
	return false
}
