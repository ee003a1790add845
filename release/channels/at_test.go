package channels_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/channels"
)

func TestAt(t *testing.T) {
	hour := func(n int) time.Time { return now.Add(time.Duration(n) * time.Hour) }
	halted := hour(6)
	v := func(day, added int) channels.Version {
		return channels.Version{Version: nightly(t, day), PullSpec: pullSpec(day), Added: hour(added)}
	}
	state := channels.State{
		Name: "candidate", Updated: hour(9), Versions: []channels.Version{v(18, 0), v(19, 2), v(20, 4)},
		Edges: []channels.Edge{
			{From: nightly(t, 1), To: nightly(t, 18)}, // from a version that the channel never held
			{From: nightly(t, 18), To: nightly(t, 19)},
			{From: nightly(t, 18), To: nightly(t, 20), Added: hour(5)},
			{From: nightly(t, 19), To: nightly(t, 20), Added: hour(4), Failed: true},
		},
		Rollouts: []channels.Rollout{{Version: nightly(t, 20), Start: hour(5), Duration: "4h", Halted: &halted}},
	}
	for _, tc := range []struct {
		name                      string
		at                        time.Time
		versions, edges, rollouts int
		halted                    bool
		updated                   time.Time
	}{
		{"before all", hour(0).Add(-time.Second), 0, 0, 0, false, time.Time{}},
		{"to the second", hour(0), 1, 1, 0, false, hour(0)},
		{"between", hour(1), 1, 1, 0, false, hour(0)},
		{"an old edge comes with its ends", hour(2), 2, 2, 0, false, hour(2)},
		{"an edge came before another", hour(4), 3, 3, 1, false, hour(4)},
		{"all edges, and not halted yet", hour(5), 3, 4, 1, false, hour(5)},
		{"halted", hour(6), 3, 4, 1, true, hour(5)},
		{"another zone", hour(2).In(time.FixedZone("", 7200)), 2, 2, 0, false, hour(2)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := state.At(tc.at)
			if len(got.Versions) != tc.versions || len(got.Edges) != tc.edges || len(got.Rollouts) != tc.rollouts || !got.Updated.Equal(tc.updated) {
				t.Errorf("%d versions, %d edges, %d rollouts, updated %s", len(got.Versions), len(got.Edges), len(got.Rollouts), got.Updated)
			}
			if len(got.Rollouts) > 0 && (got.Rollouts[0].Halted != nil) != tc.halted {
				t.Errorf("halted at %v", got.Rollouts[0].Halted)
			}
			if _, err := got.Marshal(); err != nil {
				t.Error(err)
			}
		})
	}
	same := cmp.Comparer(func(a, b release.Version) bool { return a == b })
	if got := state.At(hour(9)); !cmp.Equal(got.Versions, state.Versions, same) || !cmp.Equal(got.Edges, state.Edges, same) {
		t.Errorf("in the end not everything is there: %+v", got)
	}
	if state.Rollouts[0].Halted == nil {
		t.Error("the state that was asked is changed")
	}
}

// What a promotion added is told apart by when.
func TestPromotionNotesWhenEdgesWereAdded(t *testing.T) {
	s := newStore(t)
	for i, add := range []channels.Addition{addition(t, 18), addition(t, 20, 18), addition(t, 20, 19), addition(t, 19)} {
		if _, err := s.Promote(t.Context(), "candidate", add, now.Add(time.Duration(i)*time.Hour+time.Millisecond)); err != nil {
			t.Fatal(err)
		}
	}
	stored, err := s.Read(t.Context(), "candidate")
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{0, 1, 2, 2} {
		if got := stored.State.At(now.Add(time.Duration(i) * time.Hour)); len(got.Edges) != want {
			t.Errorf("after %d hours there are %d edges, want %d", i, len(got.Edges), want)
		}
	}
	if got := stored.State.Edges[0].Added; !got.Equal(now.Add(time.Hour)) {
		t.Errorf("the first was added at %s", got)
	}
}
