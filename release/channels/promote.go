package channels

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/release"
)

// ErrChanged says that somebody else changed a channel between plan and execution.
var ErrChanged = errors.New("the channel was changed by somebody else meanwhile")

// attempts is how often Promote plans anew when others change the channel.
const attempts = 5

// Addition is what a promotion brings into a channel.
type Addition struct {
	Version release.Version
	// PullSpec names the payload by digest.
	PullSpec string
	Metadata map[string]string
	// Architectures are those of the payload; none is that of the distribution.
	Architectures []string
	// Edges lead to Version, and were tried.
	Edges []Source
	// Previous are versions that the payload says may upgrade to it, tried or not.
	Previous []release.Version
	// Rollout opens a version that the channel does not hold yet little by little; its own
	// Version is not looked at. Nil opens it at once.
	Rollout *Rollout
}

// Source is a release whose upgrade to the one promoted was tried.
type Source struct {
	From     release.Version
	Evidence string // digest of the attestation that proves it
	// More are those of other trials that passed.
	More []string
	// Failed says that the trial was no success.
	Failed bool
}

// Plan is a promotion thought through and not yet done.
type Plan struct {
	Channel string
	// Read is the digest of the channel that the plan is for; zero when there is none yet.
	Read v1.Hash
	// Changes tells people what is added; none when the channel holds it all already.
	Changes []string
	After   State
}

// Empty reports whether there is nothing to do.
func (p Plan) Empty() bool { return len(p.Changes) == 0 }

// NewPlan says what a promotion changes in a channel as it was read. A version
// that the channel holds under another digest is an error, for a version names one payload for ever.
func NewPlan(channel Stored, add Addition, now time.Time) (Plan, error) {
	plan := Plan{Channel: channel.State.Name, Read: channel.Digest, After: channel.State.sorted()}
	have, ok := channel.State.Find(add.Version)
	switch {
	case ok && have.PullSpec != add.PullSpec:
		return Plan{}, fmt.Errorf("promoting %q into channel %q: the channel holds this version as %s, not as %s",
			add.Version, plan.Channel, have.PullSpec, add.PullSpec)
	case ok:
		plan.describe(have, add)
	default:
		plan.After.Versions = append(plan.After.Versions, Version{
			Version: add.Version, PullSpec: add.PullSpec, Added: channel.State.back(add.Version, now.UTC().Truncate(time.Second)), Metadata: add.Metadata,
			Architectures: add.Architectures, Previous: release.SortVersions(add.Previous),
		})
		plan.Changes = append(plan.Changes, fmt.Sprintf("version %s", add.Version))
		plan.addRollout(add)
	}
	for _, source := range add.Edges {
		plan.addEdge(Edge{From: source.From, To: add.Version, Evidence: source.Evidence, More: source.More, Failed: source.Failed, Added: now.UTC().Truncate(time.Second)})
	}
	if !plan.Empty() {
		plan.After.Updated = now.UTC().Truncate(time.Second)
	}
	plan.After = plan.After.sorted()
	if err := plan.After.validate(); err != nil {
		return Plan{}, fmt.Errorf("promoting %q into channel %q: %w", add.Version, plan.Channel, err)
	}
	return plan, nil
}

// describe updates what a channel says about a version that it holds.
func (p *Plan) describe(have Version, add Addition) {
	previous := release.SortVersions(add.Previous)
	for i := range p.After.Versions {
		v := &p.After.Versions[i]
		if v.Version != add.Version {
			continue
		}
		if len(add.Metadata) > 0 && !maps.Equal(have.Metadata, add.Metadata) {
			v.Metadata = add.Metadata
			p.Changes = append(p.Changes, fmt.Sprintf("metadata of %s", add.Version))
		}
		if len(previous) > 0 && !slices.Equal(have.Previous, previous) {
			v.Previous = previous
			p.Changes = append(p.Changes, fmt.Sprintf("declared sources of %s", add.Version))
		}
	}
}

func (p *Plan) addRollout(add Addition) {
	if add.Rollout == nil {
		return
	}
	rollout := *add.Rollout
	rollout.Version = add.Version
	p.After.Rollouts = slices.DeleteFunc(slices.Clone(p.After.Rollouts), func(r Rollout) bool { return r.Version == add.Version })
	p.After.Rollouts = append(p.After.Rollouts, rollout)
	slices.SortFunc(p.After.Rollouts, func(a, b Rollout) int { return a.Version.Compare(b.Version) })
	p.Changes = append(p.Changes, fmt.Sprintf("rollout of %s over %s", add.Version, rollout.Duration))
}

