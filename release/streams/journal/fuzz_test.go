package journal_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"

	"github.com/slipway-release/slipway/release/streams"
	"github.com/slipway-release/slipway/release/streams/journal"
)

// shelf is a registry with one artifact.
type shelf struct{ img v1.Image }

func (s *shelf) Image(context.Context, string) (v1.Image, error) { return s.img, nil }

func (s *shelf) Delete(context.Context, string) error { return nil }

func (s *shelf) Amend(_ context.Context, _ string, change func(v1.Image) (v1.Image, error)) error {
	next, err := change(s.img)
	if err == nil && next != nil {
		s.img = next
	}
	return err
}

func holding(t testing.TB, data []byte) *shelf {
	t.Helper()
	img, err := mutate.Append(empty.Image, mutate.Addendum{Layer: static.NewLayer(data, journal.MediaType), MediaType: journal.MediaType})
	if err != nil {
		t.Fatal(err)
	}
	return &shelf{img}
}

func text(t *testing.T, s journal.State) string {
	t.Helper()
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatalf("what was read cannot be written: %v", err)
	}
	return string(data)
}

// written is a journal of which cuts are given as JSON.
func written(cuts ...string) string {
	return `{"apiVersion":"slipway.dev/v1alpha1","kind":"StreamJournal","stream":"nightly","cuts":[` + strings.Join(cuts, ",") +
		`],"declarations":{"sha256:1":{"name":"nightly","base":"1.0.0","policy":{"Name":"nightly","Blocking":["conformance"]},"when":"always","maxUnfinished":1,"run":{"pipeline":"nightly"},"retry":{"limit":3,"backoff":60000000000,"max":900000000000},"retain":{}}}}`
}

// entry is a cut with members added to the necessary ones.
func entry(number int, more string) string {
	return fmt.Sprintf(`{"number":%d,"id":"x%[1]d","version":"1.0.0-0.nightly-2026-11-20-10000%[1]d","by":"a","why":"b","at":"2026-11-20T10:00:00Z","declaration":"sha256:1","tool":"1"%s}`, number, more)
}

var refused = map[string]string{
	"nothing":                 "",
	"something behind it":     written(entry(1, "")) + "{}",
	"a brace behind it":       written(entry(1, "")) + "}",
	"a bracket behind it":     written(entry(1, "")) + "]",
	"an unknown field":        `{"apiVersion":"slipway.dev/v1alpha1","kind":"StreamJournal","stream":"nightly","cutz":[]}`,
	"another kind":            `{"apiVersion":"slipway.dev/v1alpha1","kind":"Channel","stream":"nightly"}`,
	"another stream's":        `{"apiVersion":"slipway.dev/v1alpha1","kind":"StreamJournal","stream":"stable"}`,
	"a gap in the numbers":    written(entry(1, ""), entry(3, "")),
	"one version twice":       written(entry(1, ""), strings.Replace(entry(2, ""), "100002", "100001", 1)),
	"no declaration":          strings.Replace(written(entry(1, "")), `"declaration":"sha256:1"`, `"declaration":"sha256:2"`, 1),
	"an end in no phase":      written(entry(1, `,"end":{"at":"2026-11-20T11:00:00Z","phase":"","reason":""}`)),
	"an end that is none":     written(entry(1, `,"end":{"at":"2026-11-20T11:00:00Z","phase":"Ready","reason":""}`)),
	"an end nobody knows":     written(entry(1, `,"end":{"at":"2026-11-20T11:00:00Z","phase":"Gone","reason":""}`)),
	"a decision that is none": written(entry(1, `,"payload":"sha256:2","override":{"verdict":"Maybe","by":"a","why":"b","at":"2026-11-20T11:00:00Z"}`)),
}

func TestReadRefuses(t *testing.T) {
	for name, data := range refused {
		shelf := holding(t, []byte(data))
		before := shelf.img
		s := journal.Store{Registry: shelf, Repository: repository}
		if state, err := s.Read(t.Context(), "nightly"); err == nil {
			t.Errorf("%s: was read as %s", name, text(t, state))
		}
		if _, err := s.Change(t.Context(), "nightly", journal.Freeze(journal.Mark{})); err == nil || shelf.img != before {
			t.Errorf("%s: was changed", name)
		}
	}
}

// A journal of the largest size is read in the time of a request.
func TestReadManyCuts(t *testing.T) {
	const count = 100_000
	cuts := make([]string, count)
	for i := range cuts {
		cuts[i] = fmt.Sprintf(`{"number":%d,"id":"x","version":"1.0.%d","by":"","why":"","at":"2026-11-20T10:00:00Z","declaration":"sha256:1","tool":""}`, i+1, i)
	}
	s := journal.Store{Registry: holding(t, []byte(written(cuts...))), Repository: repository}
	begun := time.Now()
	state, err := s.Read(t.Context(), "nightly")
	if err != nil || len(state.Cuts) != count {
		t.Fatalf("%d cuts: %v", len(state.Cuts), err)
	}
	if took := time.Since(begun); took > 30*time.Second {
		t.Errorf("reading took %s", took)
	}
}

