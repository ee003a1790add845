package permissions

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	rbac "k8s.io/api/rbac/v1"
)

// SubjectGain is what a subject may do newly.
type SubjectGain struct {
	Subject
	// New says that the older payload says nothing of the subject.
	New    bool    `json:"new,omitempty"`
	Grants []Grant `json:"grants"`
}

// Grant is a right that was not there before. Either Resources, URLs or Role is set.
type Grant struct {
	Namespace string   `json:"namespace,omitempty"` // where it holds; "" for the whole cluster
	Verbs     []string `json:"verbs,omitempty"`
	// Resources are "secrets", "deployments.apps", "nodes/proxy", "*.*".
	Resources []string `json:"resources,omitempty"`
	Names     []string `json:"names,omitempty"` // of the only objects it is about; none means all
	URLs      []string `json:"urls,omitempty"`
	// Role is one that the payload binds and does not hold, such as cluster-admin.
	Role string `json:"role,omitempty"`
	Via  string `json:"via,omitempty"` // the role that gives it
	Risk string `json:"risk,omitempty"`
}

// atom is one verb on one resource or URL.
type atom struct {
	scope, verb, group, resource, name, url string
}

// maxAtoms bounds what one rule is taken apart into. One with more is a gain as a
// whole unless the same rule was there.
const maxAtoms = 20_000

// subjects compares what everybody may do.
func subjects(before, after *roles) []SubjectGain {
	had, hadOutside := before.granted()
	has, hasOutside := after.granted()
	gains := map[Subject]*SubjectGain{}
	at := func(s Subject) *SubjectGain {
		if gains[s] == nil {
			_, inRules := had[s]
			_, outside := hadOutside[s]
			gains[s] = &SubjectGain{Subject: s, New: !inRules && !outside}
		}
		return gains[s]
	}
	for s, rules := range has {
		if grants := gained(had[s], rules); len(grants) > 0 {
			at(s).Grants = append(at(s).Grants, grants...)
		}
	}
	for s, bindings := range hasOutside {
		for _, b := range bindings {
			if !slices.ContainsFunc(hadOutside[s], func(o binding) bool { return o.role == b.role && (o.scope == "" || o.scope == b.scope) }) {
				at(s).Grants = append(at(s).Grants, Grant{Namespace: b.scope, Role: b.role.String(), Risk: roleRisk(b)})
			}
		}
	}
	for _, key := range after.unbound() {
		s := Subject{Kind: key.kind(), Namespace: key.namespace, Name: key.name}
		if grants := gained(scoped(before, key), scoped(after, key)); len(grants) > 0 {
			_, known := before.rules[key]
			gains[s] = &SubjectGain{Subject: s, New: !known && !builtIn(key), Grants: grants}
		}
	}
	all := make([]SubjectGain, 0, len(gains))
	for _, g := range gains {
		sortGrants(g.Grants)
		all = append(all, *g)
	}
	return all
}

func scoped(r *roles, key roleKey) []rule {
	var rules []rule
	for _, p := range r.rules[key] {
		rules = append(rules, rule{p, key.namespace, ""})
	}
	return rules
}

// gained returns what after allows and before does not, as few grants as say it.
func gained(before, after []rule) []Grant {
	type found struct {
		via   string
		verbs []string
	}
	gains := map[atom]*found{} // by everything but the verb
	var wholes []Grant
	for _, r := range after {
		atoms, ok := split(r)
		if !ok {
			if !slices.ContainsFunc(before, func(o rule) bool { return fmt.Sprint(o.PolicyRule) == fmt.Sprint(r.PolicyRule) && o.covers(r.scope) }) {
				wholes = append(wholes, wholeRule(r))
			}
			continue
		}
		for _, a := range atoms {
			if slices.ContainsFunc(before, func(o rule) bool { return o.allows(a) }) {
				continue
			}
			key := a
			key.verb = ""
			if gains[key] == nil {
				gains[key] = &found{via: r.via}
			}
			if !slices.Contains(gains[key].verbs, a.verb) {
				gains[key].verbs = append(gains[key].verbs, a.verb)
			}
		}
	}
	// What has the same verbs, place, role and risk is said in one line.
	merged := map[string]*Grant{}
	for key, f := range gains {
		slices.Sort(f.verbs)
		g := Grant{Namespace: key.scope, Verbs: f.verbs, Via: f.via, Risk: riskOf(key, f.verbs)}
		id := strings.Join([]string{key.scope, strings.Join(f.verbs, ","), f.via, g.Risk, fmt.Sprint(key.url != ""), key.name}, "\x00")
		if merged[id] == nil {
			if key.name != "" {
				g.Names = []string{key.name}
			}
			merged[id] = &g
		}
		if key.url != "" {
			merged[id].URLs = append(merged[id].URLs, key.url)
		} else {
			merged[id].Resources = append(merged[id].Resources, resourceName(key.group, key.resource))
		}
	}
	grants := wholes
	for _, g := range merged {
		slices.Sort(g.Resources)
		slices.Sort(g.URLs)
		grants = append(grants, *g)
	}
	return mergeNames(grants)
}

