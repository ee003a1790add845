package proportion_test

import (
	"math"
	"testing"

	"github.com/slipway-release/slipway/internal/proportion"
)

func TestCovered(t *testing.T) {
	for _, tc := range []struct {
		taken, intended int64
		want            bool
	}{
		{0, 0, false},
		{1000, 1000, true},
		{999, 1000, true},
		{998, 1000, false},
		{99, 100, false},
		{99900, 100000, true},
		{99899, 100000, false},
	} {
		if got := proportion.Covered(tc.taken, tc.intended); got != tc.want {
			t.Errorf("%d of %d: %t", tc.taken, tc.intended, got)
		}
	}
}

// The expected values follow from the closed form for no failure,
// 1-(1-confidence)^(1/samples), or were found by summing the distribution in whole numbers.
func TestUpperBound(t *testing.T) {
	for _, tc := range []struct {
		failed, samples int64
		confidence      float64
		want            float64
	}{
		{0, 0, 0.95, 1},
		{5, 5, 0.95, 1},
		{0, 1, 0.95, 0.95},
		{0, 10, 0.95, 1 - math.Pow(0.05, 0.1)},
		{0, 30000, 0.95, 1 - math.Pow(0.05, 1.0/30000)},
		{0, 30000, 0.99, 1 - math.Pow(0.01, 1.0/30000)},
		{1, 10, 0.95, 0.3941633},
		{2, 20, 0.95, 0.2826185},
		{3, 100, 0.95, 0.0757108},
	} {
		got := proportion.UpperBound(tc.failed, tc.samples, tc.confidence)
		if math.Abs(got-tc.want) > 1e-6 {
			t.Errorf("%d of %d at %g: %.7f, want %.7f", tc.failed, tc.samples, tc.confidence, got, tc.want)
		}
	}
	// Many failures of very many samples: the normal approximation is good there.
	share := proportion.UpperBound(5000, 1000000, 0.95)
	if near := 0.005 + 1.645*math.Sqrt(0.005*0.995/1e6); math.Abs(share-near) > 2e-6 {
		t.Errorf("5000 of 1000000: %.8f, want about %.8f", share, near)
	}
}
