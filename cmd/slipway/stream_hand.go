package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os/user"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/pipelines/controller"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/sign"
	"github.com/slipway-release/slipway/release/streams"
	"github.com/slipway-release/slipway/release/streams/journal"
)

// byHand is who does something to a stream, and why.
type byHand struct {
	by, why string
	dryRun  bool
	out     output
}

func (b *byHand) addFlags(cmd *cobra.Command, reason bool) {
	f := cmd.Flags()
	f.StringVar(&b.by, "by", "", "who does it (default: the user of this host)")
	f.StringVar(&b.why, "reason", "", "why; it is kept with it")
	f.BoolVar(&b.dryRun, "dry-run", false, "say what would be done and do nothing")
	if reason {
		_ = cmd.MarkFlagRequired("reason")
	}
	b.out.addFlag(cmd)
}

func (b *byHand) mark() (journal.Mark, error) {
	m := journal.Mark{By: b.by, Why: strings.TrimSpace(b.why), At: time.Now().UTC().Truncate(time.Second)}
	if m.By == "" {
		u, err := user.Current()
		if err != nil {
			return m, usage(fmt.Errorf("finding out who does it: %w; say so with --by", err))
		}
		m.By = u.Username
	}
	return m, nil
}

// done is what a command has done by hand.
type done struct {
	Stream  string       `json:"stream"`
	Version string       `json:"version,omitempty"`
	Done    string       `json:"done"`
	DryRun  bool         `json:"dryRun,omitempty"`
	By      journal.Mark `json:"by"`
}

func (b *byHand) print(a *app, d done) error {
	d.DryRun = b.dryRun
	return b.out.print(a.Out, result{value: d, names: []string{orElse(d.Version, d.Stream)}, text: func(w io.Writer) {
		if d.DryRun {
			fmt.Fprint(w, "would be done: ")
		}
		fmt.Fprintf(w, "%s %s\n", orElse(d.Version, d.Stream), d.Done)
	}})
}

// begin opens what all of these commands need.
func (b *byHand) begin(ctx context.Context, a *app, stream string) (*world, journal.Mark, error) {
	if err := b.out.check(); err != nil {
		return nil, journal.Mark{}, err
	}
	mark, err := b.mark()
	if err != nil {
		return nil, mark, err
	}
	w, err := a.open(ctx)
	if err != nil {
		return nil, mark, err
	}
	_, err = w.policy(stream)
	return w, mark, err
}

// beginOf opens what the commands need that are about one payload.
func (b *byHand) beginOf(ctx context.Context, a *app, version string) (w *world, v release.Version, stream string, mark journal.Mark, err error) {
	v, _ = release.Parse(version)
	if stream = v.Stream(); stream == "" {
		d, err := a.distribution()
		if err != nil {
			return nil, v, "", mark, err
		}
		stream = d.StableStream()
	}
	if stream == "" || v.IsZero() {
		return nil, v, "", mark, usage(fmt.Errorf("reading payload %q: it must be the version of a stream's payload", version))
	}
	w, mark, err = b.begin(ctx, a, stream)
	return w, v, stream, mark, err
}

// change edits a journal; what the journal refuses is the caller's mistake.
func (w *world) change(ctx context.Context, stream string, edit journal.Edit) error {
	_, err := w.journal().Change(ctx, stream, edit)
	if errors.Is(err, journal.ErrFrozen) || errors.Is(err, journal.ErrUnknown) {
		return usage(err)
	}
	return err
}

func newStreamCut(a *app) *cobra.Command {
	var b byHand
	cmd := &cobra.Command{
		Use:   "cut STREAM",
		Short: "Ask for a payload of a stream, whatever its inputs and schedule say",
		Long: `Ask for a payload of a stream. The request is kept in the registry; the controller
heeds it at its next look, whether or not the inputs were cut before. A stream that is
frozen refuses it.`,
		Example: "  slipway stream cut nightly --reason 'the mirror was broken' \n  slipway stream cut nightly --dry-run",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			w, mark, err := b.begin(cmd.Context(), a, args[0])
			if err == nil {
				err = w.mayCut(args[0])
			}
			if err != nil {
				return err
			}
			request := streams.Request{ID: rand.Text(), By: mark.By, Why: mark.Why, At: mark.At}
			state, err := w.journal().Read(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			next, _, err := a.nextCut(cmd.Context(), w, args[0], &state, &request)
			if err != nil {
				return err
			}
			if !b.dryRun {
				if err := w.change(cmd.Context(), args[0], journal.AddRequest(request)); err != nil {
					return err
				}
			}
			what := "is asked for; the controller will cut it"
			if !next.Cut {
				what += " later, for now " + next.Reason
			}
			return b.print(a, done{Stream: args[0], Done: what, By: mark})
		},
	}
	b.addFlags(cmd, false)
	return cmd
}

