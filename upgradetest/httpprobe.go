package upgradetest

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// maxBody bounds what is read of an answer.
const maxBody = 1 << 20

// HTTPTarget is what an HTTP backend asks.
type HTTPTarget struct {
	URL string
	// TLS is used for https; nil takes the system's roots.
	TLS *tls.Config
	// Wrap adds credentials to requests; nil adds none.
	Wrap func(http.RoundTripper) (http.RoundTripper, error)
	// ServerFromBody takes the first line of the answer for the server's name.
	// Otherwise it is the first name of the server's certificate that is not one
	// every API server has.
	ServerFromBody bool
	// ReadyzShutdown marks samples of a server whose answer says that it shuts down.
	ReadyzShutdown bool
}

// HTTP returns a prober that sends GET requests to target: on one connection
// each, or on one that is kept. A kept one speaks HTTP/2 where the server does, as
// clients of Kubernetes do.
//
// It drives connections itself, because an http.Transport sends a request again
// when a kept connection turns out to be broken, and tells nobody. Here the
// request that meets the broken connection has failed. Only an end that the
// protocol announces (GOAWAY, Connection: close) or allows (HTTP/1.1, idle) is no
// failure; it is counted as a reconnect. A request that a GOAWAY gives back as not
// looked at goes on on the next connection, as HTTP/2 wants it, with its clock running.
func HTTP(connection string, target HTTPTarget) (Prober, error) {
	u, err := url.Parse(target.URL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("probing %q: want an http or https URL", target.URL)
	}
	h := &httpProber{target: target, url: u, keep: connection == Reused}
	h.rt = http.RoundTripper(onConnection{})
	if target.Wrap != nil {
		if h.rt, err = target.Wrap(h.rt); err != nil {
			return nil, fmt.Errorf("preparing credentials for %q: %w", target.URL, err)
		}
	}
	return h, nil
}

type httpProber struct {
	target HTTPTarget
	url    *url.URL
	rt     http.RoundTripper
	keep   bool
	// talk is what is said on a connection; nil is one GET of url.
	talk func(ctx context.Context, send sender, p *Probe) error

	mu     sync.Mutex
	kept   *conn
	opened bool // a connection was kept before
}

// Probe implements Prober.
func (h *httpProber) Probe(ctx context.Context, p *Probe) {
	for range maxGivenBack {
		c, err := h.connection(ctx, p)
		if err == nil {
			err = h.ask(ctx, c, p)
			h.release(c, err, p.Begin)
		}
		if err != nil {
			p.Class, p.Detail = classify(err)
		}
		if !givenBack(err) || ctx.Err() != nil {
			return
		}
		p.Class, p.Detail, p.Reconnected = OK, "", true
	}
	p.Class, p.Detail = GoAway, "every connection gave the request back"
}

// maxGivenBack bounds on how many connections a request is sent after GOAWAYs.
const maxGivenBack = 4

// givenBack reports whether the server said, by a GOAWAY without an error, that it
// has not looked at the request, or said so before it was sent. The http2 package has
// these errors but does not export them.
func givenBack(err error) bool {
	for ; err != nil; err = errors.Unwrap(err) {
		switch err.Error() {
		case "http2: Transport received Server's graceful shutdown GOAWAY", "http2: client conn not usable":
			return true
		}
	}
	return false
}

// connection returns the kept connection, or a new one.
func (h *httpProber) connection(ctx context.Context, p *Probe) (*conn, error) {
	if h.keep {
		c, err := h.take()
		if c != nil || err != nil {
			return c, err
		}
		h.mu.Lock()
		p.Reconnected = h.opened && h.kept == nil // or it is there, and busy
		h.mu.Unlock()
	}
	return dial(ctx, h.url, h.target.TLS, h.keep, p)
}

// take returns the kept connection when it can take a request. Its having broken
// without notice is an error, reported once.
func (h *httpProber) take() (*conn, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.kept
	if c == nil {
		return nil, nil
	}
	if broken, err := c.state(); broken {
		h.kept = nil
		if c.users > 0 {
			return nil, nil // the requests that wait on it tell
		}
		c.close()
		return nil, err
	}
	if !c.reserve() {
		return nil, nil
	}
	c.users++
	return c, nil
}

// release gives c back after a request that was started at begin and ended with err.
func (h *httpProber) release(c *conn, err error, begin time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.users > 0 {
		c.users--
	}
	if h.kept == c && err != nil && (!c.usable() || c.silentSince(begin)) {
		// Nothing came on it while the request waited: what is sent from now on
		// takes another one. Requests that wait on this one may still be answered.
		h.kept = nil
	}
	if h.keep && h.kept == nil && err == nil && c.usable() {
		h.kept, h.opened = c, true
	}
	if h.kept != c && c.users == 0 {
		c.close()
	}
}

func (h *httpProber) ask(ctx context.Context, c *conn, p *Probe) error {
	var firstByte atomic.Int64 // the trace may still be told after the request was given up
	defer func() { p.FirstByte = time.Duration(firstByte.Load()) }()
	trace := &httptrace.ClientTrace{GotFirstResponseByte: func() { firstByte.Store(int64(time.Since(p.Begin))) }}
	ctx = context.WithValue(httptrace.WithClientTrace(ctx, trace), connKey{}, c)
	p.Server = c.server
	send := func(ctx context.Context, r request) (answer, error) {
		a, err := h.send(ctx, r)
		if err != nil {
			return a, c.cause(err)
		}
		p.Status, p.Class, p.Detail = a.status, statusClass(a.status), ""
		if p.Class != OK {
			p.Detail = fmt.Sprintf("%d %s", a.status, http.StatusText(a.status))
		}
		return a, nil
	}
	if h.talk != nil {
		return h.talk(ctx, send, p)
	}
	a, err := send(ctx, request{method: http.MethodGet, path: h.url.RequestURI()})
	if err != nil {
		return err
	}
	if h.target.ServerFromBody && p.Class == OK {
		p.Server, _, _ = strings.Cut(string(a.body), "\n")
	}
	if h.target.ReadyzShutdown && p.Class != OK {
		p.Leaving = strings.Contains(string(a.body), "[-]shutdown")
	}
	return nil
}

// sender sends a request on the connection of a probe, and notes its status.
type sender func(ctx context.Context, r request) (answer, error)

// request is one of a conversation, to the server of the prober's URL.
type request struct {
	method, path string // the path with its query
	contentType  string
	body         []byte
}

type answer struct {
	status int
	body   []byte
}

func (h *httpProber) send(ctx context.Context, r request) (answer, error) {
	var body io.Reader
	if r.body != nil {
		body = bytes.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, h.url.Scheme+"://"+h.url.Host+r.path, body)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("User-Agent", "slipway-upgradetest")
	if r.contentType != "" {
		req.Header.Set("Content-Type", r.contentType)
	}
	resp, err := h.rt.RoundTrip(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode}
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxBody))
	return a, err
}

// Close implements Prober.
func (h *httpProber) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.kept != nil {
		h.kept.close()
		h.kept = nil
	}
}

// onConnection sends a request on the connection in its context, below the
// wrappers that add credentials.
type onConnection struct{}

type connKey struct{}

// RoundTrip implements http.RoundTripper.
func (onConnection) RoundTrip(req *http.Request) (*http.Response, error) {
	c, ok := req.Context().Value(connKey{}).(*conn)
	if !ok {
		return nil, errors.New("the request has no connection")
	}
	return c.rt.RoundTrip(req)
}
