package controller_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/ocitest"
	"github.com/slipway-release/slipway/pipelines/controller"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/streams"
	"github.com/slipway-release/slipway/release/streams/journal"
)

func ignoreMissing(err error) error {
	if errors.Is(err, oci.ErrNotFound) {
		return nil
	}
	return err
}

func declaration(edits ...func(*streams.Declaration)) streams.Declaration {
	check := func(name, code string) streams.Check {
		return streams.Check{Name: name, PipelineRun: streams.PipelineRun{Pipeline: "check", Params: map[string]string{"file": name, "code": code, "payload": "{payload}"}}}
	}
	d := streams.Declaration{
		Name: "nightly", Base: "1.0.0", When: streams.WhenAlways, MaxUnfinished: 1,
		Policy: streams.Policy{Name: "nightly", Blocking: []string{"smoke", "soak"}, Informing: []string{"speed"}},
		Run:    streams.PipelineRun{Pipeline: "make"},
		Checks: []streams.Check{check("speed", "1"), check("smoke", "1"), check("soak", "3")},
		Retry:  streams.Retry{Limit: 2, Backoff: 10 * time.Millisecond, Max: 50 * time.Millisecond},
	}
	for _, e := range edits {
		e(&d)
	}
	return d
}

func newConfig(t *testing.T, d streams.Declaration) config {
	t.Helper()
	return config{
		Addr: ocitest.Serve(t, t.TempDir()).Addr(), Dir: t.TempDir(), Shared: t.TempDir(), Holder: "first", Stream: d, Once: true,
		Lease: 6 * time.Second, Inputs: []streams.Input{{Name: "etcd", Digest: "sha256:1"}},
	}
}

// failing makes a step fail n times.
func failing(t *testing.T, c config, file string, n int) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(c.Shared, file), bytes.Repeat([]byte("x"), n), 0o644); err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, c config) (*payloads, journal.State) {
	t.Helper()
	var log bytes.Buffer
	ctl, p, err := build(c, &log)
	if err != nil {
		t.Fatal(err)
	}
	if err := ctl.Run(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, &log)
	}
	return p, read(t, c)
}

