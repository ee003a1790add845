package rollout_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/slipway-release/slipway/internal/controlplane"
	"github.com/slipway-release/slipway/internal/golden"
	"github.com/slipway-release/slipway/release/rollout"
)

var controlPlanes = []string{"cp1", "cp2", "cp3"}

func changeOf(t *testing.T, rotate bool, flags ...string) *controlplane.Change {
	t.Helper()
	c, err := controlplane.ParseChange(flags, rotate)
	if err != nil {
		t.Fatal(err)
	}
	return &c
}

// reconfigure changes a cluster that is at the older payload.
func reconfigure(t *testing.T, a *api, m *machines, change *controlplane.Change) (*rollout.UpgradeResult, error) {
	t.Helper()
	m.calls = nil
	opts := quick()
	if m.sick != nil {
		opts = stalls()
	}
	hop := rollout.Hop{Payload: simple(t, older), Target: m, Change: change}
	results, err := rollout.Travel(context.Background(), a.config, rollout.Route{Hops: []rollout.Hop{hop}}, opts)
	if len(results) == 0 {
		return nil, err
	}
	return results[0], err
}

// runsWith fails unless every control plane runs with one and the same difference, is in
// service and marked with it.
func runsWith(t *testing.T, a *api, m *machines, want string) {
	t.Helper()
	nodesAt(t, a, m, older, haNodes...)
	for _, n := range controlPlanes {
		u := &unstructured.Unstructured{Object: a.object("/api/v1/nodes/" + n)}
		marked := u.GetAnnotations()[rollout.ReconfigurationAnnotation]
		if got := m.runs[n]; got.String() != want || got.ID != m.runs["cp1"].ID || got.ID != marked {
			t.Errorf("node %s, marked %q, runs with %q:\n%s\nwant\n%s", n, marked, got.ID, got, want)
		}
	}
}

func TestReconfigurationPlan(t *testing.T) {
	for name, nodes := range map[string][]string{"ha": haNodes, "single": {"cp1"}} {
		t.Run(name, func(t *testing.T) {
			a, _ := atPayload(t, simple(t, older), nodes...)
			plan, err := rollout.PlanReconfiguration(context.Background(), a.config, simple(t, older), *changeOf(t, true, "kube-apiserver.v=3"))
			if err != nil {
				t.Fatal(err)
			}
			golden.Check(t, "testdata/reconfiguration-"+name+".txt", plan.String())
		})
	}
}

func TestReconfigure(t *testing.T) {
	a, m := atPayload(t, simple(t, older), haNodes...)
	for _, step := range []struct {
		change *controlplane.Change
		does   bool
		runs   string
	}{
		{changeOf(t, false, "kube-apiserver.v=3"), true, "  kube-apiserver --v=3\n"},
		{changeOf(t, false, "kube-apiserver.v=3"), false, "  kube-apiserver --v=3\n"},
		{changeOf(t, false, "etcd.log-level=debug"), true, "  etcd --log-level=debug\n  kube-apiserver --v=3\n"},
		{changeOf(t, true), true, "  etcd --log-level=debug\n  kube-apiserver --v=3\n  new serving certificates\n"},
		{changeOf(t, true), true, "  etcd --log-level=debug\n  kube-apiserver --v=3\n  new serving certificates\n"},
		{changeOf(t, false, "kube-apiserver.v-"), true, "  etcd --log-level=debug\n"},
	} {
		before := m.runs["cp1"].ID
		result, err := reconfigure(t, a, m, step.change)
		if err != nil {
			t.Fatal(err)
		}
		if result.From != result.To || result.To.Version != older || result.Nodes != 3 || result.Reconfiguration == nil {
			t.Errorf("result: %+v", result)
		}
		if does := len(m.calls) > 0; does != step.does || (m.runs["cp1"].ID != before) != step.does {
			t.Errorf("%+v did this to machines: %q", step.change, m.calls)
		}
		if want := callsOfReconfiguration(); step.does && !slices.Equal(m.calls, want) {
			t.Errorf("calls %q, want %q", m.calls, want)
		}
		runsWith(t, a, m, step.runs)
	}
}

func callsOfReconfiguration() []string {
	calls := []string{"configure-balancer "}
	for _, n := range controlPlanes {
		for _, what := range []string{"drain-backend", "move-etcd-leader", "reconfigure", "restore-backend"} {
			calls = append(calls, what+" "+n)
		}
	}
	return calls
}

