package selftest

import (
	"testing"
	"time"

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

// TestLoopbackFindsAll is the self-test itself. A tester that was ill proves nothing
// about the monitor, on a busy machine too.
func TestLoopbackFindsAll(t *testing.T) {
	r, err := Loopback(t.Context(), Options{Dir: t.TempDir(), Progress: func(s string) { t.Log(s) }})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Injections) != len(scenes) {
		t.Fatalf("%d injections of %d scenes", len(r.Injections), len(scenes))
	}
	missed, doubtful := r.Missed()
	for _, i := range missed {
		t.Errorf("%s: %s (true %v, measured %v)", i.Name, i.Problem, i.TrueMs, i.MeasuredMs)
	}
	for _, i := range doubtful {
		t.Logf("%s: nothing can be said: %s", i.Name, i.Doubt)
	}
	for _, i := range r.Injections {
		t.Logf("%-16s found %-5v true %v measured %v limit %.1f", i.Name, i.Found, i.TrueMs, i.MeasuredMs, i.LimitMs)
	}
}