func newStreamFreeze(a *app, freeze bool) *cobra.Command {
	var b byHand
	cmd := &cobra.Command{Use: "freeze STREAM", Short: "Cut nothing of a stream until it is unfrozen", Example: "  slipway stream freeze nightly --reason 'release week'", Args: cobra.ExactArgs(1)}
	edit, what := func(m journal.Mark) journal.Edit { return journal.Freeze(m) }, "is frozen"
	if !freeze {
		cmd.Use, cmd.Short, cmd.Example = "unfreeze STREAM", "Let a stream be cut again", "  slipway stream unfreeze nightly"
		edit, what = func(journal.Mark) journal.Edit { return journal.Unfreeze() }, "is frozen no longer"
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		w, mark, err := b.begin(cmd.Context(), a, args[0])
		if err != nil {
			return err
		}
		if !b.dryRun {
			if err := w.change(cmd.Context(), args[0], edit(mark)); err != nil {
				return err
			}
		}
		return b.print(a, done{Stream: args[0], Done: what, By: mark})
	}
	b.addFlags(cmd, freeze)
	return cmd
}

// adopted makes sure that the journal knows a version, also one that was made without a
// controller.
func (a *app) adopted(ctx context.Context, p *payloads, version string) (release.Version, string, error) {
	v, err := release.Parse(version)
	stream := p.streamOf(v)
	if err != nil || stream == "" {
		return v, "", usage(fmt.Errorf("reading payload %q: it must be the version of a stream's payload", version))
	}
	d, err := p.declaration(stream)
	if err != nil {
		return v, "", err
	}
	digest, err := p.Digest(ctx, v)
	if err != nil {
		return v, "", err
	}
	if digest == "" {
		return v, "", usage(fmt.Errorf("reading payload %q: no such payload in registry %s", v, p.registry.Address()))
	}
	policy, results := d.Policy, []streams.Result(nil)
	if results, err = p.Results(ctx, v, policy); err != nil {
		return v, "", err
	}
	phase, reason := streams.PhaseOf(policy, streams.Facts{Payload: digest, Results: results, Ended: "it was made without a controller"})
	cut, dated := v.Time()
	if !dated {
		cut = time.Now().UTC().Truncate(time.Second)
	}
	end := journal.End{At: cut, Phase: phase, Reason: reason}
	return v, digest, p.change(ctx, stream, journal.Adopt(v, digest, rand.Text(), toolVersion(), cut, end, d))
}

func newStreamVerdict(a *app, verb string, outcome streams.Outcome) *cobra.Command {
	var b byHand
	short := map[string]string{"accept": "Accept a payload by hand, whatever its checks say", "reject": "Reject a payload by hand, whatever its checks say"}
	cmd := &cobra.Command{Use: verb + " VERSION", Short: short[verb], Args: cobra.ExactArgs(1)}
	cmd.Long = cmd.Short + `. Who did it, when and why becomes signed evidence
beside the payload. It counts at once: a run that still checks the payload is ended. It does
not take a payload out of channels, nor put it into any: see slipway channel.`
	cmd.Example = "  slipway stream " + verb + " 1.36.3-0.nightly-2026-11-20-101500 --reason 'the test is at fault, see issue 12'"
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		w, v, stream, mark, err := b.beginOf(cmd.Context(), a, args[0])
		if err != nil {
			return err
		}
		p, err := a.payloads(w)
		if err != nil {
			return err
		}
		if _, err := p.Results(cmd.Context(), v, streams.Policy{}); err != nil {
			return err
		}
		if !b.dryRun {
			if err := a.decideByHand(cmd.Context(), p, args[0], outcome, mark); err != nil {
				return err
			}
		}
		return b.print(a, done{Stream: stream, Version: args[0], Done: "is " + string(outcome) + " by " + mark.By, By: mark})
	}
	b.addFlags(cmd, true)
	return cmd
}

