package lint_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/lint"
)

// payload is one that clusters are upgraded from.
func payload(versions, text string) *release.Payload {
	refs := references()
	refs.Name = "0.9.0"
	refs.Tags[0].Annotations[release.LabelVersions] = versions
	return &release.Payload{References: refs, Manifests: files(text)}
}

func from(versions, text string) lint.Options {
	return lint.Options{From: []*release.Payload{payload(versions, text)}}
}

var hopCases = []ruleCase{
	{rule: "kubernetes-skew", name: "two at once", text: makesNS, options: from("kubernetes=1.34.9", makesNS), want: "0: Kubernetes goes from 1.34.9 to 1.36.3, over 2 minor versions at once"},
	{rule: "kubernetes-skew", name: "back", text: makesNS, options: from("kubernetes=1.37.0", makesNS), want: "0: Kubernetes goes back from 1.37.0 to 1.36.3"},
	{rule: "kubernetes-skew", name: "version given", text: makesNS, options: lint.Options{Kubernetes: "1.38", From: []*release.Payload{payload("kubernetes=1.36.0", makesNS)}}, want: "from 1.36.0 to 1.38"},
	{rule: "kubernetes-skew", name: "one", text: makesNS, options: from("kubernetes=1.35.9", makesNS)},
	{rule: "kubernetes-skew", name: "another patch", text: makesNS, options: from("kubernetes=1.36.9", makesNS)},

	{rule: "kubelet-skew", name: "four behind", text: makesNS, options: from("kubernetes=1.35.1,kubelet=1.32.1", makesNS), want: "kubelets 1.32.1 will talk to API servers 1.36.3, which are 4 minor versions newer"},
	{rule: "kubelet-skew", name: "three behind", text: makesNS, options: from("kubernetes=1.35.1,kubelet=1.33.1", makesNS)},

	{rule: "immutable-field", name: "selector", text: deployment("", probed), options: from("kubernetes=1.36.3", replaceAll(deployment("", probed), "app: web", "app: wbe")),
		want: `6: spec.selector of Deployment default/web becomes {"matchLabels":{"app":"web"}} and was {"matchLabels":{"app":"wbe"}}, which the API server refuses`},
	{rule: "immutable-field", name: "the same", text: deployment("replicas: 5", probed), options: from("kubernetes=1.36.3", deployment("", bare))},

	{rule: "definition-drops-version", name: "used", text: replaceAll(crd, "served: true", "served: false"), options: from("kubernetes=1.36.3", crd+"---\n"+boat), want: "4: CustomResourceDefinition boats.example.com no longer serves version v1, which Boat dinghy"},
	{rule: "definition-drops-version", name: "not used", text: replaceAll(crd, "served: true", "served: false"), options: from("kubernetes=1.36.3", crd)},
	{rule: "definition-drops-version", name: "stored", text: replaceAll(crd, "name: v1, ", "name: v3, "), options: from("kubernetes=1.36.3", replaceAll(crd, "served: true", "served: true, storage: true")), want: "no longer has version v1, in which"},

	{rule: "object-dropped", name: "file gone", text: makesNS, options: from("kubernetes=1.36.3", "== 0000_50_web_old.yaml\n"+deployment("", bare)), want: "0: Deployment default/web is in the release before and not in this one"},
	{rule: "object-dropped", name: "deleted", text: strings.Replace(deployment("", probed), "default}", "default, annotations: {release.openshift.io/delete: 'true'}}", 1), options: from("kubernetes=1.36.3", deployment("", bare))},

	{rule: "etcd-skew", name: "back", text: makesNS, options: from("etcd=3.7.0", makesNS), want: "0: etcd goes back from 3.7.0 to 3.6.0"},
	{rule: "etcd-skew", name: "two at once", text: makesNS, options: from("etcd=3.4.1", makesNS), want: "over 2 minor versions"},
	{rule: "etcd-skew", name: "one", text: makesNS, options: from("etcd=3.5.26", makesNS)},
	{rule: "etcd-skew", name: "not known", text: makesNS, options: from("kubernetes=1.36.3", makesNS)},
}

// Two payloads between which much is wrong, forth and back.
func TestBothWays(t *testing.T) {
	before := payload("kubernetes=1.34.9", "== 0000_50_web_old.yaml\n"+replaceAll(deployment("replicas: 2", probed), "app: web", "app: wbe"))
	options := lint.Options{Now: today, From: []*release.Payload{before}}
	judge := func() []string {
		var found []string
		for _, f := range lint.Run(files(deployment("replicas: 2", probed)+"---\n"+makesNS), references(), options).Findings {
			found = append(found, strings.Join([]string{f.Rule, f.File, f.Field, f.Hop}, "|"))
		}
		return sorted(found)
	}
	forth := []string{
		"immutable-field|0000_50_web_web.yaml|spec.selector|0.9.0 to 1.0.0",
		"kubernetes-skew|image-references||0.9.0 to 1.0.0",
	}
	if diff := cmp.Diff(forth, judge()); diff != "" {
		t.Error(diff)
	}
	options.BothWays = true
	both := sorted(append(forth, "kubernetes-skew|image-references||1.0.0 to 0.9.0", "object-dropped|0000_50_web_web.yaml||1.0.0 to 0.9.0"))
	if diff := cmp.Diff(both, judge()); diff != "" {
		t.Error(diff)
	}
}
