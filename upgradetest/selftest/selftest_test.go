package selftest

import (
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/slipway-release/slipway/upgradetest"
)

// What meets only some samples is as long as from its first failure to its last,
// however many failures stand in a row at its ends.
func TestPartialOutage(t *testing.T) {
	const interval = 50 * time.Millisecond
	begin := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	// run is failures in a row: it can have begun an interval before the first and
	// ended an interval after the last.
	run := func(at, failures int) upgradetest.Disruption {
		from := begin.Add(time.Duration(at-1) * interval)
		length := time.Duration(failures+1) * interval
		return upgradetest.Disruption{From: from, To: from.Add(length), AtMostMs: ms(length), AtLeastMs: ms(length - 2*interval)}
	}
	for name, disruptions := range map[string][]upgradetest.Disruption{
		"single failures": {run(0, 1), run(7, 1), run(39, 1)},
		"rows of them":    {run(0, 6), run(20, 2), run(33, 7)},
		"one row":         {run(0, 40)},
	} {
		got, limit := measure(disruptions, 3, interval, 0)
		if got.AtLeast > 2000 || got.AtLeast < 1900 || got.AtMost < 2000 || got.AtMost-got.AtLeast > limit {
			t.Errorf("%s: %.0f to %.0f ms with a limit of %.0f, for an outage of 1950 to 2050 ms", name, got.AtLeast, got.AtMost, limit)
		}
	}
}

// TestScenes makes every outage, all at the same time, for each waits most of its own.
// A tester that was ill proves nothing about the monitor, on a busy machine too.
func TestScenes(t *testing.T) {
	o := Options{Dir: t.TempDir(), Tries: 1}
	cleanup, err := o.complete()
	if err != nil {
		t.Fatal(err)
	}
	defer cleanup()
	found := make([]Injection, len(scenes))
	var group errgroup.Group
	for i, s := range scenes {
		group.Go(func() (err error) {
			found[i], err = s.try(t.Context(), o)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, i := range found {
		t.Logf("%-16s found %-5v true %v measured %v limit %.1f", i.Name, i.Found, i.TrueMs, i.MeasuredMs, i.LimitMs)
		switch {
		case i.Doubt != "":
			t.Logf("%s: nothing can be said: %s", i.Name, i.Doubt)
		case i.Problem != "":
			t.Errorf("%s: %s", i.Name, i.Problem)
		}
	}
}

// TestLoopback is the self-test of a nightly run.
func TestLoopback(t *testing.T) {
	o := Options{Short: true, Tries: 1}
	r, err := Loopback(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	missed, doubtful := r.Missed()
	if len(r.Injections) != 3 || len(missed) > 0 {
		t.Errorf("%d injections, missed %+v", len(r.Injections), missed)
	}
	// What it waits for, and not what the host takes for the work in between.
	var waits time.Duration
	for _, i := range r.Injections {
		waits += 2*o.rest() + time.Duration(i.TrueMs.AtLeast*float64(time.Millisecond))
	}
	if waits > 10*time.Second && len(doubtful) == 0 {
		t.Errorf("it waits for %v", waits)
	}
}
