// Package registryserver serves images from a folder: the CNCF distribution
// registry inside this process. It adds what that registry lacks and Slipway
// needs: the list of referrers of OCI 1.1, and blobs that damage cannot make
// permanent. The folder's layout is distribution's own.
package registryserver

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	"github.com/distribution/distribution/v3/registry/storage"
)

const (
	drainTime = 5 * time.Second
	// abandoned is the age at which an upload that nobody finished is removed.
	abandoned = 24 * time.Hour
)

// Options says what to serve and where.
type Options struct {
	Root string // folder of the data; made if it is missing
	Addr string // default "127.0.0.1:0", a free port
	// AllowRemote permits an address that other machines can reach. Whoever
	// reaches it may read, write and delete everything.
	AllowRemote bool
	Log         io.Writer // what goes wrong; nil drops it
}

// Server is a registry that is being served.
type Server struct {
	addr   string
	http   *http.Server
	app    *handlers.App
	busy   *busy
	cancel context.CancelFunc
	done   chan struct{}
	once   sync.Once
	err    error
}

// Serve starts a registry and returns when it accepts requests. It ends with ctx
// or by Close, whichever is first. The distribution registry logs through the
// process-wide logger of logrus, which Serve points to Log.
func Serve(ctx context.Context, o Options) (*Server, error) {
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	if err := checkAddress(o.Addr, o.AllowRemote); err != nil {
		return nil, fmt.Errorf("serving registry on %q: %w", o.Addr, err)
	}
	if err := checkWritable(o.Root); err != nil {
		return nil, fmt.Errorf("serving registry from %q: %w", o.Root, err)
	}
	logTo(o.Log)
	ctx, cancel := context.WithCancel(ctx)
	app, err := newApp(ctx, o.Root)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("serving registry from %q: %w", o.Root, err)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", o.Addr)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("serving registry on %q: %w", o.Addr, err)
	}
	s := &Server{addr: listener.Addr().String(), app: app, cancel: cancel, done: make(chan struct{})}
	s.busy = &busy{next: newReferrersHandler(app)}
	s.http = &http.Server{
		Handler:           s.busy,
		ReadHeaderTimeout: 30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          log.New(o.Log, "registry: ", 0),
	}
	s.run(ctx, listener, o.Root)
	return s, nil
}

// run serves until the server is shut down, and shuts it down when ctx ends.
func (s *Server) run(ctx context.Context, listener net.Listener, root string) {
	go func() {
		defer close(s.done)
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.err = err
		}
	}()
	go func() {
		<-ctx.Done()
		s.Close()
	}()
	// What a crash left of an upload is of no use to anybody.
	go storage.PurgeUploads(ctx, newDriver(root), time.Now().Add(-abandoned), true)
}

// Addr returns the address the registry listens on, HOST:PORT.
func (s *Server) Addr() string { return s.addr }

// Close lets requests that are under way finish for up to five seconds, then
// stops serving. It may be called more than once.
func (s *Server) Close() error {
	s.once.Do(func() {
		s.busy.drain(drainTime)
		s.http.Close()
		<-s.done
		_ = s.app.Shutdown()
		s.cancel()
	})
	<-s.done
	return s.err
}

// newApp configures distribution's handlers. They panic on a configuration they
// do not like; here that becomes an error.
func newApp(ctx context.Context, root string) (app *handlers.App, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("starting the registry: %v", p)
		}
	}()
	config := &configuration.Configuration{
		Storage: configuration.Storage{
			driverName: configuration.Parameters{"rootdirectory": root},
			"delete":   configuration.Parameters{"enabled": true},
			"maintenance": configuration.Parameters{
				"uploadpurging": map[any]any{"enabled": false}, // done once, see run
			},
		},
	}
	config.HTTP.RelativeURLs = true
	config.HTTP.Secret = rand.Text()
	return handlers.NewApp(ctx, config), nil
}

func checkAddress(addr string, allowRemote bool) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return errors.New("the address must be HOST:PORT")
	}
	if ip := net.ParseIP(host); allowRemote || host == "localhost" || (ip != nil && ip.IsLoopback()) {
		return nil
	}
	return errors.New("it has no access control, so only a loopback address is served unless remote access is asked for")
}

// checkWritable finds a full or read-only disk before the first push does.
func checkWritable(root string) error {
	if root == "" {
		return errors.New("no folder was given")
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	probe := filepath.Join(root, fmt.Sprintf(".writable.%d", os.Getpid()))
	if err := os.WriteFile(probe, []byte("ok"), 0o600); err != nil {
		return err
	}
	return os.Remove(probe)
}

// busy counts the requests that are under way. http.Server.Shutdown would wait
// for connections, and for five seconds for each that a client opened and never
// used.
type busy struct {
	next  http.Handler
	mu    sync.Mutex
	count int
	idle  chan struct{} // closed when count falls to 0 while draining
}

// ServeHTTP implements http.Handler.
func (b *busy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !b.enter() {
		http.Error(w, "the registry is closing", http.StatusServiceUnavailable)
		return
	}
	defer b.leave()
	b.next.ServeHTTP(w, r)
}

func (b *busy) enter() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.idle != nil {
		return false
	}
	b.count++
	return true
}

func (b *busy) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.count--; b.count == 0 && b.idle != nil {
		close(b.idle)
	}
}

// drain lets no request in any more and waits for those inside.
func (b *busy) drain(limit time.Duration) {
	b.mu.Lock()
	b.idle = make(chan struct{})
	if b.count == 0 {
		close(b.idle)
	}
	idle := b.idle
	b.mu.Unlock()
	select {
	case <-idle:
	case <-time.After(limit):
	}
}
