package incluster

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/slipway-release/slipway/internal/porttest"
	"github.com/slipway-release/slipway/upgradetest"
)

// await asks until url answers.
func await(t *testing.T, url string) {
	t.Helper()
	for range 6000 {
		if resp, err := http.Get(url); err == nil {
			resp.Body.Close()
			return
		}
		<-time.After(10 * time.Millisecond)
	}
	t.Fatalf("%s does not answer", url)
}

// pulled is what a monitor has of a poller.
type pulled struct {
	address    string
	generation int
	files      map[int]*bytes.Buffer
	complete   bool
}

func (p *pulled) pull(t *testing.T, targets ...Target) error {
	t.Helper()
	into := p.files[p.generation]
	if into == nil {
		into = &bytes.Buffer{}
		p.files[p.generation] = into
	}
	body, err := json.Marshal(pull{Generation: p.generation, From: int64(into.Len()), Targets: targets})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post("http://"+p.address+pullPath, "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("pull: %v %s", err, data)
	}
	into.Write(data)
	p.complete = resp.Header.Get(headerComplete) == "true" && len(data) == 0
	if newest, _ := strconv.Atoi(resp.Header.Get(headerGeneration)); p.complete && newest > p.generation {
		p.generation++
		p.complete = false
	}
	return nil
}

// pullUntil pulls until samples of all targets have come with a generation.
func (p *pulled) pullUntil(t *testing.T, generation int, targets ...Target) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); <-time.After(100 * time.Millisecond) {
		_ = p.pull(t, targets...)
		if p.files[generation] == nil {
			continue
		}
		r, err := evaluated(t, p.files[generation].Bytes())
		if err == nil && len(r.Backends) == len(targets) && !slices.ContainsFunc(r.Backends, func(b upgradetest.BackendResult) bool { return b.Sent == 0 }) {
			return
		}
	}
	t.Fatalf("no samples of generation %d have come", generation)
}

func evaluated(t *testing.T, recording []byte) (upgradetest.Result, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, upgradetest.SamplesFile), recording, 0o644); err != nil {
		t.Fatal(err)
	}
	return upgradetest.Evaluate(dir)
}

// TestPollerGivesAllAwayBeforeItEnds changes targets, and ends the poller while half
// of its samples lie with it.
func TestPollerGivesAllAwayBeforeItEnds(t *testing.T) {
	ctx, evict := context.WithCancel(t.Context())
	address := porttest.Keep(t)
	ended := make(chan error, 1)
	go func() {
		ended <- Poll(ctx, PollOptions{HTTP: address, Dir: t.TempDir(), Node: "worker1"}, time.Minute)
	}()
	await(t, "http://"+address+"/readyz")
	p := &pulled{address: address, generation: 1, files: map[int]*bytes.Buffer{}}
	one := Target{Name: "pod-to-pod", Connection: upgradetest.New, HTTP: "http://" + address + "/hostname", Hertz: 20}
	two := one
	two.Connection = upgradetest.Reused
	p.pullUntil(t, 1, one)
	p.pullUntil(t, 2, one, two)
	evict()
	<-time.After(300 * time.Millisecond) // the recording ends; nobody pulls
	for end := time.Now().Add(time.Minute); !p.complete && time.Now().Before(end); <-time.After(10 * time.Millisecond) {
		if err := p.pull(t, one, two); err != nil {
			t.Fatalf("the poller did not answer to the end: %v", err)
		}
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the poller waits, and all was pulled")
	}
	if len(p.files) != 2 {
		t.Fatalf("%d recordings for two sets of targets", len(p.files))
	}
	for generation, backends := range map[int]int{1: 1, 2: 2} {
		r, err := evaluated(t, p.files[generation].Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if r.Truncated || len(r.Backends) != backends || r.Backends[0].Sent == 0 || r.Backends[0].Servers["worker1"] == 0 {
			t.Errorf("recording %d: truncated %v, %+v", generation, r.Truncated, r.Backends)
		}
	}
}

func TestPollerThatNobodyPullsEnds(t *testing.T) {
	ctx, evict := context.WithCancel(t.Context())
	address := porttest.Keep(t)
	ended := make(chan error, 1)
	go func() { ended <- Poll(ctx, PollOptions{HTTP: address, Dir: t.TempDir()}, time.Minute) }()
	await(t, "http://"+address+"/readyz")
	evict()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Error("a poller that has measured nothing waits to be pulled")
	}
}

// lines is a log that many may write.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// TestServeLeavesInGoodOrder: the probers see an end that was announced, and the store
// holds what it has acknowledged when it is started again.
func TestServeLeavesInGoodOrder(t *testing.T) {
	t.Parallel() // it lingers, for as long as a busy host may take for two requests
	log, dir := &lines{}, t.TempDir()
	ctx, evict := context.WithCancel(t.Context())
	o := ServeOptions{HTTP: porttest.Keep(t), Lines: porttest.Keep(t), Store: dir, LogTicks: 5 * time.Millisecond, Linger: 10 * time.Second, Log: log}
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, o) }()
	await(t, "http://"+o.HTTP+"/readyz")
	ticks, err := upgradetest.TCPTicks(o.Lines)
	if err != nil {
		t.Fatal(err)
	}
	defer ticks.Close()
	store, err := upgradetest.Store(upgradetest.New, "http://"+o.HTTP, "a")
	if err != nil {
		t.Fatal(err)
	}
	ask := func(p upgradetest.Prober) upgradetest.Probe {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		probe := upgradetest.Probe{Begin: time.Now()}
		p.Probe(ctx, &probe)
		return probe
	}
	for range 3 {
		if p := ask(ticks); p.Class != upgradetest.OK {
			t.Fatalf("ticks: %+v", p)
		}
		if p := ask(store); p.Class != upgradetest.OK {
			t.Fatalf("store: %+v", p)
		}
	}
	evict()
	resp, err := http.Get("http://" + o.HTTP + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a server that leaves says %d", resp.StatusCode)
	}
	if p := ask(ticks); p.Class != upgradetest.OK || p.Reconnected {
		t.Errorf("it leaves before its endpoints are gone: %+v", p)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("it does not end, though its client has said goodbye")
	}
	if p := ask(ticks); p.Class != upgradetest.Refused {
		t.Errorf("after its end: %+v", p)
	}
	if !strings.Contains(log.String(), upgradetest.TickPrefix+"2\n") {
		t.Errorf("log %q", log.String())
	}
	entries, err := os.ReadFile(filepath.Join(dir, "entries"))
	if err != nil || string(entries) != "a 1\na 2\na 3\n" {
		t.Errorf("entries %q, %v", entries, err)
	}
	st, err := openStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.close()
}
