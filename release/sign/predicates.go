package sign

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

// The types of predicates that Slipway attaches.
const (
	PredicateProvenance    = "https://slsa.dev/provenance/v1"
	PredicateSBOM          = "https://spdx.dev/Document"
	PredicateTestResult    = "https://in-toto.io/attestation/test-result/v0.1"
	PredicateUpgradeResult = "https://slipway.dev/upgrade-result/v1"
	PredicateCheckResult   = "https://slipway.dev/check-result/v1" // of a check with a pipeline of its own
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

// predicateNames are short names of predicate types, those of the cosign command
// among them.
var predicateNames = map[string]string{
	"provenance":       PredicateProvenance,
	"slsaprovenance1":  PredicateProvenance,
	"slsaprovenance02": "https://slsa.dev/provenance/v0.2",
	"sbom":             PredicateSBOM,
	"spdx":             PredicateSBOM,
	"spdxjson":         PredicateSBOM,
	"cyclonedx":        "https://cyclonedx.org/bom",
	"link":             "https://in-toto.io/Link/v1",
	"vuln":             "https://cosign.sigstore.dev/attestation/vuln/v1",
	"openvex":          "https://openvex.dev/ns",
	"test-result":      PredicateTestResult,
	"upgrade-result":   PredicateUpgradeResult,
	"decision":         PredicateDecision,
}

// PredicateNames returns the short names that PredicateURI knows, sorted.
func PredicateNames() []string { return slices.Sorted(maps.Keys(predicateNames)) }

// PredicateURI returns the URI of a predicate type that is given by a short name,
// or by its URI.
func PredicateURI(name string) (string, error) {
	if uri, ok := predicateNames[name]; ok {
		return uri, nil
	}
	if u, err := url.Parse(name); err == nil && u.IsAbs() && u.Host != "" {
		return name, nil
	}
	return "", fmt.Errorf("%q is neither an absolute URI nor one of %s", name, strings.Join(PredicateNames(), ", "))
}

// Result is what a statement says came out: the "result" of test results, the
// "verdict" of decisions, or what is called so in predicates of other types. ""
// when it says nothing of the kind.
func (s Statement) Result() string {
	var said struct {
		Result  any `json:"result"`
		Verdict any `json:"verdict"`
	}
	if json.Unmarshal(s.Predicate, &said) != nil {
		return ""
	}
	for _, v := range []any{said.Result, said.Verdict} {
		if text, ok := v.(string); ok && text != "" {
			return text
		}
	}
	return ""
}
