package rollout_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/slipway-release/slipway/internal/golden"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/rollout"
)

var haNodes = []string{"w2", "cp3", "cp1", "w1", "cp2"}

func upgradePayload(t *testing.T) *release.Payload {
	return payload(t, newer, "0000_10_a_x.yaml", fmt.Sprintf(configYAML, "c"), "0000_20_b_x.yaml", deploymentYAML)
}

func planUpgrade(t *testing.T, a *api, p *release.Payload) *rollout.UpgradePlan {
	t.Helper()
	plan, err := rollout.PlanUpgrade(context.Background(), a.config, p)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func TestUpgradePlan(t *testing.T) {
	for name, nodes := range map[string][]string{"ha": haNodes, "single": {"cp1"}, "one-control-plane": {"cp1", "w1"}} {
		t.Run(name, func(t *testing.T) {
			a, _ := newCluster(t, "v1.36.3", nodes...)
			golden.Check(t, "testdata/plan-"+name+".txt", planUpgrade(t, a, upgradePayload(t)).String())
		})
	}
}

func TestUpgradeOrder(t *testing.T) {
	a, m := newCluster(t, "v1.35.9", haNodes...)
	if _, err := rollout.Apply(context.Background(), a.config, planOf(t, payload(t, older, "0000_10_a_x.yaml", fmt.Sprintf(configYAML, "gone"))), quick()); err != nil {
		t.Fatal(err)
	}
	opts := quick()
	var steps []string
	opts.Progress = func(e rollout.Event) {
		if e.State == rollout.Done && e.Step != "" && e.Object == "" && e.Component == "" && e.RunLevel < 0 {
			steps = append(steps, e.Step)
		}
	}
	plan := planUpgrade(t, a, upgradePayload(t))
	result, err := rollout.Upgrade(context.Background(), a.config, m, plan, opts)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(m.calls[:5]) // side by side
	golden.Check(t, "testdata/calls-ha.txt", strings.Join(m.calls, "\n")+"\n")
	var planned []string
	for _, s := range plan.Steps {
		planned = append(planned, s.ID)
	}
	slices.Sort(steps[:5])
	slices.Sort(planned[:5])
	if !slices.Equal(steps, planned) {
		t.Errorf("steps:\n%s\nplanned:\n%s", strings.Join(steps, "\n"), strings.Join(planned, "\n"))
	}
	if result.From.Version != older || result.To.Version != newer || result.Nodes != 5 || len(result.Steps) != len(plan.Steps) {
		t.Errorf("result = %+v", result)
	}
	if got := fmt.Sprint(result.Manifests.Orphans); got != "[ConfigMap web/gone]" {
		t.Errorf("orphans = %s", got)
	}
	checkUpgraded(t, a, m)
}

// checkUpgraded asserts the end of every upgrade, whatever happened on the way.
func checkUpgraded(t *testing.T, a *api, m *machines) {
	t.Helper()
	for path, obj := range a.objects {
		if obj["kind"] != "Node" {
			continue
		}
		u := &unstructured.Unstructured{Object: obj}
		unschedulable, _, _ := unstructured.NestedBool(obj, "spec", "unschedulable")
		if got := u.GetAnnotations()[rollout.PayloadAnnotation]; got != digestOf(newer).String() {
			t.Errorf("%s is marked with payload %q", path, got)
		}
		if state := u.GetAnnotations()[rollout.UpgradeAnnotation]; unschedulable || state != "" {
			t.Errorf("%s is still cordoned (%t) or being upgraded (%q)", path, unschedulable, state)
		}
	}
	for node, out := range m.out {
		if out {
			t.Errorf("node %s was left out of the balancer", node)
		}
	}
	if a.object(deploymentPath) == nil {
		t.Error("the manifests were not applied")
	}
}

// An upgrade that ends anywhere is finished by the next call, and what was
// finished on a node is not done again.
func TestUpgradeContinues(t *testing.T) {
	const calls = 23 // TestUpgradeOrder's golden file has as many lines
	for failAt := 1; failAt <= calls; failAt++ {
		t.Run(fmt.Sprint(failAt), func(t *testing.T) {
			t.Parallel()
			a, m := newCluster(t, "v1.35.9", haNodes...)
			m.failAt = failAt
			_, err := rollout.Upgrade(context.Background(), a.config, m, planUpgrade(t, a, upgradePayload(t)), quick())
			if !errors.Is(err, errKilled) {
				t.Fatalf("error = %v, want %v", err, errKilled)
			}
			finished := map[string]bool{}
			for _, n := range haNodes {
				u := &unstructured.Unstructured{Object: a.object("/api/v1/nodes/" + n)}
				finished[n] = u.GetAnnotations()[rollout.PayloadAnnotation] != ""
			}
			killed := m.calls[len(m.calls)-1]
			m.calls, m.failAt = nil, 0
			plan := planUpgrade(t, a, upgradePayload(t))
			if _, err := rollout.Upgrade(context.Background(), a.config, m, plan, quick()); err != nil {
				t.Fatal(err)
			}
			for _, call := range m.calls {
				if _, node, _ := strings.Cut(call, " "); finished[node] {
					t.Errorf("killed in %q: %q was done to a finished node", killed, call)
				}
			}
			checkUpgraded(t, a, m)
		})
	}
}

// The same for what is written on the nodes: each write in turn is refused.
func TestUpgradeContinuesAfterALostWrite(t *testing.T) {
	for failAt := 1; failAt <= 12; failAt++ {
		t.Run(fmt.Sprint(failAt), func(t *testing.T) {
			t.Parallel()
			a, m := newCluster(t, "v1.36.3", haNodes...)
			writes := 0
			a.fault = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodPatch && strings.HasPrefix(r.URL.Path, "/api/v1/nodes/") {
					writes++
					if writes == failAt {
						problem(w, http.StatusBadRequest, metav1.StatusReasonBadRequest, "lost")
						return true
					}
				}
				return false
			}
			if _, err := rollout.Upgrade(context.Background(), a.config, m, planUpgrade(t, a, upgradePayload(t)), quick()); err == nil {
				t.Fatal("the upgrade succeeded without one of its writes")
			}
			if _, err := rollout.Upgrade(context.Background(), a.config, m, planUpgrade(t, a, upgradePayload(t)), quick()); err != nil {
				t.Fatal(err)
			}
			checkUpgraded(t, a, m)
		})
	}
}

