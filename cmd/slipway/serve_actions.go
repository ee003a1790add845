package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/channels"
	promotions "github.com/slipway-release/slipway/release/channels/promotion"
	"github.com/slipway-release/slipway/release/streams"
	"github.com/slipway-release/slipway/release/streams/journal"
	updateserver "github.com/slipway-release/slipway/release/updates"
)

// actions does what the server's write API is asked for, as the commands that do it by
// hand: a decision is signed evidence of who, when and why.
type actions struct {
	app   *app
	world *world
}

var _ updateserver.Actions = actions{}

// Act implements updateserver.Actions.
func (s actions) Act(ctx context.Context, x updateserver.Action) (updateserver.Outcome, error) {
	if s.world.distro.Stream(x.Stream) == nil {
		return updateserver.Outcome{}, fmt.Errorf("stream %q %w", x.Stream, updateserver.ErrNotFound)
	}
	mark := journal.Mark{By: x.Actor, Why: x.Reason, At: time.Now().UTC().Truncate(time.Second)}
	var out updateserver.Outcome
	var err error
	switch x.Verb {
	case updateserver.Accept:
		out, err = s.decide(ctx, x, streams.Accepted, mark)
	case updateserver.Reject:
		out, err = s.decide(ctx, x, streams.Rejected, mark)
	case updateserver.Cut:
		out, err = s.cut(ctx, x, mark)
	case updateserver.Promote:
		out, err = s.promote(ctx, x)
	default:
		err = updateserver.ErrUnsupported
	}
	return out, asAnswer(err)
}

// asAnswer tells what the caller can do something about from failures of the server.
func asAnswer(err error) error {
	switch code := exitCode(err); {
	case errors.Is(err, channels.ErrChanged):
		return fmt.Errorf("%w: %w", updateserver.ErrConflict, err)
	case errors.Is(err, oci.ErrNotFound):
		return fmt.Errorf("%w: %w", updateserver.ErrNotFound, err)
	case code == exitUsage, code == exitRejected:
		return fmt.Errorf("%w: %w", updateserver.ErrRefused, err)
	}
	return err
}

// named is the payload of a stream that a version or digest names, verified.
func (s actions) named(ctx context.Context, x updateserver.Action) (*release.Payload, error) {
	if _, err := s.world.registry.Resolve(ctx, s.world.reference(x.Release)); err != nil {
		return nil, err
	}
	p, err := s.app.payload(ctx, s.world, x.Release)
	if err == nil && s.world.streamOf(p.Version) != x.Stream {
		err = fmt.Errorf("payload %q of stream %q %w", x.Release, x.Stream, updateserver.ErrNotFound)
	}
	return p, err
}

func (s actions) decide(ctx context.Context, x updateserver.Action, outcome streams.Outcome, mark journal.Mark) (updateserver.Outcome, error) {
	payload, err := s.named(ctx, x)
	if err != nil {
		return updateserver.Outcome{}, err
	}
	p, err := s.app.payloads(s.world)
	if err != nil {
		return updateserver.Outcome{}, err
	}
	before, err := handDecision(ctx, s.world, p.verifier, payload.Reference)
	if err != nil || before != nil && before.Verdict.Verdict == outcome {
		return updateserver.Outcome{}, err
	}
	out := updateserver.Outcome{Changed: true, Changes: []string{fmt.Sprintf("%s is %s by %s", payload.Version, outcome, mark.By)}}
	if x.DryRun {
		return out, nil
	}
	return out, s.app.decideByHand(ctx, p, payload.Version.String(), outcome, mark)
}

func (s actions) cut(ctx context.Context, x updateserver.Action, mark journal.Mark) (updateserver.Outcome, error) {
	if err := s.world.mayCut(x.Stream); err != nil {
		return updateserver.Outcome{}, err
	}
	out := updateserver.Outcome{Changed: true, Changes: []string{fmt.Sprintf("a payload of stream %q is asked for", x.Stream)}}
	if x.DryRun {
		return out, nil
	}
	request := streams.Request{ID: rand.Text(), By: mark.By, Why: mark.Why, At: mark.At}
	return out, s.world.change(ctx, x.Stream, journal.AddRequest(request))
}

func (s actions) promote(ctx context.Context, x updateserver.Action) (updateserver.Outcome, error) {
	p, err := s.named(ctx, x)
	if err != nil {
		return updateserver.Outcome{}, err
	}
	policy, err := s.world.policy(x.Stream)
	if err != nil {
		return updateserver.Outcome{}, err
	}
	done, err := s.app.promote(ctx, s.world, p.Reference, policy, x.DryRun)
	if err != nil {
		return updateserver.Outcome{}, err
	}
	var out updateserver.Outcome
	record := promotionRecord{Version: p.Version.String(), At: time.Now().UTC().Truncate(time.Second), By: x.Actor, Why: x.Reason}
	for _, d := range done {
		out.Changed = out.Changed || d.Added
		if d.Added {
			record.Additions = append(record.Additions, promotions.Addition{Channel: d.Name, Version: record.Version})
		}
		for _, change := range d.Changes {
			out.Changes = append(out.Changes, d.Name+": "+change)
		}
	}
	if !out.Changed || x.DryRun {
		return out, nil
	}
	signer, err := s.app.keys(s.world.state)
	if err != nil {
		return out, err
	}
	_, err = signer.Attest(ctx, s.world.registry, p.Reference, predicatePromotion, record)
	return out, err
}
