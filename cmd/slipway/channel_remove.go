package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/channels"
	promotions "github.com/slipway-release/slipway/release/channels/promotion"
	"github.com/slipway-release/slipway/release/streams/journal"
)

// predicateRemoval records that a release was taken out of a channel, by whom and why.
const predicateRemoval = "https://slipway.dev/removal/v1"

// removalRecord is what it says.
type removalRecord struct {
	Version string    `json:"version"`
	Channel string    `json:"channel"`
	By      string    `json:"by"`
	Why     string    `json:"why"`
	At      time.Time `json:"at"`
}

func newChannelRemove(a *app) *cobra.Command {
	var channel string
	var b byHand
	cmd := &cobra.Command{
		Use:   "remove VERSION",
		Short: "Take a version out of a channel",
		Long: `Take a version out of a channel. Clusters on it find themselves in the channel no more
and are offered nothing there: a tombstone in distro.yaml, which keeps a version from going
further, or slipway channel block --never is nearly always better.

It is refused if clusters on other versions would have no way to the channel's newest
version any more, or if the channel's feeder would bring the version in again. Who did it,
when and why stays in the channel, and becomes signed evidence beside the payload.`,
		Example: "  slipway channel remove 1.36.4 --channel stable --reason 'promoted by mistake' --dry-run",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := b.out.check(); err != nil {
				return err
			}
			v, err := release.Parse(args[0])
			if err != nil {
				return usage(err)
			}
			mark, err := b.mark()
			if err != nil {
				return err
			}
			w, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			if w.distro.Channel(channel) == nil {
				return usage(fmt.Errorf("removing version %q: distribution %q has no channel %q", v, w.distro.Name, channel))
			}
			plan, err := a.remove(cmd.Context(), w, channel, v, mark, b.dryRun)
			if err != nil {
				return err
			}
			what := "has left channel " + channel + " already"
			if !plan.Empty() {
				what = "is removed from channel " + channel + " by " + mark.By
			}
			return b.print(a, done{Version: v.String(), Done: what, By: mark})
		},
	}
	b.addFlags(cmd, true)
	cmd.Flags().StringVar(&channel, "channel", "", "channel that it leaves")
	_ = cmd.MarkFlagRequired("channel")
	return cmd
}

// remove takes a version out of a channel as far as the planner lets it. Somebody else
// who changes the channel meanwhile has it plan anew.
func (a *app) remove(ctx context.Context, w *world, channel string, v release.Version, mark journal.Mark, dryRun bool) (channels.Plan, error) {
	const attempts = 5
	var err error
	for range attempts {
		if !dryRun {
			// What was broken off comes first, for a plan does not see it.
			if err = w.channels().Recover(ctx); errors.Is(err, channels.ErrChanged) {
				continue
			}
			if err != nil {
				return channels.Plan{}, err
			}
		}
		var plan channels.Plan
		if plan, err = w.planRemoval(ctx, channel, v, mark); err != nil || plan.Empty() || dryRun {
			return plan, err
		}
		if err = a.carryOutRemoval(ctx, w, plan, v, mark); !errors.Is(err, channels.ErrChanged) {
			return plan, err
		}
	}
	return channels.Plan{}, err
}

// planRemoval asks the planner whether a version may leave a channel.
func (w *world) planRemoval(ctx context.Context, channel string, v release.Version, mark journal.Mark) (channels.Plan, error) {
	read, err := w.declaredChannels(ctx)
	if err != nil {
		return channels.Plan{}, err
	}
	var plan channels.Plan
	for _, stored := range read {
		if stored.State.Name == channel {
			plan, err = channels.NewRemoval(stored, v, mark.By, mark.Why, mark.At)
		}
	}
	if err != nil || plan.Empty() {
		return plan, usage(err)
	}
	in, err := w.promotionInput(read, []string{v.String()}, mark.At)
	if err != nil {
		return plan, err
	}
	in.Removals = []promotions.Removal{{Channel: channel, Version: v.String()}}
	planned, err := promotions.New(in)
	if err != nil {
		return plan, usage(err)
	}
	if len(planned.Removals) > 0 {
		return plan, nil
	}
	for _, h := range planned.Held {
		if h.Channel == channel {
			return plan, usage(fmt.Errorf("removing version %q from channel %q: held by %s: %s", v, channel, h.Rule, h.Detail))
		}
	}
	return plan, fmt.Errorf("removing version %q from channel %q: the plan neither does it nor says why not", v, channel)
}

// carryOutRemoval writes it down as evidence first, so that no release is gone from a
// channel without it. Of a payload that the registry lost only the channel can tell.
func (a *app) carryOutRemoval(ctx context.Context, w *world, plan channels.Plan, v release.Version, mark journal.Mark) error {
	var payload string
	for _, r := range plan.After.Removed {
		if r.Version.Version == v {
			payload = w.reference(pullDigest(r.PullSpec))
		}
	}
	_, err := w.registry.Resolve(ctx, payload)
	if err == nil {
		signer, err := a.keys(w.state)
		if err != nil {
			return err
		}
		record := removalRecord{Version: v.String(), Channel: plan.Channel, By: mark.By, Why: mark.Why, At: mark.At}
		if _, err := signer.Attest(ctx, w.registry, payload, predicateRemoval, record); err != nil {
			return err
		}
	} else if !errors.Is(err, oci.ErrNotFound) {
		return err
	}
	return w.channels().Execute(ctx, plan)
}
