package streams

import (
	"fmt"
	"slices"
	"strings"
)

// Policy is what a stream demands of a payload. In distro.yaml it is written as
//
//	streams:
//	- name: nightly
//	  channels: [candidate]
//	  checks:
//	    blocking: [conformance, upgrade]
//	    informing: []
//	  upgrade:
//	    profiles:
//	      single:
//	        gaps: {kube-api: report}
//	        findings:
//	          rules: {apiserver-ungraceful: report}
//	          exceptions:
//	          - {rule: container-restarted, object: kube-system/coredns-*, reason: …, until: 2027-01-31}
//	      ha: {}
type Policy struct {
	Name string
	// Channels are those that an accepted payload is promoted into.
	Channels []string
	// Blocking checks must pass. Informing ones are told of and change nothing.
	Blocking, Informing []string
	// Upgrade says for every cluster profile what an upgrade may cost. A profile
	// that is not named tolerates nothing.
	Upgrade map[string]UpgradePolicy
	// RejectSkipped are the checks that must not be skipped for want of a payload to
	// upgrade from; where the others are, that counts as passed.
	RejectSkipped []string
	// Tag of the payloads' repository names the newest of those that were promoted; "" is
	// none. It is left out of JSON, so that declarations without it keep their digest.
	Tag string `json:",omitempty"`
}

// Status is how one check of a payload ended.
type Status string

const (
	Passed       Status = "Passed"
	Failed       Status = "Failed"
	Inconclusive Status = "Inconclusive" // it ran and says nothing about the payload
	Missing      Status = "Missing"      // there is no evidence
	Skipped      Status = "Skipped"      // there is no payload to upgrade from
)

// Result is the evidence of one check.
type Result struct {
	Check  string `json:"check"`
	Status Status `json:"status"`
	Detail string `json:"detail,omitempty"` // one sentence for people
}

// Outcome is what is decided about a payload.
type Outcome string

const (
	Accepted  Outcome = "Accepted"
	Rejected  Outcome = "Rejected"
	Undecided Outcome = "Inconclusive"
)

// Verdict is an outcome and how every check contributed to it.
type Verdict struct {
	Verdict Outcome  `json:"verdict"`
	Reasons []Reason `json:"reasons"`
}

// Reason is one check's part in a verdict.
type Reason struct {
	Check    string `json:"check"`
	Blocking bool   `json:"blocking"`
	Status   Status `json:"status"`
	Detail   string `json:"detail,omitempty"`
}

// Decide gives the verdict. One blocking check that failed, or that was skipped and must
// not be, rejects; otherwise
// one that is missing or inconclusive leaves the payload undecided; otherwise it is accepted. The order of
// results does not matter. A check with several results counts as failed if any of them failed,
// and as passed if any passed: a second try can tell what an inconclusive one could not,
// but it cannot take a failure back. Reasons stand in the policy's order,
// blocking checks first, then those the policy does not know.
func Decide(policy Policy, results []Result) Verdict {
	best := map[string]Result{}
	for _, r := range results {
		if _, known := best[r.Check]; !known || outranks(r, best[r.Check]) {
			best[r.Check] = r
		}
	}
	verdict := Verdict{Verdict: Accepted, Reasons: []Reason{}}
	mentioned := map[string]bool{}
	add := func(check string, blocking bool) {
		if mentioned[check] {
			return
		}
		mentioned[check] = true
		r, ok := best[check]
		if !ok {
			r = Result{Status: Missing, Detail: "there is no evidence of this check"}
		}
		verdict.Reasons = append(verdict.Reasons, Reason{Check: check, Blocking: blocking, Status: known(r.Status), Detail: r.Detail})
	}
	for _, check := range policy.Blocking {
		add(check, true)
	}
	for _, check := range policy.Informing {
		add(check, false)
	}
	others := make([]string, 0, len(best))
	for check := range best {
		others = append(others, check)
	}
	slices.Sort(others)
	for _, check := range others {
		add(check, false)
	}
	verdict.Verdict = outcome(verdict.Reasons, policy.RejectSkipped)
	return verdict
}

func outcome(reasons []Reason, rejectSkipped []string) Outcome {
	result := Accepted
	for _, r := range reasons {
		switch {
		case !r.Blocking || r.Status == Passed:
		case r.Status == Skipped && !slices.Contains(rejectSkipped, r.Check):
		case r.Status == Failed || r.Status == Skipped:
			return Rejected
		default:
			result = Undecided
		}
	}
	return result
}

// known makes Inconclusive of a status from evidence that nobody understands.
func known(s Status) Status {
	switch s {
	case Passed, Failed, Missing, Skipped:
		return s
	}
	return Inconclusive
}

var weight = map[Status]int{Failed: 4, Passed: 3, Skipped: 2, Inconclusive: 1, Missing: 0}

func outranks(a, b Result) bool {
	if wa, wb := weight[known(a.Status)], weight[known(b.Status)]; wa != wb {
		return wa > wb
	}
	return a.Detail < b.Detail // so that the same set of results always gives the same bytes
}

// String is one line: "Rejected: upgrade failed: …".
func (v Verdict) String() string {
	var parts []string
	for _, r := range v.Reasons {
		if !r.Blocking || r.Status == Passed {
			continue
		}
		part := fmt.Sprintf("%s %s", r.Check, strings.ToLower(string(r.Status)))
		if r.Detail != "" {
			part += ": " + r.Detail
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		return string(v.Verdict)
	}
	return string(v.Verdict) + ": " + strings.Join(parts, "; ")
}
