package selftest

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// backends is how many servers stand behind the proxy.
const backends = 3

// proxy stands between the monitor and three servers, as a balancer does, each in
// turn, and breaks what it is told to.
type proxy struct {
	address net.Addr
	servers []*http.Server
	targets []string

	mu       sync.Mutex
	listener net.Listener // nil while refusing
	conns    map[net.Conn]bool
	frozen   chan struct{} // open while frozen; nil or closed otherwise
	share    float64       // of connections that are dropped
	dropped  bool          // the first backend
	closed   bool

	turn  atomic.Uint64
	users sync.WaitGroup
}

func startProxy() (*proxy, error) {
	p := &proxy{conns: map[net.Conn]bool{}}
	for range backends {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			p.close()
			return nil, err
		}
		s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, l.Addr().String()+"\n")
		})}
		p.servers, p.targets = append(p.servers, s), append(p.targets, l.Addr().String())
		p.users.Go(func() { _ = s.Serve(l) }) // ends with close
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.close()
		return nil, err
	}
	p.address = l.Addr()
	p.open(l)
	return p, nil
}

func (p *proxy) url() string { return "http://" + p.address.String() + "/" }

func (p *proxy) open(l net.Listener) {
	p.mu.Lock()
	p.listener = l
	p.mu.Unlock()
	p.users.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.users.Go(func() { p.serve(c) })
		}
	})
}

// refuse closes the port; connections that exist go on.
func (p *proxy) refuse(yes bool) {
	p.mu.Lock()
	l := p.listener
	p.listener = nil
	p.mu.Unlock()
	if yes {
		l.Close()
		return
	}
	for {
		l, err := net.Listen("tcp", p.address.String())
		if err == nil {
			p.open(l)
			return
		}
		time.Sleep(time.Millisecond) // somebody's connection from that port is ending
	}
}

// freeze lets nothing through, while the kernel still takes connections.
func (p *proxy) freeze(yes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if yes {
		p.frozen = make(chan struct{})
		return
	}
	close(p.frozen)
	p.frozen = nil
}

func (p *proxy) dropBackend(yes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dropped = yes
}

func (p *proxy) lose(share float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.share = share
}

// reset ends all connections with RST.
func (p *proxy) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		abort(c)
	}
}

func abort(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	c.Close()
}

func (p *proxy) serve(c net.Conn) {
	p.mu.Lock()
	share, dropped, closed := p.share, p.dropped, p.closed
	p.conns[c] = true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.conns, c)
		p.mu.Unlock()
		c.Close()
	}()
	n := int(p.turn.Add(1) % backends)
	if closed || (dropped && n == 0) || rand.Float64() < share {
		abort(c)
		return
	}
	to, err := net.Dial("tcp", p.targets[n])
	if err != nil {
		abort(c)
		return
	}
	defer to.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.copy(to, c)
		_ = to.(*net.TCPConn).CloseWrite()
	}()
	p.copy(c, to)
	c.Close()
	<-done
}

// copy hands on what comes, but not while frozen.
func (p *proxy) copy(to, from net.Conn) {
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		frozen := p.frozen
		p.mu.Unlock()
		if frozen != nil {
			<-frozen
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				abort(to)
			}
			return
		}
	}
}

func (p *proxy) close() {
	p.mu.Lock()
	p.closed = true
	if p.listener != nil {
		p.listener.Close()
	}
	if p.frozen != nil {
		close(p.frozen)
		p.frozen = nil
	}
	p.mu.Unlock()
	p.reset()
	for _, s := range p.servers {
		s.Close()
	}
	p.users.Wait()
}
