package streams

import (
	"context"
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/release"
)

// Registry lists the payloads of a repository.
type Registry interface {
	Tags(ctx context.Context, repository string) ([]string, error)
	Resolve(ctx context.Context, reference string) (v1.Hash, error)
}

// Decisions answers what was decided about a payload, given by digest, from
// evidence whose signature it has verified. Without any it answers "" and no error.
type Decisions interface {
	Decision(ctx context.Context, reference string) (Outcome, error)
}

// Release is a payload of a stream.
type Release struct {
	Version   release.Version
	Digest    v1.Hash
	Reference string // canonical, by digest
}

// History reads what a stream has released from the registry, which is the only
// place that knows: tags name versions, evidence beside a digest tells what was decided.
type History struct {
	Registry  Registry
	Decisions Decisions
	// Repository holds the payloads, e.g. registry.slipway.internal/skiff/release.
	Repository string
	// Stable is the stream that holds the versions whose names tell none; "" when no
	// stream does.
	Stable string
}

// Versions returns the versions of a stream, newest first. Tags that are no
// versions, or those of other streams, are left out.
func (h History) Versions(ctx context.Context, stream string) ([]release.Version, error) {
	tags, err := h.Registry.Tags(ctx, h.Repository)
	if err != nil {
		return nil, fmt.Errorf("listing releases of stream %q: %w", stream, err)
	}
	var versions []release.Version
	for _, tag := range tags {
		if v, err := release.Parse(tag); err == nil && h.streamOf(v) == stream {
			versions = append(versions, v)
		}
	}
	slices.SortFunc(versions, func(a, b release.Version) int { return compareAge(b, a) })
	return versions, nil
}

func (h History) streamOf(v release.Version) string {
	if s := v.Stream(); s != "" {
		return s
	}
	return h.Stable
}

// Older says whether a is older than b: by date within a stream, whose base version may be
// set back, and else by version.
func Older(a, b release.Version) bool { return older(a, b) }

// compareAge orders by date; a stream goes on when its base version changes.
func compareAge(a, b release.Version) int {
	ta, _ := a.Time()
	tb, _ := b.Time()
	if c := ta.Compare(tb); c != 0 {
		return c
	}
	return a.Compare(b)
}

// Accepted returns up to limit accepted payloads of a stream, newest first; all
// of them when limit is 0. Those for which skip is true are passed over; skip may be nil.
func (h History) Accepted(ctx context.Context, stream string, limit int, skip func(release.Version) bool) ([]Release, error) {
	versions, err := h.Versions(ctx, stream)
	if err != nil {
		return nil, err
	}
	var accepted []Release
	for _, v := range versions {
		if limit > 0 && len(accepted) == limit {
			break
		}
		if skip != nil && skip(v) {
			continue
		}
		digest, err := h.Registry.Resolve(ctx, h.Repository+":"+v.Tag())
		if err != nil {
			return nil, fmt.Errorf("reading release %q: %w", v, err)
		}
		r := Release{Version: v, Digest: digest, Reference: h.Repository + "@" + digest.String()}
		decision, err := h.Decisions.Decision(ctx, r.Reference)
		if err != nil {
			return nil, fmt.Errorf("reading what was decided about release %q: %w", v, err)
		}
		if decision == Accepted {
			accepted = append(accepted, r)
		}
	}
	return accepted, nil
}

// LastAccepted returns the newest accepted payload of a stream other than except,
// which is the one being cut and may be zero. ok is false when there is none.
func (h History) LastAccepted(ctx context.Context, stream string, except release.Version) (last Release, ok bool, err error) {
	accepted, err := h.Accepted(ctx, stream, 1, func(v release.Version) bool { return v == except })
	if err != nil || len(accepted) == 0 {
		return Release{}, false, err
	}
	return accepted[0], true, nil
}
