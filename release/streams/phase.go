package streams

import (
	"fmt"
	"slices"
)

// Phase is how far a payload has come.
type Phase string

const (
	PhasePending      Phase = "Pending"      // it is being made
	PhaseReady        Phase = "Ready"        // it is there, and checks are missing
	PhaseAccepted     Phase = "Accepted"     // all that blocks has passed, or somebody said so
	PhaseRejected     Phase = "Rejected"     // something that blocks has failed, or somebody said so
	PhaseInconclusive Phase = "Inconclusive" // nothing more will come, and it is not enough
	PhaseFailed       Phase = "Failed"       // it never came to be
)

// Final says that nothing more will be done about a payload.
func (p Phase) Final() bool { return p != PhasePending && p != PhaseReady }

// Facts are what is known of a cut.
type Facts struct {
	// Payload is its digest, or empty.
	Payload string
	Results []Result
	// Ended says why no further evidence will come; empty while it may.
	Ended string
	// Override is what somebody decided, or empty.
	Override Outcome
	By       string // who
}

// PhaseOf says how far a payload has come, by the policy that it was cut under. Once
// a blocking check has failed it is rejected, without waiting for others. A payload
// that is not there can be neither accepted nor rejected by hand.
func PhaseOf(policy Policy, f Facts) (Phase, string) {
	if f.Payload == "" {
		if f.Ended == "" {
			return PhasePending, "it is being made"
		}
		return PhaseFailed, f.Ended
	}
	switch f.Override {
	case Accepted:
		return PhaseAccepted, "accepted by " + f.By
	case Rejected:
		return PhaseRejected, "rejected by " + f.By
	}
	v := Decide(policy, f.Results)
	switch {
	case v.Verdict == Accepted:
		return PhaseAccepted, v.String()
	case v.Verdict == Rejected:
		return PhaseRejected, v.String()
	case f.Ended == "":
		return PhaseReady, v.String()
	}
	return PhaseInconclusive, fmt.Sprintf("%s; %s", v, f.Ended)
}

// Pointless says why a check need not run any more, or nothing: it has been made, or
// the payload is rejected already. Informing checks too stop when a blocking one fails.
func Pointless(policy Policy, results []Result, check string) string {
	if slices.ContainsFunc(results, func(r Result) bool { return r.Check == check && r.Status != Missing }) {
		return "there is a result already"
	}
	if v := Decide(policy, results); v.Verdict == Rejected {
		return "the payload is " + v.String()
	}
	return ""
}
