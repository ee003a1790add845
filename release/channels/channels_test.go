package channels_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/internal/golden"
	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/ocitest"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/channels"
)

const repository = "registry.example/skiff"

var now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func version(t testing.TB, s string) release.Version {
	t.Helper()
	v, err := release.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func pullSpec(n int) string { return fmt.Sprintf("%s/release@sha256:%064x", repository, n) }

func nightly(t testing.TB, day int) release.Version {
	return version(t, fmt.Sprintf("1.36.3-0.nightly-2026-11-%02d-101500", day))
}

func addition(t testing.TB, day int, from ...int) channels.Addition {
	add := channels.Addition{Version: nightly(t, day), PullSpec: pullSpec(day)}
	for _, f := range from {
		add.Edges = append(add.Edges, channels.Source{From: nightly(t, f), Evidence: fmt.Sprintf("sha256:%064x", 1000+f)})
	}
	return add
}

func newStore(t testing.TB) channels.Store {
	t.Helper()
	r, err := oci.NewRegistry(repository, ocitest.Registry(t).Addr())
	if err != nil {
		t.Fatal(err)
	}
	return channels.Store{Registry: r, Repository: repository}
}

func TestPromote(t *testing.T) {
	s := newStore(t)
	empty, err := s.Read(t.Context(), "candidate")
	if err != nil || len(empty.State.Versions) != 0 || empty.Digest != (v1.Hash{}) {
		t.Fatalf("a channel that does not exist: %+v, %v", empty, err)
	}
	first, err := s.Promote(t.Context(), "candidate", addition(t, 18), now)
	if err != nil || len(first.Changes) != 1 {
		t.Fatalf("%v, %v", first.Changes, err)
	}
	second, err := s.Promote(t.Context(), "candidate", addition(t, 19, 18), now.Add(time.Hour))
	if err != nil || len(second.Changes) != 2 {
		t.Fatalf("%v, %v", second.Changes, err)
	}
	stored, err := s.Read(t.Context(), "candidate")
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.Promote(t.Context(), "candidate", addition(t, 19, 18), now.Add(2*time.Hour))
	if err != nil || !again.Empty() {
		t.Errorf("a second time changes %v, %v", again.Changes, err)
	}
	other := addition(t, 19, 18)
	other.Edges[0].Evidence = "sha256:other"
	if plan, err := s.Promote(t.Context(), "candidate", other, now); err != nil || !plan.Empty() {
		t.Errorf("other evidence for the same edge changes %v, %v", plan.Changes, err)
	}
	after, err := s.Read(t.Context(), "candidate")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(stored, after, cmp.Comparer(func(a, b release.Version) bool { return a == b })); diff != "" {
		t.Errorf("nothing to do changed the channel: %s", diff)
	}
	if !after.State.Updated.Equal(now.Add(time.Hour)) || len(after.State.Versions) != 2 || len(after.State.Edges) != 1 {
		t.Errorf("got %+v", after.State)
	}
	if _, err := s.Promote(t.Context(), "stable-1.36", addition(t, 19), now); err != nil {
		t.Fatal(err)
	}
	all, err := s.List(t.Context())
	if err != nil || len(all) != 2 || all[0].State.Name != "candidate" || all[1].State.Name != "stable-1.36" {
		t.Errorf("got %v, %v", all, err)
	}
}

func TestPromoteRefuses(t *testing.T) {
	s := newStore(t)
	if _, err := s.Promote(t.Context(), "candidate", addition(t, 19, 18), now); err != nil {
		t.Fatal(err)
	}
	contradiction := addition(t, 19)
	contradiction.PullSpec = pullSpec(99)
	unpinned := addition(t, 20)
	unpinned.PullSpec = repository + "/release:latest"
	for name, tc := range map[string]struct {
		channel string
		add     channels.Addition
		want    string
	}{
		"another payload under one version": {"candidate", contradiction, "the channel holds this version as"},
		"a pull spec without digest":        {"candidate", unpinned, "is not by digest"},
		"an edge to itself":                 {"candidate", addition(t, 20, 20), "does not join two versions"},
		"a circle":                          {"candidate", addition(t, 18, 19), "form a circle"},
		"no version":                        {"candidate", channels.Addition{PullSpec: pullSpec(1)}, "a version has no name"},
		"a name that is none":               {"Candidate/x", addition(t, 20), "lower case"},
	} {
		if _, err := s.Promote(t.Context(), tc.channel, tc.add, now); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", name, err, tc.want)
		}
	}
}

