package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/slipway-release/slipway/release/inspect/compare"
	"github.com/slipway-release/slipway/release/sign"
)

// billOfMaterials returns what a payload's images are said to consist of: by a
// statement that a trusted key signed, or else by one that nobody vouches for. It is nil
// when there is none.
func (a *app) billOfMaterials(ctx context.Context, s subject) (*compare.SBOM, error) {
	verifier, err := a.verifierIfAny()
	if err != nil {
		return nil, err
	}
	if verifier != nil {
		found, err := verifier.Evidence(ctx, s.source, s.Reference, sign.PredicateSBOM)
		if err != nil {
			return nil, fmt.Errorf("reading the bill of materials of payload %q: %w", s.Named, err)
		}
		if len(found.Statements) > 0 {
			newest := found.Statements[0]
			return &compare.SBOM{Document: newest.Predicate, Trust: "signed by key " + newest.Key}, nil
		}
	}
	return compare.UnverifiedSBOM(ctx, s.source, s.Reference, sign.PredicateSBOM)
}

// verifierIfAny is nil when this host has no keys to verify with; none are made.
func (a *app) verifierIfAny() (*sign.Verifier, error) {
	if a.getenv("SLIPWAY_VERIFY_KEYS") == "" {
		dir, err := a.statePath()
		if err != nil {
			return nil, err
		}
		if _, err := os.Stat(filepath.Join(dir, "keys", "cosign.pub")); errors.Is(err, os.ErrNotExist) {
			return nil, nil
		}
	}
	st, err := a.state()
	if err != nil {
		return nil, err
	}
	return a.verifier(st)
}
