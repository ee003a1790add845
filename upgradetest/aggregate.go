package upgradetest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/slipway-release/slipway/internal/proportion"
)

// Confidence is that of the bounds in an Aggregate.
const Confidence = 0.95

// Outcomes of an Aggregate.
const (
	Accepted     = "Accepted"
	Rejected     = "Rejected"
	Inconclusive = "Inconclusive"
)

// Aggregate is what several runs prove together. There is no allowance for a bad one:
// whoever saw a sample fail saw the cluster not answer.
type Aggregate struct {
	Verdict string `json:"verdict"` // Accepted, Rejected or Inconclusive
	// Reasons say why it is not Accepted, each with the run's name in front.
	Reasons []string `json:"reasons,omitempty"`
	Runs    []Run    `json:"runs"`
	// Wanted is how many conclusive runs were asked for.
	Wanted     int `json:"wanted"`
	Conclusive int `json:"conclusive"`
	// Backends sums up the conclusive runs, those of all pollers together.
	Backends []AggregateBackend `json:"backends"`
}

// Run is one of the results that were put together.
type Run struct {
	Name    string   `json:"name"`
	From    Release  `json:"from"`
	To      Release  `json:"to"`
	Seconds float64  `json:"seconds"`
	Verdict string   `json:"verdict"`
	Reasons []string `json:"reasons,omitempty"`
	result  Result
}

// AggregateBackend is one backend on one kind of connection.
type AggregateBackend struct {
	Name       string `json:"name"`
	Connection string `json:"connection"`
	Runs       int    `json:"runs"`       // conclusive ones in which it was probed
	RunsFailed int    `json:"runsFailed"` // of these, with a failed sample
	Sent       int64  `json:"sent"`
	Failed     int64  `json:"failed"`
	Slow       int64  `json:"slow"`
	// FailuresAtMost is the share of failing samples that is ruled out with Confidence,
	// 0 to 1. It takes samples as independent of each other, so of an outage, which
	// meets many in a row, it says less than Worst.
	FailuresAtMost float64 `json:"failuresAtMost"`
	// Worst is the disruption that may have lasted longest; both 0 without any.
	Worst    Bounds  `json:"worstMs"`
	WorstRun string  `json:"worstRun,omitempty"`
	MaxMs    float64 `json:"maxms"` // of what was answered
}

// Aggregated puts results together, by the names of their runs. Accepted needs wanted
// conclusive runs, or with 0 that all are, and that none of them has a failed sample, a
// finding of severity error, or an upgrade that did not come to its end; any of those
// is Rejected.
func Aggregated(names []string, results []Result, wanted int) Aggregate {
	if wanted <= 0 {
		wanted = len(results)
	}
	a := Aggregate{Verdict: Accepted, Runs: []Run{}, Wanted: wanted, Backends: []AggregateBackend{}}
	backends := map[[2]string]*AggregateBackend{}
	for i, r := range results {
		run := judgeRun(names[i], r)
		a.Runs = append(a.Runs, run)
		for _, reason := range run.Reasons {
			a.Reasons = append(a.Reasons, run.Name+": "+reason)
		}
		switch run.Verdict {
		case Rejected:
			a.Verdict = Rejected
		case Inconclusive:
			continue
		}
		a.Conclusive++
		run.addTo(backends)
	}
	if a.Verdict == Accepted && a.Conclusive < max(wanted, 1) {
		a.Verdict = Inconclusive
		a.Reasons = append(a.Reasons, fmt.Sprintf("%d of %d runs are conclusive, and %d are needed", a.Conclusive, len(results), max(wanted, 1)))
	}
	for _, b := range backends {
		b.FailuresAtMost = proportion.UpperBound(b.Failed, b.Sent, Confidence)
		a.Backends = append(a.Backends, *b)
	}
	slices.SortFunc(a.Backends, func(x, y AggregateBackend) int {
		return cmp.Or(strings.Compare(x.Name, y.Name), strings.Compare(x.Connection, y.Connection))
	})
	return a
}

func judgeRun(name string, r Result) Run {
	run := Run{Name: name, From: r.From, To: r.To, Seconds: r.Seconds, Verdict: Accepted, result: r}
	v := r.Judge()
	switch {
	case r.Failure != "":
		run.Verdict, run.Reasons = Rejected, []string{"the upgrade did not come to its end: " + r.Failure}
	case !v.Conclusive:
		run.Verdict, run.Reasons = Inconclusive, v.Doubts
	case len(v.Gaps) > 0:
		run.Verdict, run.Reasons = Rejected, v.Gaps
	}
	return run
}

// addTo adds the run's figures to those of its backends, pollers' to one another.
func (run Run) addTo(backends map[[2]string]*AggregateBackend) {
	probed, failed := map[*AggregateBackend]bool{}, map[*AggregateBackend]bool{}
	for _, r := range run.result.Backends {
		key := [2]string{r.Name, r.Connection}
		b := backends[key]
		if b == nil {
			b = &AggregateBackend{Name: r.Name, Connection: r.Connection}
			backends[key] = b
		}
		b.Sent += int64(r.Sent)
		b.Failed += int64(r.Failed)
		b.Slow += int64(r.Slow)
		b.MaxMs = max(b.MaxMs, r.MaxMs)
		probed[b], failed[b] = true, failed[b] || r.Failed > 0
		for _, d := range r.Disruptions {
			if d.AtMostMs > b.Worst.AtMost {
				b.Worst, b.WorstRun = Bounds{AtLeast: d.AtLeastMs, AtMost: d.AtMostMs}, run.Name
			}
		}
	}
	for b := range probed {
		b.Runs++
		if failed[b] {
			b.RunsFailed++
		}
	}
}

// JUnit is a as a suite: a case for every run and every backend. Runs that are
// inconclusive are skipped.
func (a Aggregate) JUnit() ([]byte, error) {
	s := &junitSuite{Name: "slipway upgrade-test aggregate"}
	for _, run := range a.Runs {
		reasons := strings.Join(run.Reasons, "; ")
		s.Time += run.Seconds
		if run.Verdict == Inconclusive {
			s.add("run", run.Name, "", reasons)
		} else {
			s.add("run", run.Name, reasons, "")
		}
	}
	for _, b := range a.Backends {
		failure := ""
		if b.Failed > 0 {
			failure = fmt.Sprintf("%d of %d samples failed, in %d of %d runs; the worst disruption took %.0f to %.0f ms, in run %s",
				b.Failed, b.Sent, b.RunsFailed, b.Runs, b.Worst.AtLeast, b.Worst.AtMost, b.WorstRun)
		}
		s.add("backend", b.Name+"/"+b.Connection, failure, "")
	}
	return s.bytes()
}
