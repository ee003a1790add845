package upgradetest

import (
	"bufio"
	"cmp"
	"container/heap"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Evaluate makes a Result of the recording in samplesDir: the one that Stop
// returned, or, of a monitor that was killed, one that goes as far as it got. It
// fails when there is none, or with ErrDamaged.
func Evaluate(samplesDir string) (Result, error) {
	file, err := os.Open(filepath.Join(samplesDir, SamplesFile))
	if err != nil {
		return Result{}, fmt.Errorf("evaluating the samples in %q: %w", samplesDir, err)
	}
	defer file.Close()
	e := &evaluation{}
	if err := read(bufio.NewReader(file), e.visitor()); err != nil {
		return Result{}, fmt.Errorf("evaluating the samples in %q: %w", samplesDir, err)
	}
	e.arrange()
	r := e.result()
	if err := e.addPollers(&r, samplesDir); err != nil {
		return Result{}, fmt.Errorf("evaluating the samples in %q: %w", samplesDir, err)
	}
	r.DowntimeMs = downtime(r.Backends)
	r.TesterHealthy = len(r.TesterReasons) == 0
	return r, nil
}

func (e *evaluation) visitor() visitor {
	return visitor{
		session: e.begin, sample: e.sample, mark: e.mark, host: e.host, event: e.event, end: e.finish,
		ledger: func(l Ledger) error { e.ledgers = append(e.ledgers, l); return nil },
	}
}

// evaluation takes in a recording as it is read.
type evaluation struct {
	session session
	tracks  []*track
	marks   []markFrame
	events  []eventFrame
	ledgers []Ledger
	skipped []string
	last    time.Duration // the latest moment that the recording speaks of
	end     *endFrame

	steal, total uint64
	stealMax     float64
}

// track is one series: its samples, brought into the order of their slots, and
// what was seen before and after the end of the baseline.
type track struct {
	series   series
	next     int64 // the slot that is due
	waiting  slotHeap
	baseline *window
	upgrade  *window
}

func (e *evaluation) begin(s session) error {
	e.session = s
	for _, series := range s.Series {
		t := &track{series: series, upgrade: newWindow(s, series, s.Baseline)}
		if s.Baseline > 0 {
			t.baseline = newWindow(s, series, 0)
		}
		e.tracks = append(e.tracks, t)
	}
	return nil
}

// sample takes samples in the order in which they ended, and hands them on in that
// in which they were due.
func (e *evaluation) sample(s sample) error {
	t := e.tracks[s.series]
	if s.slot < t.next {
		return damaged("slot %d of %s/%s was recorded twice", s.slot, t.series.Name, t.series.Connection)
	}
	e.last = max(e.last, t.series.due(s.slot))
	heap.Push(&t.waiting, s)
	for len(t.waiting) > 0 && t.waiting[0].slot == t.next {
		e.take(t, heap.Pop(&t.waiting).(sample))
	}
	return nil
}

func (e *evaluation) take(t *track, s sample) {
	t.next = s.slot + 1
	due := t.series.due(s.slot)
	if due < e.session.Baseline {
		t.baseline.add(due, s)
		return
	}
	t.upgrade.add(due, s)
}

func (e *evaluation) mark(m markFrame) error {
	e.marks = append(e.marks, m)
	e.last = max(e.last, m.At)
	return nil
}

func (e *evaluation) host(h hostFrame) error {
	e.last = max(e.last, h.At)
	if h.Total > 0 && h.Steal <= h.Total {
		e.steal += h.Steal
		e.total += h.Total
		e.stealMax = max(e.stealMax, float64(h.Steal)/float64(h.Total))
	}
	return nil
}

func (e *evaluation) finish(end endFrame) error {
	e.end = &end
	e.last = end.At
	return nil
}

// drain hands on what waits for slots that a killed monitor never wrote.
func (e *evaluation) drain() {
	for _, t := range e.tracks {
		for len(t.waiting) > 0 {
			s := heap.Pop(&t.waiting).(sample)
			if s.slot >= t.next {
				e.take(t, s)
			}
		}
	}
}

// arrange brings what was read into the order of time.
func (e *evaluation) arrange() {
	e.drain()
	slices.SortStableFunc(e.marks, func(a, b markFrame) int { return cmp.Compare(a.At, b.At) })
	slices.SortStableFunc(e.events, func(a, b eventFrame) int { return cmp.Compare(a.At, b.At) })
}

func (e *evaluation) result() Result {
	r := Result{
		Ledgers: e.ledgers, Skipped: e.skipped, Findings: e.findings(),
		Seconds:   seconds(e.last - e.session.Baseline),
		Backends:  []BackendResult{},
		Started:   e.wall(0),
		Finished:  e.wall(e.last),
		Truncated: e.end == nil,
	}
	for _, m := range e.marks {
		r.Marks = append(r.Marks, Mark{At: e.wall(m.At), Label: m.Label})
	}
	for _, v := range e.events[:min(len(e.events), MaxEvents)] {
		r.Events = append(r.Events, Event{At: e.wall(v.At), Lane: v.Lane, Object: v.Object, State: v.State, Detail: v.Detail, Facts: v.Facts})
	}
	if e.session.Baseline > 0 {
		r.Baseline = &Window{Seconds: seconds(min(e.session.Baseline, e.last)), Backends: []BackendResult{}}
	}
	for _, t := range e.tracks {
		upgrade := t.upgrade.result(e, e.last)
		if t.series.Control {
			r.Tester.Control = append(r.Tester.Control, upgrade)
			continue
		}
		if t.series.Informing {
			r.Informing = append(r.Informing, upgrade)
			continue
		}
		r.Backends = append(r.Backends, upgrade)
		if t.baseline != nil {
			r.Baseline.Backends = append(r.Baseline.Backends, t.baseline.result(e, min(e.session.Baseline-1, e.last)))
		}
	}
	e.judgeTester(&r)
	return r
}

func (e *evaluation) wall(at time.Duration) time.Time {
	return e.session.Start.Add(at).UTC()
}

func seconds(d time.Duration) float64 { return float64(max(d, 0).Milliseconds()) / 1000 }

// slotHeap orders samples by slot.
type slotHeap []sample

func (h slotHeap) Len() int           { return len(h) }
func (h slotHeap) Less(i, j int) bool { return h[i].slot < h[j].slot }
func (h slotHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *slotHeap) Push(x any) { *h = append(*h, x.(sample)) }

// Pop implements heap.Interface.
func (h *slotHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
