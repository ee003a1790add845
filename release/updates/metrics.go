package updates

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// codes are those that requests for a graph end in.
var codes = []int{200, 204, 304, 400, 404, 405, 406, 500, 503}

// Metrics count what the update service does. Their meanings are those of the service
// whose protocol it speaks:
//
//	slipway_updates_requests_total{code}            requests for a graph
//	slipway_updates_response_errors_total{code,kind}
//	slipway_updates_serve_duration_seconds          histogram
//	slipway_updates_graph_age_seconds               since the source was last read without an error
//	slipway_updates_last_refresh_success            1 or 0
//	slipway_updates_last_successful_refresh_timestamp_seconds
//	slipway_updates_refreshes_total, slipway_updates_refresh_errors_total
//	slipway_updates_refresh_duration_seconds        histogram
//	slipway_updates_nodes, …_edges, …_conditional_edges {arch,channel}
//	slipway_updates_quarantined                     releases left out because they contradict others
//	slipway_updates_write_requests_total{verb,code}
//
// A nil *Metrics counts nothing.
type Metrics struct {
	registry *prometheus.Registry

	requests map[int]prometheus.Counter
	errors   *prometheus.CounterVec
	duration prometheus.Histogram
	writes   *prometheus.CounterVec

	refreshes, refreshErrors prometheus.Counter
	refreshDuration          prometheus.Histogram
	success, quarantined     prometheus.Gauge
	nodes, edges, risky      *prometheus.GaugeVec
	lastSuccess              atomic.Int64 // Unix nanoseconds, 0 before the first
}

// NewMetrics registers the metrics.
func NewMetrics(registry *prometheus.Registry) *Metrics {
	const space = "slipway_updates_"
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: space + name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: space + name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: space + name, Help: help, Buckets: buckets})
	}
	requests := counter("requests_total", "Requests for a graph, by code.", "code")
	refreshes := counter("refreshes_total", "Times the source of the graph was read.")
	refreshErrors := counter("refresh_errors_total", "Times that failed; the last good graph is served on.")
	success := gauge("last_refresh_success", "1 when the source was last read without an error.")
	quarantined := gauge("quarantined", "Releases left out because they contradict others.")
	m := &Metrics{
		registry: registry, requests: map[int]prometheus.Counter{},
		errors:        counter("response_errors_total", "Requests for a graph that ended in an error.", "code", "kind"),
		writes:        counter("write_requests_total", "Requests that change something, by verb and code.", "verb", "code"),
		duration:      histogram("serve_duration_seconds", "How long a request for a graph took.", []float64{.0001, .0005, .001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}),
		refreshes:     refreshes.WithLabelValues(),
		refreshErrors: refreshErrors.WithLabelValues(),
		refreshDuration: histogram("refresh_duration_seconds", "How long reading the source and making the answers took.",
			[]float64{.01, .05, .1, .5, 1, 2.5, 5, 10, 30}),
		success: success.WithLabelValues(), quarantined: quarantined.WithLabelValues(),
		nodes: gauge("nodes", "Versions in a channel.", "arch", "channel"),
		edges: gauge("edges", "Edges without risks in a channel.", "arch", "channel"),
		risky: gauge("conditional_edges", "Edges with risks in a channel.", "arch", "channel"),
	}
	for _, code := range codes {
		m.requests[code] = requests.WithLabelValues(strconv.Itoa(code))
	}
	registry.MustRegister(requests, m.errors, m.writes, m.duration, refreshes, refreshErrors, m.refreshDuration, success, quarantined, m.nodes, m.edges, m.risky)
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: space + "graph_age_seconds", Help: "Since the source was last read without an error; +Inf before the first time."}, m.age))
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: space + "last_successful_refresh_timestamp_seconds", Help: "When the source was last read without an error."},
		func() float64 { return float64(m.lastSuccess.Load()) / float64(time.Second) }))
	return m
}

// Add has /metrics tell what somebody else counts as well.
func (m *Metrics) Add(c prometheus.Collector) error { return m.registry.Register(c) }

func (m *Metrics) served(code int, took time.Duration) {
	if m == nil {
		return
	}
	if c := m.requests[code]; c != nil {
		c.Inc()
	}
	m.duration.Observe(took.Seconds())
}

func (m *Metrics) failed(e *apiError) {
	if m != nil {
		m.errors.WithLabelValues(strconv.Itoa(e.code), e.kind).Inc()
	}
}
