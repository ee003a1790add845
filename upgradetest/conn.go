//lint:file-ignore SA1019 x/net tells a GOAWAY apart from other ends of an HTTP/2 connection.

package upgradetest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
)

// protocol is what both kinds of client connection can do.
type protocol interface {
	http.RoundTripper
	Close() error
}

// conn is one connection to a server.
type conn struct {
	rt     protocol
	h1     *http.ClientConn  // one of the two is set
	h2     *http2.ClientConn //
	tap    *tap
	server string
	users  int // requests on it, counted by the prober that keeps it
}

// state reports whether the connection is over, and why when it ended without notice.
func (c *conn) state() (broken bool, err error) {
	if c.h2 != nil {
		s := c.h2.State()
		if !s.Closed && !s.Closing {
			return false, nil
		}
		if s.Closing {
			return true, nil
		}
		return true, c.cause(io.EOF)
	}
	if c.h1.Err() == nil {
		return false, nil
	}
	if cause := c.tap.failure(); cause != nil && !errors.Is(cause, io.EOF) {
		return true, cause
	}
	return true, nil
}

func (c *conn) usable() bool {
	broken, _ := c.state()
	return !broken
}

// reserve reports whether a request can be sent at once.
func (c *conn) reserve() bool {
	if c.h2 != nil {
		return c.h2.ReserveNewRequest()
	}
	return c.h1.Reserve() == nil
}

// cause returns what the network said, where err only says that the connection is gone.
func (c *conn) cause(err error) error {
	if class, _ := classify(err); class != Other && class != EOF {
		return err
	}
	if failure := c.tap.failure(); failure != nil {
		return failure
	}
	return err
}

func (c *conn) silentSince(t time.Time) bool { return !c.tap.lastRead().After(t) }

func (c *conn) close() { _ = c.rt.Close() }

// tap is a network connection that remembers when something last came, and how
// it ended.
type tap struct {
	net.Conn
	mu   sync.Mutex
	last time.Time
	err  error
}

// Read implements net.Conn.
func (t *tap) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	t.mu.Lock()
	defer t.mu.Unlock()
	if n > 0 {
		t.last = time.Now()
	}
	t.note(err)
	return n, err
}

// Write implements net.Conn.
func (t *tap) Write(p []byte) (int, error) {
	n, err := t.Conn.Write(p)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.note(err)
	return n, err
}

func (t *tap) note(err error) {
	// That this side closed it, or set a deadline, says nothing about the server.
	if err != nil && t.err == nil && !errors.Is(err, net.ErrClosed) && !isTimeout(err) {
		t.err = err
	}
}

func (t *tap) failure() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

func (t *tap) lastRead() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// dialer makes one connection for one request. Keep-alive probes are off: on a
// broken path they would end the connection at times of their own.
var dialer = net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: false}, KeepAlive: -1}

// transports turn a network connection into a client's; they keep none.
var (
	transport1 = &http.Transport{DialContext: given, DialTLSContext: given, DisableCompression: true}
	transport2 = &http2.Transport{DisableCompression: true}
)

type netConnKey struct{}

func given(ctx context.Context, _, _ string) (net.Conn, error) {
	c, ok := ctx.Value(netConnKey{}).(net.Conn)
	if !ok {
		return nil, errors.New("no connection was given")
	}
	return c, nil
}

// dial connects to u and tells p when each phase was over. allow2 offers HTTP/2.
func dial(ctx context.Context, u *url.URL, config *tls.Config, allow2 bool, p *Probe) (*conn, error) {
	raw, err := dialTCP(ctx, u, p)
	if err != nil {
		return nil, err
	}
	c := &conn{tap: &tap{Conn: raw}}
	stream := net.Conn(c.tap)
	proto := ""
	if u.Scheme == "https" {
		secured := tls.Client(c.tap, tlsConfig(config, u.Hostname(), allow2))
		if err := secured.HandshakeContext(ctx); err != nil {
			raw.Close()
			return nil, c.cause(err)
		}
		p.TLS = time.Since(p.Begin)
		c.server = serverName(secured.ConnectionState().PeerCertificates)
		stream, proto = secured, secured.ConnectionState().NegotiatedProtocol
	}
	if proto == "h2" {
		c.h2, err = transport2.NewClientConn(stream)
		c.rt = c.h2
	} else {
		c.h1, err = transport1.NewClientConn(context.WithValue(ctx, netConnKey{}, stream), u.Scheme, address(u))
		c.rt = c.h1
	}
	if err != nil {
		raw.Close()
		return nil, c.cause(err)
	}
	return c, nil
}

func dialTCP(ctx context.Context, u *url.URL, p *Probe) (net.Conn, error) {
	var resolved atomic.Int64
	trace := &httptrace.ClientTrace{DNSDone: func(httptrace.DNSDoneInfo) { resolved.Store(int64(time.Since(p.Begin))) }}
	raw, err := dialer.DialContext(httptrace.WithClientTrace(ctx, trace), "tcp", address(u))
	p.DNS = time.Duration(resolved.Load())
	if err == nil {
		p.Connect = time.Since(p.Begin)
	}
	return raw, err
}

func address(u *url.URL) string {
	if u.Port() != "" {
		return u.Host
	}
	if u.Scheme == "https" {
		return net.JoinHostPort(u.Hostname(), "443")
	}
	return net.JoinHostPort(u.Hostname(), "80")
}

func tlsConfig(config *tls.Config, host string, allow2 bool) *tls.Config {
	if config == nil {
		config = &tls.Config{}
	}
	config = config.Clone()
	config.NextProtos = []string{"http/1.1"}
	if allow2 {
		config.NextProtos = []string{"h2", "http/1.1"}
	}
	if config.ServerName == "" {
		config.ServerName = host
	}
	return config
}

// serverName finds the name that only this server bears among those of its
// certificate: kubeadm puts the node's name beside those of the service.
func serverName(chain []*x509.Certificate) string {
	if len(chain) == 0 {
		return ""
	}
	for _, name := range chain[0].DNSNames {
		if name != "localhost" && name != "kubernetes" && !strings.HasPrefix(name, "kubernetes.default") {
			return name
		}
	}
	return chain[0].Subject.CommonName
}
