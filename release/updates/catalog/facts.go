package catalog

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/release/sign"
	"github.com/slipway-release/slipway/release/streams"
)

// facts are what was read about one payload. They hold as long as key does.
type facts struct {
	key        string
	created    time.Time // zero when the version says it
	statements []Statement
	refused    []Refused
	signatures []Signature
	decisions  []Decision // the newest first
	results    []checkResult
	upgrades   []tried
}

// checkResult is what one statement says about one check.
type checkResult struct {
	streams.Result
	evidence, url string
	from          string  // of an upgrade: the version it came from
	seconds       float64 // that its run took; 0 when that is not said
}

// tried is one upgrade to the payload, judged by the stream's policy.
type tried struct {
	from string // version
	run  Run
}

// keyOf names all that facts depend on: what refers to the digest, which is more
// whenever evidence is added, and the policy that judges it.
func (r *reading) keyOf(ctx context.Context, digest v1.Hash, policy []byte) (string, error) {
	ref := r.Repository + "@" + digest.String()
	referrers, err := r.Registry.Referrers(ctx, ref, "")
	if err != nil {
		return "", err
	}
	var parts []string
	for _, d := range referrers {
		parts = append(parts, d.Digest.String())
	}
	for _, suffix := range []string{".sig", ".att"} {
		tag := digest.Algorithm + "-" + digest.Hex + suffix
		if !r.tags[tag] {
			continue
		}
		at, err := r.Registry.Resolve(ctx, r.Repository+":"+tag)
		if err != nil {
			return "", err
		}
		parts = append(parts, suffix+at.String())
	}
	slices.Sort(parts)
	sum := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(sum, "%s\n", p)
	}
	sum.Write(policy)
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// readFacts reads and verifies everything that was said about a payload.
func (r *reading) readFacts(ctx context.Context, digest v1.Hash, policy streams.Policy) (*facts, error) {
	ref := r.Repository + "@" + digest.String()
	evidence, err := r.Verifier.Evidence(ctx, r.Registry, ref, "")
	if err != nil {
		return nil, err
	}
	signatures, err := r.Verifier.Signatures(ctx, r.Registry, ref, sign.Claim{})
	if err != nil {
		return nil, err
	}
	f := &facts{}
	for _, s := range signatures {
		f.signatures = append(f.signatures, Signature{Form: s.Form, SignedBy: s.SignedBy, Version: s.Claim.Version, Reason: clip(s.Reason)})
	}
	for i, s := range evidence.Statements {
		if i == maxStatements {
			f.refused = append(f.refused, Refused{Reason: fmt.Sprintf("%d older statements are not listed", len(evidence.Statements)-i)})
			break
		}
		f.add(s, policy)
	}
	for i, bad := range evidence.Refused {
		if i == maxStatements {
			break
		}
		f.refused = append(f.refused, Refused{bad.Digest.String(), clip(bad.Reason)})
	}
	return f, nil
}

// add takes what it understands from a statement. One that it cannot read stays
// listed, and decides nothing.
func (f *facts) add(s sign.Statement, policy streams.Policy) {
	digest := s.Digest.String()
	about := Statement{
		Digest: digest, PredicateType: s.PredicateType, Kind: kindOf(s.PredicateType), Time: s.Time.UTC(), TimeProven: s.TimeProven,
		SignedBy: s.SignedBy, Result: clip(s.Result()),
	}
	var where struct {
		URL string `json:"url"`
	}
	if json.Unmarshal(s.Predicate, &where) == nil {
		about.URL = webURL(where.URL)
	}
	switch s.PredicateType {
	case sign.PredicateDecision:
		if d, ok := readDecision(s); ok {
			f.decisions = append(f.decisions, d)
		}
	case sign.PredicateTestResult:
		if res, ok := readTestResult(s.Predicate); ok {
			res.evidence, res.url = digest, about.URL
			f.results = append(f.results, res)
		}
	case sign.PredicateCheckResult:
		if res, ok := readCheckResult(s.Predicate); ok {
			res.evidence, res.url = digest, about.URL
			f.results = append(f.results, res)
		}
	case sign.PredicateUpgradeResult:
		f.addUpgrade(s, about, policy)
	}
	f.statements = append(f.statements, about)
}

func (f *facts) addUpgrade(s sign.Statement, about Statement, policy streams.Policy) {
	var u struct {
		Profile string `json:"profile"`
		Check   string `json:"check"`
		streams.Upgrade
		span
	}
	if json.Unmarshal(s.Predicate, &u) != nil {
		return
	}
	check := u.Check
	if check == "" {
		check = "upgrade"
	}
	result := streams.EvaluateUpgrade(check, policy.Upgrade[u.Profile], u.Upgrade)
	result.Detail = clip(result.Detail)
	f.results = append(f.results, checkResult{result, about.Digest, about.URL, u.From.Version, u.seconds()})
	f.upgrades = append(f.upgrades, tried{u.From.Version, Run{
		State: stateOf(result.Status), Detail: result.Detail, Profile: clip(u.Profile), When: about.Time, URL: about.URL, Evidence: about.Digest,
	}})
}

