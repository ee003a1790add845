package rollout_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/rollout"
)

const newest = "1.36.3-0.nightly-2026-11-21-101500"

// atPayload brings a new cluster to a payload.
func atPayload(t *testing.T, p *release.Payload, nodes ...string) (*api, *machines) {
	t.Helper()
	a, m := newCluster(t, "v1.36.3", nodes...)
	if _, err := rollout.Upgrade(context.Background(), a.config, m, planUpgrade(t, a, p), quick()); err != nil {
		t.Fatal(err)
	}
	m.calls = nil
	return a, m
}

func simple(t *testing.T, version string) *release.Payload {
	return payload(t, version, "0000_10_a_x.yaml", fmt.Sprintf(configYAML, "c"))
}

// nodesAt fails unless every node is at the version, in service, and unmarked.
func nodesAt(t *testing.T, a *api, m *machines, version string, nodes ...string) {
	t.Helper()
	for _, name := range nodes {
		u := &unstructured.Unstructured{Object: a.object("/api/v1/nodes/" + name)}
		cordoned, _, _ := unstructured.NestedBool(u.Object, "spec", "unschedulable")
		if got := u.GetAnnotations()[rollout.PayloadAnnotation]; got != digestOf(version).String() || cordoned || u.GetAnnotations()[rollout.UpgradeAnnotation] != "" || m.out[name] {
			t.Errorf("node %s: payload %q, cordoned %t, out of the balancer %t, annotations %v", name, got, cordoned, m.out[name], u.GetAnnotations())
		}
	}
}

func TestTravelSeveralHops(t *testing.T) {
	a, m := atPayload(t, simple(t, older), haNodes...)
	results, err := rollout.Travel(context.Background(), a.config, rollout.Route{Hops: []rollout.Hop{
		{Payload: simple(t, newer), Target: m}, {Payload: simple(t, newest), Target: m},
	}}, quick())
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != 2 || results[0].From.Version != older || results[1].From.Version != newer || results[1].To.Version != newest {
		t.Errorf("results: %+v", results)
	}
	nodesAt(t, a, m, newest, haNodes...)
	before, err := rollout.Before(context.Background(), a.config)
	if err != nil || before.Version != newer {
		t.Errorf("before: %+v, %v", before, err)
	}
}

// An upgrade that is given up anywhere leads back to where the cluster was, and
// no second API server is taken out of service before the first one is back.
func TestTravelBackFromAnywhere(t *testing.T) {
	for percent := 1; percent < 100; percent += 3 {
		t.Run(fmt.Sprint(percent), func(t *testing.T) {
			t.Parallel()
			a, m := atPayload(t, simple(t, older), haNodes...)
			results, err := rollout.Travel(context.Background(), a.config, rollout.Route{
				Hops: []rollout.Hop{{Payload: simple(t, newer), Target: m}}, AbortAt: float64(percent) / 100, Back: &rollout.Hop{Payload: simple(t, older), Target: m},
			}, quick())
			if err != nil {
				t.Fatal(err)
			}
			if len(results) != 2 || !results[0].Aborted || results[1].Aborted || results[1].To.Version != older {
				t.Fatalf("results: %+v", results)
			}
			nodesAt(t, a, m, older, haNodes...)
			out := map[string]bool{}
			for _, call := range m.calls {
				what, node, _ := strings.Cut(call, " ")
				switch {
				case what == "drain-backend":
					out[node] = true
				case what == "restore-backend":
					delete(out, node)
				case strings.HasPrefix(what, "upgrade(") && len(out) > 1:
					t.Fatalf("%q while %d control planes are out of service: %q", call, len(out), m.calls)
				}
			}
		})
	}
}

func TestTravelBackFromTheEnd(t *testing.T) {
	a, m := atPayload(t, simple(t, older), "cp1", "w1")
	_, err := rollout.Travel(context.Background(), a.config, rollout.Route{
		Hops: []rollout.Hop{{Payload: simple(t, newer), Target: m}}, Back: &rollout.Hop{Payload: simple(t, older), Target: m},
	}, quick())
	if err != nil {
		t.Fatal(err)
	}
	nodesAt(t, a, m, older, "cp1", "w1")
}

// Where a cluster was is remembered through an upgrade that was cut short.
func TestBeforeSurvivesAnInterruption(t *testing.T) {
	a, m := atPayload(t, simple(t, older), haNodes...)
	if _, err := rollout.Before(context.Background(), a.config); !errors.Is(err, rollout.ErrNowhereBack) {
		t.Errorf("before the first upgrade: %v", err)
	}
	for _, failAt := range []int{8, 3, 0} {
		m.calls, m.failAt = nil, failAt
		_, err := rollout.Upgrade(context.Background(), a.config, m, planUpgrade(t, a, simple(t, newer)), quick())
		if (err != nil) != (failAt > 0) {
			t.Fatal(err)
		}
		before, err := rollout.Before(context.Background(), a.config)
		if err != nil || before.Version != older || before.Digest != digestOf(older).String() {
			t.Errorf("after failing in call %d: %+v, %v", failAt, before, err)
		}
	}
}

// What is out of service comes first when an upgrade goes on.
func TestNodeInTheMidstComesFirst(t *testing.T) {
	a, m := atPayload(t, simple(t, older), haNodes...)
	m.failAt = slices.Index(callsOfUpgrade(t), "drain-backend cp2") + 2
	if _, err := rollout.Upgrade(context.Background(), a.config, m, planUpgrade(t, a, simple(t, newer)), quick()); !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	m.calls, m.failAt = nil, 0
	if _, err := rollout.Upgrade(context.Background(), a.config, m, planUpgrade(t, a, simple(t, older)), quick()); err != nil {
		t.Fatal(err)
	}
	first := slices.IndexFunc(m.calls, func(c string) bool { return strings.HasPrefix(c, "upgrade(") })
	if first < 0 || !strings.HasSuffix(m.calls[first], " cp2") {
		t.Errorf("cp2 was out of service and did not come first: %q", m.calls)
	}
	nodesAt(t, a, m, older, haNodes...)
}

// callsOfUpgrade are those of an upgrade that nothing happens to.
func callsOfUpgrade(t *testing.T) []string {
	a, m := atPayload(t, simple(t, older), haNodes...)
	if _, err := rollout.Upgrade(context.Background(), a.config, m, planUpgrade(t, a, simple(t, newer)), quick()); err != nil {
		t.Fatal(err)
	}
	return m.calls
}

func TestTravelRefuses(t *testing.T) {
	a, m := newCluster(t, "v1.36.3", "cp1")
	hop := rollout.Hop{Payload: simple(t, newer), Target: m}
	for name, route := range map[string]rollout.Route{
		"nothing":              {},
		"abort without a back": {Hops: []rollout.Hop{hop}, AbortAt: 0.5},
		"abort at the end":     {Hops: []rollout.Hop{hop}, AbortAt: 1, Back: &hop},
	} {
		if _, err := rollout.Travel(context.Background(), a.config, route, quick()); err == nil || len(m.calls) > 0 {
			t.Errorf("%s: error %v, calls %q", name, err, m.calls)
		}
	}
}
