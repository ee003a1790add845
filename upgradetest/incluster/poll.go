package incluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"sync"
	"time"

	"github.com/slipway-release/slipway/upgradetest"
)

// Target is one backend that a poller probes.
type Target struct {
	Name       string  `json:"name"`
	Connection string  `json:"connection"`
	HTTP       string  `json:"http,omitempty"` // URL; or
	DNS        string  `json:"dns,omitempty"`  // host:port
	Hertz      float64 `json:"hertz"`
}

func (t Target) backend() (upgradetest.Backend, error) {
	b := upgradetest.Backend{Name: t.Name, Connection: t.Connection, Hertz: t.Hertz}
	var err error
	if t.DNS != "" {
		b.Prober, err = upgradetest.DNSQuery(t.DNS, upgradetest.DNSName)
	} else {
		b.Prober, err = upgradetest.HTTP(t.Connection, upgradetest.HTTPTarget{URL: t.HTTP, ServerFromBody: true})
	}
	return b, err
}

// pull is what the monitor asks: the bytes of a recording from an offset. With it
// come the targets as they are to be from now on; none ends the recording.
type pull struct {
	Generation int      `json:"generation"` // of the recording, from 1
	From       int64    `json:"from"`
	Targets    []Target `json:"targets"`
}

// Headers of an answer to a pull.
const (
	headerNow        = "Slipway-Now"        // the poller's clock, nanoseconds since 1970
	headerGeneration = "Slipway-Generation" // of the newest recording; 0 when there is none
	headerComplete   = "Slipway-Complete"   // true: the recording asked for has ended, and this is all of it
	pullPath         = "/pull"
	etcdPath         = "/etcd"
	etcdMetrics      = "http://127.0.0.1:2381/metrics" // where kubeadm lets etcd serve them
	maxPull          = 1 << 20
)

// PollOptions are what a poller needs to know.
type PollOptions struct {
	HTTP string // address to be pulled at
	Dir  string // of recordings
	Node string
}

// poller probes what the last pull named.
type poller struct {
	options PollOptions

	mu         sync.Mutex
	targets    []Target
	monitor    *upgradetest.Monitor
	generation int
	leaving    bool
	pulled     chan struct{} // closed when all is pulled after the end
}

// lastAnswer bounds how long the answer to the last pull may take.
const lastAnswer = 2 * time.Second

// Poll serves pulls until ctx ends, and then until all was pulled, at most grace.
func Poll(ctx context.Context, o PollOptions, grace time.Duration) error {
	p := &poller{options: o, pulled: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("/readyz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/hostname", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, o.Node) })
	mux.HandleFunc("POST "+pullPath, p.pull)
	if metrics, err := url.Parse(etcdMetrics); err == nil {
		proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL = metrics }}
		mux.Handle("GET "+etcdPath, proxy)
	}
	server := &http.Server{Addr: o.HTTP, Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	select {
	case err := <-failed:
		return fmt.Errorf("serving on %q: %w", o.HTTP, err)
	case <-ctx.Done():
	}
	err := p.leave()
	select {
	case <-p.pulled:
	case <-time.After(grace):
		return errors.Join(err, server.Close())
	}
	// Who pulled the rest is still being told that it was all.
	end, cancel := context.WithTimeout(context.Background(), lastAnswer)
	defer cancel()
	if server.Shutdown(end) != nil {
		err = errors.Join(err, server.Close())
	}
	return err
}

func (p *poller) leave() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leaving = true
	if p.generation == 0 {
		close(p.pulled)
		return nil
	}
	return p.end()
}

// end is called with mu held.
func (p *poller) end() error {
	if p.monitor == nil {
		return nil
	}
	m := p.monitor
	p.monitor, p.targets = nil, nil
	_, err := m.Stop(context.Background())
	return err
}

// follow brings the recording to the targets: another set is another recording.
func (p *poller) follow(targets []Target) error {
	if p.leaving || (len(targets) == 0 && p.monitor == nil) || (p.monitor != nil && reflect.DeepEqual(targets, p.targets)) {
		return nil
	}
	if err := p.end(); err != nil {
		return err
	}
	if len(targets) == 0 {
		return nil
	}
	o := upgradetest.Options{SamplesDir: p.dir(p.generation + 1)}
	slowest := 1000.0
	for _, t := range targets {
		b, err := t.backend()
		if err != nil {
			return err
		}
		o.Backends = append(o.Backends, b)
		slowest = min(slowest, t.Hertz)
	}
	// A node is busy with its own work, and an interval late is still on the grid.
	o.Hertz = slowest
	o.Limits.Lateness99 = time.Duration(float64(time.Second) / slowest)
	m, err := upgradetest.Start(context.Background(), o)
	if err != nil {
		return err
	}
	p.monitor, p.targets = m, targets
	p.generation++
	return nil
}

func (p *poller) dir(generation int) string {
	return filepath.Join(p.options.Dir, strconv.Itoa(generation))
}

func (p *poller) pull(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	var q pull
	if err := json.NewDecoder(io.LimitReader(r.Body, maxPull)).Decode(&q); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.follow(q.Targets)
	if err == nil {
		err = p.answer(w, q, now)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (p *poller) answer(w http.ResponseWriter, q pull, now time.Time) error {
	data, size, err := read(filepath.Join(p.dir(q.Generation), upgradetest.SamplesFile), q.From)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	ended := q.Generation < p.generation || (q.Generation == p.generation && p.monitor == nil)
	complete := ended && q.From+int64(len(data)) >= size
	w.Header().Set(headerNow, strconv.FormatInt(now.UnixNano(), 10))
	w.Header().Set(headerGeneration, strconv.Itoa(p.generation))
	w.Header().Set(headerComplete, strconv.FormatBool(complete))
	_, _ = w.Write(data) // what does not arrive is asked for again
	if p.leaving && complete && len(data) == 0 && q.Generation == p.generation {
		select {
		case <-p.pulled:
		default:
			close(p.pulled)
		}
	}
	return nil
}

func read(path string, from int64) (data []byte, size int64, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, 0, err
	}
	data = make([]byte, max(min(info.Size()-from, maxPull), 0))
	n, err := file.ReadAt(data, from)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return data[:n], info.Size(), err
}
