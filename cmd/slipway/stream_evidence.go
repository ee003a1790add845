package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/slipway-release/slipway/pipelines/controller"
	"github.com/slipway-release/slipway/release/sign"
	"github.com/slipway-release/slipway/release/streams"
)

// predicateCut is that of a cut.
const predicateCut = "https://slipway.dev/cut/v1"

// handVerdict is the predicate of a decision that a person has made: a decision with
// who, when and why.
type handVerdict struct {
	streams.Verdict
	By  string    `json:"by"`
	Why string    `json:"why"`
	At  time.Time `json:"at"`
}

// handDecision is the newest decision about a payload if a person has made it, or nil.
func handDecision(ctx context.Context, w *world, verifier *sign.Verifier, reference string) (*handVerdict, error) {
	found, err := verifier.Evidence(ctx, w.registry, reference, sign.PredicateDecision)
	if err != nil || len(found.Statements) == 0 {
		return nil, err
	}
	var h handVerdict
	if err := json.Unmarshal(found.Statements[0].Predicate, &h); err != nil {
		return nil, fmt.Errorf("reading the decision about %q: %w", reference, err)
	}
	if h.By == "" {
		return nil, nil
	}
	return &h, nil
}

// ownResults are those of checks with pipelines of their own, the newest of each.
func ownResults(ctx context.Context, w *world, verifier *sign.Verifier, reference string) ([]streams.Result, error) {
	found, err := verifier.Evidence(ctx, w.registry, reference, sign.PredicateCheckResult)
	if err != nil {
		return nil, err
	}
	var results []streams.Result
	for _, s := range found.Statements {
		var e controller.CheckEvidence
		if err := json.Unmarshal(s.Predicate, &e); err != nil {
			return nil, fmt.Errorf("reading a check of %q: %w", reference, err)
		}
		if !slices.ContainsFunc(results, func(r streams.Result) bool { return r.Check == e.Check }) {
			results = append(results, e.Result)
		}
	}
	return results, nil
}
