package upgradetest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func begin(t *testing.T, options Options) *Monitor {
	t.Helper()
	if options.SamplesDir == "" {
		options.SamplesDir = t.TempDir()
	}
	m, err := Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = m.Stop(context.Background()) })
	return m
}

func end(t *testing.T, m *Monitor) Result {
	t.Helper()
	r, err := m.Stop(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestInjectedOutages lets a server fail for a known time and looks for it in the
// result: bounds must hold the truth, and be close. A machine that is too busy for a
// tester to be well proves nothing, here as anywhere.
func TestInjectedOutages(t *testing.T) {
	type server struct {
		name       string
		secure     bool
		connection string
	}
	servers := []server{{"new", false, New}, {"reused", false, Reused}, {"new TLS", true, New}, {"reused HTTP2", true, Reused}}
	for _, test := range []struct {
		name    string
		inject  func(*testing.T, *faulty) truth
		reasons string // any of them
	}{
		{"refused for 300 ms", func(t *testing.T, f *faulty) truth { return f.refuse(t, 300*time.Millisecond) }, "refused reset eof"},
		{"hanging for 5 s", func(_ *testing.T, f *faulty) truth { return f.hang(5 * time.Second) }, "timeout"},
		{"status 500 for 400 ms", func(_ *testing.T, f *faulty) truth { return f.fail(400 * time.Millisecond) }, "http-5xx"},
	} {
		for _, s := range servers {
			t.Run(test.name+"/"+s.name, func(t *testing.T) {
				t.Parallel()
				f := serveFaulty(t, s.secure)
				m := begin(t, Options{Backends: []Backend{f.backend(t, s.connection)}})
				<-time.After(500 * time.Millisecond)
				m.Mark("injection")
				truth := test.inject(t, f)
				<-time.After(500 * time.Millisecond)
				r := end(t, m)
				checkOutage(t, r, truth, test.reasons)
			})
		}
	}
}

func checkOutage(t *testing.T, r Result, truth truth, reasons string) {
	t.Helper()
	if !r.TesterHealthy {
		t.Skipf("the tester was ill: %v", r.TesterReasons)
	}
	b := r.Backends[0]
	if len(b.Disruptions) != 1 {
		t.Fatalf("%d disruptions, want 1: %+v (tester: %v)", len(b.Disruptions), b.Disruptions, r.TesterReasons)
	}
	d := b.Disruptions[0]
	if d.AtLeastMs > milliseconds(truth.atMost) || d.AtMostMs < milliseconds(truth.atLeast) {
		t.Errorf("bounds [%v, %v] ms do not hold the true length of %v to %v", d.AtLeastMs, d.AtMostMs, truth.atLeast, truth.atMost)
	}
	if width := d.AtMostMs - d.AtLeastMs; width > 2*50+2*r.Tester.Lateness.Max+50 {
		t.Errorf("bounds [%v, %v] ms are %v ms apart", d.AtLeastMs, d.AtMostMs, width)
	}
	if !strings.Contains(reasons, d.Reason) || b.Failures[d.Reason] == 0 {
		t.Errorf("reason %q, failures %v; want one of %q", d.Reason, b.Failures, reasons)
	}
	if d.During != "injection" {
		t.Errorf("during %q", d.During)
	}
	if r.DowntimeMs != (Bounds{d.AtLeastMs, d.AtMostMs}) {
		t.Errorf("downtime %+v for the disruption %+v", r.DowntimeMs, d)
	}
}

// TestBrokenReusedConnectionIsSeen: an http.Client would send the request again and
// report success. Here it is a failure, of no certain length.
func TestBrokenReusedConnectionIsSeen(t *testing.T) {
	for _, secure := range []bool{false, true} {
		f := serveFaulty(t, secure)
		m := begin(t, Options{Backends: []Backend{f.backend(t, Reused), f.backend(t, New)}, Hertz: 50})
		<-time.After(300 * time.Millisecond)
		truth := outageOf(0, f.listener.reset, func() {})
		<-time.After(300 * time.Millisecond)
		r := end(t, m)
		if !r.TesterHealthy {
			t.Skipf("the tester was ill: %v", r.TesterReasons)
		}
		b := r.Backends[0]
		if b.Failed < 1 || len(b.Disruptions) == 0 || b.Reconnects < 1 {
			t.Errorf("TLS %v: after a reset: %d failed, %d reconnects, disruptions %+v", secure, b.Failed, b.Reconnects, b.Disruptions)
		}
		for _, d := range b.Disruptions {
			// The system tells of a reset once, be it to a write, and of an end afterwards.
			if d.Reason != "reset" && d.Reason != "eof" || d.AtLeastMs > milliseconds(truth.atMost) || d.AtMostMs <= 0 {
				t.Errorf("TLS %v: disruption %+v by a reset that took %v", secure, d, truth.atMost)
			}
		}
		if b := r.Backends[1]; b.Reconnects != 0 {
			t.Errorf("TLS %v: %d reconnects where no connection is kept", secure, b.Reconnects)
		}
	}
}

// TestIdleCloseIsNoFailure: HTTP/1.1 allows a server to close a connection that
// nobody waits on.
func TestIdleCloseIsNoFailure(t *testing.T) {
	var idle atomic.Int32
	var late atomic.Bool
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	var active sync.Map // when connections got their last request
	server.Config.ConnState = func(c net.Conn, state http.ConnState) {
		switch {
		case state == http.StateActive:
			active.Store(c, time.Now())
		case state == http.StateIdle && idle.Add(1)%3 == 0:
			c.Close() // right behind an answer
			// On a busy host the next request may be there by now: then somebody waited.
			if at, ok := active.Load(c); ok && time.Since(at.(time.Time)) > 5*time.Millisecond {
				late.Store(true)
			}
		}
	}
	server.Start()
	defer server.Close()
	prober, err := HTTP(Reused, HTTPTarget{URL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	m := begin(t, Options{Backends: []Backend{{Name: "server", Connection: Reused, Prober: prober}}, Hertz: 5, Timeout: 30 * time.Second})
	<-time.After(2 * time.Second)
	if b := end(t, m).Backends[0]; b.Failed != 0 || b.Reconnects == 0 {
		if late.Load() {
			t.Skip("the host was too busy to close a connection right behind an answer")
		}
		t.Errorf("%d failed (%v), %d reconnects; want 0, some", b.Failed, b.Failures, b.Reconnects)
	}
}

// TestGoAwayLosesNothing: API servers send their clients elsewhere now and then
// (--goaway-chance), also while requests are under way.
func TestGoAwayLosesNothing(t *testing.T) {
	var served atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if served.Add(1)%10 == 0 {
			w.Header().Set("Connection", "close") // GOAWAY, in HTTP/2
		}
		<-time.After(60 * time.Millisecond) // so that requests overlap
		w.WriteHeader(http.StatusOK)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	prober, err := HTTP(Reused, HTTPTarget{URL: server.URL, TLS: server.Client().Transport.(*http.Transport).TLSClientConfig})
	if err != nil {
		t.Fatal(err)
	}
	m := begin(t, Options{Backends: []Backend{{Name: "server", Connection: Reused, Prober: prober}}, Hertz: 50, Timeout: 20 * time.Second})
	<-time.After(2 * time.Second)
	r := end(t, m)
	if b := r.Backends[0]; b.Failed != 0 || b.Reconnects == 0 || b.Sent == 0 {
		t.Errorf("%d of %d failed (%v: %+v), %d reconnects", b.Failed, b.Sent, b.Failures, b.Disruptions, b.Reconnects)
	}
}

// TestNothingHappened is the A/A case, with the fields that a quiet run fills.
func TestNothingHappened(t *testing.T) {
	plain, secure := serveFaulty(t, false), serveFaulty(t, true)
	backends := []Backend{plain.backend(t, New), plain.backend(t, Reused), secure.backend(t, New), secure.backend(t, Reused)}
	for i := range backends[2:] {
		backends[2+i].Name = "secure"
	}
	dir := t.TempDir()
	// Far above what a busy host makes of an answer on loopback: late is not lost.
	m := begin(t, Options{Backends: backends, Baseline: time.Second, SamplesDir: dir, Timeout: 30 * time.Second})
	<-time.After(2 * time.Second)
	r := end(t, m)
	for _, b := range append(r.Backends, r.Baseline.Backends...) {
		if b.Failed != 0 || len(b.Disruptions) != 0 {
			t.Errorf("%s/%s: %d failed, disruptions %+v", b.Name, b.Connection, b.Failed, b.Disruptions)
		}
		if b.Intended < 19 || b.Sent == 0 || b.Sent > b.Intended || b.P50Ms <= 0 || b.MaxMs < b.P50Ms || b.Servers["replica-1"] != b.Sent {
			t.Errorf("%s/%s: figures make no sense: %+v", b.Name, b.Connection, b)
		}
	}
	if len(r.Tester.Control) != 2 || r.Tester.Control[0].Sent == 0 {
		t.Errorf("control: %+v", r.Tester.Control)
	}
	if kept := r.Backends[3]; kept.Reconnects != 0 || kept.PhasesMs.TLS > kept.PhasesMs.Total {
		t.Errorf("kept connection: %+v", kept)
	}
	again, err := Evaluate(dir)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := asJSON(t, r), asJSON(t, again); a != b {
		t.Errorf("the same samples gave\n%s\nthen\n%s", a, b)
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestOpenLoop: a server that hangs is asked as often as before, up to the cap,
// and what was held back is counted.
func TestOpenLoop(t *testing.T) {
	f := serveFaulty(t, false)
	f.gate.Lock() // it hangs from before the first request until behind the last
	defer f.gate.Unlock()
	m := begin(t, Options{Backends: []Backend{f.backend(t, New)}, Hertz: 50, MaxInFlight: 5, Timeout: 2 * time.Second, Slow: time.Second})
	<-time.After(time.Second)
	r := end(t, m)
	b := r.Backends[0]
	if b.Intended < 40 || b.Sent >= b.Intended-20 || b.Coverage() > 0.6 {
		t.Errorf("intended %d, sent %d, coverage %v", b.Intended, b.Sent, b.Coverage())
	}
	if r.TesterHealthy || r.Tester.Missed < 20 {
		t.Errorf("healthy %v with %d missed starts", r.TesterHealthy, r.Tester.Missed)
	}
}

// TestKilledMonitor reads a recording while it is being written, as the file of a
// killed monitor looks.
func TestKilledMonitor(t *testing.T) {
	f := serveFaulty(t, false)
	dir, copied := t.TempDir(), t.TempDir()
	m := begin(t, Options{Backends: []Backend{f.backend(t, New)}, SamplesDir: dir})
	<-time.After(time.Second)
	var data []byte
	var r Result
	eventually(t, "samples are in the file", func() bool {
		var err error
		if data, err = os.ReadFile(filepath.Join(dir, SamplesFile)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(copied, SamplesFile), data[:len(data)-3], 0o644); err != nil {
			t.Fatal(err)
		}
		if r, err = Evaluate(copied); err != nil {
			t.Fatal(err)
		}
		return r.Backends[0].Sent > 0
	})
	whole := end(t, m)
	if !r.Truncated || whole.Truncated || r.Backends[0].Sent > whole.Backends[0].Sent {
		t.Errorf("truncated %v with %d samples; the whole: %v with %d", r.Truncated, r.Backends[0].Sent, whole.Truncated, whole.Backends[0].Sent)
	}
	for n := 1; n <= 2; n++ {
		second := end(t, begin(t, Options{Backends: []Backend{f.backend(t, New)}, SamplesDir: dir}))
		if !second.Started.After(whole.Started) {
			t.Errorf("the result of a second recording is that of the first")
		}
		if _, err := os.Stat(filepath.Join(dir, fmt.Sprintf("samples-%d.slipway", n))); err != nil {
			t.Errorf("former recording: %v", err)
		}
	}
	first, err := os.ReadFile(filepath.Join(dir, "samples-1.slipway"))
	if err != nil || !bytes.HasPrefix(first, data[:len(data)-3]) {
		t.Errorf("the first recording was not kept (%v)", err)
	}
}

func TestContextEndsTheMonitor(t *testing.T) {
	f := serveFaulty(t, false)
	ctx, cancel := context.WithCancel(t.Context())
	m, err := Start(ctx, Options{Backends: []Backend{f.backend(t, Reused)}, SamplesDir: t.TempDir(), Timeout: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	<-time.After(time.Second)
	cancel()
	r := end(t, m)
	if b := r.Backends[0]; b.Failed != 0 || b.Sent == 0 {
		t.Errorf("%d sent, %d failed", b.Sent, b.Failed)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := Start(ctx, Options{Backends: []Backend{f.backend(t, Reused)}, SamplesDir: t.TempDir(), Baseline: time.Minute}); err == nil {
		t.Error("a baseline went on after its context")
	}
}

func TestOptionsNameEveryProblem(t *testing.T) {
	f := serveFaulty(t, false)
	good := f.backend(t, New)
	bad := good
	bad.Name, bad.Connection, bad.Hertz = "Kube API", "sometimes", 1e6
	_, err := Start(t.Context(), Options{Backends: []Backend{good, good, bad, {Name: "empty", Connection: New}}, Slow: time.Minute})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"folder for the samples", "slow 1m0s is above", "appears twice", "Kube API", "sometimes", "Hz", `"empty/new"`, "no prober"} {
		if !strings.Contains(strings.ReplaceAll(err.Error(), `"empty"`, `"empty/new"`), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
}
