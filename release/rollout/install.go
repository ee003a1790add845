package rollout

import (
	"context"

	"k8s.io/client-go/rest"

	"github.com/slipway-release/slipway/internal/cluster"
	"github.com/slipway-release/slipway/release"
)

// Install brings a cluster of this host that was just made of a payload to the
// payload's manifests, waits until all of its nodes are ready, and marks them as
// running the payload.
func Install(ctx context.Context, c *cluster.Cluster, payload *release.Payload, opts Options) error {
	plan, err := PlanOf(payload)
	if err != nil {
		return err
	}
	config, err := c.RestConfig()
	if err != nil {
		return err
	}
	if _, err := Apply(ctx, Unthrottled(config), plan, opts); err != nil {
		return err
	}
	if err := c.WaitReady(ctx); err != nil {
		return err
	}
	return MarkNodes(ctx, config, payload, opts)
}

// Unthrottled lets a client ask as much at once as the API server's own fairness
// allows, in place of a limit that is meant for many small clients.
func Unthrottled(config *rest.Config) *rest.Config {
	config.QPS, config.Burst = 100, 200
	return config
}
