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
	"github.com/slipway-release/slipway/internal/controlplane"
	"github.com/slipway-release/slipway/internal/progress"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/rollout"
)

// routeFlags say along which payloads a cluster is upgraded, or what is changed at the
// one that it is at.
type routeFlags struct {
	to          []string
	abortAt     string
	rollback    bool
	reconfigure []string
	rotate      bool
}

func (f *routeFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&f.to, "to", nil, "payload to upgrade to; several are upgraded to one after the other")
	cmd.Flags().StringVar(&f.abortAt, "abort-at", "", "give the last upgrade up when that share of its steps is done, such as 50%, and roll back")
	cmd.Flags().BoolVar(&f.rollback, "rollback", false, "in the end, bring the cluster back to the payload it was at; without --to, to the one before its last upgrade")
	cmd.Flags().StringArrayVar(&f.reconfigure, "reconfigure", nil, "in place of --to, change a control-plane flag: PART.FLAG=VALUE, or PART.FLAG- for the payload's own; may be repeated")
	cmd.Flags().BoolVar(&f.rotate, "rotate-certificates", false, "in place of --to, renew the control planes' serving certificates")
	for _, other := range []string{"to", "abort-at"} {
		cmd.MarkFlagsMutuallyExclusive("reconfigure", other)
		cmd.MarkFlagsMutuallyExclusive("rotate-certificates", other)
	}
	_ = cmd.RegisterFlagCompletionFunc("reconfigure", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		var parts []string
		for _, part := range controlplane.StaticPods {
			parts = append(parts, part+".")
		}
		return parts, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	})
}

// reconfigurationHelp is what the help of commands with routeFlags says about them.
const reconfigurationHelp = `With --reconfigure or --rotate-certificates the cluster stays at its payload. Its
control planes are changed one at a time, in the way in which an upgrade does it. Such
changes add up, and last until the next upgrade to a payload, also to the same one: the
release is what counts.`

// change is what --reconfigure and --rotate-certificates ask for, nil when neither was given.
func (f routeFlags) change() (*controlplane.Change, error) {
	if len(f.reconfigure) == 0 && !f.rotate {
		return nil, nil
	}
	change, err := controlplane.ParseChange(f.reconfigure, f.rotate)
	if err != nil {
		return nil, usage(fmt.Errorf("reading --reconfigure: %w", err))
	}
	return &change, nil
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
	change, err := f.change()
	if err != nil {
		return nil, err
	}
	if change == nil && len(f.to) == 0 && (!f.rollback || abortAt > 0) {
		return nil, usage(errors.New("upgrading: name a payload with --to or a change with --reconfigure, or ask for --rollback alone"))
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
	u := &preparedUpgrade{cluster: c, config: rollout.Unthrottled(config), route: rollout.Route{AbortAt: abortAt}}
	if change != nil {
		at, err := rollout.At(ctx, u.config)
		if errors.Is(err, rollout.ErrBetweenPayloads) {
			return nil, usage(err)
		}
		if err != nil {
			return nil, err
		}
		f.to = []string{at.Digest}
	}
	for _, to := range f.to {
		hop, err := u.hop(ctx, a, w, to, change)
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
		if u.route.Back, err = u.hop(ctx, a, w, back, nil); err != nil {
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

// hop reads a payload and plans the way to it, or a change at it.
func (u *preparedUpgrade) hop(ctx context.Context, a *app, w *world, to string, change *controlplane.Change) (*rollout.Hop, error) {
	p, err := a.payload(ctx, w, to)
	if err != nil {
		return nil, err
	}
	bits, err := rollout.Bits(ctx, p, w.registry)
	if err != nil {
		return nil, err
	}
	hop := &rollout.Hop{Payload: p, Target: rollout.OnCluster(u.cluster, bits), Change: change}
	plan, err := hop.Plan(ctx, u.config)
	if err != nil {
		return nil, err
	}
	u.plans = append(u.plans, plan)
	return hop, nil
}

// reconfigures says that the cluster stays at its payload. What is measured then says
// nothing about upgrades to that, and is no evidence about it.
func (u *preparedUpgrade) reconfigures() bool {
	return len(u.route.Hops) > 0 && u.route.Hops[0].Change != nil
}

// origin is the digest of the payload to roll back to: where the cluster is now,
// or, when that is only half done or nothing is upgraded to, where it was before.
func (u *preparedUpgrade) origin(ctx context.Context) (string, error) {
	if len(u.plans) > 0 && (u.reconfigures() || !u.plans[0].Resumes) && u.plans[0].From.Digest != "" {
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
	if _, err := rollout.PlanOf(p); err != nil {
		return rejected(err)
	}
	err := rollout.Install(ctx, c, p, rollout.Options{Progress: showRollout(item)})
	finish(item, err)
	return stallIsRejection(err)
}
