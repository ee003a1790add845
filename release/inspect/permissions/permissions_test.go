package permissions_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/release/inspect/permissions"
	"github.com/slipway-release/slipway/release/manifests"
)

func objects(t testing.TB, text string) []manifests.Object {
	t.Helper()
	all, err := manifests.Parse([]byte(text), "0000_50_x_y.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// The objects that tests are made of.
func role(name, rules string) string {
	return "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: " + name + "}\nrules: [" + rules + "]\n"
}

func binding(role, subject string) string {
	return "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: " + role + "}\nroleRef: {kind: ClusterRole, name: " + role + "}\nsubjects: [" + subject + "]\n"
}

func namespacedBinding(role, subject string) string {
	return "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: " + role + ", namespace: ns}\nroleRef: {kind: ClusterRole, name: " + role + "}\nsubjects: [" + subject + "]\n"
}

func rule(group, resources, verbs string, more ...string) string {
	return "{apiGroups: ['" + group + "'], resources: [" + resources + "], verbs: [" + verbs + "]" + strings.Join(append([]string{""}, more...), ", ") + "}"
}

const account = "{kind: ServiceAccount, name: a, namespace: ns}"

func pod(spec string) string {
	return "---\napiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: ns}\nspec: " + spec + "\n"
}

func webhook(more string) string {
	return "---\napiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\nmetadata: {name: w}\nwebhooks: [{name: a.example.com" + more + "}]\n"
}

func TestGained(t *testing.T) {
	for name, c := range map[string]struct {
		from, to string
		want     []string // "!" before what has a risk
	}{
		"nothing": {role("r", rule("", "pods", "get")) + binding("r", account), role("r", rule("", "pods", "get")) + binding("r", account), nil},
		"less":    {role("r", rule("", "pods, nodes", "get, list")) + binding("r", account), role("r", rule("", "pods", "get")) + binding("r", account), nil},
		"a verb": {role("r", rule("", "pods", "get")) + binding("r", account), role("r", rule("", "pods", "get, list")) + binding("r", account),
			[]string{"ServiceAccount ns/a: list pods"}},
		"said in another way": {role("r", rule("", "pods, nodes", "get")) + binding("r", account), role("r", rule("", "pods", "get")+","+rule("", "nodes", "get")) + binding("r", account), nil},
		"by another role":     {role("r", rule("", "pods", "get")) + binding("r", account), role("s", rule("", "pods", "get")) + binding("s", account), nil},
		"covered by a wildcard": {role("r", "{apiGroups: ['*'], resources: ['*'], verbs: ['*']}") + binding("r", account),
			role("r", rule("", "secrets", "get")) + binding("r", account), nil},
		"a wildcard": {role("r", rule("apps", "deployments", "get")) + binding("r", account), role("r", rule("apps", "'*'", "get")) + binding("r", account),
			[]string{"! ServiceAccount ns/a: get *.apps"}},
		"from a namespace to the cluster": {role("r", rule("", "pods", "get")) + namespacedBinding("r", account), role("r", rule("", "pods", "get")) + binding("r", account),
			[]string{"ServiceAccount ns/a: get pods"}},
		"from the cluster to a namespace": {role("r", rule("", "pods", "get")) + binding("r", account), role("r", rule("", "pods", "get")) + namespacedBinding("r", account), nil},
		"named to all": {role("r", rule("", "configmaps", "get", "resourceNames: [a]")) + binding("r", account), role("r", rule("", "configmaps", "get")) + binding("r", account),
			[]string{"ServiceAccount ns/a: get configmaps"}},
		"all to named": {role("r", rule("", "configmaps", "get")) + binding("r", account), role("r", rule("", "configmaps", "get", "resourceNames: [a]")) + binding("r", account), nil},
		"more names": {role("r", rule("", "configmaps", "get", "resourceNames: [a]")) + binding("r", account), role("r", rule("", "configmaps", "get", "resourceNames: [a, b, c]")) + binding("r", account),
			[]string{"ServiceAccount ns/a: get configmaps [b c]"}},
		"parts of resources": {role("r", rule("apps", "'*/scale'", "get")) + binding("r", account), role("r", rule("apps", "deployments/scale, deployments/status", "get")) + binding("r", account),
			[]string{"ServiceAccount ns/a: get deployments.apps/status"}},
		"URLs": {role("r", "{nonResourceURLs: ['/healthz/*'], verbs: [get]}") + binding("r", account), role("r", "{nonResourceURLs: [/healthz/x, /metrics], verbs: [get]}") + binding("r", account),
			[]string{"ServiceAccount ns/a: get /metrics"}},
		"URLs in a namespace mean nothing": {"", role("r", "{nonResourceURLs: [/metrics], verbs: [get]}") + namespacedBinding("r", account), nil},
		"new subject":                      {"", role("r", rule("", "pods", "get")) + binding("r", "{kind: Group, name: g}"), []string{"new Group g: get pods"}},
		"a role bound newly": {role("r", rule("", "nodes/proxy", "get")), role("r", rule("", "nodes/proxy", "get")) + binding("r", account),
			[]string{"! new ServiceAccount ns/a: get nodes/proxy"}},
		"escalate": {"", role("r", rule("rbac.authorization.k8s.io", "clusterroles", "escalate, bind")) + binding("r", account),
			[]string{"! new ServiceAccount ns/a: bind, escalate clusterroles.rbac.authorization.k8s.io"}},
		"impersonate":                   {"", role("r", rule("", "users", "impersonate")) + binding("r", account), []string{"! new ServiceAccount ns/a: impersonate users"}},
		"secrets":                       {"", role("r", rule("", "secrets, pods", "get")) + binding("r", account), []string{"! new ServiceAccount ns/a: get secrets", "new ServiceAccount ns/a: get pods"}},
		"a role outside":                {"", binding("cluster-admin", account), []string{"! new ServiceAccount ns/a: all of ClusterRole cluster-admin"}},
		"a role outside that was there": {binding("cluster-admin", account), namespacedBinding("cluster-admin", account), nil},
		"unbound":                       {role("r", rule("", "pods", "get")), role("r", rule("", "pods", "get, watch")), []string{"ClusterRole r: watch pods"}},
		"aggregated": {"", strings.Replace(role("r", rule("example.com", "things", "get")), "{name: r}", `{name: r, labels: {rbac.authorization.k8s.io/aggregate-to-view: "true"}}`, 1),
			[]string{"ClusterRole view: get things.example.com"}},
		"variants": {"", role("r", rule("", "pods", "get")) + role("r", rule("", "nodes", "get")) + binding("r", account), []string{"new ServiceAccount ns/a: get nodes, pods"}},

		"pod the same": {pod("{hostNetwork: true, containers: [{name: c}]}"), pod("{hostNetwork: true, containers: [{name: c, image: x}]}"), nil},
		"pod out of its box": {pod("{containers: [{name: c}]}"),
			pod("{hostPID: true, hostNetwork: true, containers: [{name: c, ports: [{hostPort: 80}], securityContext: {privileged: true, runAsUser: 0, capabilities: {add: [SYS_ADMIN, NET_RAW]}}}]}"),
			[]string{"hostNetwork", "! hostPID", "! privileged in c", "runs as root in c", "! capability SYS_ADMIN in c", "capability NET_RAW in c", "hostPort 80 in c"}},
		"less of it": {pod("{hostPID: true, containers: [{name: c}]}"), pod("{containers: [{name: c}]}"), nil},
		"folders of the host": {pod("{containers: [{name: c, volumeMounts: [{name: a, mountPath: /x, readOnly: true}]}], volumes: [{name: a, hostPath: {path: /opt}}]}"),
			pod("{containers: [{name: c, volumeMounts: [{name: a, mountPath: /x}, {name: b, mountPath: /y, readOnly: true}]}], volumes: [{name: a, hostPath: {path: /opt}}, {name: b, hostPath: {path: /}}]}"),
			[]string{"hostPath /opt", "! hostPath /, read-only"}},
		"another account":      {pod("{serviceAccountName: a, containers: [{name: c}]}"), pod("{serviceAccountName: b, containers: [{name: c}]}"), []string{"runs as ServiceAccount b"}},
		"account of a new pod": {"", pod("{serviceAccountName: a, containers: [{name: c}]}"), nil},
		"in a custom resource": {"", "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: t}\nspec: {deep: [{template: {spec: {hostIPC: true, containers: [{name: c}]}}}]}\n", []string{"! hostIPC"}},
		"pod security": {"apiVersion: v1\nkind: Namespace\nmetadata: {name: ns, labels: {pod-security.kubernetes.io/enforce: restricted}}\n",
			"apiVersion: v1\nkind: Namespace\nmetadata: {name: ns, labels: {pod-security.kubernetes.io/enforce: privileged}}\n", []string{"! pod security level privileged"}},

		"webhook":                       {"", webhook(", rules: [{resources: [pods], operations: [CREATE]}]"), []string{"! a.example.com sees create of pods"}},
		"webhook that ignores failures": {"", webhook(", failurePolicy: Ignore, rules: [{resources: [pods], operations: [CREATE]}]"), []string{"a.example.com sees create of pods"}},
		"webhook fails closed now":      {webhook(", failurePolicy: Ignore"), webhook(""), []string{"! a.example.com failurePolicy is Fail now"}},
		"webhook sees more":             {webhook(", rules: [{resources: [pods], operations: [CREATE]}]"), webhook(", rules: [{resources: ['*'], operations: [CREATE]}]"), []string{"! a.example.com sees create of *"}},
		"webhook gone":                  {webhook(""), "", nil},
		"API":                           {"", "apiVersion: apiregistration.k8s.io/v1\nkind: APIService\nmetadata: {name: v1.x}\nspec: {service: {namespace: ns, name: s}}\n", []string{"v1.x serves this part of the API from service ns/s"}},
		"conversion":                    {"", "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: x.y}\nspec: {conversion: {strategy: Webhook}}\n", []string{"! x.y converts objects by webhook"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := permissions.Gained(objects(t, c.from), objects(t, c.to))
			if diff := cmp.Diff(c.want, lines(g)); diff != "" {
				t.Error(diff)
			}
			if all, _ := g.Count(); all != len(c.want) || g.Empty() != (len(c.want) == 0) || len(g.Warnings) > 0 {
				t.Errorf("count %d, empty %t, warnings %q", all, g.Empty(), g.Warnings)
			}
		})
	}
}

func lines(g permissions.Gains) []string {
	var all []string
	add := func(risk, text string) {
		if risk != "" {
			text = "! " + text
		}
		all = append(all, text)
	}
	for _, s := range g.Subjects {
		who := s.Subject.String() + ": "
		if s.New && s.Kind != "ClusterRole" {
			who = "new " + who
		}
		for _, r := range s.Grants {
			text := who + strings.Join(r.Verbs, ", ") + " " + strings.Join(append(r.Resources, r.URLs...), ", ")
			if len(r.Names) > 0 {
				text += fmt.Sprintf(" %v", r.Names)
			}
			if r.Role != "" {
				text = who + "all of " + r.Role
			}
			add(r.Risk, text)
		}
	}
	for _, p := range g.Pods {
		for _, power := range p.Powers {
			text := power.What
			if power.Where != "" {
				text += " in " + power.Where
			}
			add(power.Risk, text)
		}
	}
	for _, h := range g.Hooks {
		add(h.Risk, h.Name+" "+h.What)
	}
	return all
}

// A rule of millions of combinations must not take the memory to write them down.
func TestHugeRule(t *testing.T) {
	var names []string
	for i := range 3000 {
		names = append(names, fmt.Sprint("n", i))
	}
	huge := role("r", rule("", strings.Join(names, ","), strings.Join(names, ","))) + binding("r", account)
	if g := permissions.Gained(nil, objects(t, huge)); len(g.Subjects) != 1 || g.Subjects[0].Grants[0].Risk == "" {
		t.Errorf("%d subjects", len(g.Subjects))
	}
	if g := permissions.Gained(objects(t, huge), objects(t, huge)); !g.Empty() {
		t.Error("it differs from itself")
	}
}

func TestUnreadableRole(t *testing.T) {
	g := permissions.Gained(nil, objects(t, "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: r}\nrules: all\n"))
	if len(g.Warnings) != 1 || !strings.Contains(g.Warnings[0], "ClusterRole r") {
		t.Errorf("%q", g.Warnings)
	}
}

// No manifest gains anything over itself, and none stops the comparison.
func FuzzGained(f *testing.F) {
	f.Add(role("r", rule("", "pods", "get")) + binding("r", account))
	f.Add(pod("{hostPID: true, containers: [{name: c, securityContext: {capabilities: {add: [ALL]}}}]}"))
	f.Add(webhook(", rules: [{resources: [pods], operations: [CREATE]}]"))
	f.Add("apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: r}\naggregationRule: {clusterRoleSelectors: [{matchExpressions: [{key: a, operator: In, values: [b]}]}]}\n")
	f.Fuzz(func(t *testing.T, text string) {
		parsed, _ := manifests.Parse([]byte(text), "0000_50_x_y.yaml")
		if g := permissions.Gained(parsed, parsed); !g.Empty() {
			t.Fatalf("%+v", g)
		}
		g := permissions.Gained(nil, parsed)
		if again := permissions.Gained(nil, parsed); !cmp.Equal(g, again) {
			t.Fatalf("two comparisons differ: %s", cmp.Diff(g, again))
		}
	})
}
