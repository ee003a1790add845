package cluster

import (
	"context"
	"fmt"
)

// CheckControlPlane returns nil when the node's own API server is ready and as
// many etcd members as the cluster has control planes answer, one of them
// leading. It looks once.
func (c *Cluster) CheckControlPlane(ctx context.Context, n *Node) error {
	const readyz = `curl --silent --fail --insecure --max-time 5 --output /dev/null https://127.0.0.1:$1/readyz`
	if _, err := n.script(ctx, nil, readyz, fmt.Sprint(apiPort)); err != nil {
		return fmt.Errorf("checking the API server of node %q: it is not ready: %w", n.name, err)
	}
	statuses, err := c.etcdStatus(ctx)
	if err != nil {
		return err
	}
	if want := len(c.ControlPlanes()); len(statuses) < want {
		return fmt.Errorf("checking etcd: %d of %d members answer", len(statuses), want)
	}
	_, err = c.leaderOf(statuses)
	return err
}
