package channels

import (
	"time"

	"github.com/slipway-release/slipway/release"
)

// At is what a channel held at a time: the versions and edges that were there. An edge of
// which nobody noted when it was added counts from when both its ends were there; an end
// that the channel never held is not waited for, as such an edge is not offered anyhow.
// A rollout that was halted later had not been halted yet. What was removed later is there.
//
// What was changed in place is not undone: metadata, whether an edge's trial failed, how many passed, and
// the rollout of what was removed.
func (s State) At(t time.Time) State {
	then := State{Name: s.Name, Versions: []Version{}, Edges: []Edge{}}
	note := func(changed time.Time) {
		if changed.After(then.Updated) {
			then.Updated = changed
		}
	}
	for _, v := range s.Versions {
		if !v.Added.After(t) {
			then.Versions = append(then.Versions, v)
			note(v.Added)
		}
	}
	for _, r := range s.Removed {
		switch {
		case r.Added.After(t):
			continue
		case r.Removed.After(t):
			then.Versions = append(then.Versions, r.Version)
		default:
			then.Removed = append(then.Removed, r)
			note(r.Removed)
		}
		note(r.Added)
	}
	for _, e := range s.Edges {
		if added := s.added(e); !added.After(t) {
			then.Edges = append(then.Edges, e)
			note(added)
		}
	}
	for _, r := range s.Rollouts {
		if _, ok := then.Find(r.Version); !ok {
			continue
		}
		if r.Halted != nil && r.Halted.After(t) {
			r.Halted = nil
		}
		then.Rollouts = append(then.Rollouts, r)
	}
	return then.sorted()
}

// added is when an edge was there, as far as anybody knows.
func (s State) added(e Edge) time.Time {
	if !e.Added.IsZero() {
		return e.Added
	}
	from, to := s.first(e.From), s.first(e.To)
	if from.After(to) {
		return from
	}
	return to
}

// first is when the channel held a version for the first time; zero when it never did.
func (s State) first(v release.Version) time.Time {
	have, _ := s.Find(v)
	first := have.Added
	for _, r := range s.Removed {
		if r.Version.Version == v && (first.IsZero() || r.Added.Before(first)) {
			first = r.Added
		}
	}
	return first
}
