package upgradetest

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// simulated is a backend with one outage, on a clock of its own.
type simulated struct {
	kind    string // refuse, hang, lose, error
	from    time.Duration
	length  time.Duration
	latency func() time.Duration // of an ordinary answer
}

const (
	simTimeout = 3 * time.Second
	simSlow    = time.Second
)

// answer says how a request sent at t ends.
func (s simulated) answer(t time.Duration) (class Class, end time.Duration) {
	to := s.from + s.length
	done := t + s.latency()
	switch s.kind {
	case "refuse":
		// The connection is made at once, so the moment of sending decides.
		if t >= s.from && t < to {
			return Refused, t + 100*time.Microsecond
		}
	case "error":
		// The server decides when it has the request, half way through.
		if half := t + (done-t)/2; half >= s.from && half < to {
			return HTTP5xx, done
		}
	case "hang":
		if done >= s.from && t < to {
			done = max(to, t) + s.latency()
		}
	case "lose":
		// Lost segments are sent again after 1 s and 3 s, as a new connection does.
		for _, again := range []time.Duration{0, time.Second, 3 * time.Second} {
			if at := t + again; at < s.from || at >= to {
				done = at + s.latency()
				break
			}
			done = t + time.Hour
		}
	}
	if done-t > simTimeout {
		return Timeout, t + simTimeout
	}
	return OK, done
}

// recording writes the samples of one series as a monitor would have.
func recording(t testing.TB, s session, samples []sample, end time.Duration) string {
	t.Helper()
	dir := t.TempDir()
	file, err := os.Create(filepath.Join(dir, SamplesFile))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w, err := newWriter(file, s)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.samples(samples); err != nil {
		t.Fatal(err)
	}
	if err := w.json(kindEnd, endFrame{At: end, Wall: s.Start.Add(end)}); err != nil {
		t.Fatal(err)
	}
	return dir
}

func simulate(t testing.TB, backend simulated, interval, offset, until time.Duration, late func() time.Duration) BackendResult {
	t.Helper()
	grid := series{Name: "simulated", Connection: New, Hertz: 1 / interval.Seconds(), Interval: interval, Offset: offset}
	s := session{Start: time.Unix(1_000_000, 0), Timeout: simTimeout, Slow: simSlow, Series: []series{grid}}
	var samples []sample
	for slot := range grid.slots(until) {
		due := grid.due(slot)
		start := due + late()
		class, end := backend.answer(start)
		samples = append(samples, sample{slot: slot, class: class, late: start - due, total: end - due})
	}
	rand.Shuffle(len(samples), func(i, j int) { samples[i], samples[j] = samples[j], samples[i] })
	r, err := Evaluate(recording(t, s, samples, until))
	if err != nil {
		t.Fatal(err)
	}
	return r.Backends[0]
}

// TestBoundsContainTheOutage tries many lengths, phases and latencies. The bounds
// must hold the true length every time, and be no wider than two intervals with
// two ordinary answers at either edge.
func TestBoundsContainTheOutage(t *testing.T) {
	for _, kind := range []string{"refuse", "error", "hang", "lose"} {
		t.Run(kind, func(t *testing.T) {
			seed := rand.Uint64()
			random := rand.New(rand.NewPCG(seed, 1))
			between := func(from, to time.Duration) time.Duration { return from + time.Duration(random.Int64N(int64(to-from))) }
			for i := range 120 {
				interval := between(10*time.Millisecond, 100*time.Millisecond)
				ordinary := between(200*time.Microsecond, 8*time.Millisecond)
				lateBy := between(1, interval/10)
				length := between(2*interval, 8*time.Second)
				if kind == "hang" || kind == "lose" {
					length = between(3100*time.Millisecond, 8*time.Second) // shorter ones only make answers slow
				}
				backend := simulated{kind: kind, from: 2*time.Second + between(0, interval), length: length,
					latency: func() time.Duration { return between(ordinary/2, ordinary) }}
				b := simulate(t, backend, interval, between(0, interval), backend.from+length+2*time.Second, func() time.Duration { return between(0, lateBy) })
				if len(b.Disruptions) != 1 {
					t.Fatalf("seed %d, case %d: %d disruptions for one outage of %v: %+v", seed, i, len(b.Disruptions), length, b.Disruptions)
				}
				d, truth := b.Disruptions[0], milliseconds(length)
				if d.AtLeastMs > truth || d.AtMostMs < truth {
					t.Errorf("seed %d, case %d: bounds [%v, %v] ms do not hold the true %v ms (interval %v, answers %v)", seed, i, d.AtLeastMs, d.AtMostMs, truth, interval, ordinary)
				}
				if width, limit := d.AtMostMs-d.AtLeastMs, milliseconds(2*(interval+2*ordinary+lateBy)); width > limit {
					t.Errorf("seed %d, case %d: bounds [%v, %v] ms are %v ms apart, over %v ms", seed, i, d.AtLeastMs, d.AtMostMs, width, limit)
				}
			}
		})
	}
}

// TestSlowerAnswersAtTheEdges: a host that gets busy takes twice as long for an answer
// from the hang on. The request that it caught must not be thought to have been due
// before the hang began.
func TestSlowerAnswersAtTheEdges(t *testing.T) {
	asked := 0
	backend := simulated{kind: "hang", from: 2001500 * time.Microsecond, length: 3998600 * time.Microsecond, latency: func() time.Duration {
		if asked++; asked > 40 {
			return 2 * time.Millisecond
		}
		return time.Millisecond
	}}
	b := simulate(t, backend, 50*time.Millisecond, 0, 10*time.Second, func() time.Duration { return 0 })
	if len(b.Disruptions) != 1 {
		t.Fatalf("disruptions %+v", b.Disruptions)
	}
	if d, truth := b.Disruptions[0], milliseconds(backend.length); d.AtLeastMs > truth || d.AtMostMs < truth {
		t.Errorf("bounds [%v, %v] ms do not hold the true %v ms", d.AtLeastMs, d.AtMostMs, truth)
	}
}

func TestShortHangIsSlowAndNoDisruption(t *testing.T) {
	backend := simulated{kind: "hang", from: 2 * time.Second, length: 2 * time.Second, latency: func() time.Duration { return time.Millisecond }}
	b := simulate(t, backend, 50*time.Millisecond, 0, 10*time.Second, func() time.Duration { return 0 })
	if b.Failed != 0 || len(b.Disruptions) != 0 || b.Slow < 18 || b.Slow > 21 {
		t.Errorf("a hang of 2 s gave %d failed, %d slow, disruptions %v; want 0 failed, about 20 slow, none", b.Failed, b.Slow, b.Disruptions)
	}
}
