package main

import (
	"context"

	"k8s.io/client-go/rest"

	"github.com/slipway-release/slipway/internal/cluster"
	"github.com/slipway-release/slipway/internal/progress"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/rollout"
)

// preparedUpgrade is an upgrade of one of Slipway's own clusters, planned.
type preparedUpgrade struct {
	cluster *cluster.Cluster
	config  *rest.Config
	payload *release.Payload
	target  rollout.Target
	plan    *rollout.UpgradePlan
}

func (a *app) prepareUpgrade(ctx context.Context, w *world, name, to string) (*preparedUpgrade, error) {
	p, err := a.payload(ctx, w, to)
	if err != nil {
		return nil, err
	}
	bits, err := rollout.Bits(ctx, p, w.registry)
	if err != nil {
		return nil, err
	}
	m, err := a.manager(ctx, w.state)
	if err != nil {
		return nil, err
	}
	c, err := m.Get(ctx, name)
	if err != nil {
		return nil, usage(err)
	}
	config, err := c.RestConfig()
	if err != nil {
		return nil, err
	}
	plan, err := rollout.PlanUpgrade(ctx, unthrottled(config), p)
	if err != nil {
		return nil, err
	}
	return &preparedUpgrade{cluster: c, config: config, payload: p, target: rollout.OnCluster(c, bits), plan: plan}, nil
}

func (u *preparedUpgrade) run(ctx context.Context, progress func(rollout.Event)) (*rollout.UpgradeResult, error) {
	return rollout.Upgrade(ctx, u.config, u.target, u.plan, rollout.Options{Progress: progress})
}

// rolloutOn applies a payload's manifests to a cluster and waits for its nodes.
func (a *app) rolloutOn(ctx context.Context, c *cluster.Cluster, p *release.Payload, item *progress.Item) error {
	plan, err := rollout.PlanOf(p)
	if err != nil {
		return rejected(err)
	}
	config, err := c.RestConfig()
	if err != nil {
		return err
	}
	opts := rollout.Options{Progress: showRollout(item)}
	_, err = rollout.Apply(ctx, unthrottled(config), plan, opts)
	if err == nil {
		err = c.WaitReady(ctx)
	}
	if err == nil {
		err = rollout.MarkNodes(ctx, config, p, opts)
	}
	finish(item, err)
	return stallIsRejection(err)
}