// decideByHand attaches the decision before the journal tells a controller of it.
func (a *app) decideByHand(ctx context.Context, p *payloads, version string, outcome streams.Outcome, mark journal.Mark) error {
	v, digest, err := a.adopted(ctx, p, version)
	if err != nil {
		return err
	}
	h := handVerdict{By: mark.By, Why: mark.Why, At: mark.At, Verdict: streams.Verdict{Verdict: outcome, Reasons: []streams.Reason{}}}
	if err := p.attest(ctx, v, sign.PredicateDecision, h); err != nil {
		return err
	}
	if err := p.change(ctx, p.streamOf(v), journal.SetPayload(v, digest)); err != nil {
		return err
	}
	return p.change(ctx, p.streamOf(v), journal.Decide(v, journal.Override{Verdict: outcome, Mark: mark}))
}

func newStreamPin(a *app, pin bool) *cobra.Command {
	var b byHand
	cmd := &cobra.Command{Use: "pin VERSION", Short: "Keep a payload from being deleted", Example: "  slipway stream pin 1.36.3-0.nightly-2026-11-20-101500 --reason 'the demo uses it'", Args: cobra.ExactArgs(1)}
	what := "is pinned"
	if !pin {
		cmd.Use, cmd.Short, cmd.Example, what = "unpin VERSION", "Let a payload be deleted again", "  slipway stream unpin 1.36.3-0.nightly-2026-11-20-101500", "is pinned no longer"
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		w, v, stream, mark, err := b.beginOf(cmd.Context(), a, args[0])
		if err != nil {
			return err
		}
		p, err := a.payloads(w)
		if err != nil {
			return err
		}
		if !b.dryRun {
			if _, _, err := a.adopted(cmd.Context(), p, args[0]); err != nil {
				return err
			}
			m := &mark
			if !pin {
				m = nil
			}
			if err := w.change(cmd.Context(), stream, journal.Pin(v, m)); err != nil {
				return err
			}
		}
		return b.print(a, done{Stream: stream, Version: args[0], Done: what, By: mark})
	}
	b.addFlags(cmd, pin)
	return cmd
}

func newStreamPrune(a *app) *cobra.Command {
	var b byHand
	cmd := &cobra.Command{
		Use:   "prune STREAM",
		Short: "Delete the payloads that a stream's retention does not keep",
		Long: `Delete the payloads that a stream's retention does not keep, and say of every payload
why it is kept or not. What was cut and decided stays on record. The controller does the
same after each run.`,
		Example: "  slipway stream prune nightly --dry-run",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			w, mark, err := b.begin(cmd.Context(), a, args[0])
			if err != nil {
				return err
			}
			p, err := a.payloads(w)
			if err != nil {
				return err
			}
			plan, err := a.prune(cmd.Context(), p, args[0], mark, b.dryRun)
			if err != nil {
				return err
			}
			return b.out.print(a.Out, retainedResult(plan, b.dryRun))
		},
	}
	b.addFlags(cmd, false)
	return cmd
}

func (a *app) prune(ctx context.Context, p *payloads, stream string, mark journal.Mark, dryRun bool) ([]streams.Retained, error) {
	d, err := p.declaration(stream)
	if err != nil {
		return nil, err
	}
	state, err := p.journal().Read(ctx, stream)
	if err != nil {
		return nil, err
	}
	plan, err := controller.Plan(ctx, p, d, &state, time.Now())
	if err != nil || dryRun {
		return plan, err
	}
	for _, r := range plan {
		if !r.Delete {
			continue
		}
		mark.Why = r.Reason
		if err := controller.Prune(ctx, p.journal(), p, stream, r, mark); err != nil {
			return nil, err
		}
	}
	return plan, nil
}

func retainedResult(plan []streams.Retained, dryRun bool) result {
	r := result{value: plan, text: func(w io.Writer) {
		for _, p := range plan {
			verb := "kept"
			if p.Delete && dryRun {
				verb = "would be deleted"
			} else if p.Delete {
				verb = "deleted"
			}
			fmt.Fprintf(w, "%s %s: %s\n", p.Version, verb, p.Reason)
		}
	}}
	for _, p := range plan {
		if p.Delete {
			r.names = append(r.names, p.Version.String())
		}
	}
	return r
}