// Who turns back halfway gets every node back, the one begun last as well.
func TestUpgradeTurnsBack(t *testing.T) {
	a, m := newCluster(t, "v1.36.3", haNodes...)
	if _, err := rollout.Upgrade(context.Background(), a.config, m, planUpgrade(t, a, upgradePayload(t)), quick()); err != nil {
		t.Fatal(err)
	}
	m.calls, m.failAt = nil, 7 // the first control plane is out of the balancer
	next := payload(t, "1.36.3-0.nightly-2026-11-21-101500", "0000_10_a_x.yaml", fmt.Sprintf(configYAML, "c"))
	if _, err := rollout.Upgrade(context.Background(), a.config, m, planUpgrade(t, a, next), quick()); !errors.Is(err, errKilled) {
		t.Fatalf("error = %v, want %v", err, errKilled)
	}
	if !m.out["cp1"] {
		t.Fatalf("the test does not stop where it should: %q", m.calls)
	}
	m.failAt = 0
	if _, err := rollout.Upgrade(context.Background(), a.config, m, planUpgrade(t, a, upgradePayload(t)), quick()); err != nil {
		t.Fatal(err)
	}
	checkUpgraded(t, a, m)
}

func TestUpgradeDoneBefore(t *testing.T) {
	a, m := newCluster(t, "v1.36.3", haNodes...)
	for range 2 {
		m.calls = nil
		if _, err := rollout.Upgrade(context.Background(), a.config, m, planUpgrade(t, a, upgradePayload(t)), quick()); err != nil {
			t.Fatal(err)
		}
	}
	if len(m.calls) > 0 {
		t.Errorf("a finished upgrade touched machines: %q", m.calls)
	}
}

