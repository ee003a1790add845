package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/channels"
	promotions "github.com/slipway-release/slipway/release/channels/promotion"
)

// predicatePromotion records that a release was let into channels, and why.
const predicatePromotion = "https://slipway.dev/promotion/v1"

// promotionRecord is what it says.
type promotionRecord struct {
	Version string    `json:"version"`
	At      time.Time `json:"at"`
	// By and Why are of somebody who asked for it; empty where the rules did.
	By        string                `json:"by,omitempty"`
	Why       string                `json:"why,omitempty"`
	Additions []promotions.Addition `json:"additions"`
}

// promoteAlong moves releases on from channel to channel, as planned. Somebody else who
// changes channels meanwhile has it plan anew.
func (a *app) promoteAlong(ctx context.Context, w *world, only []string) (promotions.Plan, error) {
	const attempts = 5
	var done promotions.Plan
	var err error
	for range attempts {
		var next planned
		// What was broken off comes first, for a plan does not see it.
		if err = w.channels().Recover(ctx); errors.Is(err, channels.ErrChanged) {
			continue
		}
		if err != nil {
			return done, err
		}
		if next, err = a.planPromotions(ctx, w, only, time.Now().UTC()); err != nil {
			return done, err
		}
		sets := next.plan.ChangeSets()
		for _, set := range sets {
			if err = a.carryOut(ctx, w, set); err != nil {
				break
			}
			done.Additions = append(done.Additions, set.Additions...)
		}
		done.Held, done.Warnings = next.plan.Held, next.plan.Warnings
		if !errors.Is(err, channels.ErrChanged) {
			return done, err
		}
	}
	return done, err
}

// carryOut does what is planned with one release. It is written down as evidence first,
// so that no release is in a channel without it.
func (a *app) carryOut(ctx context.Context, w *world, set promotions.ChangeSet) error {
	version, err := release.Parse(set.Version)
	if err != nil {
		return err
	}
	read, err := w.declaredChannels(ctx)
	if err != nil {
		return err
	}
	var moves []channels.Move
	for _, add := range set.Additions {
		move := channels.Move{Feeder: add.Because.Feeder, Channel: add.Channel}
		if add.Rollout != nil {
			move.Rollout = &channels.Rollout{Start: add.Rollout.Start.UTC().Truncate(time.Second), Duration: add.Rollout.Duration}
		}
		moves = append(moves, move)
	}
	now := time.Now().UTC().Truncate(time.Second)
	change, err := channels.NewChangeSet(read, version, moves, now)
	if err != nil || change.Empty() {
		return err
	}
	at, _ := change.Plans[0].After.Find(version)
	p, err := a.payload(ctx, w, pullDigest(at.PullSpec))
	if err != nil {
		return err
	}
	signer, err := a.keys(w.state)
	if err != nil {
		return err
	}
	record := promotionRecord{Version: set.Version, At: now, Additions: set.Additions}
	if _, err := signer.Attest(ctx, w.registry, p.Reference, predicatePromotion, record); err != nil {
		return err
	}
	return w.channels().Apply(ctx, change)
}

// advance moves releases on and logs what entered which channel.
func (a *app) advance(ctx context.Context, w *world, log *slog.Logger) error {
	done, err := a.promoteAlong(ctx, w, nil)
	for _, add := range done.Additions {
		log.Info("promoted", "version", add.Version, "channel", add.Channel, "from", add.Because.Feeder)
	}
	return err
}

func newChannelApprove(a *app) *cobra.Command {
	var channel string
	var b byHand
	cmd := &cobra.Command{
		Use:   "approve VERSION",
		Short: "Approve that a release enters a channel before its delay is over",
		Long: `Approve that a release enters a channel. Who did it, when and why becomes signed
evidence beside the payload; as many approvals as the channel's feeder asks for let the
release in at the next slipway channel promote --apply.`,
		Example: "  slipway channel approve 1.36.4 --channel stable --reason 'fixes the outage of today'",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := b.out.check(); err != nil {
				return err
			}
			mark, err := b.mark()
			if err != nil {
				return err
			}
			w, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			declared := w.distro.Channel(channel)
			if declared == nil {
				return usage(fmt.Errorf("approving %q: distribution %q has no channel %q", args[0], w.distro.Name, channel))
			}
			if declared.Feeder == nil || declared.Feeder.Approvals == 0 {
				return usage(fmt.Errorf("approving %q: no approval lets a release into channel %q; see feeder.approvals in distro.yaml", args[0], channel))
			}
			p, err := a.payload(cmd.Context(), w, args[0])
			if err != nil {
				return err
			}
			if !b.dryRun {
				signer, err := a.keys(w.state)
				if err != nil {
					return err
				}
				said := approval{By: mark.By, Why: mark.Why, At: mark.At, Channel: channel, Version: p.Version.String()}
				if _, err := signer.Attest(cmd.Context(), w.registry, p.Reference, predicateApproval, said); err != nil {
					return err
				}
			}
			return b.print(a, done{Version: p.Version.String(), Done: "is approved for channel " + channel + " by " + mark.By, By: mark})
		},
	}
	b.addFlags(cmd, true)
	cmd.Flags().StringVar(&channel, "channel", "", "channel that it may enter")
	_ = cmd.MarkFlagRequired("channel")
	return cmd
}
