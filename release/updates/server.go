package updates

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/slipway-release/slipway/internal/clock"
)

// Server puts everything under one address. Only Graph and Refresher are needed.
type Server struct {
	Graph     *Handler
	Refresher *Refresher
	Write     *WriteAPI
	// Signatures is at /signatures/, GraphData at /graph-data.
	Signatures, GraphData http.Handler
	// API answers GET below /api/v1/, Runs below /runs/, Pages everything that nothing
	// else does.
	API, Runs, Pages http.Handler
	Metrics          *Metrics
	Log              *slog.Logger
	// Drain is how long requests are still answered after readiness has failed, so that
	// load balancers stop sending some; zero means 5 seconds. Grace is how long those
	// that are being answered then have; zero means 30 seconds.
	Drain, Grace time.Duration
	// Connections bounds those open at once; zero means 4096. Where there are more, the
	// one idle for longest is closed.
	Connections int
	// TLS is nil for plain HTTP.
	TLS *tls.Config

	draining atomic.Bool
	once     sync.Once
	metrics  http.Handler
	slots    chan struct{}
}

// The bounds of a request. Answers that take longer than writeTimeout to be read are
// cut off: a client that reads so slowly only holds a connection.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 30 * time.Second
	writeTimeout  = time.Minute
	idleTimeout   = 90 * time.Second
	maxHeader     = 16 << 10 // bytes
	maxBody       = 1 << 20  // bytes, of any request
	// maxSlow bounds what is answered at once of all that is not made beforehand.
	maxSlow = 64
)

// Serve answers on a listener until ctx ends. Then readiness fails, clients are told to
// come back on another connection, what is being answered is finished, and Serve
// returns nil.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler: s, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader, ConnState: noteState,
		ErrorLog: slog.NewLogLogger(s.log().Handler(), slog.LevelDebug),
	}
	ended := make(chan error, 1)
	crowd := newCrowd(listener, cmpOr(s.Connections, 4096))
	go func() {
		if s.TLS == nil {
			ended <- server.Serve(crowd)
			return
		}
		server.TLSConfig = s.TLS.Clone()
		ended <- server.ServeTLS(crowd, "", "")
	}()
	select {
	case err := <-ended:
		return fmt.Errorf("serving updates on %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	s.draining.Store(true)
	s.log().Info("no longer ready; answering those who still come", "for", or(s.Drain, 5*time.Second))
	_ = clock.Sleep(context.Background(), or(s.Drain, 5*time.Second)) // cannot be cut short
	finish, cancel := context.WithTimeout(context.Background(), or(s.Grace, 30*time.Second))
	defer cancel()
	err := server.Shutdown(finish)
	if errors.Is(err, context.DeadlineExceeded) {
		err = errors.Join(fmt.Errorf("ending: requests were not answered within %s", or(s.Grace, 30*time.Second)), server.Close())
	}
	return err
}

func (s *Server) prepare() {
	s.slots = make(chan struct{}, maxSlow)
	if s.Metrics != nil {
		s.metrics = promhttp.HandlerFor(s.Metrics.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
	}
}

// ServeHTTP implements http.Handler. What is asked for most is looked at first.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.draining.Load() {
		w.Header().Set("Connection", "close")
	}
	if s.Graph.Serves(r.URL.Path) {
		s.Graph.ServeHTTP(w, r)
		return
	}
	if s.health(w, r) {
		return
	}
	s.once.Do(s.prepare)
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		w.Header().Set("Retry-After", "1")
		(&apiError{http.StatusServiceUnavailable, kindTooMany, "too many requests at once; come back in 1 s"}).write(w, r)
		return
	}
	if r.Body != nil {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	}
	s.find(r).ServeHTTP(w, r)
}

// find returns who answers a request.
func (s *Server) find(r *http.Request) http.Handler {
	path := r.URL.Path
	below := strings.TrimPrefix(path, Prefix)
	_, writes := actionOf(path)
	var to http.Handler
	switch {
	case writes && s.Write != nil:
		return s.Write
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { methodNotAllowed(w, r).write(w, r) })
	case path == "/metrics":
		to = s.metrics
	case below == "/graph-data":
		to = s.GraphData
	case strings.HasPrefix(below, "/signatures/"):
		to = s.Signatures
	case strings.HasPrefix(path, "/api/"):
		to = s.API
	case s.Runs != nil && strings.HasPrefix(path, "/runs/"):
		to = s.Runs
	default:
		to = s.Pages
	}
	if to == nil {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { notFound(r.URL.Path).write(w, r) })
	}
	return to
}

func (s *Server) log() *slog.Logger {
	if s.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Log
}
