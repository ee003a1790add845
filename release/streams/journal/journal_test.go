package journal_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/ocitest"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/streams"
	"github.com/slipway-release/slipway/release/streams/journal"
)

const repository = "registry.example.com/tiny"

func open(t *testing.T, addr string) journal.Store {
	t.Helper()
	reg, err := oci.NewRegistry(repository, addr, oci.WithInsecure())
	if err != nil {
		t.Fatal(err)
	}
	return journal.Store{Registry: reg, Repository: repository}
}

var declared = streams.Declaration{Name: "nightly", Base: "1.0.0", MaxUnfinished: 1}

func cut(t *testing.T, number int, id string) journal.Cut {
	t.Helper()
	at := time.Date(2026, 11, 20, 10, number, 0, 0, time.UTC)
	v, err := release.New("1.0.0", "nightly", at, nil)
	if err != nil {
		t.Fatal(err)
	}
	return journal.Cut{Number: number, ID: id, Version: v, Mark: journal.Mark{By: id, At: at}, Declaration: declared.Digest()}
}

func must(t *testing.T, s journal.Store, edits ...journal.Edit) journal.State {
	t.Helper()
	var state journal.State
	for _, e := range edits {
		var err error
		if state, err = s.Change(context.Background(), "nightly", e); err != nil {
			t.Fatal(err)
		}
	}
	return state
}

// Another controller, with nothing but the registry, sees the same.
func TestStateIsInTheRegistry(t *testing.T) {
	addr := ocitest.Registry(t).Addr()
	c := cut(t, 1, "a")
	mark := journal.Mark{By: "ann", Why: "good enough", At: c.At}
	want := must(t, open(t, addr),
		journal.AddRequest(streams.Request{ID: "r", By: "ann"}),
		journal.AddCut(c, declared),
		journal.SetPayload(c.Version, "sha256:1"),
		journal.AddFailure(c.Version, journal.Failure{At: c.At, Stage: "cut", Reason: "no disk"}),
		journal.Decide(c.Version, journal.Override{Verdict: streams.Accepted, Mark: mark}),
		journal.Pin(c.Version, &mark),
		journal.Publish(c.Version, journal.Published{Mirror: "quay.example/tiny", Mark: mark}),
		journal.Publish(c.Version, journal.Published{Mirror: "quay.example/tiny", Mark: journal.Mark{By: "bob", At: c.At}}), // the first time counts
		journal.Finish(c.Version, journal.End{Phase: streams.PhaseRejected}),
		journal.Freeze(mark),
	)
	got, err := open(t, addr).Read(context.Background(), "nightly")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b release.Version) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	if p := got.Cuts[0]; len(p.Published) != 1 || p.Published[0].By != "ann" || !p.PublishedTo("quay.example/tiny") || p.PublishedTo("quay.example") {
		t.Errorf("it is published to %+v", p.Published)
	}
	if p := got.Cuts[0].Phase(); p != streams.PhaseAccepted {
		t.Errorf("a decision by hand leaves it %s", p)
	}
	for name, e := range map[string]journal.Edit{
		"cut of a frozen stream": journal.AddCut(cut(t, 2, "b"), declared),
		"request of a frozen":    journal.AddRequest(streams.Request{ID: "s"}),
		"deletion of a pinned":   journal.Delete(c.Version, mark),
		"unknown payload":        journal.Pin(cut(t, 3, "").Version, &mark),
	} {
		if _, err := open(t, addr).Change(context.Background(), "nightly", e); err == nil {
			t.Errorf("%s: allowed", name)
		}
	}
}

// Of many that mean to make the same cut, one does, and nothing else is lost.
func TestNoDoubleCut(t *testing.T) {
	addr := ocitest.Registry(t).Addr()
	const writers = 4
	errs := make([]error, writers)
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			s := open(t, addr)
			id := fmt.Sprint("writer-", i)
			if _, err := s.Change(context.Background(), "nightly", journal.AddRequest(streams.Request{ID: id})); err != nil {
				t.Error(err)
			}
			_, errs[i] = s.Change(context.Background(), "nightly", journal.AddCut(cut(t, 1, id), declared))
		})
	}
	all.Wait()
	state, err := open(t, addr).Read(context.Background(), "nightly")
	if err != nil {
		t.Fatal(err)
	}
	won := 0
	for i, err := range errs {
		switch {
		case err == nil:
			won++
			if state.Cuts[0].ID != fmt.Sprint("writer-", i) {
				t.Errorf("writer %d believes it made the cut of %s", i, state.Cuts[0].ID)
			}
		case !errors.Is(err, journal.ErrTaken):
			t.Error(err)
		}
	}
	if won != 1 || len(state.Cuts) != 1 || len(state.Requests) != writers {
		t.Errorf("%d won; %d cuts, %d requests", won, len(state.Cuts), len(state.Requests))
	}
}