func TestUpgradeLeavesForeignCordons(t *testing.T) {
	a, m := newCluster(t, "v1.36.3", "cp1", "w1")
	_ = unstructured.SetNestedField(a.object("/api/v1/nodes/w1"), true, "spec", "unschedulable")
	if _, err := rollout.Upgrade(context.Background(), a.config, m, planUpgrade(t, a, upgradePayload(t)), quick()); err != nil {
		t.Fatal(err)
	}
	if cordoned, _, _ := unstructured.NestedBool(a.object("/api/v1/nodes/w1"), "spec", "unschedulable"); !cordoned {
		t.Error("a node that somebody else had cordoned was uncordoned")
	}
}

func podOn(node, name, kind string) string {
	return fmt.Sprintf("{apiVersion: v1, kind: Pod, metadata: {name: %s, namespace: web, uid: %s, labels: {app: web}, ownerReferences: [{apiVersion: apps/v1, kind: %s, name: agent, uid: u, controller: true}]}, spec: {nodeName: %s}, status: {phase: Running}}", name, name, kind, node)
}

func TestUpgradeDrains(t *testing.T) {
	a, m := newCluster(t, "v1.36.3", "cp1", "w1", "w2")
	a.put(daemonSetPath, parse(t, daemonSetYAML))
	for path, text := range map[string]string{
		"web-1": podOn("w1", "web-1", "ReplicaSet"), "web-2": podOn("w2", "web-2", "ReplicaSet"),
		"agent-1": podOn("w1", "agent-1", "DaemonSet"), "on-cp": podOn("cp1", "on-cp", "ReplicaSet"),
	} {
		a.put("/api/v1/namespaces/web/pods/"+path, parse(t, text))
	}
	if _, err := rollout.Upgrade(context.Background(), a.config, m, planUpgrade(t, a, upgradePayload(t)), quick()); err != nil {
		t.Fatal(err)
	}
	for pod, left := range map[string]bool{"web-1": false, "web-2": false, "agent-1": true, "on-cp": true} {
		if got := a.object("/api/v1/namespaces/web/pods/"+pod) != nil; got != left {
			t.Errorf("pod %s is there: %t, want %t", pod, got, left)
		}
	}
	checkUpgraded(t, a, m)
}

func TestUpgradeNamesTheBudgetThatBlocks(t *testing.T) {
	a, m := newCluster(t, "v1.36.3", "cp1", "w1")
	a.put("/api/v1/namespaces/web/pods/web-1", parse(t, podOn("w1", "web-1", "ReplicaSet")))
	a.put("/apis/policy/v1/namespaces/web/poddisruptionbudgets/strict", parse(t,
		"{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: strict, namespace: web}, spec: {selector: {matchLabels: {app: web}}}, status: {disruptionsAllowed: 0, currentHealthy: 1, desiredHealthy: 1, expectedPods: 1}}"))
	a.fault = func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/eviction") {
			problem(w, http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests, "the budget")
			return true
		}
		return false
	}
	opts := quick()
	opts.DrainTimeout = 500 * time.Millisecond
	_, err := rollout.Upgrade(context.Background(), a.config, m, planUpgrade(t, a, upgradePayload(t)), opts)
	for _, want := range []string{`step "workers/w1/drain"`, "pod web/web-1", "PodDisruptionBudget strict", "1 of 1 healthy, 1 wanted"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
	if slices.Contains(m.calls, "update w1") {
		t.Error("a node with pods on it was updated")
	}
}

