package updates

import (
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// crowd is a listener that has no more than so many connections open. Where another
// one comes, the one that has been idle for longest goes: those who open many and say
// nothing keep nobody out.
type crowd struct {
	net.Listener
	most int

	mu   sync.Mutex
	open map[*guest]struct{}
}

// guest is a connection, and since when it is idle.
type guest struct {
	net.Conn
	crowd *crowd
	idle  atomic.Int64 // Unix nanoseconds; 0 while it is asked something
	once  sync.Once
}

func newCrowd(l net.Listener, most int) *crowd {
	return &crowd{Listener: l, most: most, open: map[*guest]struct{}{}}
}

// Accept implements net.Listener.
func (c *crowd) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		g := &guest{Conn: conn, crowd: c}
		g.idle.Store(time.Now().UnixNano())
		if c.letIn(g) {
			return g, nil
		}
		conn.Close() // all others are being answered
	}
}

func (c *crowd) letIn(g *guest) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.open) >= c.most {
		oldest := c.longestIdle()
		if oldest == nil {
			return false
		}
		delete(c.open, oldest)
		oldest.Conn.Close()
	}
	c.open[g] = struct{}{}
	return true
}

func (c *crowd) longestIdle() *guest {
	var oldest *guest
	var since int64
	for g := range c.open {
		if idle := g.idle.Load(); idle != 0 && (oldest == nil || idle < since) {
			oldest, since = g, idle
		}
	}
	return oldest
}

// Close implements net.Conn.
func (g *guest) Close() error {
	g.once.Do(func() {
		g.crowd.mu.Lock()
		delete(g.crowd.open, g)
		g.crowd.mu.Unlock()
	})
	return g.Conn.Close()
}

// noteState tells a connection whether it is idle.
func noteState(conn net.Conn, state http.ConnState) {
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	g, ok := conn.(*guest)
	if !ok {
		return
	}
	switch state {
	case http.StateActive:
		g.idle.Store(0)
	case http.StateIdle:
		g.idle.Store(time.Now().UnixNano())
	}
}
