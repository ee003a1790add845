package channels

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/slipway-release/slipway/release"
)

// Removed is a version that a channel held, and how it left.
type Removed struct {
	Version
	Removed time.Time `json:"removed"` // whole seconds
	By      string    `json:"by"`
	Why     string    `json:"why"`
}

// NewRemoval says what it changes in a channel as it was read that a version leaves it.
// Edges stay, for they are known of the version wherever it is; its rollout ends. A
// version that left already changes nothing; one that the channel never held is an error.
func NewRemoval(channel Stored, v release.Version, by, why string, now time.Time) (Plan, error) {
	plan := Plan{Channel: channel.State.Name, Read: channel.Digest, After: channel.State.sorted()}
	fail := func(err error) (Plan, error) {
		return Plan{}, fmt.Errorf("removing version %q from channel %q: %w", v, plan.Channel, err)
	}
	have, ok := plan.After.Find(v)
	if !ok {
		if slices.ContainsFunc(plan.After.Removed, func(r Removed) bool { return r.Version.Version == v }) {
			return plan, nil
		}
		return fail(errors.New("the channel does not hold it"))
	}
	now = now.UTC().Truncate(time.Second)
	if now.Before(have.Added) { // by another clock
		now = have.Added
	}
	s := &plan.After
	s.Versions = slices.DeleteFunc(s.Versions, func(held Version) bool { return held.Version == v })
	s.Rollouts = slices.DeleteFunc(s.Rollouts, func(r Rollout) bool { return r.Version == v })
	s.Removed = append(s.Removed, Removed{Version: have, Removed: now, By: by, Why: why})
	s.Updated = now
	plan.Changes = []string{fmt.Sprintf("version %s is removed", v)}
	plan.After = s.sorted()
	if err := plan.After.validate(); err != nil {
		return fail(err)
	}
	return plan, nil
}

// back is when a version that left may be there again: now, and not before it left, by
// whatever clock that was.
func (s State) back(v release.Version, now time.Time) time.Time {
	for _, r := range s.Removed {
		if r.Version.Version == v && now.Before(r.Removed) {
			now = r.Removed
		}
	}
	return now
}

// checkRemoved finds what is wrong with the versions that left; the state is sorted.
func (s State) checkRemoved() (problems []error) {
	for i, r := range s.Removed {
		v := r.Version.Version
		if v.IsZero() {
			problems = append(problems, errors.New("a version that was removed has no name"))
			continue
		}
		problems = append(problems, checkPullSpec(r.Version)...)
		if r.Removed.Before(r.Added) {
			problems = append(problems, fmt.Errorf("version %q was removed before it was added", v))
		}
		next, ok := s.Find(v)
		if i+1 < len(s.Removed) && s.Removed[i+1].Version.Version == v {
			next, ok = s.Removed[i+1].Version, true
		}
		if !ok {
			continue
		}
		if next.PullSpec != r.PullSpec {
			problems = append(problems, fmt.Errorf("version %q is %s and was %s until it was removed, but a version names one payload for ever", v, next.PullSpec, r.PullSpec))
		}
		if next.Added.Before(r.Removed) {
			problems = append(problems, fmt.Errorf("version %q was there again before it was removed", v))
		}
	}
	return problems
}