// A plan is only executed on the channel it was made for.
func TestExecuteSeesConcurrentChange(t *testing.T) {
	s := newStore(t)
	stored, err := s.Read(t.Context(), "candidate")
	if err != nil {
		t.Fatal(err)
	}
	mine, err := channels.NewPlan(stored, addition(t, 18), now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Promote(t.Context(), "candidate", addition(t, 19), now); err != nil {
		t.Fatal(err)
	}
	if err := s.Execute(t.Context(), mine); !errors.Is(err, channels.ErrChanged) {
		t.Errorf("got %v, want ErrChanged", err)
	}
	after, err := s.Read(t.Context(), "candidate")
	if err != nil || len(after.State.Versions) != 1 || after.State.Versions[0].Version != nightly(t, 19) {
		t.Errorf("the other's change is lost: %+v, %v", after.State, err)
	}
}

// Another's change between plan and execution makes Promote plan anew.
func TestPromoteTriesAgain(t *testing.T) {
	s := newStore(t)
	i := &intruder{Registry: s.Registry}
	i.before = sync.OnceFunc(func() {
		if _, err := s.Promote(t.Context(), "candidate", addition(t, 19), now); err != nil {
			t.Error(err)
		}
	})
	if _, err := (channels.Store{Registry: i, Repository: repository}).Promote(t.Context(), "candidate", addition(t, 18), now); err != nil {
		t.Fatal(err)
	}
	after, err := s.Read(t.Context(), "candidate")
	if err != nil || len(after.State.Versions) != 2 {
		t.Errorf("got %+v, %v", after.State, err)
	}
}

// Whoever loses the race for the tag itself learns of it and adds its part again.
func TestPromoteNoticesALostTag(t *testing.T) {
	s := newStore(t)
	i := &intruder{Registry: s.Registry}
	i.after = sync.OnceFunc(func() {
		elsewhere := newStore(t)
		if _, err := elsewhere.Promote(t.Context(), "candidate", addition(t, 19), now); err != nil {
			t.Error(err)
		}
		img, err := elsewhere.Registry.Image(t.Context(), repository+"/channels:candidate")
		if err != nil {
			t.Error(err)
		}
		if _, err := s.Registry.Push(t.Context(), repository+"/channels:candidate", img); err != nil {
			t.Error(err)
		}
	})
	if _, err := (channels.Store{Registry: i, Repository: repository}).Promote(t.Context(), "candidate", addition(t, 18), now); err != nil {
		t.Fatal(err)
	}
	after, err := s.Read(t.Context(), "candidate")
	if err != nil || len(after.State.Versions) != 2 {
		t.Errorf("got %+v, %v", after.State, err)
	}
}

// intruder does something before and after a tag is written.
type intruder struct {
	channels.Registry
	before, after func()
}

func (i *intruder) Push(ctx context.Context, ref string, img v1.Image) (v1.Hash, error) {
	if i.before != nil {
		i.before()
	}
	return i.Registry.Push(ctx, ref, img)
}

func (i *intruder) Tag(ctx context.Context, ref, tag string) error {
	err := i.Registry.Tag(ctx, ref, tag)
	if i.after != nil {
		i.after()
	}
	return err
}

func TestReadRefusesWhatIsNoChannel(t *testing.T) {
	s := newStore(t)
	if _, err := s.Promote(t.Context(), "candidate", addition(t, 18), now); err != nil {
		t.Fatal(err)
	}
	img, err := s.Registry.Image(t.Context(), repository+"/channels:candidate")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Registry.Push(t.Context(), repository+"/channels:stable", img); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(t.Context(), "stable"); err == nil || !strings.Contains(err.Error(), `that of channel "candidate"`) {
		t.Errorf("a channel under another's name was read: %v", err)
	}
}

func TestGraphGolden(t *testing.T) {
	s := newStore(t)
	for _, add := range []channels.Addition{addition(t, 20, 18, 19), addition(t, 18, 1), addition(t, 19, 18)} {
		add.Metadata = map[string]string{release.MetadataURL: "https://example.com/?a&b"}
		if _, err := s.Promote(t.Context(), "candidate", add, now); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Promote(t.Context(), "stable", addition(t, 19), now); err != nil {
		t.Fatal(err)
	}
	stored, err := s.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	states := []channels.State{stored[1].State, stored[0].State}
	for name, channel := range map[string]string{"candidate.json": "candidate", "nothing.json": "nothing"} {
		offered, err := channels.Snapshot("amd64", states, channels.Offer{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := offered.Graphs["amd64"].Channel(channel).Encode()
		if err != nil {
			t.Fatal(err)
		}
		golden.Check(t, "testdata/"+name, got)
		if !json.Valid(got) {
			t.Errorf("%s is no JSON", name)
		}
	}
	states[0].Versions[0].PullSpec = pullSpec(7)
	if offered, err := channels.Snapshot("amd64", states, channels.Offer{}); err != nil || len(offered.Quarantined) != 1 {
		t.Errorf("two payloads under one version: %+v, %v", offered, err)
	}
}

func FuzzParseState(f *testing.F) {
	f.Add([]byte(`{"apiVersion":"slipway.dev/v1alpha1","kind":"Channel","name":"candidate","updated":"2026-11-20T12:00:00Z","versions":[{"version":"1.0.0","pullSpec":"a.example/b@sha256:` +
		strings.Repeat("0", 64) + `","added":"2026-11-20T12:00:00Z"}],"edges":[{"from":"0.9.0","to":"1.0.0","evidence":"x"}]}`))
	f.Add([]byte(`{"apiVersion":"slipway.dev/v1alpha1","kind":"Channel","name":"x","edges":[{"from":"1.0.0","to":"1.0.1"},{"from":"1.0.1","to":"1.0.0"}]}`))
	held := `"version":"1.0.0","pullSpec":"a.example/b@sha256:` + strings.Repeat("0", 64) + `","added":"2026-11-20T1`
	f.Add([]byte(`{"apiVersion":"slipway.dev/v1alpha1","kind":"Channel","name":"x","versions":[{` + held + `4:00:00Z"}],"removed":[{` + held + `2:00:00Z","removed":"2026-11-20T13:00:00Z","by":"ann","why":"x"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		first, err := channels.ParseState(data)
		if err != nil {
			return
		}
		written, err := first.Marshal()
		if err != nil {
			return // years beyond 9999
		}
		second, err := channels.ParseState(written)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, written)
		}
		if again, err := second.Marshal(); err != nil || !bytes.Equal(written, again) {
			t.Errorf("%v\n%s\n%s", err, written, again)
		}
		for _, state := range []channels.State{first, first.At(time.Date(2026, 11, 20, 12, 30, 0, 0, time.UTC))} {
			if _, err := channels.Snapshot("amd64", []channels.State{state}, channels.Offer{}); err != nil {
				t.Error(err)
			}
			if _, err := state.Marshal(); err != nil && !strings.Contains(err.Error(), "year") {
				t.Error(err)
			}
		}
	})
}