// addEdge keeps the evidence an edge came with, for a run that is repeated must not change
// the channel. It is replaced only by more trials that passed: what failed by one that
// succeeded, and where several are demanded one by two.
func (p *Plan) addEdge(e Edge) {
	change := fmt.Sprintf("edge %s → %s", e.From, e.To)
	if e.Failed {
		change += ", blocked because its test failed"
	}
	for i, have := range p.After.Edges {
		if have.From != e.From || have.To != e.To {
			continue
		}
		if e.Passes() > have.Passes() {
			if !have.Failed {
				e.Added = have.Added
				change += fmt.Sprintf(", which passed %d times", e.Passes())
			}
			p.After.Edges[i] = e
			p.Changes = append(p.Changes, change)
		}
		return
	}
	p.After.Edges = append(p.After.Edges, e)
	p.Changes = append(p.Changes, change)
}

// Execute writes what is planned, if the channel still is what the plan was made
// for; otherwise the error wraps ErrChanged. An empty plan writes nothing.
func (s Store) Execute(ctx context.Context, plan Plan) error {
	if plan.Empty() {
		return nil
	}
	if err := s.write(ctx, plan); err != nil {
		return fmt.Errorf("writing channel %q: %w", plan.Channel, err)
	}
	return nil
}

// Promote adds a release to a channel. What the channel holds already is not
// added again, so that a run that was broken off can be repeated. The plan that was executed is returned.
func (s Store) Promote(ctx context.Context, channel string, add Addition, now time.Time) (Plan, error) {
	var err error
	for range attempts {
		var stored Stored
		var plan Plan
		// What was broken off comes first, for it could not be finished after a change.
		if err = s.Recover(ctx); errors.Is(err, ErrChanged) {
			continue
		}
		if err != nil {
			return Plan{}, err
		}
		if stored, err = s.Read(ctx, channel); err != nil {
			return Plan{}, err
		}
		if plan, err = NewPlan(stored, add, now); err != nil {
			return Plan{}, err
		}
		if err = s.Execute(ctx, plan); err == nil {
			return plan, nil
		}
		if !errors.Is(err, ErrChanged) {
			return Plan{}, err
		}
	}
	return Plan{}, fmt.Errorf("promoting %q: %w", add.Version, err)
}

// Change edits a channel that there is, and tells what was changed. edit is called anew
// when somebody else changes the channel meanwhile; it gets a copy and returns what people
// are told, nothing when there is nothing to do.
func (s Store) Change(ctx context.Context, channel string, now time.Time, edit func(*State) ([]string, error)) (Plan, error) {
	var err error
	for range attempts {
		// What was broken off comes first, for it could not be finished after a change.
		if err = s.Recover(ctx); errors.Is(err, ErrChanged) {
			continue
		}
		if err != nil {
			return Plan{}, err
		}
		plan, failed := s.planChange(ctx, channel, now, edit)
		if failed != nil {
			return Plan{}, failed
		}
		if err = s.Execute(ctx, plan); err == nil {
			return plan, nil
		}
		if !errors.Is(err, ErrChanged) {
			return Plan{}, err
		}
	}
	return Plan{}, fmt.Errorf("changing channel %q: %w", channel, err)
}

func (s Store) planChange(ctx context.Context, channel string, now time.Time, edit func(*State) ([]string, error)) (Plan, error) {
	stored, err := s.Read(ctx, channel)
	if err != nil {
		return Plan{}, err
	}
	plan := Plan{Channel: channel, Read: stored.Digest, After: stored.State.sorted()}
	if plan.Changes, err = edit(&plan.After); err != nil {
		return Plan{}, fmt.Errorf("changing channel %q: %w", channel, err)
	}
	if !plan.Empty() {
		plan.After.Updated = now.UTC().Truncate(time.Second)
	}
	if err := plan.After.validate(); err != nil {
		return Plan{}, fmt.Errorf("changing channel %q: %w", channel, err)
	}
	return plan, nil
}
