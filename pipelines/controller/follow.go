package controller

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"time"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/streams"
	"github.com/slipway-release/slipway/release/streams/journal"
)

// The reasons why work on a payload is broken off for good.
var (
	errSuperseded = errors.New("a newer payload supersedes it")
	errDecided    = errors.New("somebody has decided about it")
)

// follower runs one stream.
type follower struct {
	*Controller
	d   streams.Declaration
	log *slog.Logger

	working map[int]context.CancelCauseFunc // by number of the cut
	ended   chan end
	wake    chan struct{}
	failing int  // passes in a row
	cleaned bool // nothing has ended since retention was applied
	did     bool // a cut was made
}

// end is that of the work on a cut.
type end struct {
	number int
	err    error
}

func (f *follower) follow(ctx context.Context) error {
	f.working, f.ended, f.wake = map[int]context.CancelCauseFunc{}, make(chan end, 16), make(chan struct{}, 16)
	defer f.wait()
	for {
		wait, err := f.pass(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		switch {
		case err == nil:
			f.failing = 0
			if wait == 0 {
				continue
			}
		case f.Once || errors.Is(err, journal.ErrUnknown):
			return err
		default:
			f.failing++
			wait = f.d.Retry.Wait(f.failing)
			f.log.Error("the stream could not be looked after", "error", err, "again", wait)
			f.Metrics.note(f.d.Name, func(m *StreamMetrics) { m.HostFailures++; m.Waiting = err.Error() })
		}
		if err == nil && len(f.working) == 0 && (f.Once || f.over()) {
			return nil
		}
		if err := pause(ctx, wait, f.wake); err != nil {
			return err
		}
	}
}

// wait ends all that is at work and waits for it.
func (f *follower) wait() {
	for _, cancel := range f.working {
		cancel(context.Canceled)
	}
	for len(f.working) > 0 {
		delete(f.working, (<-f.ended).number)
	}
}

// pass looks at the stream once. It returns how long to wait before the next look; 0
// when something was done.
func (f *follower) pass(ctx context.Context) (time.Duration, error) {
	if err := f.collect(ctx); err != nil {
		return 0, err
	}
	state, err := f.Journal.Read(ctx, f.d.Name)
	if err != nil {
		return 0, err
	}
	f.Metrics.journal(f.d.Name, &state)
	f.takeUp(ctx, &state)
	if len(f.working) == 0 && !f.cleaned {
		if err := f.retain(ctx, &state); err != nil {
			return 0, err
		}
		f.cleaned = true
	}
	if f.over() || (f.Once && (f.did || len(f.working) > 0)) {
		return f.Poll, nil
	}
	next, inputs, err := f.next(ctx, &state)
	if err != nil {
		return 0, err
	}
	f.Metrics.note(f.d.Name, func(m *StreamMetrics) { m.Waiting, m.Next = next.Reason, next.Until })
	if !next.Cut || !f.mayCut() {
		wait := f.Poll
		if !next.Until.IsZero() {
			wait = max(min(wait, next.Until.Sub(f.Clock())), time.Millisecond)
		}
		f.log.Debug("not cutting", "reason", next.Reason)
		return wait, nil
	}
	return 0, f.cut(ctx, &state, next, inputs)
}

// next says whether to cut.
func (f *follower) next(ctx context.Context, state *journal.State) (streams.Next, []streams.Input, error) {
	inputs, err := f.Payloads.Inputs(ctx, f.d.Name)
	if err != nil {
		return streams.Next{}, nil, err
	}
	s := streams.Situation{Inputs: inputs, Past: state.Past(), Request: state.NextRequest()}
	if state.Frozen != nil {
		s.Frozen = firstOf(state.Frozen.Why, "by "+state.Frozen.By)
	}
	if s.Request == nil && f.Now != "" {
		s.Request = &streams.Request{By: f.Now, Why: "to be cut without waiting"}
	}
	next, err := streams.NextCut(f.Clock(), f.d, s)
	return next, inputs, err
}

// collect takes note of work that has ended.
func (f *follower) collect(ctx context.Context) error {
	for {
		select {
		case e := <-f.ended:
			delete(f.working, e.number)
			f.cleaned = false
			if e.err != nil && ctx.Err() == nil {
				return e.err
			}
		default:
			return nil
		}
	}
}

// takeUp goes on with what is unfinished, and ends what need not be finished.
func (f *follower) takeUp(ctx context.Context, state *journal.State) {
	for i, c := range state.Cuts {
		cancel, working := f.working[c.Number]
		superseded := f.d.Supersede && f.unfinishedAfter(state, i) >= f.d.MaxUnfinished
		switch {
		case !c.Unfinished():
		case working && superseded:
			cancel(errSuperseded)
		case working && c.Override != nil && c.Payload != "":
			cancel(errDecided)
		case !working:
			ctx, cancel := context.WithCancelCause(ctx)
			if superseded {
				cancel(errSuperseded)
			}
			f.working[c.Number] = cancel
			d := state.Declared(c)
			go func() {
				defer cancel(nil)
				err := (&worker{follower: f, cut: c, d: d, log: f.log.With("version", c.Version.String())}).work(ctx)
				f.ended <- end{c.Number, err}
				select {
				case f.wake <- struct{}{}:
				default: // it is awake anyway
				}
			}()
		}
	}
}

// unfinishedAfter counts the unfinished cuts that are newer than the i-th.
func (f *follower) unfinishedAfter(state *journal.State, i int) int {
	n := 0
	for _, c := range state.Cuts[i+1:] {
		if c.Unfinished() {
			n++
		}
	}
	return n
}

// cut enters a cut into the journal; takeUp makes it.
func (f *follower) cut(ctx context.Context, state *journal.State, next streams.Next, inputs []streams.Input) error {
	now := f.Clock().UTC().Truncate(time.Second)
	v, err := release.New(f.d.Base, f.d.Name, now, state.Versions())
	if err != nil {
		f.giveBack()
		return err
	}
	c := journal.Cut{
		Number: len(state.Cuts) + 1, ID: rand.Text(), Version: v, Mark: journal.Mark{By: f.Holder, Why: next.Reason, At: now},
		Inputs: inputs, Declaration: f.d.Digest(), Tool: f.Tool,
	}
	if next.Request != nil {
		c.By, c.Request = next.Request.By, next.Request.ID
	}
	_, err = f.Journal.Change(ctx, f.d.Name, journal.AddCut(c, f.d))
	if err != nil {
		f.giveBack()
		if errors.Is(err, journal.ErrTaken) || errors.Is(err, journal.ErrFrozen) {
			f.log.Info("not cutting", "reason", err)
			return nil
		}
		return err
	}
	f.did = true
	f.log.Info("cut", "version", v.String(), "reason", next.Reason)
	f.Metrics.note(f.d.Name, func(m *StreamMetrics) { m.Cuts++ })
	return nil
}

// retain deletes what need not be kept. It is entered into the journal first, so that
// one who pins meanwhile learns that it is too late, or is heeded.
func (f *follower) retain(ctx context.Context, state *journal.State) error {
	plan, err := Plan(ctx, f.Payloads, f.d, state, f.Clock())
	if err != nil {
		return err
	}
	for _, r := range plan {
		if !r.Delete {
			continue
		}
		mark := journal.Mark{By: f.Holder, Why: r.Reason, At: f.Clock().UTC().Truncate(time.Second)}
		if err := Prune(ctx, f.Journal, f.Payloads, f.d.Name, r, mark); err != nil {
			return err
		}
		f.log.Info("deleted", "version", r.Version.String(), "reason", r.Reason)
		f.Metrics.note(f.d.Name, func(m *StreamMetrics) { m.Deleted++ })
	}
	return nil
}
