package upgradetest

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/slipway-release/slipway/internal/porttest"
)

// faulty is a server on loopback that fails when it is told to.
type faulty struct {
	*httptest.Server
	listener *faultyListener
	gate     sync.RWMutex // held by hang
	status   atomic.Int32
}

func serveFaulty(t testing.TB, secure bool) *faulty {
	t.Helper()
	inner, err := net.Listen("tcp", porttest.Keep(t))
	if err != nil {
		t.Fatal(err)
	}
	f := &faulty{listener: &faultyListener{inner: inner, address: inner.Addr(), changed: make(chan struct{}), conns: map[net.Conn]bool{}}}
	f.status.Store(http.StatusOK)
	f.Server = &httptest.Server{Listener: f.listener, Config: &http.Server{Handler: f}, EnableHTTP2: secure}
	if secure {
		f.StartTLS()
	} else {
		f.Start()
	}
	t.Cleanup(func() { f.listener.reset(); f.Close() })
	return f
}

// ServeHTTP implements http.Handler.
func (f *faulty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.gate.RLock()
	defer f.gate.RUnlock()
	w.WriteHeader(int(f.status.Load()))
	_, _ = w.Write([]byte("replica-1\nproto " + r.Proto + "\n"))
}

// truth is the length of an injected outage, as exactly as it is known.
type truth struct{ atLeast, atMost time.Duration }

// outageOf calls begin, waits, calls end.
func outageOf(length time.Duration, begin, end func()) truth {
	var at [4]time.Time
	at[0] = time.Now()
	begin()
	at[1] = time.Now()
	<-time.After(length)
	at[2] = time.Now()
	end()
	at[3] = time.Now()
	return truth{at[2].Sub(at[1]), at[3].Sub(at[0])}
}

// refuse closes the port and all connections.
func (f *faulty) refuse(t *testing.T, length time.Duration) truth {
	return outageOf(length, f.listener.shut, func() {
		if err := f.listener.open(); err != nil {
			t.Error(err)
		}
	})
}

func (f *faulty) hang(length time.Duration) truth {
	return outageOf(length, f.gate.Lock, f.gate.Unlock)
}

func (f *faulty) fail(length time.Duration) truth {
	return outageOf(length, func() { f.status.Store(http.StatusInternalServerError) }, func() { f.status.Store(http.StatusOK) })
}

func (f *faulty) target() HTTPTarget {
	target := HTTPTarget{URL: f.URL, ServerFromBody: true}
	if f.TLS != nil {
		target.TLS = f.Client().Transport.(*http.Transport).TLSClientConfig
	}
	return target
}

func (f *faulty) backend(t *testing.T, connection string) Backend {
	t.Helper()
	prober, err := HTTP(connection, f.target())
	if err != nil {
		t.Fatal(err)
	}
	return Backend{Name: "server", Connection: connection, Prober: prober}
}

// faultyListener can stop listening and start again on the same port.
type faultyListener struct {
	mu      sync.Mutex
	address net.Addr
	inner   net.Listener // nil while shut
	closed  bool
	changed chan struct{}
	conns   map[net.Conn]bool
}

// Accept implements net.Listener.
func (l *faultyListener) Accept() (net.Conn, error) {
	for {
		l.mu.Lock()
		inner, changed, closed := l.inner, l.changed, l.closed
		l.mu.Unlock()
		if closed {
			return nil, net.ErrClosed
		}
		if inner == nil {
			<-changed
			continue
		}
		c, err := inner.Accept()
		if errors.Is(err, net.ErrClosed) {
			continue
		}
		if err != nil {
			return nil, err
		}
		l.mu.Lock()
		current := l.inner == inner
		if current {
			l.conns[c] = true
		}
		l.mu.Unlock()
		if !current { // it came before the port was shut, and was not known to reset
			_ = c.(*net.TCPConn).SetLinger(0)
			c.Close()
			continue
		}
		return c, nil
	}
}

// Close implements net.Listener.
func (l *faultyListener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	close(l.changed)
	if l.inner != nil {
		return l.inner.Close()
	}
	return nil
}

// Addr implements net.Listener.
func (l *faultyListener) Addr() net.Addr { return l.address }

func (l *faultyListener) shut() {
	l.mu.Lock()
	inner := l.inner
	l.inner = nil
	l.mu.Unlock()
	inner.Close()
	l.reset()
}

func (l *faultyListener) open() error {
	inner, err := net.Listen("tcp", l.address.String())
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inner = inner
	close(l.changed)
	l.changed = make(chan struct{})
	return nil
}

// reset ends all connections with RST.
func (l *faultyListener) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		_ = c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
	clear(l.conns)
}

// untrusting has no roots, so that no certificate is good.
func untrusting() *tls.Config { return &tls.Config{ServerName: "example.com"} }
