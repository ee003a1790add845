package lint_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/lint"
)

var (
	digest  = "@sha256:" + strings.Repeat("a", 64)
	foreign = "@sha256:" + strings.Repeat("b", 64)
)

// references are those of a payload with Kubernetes 1.36 and one image.
func references() release.ImageReferences {
	return release.ImageReferences{Name: "1.0.0", Tags: []release.ImageTag{{
		Name: "web", Image: "registry.example/web" + digest, Annotations: map[string]string{release.LabelVersions: "etcd=3.6.0,kubernetes=1.36.3"},
	}}}
}

// files cuts a text into files at its lines "== NAME"; what stands before the
// first is one file.
func files(text string) []release.File {
	out := []release.File{{Name: "0000_50_web_web.yaml"}}
	for _, line := range strings.SplitAfter(strings.NewReplacer("OWN", "registry.example/web"+digest, "FOREIGN", "registry.example/other"+foreign).Replace(text), "\n") {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "== "); ok {
			out = append(out, release.File{Name: name})
			continue
		}
		out[len(out)-1].Data = append(out[len(out)-1].Data, line...)
	}
	if len(out[0].Data) == 0 {
		out = out[1:]
	}
	return out
}

// deployment has a workload that no rule finds fault with but for what is laid over it.
func deployment(spec, pod string) string {
	return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
%s
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
%s
`, indent(spec, 2), indent(pod, 6))
}

const (
	probed = "containers: [{name: c, image: OWN, readinessProbe: {httpGet: {port: 80}}}]"
	bare   = "containers: [{name: c, image: OWN}]"
	svc    = `---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
`
)

func indent(text string, by int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i := range lines {
		lines[i] = strings.Repeat(" ", by) + lines[i]
	}
	return strings.Join(lines, "\n")
}

func pdb(spec string) string {
	return "---\napiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: web, namespace: default}\nspec: {unhealthyPodEvictionPolicy: AlwaysAllow, selector: {matchLabels: {app: web}}, " + spec + "}\n"
}

const (
	configMap = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, namespace: default%s}\n"
	crd       = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: boats.example.com}\nspec: {group: example.com, scope: Cluster, names: {kind: Boat}, versions: [{name: v1, served: true}, {name: v2, served: false}]}\n"
	boat      = "apiVersion: example.com/v1\nkind: Boat\nmetadata: {name: dinghy}\n"
	makesNS   = "apiVersion: v1\nkind: Namespace\nmetadata: {name: ours}\n"
	inNS      = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: ours}\n"
)

type ruleCase struct {
	rule    string
	name    string
	text    string
	options lint.Options
	want    string // "line: text of the message", empty when the rule says nothing
}

var ruleCases = slices.Concat(manifestCases, servedCases, controlPlaneCases, hopCases)

var manifestCases = []ruleCase{
	{rule: "unreadable-file", name: "second document", text: "a: 1\n---\nb: [\n", want: "3: reading YAML"},
	{rule: "unreadable-file", name: "a key twice", text: "apiVersion: v1\nkind: Namespace\nkind: Namespace\nmetadata: {name: a}\n", want: `3: key "kind" stands twice`},
	{rule: "unreadable-file", name: "comments and empty documents", text: "# a\n---\n---\n" + makesNS},
	{rule: "unreadable-file", name: "no manifest", text: "== 0000_50_a_b.txt\n[\n"},

	{rule: "missing-field", name: "second document", text: makesNS + "---\nkind: A\n", want: "5: apiVersion is missing"},
	{rule: "missing-field", name: "all there", text: makesNS},

	{rule: "missing-namespace", name: "kind of Kubernetes", text: "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n", want: `1: metadata.namespace of Secret "a" is missing`},
	{rule: "missing-namespace", name: "kind of the payload", text: strings.Replace(crd, "Cluster", "Namespaced", 1) + "---\n" + boat, want: `6: metadata.namespace of Boat "dinghy" is missing`},
	{rule: "missing-namespace", name: "kinds without", text: crd + "---\n" + boat},

	{rule: "duplicate-object", name: "other version and component", text: deployment("replicas: 2", probed) + "== 0000_60_b_x.yaml\n" + strings.Replace(deployment("", probed), "apps/v1", "apps/v1beta1", 1),
		want: "1: Deployment default/web stands in 0000_50_web_web.yaml:1 as well"},
	{rule: "duplicate-object", name: "one file", text: makesNS + "---\n" + makesNS, want: "5: Namespace ours stands in"},
	{rule: "duplicate-object", name: "other namespaces", text: fmt.Sprintf(configMap, "a", "") + "---\n" + inNS},
	{rule: "duplicate-object", name: "variants", text: fmt.Sprintf(configMap, "a", ", annotations: {release.openshift.io/feature-set: Default}") + "---\n" +
		fmt.Sprintf(configMap, "a", ", annotations: {release.openshift.io/feature-set: CustomNoUpgrade}")},

	{rule: "file-name", name: "one digit", text: "== 0000_5_a_b.yaml\n" + makesNS, want: "0: the name"},
	{rule: "file-name", name: "no component", text: "== 0000_05_b.yaml\n" + makesNS, want: "0: the name"},
	{rule: "file-name", name: "twice", text: "== 0000_05_a_b.yaml\n" + makesNS + "== 0000_05_a_b.yaml\n" + inNS, want: "0: two files"},
	{rule: "file-name", name: "as it should be", text: "== 0000_05_a-b_c.yaml\n" + makesNS + "== README\nx"},

	{rule: "stray-file", name: "text", text: "== 0000_50_a_b.txt\nhello\n", want: "0: "},
	{rule: "stray-file", name: "files of the payload", text: makesNS + "== image-references\n{}\n== release-metadata\n{}\n"},

	{rule: "not-a-string", name: "annotation", text: fmt.Sprintf(configMap, "a", ", annotations: {x: true}"), want: "3: ConfigMap default/a: x of metadata.annotations is true"},
	{rule: "not-a-string", name: "label of pods", text: strings.Replace(deployment("", probed), "{app: web}}\n    spec", "{app: web, v: 1.20}}\n    spec", 1), want: "8: Deployment default/web: v of spec.template.metadata.labels is 1.2,"},
	{rule: "not-a-string", name: "quoted", text: fmt.Sprintf(configMap, "a", ", annotations: {x: 'true'}, labels: {v: '1.20'}")},

	{rule: "never-applied", name: "others are annotated", text: makesNS + "---\n" + fmt.Sprintf(configMap, "a", ", annotations: {include.release.openshift.io/x: 'true'}"), want: "1: Namespace ours names no cluster profile"},
	{rule: "never-applied", name: "profile given", text: makesNS, options: lint.Options{Profile: "x"}, want: "the release is for profile x"},
	{rule: "never-applied", name: "value that does not count", text: fmt.Sprintf(configMap, "a", ", annotations: {include.release.openshift.io/x: 'True'}"), want: `3: ConfigMap default/a is never applied: include.release.openshift.io/x is "True"`},
	{rule: "never-applied", name: "nobody is", text: makesNS},
	{rule: "never-applied", name: "on purpose", text: fmt.Sprintf(configMap, "b", ", annotations: {include.release.openshift.io/x: 'false-except-for-y'}") + "---\n" + fmt.Sprintf(configMap, "a", ", annotations: {include.release.openshift.io/x: 'true'}")},

	{rule: "impossible-selection", name: "unknown set", text: fmt.Sprintf(configMap, "a", ", annotations: {release.openshift.io/feature-set: Beta}"), want: `3: ConfigMap default/a is never applied: release.openshift.io/feature-set names "Beta"`},
	{rule: "impossible-selection", name: "on and off", text: fmt.Sprintf(configMap, "a", ", annotations: {release.openshift.io/feature-gate: 'X,-X'}"), want: "both on and off"},
	{rule: "impossible-selection", name: "set and gate", text: fmt.Sprintf(configMap, "a", ", annotations: {release.openshift.io/feature-gate: X, release.openshift.io/feature-set: Default}"), want: "exclude each other"},
	{rule: "impossible-selection", name: "version of the wrong kind", text: fmt.Sprintf(configMap, "a", ", annotations: {release.openshift.io/major-version: '4'}"), want: "counts on FeatureGate"},
	{rule: "impossible-selection", name: "possible", text: fmt.Sprintf(configMap, "a", ", annotations: {release.openshift.io/feature-set: 'Default,OKD'}") + "---\n" +
		strings.Replace(crd, "boats.example.com", "boats.example.com, annotations: {release.openshift.io/major-version: '4', release.openshift.io/feature-gate: '-X'}", 1)},

	{rule: "custom-resource-before-definition", name: "later level", text: "== 0000_40_a_x.yaml\n" + boat + "== 0000_50_a_x.yaml\n" + crd, want: "1: Boat dinghy is applied before its definition in 0000_50_a_x.yaml"},
	{rule: "custom-resource-before-definition", name: "later file", text: "== 0000_50_a_1.yaml\n" + boat + "== 0000_50_a_2.yaml\n" + crd, want: "1: Boat dinghy is applied before"},
	{rule: "custom-resource-before-definition", name: "later document", text: boat + "---\n" + crd, want: "1: Boat dinghy is applied before"},
	{rule: "custom-resource-before-definition", name: "earlier", text: "== 0000_40_b_x.yaml\n" + crd + "== 0000_50_a_x.yaml\n" + boat + "---\napiVersion: other.com/v1\nkind: Boat\nmetadata: {name: x}\n"},
	{rule: "custom-resource-before-definition", name: "earlier document", text: crd + "---\n" + boat},

	{rule: "custom-resource-beside-definition", name: "other component", text: "== 0000_50_a_x.yaml\n" + crd + "== 0000_50_b_x.yaml\n" + boat, want: "1: Boat dinghy is applied at the same time"},
	{rule: "custom-resource-beside-definition", name: "same component", text: "== 0000_50_a_1.yaml\n" + crd + "== 0000_50_a_2.yaml\n" + boat},

	{rule: "unserved-version", name: "not served", text: crd + "---\n" + strings.Replace(boat, "/v1", "/v2", 1), want: "6: Boat dinghy uses version v2, of which its definition serves v1"},
	{rule: "unserved-version", name: "served", text: crd + "---\n" + boat},

	{rule: "namespace-too-late", name: "later level", text: "== 0000_40_a_x.yaml\n" + inNS + "== 0000_50_a_x.yaml\n" + makesNS, want: "3: ConfigMap ours/a is applied before its namespace, which 0000_50_a_x.yaml makes"},
	{rule: "namespace-too-late", name: "beside", text: "== 0000_40_a_x.yaml\n" + inNS + "== 0000_40_b_x.yaml\n" + makesNS, want: "at the same time as"},
	{rule: "namespace-too-late", name: "before", text: makesNS + "---\n" + inNS},

	{rule: "removed-api", name: "removed", text: "apiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: {name: a, namespace: default}\n", want: "1: PodDisruptionBudget default/a: Kubernetes serves no policy/v1beta1 since 1.25, and the payload's is 1.36; use policy/v1"},
	{rule: "removed-api", name: "not yet", text: "apiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: {name: a, namespace: default}\n", options: lint.Options{Kubernetes: "v1.24.17"}},
	{rule: "removed-api", name: "deleted by the payload", text: "apiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: {name: a, namespace: default, annotations: {release.openshift.io/delete: 'true'}}\n"},

	{rule: "deprecated-api", name: "deprecated", text: "apiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: {name: a, namespace: default}\n", options: lint.Options{Kubernetes: "1.24"}, want: "1: PodDisruptionBudget default/a: policy/v1beta1 is deprecated since Kubernetes 1.21 and is removed in 1.25"},
	{rule: "deprecated-api", name: "for ever", text: "apiVersion: v1\nkind: Endpoints\nmetadata: {name: a, namespace: default}\n", want: "will be removed one day; use discovery.k8s.io/v1"},
	{rule: "deprecated-api", name: "removed already", text: "apiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: {name: a, namespace: default}\n"},
	{rule: "deprecated-api", name: "of today", text: deployment("", probed)},

	{rule: "unpinned-image", name: "tag", text: deployment("", "containers: [{name: c, image: 'OWN:1'}]"), want: `10: Deployment default/web: image "registry.example/web@sha256:` + strings.Repeat("a", 64) + `:1" of container "c"`},
	{rule: "unpinned-image", name: "variable", text: deployment("", "containers: [{name: c, image: OWN, env: [{name: IMAGE, value: 'quay.io/a/b:1'}]}]"), want: `of environment variable "IMAGE"`},
	{rule: "unpinned-image", name: "pinned", text: deployment("", probed)},
	{rule: "unpinned-image", name: "assembling pins it", text: deployment("", "containers: [{name: c, image: 'registry.example/src:1'}]"), options: lint.Options{Replaced: func(r string) bool { return r == "registry.example/src" }}},

	{rule: "foreign-image", name: "foreign", text: deployment("", "containers: [{name: c, image: FOREIGN}]"), want: `10: Deployment default/web: image "registry.example/other@sha256:`},
	{rule: "foreign-image", name: "own", text: deployment("", probed)},

	{rule: "single-replica-served", name: "one by default", text: deployment("", probed) + svc, want: "4: Deployment default/web has a single replica, and"},
	{rule: "single-replica-served", name: "the autoscaler's minimum", text: deployment("replicas: 3", probed) + svc +
		"---\napiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: a, namespace: default}\nspec: {minReplicas: 1, scaleTargetRef: {kind: Deployment, name: web}}\n", want: "5: Deployment default/web has"},
	{rule: "single-replica-served", name: "two", text: deployment("replicas: 2", probed) + svc},
	{rule: "single-replica-served", name: "metrics only", text: deployment("replicas: 1", probed) + strings.Replace(svc, "http", "https-metrics", 1)},
	{rule: "single-replica-served", name: "called metrics", text: deployment("replicas: 1", probed) + strings.Replace(svc, "name: web,", "name: web-metrics,", 1)},

	{rule: "single-replica", name: "one", text: deployment("replicas: 1", probed), want: "5: Deployment default/web has a single replica"},
	{rule: "single-replica", name: "two and none", text: deployment("replicas: 2", probed) + "---\n" + strings.Replace(deployment("replicas: 0", probed), "name: web, n", "name: b, n", 1)},
	{rule: "single-replica", name: "every node", text: strings.Replace(deployment("", probed), "Deployment", "DaemonSet", 1)},

	{rule: "budget-blocks-drain", name: "maxUnavailable 0", text: deployment("replicas: 2", probed) + pdb("maxUnavailable: 0"), want: "maxUnavailable is 0"},
	{rule: "budget-blocks-drain", name: "maxUnavailable 0%", text: pdb("maxUnavailable: 0%"), want: "maxUnavailable is 0%"},
	{rule: "budget-blocks-drain", name: "as many as there are", text: deployment("replicas: 2", probed) + pdb("minAvailable: 2"), want: "of the 2 replicas of Deployment default/web be evicted: minAvailable is 2"},
	{rule: "budget-blocks-drain", name: "percent rounded up", text: deployment("replicas: 2", probed) + pdb("minAvailable: 51%"), want: "minAvailable is 51%"},
	{rule: "budget-blocks-drain", name: "the only one", text: deployment("", probed) + pdb("minAvailable: 1"), want: "minAvailable is 1"},
	{rule: "budget-blocks-drain", name: "all of whatever there is", text: pdb("minAvailable: 100%"), want: "minAvailable is 100%"},
	{rule: "budget-blocks-drain", name: "half", text: deployment("replicas: 2", probed) + pdb("minAvailable: 50%")},
	{rule: "budget-blocks-drain", name: "one percent rounds up", text: deployment("replicas: 2", probed) + pdb("maxUnavailable: 1%")},
	{rule: "budget-blocks-drain", name: "unknown pods", text: pdb("minAvailable: 5")},
	{rule: "budget-blocks-drain", name: "drains leave daemons", text: strings.Replace(deployment("", probed), "Deployment", "DaemonSet", 1) + pdb("maxUnavailable: 0")},

	{rule: "overlapping-budgets", name: "two", text: deployment("replicas: 3", probed) + pdb("maxUnavailable: 1") + strings.Replace(pdb("maxUnavailable: 1"), "name: web", "name: b", 1), want: "PodDisruptionBudget default/b and PodDisruptionBudget default/web both select the pods of Deployment default/web"},
	{rule: "overlapping-budgets", name: "an empty selector takes all", text: deployment("replicas: 3", probed) + pdb("maxUnavailable: 1") +
		strings.Replace(strings.Replace(pdb("maxUnavailable: 1"), "name: web", "name: b", 1), "{matchLabels: {app: web}}", "{}", 1), want: "both select"},
	{rule: "overlapping-budgets", name: "expressions", text: deployment("replicas: 3", probed) + pdb("maxUnavailable: 1") +
		strings.Replace(strings.Replace(pdb("maxUnavailable: 1"), "name: web", "name: b", 1), "{matchLabels: {app: web}}", "{matchExpressions: [{key: app, operator: NotIn, values: [web]}]}", 1)},
	{rule: "overlapping-budgets", name: "other namespaces", text: deployment("replicas: 3", probed) + pdb("maxUnavailable: 1") + strings.Replace(pdb("maxUnavailable: 1"), "default", "kube-system", 1)},

	{rule: "budget-selects-nothing", name: "other label", text: strings.ReplaceAll(deployment("", probed), "app: web", "app: other") + pdb("maxUnavailable: 1"), want: "PodDisruptionBudget default/web selects none"},
	{rule: "budget-selects-nothing", name: "its pods", text: deployment("", probed) + pdb("maxUnavailable: 1")},
	{rule: "budget-selects-nothing", name: "pods that others make", text: pdb("maxUnavailable: 1")},

	{rule: "budget-guards-broken-pods", name: "default", text: strings.Replace(pdb("maxUnavailable: 1"), "unhealthyPodEvictionPolicy: AlwaysAllow, ", "", 1), want: "PodDisruptionBudget default/web lets pods"},
	{rule: "budget-guards-broken-pods", name: "always", text: pdb("maxUnavailable: 1")},

	{rule: "no-readiness-probe", name: "none", text: deployment("replicas: 2", bare) + svc, want: "10: Deployment default/web is behind a service"},
	{rule: "no-readiness-probe", name: "probed", text: deployment("replicas: 2", probed) + svc},
	{rule: "no-readiness-probe", name: "no service", text: deployment("replicas: 2", bare)},

	{rule: "update-takes-all", name: "recreate", text: deployment("replicas: 2\nstrategy: {type: Recreate}", probed), want: "6: Deployment default/web ends all of its pods"},
	{rule: "update-takes-all", name: "all of them", text: deployment("replicas: 2\nstrategy: {rollingUpdate: {maxUnavailable: 2}}", probed), want: "lets all of its 2 pods go at once: maxUnavailable is 2"},
	{rule: "update-takes-all", name: "100%", text: deployment("replicas: 3\nstrategy: {rollingUpdate: {maxUnavailable: 100%}}", probed), want: "maxUnavailable is 100%"},
	{rule: "update-takes-all", name: "the only one of a service", text: deployment("strategy: {rollingUpdate: {maxUnavailable: 1}}", probed) + svc, want: "all of its 1 pod go"},
	{rule: "update-takes-all", name: "every node at once", text: strings.Replace(deployment("updateStrategy: {rollingUpdate: {maxUnavailable: 100%}}", probed), "Deployment", "DaemonSet", 1), want: "DaemonSet default/web lets all"},
	{rule: "update-takes-all", name: "default", text: deployment("replicas: 2", probed) + svc},
	{rule: "update-takes-all", name: "rounded down", text: deployment("replicas: 2\nstrategy: {rollingUpdate: {maxUnavailable: 99%}}", probed)},
	{rule: "update-takes-all", name: "nobody calls the only one", text: deployment("strategy: {type: Recreate}", probed)},
	{rule: "update-takes-all", name: "ten nodes at once", text: strings.Replace(deployment("updateStrategy: {rollingUpdate: {maxUnavailable: 10}}", probed), "Deployment", "DaemonSet", 1)},

	{rule: "update-on-delete", name: "OnDelete", text: strings.Replace(deployment("updateStrategy: {type: OnDelete}", probed), "Deployment", "DaemonSet", 1), want: "5: DaemonSet default/web is not replaced"},
	{rule: "update-on-delete", name: "RollingUpdate", text: strings.Replace(deployment("updateStrategy: {type: RollingUpdate}", probed), "Deployment", "DaemonSet", 1)},

	{rule: "update-needs-spare-node", name: "host port", text: deployment("replicas: 2\nstrategy: {rollingUpdate: {maxUnavailable: 0}}", "containers: [{name: c, image: OWN, ports: [{containerPort: 80, hostPort: 80}]}]"), want: "keeps all 2 pods during an update, and host port 80"},
	{rule: "update-needs-spare-node", name: "host network", text: deployment("replicas: 2", "hostNetwork: true\ncontainers: [{name: c, image: OWN, ports: [{containerPort: 80}]}]"), want: "host port 80"},
	{rule: "update-needs-spare-node", name: "anti-affinity", text: deployment("replicas: 3", bare+"\naffinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: web}}}]}}"), want: "anti-affinity"},
	{rule: "update-needs-spare-node", name: "one may go", text: deployment("replicas: 2\nstrategy: {rollingUpdate: {maxUnavailable: 1}}", "containers: [{name: c, image: OWN, ports: [{hostPort: 80}]}]")},
	{rule: "update-needs-spare-node", name: "away from others", text: deployment("replicas: 3", bare+"\naffinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: db}}}]}}")},
	{rule: "update-needs-spare-node", name: "no ports", text: deployment("replicas: 2", bare)},

	{rule: "prestop-outlives-grace", name: "sleep", text: deployment("replicas: 2", "containers: [{name: c, image: OWN, lifecycle: {preStop: {sleep: {seconds: 30}}}}]"), want: `10: Deployment default/web: the preStop hook of container "c" sleeps 30 s, and the pod is killed after 30 s`},
	{rule: "prestop-outlives-grace", name: "command", text: deployment("replicas: 2", "terminationGracePeriodSeconds: 100\ncontainers: [{name: c, image: OWN, lifecycle: {preStop: {exec: {command: [/bin/sh, -c, 'sleep 1.5m; sleep 15']}}}}]"), want: "sleeps 105 s"},
	{rule: "prestop-outlives-grace", name: "shorter", text: deployment("replicas: 2", "terminationGracePeriodSeconds: 60\ncontainers: [{name: c, image: OWN, lifecycle: {preStop: {sleep: {seconds: 30}}}}]")},
	{rule: "prestop-outlives-grace", name: "another word", text: deployment("replicas: 2", "containers: [{name: c, image: OWN, lifecycle: {preStop: {exec: {command: [oversleep, '90']}}}}]")},

	{rule: "bare-pod", name: "pod", text: "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: default}\nspec: {containers: []}\n", want: "2: Pod default/a has no controller"},
	{rule: "bare-pod", name: "deployment", text: deployment("", probed)},

	{rule: "unknown-namespace", name: "nobody's", text: inNS, want: `3: ConfigMap ours/a: nothing in the payload makes namespace "ours"`},
	{rule: "unknown-namespace", name: "the payload's and Kubernetes'", text: makesNS + "---\n" + inNS + "---\n" + fmt.Sprintf(configMap, "a", "")},

	{rule: "missing-role", name: "role", text: "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: a, namespace: ours}\nroleRef: {kind: Role, name: b}\n", want: `4: RoleBinding ours/a: nothing in the payload makes Role "b"`},
	{rule: "missing-role", name: "cluster role", text: "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: a}\nroleRef: {kind: ClusterRole, name: b}\n", want: `makes ClusterRole "b"`},
	{rule: "missing-role", name: "built in", text: "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: a}\nroleRef: {kind: ClusterRole, name: view}\n---\n" +
		"apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: b}\nroleRef: {kind: ClusterRole, name: 'system:node'}\n"},
	{rule: "missing-role", name: "made", text: "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: a, namespace: ours}\nroleRef: {kind: Role, name: b}\n---\n" +
		"apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: b, namespace: ours}\n"},

	{rule: "missing-service-account", name: "of a pod", text: strings.Replace(deployment("", probed+"\nserviceAccountName: x"), "default", "kube-system", 1), want: `11: Deployment kube-system/web: nothing in the payload makes service account "x"`},
	{rule: "missing-service-account", name: "of a binding", text: makesNS + "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: a}\nroleRef: {kind: ClusterRole, name: view}\nsubjects:\n- {kind: ServiceAccount, name: x, namespace: ours}\n", want: "10: ClusterRoleBinding a: nothing in the payload makes service account ours/x"},
	{rule: "missing-service-account", name: "of a namespace that others make", text: "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: a}\nroleRef: {kind: ClusterRole, name: view}\nsubjects:\n- {kind: ServiceAccount, name: x, namespace: theirs}\n- {kind: User, name: y}\n"},
	{rule: "missing-service-account", name: "made, and default", text: makesNS + "---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: x, namespace: ours}\n---\n" + strings.Replace(deployment("", probed+"\nserviceAccountName: x"), "default", "ours", 1) +
		"---\n" + strings.Replace(strings.Replace(deployment("", probed+"\nserviceAccountName: default"), "namespace: default", "namespace: ours", 1), "name: web", "name: b", 1)},

	{rule: "service-selects-nothing", name: "other label", text: deployment("", probed) + strings.Replace(svc, "{app: web}", "{app: wbe}", 1), want: "15: Service default/web selects none"},
	{rule: "service-selects-nothing", name: "its pods", text: deployment("", probed) + svc},
	{rule: "service-selects-nothing", name: "endpoints by hand", text: deployment("", probed) + strings.Replace(svc, "selector: {app: web}, ", "", 1)},
	{rule: "service-selects-nothing", name: "pods that others make", text: svc},

	{rule: "missing-priority-class", name: "missing", text: deployment("", probed+"\npriorityClassName: x"), want: `11: Deployment default/web: nothing in the payload makes priority class "x"`},
	{rule: "missing-priority-class", name: "built in", text: deployment("", probed+"\npriorityClassName: system-node-critical")},
	{rule: "missing-priority-class", name: "made", text: deployment("", probed+"\npriorityClassName: x") + "---\napiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {name: x}\nvalue: 1\n"},

	{rule: "selector-mismatch", name: "other label", text: strings.Replace(deployment("", probed), "labels: {app: web}", "labels: {app: wbe}", 1), want: "6: the selector of Deployment default/web"},
	{rule: "selector-mismatch", name: "none", text: strings.Replace(deployment("", probed), "selector: {matchLabels: {app: web}}", "", 1), want: "the selector of Deployment"},
	{rule: "selector-mismatch", name: "the same", text: deployment("", probed)},

	{rule: "invalid-exception", name: "no rule", text: fmt.Sprintf(configMap, "a", ", annotations: {lint.slipway.dev/single: 'why; until=2027-01-31'}"), want: `3: annotation lint.slipway.dev/single of ConfigMap default/a: there is no rule "single"`},
	{rule: "invalid-exception", name: "no day", text: fmt.Sprintf(configMap, "a", ", annotations: {lint.slipway.dev/single-replica: 'why'}"), want: `until is "", not a day`},
	{rule: "invalid-exception", name: "no reason", text: fmt.Sprintf(configMap, "a", ", annotations: {lint.slipway.dev/single-replica: ' ; until=2027-01-31'}"), want: "the reason is missing"},
	{rule: "invalid-exception", name: "not from these rules", text: fmt.Sprintf(configMap, "a", ", annotations: {lint.slipway.dev/expired-exception: 'why; until=2027-01-31'}"), want: "allows no exceptions"},
	{rule: "invalid-exception", name: "well made", text: excepted("why; and more; until=2027-01-31")},

	{rule: "expired-exception", name: "the day after", text: excepted("why; until=2026-11-19"), want: "3: the exception from single-replica for Deployment default/web held until 2026-11-19: why"},
	{rule: "expired-exception", name: "the last day", text: excepted("why; until=2026-11-20")},

	{rule: "unused-exception", name: "mended", text: strings.Replace(excepted("why; until=2027-01-31"), "replicas: 1", "replicas: 2", 1), want: "3: the exception from single-replica for Deployment default/web covers no finding"},
	{rule: "unused-exception", name: "used", text: excepted("why; until=2027-01-31")},
}

