package updates_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/slipway-release/slipway/release/channels/graph"
	"github.com/slipway-release/slipway/release/updates"
)

// script is a source that does what a test says.
type script struct {
	mu       sync.Mutex
	snapshot *graph.Snapshot
	err      error
	panics   bool
	stamp    string
	reads    int
}

func (s *script) Snapshot(context.Context) (*graph.Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	if s.panics {
		panic("unforeseen")
	}
	return s.snapshot, s.err
}

func (s *script) Stamp(context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stamp, nil
}

func (s *script) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func named(id string) *graph.Snapshot {
	s := small()
	s.ID = id
	return s
}

// A source that fails, in whatever way, costs nothing but freshness, and everybody who
// asks is told.
func TestRefreshFailsClosed(t *testing.T) {
	registry := prometheus.NewRegistry()
	source := &script{snapshot: named("one")}
	var log bytes.Buffer
	r := &updates.Refresher{Source: source, Metrics: updates.NewMetrics(registry), Log: slog.New(slog.NewTextHandler(&log, nil))}
	if err := r.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	broken := named("two")
	broken.Graphs["amd64"].Edges[0] = [2]int{0, 99}
	for name, change := range map[string]func(){
		"error":         func() { source.err = errors.New("blocked-edges/a.yaml:3: no such field") },
		"panic":         func() { source.panics = true },
		"contradiction": func() { source.snapshot = broken },
	} {
		log.Reset()
		source.set(func() { source.snapshot, source.err, source.panics = named("two"), nil, false })
		source.set(change)
		err := r.Refresh(t.Context())
		status := r.Status()
		if err == nil || r.Current().ID() != "one" || status.Problem != err.Error() || status.ID != "one" || status.Loaded.IsZero() {
			t.Errorf("%s: %v, %+v", name, err, status)
		}
		if !strings.Contains(log.String(), "last good update graph") {
			t.Errorf("%s: log %q", name, log.String())
		}
		if got := metric(t, registry, "slipway_updates_last_refresh_success"); got != 0 {
			t.Errorf("%s: success %v", name, got)
		}
	}
	if got := metric(t, registry, "slipway_updates_refresh_errors_total"); got != 3 {
		t.Errorf("%v errors counted", got)
	}
	source.set(func() { source.snapshot, source.err, source.panics = named("two"), nil, false })
	if err := r.Refresh(t.Context()); err != nil || r.Current().ID() != "two" || r.Status().Problem != "" {
		t.Errorf("afterwards: %v, %+v", err, r.Status())
	}
	if got := metric(t, registry, "slipway_updates_graph_age_seconds"); got < 0 || got > 60 {
		t.Errorf("age %v", got)
	}
	if got := metric(t, registry, "slipway_updates_conditional_edges"); got != 3 {
		t.Errorf("conditional edges of the first channel: %v", got)
	}
}

// metric is the value of a metric's first line.
func metric(t *testing.T, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if m := f.GetMetric()[0]; f.GetName() == name {
			return m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s did not happen", what)
		}
	}
}

// The source is read at the start, when it says that it changed, and by the clock.
func TestRun(t *testing.T) {
	source := &script{snapshot: named("one"), stamp: "1"}
	r := &updates.Refresher{Source: source, Poll: time.Hour, Watch: time.Millisecond}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Run(ctx)
	}()
	at := func(id string) func() bool {
		return func() bool { e := r.Current(); return e != nil && e.ID() == id }
	}
	eventually(t, "the first refresh", at("one"))
	source.set(func() { source.snapshot, source.stamp = named("two"), "2" })
	eventually(t, "the refresh after a change", at("two"))
	time.Sleep(20 * time.Millisecond)
	source.set(func() {
		if source.reads != 2 {
			t.Errorf("read %d times, want 2", source.reads)
		}
	})
	cancel()
	<-done
	polled := &updates.Refresher{Source: struct{ updates.Source }{source}, Poll: time.Millisecond}
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	go polled.Run(ctx)
	eventually(t, "the poll", func() bool {
		source.mu.Lock()
		defer source.mu.Unlock()
		return source.reads > 4
	})
}

