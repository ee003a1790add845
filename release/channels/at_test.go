package channels_test

import (
	"strings"
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

// What was removed is there before, and gone after; what came back is there again.
func TestRemoval(t *testing.T) {
	hour := func(n int) time.Time { return now.Add(time.Duration(n) * time.Hour) }
	s := newStore(t)
	stored := func() channels.Stored {
		t.Helper()
		stored, err := s.Read(t.Context(), "candidate")
		if err != nil {
			t.Fatal(err)
		}
		return stored
	}
	promote := func(add channels.Addition, at int) {
		t.Helper()
		if _, err := s.Promote(t.Context(), "candidate", add, hour(at)); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(day, at int) channels.Plan {
		t.Helper()
		plan, err := channels.NewRemoval(stored(), nightly(t, day), "ann", "it was never meant for it", hour(at))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Execute(t.Context(), plan); err != nil {
			t.Fatal(err)
		}
		return plan
	}
	promote(addition(t, 18), 0)
	add := addition(t, 19, 18)
	add.Rollout = &channels.Rollout{Start: hour(1), Duration: "4h"}
	promote(add, 1)
	if plan := remove(19, 2); plan.Empty() {
		t.Error("nothing was removed")
	}
	if plan := remove(19, 3); !plan.Empty() {
		t.Errorf("it was removed twice: %v", plan.Changes)
	}
	gone := stored().State
	if _, held := gone.Find(nightly(t, 19)); held || len(gone.Versions) != 1 || len(gone.Edges) != 1 || len(gone.Rollouts) != 0 || !gone.Updated.Equal(hour(2)) {
		t.Errorf("the channel is %+v", gone)
	}
	if r := gone.Removed; len(r) != 1 || r[0].By != "ann" || r[0].Why != "it was never meant for it" || !r[0].Removed.Equal(hour(2)) {
		t.Errorf("removed is %+v", r)
	}
	other := addition(t, 19)
	other.PullSpec = pullSpec(99)
	if _, err := s.Promote(t.Context(), "candidate", other, hour(4)); err == nil || !strings.Contains(err.Error(), "one payload for ever") {
		t.Errorf("a version came back as another payload: %v", err)
	}
	if _, err := channels.NewRemoval(stored(), nightly(t, 1), "ann", "", hour(4)); err == nil || !strings.Contains(err.Error(), "does not hold it") {
		t.Errorf("removed what never was there: %v", err)
	}
	promote(addition(t, 19, 18), 5)
	for at, want := range [][2]int{{1, 0}, {2, 1}, {1, 1}, {1, 1}, {1, 1}, {2, 1}} {
		then := stored().State.At(hour(at))
		if len(then.Versions) != want[0] || len(then.Edges) != want[1] {
			t.Errorf("after %d hours there are %d versions and %d edges, want %v", at, len(then.Versions), len(then.Edges), want)
		}
		if _, err := then.Marshal(); err != nil {
			t.Error(err)
		}
	}
	if then := stored().State.At(hour(3)); !then.Updated.Equal(hour(2)) || len(then.Removed) != 1 {
		t.Errorf("after 3 hours it was updated at %s, %d removed", then.Updated, len(then.Removed))
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