func excepted(value string) string {
	return strings.Replace(deployment("replicas: 1", probed), "default}", fmt.Sprintf("default, annotations: {lint.slipway.dev/single-replica: %q}}", value), 1)
}

// run judges a case on the day of all tests.
func run(t *testing.T, c ruleCase) lint.Report {
	t.Helper()
	c.options.Now = today
	return lint.Run(files(c.text), references(), c.options)
}

func TestRules(t *testing.T) {
	for _, c := range ruleCases {
		t.Run(c.rule+"/"+c.name, func(t *testing.T) {
			report := run(t, c)
			var found []string
			for _, f := range report.Findings {
				if f.Rule == c.rule {
					found = append(found, fmt.Sprintf("%d: %s", f.Line, f.Message))
				}
			}
			switch {
			case c.want == "" && len(found) > 0:
				t.Errorf("it says %q of\n%s", found, c.text)
			case c.want != "" && len(found) == 0:
				t.Errorf("it says nothing of\n%s\nall findings: %+v", c.text, report.Findings)
			case c.want != "" && !strings.Contains(strings.Join(found, "\n"), c.want):
				t.Errorf("it says %q, want %q", found, c.want)
			}
		})
	}
}

func TestEveryRuleIsTriedBothWays(t *testing.T) {
	speaks, silent := map[string]bool{}, map[string]bool{}
	for _, c := range ruleCases {
		if _, ok := lint.Find(c.rule); !ok {
			t.Errorf("there is no rule %q", c.rule)
		}
		speaks[c.rule] = speaks[c.rule] || c.want != ""
		silent[c.rule] = silent[c.rule] || c.want == ""
	}
	ids := map[string]bool{}
	for _, r := range lint.Rules() {
		if !speaks[r.Name] || !silent[r.Name] {
			t.Errorf("rule %s: a case that triggers it: %v, one that does not: %v", r.Name, speaks[r.Name], silent[r.Name])
		}
		if ids[r.ID] || ids[r.Name] {
			t.Errorf("rule %s %s: id or name is not its own", r.ID, r.Name)
		}
		ids[r.ID], ids[r.Name] = true, true
		if r.Title == "" || r.Why == "" || r.Fix == "" {
			t.Errorf("rule %s lacks a text", r.Name)
		}
	}
}
