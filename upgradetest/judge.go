package upgradetest

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// judgeTester fills in how the tester was, over baseline and upgrade together.
func (e *evaluation) judgeTester(r *Result) {
	late := hdrhistogram.New(1, int64(time.Hour/time.Microsecond), 3)
	intended, sent := 0, 0
	for _, t := range e.tracks {
		for _, w := range []*window{t.baseline, t.upgrade} {
			if w != nil {
				late.Merge(w.late)
				sent += w.sent
			}
		}
		intended += int(t.series.slots(e.last))
	}
	r.Tester.Missed = max(intended-sent, 0)
	r.Tester.Lateness = lateness(late)
	if e.total > 0 {
		r.Tester.StealPercent = round(100 * float64(e.steal) / float64(e.total))
		r.Tester.StealMaxPercent = round(100 * e.stealMax)
	}
	if e.end != nil {
		r.Tester.ClockStepMs = milliseconds(e.end.Wall.Sub(e.session.Start) - e.end.At)
	}
	r.TesterReasons = e.reasons(r, intended)
}

func (e *evaluation) reasons(r *Result, intended int) []string {
	var reasons []string
	add := func(format string, args ...any) { reasons = append(reasons, fmt.Sprintf(format, args...)) }
	for _, c := range r.Tester.Control {
		if c.Failed > 0 || c.Slow > 0 {
			add("the control backend in the tester itself had %d failed and %d slow samples on %s connections", c.Failed, c.Slow, c.Connection)
		}
	}
	limits := e.session.Limits
	if missed := float64(r.Tester.Missed); intended == 0 || missed/float64(intended) > limits.Missed {
		add("%d of %d starts were not sent", r.Tester.Missed, intended)
	}
	if limit := milliseconds(limits.Lateness99); r.Tester.Lateness.P99 > limit {
		add("1 in 100 starts was over %.1f ms late (limit %.1f ms)", r.Tester.Lateness.P99, limit)
	}
	if limit := 100 * limits.Steal; r.Tester.StealPercent > limit {
		add("the host took away %.1f %% of the CPU time (limit %.1f %%)", r.Tester.StealPercent, limit)
	}
	for _, l := range e.ledgers {
		if l.Unverified != "" {
			add("what %s wrote could not be looked for: %s", l.Name, l.Unverified)
		}
	}
	if r.Baseline != nil {
		for _, b := range r.Baseline.Backends {
			if b.Failed > 0 {
				add("%s on %s connections had %d failed samples before the upgrade began", b.Name, b.Connection, b.Failed)
			}
		}
	}
	return reasons
}

func lateness(h *hdrhistogram.Histogram) Lateness {
	l := Lateness{P50: quantile(h, 50), P99: quantile(h, 99)}
	if h.TotalCount() == 0 {
		return l
	}
	l.Max = round(float64(h.Max()) / 1000)
	var within int64
	for _, bar := range h.Distribution() {
		if bar.To <= 5000 {
			within += bar.Count
		}
	}
	l.Within5ms = float64(within) / float64(h.TotalCount())
	return l
}