// latest gives of every check the newest result: a repeated test replaces what it repeats.
func (f *facts) latest() []streams.Result {
	var results []streams.Result
	seen := map[string]bool{}
	for _, r := range f.results {
		if !seen[r.Check] {
			seen[r.Check] = true
			results = append(results, r.Result)
		}
	}
	return results
}

// readDecision reads a verdict. Who decided by hand, and why, stands in it as well.
func readDecision(s sign.Statement) (Decision, bool) {
	var said struct {
		streams.Verdict
		By, Actor, Who string
		Why, Reason    string
	}
	if json.Unmarshal(s.Predicate, &said) != nil || said.Verdict.Verdict == "" {
		return Decision{}, false
	}
	d := Decision{Outcome: said.Verdict.Verdict, When: s.Time.UTC(), Evidence: s.Digest.String(), SignedBy: s.SignedBy}
	for _, by := range []string{said.By, said.Actor, said.Who} {
		if d.By == "" {
			d.By = clip(by)
		}
	}
	for _, why := range []string{said.Why, said.Reason} {
		if d.Why == "" {
			d.Why = clip(why)
		}
	}
	for _, r := range said.Reasons {
		r.Detail = clip(r.Detail)
		d.Reasons = append(d.Reasons, r)
	}
	return d, true
}

// readTestResult reads an in-toto test result. One that says PASSED and tells of specs
// that did not pass is not believed.
func readTestResult(predicate []byte) (checkResult, bool) {
	var t struct {
		sign.TestResult
		Check string `json:"check"`
	}
	if json.Unmarshal(predicate, &t) != nil {
		return checkResult{}, false
	}
	r := checkResult{Result: streams.Result{Check: t.Check, Status: streams.Inconclusive}}
	if r.Check == "" {
		r.Check = "conformance"
	}
	switch t.Result {
	case sign.TestPassed, sign.TestWarned:
		r.Status = streams.Passed
	case sign.TestFailed:
		r.Status = streams.Failed
	}
	var specs struct {
		Expected, Passed, Failed int
		Seconds                  float64
	}
	if len(t.Conformance) > 0 && json.Unmarshal(t.Conformance, &specs) == nil {
		r.Detail = fmt.Sprintf("%d of %d expected specs passed", specs.Passed, specs.Expected)
		r.seconds = max(0, specs.Seconds)
		if specs.Failed > 0 || specs.Passed < specs.Expected {
			r.Status = streams.Failed
			r.Detail += fmt.Sprintf(", %d failed", specs.Failed)
		}
	} else if n := len(t.FailedTests); n > 0 {
		r.Detail = fmt.Sprintf("%d tests failed", n)
	}
	return r, true
}

// readCheckResult reads what the controller says about a check with a pipeline of its
// own. A status that nobody knows says nothing.
func readCheckResult(predicate []byte) (checkResult, bool) {
	var said struct {
		streams.Result
		span
	}
	if json.Unmarshal(predicate, &said) != nil || said.Check == "" {
		return checkResult{}, false
	}
	r := checkResult{Result: said.Result, seconds: said.seconds()}
	r.Detail = clip(r.Detail)
	switch r.Status {
	case streams.Passed, streams.Failed, streams.Skipped:
	default:
		r.Status = streams.Inconclusive
	}
	return r, true
}

// span is when something was run, in predicates that say so.
type span struct {
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`
}

// seconds is 0 where the bounds are not known or make no sense.
func (s span) seconds() float64 {
	if s.Started.IsZero() || s.Finished.IsZero() {
		return 0
	}
	return max(0, s.Finished.Sub(s.Started).Seconds())
}

func stateOf(s streams.Status) State {
	switch s {
	case streams.Passed:
		return Passed
	case streams.Failed:
		return CheckFailed
	case streams.Missing:
		return Missing
	case streams.Skipped:
		return Skipped
	}
	return Unclear
}

// kinds are the short names of the types that are met most.
var kinds = map[string]string{
	sign.PredicateProvenance: "provenance", sign.PredicateSBOM: "sbom", sign.PredicateTestResult: "test result",
	sign.PredicateUpgradeResult: "upgrade result", sign.PredicateCheckResult: "check result", sign.PredicateDecision: "decision",
}

func kindOf(predicateType string) string { return kinds[predicateType] }

// clip bounds a text from a registry.
func clip(text string) string {
	if len(text) <= maxDetail {
		return text
	}
	return strings.ToValidUTF8(text[:maxDetail], "") + "…"
}

// webURL lets through only what a link may lead to.
func webURL(address string) string {
	if len(address) <= maxDetail && (strings.HasPrefix(address, "https://") || strings.HasPrefix(address, "http://")) {
		return address
	}
	return ""
}
