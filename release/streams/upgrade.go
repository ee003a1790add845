package streams

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/slipway-release/slipway/internal/proportion"
)

// Upgrade is the part of a run report's `upgrade` that decides, under the names it
// has there, so that the report's JSON can be read into it.
type Upgrade struct {
	From          Endpoint  `json:"from"`
	To            Endpoint  `json:"to"`
	Backends      []Backend `json:"backends"`
	TesterHealthy bool      `json:"testerHealthy"`
	// TesterReasons say why it was not.
	TesterReasons []string `json:"testerReasons,omitempty"`
	// Failure says why the upgrade did not come to its end, or is empty.
	Failure  string    `json:"failure,omitempty"`
	Findings []Finding `json:"findings,omitempty"`
	// SelfTest is nil when the monitor was not tested before it measured.
	SelfTest *SelfTest `json:"selftest,omitempty"`
}

// Endpoint is a payload at one end of an upgrade.
type Endpoint struct {
	Version string `json:"version"`
	Digest  string `json:"digest"`
}

// Backend is what was probed, over new or reused connections. Backends that must be
// away at times stand in another list of the report, and never decide.
type Backend struct {
	Name       string `json:"name"`
	Connection string `json:"connection"`
	// From is the poller inside the cluster that asked, or empty.
	From        string       `json:"from,omitempty"`
	Intended    int64        `json:"intended"`
	Sent        int64        `json:"sent"`
	Failed      int64        `json:"failed"`
	Disruptions []Disruption `json:"disruptions"`
}

// Disruption is a window without answers, with the bounds of its length.
type Disruption struct {
	AtLeastMs float64 `json:"atLeastMs"`
	AtMostMs  float64 `json:"atMostMs"`
	During    string  `json:"during,omitempty"` // what was being done to the cluster
}

// Finding is what a rule about the cluster has found.
type Finding struct {
	Rule     string    `json:"rule"`
	Severity string    `json:"severity"` // only "error" decides
	Object   string    `json:"object"`
	Message  string    `json:"message"`
	At       time.Time `json:"at"`
}

// severityError is that of findings without which an upgrade is possible.
const severityError = "error"

// SelfTest is what the monitor made of outages that were injected to test it.
type SelfTest struct {
	Injections []Injection `json:"injections"`
}

// Injection is one of them; the one in which nothing is done is never found.
type Injection struct {
	Name    string `json:"name"`
	Found   bool   `json:"found"`
	Problem string `json:"problem,omitempty"` // it was missed, or measured wrong
	Doubt   string `json:"doubt,omitempty"`   // the tester was ill meanwhile
}

// EvaluateUpgrade says whether an upgrade passed. One that did not come to its end
// failed, for no measurement is needed to see that. Otherwise the result is
// inconclusive, whatever was seen, when the measurement cannot be relied on: the tester
// was ill, or it did not prove beforehand that it finds outages, or a backend was sent
// less than proportion.Coverage of what it was to be sent. Then a gap or a finding of
// severity error that policy does not tolerate fails it. Detail tells those that are
// tolerated too.
func EvaluateUpgrade(check string, policy UpgradePolicy, u Upgrade) Result {
	if u.Failure != "" {
		return Result{Check: check, Status: Failed, Detail: "the upgrade did not come to its end: " + u.Failure}
	}
	if doubt := u.doubt(); doubt != "" {
		return Result{Check: check, Status: Inconclusive, Detail: doubt}
	}
	var failed, tolerated []string
	for _, b := range u.Backends {
		gap := b.gap()
		switch {
		case gap == "":
		case policy.toleratesGap(b.Name):
			tolerated = append(tolerated, gap)
		default:
			failed = append(failed, gap)
		}
	}
	against, excused := policy.findings(u.Findings)
	failed, tolerated = append(failed, against...), append(tolerated, excused...)
	summary := fmt.Sprintf("%d backends answered without a gap", len(u.Backends))
	switch {
	case len(failed) > 0:
		summary = strings.Join(failed, "; ")
	case len(tolerated) > 0:
		summary = ""
	}
	r := Result{Check: check, Status: Passed, Detail: summary}
	if len(failed) > 0 {
		r.Status = Failed
	}
	if len(tolerated) > 0 {
		r.Detail = strings.TrimPrefix(r.Detail+"; tolerated: "+strings.Join(tolerated, "; "), "; ")
	}
	return r
}

// doubt says why the measurement cannot be relied on, or nothing.
func (u Upgrade) doubt() string {
	if !u.TesterHealthy {
		return strings.Join(append([]string{"the tester was not healthy"}, u.TesterReasons...), ": ")
	}
	if u.From.Digest == "" || u.To.Digest == "" {
		return "it is not known which payloads the upgrade was between"
	}
	if u.From.Digest == u.To.Digest {
		return "the upgrade was from a payload to itself"
	}
	if len(u.Backends) == 0 {
		return "nothing was probed"
	}
	for _, b := range u.Backends {
		if !proportion.Covered(b.Sent, b.Intended) {
			return fmt.Sprintf("%s was sent %d of %d intended probes, at least %.1f %% are needed", b.label(), b.Sent, b.Intended, 100*proportion.Coverage)
		}
	}
	return u.SelfTest.doubt()
}

// doubt says why nothing proves that the monitor finds outages, or nothing.
func (s *SelfTest) doubt() string {
	if s == nil || !slices.ContainsFunc(s.Injections, func(i Injection) bool { return i.Found }) {
		return "the monitor did not prove by a self-test that it finds outages"
	}
	var missed, doubtful []string
	for _, i := range s.Injections {
		switch {
		case i.Doubt != "":
			doubtful = append(doubtful, i.Name+": "+i.Doubt)
		case i.Problem != "":
			missed = append(missed, i.Name+": "+i.Problem)
		}
	}
	switch {
	case len(missed) > 0:
		return "the monitor failed its self-test: " + strings.Join(missed, "; ")
	case len(doubtful) > 0:
		return "the tester was not healthy during its self-test: " + strings.Join(doubtful, "; ")
	}
	return ""
}

func (b Backend) label() string {
	label := b.Name
	if b.Connection != "" {
		label += fmt.Sprintf(" (%s connections)", b.Connection)
	}
	if b.From != "" {
		label += " from " + b.From
	}
	return label
}

// maxTold is how many of several alike things are told one by one.
const maxTold = 3

// gap says in what the backend failed to answer, or nothing.
func (b Backend) gap() string {
	if len(b.Disruptions) == 0 && b.Failed == 0 {
		return ""
	}
	var atLeast, atMost float64
	var during []string
	for _, d := range b.Disruptions {
		atLeast += d.AtLeastMs
		atMost += d.AtMostMs
		if d.During != "" && !slices.Contains(during, d.During) {
			during = append(during, d.During)
		}
	}
	windows := "1 disruption"
	if n := len(b.Disruptions); n != 1 {
		windows = fmt.Sprintf("%d disruptions", n)
	}
	text := fmt.Sprintf("%s: %d of %d probes failed, %s of %.0f to %.0f ms in all", b.label(), b.Failed, b.Sent, windows, atLeast, atMost)
	if len(during) > 0 {
		text += ", during " + few(during, ", and during ")
	}
	return text
}

// few joins texts, and only counts those beyond maxTold.
func few(texts []string, by string) string {
	if more := len(texts) - maxTold; more > 0 {
		return strings.Join(texts[:maxTold], by) + fmt.Sprintf(" and %d more", more)
	}
	return strings.Join(texts, by)
}
