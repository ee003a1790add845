package lint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/slipway-release/slipway/release/manifests"
)

var linkRules = []*Rule{
	{
		ID: "SLW501", Name: "unknown-namespace", Level: Warning,
		Title: "An object lives in a namespace that neither the payload nor Kubernetes makes.",
		Why:   "On a new cluster the object is refused, unless something outside of the payload makes the namespace in time.",
		Fix:   "Add the Namespace to the component, in a file before.",
		check: func(p *payload, report func(place, string)) {
			for _, o := range p.applied {
				if o.Namespace != "" && len(p.namespaces[o.Namespace]) == 0 && !slices.Contains(builtinNamespaces, o.Namespace) {
					report(at(o, "metadata", "namespace"), fmt.Sprintf("%s: nothing in the payload makes namespace %q", o, o.Namespace))
				}
			}
		},
	},
	{
		ID: "SLW502", Name: "missing-role", Level: Warning,
		Title: "A binding grants a role that neither the payload nor Kubernetes makes.",
		Why:   "It grants nothing, and whoever relies on it is refused.",
		Fix:   "Correct roleRef, or add the role.",
		check: checkBindings,
	},
	{
		ID: "SLW503", Name: "missing-service-account", Level: Warning,
		Title: "A workload runs as a service account that the payload does not make, or a binding grants rights to one, in a namespace of the payload.",
		Why:   "Pods of a service account that does not exist are not made; rights for it have no effect.",
		Fix:   "Correct the name, or add the ServiceAccount.",
		check: checkServiceAccounts,
	},
	{
		ID: "SLW504", Name: "service-selects-nothing", Level: Warning,
		Title: "A service selects none of the workloads that the payload has in its namespace.",
		Why:   "Requests to it are refused, since nobody answers.",
		Fix:   "Make the selector that of the workload's pods.",
		check: func(p *payload, report func(place, string)) {
			for _, s := range p.services {
				if len(s.selector) > 0 && len(s.selects) == 0 && p.worksIn(s.Namespace) {
					report(at(s.Object, "spec", "selector"), fmt.Sprintf("%s selects none of the payload's pods", s))
				}
			}
		},
	},
	{
		ID: "SLW505", Name: "missing-priority-class", Level: Warning,
		Title: "A workload has a priority class that neither the payload nor Kubernetes makes.",
		Why:   "The API server refuses its pods.",
		Fix:   "Correct priorityClassName, or add the PriorityClass.",
		check: func(p *payload, report func(place, string)) {
			for _, w := range p.workloads {
				class := w.pod.PriorityClassName
				if class != "" && !slices.Contains(builtinPriorities, class) && !p.has("scheduling.k8s.io", "PriorityClass", "", class) {
					report(w.in("priorityClassName"), fmt.Sprintf("%s: nothing in the payload makes priority class %q", w, class))
				}
			}
		},
	},
	{
		ID: "SLW506", Name: "selector-mismatch", Level: Error,
		Title: "The selector of a workload does not take the labels of its own pods.",
		Why:   "The API server refuses the workload.",
		Fix:   "Make spec.selector and the labels of spec.template the same.",
		check: func(p *payload, report func(place, string)) {
			for _, w := range p.workloads {
				if w.Group() == "apps" && !w.spec.Selector.matches(w.labels) {
					report(at(w.Object, "spec", "selector"), fmt.Sprintf("the selector of %s does not take the labels of its pods", w))
				}
			}
		},
	},
}

var (
	builtinNamespaces = []string{"default", "kube-system", "kube-public", "kube-node-lease"}
	builtinPriorities = []string{"system-cluster-critical", "system-node-critical"}
	// Kubernetes also makes roles whose names begin with "system:".
	builtinRoles = []string{"admin", "cluster-admin", "edit", "view"}
)

const rbac = "rbac.authorization.k8s.io"

func (p *payload) bindings() []manifests.Object {
	return slices.Concat(p.byKind[groupKind{rbac, "RoleBinding"}], p.byKind[groupKind{rbac, "ClusterRoleBinding"}])
}

func checkBindings(p *payload, report func(place, string)) {
	for _, b := range p.bindings() {
		kind, name := text(b.Content, "roleRef", "kind"), text(b.Content, "roleRef", "name")
		namespace := ""
		switch kind {
		case "ClusterRole":
			if slices.Contains(builtinRoles, name) {
				continue
			}
		case "Role":
			namespace = b.Namespace
		default:
			continue
		}
		if strings.HasPrefix(name, "system:") || slices.Contains(builtinNamespaces, namespace) {
			continue // Kubernetes makes roles of its own in those namespaces
		}
		if !p.has(rbac, kind, namespace, name) {
			report(at(b, "roleRef"), fmt.Sprintf("%s: nothing in the payload makes %s %q", b, kind, name))
		}
	}
}

func checkServiceAccounts(p *payload, report func(place, string)) {
	missing := func(namespace, name string) bool {
		return name != "" && name != "default" && len(p.namespaces[namespace]) > 0 && !p.has("", "ServiceAccount", namespace, name)
	}
	for _, w := range p.workloads {
		name := w.pod.ServiceAccountName
		if name == "" {
			name = w.pod.ServiceAccount
		}
		// Pods show whether an account is one of the payload in Kubernetes' own namespaces, too.
		if missing(w.Namespace, name) || name != "" && name != "default" && w.Namespace == "kube-system" && !p.has("", "ServiceAccount", w.Namespace, name) {
			report(w.in("serviceAccountName"), fmt.Sprintf("%s: nothing in the payload makes service account %q", w, name))
		}
	}
	for _, b := range p.bindings() {
		for i, item := range list(b.Content, "subjects") {
			subject, _ := item.(map[string]any)
			namespace := text(subject, "namespace")
			if text(subject, "kind") == "ServiceAccount" && missing(namespace, text(subject, "name")) {
				report(at(b, "subjects", i), fmt.Sprintf("%s: nothing in the payload makes service account %s/%s", b, namespace, text(subject, "name")))
			}
		}
	}
}