// A reconfiguration that ends anywhere is finished by the same call, and a control plane
// that was finished is not touched again: not even by a rotation, of which each is a new one.
func TestReconfigurationContinues(t *testing.T) {
	changes := map[string]*controlplane.Change{
		"flag": changeOf(t, false, "kube-apiserver.v=3"), "rotation": changeOf(t, true), "back": changeOf(t, false, "etcd.log-level-"),
	}
	want := map[string]string{
		"flag": "  etcd --log-level=info\n  kube-apiserver --v=3\n", "rotation": "  etcd --log-level=info\n  new serving certificates\n", "back": "",
	}
	for name, change := range changes {
		for failAt := 1; failAt <= len(callsOfReconfiguration()); failAt++ {
			t.Run(fmt.Sprint(name, failAt), func(t *testing.T) {
				t.Parallel()
				a, m := atPayload(t, simple(t, older), haNodes...)
				if _, err := reconfigure(t, a, m, changeOf(t, false, "etcd.log-level=info")); err != nil {
					t.Fatal(err)
				}
				before := m.runs["cp1"].ID
				m.failAt = failAt
				if _, err := reconfigure(t, a, m, change); !errors.Is(err, errKilled) {
					t.Fatalf("error = %v, want %v", err, errKilled)
				}
				finished := map[string]bool{}
				for _, n := range controlPlanes {
					u := &unstructured.Unstructured{Object: a.object("/api/v1/nodes/" + n)}
					finished[n] = u.GetAnnotations()[rollout.ReconfigurationAnnotation] != before
				}
				m.failAt = 0
				if _, err := reconfigure(t, a, m, change); err != nil {
					t.Fatal(err)
				}
				for _, call := range m.calls {
					if _, node, _ := strings.Cut(call, " "); finished[node] {
						t.Errorf("%q was done to a finished node", call)
					}
				}
				runsWith(t, a, m, want[name])
			})
		}
	}
}

// The same for what is written on the nodes: each write in turn is refused.
func TestReconfigurationContinuesAfterALostWrite(t *testing.T) {
	for failAt := 1; failAt <= 2*len(controlPlanes); failAt++ {
		t.Run(fmt.Sprint(failAt), func(t *testing.T) {
			t.Parallel()
			a, m := atPayload(t, simple(t, older), haNodes...)
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
			if _, err := reconfigure(t, a, m, changeOf(t, true)); err == nil {
				t.Fatal("the reconfiguration succeeded without one of its writes")
			}
			if _, err := reconfigure(t, a, m, changeOf(t, true)); err != nil {
				t.Fatal(err)
			}
			runsWith(t, a, m, "  new serving certificates\n")
		})
	}
}

// Who wants something else halfway gets every control plane there, that in the midst first.
func TestReconfigurationTurns(t *testing.T) {
	a, m := atPayload(t, simple(t, older), haNodes...)
	m.failAt = slices.Index(callsOfReconfiguration(), "reconfigure cp2") + 1
	if _, err := reconfigure(t, a, m, changeOf(t, false, "kube-apiserver.no-such-flag=1")); !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	m.failAt = 0
	if _, err := reconfigure(t, a, m, changeOf(t, false, "kube-apiserver.no-such-flag-", "kube-apiserver.v=3")); err != nil {
		t.Fatal(err)
	}
	if first := slices.IndexFunc(m.calls, func(c string) bool { return strings.HasPrefix(c, "reconfigure ") }); first < 0 || m.calls[first] != "reconfigure cp2" {
		t.Errorf("cp2 was out of service and did not come first: %q", m.calls)
	}
	runsWith(t, a, m, "  kube-apiserver --v=3\n")
}

