package rollout_test

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/slipway-release/slipway/release/rollout"
)

func TestReadinessOf(t *testing.T) {
	const (
		deployment  = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: x, generation: 2}, spec: {replicas: 2"
		daemonSet   = "{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: x, generation: 2}, spec: {"
		statefulSet = "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: x, generation: 1}, spec: {replicas: 3"
		job         = "{apiVersion: batch/v1, kind: Job, metadata: {name: x}, spec: {completions: 2}, status: "
		crd         = "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: x}, status: {conditions: ["
		apiService  = "{apiVersion: apiregistration.k8s.io/v1, kind: APIService, metadata: {name: x}, status: {conditions: ["
		claim       = "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: x}, spec: {"
	)
	tests := []struct {
		name, object string
		ready        bool
		failed       bool
		message      string
	}{
		{"deployment ready", deployment + "}, status: {observedGeneration: 2, replicas: 2, updatedReplicas: 2, availableReplicas: 2}}", true, false, ""},
		{"deployment not seen", deployment + "}, status: {observedGeneration: 1, replicas: 2, updatedReplicas: 2, availableReplicas: 2}}", false, false, "its controller has not seen generation 2"},
		{"deployment without status", deployment + "}}", false, false, "its controller has not seen generation 2"},
		{"deployment half updated", deployment + "}, status: {observedGeneration: 2, replicas: 3, updatedReplicas: 1, availableReplicas: 2}}", false, false, "1 of 2 updated"},
		{"deployment with old replicas", deployment + "}, status: {observedGeneration: 2, replicas: 3, updatedReplicas: 2, availableReplicas: 3}}", false, false, "1 old replicas still run"},
		{"deployment not available", deployment + "}, status: {observedGeneration: 2, replicas: 2, updatedReplicas: 2, availableReplicas: 1}}", false, false, "1 of 2 available"},
		{"deployment paused", deployment + ", paused: true}, status: {observedGeneration: 2}}", false, false, "it is paused"},
		{"deployment refused", deployment + "}, status: {observedGeneration: 2, conditions: [{type: ReplicaFailure, status: 'True', reason: FailedCreate, message: quota}]}}", false, false, "0 of 2 updated: FailedCreate: quota"},
		{"deployment of none", "{apiVersion: apps/v1, kind: Deployment, metadata: {name: x, generation: 1}, spec: {replicas: 0}, status: {observedGeneration: 1}}", true, false, ""},

		{"daemon set ready", daemonSet + "}, status: {observedGeneration: 2, desiredNumberScheduled: 3, updatedNumberScheduled: 3, numberAvailable: 3}}", true, false, ""},
		{"daemon set half updated", daemonSet + "}, status: {observedGeneration: 2, desiredNumberScheduled: 3, updatedNumberScheduled: 2, numberAvailable: 3}}", false, false, "2 of 3 updated"},
		{"daemon set not available", daemonSet + "}, status: {observedGeneration: 2, desiredNumberScheduled: 3, updatedNumberScheduled: 3, numberAvailable: 2}}", false, false, "2 of 3 available"},
		{"daemon set not seen", daemonSet + "}, status: {observedGeneration: 1, desiredNumberScheduled: 3, updatedNumberScheduled: 3, numberAvailable: 3}}", false, false, "its controller has not seen generation 2"},
		{"daemon set on delete", daemonSet + "updateStrategy: {type: OnDelete}}, status: {observedGeneration: 2, desiredNumberScheduled: 3, updatedNumberScheduled: 0, numberAvailable: 3}}", true, false, ""},

		{"stateful set ready", statefulSet + "}, status: {observedGeneration: 1, replicas: 3, updatedReplicas: 3, availableReplicas: 3, currentRevision: a, updateRevision: a}}", true, false, ""},
		{"stateful set half updated", statefulSet + "}, status: {observedGeneration: 1, replicas: 3, updatedReplicas: 1, availableReplicas: 3, currentRevision: a, updateRevision: b}}", false, false, "1 of 3 updated"},
		{"stateful set with partition", statefulSet + ", updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 2}}}, status: {observedGeneration: 1, replicas: 3, updatedReplicas: 1, availableReplicas: 3, currentRevision: a, updateRevision: b}}", true, false, ""},
		{"stateful set not available", statefulSet + "}, status: {observedGeneration: 1, replicas: 3, updatedReplicas: 3, availableReplicas: 2, currentRevision: a, updateRevision: a}}", false, false, "2 of 3 available"},
		{"stateful set too many", statefulSet + "}, status: {observedGeneration: 1, replicas: 4, updatedReplicas: 4, availableReplicas: 4, currentRevision: a, updateRevision: a}}", false, false, "1 replicas too many still run"},

		{"job complete", job + "{conditions: [{type: Complete, status: 'True'}]}}", true, false, ""},
		{"job failed", job + "{conditions: [{type: Failed, status: 'True', reason: BackoffLimitExceeded, message: too often}]}}", false, true, "it failed: BackoffLimitExceeded: too often"},
		{"job runs", job + "{active: 1, succeeded: 1}}", false, false, "1 of 2 completions, 1 active, 0 failed"},
		{"job suspended", job + "{conditions: [{type: Suspended, status: 'True'}]}}", false, false, "it is suspended"},

		{"definition established", crd + "{type: NamesAccepted, status: 'True'}, {type: Established, status: 'True'}]}}", true, false, ""},
		{"definition new", crd + "]}}", false, false, "not established"},
		{"definition not yet established", crd + "{type: NamesAccepted, status: 'True'}]}}", false, false, "not established"},
		{"definition with a taken name", crd + "{type: NamesAccepted, status: 'False', reason: PluralConflict, message: taken}, {type: Established, status: 'False'}]}}", false, false, "condition NamesAccepted is False: PluralConflict: taken"},

		{"API service available", apiService + "{type: Available, status: 'True'}]}}", true, false, ""},
		{"API service not available", apiService + "{type: Available, status: 'False', reason: MissingEndpoints, message: none}]}}", false, false, "condition Available is False: MissingEndpoints: none"},
		{"API service new", apiService + "]}}", false, false, "not available"},

		{"namespace active", "{apiVersion: v1, kind: Namespace, metadata: {name: x}, status: {phase: Active}}", true, false, ""},
		{"namespace terminating", "{apiVersion: v1, kind: Namespace, metadata: {name: x}, status: {phase: Terminating}}", false, false, `phase "Terminating"`},

		{"claim bound", claim + "}, status: {phase: Bound}}", true, false, ""},
		{"claim pending", claim + "storageClassName: now}, status: {phase: Pending}}", false, false, `phase "Pending"`},
		{"claim that waits for a consumer", claim + "storageClassName: late}, status: {phase: Pending}}", true, false, ""},
		{"claim lost", claim + "storageClassName: late}, status: {phase: Lost}}", false, false, `phase "Lost"`},

		{"pod ready", "{apiVersion: v1, kind: Pod, metadata: {name: x}, status: {phase: Running, conditions: [{type: Ready, status: 'True'}]}}", true, false, ""},
		{"pod not ready", "{apiVersion: v1, kind: Pod, metadata: {name: x}, status: {phase: Running, conditions: [{type: Ready, status: 'False'}]}}", false, false, "phase Running, not ready"},
		{"pod failed", "{apiVersion: v1, kind: Pod, metadata: {name: x}, status: {phase: Failed, reason: Evicted, message: disk}}", false, true, "it failed: Evicted disk"},

		{"a kind that just exists", "{apiVersion: v1, kind: ConfigMap, metadata: {name: x}}", true, false, ""},
		{"a kind of one's own named like a known one", "{apiVersion: example.org/v1, kind: Deployment, metadata: {name: x, generation: 3}}", true, false, ""},
		{"deleted", "{apiVersion: v1, kind: ConfigMap, metadata: {name: x, deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: [a/b]}}", false, false, `being deleted, held by finalizers ["a/b"]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			obj := parse(t, tt.object)
			got, err := rollout.ReadinessOf(&unstructured.Unstructured{Object: obj}, func(class string) bool { return class == "late" })
			if err != nil {
				t.Fatal(err)
			}
			if got.Ready != tt.ready || got.Failed != tt.failed || got.Message != tt.message {
				t.Errorf("ReadinessOf = ready %t, failed %t, %q; want %t, %t, %q", got.Ready, got.Failed, got.Message, tt.ready, tt.failed, tt.message)
			}
		})
	}
}

func TestReadinessOfNonsense(t *testing.T) {
	obj := parse(t, "{apiVersion: apps/v1, kind: Deployment, metadata: {name: x}, spec: {replicas: many}}")
	if _, err := rollout.ReadinessOf(&unstructured.Unstructured{Object: obj}, nil); err == nil {
		t.Fatal("a deployment of \"many\" replicas was judged")
	}
}

func parse(t *testing.T, text string) object {
	t.Helper()
	obj := object{}
	if err := yaml.Unmarshal([]byte(text), &obj); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return obj
}
