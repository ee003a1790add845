package rollout_test

import (
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/rollout"
)

// payload makes a payload of manifests, given as name and content by turns.
func payload(t *testing.T, version string, files ...string) *release.Payload {
	t.Helper()
	parsed, err := release.Parse(version)
	if err != nil {
		t.Fatal(err)
	}
	p := &release.Payload{Version: parsed, Digest: digestOf(version), References: release.ImageReferences{
		Name: version, Tags: []release.ImageTag{{Name: "kube-apiserver", Annotations: map[string]string{release.LabelVersions: "kubernetes=1.36.3"}}},
	}}
	for i := 0; i < len(files); i += 2 {
		p.Manifests = append(p.Manifests, release.File{Name: files[i], Data: []byte(files[i+1])})
	}
	return p
}

func digestOf(version string) v1.Hash {
	h, _, err := v1.SHA256(strings.NewReader(version))
	if err != nil {
		panic(err)
	}
	return h
}

func planOf(t *testing.T, p *release.Payload) *rollout.Plan {
	t.Helper()
	plan, err := rollout.PlanOf(p)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

const (
	older = "1.36.3-0.nightly-2026-11-19-101500"
	newer = "1.36.3-0.nightly-2026-11-20-101500"

	namespaceYAML  = "apiVersion: v1\nkind: Namespace\nmetadata: {name: web}\n"
	configYAML     = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, namespace: web}\ndata: {a: b}\n"
	deploymentYAML = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: web}\nspec: {replicas: 2, selector: {matchLabels: {app: web}}}\n"
	daemonSetYAML  = "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: agent, namespace: web}\nspec: {selector: {matchLabels: {app: agent}}}\n"
	widgetCRD      = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: widgets.example.org}\n"
	widgetYAML     = "apiVersion: example.org/v1\nkind: Widget\nmetadata: {name: w, namespace: web}\n"

	configPath     = "/api/v1/namespaces/web/configmaps/"
	deploymentPath = "/apis/apps/v1/namespaces/web/deployments/web"
	daemonSetPath  = "/apis/apps/v1/namespaces/web/daemonsets/agent"
	inventoryPath  = "/api/v1/namespaces/kube-system/configmaps/slipway-rollout"
)

// controllers makes everything that is applied ready at once.
func (a *api) controllers(path string, obj object) {
	generation := (&unstructured.Unstructured{Object: obj}).GetGeneration()
	switch obj["kind"] {
	case "Namespace":
		obj["status"] = object{"phase": "Active"}
	case "Deployment":
		obj["status"] = object{"observedGeneration": generation, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}
	case "DaemonSet":
		obj["status"] = object{"observedGeneration": generation, "desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 3}
	case "Job":
		obj["status"] = object{"conditions": []any{object{"type": "Complete", "status": "True"}}}
	case "CustomResourceDefinition":
		obj["status"] = object{"conditions": []any{object{"type": "NamesAccepted", "status": "True"}, object{"type": "Established", "status": "True"}}}
		a.resources["example.org/v1"] = []metav1.APIResource{{Name: "widgets", Kind: "Widget", Namespaced: true, Verbs: metav1.Verbs{"get"}}}
	}
}
