package graph_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/slipway-release/slipway/release/channels/graph"
)

func TestRolloutOpensToAGrowingShare(t *testing.T) {
	const clusters = 10_000
	start := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	r := graph.Rollout{Version: "1.36.4", Start: start, Duration: 10 * time.Hour}
	halted := r
	halted.Halted = start.Add(3 * time.Hour)
	for _, tc := range []struct {
		name    string
		rollout graph.Rollout
		after   time.Duration
		want    float64
	}{
		{"before", r, -time.Second, 0},
		{"at the start", r, 0, 0},
		{"a tenth", r, time.Hour, .1},
		{"half", r, 5 * time.Hour, .5},
		{"all", r, 10 * time.Hour, 1},
		{"not halted yet", halted, 2 * time.Hour, .2},
		{"halted", halted, 9 * time.Hour, .3},
		{"halted for good", halted, 90 * time.Hour, .3},
		{"at once", graph.Rollout{Version: "1.36.4", Start: start}, 0, 1},
	} {
		open := 0
		for i := range clusters {
			if tc.rollout.Open(fmt.Sprintf("cluster-%d", i), start.Add(tc.after)) {
				open++
			}
		}
		if got := float64(open) / clusters; math.Abs(got-tc.want) > .02 {
			t.Errorf("%s: open to %v, want %v", tc.name, got, tc.want)
		}
	}
}

func TestRolloutStaysOpenToACluster(t *testing.T) {
	start := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	r := graph.Rollout{Version: "1.36.4", Start: start, Duration: 100 * time.Minute}
	other := graph.Rollout{Version: "1.36.5", Start: start, Duration: 100 * time.Minute}
	differ := 0
	for i := range 200 {
		id := fmt.Sprint(i)
		was := false
		for minute := range 101 {
			now := start.Add(time.Duration(minute) * time.Minute)
			is := r.Open(id, now)
			if was && !is {
				t.Fatalf("cluster %s was shut out again after %d minutes", id, minute)
			}
			if was = is; is != other.Open(id, now) {
				differ++
			}
		}
		if !was {
			t.Errorf("cluster %s was left out", id)
		}
	}
	if differ == 0 {
		t.Error("the same clusters go first in every rollout")
	}
	if end := start.Add(99 * time.Minute); r.Open("", end) || !r.Open("", end.Add(time.Minute)) {
		t.Error("a cluster without id does not come last")
	}
}
