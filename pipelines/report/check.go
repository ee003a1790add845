package report

import (
	"time"

	"github.com/slipway-release/slipway/release/lint"
)

// Check is what is known of a change before it is merged: the part of the report of
// `slipway upgrade-check` that other runs do not have.
type Check struct {
	// Base is the release that the change was laid over.
	Base    Payload  `json:"base"`
	Changes []Change `json:"changes"`
	Static  Static   `json:"static"`
	// Ways are the upgrades that were measured, in their order: into the change, and
	// out of it. Report.Upgrade is the one of them that tells most.
	Ways   []Way  `json:"ways,omitempty"`
	Losses []Loss `json:"losses,omitempty"` // the gravest first
	// Suspects are what is most likely responsible, the likeliest first.
	Suspects []Suspect `json:"suspects,omitempty"`
	// Command does the same again.
	Command string `json:"command"`
}

// Change is a component that the change replaces, adds or removes.
type Change struct {
	Component string `json:"component"`
	// Source is where it comes from, as it was named, or why it is among the changes.
	Source string `json:"source"`
	// Origin is what the source was at that time: a commit, or an image by digest.
	Origin string `json:"origin,omitempty"`
	Image  string `json:"image,omitempty"` // pull spec by digest, once it is there
}

// Static is what needed no cluster.
type Static struct {
	Seconds float64 `json:"seconds"`
	// Findings are those that the base does not have; Existing counts those it has too.
	Findings []Finding `json:"findings"`
	Existing int       `json:"existing"`
}

// Finding is what a rule says about the change.
type Finding struct {
	lint.Finding
	Component string `json:"component,omitempty"` // whose manifest it is about
}

// Way is one measured upgrade.
type Way struct {
	Name   string `json:"name"`   // into or out of
	Status string `json:"status"` // Passed, Failed or Inconclusive
	Detail string `json:"detail,omitempty"`
	// Folder in the run's folder holds samples, result and time line.
	Folder  string  `json:"folder"`
	Seconds float64 `json:"seconds"`
	// AtLeastMs and AtMostMs bound the time during which some backend did not answer.
	AtLeastMs float64 `json:"atLeastMs"`
	AtMostMs  float64 `json:"atMostMs"`
}

// Loss is what one backend lost on one way, or what a rule saw of the cluster there.
type Loss struct {
	Way string `json:"way"`
	// Backend with its kind of connection; for a rule its id.
	Backend string `json:"backend"`
	// Object is what a rule is about; empty for backends.
	Object  string `json:"object,omitempty"`
	Failed  int    `json:"failed,omitempty"`
	Outages int    `json:"outages,omitempty"`
	// AtLeastMs and AtMostMs bound the time without an answer over all outages.
	AtLeastMs float64 `json:"atLeastMs"`
	AtMostMs  float64 `json:"atMostMs"`
	// The rest is about the longest outage.
	At     time.Time `json:"at"`
	Reason string    `json:"reason,omitempty"`
	Server string    `json:"server,omitempty"`
	During string    `json:"during,omitempty"`
	Cause  string    `json:"cause,omitempty"`
	// Components are those that serve the backend, the nearest first.
	Components []string `json:"components,omitempty"`
}

// Suspect is something that the change did, and why it may be responsible.
type Suspect struct {
	Component string `json:"component"`
	// File and Line are where it stands in the sources, as far as that is known;
	// without a file the component's image is meant.
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	Object string `json:"object,omitempty"`
	Field  string `json:"field,omitempty"`
	// From and To are what the field was and is, cut short; "" where there was nothing.
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
	Why  string `json:"why"`
}
