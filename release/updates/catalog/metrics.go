package catalog

import (
	"math"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// recentVerdicts is how many payloads of a stream the times to a verdict are about.
const recentVerdicts = 20

// Metrics tell Prometheus what a catalog holds; nothing is read for them:
//
//	slipway_releases_payloads{stream,phase}          payloads that are listed
//	slipway_releases_verdict_seconds{stream,of}      from the cut to the first verdict: of the newest
//	                                                 payload with one, and the median and longest of the
//	                                                 20 newest
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
	stuckDesc       = describe("stuck", "Payloads that are built or wait for a verdict for longer than they may.", "stream")
	oldestStuckDesc = describe("stuck_oldest_seconds", "Age of the oldest payload that is stuck; 0 without any.", "stream")
	acceptedAgeDesc = describe("accepted_age_seconds", "Since the newest accepted payload was cut.", "stream")
	catalogAgeDesc  = describe("catalog_age_seconds", "Since the registry was last read without an error; +Inf before the first time.")
)

// Describe implements prometheus.Collector.
func (m Metrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{payloadsDesc, verdictDesc, stuckDesc, oldestStuckDesc, acceptedAgeDesc, catalogAgeDesc} {
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
		if took := s.verdictTimes(recentVerdicts); len(took) > 0 {
			gauge(verdictDesc, took[0].Seconds(), name, "newest")
			slices.Sort(took)
			gauge(verdictDesc, took[(len(took)-1)/2].Seconds(), name, "median")
			gauge(verdictDesc, took[len(took)-1].Seconds(), name, "longest")
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
func (s *Stream) verdictTimes(limit int) []time.Duration {
	var took []time.Duration
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
		took = append(took, max(0, first.Sub(p.Created)))
		if len(took) == limit {
			break
		}
	}
	return took
}
