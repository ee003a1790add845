package catalog

import (
	"math"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	recentVerdicts = 20 // payloads of a stream that the times to a verdict are about
	recentRuns     = 20 // runs of a check with one result that their times are about
)

// Metrics tell Prometheus what a catalog holds; nothing is read for them:
//
//	slipway_releases_payloads{stream,phase}          payloads that are listed
//	slipway_releases_verdict_seconds{stream,of}      from the cut to the first verdict: of the newest
//	                                                 payload with one, and the median and longest of the
//	                                                 20 newest
//	slipway_releases_check_seconds{stream,check,result,of}
//	                                                 that the runs of a check took, by what came out: the
//	                                                 newest, and the median and longest of the 20 newest
//	slipway_releases_check_runs{stream,check,result} runs of a check that evidence of the listed payloads
//	                                                 tells of, also those that do not say how long they took
//	slipway_releases_stuck{stream}                   payloads that wait for longer than they may
//	slipway_releases_stuck_oldest_seconds{stream}    age of the oldest of them; 0 without any
//	slipway_releases_accepted_age_seconds{stream}    since the newest accepted one was cut; left out without any
//	slipway_releases_catalog_age_seconds             since everything was read; +Inf before the first time
type Metrics struct {
	// Catalog returns the one to tell of, or nil while there is none.
	Catalog func() *Catalog
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

var _ prometheus.Collector = Metrics{}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("slipway_releases_"+name, help, labels, nil)
}

var (
	payloadsDesc    = describe("payloads", "Payloads that are listed, by stream and phase.", "stream", "phase")
	verdictDesc     = describe("verdict_seconds", "From the cut of a payload to its first verdict: the newest, and the median and longest of the 20 newest.", "stream", "of")
	checkDesc       = describe("check_seconds", "That the runs of a check took, by result: the newest, and the median and longest of the 20 newest.", "stream", "check", "result", "of")
	checkRunsDesc   = describe("check_runs", "Runs of a check that there is evidence of, by result.", "stream", "check", "result")
	stuckDesc       = describe("stuck", "Payloads that are built or wait for a verdict for longer than they may.", "stream")
	oldestStuckDesc = describe("stuck_oldest_seconds", "Age of the oldest payload that is stuck; 0 without any.", "stream")
	acceptedAgeDesc = describe("accepted_age_seconds", "Since the newest accepted payload was cut.", "stream")
	catalogAgeDesc  = describe("catalog_age_seconds", "Since the registry was last read without an error; +Inf before the first time.")
)

// Describe implements prometheus.Collector.
func (m Metrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{payloadsDesc, verdictDesc, checkDesc, checkRunsDesc, stuckDesc, oldestStuckDesc, acceptedAgeDesc, catalogAgeDesc} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (m Metrics) Collect(out chan<- prometheus.Metric) {
	now := time.Now()
	if m.Now != nil {
		now = m.Now()
	}
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	c := m.Catalog()
	if c == nil {
		gauge(catalogAgeDesc, math.Inf(1))
		return
	}
	gauge(catalogAgeDesc, now.Sub(c.Read).Seconds())
	for _, s := range c.Streams {
		name := s.Policy.Name
		phases := map[Phase]int{}
		for _, p := range s.Payloads {
			phases[p.Phase]++
		}
		for _, phase := range []Phase{Pending, Ready, Accepted, Rejected, Failed, Inconclusive} {
			gauge(payloadsDesc, float64(phases[phase]), name, string(phase))
		}
		times := func(d *prometheus.Desc, took []float64, labels ...string) {
			if len(took) == 0 {
				return
			}
			newest := took[0]
			slices.Sort(took)
			gauge(d, newest, append(labels, "newest")...)
			gauge(d, took[(len(took)-1)/2], append(labels, "median")...)
			gauge(d, took[len(took)-1], append(labels, "longest")...)
		}
		times(verdictDesc, s.verdictTimes(recentVerdicts), name)
		for of, runs := range s.checkTimes(recentRuns) {
			gauge(checkRunsDesc, float64(runs.count), name, of.check, string(of.result))
			times(checkDesc, runs.seconds, name, of.check, string(of.result))
		}
		late := s.Late(now)
		gauge(stuckDesc, float64(len(late)), name)
		var oldest time.Duration
		for _, p := range late {
			oldest = max(oldest, now.Sub(p.Created))
		}
		gauge(oldestStuckDesc, oldest.Seconds(), name)
		if last := s.LastAccepted(); last != nil {
			gauge(acceptedAgeDesc, now.Sub(last.Created).Seconds(), name)
		}
	}
}

// verdictTimes are those between the cut and the first decision of the newest payloads
// that have one, the newest payload's first.
func (s *Stream) verdictTimes(limit int) []float64 {
	var took []float64
	for _, p := range s.Payloads {
		if p.Decision == nil {
			continue
		}
		first := p.Decision.When
		if n := len(p.Earlier); n > 0 {
			first = p.Earlier[n-1].When
		}
		if first.IsZero() || p.Created.IsZero() {
			continue
		}
		// Whoever signed may have another clock than whoever cut.
		took = append(took, max(0, first.Sub(p.Created).Seconds()))
		if len(took) == limit {
			break
		}
	}
	return took
}

// checkOutcome is what came out of runs of a check.
type checkOutcome struct {
	check  string
	result State
}

// checkRuns are the runs of a check with one outcome.
type checkRuns struct {
	count   int
	seconds []float64 // the newest payload's first, of those that say it
}

// checkTimes are the runs that evidence about the payloads tells of. What was skipped did
// not run.
func (s *Stream) checkTimes(limit int) map[checkOutcome]*checkRuns {
	all := map[checkOutcome]*checkRuns{}
	for _, p := range s.Payloads {
		for _, r := range p.results {
			of := checkOutcome{clip(r.Check), stateOf(r.Status)}
			if of.result == Skipped {
				continue
			}
			if all[of] == nil {
				all[of] = &checkRuns{}
			}
			all[of].count++
			if r.seconds > 0 && len(all[of].seconds) < limit {
				all[of].seconds = append(all[of].seconds, r.seconds)
			}
		}
	}
	return all
}
