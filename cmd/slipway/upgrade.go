package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"

	"github.com/slipway-release/slipway/internal/cluster"
	"github.com/slipway-release/slipway/internal/progress"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/rollout"
)

// routeFlags say along which payloads a cluster is upgraded.
type routeFlags struct {
	to       []string
	abortAt  string
	rollback bool
}

func (f *routeFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&f.to, "to", nil, "payload to upgrade to; several are upgraded to one after the other")
	cmd.Flags().StringVar(&f.abortAt, "abort-at", "", "give the last upgrade up when that share of its steps is done, such as 50%, and roll back")
	cmd.Flags().BoolVar(&f.rollback, "rollback", false, "in the end, bring the cluster back to the payload it was at; without --to, to the one before its last upgrade")
}

// share is the value of --abort-at, 0 when it was not given.
func (f routeFlags) share() (float64, error) {
	if f.abortAt == "" {
		return 0, nil
	}
	percent, err := strconv.ParseFloat(strings.TrimSuffix(f.abortAt, "%"), 64)
	if err != nil || !strings.HasSuffix(f.abortAt, "%") || percent <= 0 || percent >= 100 {
		return 0, usage(fmt.Errorf("reading --abort-at: %q is not a share between 0%% and 100%%, such as 50%%", f.abortAt))
	}
	return percent / 100, nil
}

// preparedUpgrade is an upgrade of one of Slipway's own clusters, planned.
type preparedUpgrade struct {
	cluster *cluster.Cluster
	config  *rest.Config
	// payload is the one in question: the last that is upgraded to, or the one
	// that is rolled back to when nothing is upgraded to.
	payload *release.Payload
	route   rollout.Route
	// plans are those of all hops as the cluster is now; only the first one is
	// carried out as it stands.
	plans []*rollout.UpgradePlan
}

// prepareUpgrade verifies all payloads of the route and plans every hop before
// the first one begins.
func (a *app) prepareUpgrade(ctx context.Context, w *world, name string, f routeFlags) (*preparedUpgrade, error) {
	abortAt, err := f.share()
	if err != nil {
		return nil, err
	}
	if len(f.to) == 0 && (!f.rollback || abortAt > 0) {
		return nil, usage(errors.New("upgrading: name a payload with --to, or ask for --rollback alone"))
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
	u := &preparedUpgrade{cluster: c, config: unthrottled(config), route: rollout.Route{AbortAt: abortAt}}
	for _, to := range f.to {
		hop, err := u.hop(ctx, a, w, to)
		if err != nil {
			return nil, err
		}
		u.route.Hops = append(u.route.Hops, *hop)
	}
	if f.rollback || abortAt > 0 {
		back, err := u.origin(ctx)
		if err != nil {
			return nil, err
		}
		if u.route.Back, err = u.hop(ctx, a, w, back); err != nil {
			return nil, err
		}
	}
	u.payload = u.plannedTo()
	return u, nil
}

func (u *preparedUpgrade) plannedTo() *release.Payload {
	if n := len(u.route.Hops); n > 0 {
		return u.route.Hops[n-1].Payload
	}
	return u.route.Back.Payload
}

// hop reads a payload and plans the way to it.
func (u *preparedUpgrade) hop(ctx context.Context, a *app, w *world, to string) (*rollout.Hop, error) {
	p, err := a.payload(ctx, w, to)
	if err != nil {
		return nil, err
	}
	bits, err := rollout.Bits(ctx, p, w.registry)
	if err != nil {
		return nil, err
	}
	plan, err := rollout.PlanUpgrade(ctx, u.config, p)
	if err != nil {
		return nil, err
	}
	u.plans = append(u.plans, plan)
	return &rollout.Hop{Payload: p, Target: rollout.OnCluster(u.cluster, bits)}, nil
}

// origin is the digest of the payload to roll back to: where the cluster is now,
// or, when that is only half done or nothing is upgraded to, where it was before.
func (u *preparedUpgrade) origin(ctx context.Context) (string, error) {
	if len(u.plans) > 0 && !u.plans[0].Resumes && u.plans[0].From.Digest != "" {
		return u.plans[0].From.Digest, nil
	}
	before, err := rollout.Before(ctx, u.config)
	if errors.Is(err, rollout.ErrNowhereBack) {
		return "", usage(err)
	}
	return before.Digest, err
}

func (u *preparedUpgrade) run(ctx context.Context, progress func(rollout.Event)) ([]*rollout.UpgradeResult, error) {
	return rollout.Travel(ctx, u.config, u.route, rollout.Options{Progress: progress})
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
