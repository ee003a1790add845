package rollout

import (
	"context"

	"github.com/slipway-release/slipway/internal/cluster"
	"github.com/slipway-release/slipway/internal/controlplane"
)

// OnCluster is a cluster of this host as the target of an upgrade to bits.
func OnCluster(c *cluster.Cluster, bits cluster.Bits) Target {
	return &onCluster{c, bits}
}

type onCluster struct {
	*cluster.Cluster
	bits cluster.Bits
}

var _ Target = (*onCluster)(nil)

// on calls f with the node of a name.
func (t *onCluster) on(name string, f func(*cluster.Node) error) error {
	n, err := t.Node(name)
	if err != nil {
		return err
	}
	return f(n)
}

func (t *onCluster) Push(ctx context.Context, node string) error {
	return t.on(node, func(n *cluster.Node) error { return t.PushContent(ctx, n, t.bits, nil) })
}

func (t *onCluster) ConfigureBalancer(ctx context.Context) error {
	return t.Cluster.ConfigureBalancer(ctx, t.bits.Settings.Balancer)
}

func (t *onCluster) DrainBackend(ctx context.Context, node string) error {
	return t.on(node, func(n *cluster.Node) error { return t.Cluster.DrainBackend(ctx, n) })
}

func (t *onCluster) RestoreBackend(ctx context.Context, node string) error {
	return t.on(node, func(n *cluster.Node) error { return t.Cluster.RestoreBackend(ctx, n) })
}

func (t *onCluster) MoveEtcdLeader(ctx context.Context, node string) error {
	return t.on(node, func(n *cluster.Node) error { return t.Cluster.MoveEtcdLeader(ctx, n) })
}

func (t *onCluster) UpgradeControlPlane(ctx context.Context, node string, first bool) error {
	return t.on(node, func(n *cluster.Node) error { return t.Cluster.UpgradeControlPlane(ctx, n, t.bits, first) })
}

func (t *onCluster) ReconfigureControlPlane(ctx context.Context, node string, r controlplane.Reconfiguration) error {
	return t.on(node, func(n *cluster.Node) error { return t.Cluster.ReconfigureControlPlane(ctx, n, t.bits, r) })
}

func (t *onCluster) UpdateNode(ctx context.Context, node string) error {
	return t.on(node, func(n *cluster.Node) error {
		if n.Role() == cluster.RoleWorker {
			if err := t.UpgradeWorker(ctx, n); err != nil {
				return err
			}
		}
		return t.RestartKubelet(ctx, n)
	})
}

func (t *onCluster) CheckControlPlane(ctx context.Context, node string) error {
	return t.on(node, func(n *cluster.Node) error { return t.Cluster.CheckControlPlane(ctx, n) })
}