// mergeNames joins grants that differ only in the names of the objects.
func mergeNames(grants []Grant) []Grant {
	sortGrants(grants)
	var all []Grant
	at := map[string]int{}
	for _, g := range grants {
		if len(g.Names) == 0 {
			all = append(all, g)
			continue
		}
		id := fmt.Sprintf("%q", []any{g.Namespace, g.Verbs, g.Resources, g.URLs, g.Via, g.Risk})
		if n, ok := at[id]; ok {
			all[n].Names = append(all[n].Names, g.Names...)
			continue
		}
		at[id] = len(all)
		all = append(all, g)
	}
	return all
}

// sortGrants puts risks first.
func sortGrants(grants []Grant) {
	slices.SortFunc(grants, func(a, b Grant) int {
		return cmp.Or(
			-cmp.Compare(min(len(a.Risk), 1), min(len(b.Risk), 1)),
			strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Role, b.Role),
			slices.Compare(a.Resources, b.Resources), slices.Compare(a.URLs, b.URLs),
			slices.Compare(a.Verbs, b.Verbs), slices.Compare(a.Names, b.Names), strings.Compare(a.Via, b.Via))
	})
}

func wholeRule(r rule) Grant {
	return Grant{Namespace: r.scope, Verbs: r.Verbs, Resources: r.Resources, Names: r.ResourceNames, URLs: r.NonResourceURLs, Via: r.via,
		Risk: "a rule too large to be compared in detail"}
}

// split takes a rule apart; not ok when it says more than maxAtoms things.
func split(r rule) ([]atom, bool) {
	names := r.ResourceNames
	if len(names) == 0 {
		names = []string{""}
	}
	if n := len(r.Verbs) * (len(r.APIGroups)*len(r.Resources)*len(names) + len(r.NonResourceURLs)); n > maxAtoms {
		return nil, false
	}
	var atoms []atom
	for _, verb := range r.Verbs {
		for _, group := range r.APIGroups {
			for _, resource := range r.Resources {
				for _, name := range names {
					atoms = append(atoms, atom{scope: r.scope, verb: verb, group: group, resource: resource, name: name})
				}
			}
		}
		if r.scope == "" { // in a namespace, URLs mean nothing
			for _, url := range r.NonResourceURLs {
				atoms = append(atoms, atom{verb: verb, url: url})
			}
		}
	}
	return atoms, true
}

func (r rule) covers(scope string) bool { return r.scope == "" || r.scope == scope }

// allows reports whether the rule alone allows what a says, wildcards included.
func (r rule) allows(a atom) bool {
	if !has(r.Verbs, a.verb) || !r.covers(a.scope) {
		return false
	}
	if a.url != "" {
		return slices.ContainsFunc(r.NonResourceURLs, func(u string) bool {
			prefix, wild := strings.CutSuffix(u, "*")
			return u == a.url || (wild && strings.HasPrefix(a.url, prefix))
		})
	}
	if len(r.ResourceNames) > 0 && !slices.Contains(r.ResourceNames, a.name) {
		return false
	}
	return has(r.APIGroups, a.group) && slices.ContainsFunc(r.Resources, func(resource string) bool { return matches(resource, a.resource) })
}

func has(list []string, want string) bool {
	return slices.Contains(list, want) || slices.Contains(list, rbac.VerbAll)
}

// matches applies RBAC's patterns for resources: "*" is all of them, "*/scale" that
// part of all of them.
func matches(pattern, resource string) bool {
	if pattern == resource || pattern == rbac.ResourceAll {
		return true
	}
	part, ok := strings.CutPrefix(pattern, "*/")
	return ok && strings.HasSuffix(resource, "/"+part)
}

// resourceName writes a resource with its group, "deployments.apps" or
// "deployments/scale.apps" as kubectl does it: the group belongs to the first part.
func resourceName(group, resource string) string {
	if group == "" {
		return resource
	}
	first, part, sub := strings.Cut(resource, "/")
	if sub {
		return first + "." + group + "/" + part
	}
	return first + "." + group
}
