package ocitest

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/slipway-release/slipway/internal/oci/registryserver"
	"github.com/slipway-release/slipway/internal/porttest"
)

// Server is a registry on a loopback address. It ends with its test.
type Server struct {
	t        testing.TB
	registry http.Handler
	addr     string

	mu     sync.Mutex
	faults []*armed
	seen   []*Request
	http   *http.Server // nil while the registry is down
	ended  bool
	under  sync.WaitGroup // requests under way
}

// Request is one request that the server got.
type Request struct {
	Method, Path string
	Kind         Kind
	Digest       string // of what it is about, "" if its URL does not tell
	Range        string // the header
	Begun        time.Time
	Status       int   // 0 while it is under way, and when the connection was cut before
	Received     int64 // bytes of its body
	Sent         int64 // bytes of the answer's body
}

// Registry serves an empty registry whose data is in memory, which is fast and
// not for much more than 100 MB.
func Registry(t testing.TB, faults ...Fault) *Server {
	t.Helper()
	return Serve(t, "", faults...)
}

// Serve serves the registry whose data is in root, which may be served by others
// at the same time: a test may push through a sound server and read through a
// faulty one.
func Serve(t testing.TB, root string, faults ...Fault) *Server {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	registry, err := registryserver.NewHandler(ctx, registryserver.Options{Root: root})
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	s := &Server{t: t, registry: registry, addr: porttest.Keep(t)}
	s.Inject(faults...)
	s.up()
	t.Cleanup(func() {
		s.mu.Lock()
		s.ended = true
		s.mu.Unlock()
		s.down()
		s.under.Wait() // they would write into a folder that is being removed
		cancel()
	})
	return s
}

// Addr returns HOST:PORT. It stays the same when the server is down for a while.
func (s *Server) Addr() string { return s.addr }

// Inject adds faults. One request may meet several, the first outermost.
func (s *Server) Inject(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range faults {
		s.faults = append(s.faults, &armed{Fault: f, met: map[string]int{}})
	}
}

// Heal removes all faults.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// Refuse refuses connections for a while and cuts those that are open.
func (s *Server) Refuse(d time.Duration) {
	if s.down() {
		time.AfterFunc(d, s.up)
	}
}

// up listens and serves until down.
func (s *Server) up() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.http != nil {
		return
	}
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", s.addr)
	if err != nil {
		s.t.Errorf("serving a registry for a test on %s: %v", s.addr, err)
		return
	}
	server := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	s.http = server
	go func() { _ = server.Serve(listener) }() // its error is that it was closed
}

// down closes the listener and all connections, and says whether it was up.
func (s *Server) down() bool {
	s.mu.Lock()
	server := s.http
	s.http = nil
	s.mu.Unlock()
	if server == nil {
		return false
	}
	server.Close()
	return true
}

// serverKey finds the Server in a request's context.
type serverKey struct{}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		panic(http.ErrAbortHandler)
	}
	s.under.Add(1)
	entry := &Request{
		Method: r.Method, Path: r.URL.Path, Kind: kindOf(r.URL.Path), Digest: digestOf(r),
		Range: r.Header.Get("Range"), Begun: time.Now(),
	}
	s.seen = append(s.seen, entry)
	handler := s.registry
	for i := len(s.faults) - 1; i >= 0; i-- {
		if f := s.faults[i]; f.due(r) {
			handler = effective{f.Do, handler}
		}
	}
	s.mu.Unlock()
	defer s.under.Done()

	counted := &countingWriter{ResponseWriter: w, server: s, entry: entry}
	r.Body = &countingBody{ReadCloser: r.Body, server: s, entry: entry}
	handler.ServeHTTP(counted, r.WithContext(context.WithValue(r.Context(), serverKey{}, s)))
}

// effective is a handler behind an effect.
type effective struct {
	do   Effect
	next http.Handler
}

func (e effective) ServeHTTP(w http.ResponseWriter, r *http.Request) { e.do(w, r, e.next) }

// Total sums up requests.
type Total struct {
	Requests int
	Received int64 // bytes of requests' bodies
	Sent     int64 // bytes of answers' bodies
}

// Total sums up the requests so far that match.
func (s *Server) Total(m Match) Total {
	var total Total
	for _, r := range s.Requests(m) {
		total.Requests++
		total.Received += r.Received
		total.Sent += r.Sent
	}
	return total
}

// Requests returns the requests so far that match, in the order they came.
func (s *Server) Requests(m Match) []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []Request
	for _, r := range s.seen {
		if m.matches(r.Method, r.Path) {
			found = append(found, *r)
		}
	}
	return found
}

// Twice returns what was transferred more than once, as "METHOD REPOSITORY
// DIGEST" in the order it happened: bodies of manifests and blobs read, uploads
// finished, manifests put by digest. The continuation of a broken read (one with
// a Range) is not a second one, an answer that says no is none at all.
func (s *Server) Twice() []string {
	var found []string
	times := map[string]int{}
	for _, r := range s.Requests(Match{Method: "GET PUT POST", Kind: Digest | Blob | Upload}) {
		if r.Digest == "" || r.Range != "" || r.Status/100 != 2 {
			continue
		}
		key := r.Method + " " + repositoryOf(r.Path) + " " + r.Digest
		if times[key]++; times[key] == 2 {
			found = append(found, key)
		}
	}
	return found
}

// Forget drops the requests seen so far, so that the next counts begin at zero.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = nil
}
