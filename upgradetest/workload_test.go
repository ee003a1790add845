package upgradetest

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func node(name string, controlPlane bool, address string) corev1.Node {
	n := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{}}}
	if controlPlane {
		n.Labels["node-role.kubernetes.io/control-plane"] = ""
	}
	n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: name}}
	if address != "" {
		n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: address})
	}
	return n
}

func TestEntryNode(t *testing.T) {
	ha := []corev1.Node{node("cp", true, "10.0.0.1"), node("worker2", false, "10.0.0.3"), node("worker1", false, "10.0.0.2")}
	for _, test := range []struct {
		name    string
		nodes   []corev1.Node
		wanted  string
		node    string
		address string
	}{
		{"a worker before a control plane", ha, "", "worker1", "10.0.0.2"},
		{"the one that is named", ha, "cp", "cp", "10.0.0.1"},
		{"the only one", ha[:1], "", "cp", "10.0.0.1"},
		{"one without an address is passed over", []corev1.Node{node("a", false, ""), node("b", false, "10.0.0.9")}, "", "b", "10.0.0.9"},
		{"none of that name", ha, "other", "", ""},
		{"none", nil, "", "", ""},
	} {
		got, address, err := entry(append([]corev1.Node{}, test.nodes...), test.wanted)
		if got != test.node || address != test.address || (err == nil) != (test.node != "") {
			t.Errorf("%s: %q at %q, %v; want %q at %q", test.name, got, address, err, test.node, test.address)
		}
	}
}

// TestWorkloadIsFitForUpgrades: a gap of the probed service must be the cluster's
// fault, so the workload itself may lack nothing.
func TestWorkloadIsFitForUpgrades(t *testing.T) {
	const image = "registry.example/agnhost@sha256:0000000000000000000000000000000000000000000000000000000000000000"
	d := echo(image)
	switch {
	case *d.Spec.Replicas != 2 || d.Spec.Strategy.RollingUpdate.MaxUnavailable.IntValue() != 0:
		t.Error("an update would leave fewer than two replicas")
	case *d.Spec.Template.Spec.TerminationGracePeriodSeconds < 30:
		t.Error("the pods do not outlive their endpoints")
	case budget(serviceName).Spec.MaxUnavailable.IntValue() != 1:
		t.Error("the budget would block a drain, or allow both replicas to go")
	}
	for _, c := range d.Spec.Template.Spec.Containers {
		if c.Image != image || c.ReadinessProbe == nil || c.Lifecycle == nil || !strings.Contains(c.Lifecycle.PreStop.HTTPGet.Path, "wait=10s") {
			t.Errorf("container %+v", c)
		}
		if !slices.ContainsFunc(echoService().Spec.Ports, func(p corev1.ServicePort) bool { return p.TargetPort.StrVal == c.Ports[0].Name }) {
			t.Errorf("the service does not lead to container %q", c.Name)
		}
	}
	all := append(objects(image), tickObjects(image)...)
	for _, o := range slices.Concat(all, storeObjects(image), pollerObjects(image)) {
		body, err := json.Marshal(o.Object)
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			APIVersion, Kind string
			Metadata         struct{ Name, Namespace string }
		}
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatal(err)
		}
		if got.APIVersion == "" || got.Kind == "" || got.Metadata.Name != o.name || got.Metadata.Namespace != o.namespace {
			t.Errorf("%s %q is sent as %+v", o.resource, o.name, got)
		}
	}
}
