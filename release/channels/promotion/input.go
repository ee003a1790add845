package promotion

import (
	"time"

	"github.com/slipway-release/slipway/release/channels/graph"
)

// Input is all that a plan depends on. The order of its lists means nothing.
//
// Versions are semver. Those of channels may have an architecture behind them,
// VERSION+ARCH, which then is a release of its own that only this architecture gets.
type Input struct {
	Channels []Channel
	// Graph is what is offered now over all channels. Its edges are the ways between
	// versions, those that bear risks too. Nil is one without releases.
	Graph *graph.Graph
	// Risks are those declared. Several may have one name, each for other versions.
	Risks []Risk
	// Evidence is what is known about releases, by VERSION+ARCH or VERSION.
	Evidence map[string]Evidence
	Policy   Policy
	// Now is the time that the plan is made for.
	Now time.Time
	// Removals are versions that are to leave channels.
	Removals []Removal
	// Only restricts the plan to some releases; none means all.
	Only []string
}

// Channel is a set of versions, and where it gets more from.
type Channel struct {
	// Name ends in a minor version where the channel has one: that of stable-4.17 is
	// 4.17, and candidate has none.
	Name string
	// Feeder is nil where releases are added by hand alone.
	Feeder *Feeder
	// Tombstones are versions that stay in the channel and go no further.
	Tombstones []string
	Members    []Member
	// RequireEvidence and FreshFor are what this channel asks for beyond the policy.
	RequireEvidence []string
	FreshFor        time.Duration
}

// Feeder is the channel that releases come from, and what opens the way.
//
// A release is let in once it was in the feeder for Delay, or was approved, whichever
// comes first. With neither it is let in at once; with approvals and no delay they
// alone open.
type Feeder struct {
	// Name is that of the channel.
	Name  string
	Delay time.Duration
	// Approvals is how many people must approve a release; 0 means that approving it
	// opens nothing.
	Approvals int
	// Filter is a regular expression that all of a version must match, with its
	// architecture; "" chooses every version.
	Filter string
	// Range is one of semver, e.g. ">=1.36.0 <1.37.0", to be given instead of Filter.
	Range string
}

// Member is a version in a channel.
type Member struct {
	Version string
	// Since is when it was added; zero when nobody knows.
	Since time.Time
	// Digest is the payload that the channel has under this version; "" when unknown.
	Digest string
}

// Removal is a version that leaves a channel. Clusters on it are offered nothing there
// any more; a tombstone, which lets it stay, is nearly always better.
type Removal struct {
	Channel string `json:"channel"`
	Version string `json:"version"`
}

// Risk is a reason not to upgrade, which the edges to some versions bear.
type Risk struct {
	Name string
	// To are the versions, VERSION or VERSION+ARCH, which is the same here.
	To []string
	// FixedIn is the first version that needs not bear it; "" when it is not fixed.
	FixedIn string
}

// Evidence is what is known about a release. Signatures were verified before.
type Evidence struct {
	// Passed are the checks that it passed.
	Passed []string
	// Newest is when the newest of the evidence was made.
	Newest    time.Time
	Approvals []Approval
	// Digests are the payloads that evidence was found for under this version. More
	// than one is a contradiction.
	Digests []string
}

// Approval is somebody's consent that one payload enters one channel.
type Approval struct {
	By      string    `json:"by"`
	When    time.Time `json:"when"`
	Channel string    `json:"channel"`
	// Digest must be that of the release's payload, and "" where none is known.
	Digest string `json:"digest,omitempty"`
}

// Policy is what a distribution asks of the releases it promotes.
type Policy struct {
	// RequireEvidence are the checks that a release must have passed.
	RequireEvidence []string
	// FreshFor is how old the newest evidence may be; 0 means any age.
	FreshFor time.Duration
	// Rollouts is over how long a channel opens what is added to it, by its name; one that
	// is missing opens it to all clusters at once.
	Rollouts map[string]time.Duration
}