func TestUpgradeWaitsForHealth(t *testing.T) {
	tests := map[string]struct {
		spoil func(*api, *machines)
		want  string
	}{
		"etcd member sick":  {func(_ *api, m *machines) { m.sick = errors.New("etcd member cp2 is unhealthy") }, "etcd member cp2 is unhealthy"},
		"kubelet is silent": {func(_ *api, m *machines) { m.silent = true }, "no sign of life"},
		"node not ready": {func(a *api, _ *machines) {
			a.object("/api/v1/nodes/cp1")["status"].(object)["conditions"] = []any{object{"type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": "no network"}}
		}, "condition Ready is False: KubeletNotReady: no network"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a, m := newCluster(t, "v1.36.3", haNodes...)
			plan := planUpgrade(t, a, upgradePayload(t))
			tt.spoil(a, m)
			_, err := rollout.Upgrade(context.Background(), a.config, m, plan, stalls())
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "control-plane/cp1/health") {
				t.Errorf("error = %v", err)
			}
			if slices.Contains(m.calls, "drain-backend cp2") {
				t.Error("the next control plane was begun although this one is not well")
			}
		})
	}
}

func TestUpgradeSkew(t *testing.T) {
	for kubelet, ok := range map[string]bool{"v1.36.3": true, "v1.36.9": true, "v1.35.0": true, "v1.34.9": false, "v1.37.0": false, "nonsense": false} {
		t.Run(kubelet, func(t *testing.T) {
			a, _ := newCluster(t, kubelet, "cp1")
			_, err := rollout.PlanUpgrade(context.Background(), a.config, upgradePayload(t))
			if (err == nil) != ok {
				t.Errorf("error = %v, want one: %t", err, !ok)
			}
		})
	}
}

// TestDrainAwaitsReplacements drains two pods of a ReplicaSet: the second is evicted when
// the first has started elsewhere, or has had the time for it.
func TestDrainAwaitsReplacements(t *testing.T) {
	pod := func(node, name, ready string) object {
		p := parse(t, podOn(node, name, "ReplicaSet"))
		p["status"] = object{"phase": "Running", "conditions": []any{object{"type": "Ready", "status": ready}}}
		return p
	}
	for name, starts := range map[string]bool{"it starts": true, "it never starts": false} {
		t.Run(name, func(t *testing.T) {
			a, m := newCluster(t, "v1.36.3", "cp1", "w1", "w2")
			const pods = "/api/v1/namespaces/web/pods/"
			for _, name := range []string{"web-1", "web-2"} {
				a.put(pods+name, pod("w1", name, "True"))
			}
			a.put("/apis/apps/v1/namespaces/web/replicasets/agent/scale", parse(t,
				"{apiVersion: autoscaling/v1, kind: Scale, metadata: {name: agent, namespace: web}, spec: {replicas: 2}, status: {replicas: 2, selector: app=web}}"))
			elsewhere := map[bool]string{false: "w2", true: "w1"}
			var evicted []string
			looks := 0
			a.fault = func(_ http.ResponseWriter, r *http.Request) bool {
				gone, eviction := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, pods), "/eviction")
				switch {
				case eviction:
					if len(evicted) == 1 && looks < 3 && starts {
						t.Errorf("%s was evicted after %d looks, before the replacement of %s was ready", gone, looks, evicted[0])
					}
					evicted = append(evicted, gone)
					ready := "True"
					if len(evicted) == 1 || !starts {
						ready = "False"
					}
					a.objects[pods+"new-"+gone] = pod(elsewhere[strings.HasPrefix(gone, "new-")], "new-"+gone, ready)
				case r.URL.Query().Get("labelSelector") == "app=web" && len(evicted) == 1:
					if looks++; looks == 3 && starts {
						a.objects[pods+"new-web-1"] = pod("w2", "new-web-1", "True")
					}
				}
				return false
			}
			opts := quick()
			opts.DrainTimeout = time.Minute
			if !starts {
				opts.DrainTimeout = 16 * time.Second // of which a pod may wait for 4
			}
			if _, err := rollout.Upgrade(context.Background(), a.config, m, planUpgrade(t, a, upgradePayload(t)), opts); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(evicted[:2], []string{"web-1", "web-2"}) {
				t.Errorf("evicted %v", evicted)
			}
		})
	}
}
