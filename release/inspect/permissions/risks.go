package permissions

import (
	"slices"
	"strings"
)

// danger is a right with which more can be had than it says. The list follows
// Kubernetes' own page on good practices for RBAC, section on privilege escalation.
type danger struct {
	groups    []string
	resources []string
	verbs     []string // none: any
	risk      string
}

var (
	reading = []string{"get", "list", "watch"}
	writing = []string{"create", "update", "patch"}
	rbacAPI = []string{"rbac.authorization.k8s.io"}
)

var dangers = []danger{
	{rbacAPI, []string{"roles", "clusterroles"}, []string{"escalate"}, "may give itself any right (escalate)"},
	{rbacAPI, []string{"roles", "clusterroles"}, []string{"bind"}, "may bind itself to roles it does not have (bind)"},
	{[]string{"", "authentication.k8s.io"}, []string{"users", "groups", "serviceaccounts", "uids", "userextras"}, []string{"impersonate"}, "may act as somebody else (impersonate)"},
	{[]string{""}, []string{"secrets"}, reading, "reads secrets"},
	{[]string{""}, []string{"secrets"}, []string{"create", "update", "patch"}, "writes secrets, and may have tokens of service accounts made"},
	{[]string{""}, []string{"nodes/proxy"}, nil, "reaches the kubelet, which runs commands in every pod of the node"},
	{[]string{""}, []string{"pods/exec", "pods/attach", "pods/ephemeralcontainers"}, nil, "runs commands inside pods"},
	{[]string{""}, []string{"pods/portforward", "pods/proxy", "services/proxy"}, nil, "reaches into pods past the network's rules"},
	{[]string{""}, []string{"serviceaccounts/token"}, []string{"create"}, "has tokens of service accounts issued"},
	{[]string{"certificates.k8s.io"}, []string{"certificatesigningrequests/approval", "signers"}, nil, "has certificates issued for other users"},
	{[]string{"admissionregistration.k8s.io"}, []string{"mutatingwebhookconfigurations", "validatingwebhookconfigurations", "mutatingadmissionpolicies", "mutatingadmissionpolicybindings"}, writing, "may read and change every request by webhooks"},
	{[]string{"apiregistration.k8s.io"}, []string{"apiservices"}, writing, "may take over parts of the API"},
	{[]string{""}, []string{"persistentvolumes"}, []string{"create"}, "may mount folders of the host through volumes"},
	{[]string{""}, []string{"pods", "replicationcontrollers"}, writing, "creates pods, and with them uses every secret and service account of the namespace"},
	{[]string{"apps", "batch"}, []string{"deployments", "daemonsets", "statefulsets", "replicasets", "jobs", "cronjobs"}, writing, "creates pods, and with them uses every secret and service account of the namespace"},
	{rbacAPI, []string{"roles", "clusterroles", "rolebindings", "clusterrolebindings"}, writing, "hands on rights that it has"},
	{[]string{""}, []string{"namespaces"}, []string{"update", "patch"}, "may lower a namespace's pod security"},
	{[]string{"security.openshift.io"}, []string{"securitycontextconstraints"}, []string{"use"}, "may use security context constraints"},
}

// riskOf says why a right deserves a look, or "".
func riskOf(a atom, verbs []string) string {
	var risks []string
	add := func(risk string) {
		if !slices.Contains(risks, risk) {
			risks = append(risks, risk)
		}
	}
	if a.url != "" {
		if slices.Contains(verbs, "*") || strings.HasSuffix(a.url, "*") {
			return "wildcard"
		}
		return ""
	}
	for what, wild := range map[string]bool{"verbs": slices.Contains(verbs, "*"), "resources": a.resource == "*" || strings.HasPrefix(a.resource, "*/"), "API groups": a.group == "*"} {
		if wild {
			add("wildcard in " + what)
		}
	}
	slices.Sort(risks)
	if a.resource != "*" || a.group != "*" { // of everything, every risk would be named
		for _, d := range dangers {
			if d.about(a, verbs) {
				add(d.risk)
			}
		}
	}
	return strings.Join(risks, "; ")
}

func (d danger) about(a atom, verbs []string) bool {
	if a.group != "*" && !slices.Contains(d.groups, a.group) {
		return false
	}
	if !slices.ContainsFunc(d.resources, func(r string) bool { return matches(a.resource, r) }) {
		return false
	}
	return len(d.verbs) == 0 || slices.ContainsFunc(verbs, func(v string) bool { return v == "*" || slices.Contains(d.verbs, v) })
}

// roleRisk is about roles that every cluster has and no payload holds.
func roleRisk(b binding) string {
	if b.role.namespace != "" {
		return ""
	}
	switch b.role.name {
	case "cluster-admin":
		return "may do everything"
	case "admin", "edit":
		return "reads and writes secrets, and creates pods"
	case "system:auth-delegator", "view":
		return ""
	}
	if strings.HasPrefix(b.role.name, "system:") && strings.Contains(b.role.name, "node") {
		return "a role of nodes or of the control plane"
	}
	return ""
}
