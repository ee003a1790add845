package upgradetest

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

func sequenceProbers(t *testing.T, f *fakeAPI) (*writeProber, *watchProber) {
	t.Helper()
	w, err := newWriteProber(Reused, f.target(), "numbers")
	if err != nil {
		t.Fatal(err)
	}
	watch := newWatchProber(w)
	t.Cleanup(func() { watch.Close(); w.Close() })
	if p := probe(t, watch); p.Class != OK {
		t.Fatalf("a watch of nothing: %+v", p)
	}
	return w, watch
}

func writeAll(t *testing.T, w *writeProber, n int, want Class) {
	t.Helper()
	for range n {
		if p := probe(t, w); p.Class != want {
			t.Fatalf("a write ended with %v (%s), want %v", p.Class, p.Detail, want)
		}
	}
}

func ledgerOf(t *testing.T, k keeper) Ledger {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	return k.settle(ctx)
}

// eventually waits for what must come to be in the end.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !so(); <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// over reports whether the stream of a link has ended, and the prober knows.
func over[S stream](l *link[S]) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.is || isDone(l.current.ended())
}

// TestWritesAndWatch: what an API server does in good order costs nothing, and what
// it may not do is found.
func TestWritesAndWatch(t *testing.T) {
	t.Run("in order", func(t *testing.T) {
		f := serveFakeAPI(t)
		w, watch := sequenceProbers(t, f)
		for range 4 {
			writeAll(t, w, 30, OK) // over several ConfigMaps
			f.endWatches()
			if p := probe(t, watch); p.Class != OK {
				t.Fatalf("the watch: %v (%s)", p.Class, p.Detail)
			}
		}
		if l := ledgerOf(t, w); l.Acknowledged != 120 || l.Missing != 0 || l.Unacknowledged != 0 || l.Unverified != "" {
			t.Errorf("writes: %+v", l)
		}
		if l := ledgerOf(t, watch); l.Acknowledged != 120 || l.Missing != 0 || l.Duplicates != 0 || l.Relists != 0 {
			t.Errorf("watch: %+v", l)
		}
	})
	t.Run("written before the watch was open", func(t *testing.T) {
		w, err := newWriteProber(Reused, serveFakeAPI(t).target(), "numbers")
		if err != nil {
			t.Fatal(err)
		}
		watch := newWatchProber(w)
		t.Cleanup(func() { watch.Close(); w.Close() })
		writeAll(t, w, 2, OK)
		if p := probe(t, watch); p.Class != OK {
			t.Fatalf("the watch: %v (%s)", p.Class, p.Detail)
		}
		writeAll(t, w, 2, OK)
		if l := ledgerOf(t, watch); l.Acknowledged != 4 || l.Missing != 0 || l.Duplicates != 0 || l.Relists != 0 {
			t.Errorf("watch: %+v", l)
		}
	})
	t.Run("unacknowledged", func(t *testing.T) {
		f := serveFakeAPI(t)
		w, _ := sequenceProbers(t, f)
		writeAll(t, w, 3, OK)
		f.set(func(f *fakeAPI) { f.down = true })
		writeAll(t, w, 2, HTTP5xx)
		f.set(func(f *fakeAPI) { f.down = false })
		if l := ledgerOf(t, w); l.Acknowledged != 3 || l.Unacknowledged != 2 || l.Missing != 0 {
			t.Errorf("writes: %+v", l)
		}
	})
	t.Run("forgotten write", func(t *testing.T) {
		f := serveFakeAPI(t)
		w, _ := sequenceProbers(t, f)
		writeAll(t, w, 3, OK)
		f.set(func(f *fakeAPI) { f.forget = true })
		writeAll(t, w, 2, Lost)
		if l := ledgerOf(t, w); l.Missing != 2 || len(l.Numbers) != 2 || l.Numbers[0] != 4 {
			t.Errorf("writes: %+v", l)
		}
	})
	t.Run("hidden event", func(t *testing.T) {
		f := serveFakeAPI(t)
		w, watch := sequenceProbers(t, f)
		writeAll(t, w, 1, OK)
		f.set(func(f *fakeAPI) { f.hide = true })
		writeAll(t, w, 1, OK)
		f.set(func(f *fakeAPI) { f.hide = false })
		writeAll(t, w, 1, OK)
		if p := unanswered(t, watch); p.Class != Timeout {
			t.Errorf("a watch that hides a number gave %v", p.Class)
		}
		// What overlaps may come in any order, so it takes many later ones to be sure.
		writeAll(t, w, passedBy+2, OK)
		eventually(t, "the watch has shown the later ones", func() bool { return w.seq.passed() >= 2 })
		if p := unanswered(t, watch); p.Class != Lost {
			t.Errorf("a watch that goes on without a number gave %v (%s)", p.Class, p.Detail)
		}
		if p := probe(t, watch); p.Class != OK {
			t.Errorf("and then %v: one number is missed once", p.Class)
		}
		if l := ledgerOf(t, watch); l.Missing != 1 || l.Numbers[0] != 2 {
			t.Errorf("watch: %+v", l)
		}
	})
	t.Run("repeated event", func(t *testing.T) {
		f := serveFakeAPI(t)
		w, watch := sequenceProbers(t, f)
		f.set(func(f *fakeAPI) { f.repeat = true })
		writeAll(t, w, 2, OK)
		probe(t, watch)
		if l := ledgerOf(t, watch); l.Duplicates == 0 || l.Missing != 0 {
			t.Errorf("watch: %+v", l)
		}
	})
	t.Run("gone", func(t *testing.T) {
		f := serveFakeAPI(t)
		w, watch := sequenceProbers(t, f)
		writeAll(t, w, 2, OK)
		probe(t, watch)
		f.set(func(f *fakeAPI) { f.oldest = 1 << 20; f.hide = true })
		f.endWatches()
		writeAll(t, w, 2, OK)
		probe(t, watch) // which learns that it cannot go on
		f.set(func(f *fakeAPI) { f.oldest = 0; f.hide = false })
		var p Probe
		for range 5 {
			if p = probe(t, watch); p.Class == OK {
				break
			}
		}
		if p.Class != OK {
			t.Fatalf("after 410 Gone: %v (%s)", p.Class, p.Detail)
		}
		if l := ledgerOf(t, watch); l.Relists == 0 || l.Missing != 0 {
			t.Errorf("watch: %+v", l)
		}
	})
}