// What is kept on disk is what was served, and a broken file is as good as none.
func TestRestore(t *testing.T) {
	file := filepath.Join(t.TempDir(), "deep", "graph")
	s := small()
	s.Rollouts = []graph.Rollout{{Channel: "stable", Version: "1.36.2", Start: began, Duration: time.Hour, Halted: began.Add(time.Minute)}}
	s.Quarantined = []graph.Quarantined{{Version: "1.36.0", Payload: "p", Reason: "twice"}}
	first := &updates.Refresher{Source: &script{snapshot: s}, File: file}
	if err := first.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := &updates.Refresher{File: file}
	second.Restore()
	if second.Current() == nil {
		t.Fatal("nothing was restored")
	}
	if diff := cmp.Diff(s, second.Current().Snapshot()); diff != "" {
		t.Error(diff)
	}
	if got := second.Status(); !got.FromDisk || got.Loaded.IsZero() || got.ID != s.ID {
		t.Errorf("status %+v", got)
	}
	want, got := &updates.Handler{Current: first.Current}, &updates.Handler{Current: second.Current}
	for _, target := range []string{"/graph?channel=candidate", "/graph?channel=stable&id=x", "/graph?channel=stable-1"} {
		if content(t, ask(want, target)) != content(t, ask(got, target)) {
			t.Errorf("%s differs", target)
		}
	}
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"empty": nil, "cut": good[:len(good)-10], "one byte": append(bytes.Clone(good[:len(good)-9]), append([]byte("~"), good[len(good)-8:]...)...),
		"other": []byte("{}"), "only its head": good[:bytes.IndexByte(good, '\n')+1], "longer": append(bytes.Clone(good), "\n{}"...),
	} {
		if err := os.WriteFile(file, bad, 0o644); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		r := &updates.Refresher{File: file, Source: &script{snapshot: named("new")}, Log: slog.New(slog.NewTextHandler(&log, nil))}
		r.Restore()
		if r.Current() != nil || !strings.Contains(log.String(), file) {
			t.Errorf("%s: restored, or said nothing: %q", name, log.String())
		}
		if err := r.Refresh(t.Context()); err != nil || r.Current() == nil {
			t.Errorf("%s: %v", name, err)
		}
		again := &updates.Refresher{File: file}
		again.Restore()
		if e := again.Current(); e == nil || e.ID() != "new" {
			t.Errorf("%s: not written anew", name)
		}
	}
	nowhere := &updates.Refresher{File: filepath.Join(t.TempDir(), "none")}
	nowhere.Restore()
	if nowhere.Current() != nil {
		t.Error("something was restored from nothing")
	}
}

func FuzzRestore(f *testing.F) {
	file := filepath.Join(f.TempDir(), "graph")
	if err := (&updates.Refresher{Source: &script{snapshot: small()}, File: file}).Refresh(context.Background()); err != nil {
		f.Fatal(err)
	}
	good, err := os.ReadFile(file)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
		r := &updates.Refresher{File: file}
		r.Restore()
		if e := r.Current(); e != nil && !bytes.Equal(data, good) && e.Warm(context.Background()) != nil {
			t.Error("what was restored cannot be served")
		}
	})
}

// Requests are answered whole, from one edition or the other, while refreshes go on.
func TestRequestsDuringRefreshes(t *testing.T) {
	other := named("two")
	other.Graphs["amd64"].Nodes = other.Graphs["amd64"].Nodes[:3]
	other.Graphs["amd64"].Edges = other.Graphs["amd64"].Edges[:2]
	source := &script{snapshot: named("one")}
	r := &updates.Refresher{Source: source}
	if err := r.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	h := &updates.Handler{Current: r.Current}
	answers := func() map[string]bool { return map[string]bool{content(t, ask(h, "/graph?channel=candidate")): true} }
	known := answers()
	source.set(func() { source.snapshot = other })
	if err := r.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	for a := range answers() {
		known[a] = true
	}
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for ctx.Err() == nil {
				resp := ask(h, "/graph?channel=candidate")
				if a := content(t, resp); resp.StatusCode != 200 || !known[a] {
					t.Errorf("%s %s", resp.Status, a)
					return
				}
			}
		})
	}
	for i := range 100 {
		next := []*graph.Snapshot{named("one"), other}[i%2]
		source.set(func() { source.snapshot = next })
		if err := r.Refresh(t.Context()); err != nil {
			t.Error(err)
		}
	}
	cancel()
	all.Wait()
}