// The release is what counts: an upgrade takes a reconfiguration back, wherever it was cut
// short, and remembers where the cluster was.
func TestUpgradeTakesReconfigurationsBack(t *testing.T) {
	for _, to := range []string{older, newer} {
		for failAt := range len(callsOfReconfiguration()) + 1 {
			t.Run(fmt.Sprint(to, failAt), func(t *testing.T) {
				t.Parallel()
				a, m := atPayload(t, simple(t, older), haNodes...)
				m.failAt = failAt
				if _, err := reconfigure(t, a, m, changeOf(t, false, "kube-apiserver.v=3")); (err != nil) != (failAt > 0) {
					t.Fatal(err)
				}
				begun := failAt != 1 // the first call is about the balancer
				m.calls, m.failAt = nil, 0
				if _, err := rollout.Upgrade(context.Background(), a.config, m, planUpgrade(t, a, simple(t, to)), quick()); err != nil {
					t.Fatal(err)
				}
				nodesAt(t, a, m, to, haNodes...)
				if len(m.runs) > 0 {
					t.Errorf("these differ from the payload: %v", m.runs)
				}
				if touched := slices.ContainsFunc(m.calls, func(c string) bool { return strings.HasPrefix(c, "drain-backend") }); to == older && touched != begun {
					t.Errorf("calls: %q", m.calls)
				}
				if before, err := rollout.Before(context.Background(), a.config); to == newer && (err != nil || before.Version != older) {
					t.Errorf("before: %+v, %v", before, err)
				}
				if _, err := reconfigure(t, a, m, changeOf(t, false, "kube-apiserver.v-")); to == older && (err != nil || len(m.calls) > 0) {
					t.Errorf("taken back once more: %v, %q", err, m.calls)
				}
			})
		}
	}
}

// Manifests alone say nothing about what a control plane runs with.
func TestRolloutKeepsReconfigurations(t *testing.T) {
	a, m := atPayload(t, simple(t, older), haNodes...)
	if _, err := reconfigure(t, a, m, changeOf(t, false, "kube-apiserver.v=3")); err != nil {
		t.Fatal(err)
	}
	if _, err := rollout.Apply(context.Background(), a.config, planOf(t, simple(t, older)), quick()); err != nil {
		t.Fatal(err)
	}
	if _, err := reconfigure(t, a, m, changeOf(t, false, "etcd.log-level=debug")); err != nil {
		t.Fatal(err)
	}
	runsWith(t, a, m, "  etcd --log-level=debug\n  kube-apiserver --v=3\n")
}

func TestReconfigurationAndBack(t *testing.T) {
	a, m := atPayload(t, simple(t, older), haNodes...)
	here := rollout.Hop{Payload: simple(t, older), Target: m}
	changed := here
	changed.Change = changeOf(t, false, "kube-apiserver.v=3")
	results, err := rollout.Travel(context.Background(), a.config, rollout.Route{Hops: []rollout.Hop{changed}, Back: &here}, quick())
	if err != nil || len(results) != 2 || !slices.Contains(m.calls, "reconfigure cp3") {
		t.Fatalf("%v, %+v, %q", err, results, m.calls)
	}
	nodesAt(t, a, m, older, haNodes...)
	if len(m.runs) > 0 || slices.Contains(m.calls, "update w1") {
		t.Errorf("differences %v, calls %q", m.runs, m.calls)
	}
}

func TestReconfigurationRefusesBetweenPayloads(t *testing.T) {
	a, m := atPayload(t, simple(t, older), haNodes...)
	at, err := rollout.At(context.Background(), a.config)
	if err != nil || at.Version != older {
		t.Errorf("at %+v, %v", at, err)
	}
	if _, err := rollout.PlanReconfiguration(context.Background(), a.config, simple(t, newer), *changeOf(t, true)); !errors.Is(err, rollout.ErrBetweenPayloads) {
		t.Errorf("another payload: %v", err)
	}
	m.failAt = 8 // within the first control plane
	if _, err := rollout.Upgrade(context.Background(), a.config, m, planUpgrade(t, a, simple(t, newer)), quick()); !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	if _, err := rollout.At(context.Background(), a.config); !errors.Is(err, rollout.ErrBetweenPayloads) {
		t.Errorf("in the midst of an upgrade: %v", err)
	}
	if _, err := reconfigure(t, a, m, changeOf(t, true)); !errors.Is(err, rollout.ErrBetweenPayloads) || len(m.calls) > 0 {
		t.Errorf("in the midst of an upgrade: %v, %q", err, m.calls)
	}
}

func TestReconfigurationWaitsForHealth(t *testing.T) {
	a, m := atPayload(t, simple(t, older), haNodes...)
	m.sick = errors.New("etcd member cp2 is unhealthy")
	_, err := reconfigure(t, a, m, changeOf(t, true))
	if err == nil || !strings.Contains(err.Error(), `reconfiguring at payload "`+older) || !strings.Contains(err.Error(), "control-plane/cp1/health") {
		t.Errorf("error = %v", err)
	}
	if slices.Contains(m.calls, "drain-backend cp2") {
		t.Error("the next control plane was begun although this one is not well")
	}
}
