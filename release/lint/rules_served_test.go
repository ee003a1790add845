package lint_test

import "strings"

// dns is a CoreDNS with two pods behind a service, and a Corefile whose first plugins are these.
func dns(pod, plugins string) string {
	return deployment("replicas: 2", probed+"\nvolumes: [{name: config, configMap: {name: dns, items: [{key: Corefile, path: Corefile}]}}]\n"+pod) +
		"---\napiVersion: v1\nkind: Service\nmetadata: {name: dns, namespace: default}\nspec: {selector: {app: web}, ports: [{name: dns, port: 53, protocol: UDP}]}\n" +
		"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: dns, namespace: default}\ndata:\n  Corefile: |\n    # . is everything\n    .:53 {\n        errors\n" +
		indent(plugins, 8) + "\n        forward . /etc/resolv.conf {\n            max_concurrent 1000\n        }\n    }\n"
}

const (
	lame   = "health :8080 {\n    # lameduck 1s\n    lameduck 15s\n}\nready"
	spread = "topologySpreadConstraints: [{maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app: web}}}]"
)

var servedCases = []ruleCase{
	{rule: "dns-no-lameduck", name: "health alone", text: dns("", "health\nready"), want: "26: Deployment default/web ends as soon as it is told to, since health has no lameduck"},
	{rule: "dns-no-lameduck", name: "an empty block", text: dns("", "health {\n}\nready"), want: "26: Deployment default/web ends"},
	{rule: "dns-no-lameduck", name: "a comment is none", text: dns("", "health {\n    # lameduck 15s\n}\nready"), want: "26: Deployment default/web ends"},
	{rule: "dns-no-lameduck", name: "too short", text: dns("", replaceAll(lame, "15s", "4s")), want: "28: Deployment default/web answers for only 4s after it was told to end, and nodes may send it questions for 5s"},
	{rule: "dns-no-lameduck", name: "no health", text: dns("", "ready"), want: "23: the Corefile of Deployment default/web has no plugin health"},
	{rule: "dns-no-lameduck", name: "no ready", text: dns("", replaceAll(lame, "\nready", "")), want: "has no plugin ready"},
	{rule: "dns-no-lameduck", name: "neither", text: dns("", "loop"), want: "has no plugin health and no plugin ready"},
	{rule: "dns-no-lameduck", name: "of another plugin", text: dns("", "health\nother {\n    lameduck 15s\n}\nready"), want: "since health has no lameduck"},
	{rule: "dns-no-lameduck", name: "enough", text: dns("", replaceAll(lame, "15s", "5s"))},
	{rule: "dns-no-lameduck", name: "in another server", text: dns("", replaceAll(lame, "\nready", "\n}\n.:54 {\nready"))},
	{rule: "dns-no-lameduck", name: "imported", text: dns("", "import common")},
	{rule: "dns-no-lameduck", name: "of the environment", text: dns("", replaceAll(lame, "15s", "{$LAMEDUCK}"))},
	{rule: "dns-no-lameduck", name: "nobody asks it", text: replaceAll(dns("", "health"), "port: 53,", "port: 54,")},

	{rule: "lameduck-outlives-grace", name: "default grace", text: dns("", replaceAll(lame, "15s", "30s")), want: "28: Deployment default/web answers for 30s after it was told to end, and is killed after 30 s"},
	{rule: "lameduck-outlives-grace", name: "short grace", text: dns("terminationGracePeriodSeconds: 10", lame), want: "and is killed after 10 s"},
	{rule: "lameduck-outlives-grace", name: "longer", text: dns("terminationGracePeriodSeconds: 16", lame)},

	{rule: "served-without-budget", name: "none", text: deployment("replicas: 2", probed) + svc, want: "5: no PodDisruptionBudget selects the 2 pods of Deployment default/web"},
	{rule: "served-without-budget", name: "of others", text: deployment("replicas: 2", probed) + svc + strings.Replace(pdb("maxUnavailable: 1"), "app: web", "app: other", 1), want: "5: no PodDisruptionBudget"},
	{rule: "served-without-budget", name: "budgeted", text: deployment("replicas: 2", probed) + svc + pdb("maxUnavailable: 1")},
	{rule: "served-without-budget", name: "nobody calls them", text: deployment("replicas: 2", probed)},
	{rule: "served-without-budget", name: "a single one", text: deployment("replicas: 1", probed) + svc},
	{rule: "served-without-budget", name: "every node", text: strings.Replace(deployment("", probed), "Deployment", "DaemonSet", 1) + svc},

	{rule: "served-without-spread", name: "nothing", text: deployment("replicas: 2", probed) + svc, want: "9: nothing keeps the 2 pods of Deployment default/web from running on one node"},
	{rule: "served-without-spread", name: "constraints", text: deployment("replicas: 2", probed+"\n"+spread) + svc},
	{rule: "served-without-spread", name: "preferred", text: deployment("replicas: 2", probed+"\naffinity: {podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1}]}}") + svc},
	{rule: "served-without-spread", name: "required", text: deployment("replicas: 2", probed+"\naffinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname}]}}") + svc},
	{rule: "served-without-spread", name: "nobody calls them", text: deployment("replicas: 2", probed)},
}
