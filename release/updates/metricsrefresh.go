package updates

import (
	"math"
	"strconv"
	"time"
)

// age is how old the graph is, in seconds.
func (m *Metrics) age() float64 {
	last := m.lastSuccess.Load()
	if last == 0 {
		return math.Inf(1)
	}
	return time.Since(time.Unix(0, last)).Seconds()
}

// loaded says when the graph that is served was read from its source.
func (m *Metrics) loaded(at time.Time) {
	if m != nil {
		m.lastSuccess.Store(at.UnixNano())
	}
}

func (m *Metrics) refreshed(took time.Duration, err error) {
	if m == nil {
		return
	}
	m.refreshes.Inc()
	m.refreshDuration.Observe(took.Seconds())
	m.success.Set(1)
	if err != nil {
		m.refreshErrors.Inc()
		m.success.Set(0)
	}
}

// offers says what an edition has.
func (m *Metrics) offers(e *Edition) {
	if m == nil {
		return
	}
	m.quarantined.Set(float64(len(e.snapshot.Quarantined)))
	m.nodes.Reset()
	m.edges.Reset()
	m.risky.Reset()
	for _, s := range e.Sizes() {
		m.nodes.WithLabelValues(s.Arch, s.Channel).Set(float64(s.Nodes))
		m.edges.WithLabelValues(s.Arch, s.Channel).Set(float64(s.Edges))
		m.risky.WithLabelValues(s.Arch, s.Channel).Set(float64(s.Conditional))
	}
}

func (m *Metrics) wrote(verb string, code int) {
	if m != nil {
		m.writes.WithLabelValues(verb, strconv.Itoa(code)).Inc()
	}
}
