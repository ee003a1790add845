package controller

import (
	"context"
	"time"

	"github.com/slipway-release/slipway/release/streams"
	"github.com/slipway-release/slipway/release/streams/journal"
)

// Plan says what retention would delete of a stream, and why it keeps the rest.
func Plan(ctx context.Context, p Payloads, d streams.Declaration, state *journal.State, now time.Time) ([]streams.Retained, error) {
	referred, err := p.Referred(ctx)
	if err != nil {
		return nil, err
	}
	var held []streams.Held
	for _, c := range state.Cuts {
		if c.Payload == "" {
			continue
		}
		if c.Deleted != nil {
			// It was entered and perhaps not done: whoever entered it may have been killed.
			digest, err := p.Digest(ctx, c.Version)
			if err != nil {
				return nil, err
			}
			if digest == "" {
				continue
			}
		}
		h := streams.Held{Version: c.Version, Digest: c.Payload, Time: c.At, Phase: c.Phase(), Referred: referred[c.Version]}
		if c.Unfinished() {
			h.Phase = streams.PhaseReady
		}
		if c.Pin != nil {
			h.Pinned = c.Pin.Why
			if h.Pinned == "" {
				h.Pinned = "by " + c.Pin.By
			}
		}
		held = append(held, h)
	}
	return streams.Retain(now, d.Retain, held), nil
}

// Prune deletes one payload that a plan says is to be deleted.
func Prune(ctx context.Context, j Journal, p Payloads, stream string, r streams.Retained, by journal.Mark) error {
	if _, err := j.Change(ctx, stream, journal.Delete(r.Version, by)); err != nil {
		return err
	}
	return p.Delete(ctx, r.Version, r.Digest)
}