func read(t *testing.T, c config) journal.State {
	t.Helper()
	reg, err := open(c.Addr)
	if err != nil {
		t.Fatal(err)
	}
	state, err := journal.Store{Registry: reg, Repository: repository}.Read(context.Background(), "nightly")
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func checked(t *testing.T, p *payloads, c journal.Cut) map[string]streams.Status {
	t.Helper()
	results, err := p.Results(context.Background(), c.Version, streams.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]streams.Status{}
	for _, r := range results {
		out[r.Check] = r.Status
	}
	return out
}

func TestVerdicts(t *testing.T) {
	for name, c := range map[string]struct {
		fail     map[string]int
		edit     func(*streams.Declaration)
		phase    streams.Phase
		reason   string
		failures int
		checks   map[string]streams.Status
	}{
		"accepted": {phase: streams.PhaseAccepted, checks: map[string]streams.Status{"smoke": "Passed", "soak": "Passed", "speed": "Passed"}},
		"informing failed": {
			fail: map[string]int{"speed": 1}, phase: streams.PhaseAccepted, checks: map[string]streams.Status{"smoke": "Passed", "soak": "Passed", "speed": "Failed"},
		},
		"rejected at once": {fail: map[string]int{"smoke": 1}, phase: streams.PhaseRejected, reason: "smoke failed", checks: map[string]streams.Status{"smoke": "Failed"}},
		"the host recovered": {
			fail: map[string]int{"make": 2, "soak": 1}, phase: streams.PhaseAccepted, failures: 3,
			checks: map[string]streams.Status{"smoke": "Passed", "soak": "Passed", "speed": "Passed"},
		},
		"the host did not recover": {fail: map[string]int{"make": 9}, phase: streams.PhaseFailed, reason: `task "doubt" failed`, failures: 3},
		"nor during a check": {
			fail: map[string]int{"soak": 9}, phase: streams.PhaseInconclusive, reason: "soak inconclusive", failures: 3,
			checks: map[string]streams.Status{"smoke": "Passed", "soak": "Inconclusive", "speed": "Passed"},
		},
		"the build failed": {
			fail: map[string]int{"make": 9}, edit: func(d *streams.Declaration) { d.Run.Params = map[string]string{"code": "1"} }, phase: streams.PhaseFailed, reason: "doubt",
		},
		"no source": {
			edit: func(d *streams.Declaration) { d.Checks[1].From = "previous" }, phase: streams.PhaseAccepted,
			checks: map[string]streams.Status{"smoke": "Skipped", "soak": "Passed", "speed": "Passed"},
		},
		"no source, and one is needed": {
			edit: func(d *streams.Declaration) {
				d.Checks[1].From = "previous"
				d.Policy.RejectSkipped = []string{"smoke"}
			}, phase: streams.PhaseRejected, reason: "smoke skipped",
			checks: map[string]streams.Status{"smoke": "Skipped"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := declaration()
			if c.edit != nil {
				c.edit(&d)
			}
			cfg := newConfig(t, d)
			for file, n := range c.fail {
				failing(t, cfg, file, n)
			}
			p, state := run(t, cfg)
			if len(state.Cuts) != 1 || state.Cuts[0].End == nil {
				t.Fatalf("journal is %+v", state)
			}
			cut := state.Cuts[0]
			if cut.End.Phase != c.phase || !strings.Contains(cut.End.Reason, c.reason) || len(cut.Failures) != c.failures {
				t.Errorf("ended as %+v after %d failures", *cut.End, len(cut.Failures))
			}
			if cut.Payload != "" {
				if diff := cmp.Diff(c.checks, checked(t, p, cut)); diff != "" {
					t.Error(diff)
				}
			}
			if promoted := len(p.promoted) == 1; promoted != (c.phase == streams.PhaseAccepted) {
				t.Errorf("promoted is %t", promoted)
			}
		})
	}
}

// Evidence of a check, and the figures, tell how long its run took.
func TestCheckTakes(t *testing.T) {
	t.Parallel()
	c := newConfig(t, declaration(func(d *streams.Declaration) {
		d.Checks[2].Params["takes"] = "100ms"
		d.Checks[1].From = "previous" // which there is none of
	}))
	failing(t, c, "speed", 1)
	ctl, p, err := build(c, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	if err := ctl.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	all, err := p.read(t.Context(), read(t, c).Cuts[0].Version, "test/check")
	if err != nil || len(all) != 3 {
		t.Fatalf("%d results, error %v", len(all), err)
	}
	for _, data := range all {
		var e controller.CheckEvidence
		if err := json.Unmarshal(data, &e); err != nil {
			t.Fatal(err)
		}
		took := e.Finished.Sub(e.Started)
		if e.Status == streams.Skipped && (!e.Started.IsZero() || bytes.Contains(data, []byte("started"))) || e.Check == "soak" && took < 100*time.Millisecond || took < 0 {
			t.Errorf("evidence %s", data)
		}
	}
	got := ctl.Metrics.Snapshot().Streams["nightly"].Checks
	if got["soak"].Runs[streams.Passed] != 1 || got["soak"].Seconds[streams.Passed] < 0.1 || got["speed"].Runs[streams.Failed] != 1 || len(got) != 2 {
		t.Errorf("figures %+v", got)
	}
}

// What is declared later changes nothing for a payload that was cut before.
func TestDeclarationIsFrozen(t *testing.T) {
	t.Parallel()
	c := newConfig(t, declaration())
	reg, err := open(c.Addr)
	if err != nil {
		t.Fatal(err)
	}
	before := declaration(func(d *streams.Declaration) { d.Policy.Blocking, d.Checks = []string{"smoke"}, d.Checks[1:2] })
	now := time.Now().UTC().Truncate(time.Second)
	v := mustVersion(t, now)
	store := journal.Store{Registry: reg, Repository: repository}
	if _, err := store.Change(t.Context(), "nightly", journal.AddCut(journal.Cut{Number: 1, ID: "x", Version: v, Mark: journal.Mark{At: now}, Declaration: before.Digest()}, before)); err != nil {
		t.Fatal(err)
	}
	c.Stream = declaration(func(d *streams.Declaration) { d.When, d.Policy.Blocking = streams.WhenManual, []string{"other"} })
	p, state := run(t, c)
	if state.Cuts[0].Phase() != streams.PhaseAccepted || len(state.Cuts) != 1 {
		t.Errorf("journal is %+v", state)
	}
	if diff := cmp.Diff(map[string]streams.Status{"smoke": "Passed"}, checked(t, p, state.Cuts[0])); diff != "" {
		t.Error(diff)
	}
}

// A newer cut supersedes an older one, whose run is cancelled.
func TestSupersede(t *testing.T) {
	t.Parallel()
	c := newConfig(t, declaration(func(d *streams.Declaration) {
		d.Supersede, d.When, d.Run.Params = true, streams.WhenManual, map[string]string{"takes": "1m"}
	}))
	c.Once, c.Cuts, c.Now = false, 2, "ann"
	ctl, _, err := build(c, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = ctl.Run(ctx)
	}()
	defer func() { cancel(); <-ended }() // it writes into folders of the test
	for {
		state := read(t, c)
		if len(state.Cuts) == 2 && state.Cuts[0].End != nil {
			if !strings.Contains(state.Cuts[0].End.Reason, "supersedes") || state.Cuts[1].End != nil {
				t.Errorf("the first ended as %+v, the second as %+v", state.Cuts[0].End, state.Cuts[1].End)
			}
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("journal is %+v", state)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Payloads that retention does not keep are deleted, and stay on record.
func TestRetention(t *testing.T) {
	t.Parallel()
	c := newConfig(t, declaration(func(d *streams.Declaration) { d.Retain.Accepted = 1 }))
	c.Once, c.Cuts = false, 3
	p, state := run(t, c)
	var there []bool
	for _, cut := range state.Cuts {
		digest, err := p.Digest(context.Background(), cut.Version)
		if err != nil {
			t.Fatal(err)
		}
		there = append(there, digest != "")
		if (digest == "") != (cut.Deleted != nil) || cut.Phase() != streams.PhaseAccepted {
			t.Errorf("%s is %s, there: %t, deleted: %v", cut.Version, cut.Phase(), digest != "", cut.Deleted)
		}
	}
	if diff := cmp.Diff([]bool{false, false, true}, there); diff != "" {
		t.Error(diff)
	}
}

func TestMisconfigured(t *testing.T) {
	c := newConfig(t, declaration(func(d *streams.Declaration) {
		d.Run.Params = map[string]string{"none": "x"}
		d.Checks[0].Pipeline = "nobody"
	}))
	_, _, err := build(c, &bytes.Buffer{})
	if err == nil || !strings.Contains(err.Error(), `stream "nightly", run: reading param "none`) || !strings.Contains(err.Error(), `check "speed": `) {
		t.Errorf("error %v", err)
	}
}

func mustVersion(t *testing.T, at time.Time) release.Version {
	t.Helper()
	v, err := release.New("1.0.0", "nightly", at, nil)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// A run is handed the declaration that its payload was cut under, also when another one
// is declared by the time it runs.
func TestFrozenDeclaration(t *testing.T) {
	then := declaration(func(d *streams.Declaration) {
		d.Checks, d.Policy.Blocking, d.Policy.Informing = nil, nil, nil
		d.Policy.Channels = []string{"candidate $(params.version) {version}"}
	})
	c := newConfig(t, declaration())
	reg, err := open(c.Addr)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	v, err := release.New(then.Base, then.Name, at, nil)
	if err != nil {
		t.Fatal(err)
	}
	cut := journal.Cut{Number: 1, ID: "x", Version: v, Mark: journal.Mark{By: "before", At: at}, Declaration: then.Digest(), Tool: "test"}
	if _, err := (journal.Store{Registry: reg, Repository: repository}).Change(t.Context(), "nightly", journal.AddCut(cut, then)); err != nil {
		t.Fatal(err)
	}
	p, state := run(t, c) // finishes that one, and makes another
	if len(state.Cuts) != 2 {
		t.Fatalf("there are %d cuts", len(state.Cuts))
	}
	for i, want := range []streams.Declaration{then, declaration()} {
		data, err := os.ReadFile(filepath.Join(c.Shared, "declaration-"+state.Cuts[i].Version.String()))
		if err != nil {
			t.Fatal(err)
		}
		handed, err := streams.ParseDeclaration(data)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, handed); diff != "" {
			t.Errorf("the declaration of cut %d is handed on as: %s", i+1, diff)
		}
	}
	// By the rules of today smoke and soak would have had to pass.
	if results := checked(t, p, state.Cuts[0]); state.Cuts[0].Phase() != streams.PhaseAccepted || len(results) != 0 {
		t.Errorf("the first cut is %s after %v", state.Cuts[0].Phase(), results)
	}
}

// Releases are moved on while streams run, and once more when they are done, also when
// that fails.
func TestAdvance(t *testing.T) {
	c := newConfig(t, declaration(func(d *streams.Declaration) { d.Checks, d.Policy.Blocking = nil, nil }))
	var log bytes.Buffer
	ctl, p, err := build(c, &log)
	if err != nil {
		t.Fatal(err)
	}
	calls, promoted := 0, -1
	ctl.Advance = func(context.Context) error {
		if calls++; calls > 1 { // the streams are done by then
			promoted = len(p.promoted)
		}
		return errors.New("the registry is away")
	}
	if err := ctl.Run(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, &log)
	}
	if calls != 2 || promoted != 1 {
		t.Errorf("it was called %d times, the last with %d payloads promoted; want 2 and 1", calls, promoted)
	}
	if !strings.Contains(log.String(), "the registry is away") {
		t.Errorf("its failure is not logged:\n%s", &log)
	}
}

// What is accepted is published beside the streams, and once more when they are done. That
// it fails for a while loses nothing; that it fails in the end is told.
func TestPublish(t *testing.T) {
	for name, c := range map[string]struct {
		failing int // calls
		want    string
	}{"at first": {1, ""}, "for ever": {9, "the mirror is away"}} {
		t.Run(name, func(t *testing.T) {
			cfg := newConfig(t, declaration(func(d *streams.Declaration) { d.Checks, d.Policy.Blocking = nil, nil }))
			var log bytes.Buffer
			ctl, p, err := build(cfg, &log)
			if err != nil {
				t.Fatal(err)
			}
			calls, promoted := 0, -1
			ctl.Publish = func(context.Context) error {
				if calls++; calls > 1 { // the streams are done by then
					promoted = len(p.promoted)
				}
				if calls <= c.failing {
					return errors.New("the mirror is away")
				}
				return nil
			}
			err = ctl.Run(t.Context())
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if calls != 2 || promoted != 1 || ctl.Metrics.Snapshot().Streams["nightly"].Finished[streams.PhaseAccepted] != 1 {
				t.Errorf("it was called %d times, the last with %d payloads promoted; figures %+v", calls, promoted, ctl.Metrics.Snapshot())
			}
			if !strings.Contains(log.String(), "the mirror is away") {
				t.Errorf("its failure is not logged:\n%s", &log)
			}
		})
	}
}
