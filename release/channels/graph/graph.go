// Package graph is what clusters are offered at one time: versions, the edges
// between them and the risks that some edges bear, for every channel and
// architecture of a distribution.
//
// The JSON forms are those of the update service's protocol, version 1:
// https://github.com/openshift/cincinnati/blob/master/docs/design/openshift.md
package graph

import "time"

// Graph is an update graph. Its nodes have different versions; an edge is in Edges or
// in one group of ConditionalEdges, never in both.
type Graph struct {
	Nodes []Node `json:"nodes"`
	// Edges are pairs of places in Nodes, from and to.
	Edges            [][2]int           `json:"edges"`
	ConditionalEdges []ConditionalEdges `json:"conditionalEdges"`
}

// Node is one release.
type Node struct {
	// Version is semver, without an architecture.
	Version string `json:"version"`
	// Payload is the pull spec, by digest.
	Payload  string            `json:"payload"`
	Metadata map[string]string `json:"metadata"`
	// Channels are the names of the channels the release is in, in the order that
	// clients are shown them, which is that of their metadata.
	Channels []string `json:"-"`
}

// ConditionalEdges are edges that bear the same risks.
type ConditionalEdges struct {
	Edges []Edge `json:"edges"`
	Risks []Risk `json:"risks"`
}

// Edge is an upgrade from one version to another.
type Edge struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Risk is a reason not to take an edge, for clusters that a rule matches.
type Risk struct {
	URL           string         `json:"url"`
	Name          string         `json:"name"`
	Message       string         `json:"message"`
	MatchingRules []MatchingRule `json:"matchingRules"`
}

// MatchingRule says which clusters a risk concerns: "Always" all of them, "PromQL"
// those where the query gives 1.
type MatchingRule struct {
	Type   string  `json:"type"`
	PromQL *PromQL `json:"promql,omitempty"`
}

// PromQL is a query that gives exactly one sample, 0 or 1.
type PromQL struct {
	PromQL string `json:"promql"`
}

// Snapshot is everything that is offered at one time. It does not change after it
// was made, so that any number of requests may read it.
type Snapshot struct {
	// ID is the SHA-256 of the content as sha256:HEX; the same inputs give the same
	// one on every machine.
	ID string
	// Graphs holds the graph of each architecture, by its name in Go or "multi".
	Graphs map[string]*Graph
	// Rollouts are the releases that open to clusters little by little.
	Rollouts []Rollout
	// Quarantined are releases left out because they contradict others.
	Quarantined []Quarantined
	// Blocked are edges that are declared and never offered.
	Blocked []Blocked
	// Tried are the upgrades that were tried, where Needed, which is more than one, are how
	// many trials must have passed. Clusters are not told; see Trials.
	Tried  []Tried
	Needed int
}

// Rollout opens the edges to a version to a growing share of clusters: none before
// Start, all from Start plus Duration on, and as many as at Halted for good once it
// was halted.
type Rollout struct {
	// Channel is the one it concerns; "" means all.
	Channel  string
	Version  string
	Start    time.Time
	Duration time.Duration
	// Halted is when it was stopped; zero when it goes on.
	Halted time.Time
}

// Quarantined is a release that is not offered, and why.
type Quarantined struct {
	Arch, Version, Payload, Reason string
}

// Blocked is an edge that is not offered to anybody, and why.
type Blocked struct {
	Arch string `json:"arch"`
	Edge
	Reason string `json:"reason"`
}
