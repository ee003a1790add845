package upgradetest

import (
	"cmp"
	"slices"
	"time"
)

// observation is a sample with the times of its actual start and end, since the
// start of the session.
type observation struct {
	start, end time.Duration
	sample
}

// outage is a run of failures with the bounds of its begin and end.
type outage struct {
	beginMin, beginMax time.Duration
	endMin, endMax     time.Duration
	classes, servers   map[string]int
	details            map[string]int
	failed             int
	before, after      string
	open               bool
}

// ordinaryOver is how many of the last answers say what an ordinary one takes.
const ordinaryOver = 8

// finder finds outages among the observations of one series, given in the order
// of their slots. The package comment has the rules.
type finder struct {
	slow  time.Duration
	begin time.Duration // of the window

	recent  []observation // last successes, at most ordinaryOver
	run     *run
	outages []outage
}

// run is an outage that is going on.
type run struct {
	outage
	lastFailure time.Duration // its start
	ordinary    time.Duration
	decided     time.Duration // when the last failure became one
	answers     []observation // successes that were sent since its begin
}

func (f *finder) add(o observation) {
	if f.run != nil {
		if answer, ok := f.run.first(); ok && o.start >= answer.end {
			f.close(answer)
		}
	}
	switch {
	case o.class == OK && f.run == nil:
		f.succeeded(o)
	case o.class == OK:
		f.run.answers = append(f.run.answers, o)
	case f.run == nil:
		f.open(o)
		fallthrough
	default:
		f.run.fail(o)
	}
}

func (f *finder) succeeded(o observation) {
	if len(f.recent) == ordinaryOver {
		f.recent = slices.Delete(f.recent, 0, 1)
	}
	f.recent = append(f.recent, o)
}

func (f *finder) open(o observation) {
	r := &run{outage: outage{beginMin: f.begin, beginMax: o.end, classes: map[string]int{}, servers: map[string]int{}, details: map[string]int{}}}
	for _, success := range f.recent {
		if latency := success.end - success.start; latency <= f.slow {
			r.ordinary = max(r.ordinary, latency)
		}
	}
	if n := len(f.recent); n > 0 {
		r.beginMin, r.before = f.recent[n-1].start, f.recent[n-1].server
	}
	if o.class == Timeout {
		// Had it begun later, this request would have been answered, on a host as busy
		// as held allows for.
		r.beginMax = min(o.end, o.start+2*r.ordinary)
	}
	f.run = r
}

func (r *run) fail(o observation) {
	r.failed++
	r.lastFailure = o.start
	r.beginMax = min(r.beginMax, o.end)
	if o.class == Timeout {
		r.decided = max(r.decided, o.start)
	} else {
		r.decided = max(r.decided, o.end)
	}
	r.classes[o.class.String()]++
	if o.server != "" {
		r.servers[o.server]++
	}
	if o.detail != "" {
		r.details[o.detail]++
	}
}

// first returns the success that was answered first since the last failure was
// decided. An earlier one may have been answered before the outage.
func (r *run) first() (observation, bool) {
	var first observation
	found := false
	for _, o := range r.answers {
		if o.end >= r.decided && (!found || o.end < first.end) {
			first, found = o, true
		}
	}
	return first, found
}

// close ends the run with the first answer after it.
func (f *finder) close(answer observation) {
	r := f.run
	f.run = nil
	r.endMax, r.after = answer.end, answer.server
	r.endMin = max(r.lastFailure, r.held(f.slow, answer.end))
	f.outages = append(f.outages, r.outage)
	for _, o := range r.answers {
		f.succeeded(o)
	}
}

// held returns the start of the last request that is known to have waited for the
// end of the outage, or 0. A server that went on after a hang shows by a slow
// answer that was pending when the first one came. It is busy then, so a request
// that took up to twice the ordinary time may have been sent after the end.
func (r *run) held(slow, answered time.Duration) time.Duration {
	wasHung := slices.ContainsFunc(r.answers, func(o observation) bool { return o.end-o.start >= slow })
	if !wasHung {
		return 0
	}
	var last time.Duration
	for _, o := range r.answers {
		if answered-o.start > 2*r.ordinary {
			last = max(last, o.start)
		}
	}
	return last
}

// finish returns all outages of a window that ends at end.
func (f *finder) finish(end time.Duration) []outage {
	r := f.run
	if r == nil {
		return f.outages
	}
	if answer, ok := r.first(); ok {
		f.close(answer)
	} else {
		f.run = nil
		r.endMin, r.endMax, r.open = r.lastFailure, max(end, r.lastFailure), true
		f.outages = append(f.outages, r.outage)
	}
	return f.outages
}

// disruption puts an outage on the wall clock and says what was going on.
func (e *evaluation) disruption(backend string, o outage) Disruption {
	d := Disruption{
		From: e.wall(o.beginMin), To: e.wall(o.endMax),
		AtLeastMs: milliseconds(max(o.endMin-o.beginMax, 0)),
		// Starts that were late may stand in another order than their slots.
		AtMostMs: milliseconds(max(o.endMax-o.beginMin, o.endMin-o.beginMax, 0)),
		Reason:   mostFrequent(o.classes), Server: mostFrequent(o.servers), Detail: mostFrequent(o.details),
		Failed: o.failed, Before: o.before, After: o.after, Open: o.open,
		During:      e.during(o.beginMax, o.endMax),
		certainFrom: e.wall(o.beginMax), certainTo: e.wall(max(o.endMin, o.beginMax)),
	}
	d.Cause = e.cause(backend, d.Server, o.beginMin, o.endMax)
	if d.During == "" {
		d.During = d.Cause
	}
	return d
}

// during returns the label in force at from, and those that began until to.
func (e *evaluation) during(from, to time.Duration) string {
	label := ""
	for _, m := range e.marks { // in the order of time
		switch {
		case m.At <= from:
			label = m.Label
		case m.At <= to && label == "":
			label = m.Label
		case m.At <= to && m.Label != label:
			return label + ", then " + m.Label
		}
	}
	return label
}

// mostFrequent returns the key with the highest count, the first by name among equals.
func mostFrequent(counts map[string]int) string {
	best := ""
	for key, n := range counts {
		if n > counts[best] || n == counts[best] && key < best {
			best = key
		}
	}
	return best
}

func milliseconds(d time.Duration) float64 {
	return round(float64(d) / float64(time.Millisecond))
}

// downtime unites the disruptions of all backends.
func downtime(backends []BackendResult) Bounds {
	var certain, possible []stretch
	for _, b := range backends {
		for _, d := range b.Disruptions {
			certain = append(certain, stretch{d.certainFrom, d.certainTo})
			possible = append(possible, stretch{d.From, d.To})
		}
	}
	return Bounds{AtLeast: milliseconds(union(certain)), AtMost: milliseconds(union(possible))}
}

type stretch struct{ from, to time.Time }

// union is the time that at least one of spans covers.
func union(spans []stretch) time.Duration {
	slices.SortFunc(spans, func(a, b stretch) int { return cmp.Compare(a.from.UnixNano(), b.from.UnixNano()) })
	var sum time.Duration
	var end time.Time
	for _, s := range spans {
		if s.from.After(end) {
			end = s.from
		}
		if s.to.After(end) {
			sum += s.to.Sub(end)
			end = s.to
		}
	}
	return sum
}
