package selftest

import (
	"testing"
)

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
