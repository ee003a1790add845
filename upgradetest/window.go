package upgradetest

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// window sums up one series over a part of the recording.
type window struct {
	series series
	from   time.Duration

	sent, failed, slow, reconnects int
	answers                        *hdrhistogram.Histogram // microseconds from the intended start
	late                           *hdrhistogram.Histogram // microseconds
	failures, servers              map[string]int
	phases                         [5]time.Duration // sums over what was answered
	finder                         finder
}

func newWindow(s session, series series, from time.Duration) *window {
	const hour = int64(time.Hour / time.Microsecond)
	return &window{
		series:  series,
		from:    from,
		answers: hdrhistogram.New(1, hour, 3),
		late:    hdrhistogram.New(1, hour, 3),
		// The table of names bounds these.
		failures: map[string]int{},
		servers:  map[string]int{},
		finder:   finder{slow: s.Slow, begin: from},
	}
}

// add takes the samples of the window in the order of their slots.
func (w *window) add(due time.Duration, s sample) {
	if s.class == NotSent {
		return
	}
	w.sent++
	_ = w.late.RecordValue(int64(s.late / time.Microsecond)) // longer than an hour: not with the limits of reading
	if s.reconnected {
		w.reconnects++
	}
	if s.class.Failed() {
		w.failed++
		w.failures[s.class.String()]++
	} else {
		w.answered(s)
	}
	w.finder.add(observation{start: due + s.late, end: due + max(s.total, s.late), sample: s})
}

func (w *window) answered(s sample) {
	_ = w.answers.RecordValue(int64(s.total / time.Microsecond))
	if s.total > w.finder.slow {
		w.slow++
	}
	if s.server != "" {
		w.servers[s.server]++
	}
	// The phases were recorded as moments; what did not take place is 0.
	last := time.Duration(0)
	for i, at := range [...]time.Duration{s.dns, s.connect, s.tls, s.firstByte} {
		if at > last {
			w.phases[i] += at - last
			last = at
		}
	}
	w.phases[4] += s.total
}

// result sums up what was seen until end.
func (w *window) result(e *evaluation, end time.Duration) BackendResult {
	r := BackendResult{
		Name: w.series.Name, Connection: w.series.Connection, Hertz: w.series.Hertz,
		Intended: int(w.series.slots(end) - w.series.slots(w.from-1)),
		Sent:     w.sent, Failed: w.failed, Slow: w.slow, Reconnects: w.reconnects,
		P50Ms: quantile(w.answers, 50), P99Ms: quantile(w.answers, 99), P999Ms: quantile(w.answers, 99.9),
		Disruptions: []Disruption{}, Failures: w.failures, Servers: w.servers,
	}
	if answered := w.sent - w.failed; answered > 0 {
		r.MaxMs = round(float64(w.answers.Max()) / 1000)
		mean := func(i int) float64 { return round(w.phases[i].Seconds() * 1000 / float64(answered)) }
		r.PhasesMs = &Phases{DNS: mean(0), Connect: mean(1), TLS: mean(2), FirstByte: mean(3), Total: mean(4)}
	}
	for _, o := range w.finder.finish(end) {
		r.Disruptions = append(r.Disruptions, e.disruption(w.series.Name, o))
	}
	return r
}

func quantile(h *hdrhistogram.Histogram, q float64) float64 {
	if h.TotalCount() == 0 {
		return 0
	}
	return round(float64(h.ValueAtQuantile(q)) / 1000)
}

// round keeps microseconds of a figure in milliseconds.
func round(ms float64) float64 {
	return float64(int64(ms*1000+0.5)) / 1000
}
