package channels

import (
	"errors"
	"fmt"
	"time"

	"github.com/slipway-release/slipway/release"
)

// ChangeSet is what happens to several channels at once because of one release.
type ChangeSet struct {
	Version release.Version
	// Plans are of different channels, and none is empty.
	Plans []Plan
}

// Empty reports whether there is nothing to do.
func (c ChangeSet) Empty() bool { return len(c.Plans) == 0 }

// Move takes a release from a channel that holds it into another.
type Move struct {
	Feeder, Channel string
	// Rollout opens it in the channel little by little; nil opens it at once.
	Rollout *Rollout
}

// NewChangeSet says what moving a release changes in channels as they were read. What one
// move brings into a channel a later one may take further. The release goes along as the
// feeder has it, with the edges that lead to it. Channels that hold it already stay as
// they are; all that cannot be moved is reported.
func NewChangeSet(read []Stored, version release.Version, moves []Move, now time.Time) (ChangeSet, error) {
	set := ChangeSet{Version: version}
	states := map[string]State{} // as the moves so far leave them
	stored := map[string]Stored{}
	for _, s := range read {
		states[s.State.Name], stored[s.State.Name] = s.State, s
	}
	var problems []error
	done := map[string]bool{}
	for _, m := range moves {
		plan, err := m.plan(states, stored, version, now)
		switch {
		case err != nil:
			problems = append(problems, fmt.Errorf("moving release %q from channel %q to %q: %w", version, m.Feeder, m.Channel, err))
			continue
		case done[m.Channel]:
			problems = append(problems, fmt.Errorf("moving release %q: channel %q is to get it twice", version, m.Channel))
			continue
		}
		done[m.Channel] = true
		states[m.Channel] = plan.After
		if !plan.Empty() {
			set.Plans = append(set.Plans, plan)
		}
	}
	if err := errors.Join(problems...); err != nil {
		return ChangeSet{}, err
	}
	return set, nil
}

func (m Move) plan(states map[string]State, stored map[string]Stored, version release.Version, now time.Time) (Plan, error) {
	for _, name := range []string{m.Feeder, m.Channel} {
		if _, ok := states[name]; !ok {
			return Plan{}, fmt.Errorf("channel %q was not read", name)
		}
	}
	v, ok := states[m.Feeder].Find(version)
	if !ok {
		return Plan{}, fmt.Errorf("channel %q does not hold it", m.Feeder)
	}
	if have, ok := stored[m.Channel].State.Find(version); ok && have.PullSpec == v.PullSpec {
		return Plan{Channel: m.Channel, Read: stored[m.Channel].Digest, After: stored[m.Channel].State}, nil
	}
	add := Addition{Version: version, PullSpec: v.PullSpec, Metadata: v.Metadata, Architectures: v.Architectures, Previous: v.Previous, Rollout: m.Rollout}
	for _, e := range states[m.Feeder].Edges {
		if e.To == version {
			add.Edges = append(add.Edges, Source{From: e.From, Evidence: e.Evidence, More: e.More, Failed: e.Failed})
		}
	}
	return NewPlan(stored[m.Channel], add, now)
}
