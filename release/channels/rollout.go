package channels

import (
	"fmt"
	"slices"
	"time"

	"github.com/slipway-release/slipway/release"
)

// OpenOver has a version that the channel holds open to a growing share of clusters, from
// start on and over a duration; over nothing, it is open to all. What was halted goes on
// from the beginning.
func (s *State) OpenOver(v release.Version, start time.Time, over time.Duration) ([]string, error) {
	if _, ok := s.Find(v); !ok {
		return nil, fmt.Errorf("it does not hold version %q", v)
	}
	at := s.rollout(v)
	if over <= 0 {
		if at < 0 {
			return nil, nil
		}
		s.Rollouts = slices.Delete(s.Rollouts, at, at+1)
		return []string{fmt.Sprintf("version %s is open to all clusters", v)}, nil
	}
	r := Rollout{Version: v, Start: start.UTC().Truncate(time.Second), Duration: over.String()}
	switch {
	case at < 0:
		s.Rollouts = append(s.Rollouts, r)
	case s.Rollouts[at] == r:
		return nil, nil
	default:
		s.Rollouts[at] = r
	}
	return []string{fmt.Sprintf("version %s opens to all clusters from %s to %s", v, r.Start.Format(time.RFC3339), r.Start.Add(over).Format(time.RFC3339))}, nil
}

// Halt keeps a version from opening to more clusters than at a time; those that it is
// open to keep it.
func (s *State) Halt(v release.Version, now time.Time) ([]string, error) {
	at := s.rollout(v)
	if at < 0 {
		return nil, fmt.Errorf("version %q is not being rolled out: it is open to all clusters or not in the channel", v)
	}
	if s.Rollouts[at].Halted != nil {
		return nil, nil
	}
	now = now.UTC().Truncate(time.Second)
	s.Rollouts[at].Halted = &now
	return []string{fmt.Sprintf("the rollout of version %s is halted", v)}, nil
}

// Resume lets a version that was halted open to more clusters, from the share on at which
// it stopped.
func (s *State) Resume(v release.Version, now time.Time) ([]string, error) {
	at := s.rollout(v)
	if at < 0 {
		return nil, fmt.Errorf("version %q is not being rolled out: it is open to all clusters or not in the channel", v)
	}
	r := &s.Rollouts[at]
	if r.Halted == nil {
		return nil, nil
	}
	if r.Halted.After(r.Start) {
		r.Start = r.Start.Add(now.UTC().Truncate(time.Second).Sub(*r.Halted))
	}
	r.Halted = nil
	return []string{fmt.Sprintf("the rollout of version %s goes on", v)}, nil
}

func (s *State) rollout(v release.Version) int {
	return slices.IndexFunc(s.Rollouts, func(r Rollout) bool { return r.Version == v })
}
