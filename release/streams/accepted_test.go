package streams_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/streams"
)

// memory is a registry and its evidence: tag → verdict.
type memory struct {
	verdicts map[string]streams.Outcome
	asked    []string
	broken   string // a tag whose evidence cannot be read
}

var (
	_ streams.Registry  = (*memory)(nil)
	_ streams.Decisions = (*memory)(nil)
)

func digestOf(tag string) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%064x", tag)[:64]}
}

func (m *memory) Tags(context.Context, string) ([]string, error) {
	tags := []string{"latest", "sha256-" + strings.Repeat("a", 64), "cache-12ab"}
	for tag := range m.verdicts {
		tags = append(tags, tag)
	}
	return tags, nil
}

func (m *memory) Resolve(_ context.Context, ref string) (v1.Hash, error) {
	return digestOf(strings.TrimPrefix(ref, "registry.example/release:")), nil
}

func (m *memory) Decision(_ context.Context, ref string) (streams.Outcome, error) {
	for tag, verdict := range m.verdicts {
		if ref == "registry.example/release@"+digestOf(tag).String() {
			m.asked = append(m.asked, tag)
			if tag == m.broken {
				return "", errors.New("signature does not match")
			}
			return verdict, nil
		}
	}
	return "", fmt.Errorf("asked for %s", ref)
}

func TestAccepted(t *testing.T) {
	m := &memory{verdicts: map[string]streams.Outcome{
		"1.36.4-0.nightly-2026-11-17-101500": streams.Accepted,
		"1.36.3-0.nightly-2026-11-18-101500": streams.Accepted, // newer, though its base is older
		"1.36.4-0.nightly-2026-11-19-101500": streams.Rejected,
		"1.36.4-0.nightly-2026-11-20-101500": streams.Undecided,
		"1.36.4-0.nightly-2026-11-21-101500": "",
		"1.36.4-0.weekly-2026-11-22-101500":  streams.Accepted,
		"1.36.4":                             streams.Accepted,
	}}
	h := streams.History{Registry: m, Decisions: m, Repository: "registry.example/release"}
	last, ok, err := h.LastAccepted(t.Context(), "nightly", release.Version{})
	if err != nil || !ok || last.Version.String() != "1.36.3-0.nightly-2026-11-18-101500" || last.Reference != "registry.example/release@"+last.Digest.String() {
		t.Errorf("got %+v, %v, %v", last, ok, err)
	}
	if len(m.asked) != 4 {
		t.Errorf("older releases than needed were asked about: %v", m.asked)
	}
	before, ok, err := h.LastAccepted(t.Context(), "nightly", last.Version)
	if err != nil || !ok || before.Version.String() != "1.36.4-0.nightly-2026-11-17-101500" {
		t.Errorf("got %+v, %v, %v", before, ok, err)
	}
	all, err := h.Accepted(t.Context(), "nightly", 0, nil)
	if err != nil || len(all) != 2 {
		t.Errorf("got %v, %v", all, err)
	}
	if _, ok, err := h.LastAccepted(t.Context(), "stable", release.Version{}); ok || err != nil {
		t.Errorf("an empty stream has an accepted release: %v", err)
	}
	h.Stable = "stable"
	if stable, ok, err := h.LastAccepted(t.Context(), "stable", release.Version{}); !ok || err != nil || stable.Version.String() != "1.36.4" {
		t.Errorf("of the stream of plain versions: %+v, %v, %v", stable, ok, err)
	}
	if all, err := h.Accepted(t.Context(), "nightly", 0, nil); err != nil || len(all) != 2 {
		t.Errorf("got %v, %v", all, err)
	}
	m.broken = "1.36.4-0.nightly-2026-11-20-101500"
	if _, _, err := h.LastAccepted(t.Context(), "nightly", release.Version{}); err == nil || !strings.Contains(err.Error(), m.broken) {
		t.Errorf("evidence that cannot be read was passed over: %v", err)
	}
}
