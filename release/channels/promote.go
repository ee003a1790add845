package channels

import (
	"context"
	"errors"
	"fmt"
	"maps"
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
	// Edges lead to Version.
	Edges []Source
}

// Source is a release that may upgrade to the one promoted.
type Source struct {
	From     release.Version
	Evidence string // digest of the attestation that proves it
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
	case ok && len(add.Metadata) > 0 && !maps.Equal(have.Metadata, add.Metadata):
		for i := range plan.After.Versions {
			if plan.After.Versions[i].Version == add.Version {
				plan.After.Versions[i].Metadata = add.Metadata
			}
		}
		plan.Changes = append(plan.Changes, fmt.Sprintf("metadata of %s", add.Version))
	case !ok:
		plan.After.Versions = append(plan.After.Versions, Version{
			Version: add.Version, PullSpec: add.PullSpec, Added: now.UTC().Truncate(time.Second), Metadata: add.Metadata,
		})
		plan.Changes = append(plan.Changes, fmt.Sprintf("version %s", add.Version))
	}
	for _, source := range add.Edges {
		plan.addEdge(Edge{From: source.From, To: add.Version, Evidence: source.Evidence})
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

// addEdge keeps the evidence an edge came with: one proof is enough, and a run
// that is repeated must not change the channel.
func (p *Plan) addEdge(e Edge) {
	for _, have := range p.After.Edges {
		if have.From == e.From && have.To == e.To {
			return
		}
	}
	p.After.Edges = append(p.After.Edges, e)
	p.Changes = append(p.Changes, fmt.Sprintf("edge %s → %s", e.From, e.To))
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