func TestLeaseIsRenewed(t *testing.T) {
	f := serveFakeAPI(t)
	for _, connection := range []string{New, Reused} {
		prober, err := newLeaseProber(connection, f.target(), "renewed-"+connection)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if p := probe(t, prober); p.Class != OK {
				t.Fatalf("%s: %v (%s)", connection, p.Class, p.Detail)
			}
		}
		prober.Close()
		if n := f.leases["renewed-"+connection]; n != 3 {
			t.Errorf("%s: renewed %d times for 3 probes", connection, n)
		}
	}
}

func TestLogStream(t *testing.T) {
	f := serveFakeAPI(t)
	f.count(t)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "ticks-1", Namespace: Namespace, Labels: labelsOf(ticksName)}}
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	l, err := newLogProber(f.target(), replicas{client: fake.NewClientset(pod), selector: "app.kubernetes.io/name=" + ticksName}, ticksName)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	reconnects := 0
	for i := range 10 {
		if i%4 == 3 {
			f.endWatches()
		}
		p := probe(t, l)
		if p.Class != OK || p.Server != "ticks-1" {
			t.Fatalf("probe %d: %+v", i, p)
		}
		if p.Reconnected {
			reconnects++
		}
		<-time.After(20 * time.Millisecond)
	}
	if got := l.settle(t.Context()); got.Missing != 0 || got.Acknowledged < 10 || reconnects == 0 {
		t.Errorf("%+v after %d reconnects", got, reconnects)
	}
	f.set(func(f *fakeAPI) { f.down = true })
	f.endWatches()
	eventually(t, "the stream has ended", func() bool { return over(&l.link) })
	if p := probe(t, l); p.Class != HTTP5xx {
		t.Errorf("no log is to be had, and the probe says %v (%s)", p.Class, p.Detail)
	}
}

// lineServer sends back lines; end says how it leaves its connections.
type lineServer struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
	mute  bool
}

func serveLines(t *testing.T) *lineServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &lineServer{Listener: l}
	t.Cleanup(func() { l.Close(); s.end(func(c net.Conn) { c.Close() }) })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, c)
			s.mu.Unlock()
			go func() {
				lines := bufio.NewScanner(c)
				for lines.Scan() {
					s.mu.Lock()
					if !s.mute {
						_, _ = io.WriteString(c, lines.Text()+"\n")
					}
					s.mu.Unlock()
				}
			}()
		}
	}()
	return s
}

func (s *lineServer) end(how func(net.Conn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		how(c)
	}
	s.conns = nil
}

func TestTCPTicks(t *testing.T) {
	s := serveLines(t)
	prober, err := TCPTicks(s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer prober.Close()
	want := func(what string, class Class, reconnected bool) {
		t.Helper()
		ask := probe
		if class == Timeout {
			ask = unanswered
		}
		if p := ask(t, prober); p.Class != class || p.Reconnected != reconnected {
			t.Errorf("%s: %v (%s), reconnected %v; want %v, %v", what, p.Class, p.Detail, p.Reconnected, class, reconnected)
		}
	}
	settle := func() {
		t.Helper()
		eventually(t, "the stream has ended", func() bool { return over(&prober.(*echoProber).link) })
	}
	want("the first", OK, false)
	want("the second", OK, false)
	s.end(func(c net.Conn) { _, _ = io.WriteString(c, Bye+"\n") })
	settle()
	want("after an end that was announced", OK, true)
	s.end(func(c net.Conn) { c.Close() })
	settle()
	want("after one that was not", EOF, false)
	want("the next", OK, true)
	s.end(func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0); c.Close() })
	settle()
	want("after a reset", Reset, false)
	want("the next", OK, true)
	s.mu.Lock()
	s.mute = true
	s.mu.Unlock()
	want("a server that says nothing", Timeout, false)
	s.mu.Lock()
	s.mute = false
	s.mu.Unlock()
	want("on another connection", OK, true)
	s.Close()
	s.end(func(c net.Conn) { c.Close() })
	settle()
	want("the connection is gone", EOF, false)
	want("nobody listens", Refused, false)
}

func TestStoreKeepsItsWord(t *testing.T) {
	var mu sync.Mutex
	var entries strings.Builder
	lose := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, entries.String())
			return
		}
		if line, _ := io.ReadAll(r.Body); !lose {
			entries.Write(line)
		}
	}))
	defer server.Close()
	prober, err := Store(New, server.URL, "mine")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		mu.Lock()
		lose = i == 4
		mu.Unlock()
		if p := probe(t, prober); p.Class != OK {
			t.Fatalf("%+v", p)
		}
	}
	mu.Lock()
	entries.WriteString("other 5\nmine x\n")
	mu.Unlock()
	if l := ledgerOf(t, prober.(keeper)); l.Acknowledged != 6 || l.Missing != 1 || l.Numbers[0] != 5 {
		t.Errorf("%+v", l)
	}
	server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // it asks until then
	defer cancel()
	if l := prober.(keeper).settle(ctx); l.Unverified == "" || l.Missing != 0 {
		t.Errorf("a store that is gone: %+v", l)
	}
}
