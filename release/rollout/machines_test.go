package rollout_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/slipway-release/slipway/internal/controlplane"
	"github.com/slipway-release/slipway/release/rollout"
)

// machines stands for a cluster's machines: it notes what is done to them and
// lets their kubelets live in the API.
type machines struct {
	api   *api
	calls []string
	// failAt is the number of the call that fails, from 1; 0 for none.
	failAt int
	// silent kubelets give no sign of life after a restart.
	silent bool
	// sick is what CheckControlPlane returns.
	sick error
	out  map[string]bool // nodes taken out of the balancer
	// runs is what static pods differ in from their payload, by node.
	runs map[string]controlplane.Reconfiguration
}

var errKilled = errors.New("killed")

func (m *machines) call(what, node string) error {
	m.calls = append(m.calls, what+" "+node)
	if m.failAt == len(m.calls) {
		return errKilled
	}
	return nil
}

var _ rollout.Target = (*machines)(nil)

func (m *machines) Push(_ context.Context, node string) error {
	m.api.mu.Lock() // nodes are pushed to side by side
	defer m.api.mu.Unlock()
	return m.call("push", node)
}

func (m *machines) ConfigureBalancer(context.Context) error {
	return m.call("configure-balancer", "")
}

func (m *machines) DrainBackend(_ context.Context, node string) error {
	m.out[node] = true
	return m.call("drain-backend", node)
}

func (m *machines) RestoreBackend(_ context.Context, node string) error {
	m.out[node] = false
	return m.call("restore-backend", node)
}

func (m *machines) MoveEtcdLeader(_ context.Context, node string) error {
	return m.call("move-etcd-leader", node)
}

func (m *machines) UpgradeControlPlane(_ context.Context, node string, first bool) error {
	if err := m.call(fmt.Sprintf("upgrade(first=%t)", first), node); err != nil {
		return err
	}
	delete(m.runs, node)
	return nil
}

func (m *machines) ReconfigureControlPlane(_ context.Context, node string, r controlplane.Reconfiguration) error {
	if err := m.call("reconfigure", node); err != nil {
		return err
	}
	m.runs[node] = r
	m.restartKubelet(node)
	return nil
}

func (m *machines) UpdateNode(_ context.Context, node string) error {
	if err := m.call("update", node); err != nil {
		return err
	}
	m.api.put("/api/v1/nodes/"+node, withKubelet(m.api.object("/api/v1/nodes/"+node), "v1.36.3"))
	m.restartKubelet(node)
	return nil
}

func (m *machines) restartKubelet(node string) {
	if !m.silent {
		m.api.putLease(node, time.Now())
	}
}

func (m *machines) CheckControlPlane(context.Context, string) error { return m.sick }

func withKubelet(node object, version string) object {
	_ = unstructured.SetNestedField(node, version, "status", "nodeInfo", "kubeletVersion")
	return node
}

func (a *api) putLease(node string, renewed time.Time) {
	a.put("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/"+node, object{
		"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": object{"name": node, "namespace": "kube-node-lease"},
		"spec": object{"renewTime": renewed.UTC().Format("2006-01-02T15:04:05.000000Z")},
	})
}

// newCluster makes an API with nodes: those whose names begin with "cp" are control planes.
func newCluster(t *testing.T, kubelet string, names ...string) (*api, *machines) {
	t.Helper()
	a := newAPI(t)
	a.applied = a.controllers
	for _, name := range names {
		node := parse(t, "{apiVersion: v1, kind: Node, metadata: {name: "+name+"}, spec: {}, status: {conditions: [{type: Ready, status: 'True'}]}}")
		if strings.HasPrefix(name, "cp") {
			_ = unstructured.SetNestedField(node, "", "metadata", "labels", "node-role.kubernetes.io/control-plane")
		}
		a.put("/api/v1/nodes/"+name, withKubelet(node, kubelet))
		a.putLease(name, time.Now().Add(-time.Minute))
	}
	return a, &machines{api: a, out: map[string]bool{}, runs: map[string]controlplane.Reconfiguration{}}
}
