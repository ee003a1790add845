package sign

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"
)

// The types of predicates that Slipway attaches.
const (
	PredicateProvenance    = "https://slsa.dev/provenance/v1"
	PredicateSBOM          = "https://spdx.dev/Document"
	PredicateTestResult    = "https://in-toto.io/attestation/test-result/v0.1"
	PredicateUpgradeResult = "https://slipway.dev/upgrade-result/v1"
	PredicateDecision      = "https://slipway.dev/decision/v1"
)

// Material is an input of a build, in the shape of SLSA's resolvedDependencies.
type Material struct {
	Name   string            `json:"name,omitempty"`
	URI    string            `json:"uri"`
	Digest map[string]string `json:"digest,omitempty"` // by algorithm: sha256, gitCommit, dirHash
}

// Provenance is the predicate of SLSA v1.
type Provenance struct {
	BuildDefinition BuildDefinition `json:"buildDefinition"`
	RunDetails      RunDetails      `json:"runDetails"`
}

// BuildDefinition says what was built from what.
type BuildDefinition struct {
	BuildType            string     `json:"buildType"`                    // URI that defines the parameters
	ExternalParameters   any        `json:"externalParameters"`           // what the user asked for
	InternalParameters   any        `json:"internalParameters,omitempty"` // what the builder chose
	ResolvedDependencies []Material `json:"resolvedDependencies,omitempty"`
}

// RunDetails says who built it and when.
type RunDetails struct {
	Builder  Builder     `json:"builder"`
	Metadata RunMetadata `json:"metadata"`
}

// Builder is who is trusted to have built it as described.
type Builder struct {
	ID      string            `json:"id"` // URI
	Version map[string]string `json:"version,omitempty"`
}

// RunMetadata is one run of the builder. Times are in UTC.
type RunMetadata struct {
	InvocationID string    `json:"invocationId,omitempty"`
	StartedOn    time.Time `json:"startedOn,omitzero"`
	FinishedOn   time.Time `json:"finishedOn,omitzero"`
}

// NewProvenance returns a predicate whose bytes depend on its content alone:
// each material once, in the order of their URIs.
func NewProvenance(def BuildDefinition, run RunDetails) Provenance {
	materials := slices.Clone(def.ResolvedDependencies)
	order := func(m Material) string { return m.URI + "\x00" + m.Name + "\x00" + digestsOf(m.Digest) }
	slices.SortFunc(materials, func(x, y Material) int { return cmp.Compare(order(x), order(y)) })
	def.ResolvedDependencies = slices.CompactFunc(materials, func(x, y Material) bool { return order(x) == order(y) })
	if def.ExternalParameters == nil {
		def.ExternalParameters = struct{}{} // the specification demands an object
	}
	run.Metadata.StartedOn = run.Metadata.StartedOn.UTC().Truncate(time.Second)
	run.Metadata.FinishedOn = run.Metadata.FinishedOn.UTC().Truncate(time.Second)
	return Provenance{BuildDefinition: def, RunDetails: run}
}

// digestsOf gives digests as text, in the order of their algorithms.
func digestsOf(d map[string]string) string {
	text, _ := json.Marshal(d) // of strings: cannot fail, and sorts by key
	return string(text)
}

// The results of a TestResult.
const (
	TestPassed = "PASSED"
	TestWarned = "WARNED"
	TestFailed = "FAILED"
)

// TestResult is the predicate of in-toto's test results, v0.1.
type TestResult struct {
	Result        string     `json:"result"`
	Configuration []Material `json:"configuration"` // what was tested with: at least one
	URL           string     `json:"url,omitempty"`
	PassedTests   []string   `json:"passedTests,omitempty"`
	WarnedTests   []string   `json:"warnedTests,omitempty"`
	FailedTests   []string   `json:"failedTests,omitempty"`
	// Conformance is the run report's object of that name. in-toto lets
	// predicates have fields that a reader does not know.
	Conformance json.RawMessage `json:"conformance,omitempty"`
}
