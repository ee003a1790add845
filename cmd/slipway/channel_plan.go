package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/slipway-release/slipway/distros"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/channels"
	promotions "github.com/slipway-release/slipway/release/channels/promotion"
	"github.com/slipway-release/slipway/release/sign"
	"github.com/slipway-release/slipway/release/streams"
)

func newChannelPlan(a *app) *cobra.Command {
	var at string
	var out output
	cmd := &cobra.Command{
		Use:   "plan [VERSION]...",
		Short: "Show which releases may go on from channel to channel, and what holds the others",
		Long: `Show what slipway channel promote --apply would do: which releases go on from the
channels they are in into those that these feed, as distro.yaml declares it, and for
every other one which rule holds it and until when. Nothing is changed.

--at plans for another time, to see what will be let in by then.`,
		Example: `  slipway channel plan
  slipway channel plan 1.36.4 --at 2026-12-01T06:00:00Z -o json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			now := time.Now().UTC()
			if at != "" {
				parsed, err := time.Parse(time.RFC3339, at)
				if err != nil {
					return usage(fmt.Errorf("reading --at: %w", err))
				}
				now = parsed
			}
			w, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			planned, err := a.planPromotions(cmd.Context(), w, args, now)
			if err != nil {
				return err
			}
			return printPlan(a, &out, planned.plan, "would enter")
		},
	}
	cmd.Flags().StringVar(&at, "at", "", "plan for this time, as in 2026-12-01T06:00:00Z (default: now)")
	out.addFlag(cmd)
	return cmd
}

// planned is a plan and the channels that it was made for.
type planned struct {
	plan promotions.Plan
	read []channels.Stored
}

// planPromotions reads all that a plan depends on, and makes it.
func (a *app) planPromotions(ctx context.Context, w *world, only []string, now time.Time) (planned, error) {
	read, err := w.declaredChannels(ctx)
	if err != nil {
		return planned{}, err
	}
	in, err := w.promotionInput(read, only, now)
	if err != nil {
		return planned{}, err
	}
	if in.Evidence, err = a.promotionEvidence(ctx, w, in, read); err != nil {
		return planned{}, err
	}
	plan, err := promotions.New(in)
	return planned{plan, read}, usage(err)
}

// declaredChannels are the channels of distro.yaml, also those that do not exist yet.
func (w *world) declaredChannels(ctx context.Context) ([]channels.Stored, error) {
	var all []channels.Stored
	for _, c := range w.distro.Channels {
		stored, err := w.channels().Read(ctx, c.Name)
		if err != nil {
			return nil, err
		}
		all = append(all, stored)
	}
	return all, nil
}

// promotionInput is what a plan depends on, but for evidence.
func (w *world) promotionInput(read []channels.Stored, only []string, now time.Time) (promotions.Input, error) {
	in := promotions.Input{Now: now, Only: only, Policy: promotions.Policy{Rollouts: map[string]time.Duration{}}}
	var states []channels.State
	var versions []string
	for i, c := range w.distro.Channels {
		states = append(states, read[i].State)
		channel := promotionChannel(c)
		for _, v := range read[i].State.Versions {
			channel.Members = append(channel.Members, promotions.Member{Version: v.Version.String(), Since: v.Added, Digest: pullDigest(v.PullSpec)})
			versions = append(versions, v.Version.String())
		}
		in.Channels = append(in.Channels, channel)
		if c.Rollout != "" {
			in.Policy.Rollouts[c.Name] = length(c.Rollout, 0)
		}
	}
	snapshot, err := w.snapshot(states)
	if err != nil {
		return in, err
	}
	in.Graph = snapshot.Union()
	data, err := offers{w.distro}.data()
	if err != nil || data == nil {
		return in, usage(err)
	}
	for _, r := range data.Declared(versions) {
		in.Risks = append(in.Risks, promotions.Risk{Name: r.Name, To: r.To, FixedIn: r.FixedIn})
	}
	return in, nil
}

func promotionChannel(c distros.Channel) promotions.Channel {
	out := promotions.Channel{Name: c.Name, Tombstones: c.Tombstones, RequireEvidence: c.Evidence, FreshFor: length(c.FreshFor, 0)}
	if f := c.Feeder; f != nil {
		out.Feeder = &promotions.Feeder{Name: f.Channel, Delay: length(f.Delay, 0), Approvals: f.Approvals, Range: f.Versions}
	}
	return out
}

func pullDigest(pullSpec string) string {
	_, digest, _ := strings.Cut(pullSpec, "@")
	return digest
}

// evidenceAtOnce bounds how many payloads' evidence is read side by side.
const evidenceAtOnce = 8

// promotionEvidence reads the evidence of the releases that may go on, where it matters.
func (a *app) promotionEvidence(ctx context.Context, w *world, in promotions.Input, read []channels.Stored) (map[string]promotions.Evidence, error) {
	verifier, err := a.verifier(w.state)
	if err != nil {
		return nil, err
	}
	waiting := waitingReleases(w.distro.Channels, read, in.Only)
	found := make([]promotions.Evidence, len(waiting))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(evidenceAtOnce)
	for i, v := range waiting {
		group.Go(func() (err error) {
			found[i], err = w.evidenceFor(ctx, a, verifier, v)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	all := map[string]promotions.Evidence{}
	for i, v := range waiting {
		all[v.Version.String()] = found[i]
	}
	return all, nil
}

// waitingReleases are those that some channel's feeder, or the feeder's feeder, holds and
// it does not.
func waitingReleases(declared []distros.Channel, read []channels.Stored, only []string) []channels.Version {
	states := map[string]channels.State{}
	byName := map[string]distros.Channel{}
	for i, c := range declared {
		states[c.Name], byName[c.Name] = read[i].State, c
	}
	seen := map[release.Version]bool{}
	var all []channels.Version
	for _, c := range declared {
		for at := c; at.Feeder != nil; at = byName[at.Feeder.Channel] {
			for _, v := range states[at.Feeder.Channel].Versions {
				_, held := states[c.Name].Find(v.Version)
				if held || seen[v.Version] || len(only) > 0 && !slices.Contains(only, v.Version.String()) {
					continue
				}
				seen[v.Version] = true
				all = append(all, v)
			}
		}
	}
	return all
}

// predicateApproval is somebody's consent that a payload enters a channel.
const predicateApproval = "https://slipway.dev/approval/v1"

// approval is what it says.
type approval struct {
	By      string    `json:"by"`
	Why     string    `json:"why"`
	At      time.Time `json:"at"`
	Channel string    `json:"channel"`
	Version string    `json:"version"`
}

// evidenceFor is what signed evidence says about a release.
func (w *world) evidenceFor(ctx context.Context, a *app, verifier *sign.Verifier, v channels.Version) (promotions.Evidence, error) {
	e := promotions.Evidence{Digests: []string{pullDigest(v.PullSpec)}}
	p, err := a.payload(ctx, w, pullDigest(v.PullSpec))
	if err != nil {
		return e, err
	}
	var policy streams.Policy // of a stream that is declared no longer nothing is excused
	if stream := w.streamOf(v.Version); w.distro.Stream(stream) != nil {
		if policy, err = w.policy(stream); err != nil {
			return e, err
		}
	}
	results, err := checkResults(ctx, w, verifier, p, policy)
	if err != nil {
		return e, err
	}
	for _, r := range results {
		if r.Status == streams.Passed {
			e.Passed = append(e.Passed, r.Check)
		}
	}
	for _, kind := range []string{sign.PredicateTestResult, sign.PredicateUpgradeResult, sign.PredicateCheckResult} {
		found, err := verifier.Evidence(ctx, w.registry, p.Reference, kind)
		if err != nil {
			return e, err
		}
		if len(found.Statements) > 0 && found.Statements[0].Time.After(e.Newest) {
			e.Newest = found.Statements[0].Time
		}
	}
	approvals, err := verifier.Evidence(ctx, w.registry, p.Reference, predicateApproval)
	if err != nil {
		return e, err
	}
	signed := map[string]bool{}
	for _, s := range approvals.Statements {
		var said approval
		if err := json.Unmarshal(s.Predicate, &said); err != nil {
			return e, fmt.Errorf("reading an approval of %q: %w", p.Reference, err)
		}
		// Whoever has one key is one person, whatever names it approves under.
		if signed[s.Key+" "+said.Channel] {
			continue
		}
		signed[s.Key+" "+said.Channel] = true
		e.Approvals = append(e.Approvals, promotions.Approval{By: said.By, When: s.Time, Channel: said.Channel, Digest: p.Digest.String()})
	}
	return e, nil
}

// printPlan tells what enters which channel and what holds the rest.
func printPlan(a *app, out *output, plan promotions.Plan, verb string) error {
	r := result{value: plan, text: func(w io.Writer) {
		for _, set := range plan.ChangeSets() {
			for _, add := range set.Additions {
				fmt.Fprintf(w, "%s %s %s%s\n", add.Version, verb, add.Channel, because(add))
			}
		}
		for _, h := range plan.Held {
			fmt.Fprintf(w, "%s is held from %s by %s: %s\n", h.Version, h.Channel, h.Rule, h.Detail)
		}
		for _, warning := range plan.Warnings {
			fmt.Fprintf(w, "warning: %s in %s, %s: %s\n", warning.Version, warning.Channel, warning.Rule, warning.Detail)
		}
		if len(plan.Additions)+len(plan.Held) == 0 {
			fmt.Fprintln(w, "no release waits for a channel")
		}
	}}
	for _, add := range plan.Additions {
		r.names = append(r.names, add.Channel+"/"+add.Version)
	}
	return out.print(a.Out, r)
}

func because(a promotions.Addition) string {
	text := fmt.Sprintf(", from %s", a.Because.Feeder)
	if !a.Because.Since.IsZero() {
		text += " since " + a.Because.Since.UTC().Format(time.RFC3339)
	}
	var who []string
	for _, approval := range a.Because.Approvals {
		who = append(who, approval.By)
	}
	if len(who) > 0 {
		text += ", approved by " + strings.Join(who, ", ")
	}
	if a.Rollout != nil {
		text += ", open to all clusters after " + a.Rollout.Duration
	}
	return text
}
