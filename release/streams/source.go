package streams

import (
	"fmt"
	"slices"
	"strings"

	"github.com/blang/semver/v4"

	"github.com/slipway-release/slipway/release"
)

// Selector says which payload an upgrade starts from: previous, previous-1 (the one
// before), previous-patch, previous-minor, "range: RANGE", "channel: NAME" or
// "payload: VERSION" (or its digest).
type Selector string

// Candidates are the payloads to select from.
type Candidates struct {
	// Accepted payloads of all streams.
	Accepted []Release
	// Heads are the newest versions of channels, by the channel's name.
	Heads map[string]Release
	// Given finds payloads that need not be accepted, by version or digest.
	Given map[string]Release
}

// Source selects the payload that an upgrade to a version starts from. ok is false,
// and the text says why, when there is none. Neither the version itself nor anything
// newer than it is ever selected.
func Source(s Selector, to release.Version, c Candidates) (from Release, reason string, ok bool, err error) {
	kind, arg, _ := strings.Cut(string(s), ":")
	arg = strings.TrimSpace(arg)
	v := to.Semver()
	sameStream := func(r Release) bool { return r.Version.Stream() == to.Stream() }
	switch kind {
	case "previous":
		from, ok = nth(c.Accepted, to, 0, sameStream)
	case "previous-1":
		from, ok = nth(c.Accepted, to, 1, sameStream)
	case "previous-patch":
		from, ok = nth(c.Accepted, to, 0, func(r Release) bool {
			o := r.Version.Semver()
			return o.Major == v.Major && o.Minor == v.Minor && o.Patch < v.Patch
		})
	case "previous-minor":
		from, ok = nth(c.Accepted, to, 0, func(r Release) bool {
			o := r.Version.Semver()
			return v.Minor > 0 && o.Major == v.Major && o.Minor == v.Minor-1
		})
	case "range":
		within, err := semver.ParseRange(arg)
		if err != nil {
			return Release{}, "", false, fmt.Errorf("selecting a payload by %q: %w", s, err)
		}
		from, ok = nth(c.Accepted, to, 0, func(r Release) bool { return within(r.Version.Semver()) })
	case "channel":
		from, ok = c.Heads[arg]
		ok = ok && from.Version != to
	case "payload":
		from, ok = c.Given[arg]
		ok = ok && from.Version != to
	default:
		return Release{}, "", false, fmt.Errorf("selecting a payload by %q: there is no such selector", s)
	}
	if !ok {
		return Release{}, fmt.Sprintf("no payload is there to upgrade from by %q", s), false, nil
	}
	return from, "", true, nil
}

// nth returns the n-th newest of the releases that fit and are older than to.
func nth(all []Release, to release.Version, n int, fits func(Release) bool) (Release, bool) {
	var found []Release
	for _, r := range all {
		if r.Version != to && fits(r) && older(r.Version, to) {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(a, b Release) int {
		if a.Version.Stream() == b.Version.Stream() && a.Version.Stream() != "" {
			return compareAge(b.Version, a.Version)
		}
		return b.Version.Compare(a.Version)
	})
	if n >= len(found) {
		return Release{}, false
	}
	return found[n], true
}

// older compares within a stream by date, for its base version may be set back, and
// across streams by version.
func older(a, b release.Version) bool {
	if a.Stream() == b.Stream() && a.Stream() != "" {
		return compareAge(a, b) < 0
	}
	return a.Compare(b) < 0
}