func FuzzJournal(f *testing.F) {
	for _, data := range refused {
		f.Add([]byte(data))
	}
	f.Add([]byte(written()))
	f.Add([]byte(written(
		entry(1, `,"inputs":[{"name":"etcd","digest":"sha256:3"}],"request":"r","failures":[{"at":"2026-11-20T10:10:00Z","stage":"cut","reason":"no disk"}],"payload":"sha256:2","end":{"at":"2026-11-20T11:00:00Z","phase":"Rejected","reason":"x"},"override":{"verdict":"Accepted","by":"a","why":"b","at":"2026-11-20T11:00:00Z"},"pin":{"by":"a","why":"b","at":"2026-11-20T11:00:00Z"}`),
		entry(2, `,"adopted":true,"payload":"sha256:4","end":{"at":"2026-11-20T11:00:00Z","phase":"Failed","reason":"x","hostFailed":true},"deleted":{"by":"a","why":"b","at":"2026-11-20T11:00:00+02:00"}`),
		entry(3, ""))))
	f.Add([]byte(`{"apiVersion":"slipway.dev/v1alpha1","kind":"StreamJournal","stream":"nightly","frozen":{"by":"a","why":"","at":"9999-12-31T23:59:59-23:59"},"requests":[{"id":"","by":"","why":"","at":"0000-01-01T00:00:00Z"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := journal.Store{Registry: holding(t, data), Repository: repository}
		state, err := s.Read(t.Context(), "nightly")
		if err != nil {
			return
		}
		if !json.Valid(data) {
			t.Fatal("what is no JSON was read")
		}
		soundState(t, state)
		// Everything that is done to journals works on this one, and stays.
		mark := journal.Mark{By: "ann", Why: "to see", At: time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)}
		edits := []journal.Edit{journal.Unfreeze(), journal.AddRequest(streams.Request{ID: "new"})}
		next := cut(t, len(state.Cuts)+1, "new")
		if state.Find(next.Version) == nil {
			edits = append(edits, journal.AddCut(next, declared))
		}
		for _, c := range state.Cuts {
			edits = append(edits, journal.SetPayload(c.Version, "sha256:9"), journal.AddFailure(c.Version, journal.Failure{At: mark.At}),
				journal.Decide(c.Version, journal.Override{Verdict: streams.Rejected, Mark: mark}), journal.Pin(c.Version, nil),
				journal.Delete(c.Version, mark), journal.Finish(c.Version, journal.End{At: mark.At, Phase: streams.PhaseFailed}))
		}
		for i, e := range append(edits, journal.Freeze(mark)) {
			after, err := s.Change(t.Context(), "nightly", e)
			if err != nil {
				t.Fatalf("edit %d: %v", i, err)
			}
			again, err := s.Read(t.Context(), "nightly")
			if err != nil {
				t.Fatalf("what edit %d wrote cannot be read: %v", i, err)
			}
			if a, b := text(t, after), text(t, again); a != b {
				t.Fatalf("edit %d wrote\n%s\nand it is read as\n%s", i, a, b)
			}
			soundState(t, again)
		}
	})
}

// soundState checks what others rely on.
func soundState(t *testing.T, s journal.State) {
	t.Helper()
	known := map[streams.Phase]bool{
		streams.PhasePending: true, streams.PhaseReady: true, streams.PhaseAccepted: true,
		streams.PhaseRejected: true, streams.PhaseInconclusive: true, streams.PhaseFailed: true,
	}
	adopted := 0
	for i, c := range s.Cuts {
		if c.Number != i+1 || s.Find(c.Version) != &s.Cuts[i] {
			t.Errorf("cut %d is not found by its version %q", i+1, c.Version)
		}
		if !known[c.Phase()] {
			t.Errorf("cut %d is in phase %q", c.Number, c.Phase())
		}
		if !c.Unfinished() && !c.Phase().Final() {
			t.Errorf("cut %d has ended and is %s", c.Number, c.Phase())
		}
		if _, ok := s.Declarations[c.Declaration]; !ok {
			t.Errorf("cut %d has no declaration", c.Number)
		}
		if c.Adopted {
			adopted++
		}
	}
	if len(s.Past()) != len(s.Cuts)-adopted || len(s.Versions()) != len(s.Cuts) {
		t.Errorf("of %d cuts, %d adopted, %d are past and %d have versions", len(s.Cuts), adopted, len(s.Past()), len(s.Versions()))
	}
}
