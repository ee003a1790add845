package observe

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/slipway-release/slipway/upgradetest/driver/drivertest"
)

// operatorWith has conditions such as "Available=False"; each has a reason.
func operatorWith(conditions ...string) *unstructured.Unstructured {
	var list []any
	for _, c := range conditions {
		kind, status, _ := strings.Cut(c, "=")
		list = append(list, map[string]any{"type": kind, "status": status, "reason": "Because", "message": "of " + kind, "lastTransitionTime": "2026-11-20T10:00:00Z"})
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "config.openshift.io/v1", "kind": "ClusterOperator", "metadata": map[string]any{"name": "dns"},
		"status": map[string]any{"conditions": list},
	}}
}

func TestOperators(t *testing.T) {
	well := operatorWith("Available=True", "Degraded=False", "Progressing=False")
	progressing := operatorWith("Available=True", "Degraded=False", "Progressing=True")
	degraded := operatorWith("Available=True", "Degraded=True", "Progressing=True")
	away := operatorWith("Available=False", "Degraded=True", "Progressing=False")
	o, s := observer()
	o.operator(nil, well)
	check(t, s, "operator dns available")
	o.operator(well, well)
	check(t, s)
	o.operator(well, progressing)
	check(t, s, "operator dns progressing")
	o.operator(progressing, degraded)
	check(t, s, "operator dns degraded")
	o.operator(degraded, away)
	check(t, s, "operator dns unavailable")
	o.operator(away, operatorWith())
	check(t, s) // one that says nothing is not known to be available
	o.operator(away, nil)
	check(t, s, "operator dns gone")
	if _, why := operatorState(away); why != "Because: of Available" {
		t.Errorf("why: %q", why)
	}
}

// A cluster without such operators is no mistake.
func TestNoOperators(t *testing.T) {
	_, address := drivertest.Serve(t, nil)
	client, err := kubernetes.NewForConfig(&rest.Config{Host: address})
	if err != nil {
		t.Fatal(err)
	}
	o := &Observer{client: client}
	if factory, err := o.operators(&rest.Config{Host: address}); err != nil || factory != nil {
		t.Errorf("%v, %v", factory, err)
	}
}
