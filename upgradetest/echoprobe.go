package upgradetest

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"time"
)

// Bye is the line by which a server of ticks announces that it is going to end the
// connection. What was sent before is still answered.
const Bye = "bye"

// echoProber sends numbers over one long-lived stream, from which each must come
// back as a line.
type echoProber struct {
	link[*echoStream]
	mayEnd bool // the stream may end at any time, without a word

	mu   sync.Mutex
	next uint64
}

// TCPTicks returns a prober that keeps one TCP connection to address (host:port)
// of a server that sends back every line. An end that was not announced by Bye
// is a failure.
func TCPTicks(address string) (Prober, error) {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return nil, err
	}
	e := &echoProber{}
	e.link.open = func(ctx context.Context, p *Probe) (*echoStream, error) {
		c, err := dialer.DialContext(ctx, "tcp", address)
		if err != nil {
			return nil, err
		}
		p.Connect = time.Since(p.Begin)
		return newEchoStream(c, c, func() { c.Close() }, e.link.drop), nil
	}
	return e, nil
}

// Probe implements Prober.
func (e *echoProber) Probe(ctx context.Context, p *Probe) {
	e.mu.Lock()
	e.next++
	line := strconv.FormatUint(e.next, 10)
	e.mu.Unlock()
	e.link.probe(ctx, p, e.mayEnd, func(ctx context.Context, s *echoStream) error {
		p.Server = s.server
		err := s.roundTrip(ctx, line)
		if err == nil {
			p.FirstByte = time.Since(p.Begin)
		}
		return err
	})
}

// Close implements Prober.
func (e *echoProber) Close() { e.link.close() }

// echoStream is a stream on which every line comes back.
type echoStream struct {
	server string
	lines  chan string // to send
	done   chan struct{}
	closer func()

	mu      sync.Mutex
	waiting map[string]chan struct{}
	last    time.Time
	bye     bool
	err     error
	isDone  bool
}

// newEchoStream takes a connection over. leaving is called when the server says Bye.
func newEchoStream(r io.Reader, w io.Writer, closer func(), leaving func(*echoStream)) *echoStream {
	s := &echoStream{lines: make(chan string, 1024), done: make(chan struct{}), closer: sync.OnceFunc(closer), waiting: map[string]chan struct{}{}}
	go s.send(w)
	go s.receive(r, leaving)
	return s
}

func (s *echoStream) send(w io.Writer) {
	for {
		select {
		case line := <-s.lines:
			if _, err := io.WriteString(w, line+"\n"); err != nil {
				s.end(err)
				return
			}
		case <-s.done:
			return
		}
	}
}

func (s *echoStream) receive(r io.Reader, leaving func(*echoStream)) {
	in := bufio.NewScanner(r)
	for in.Scan() {
		s.mu.Lock()
		s.last = time.Now()
		answered := s.waiting[in.Text()]
		delete(s.waiting, in.Text())
		if in.Text() == Bye {
			s.bye = true
		}
		idle := s.bye && len(s.waiting) == 0
		s.mu.Unlock()
		if answered != nil {
			close(answered)
		}
		if in.Text() == Bye && leaving != nil {
			leaving(s)
		}
		if idle {
			s.closer() // all is answered, and nobody sends on it any more
		}
	}
	err := in.Err()
	if err == nil {
		err = io.EOF
	}
	s.end(err)
}

// end is called when the stream is over; the first reason counts.
func (s *echoStream) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isDone {
		return
	}
	s.isDone = true
	if !s.bye {
		s.err = err
	}
	close(s.done)
	s.closer()
}

var errTooMuch = errors.New("too much waits to be sent")

func (s *echoStream) roundTrip(ctx context.Context, line string) error {
	answered := make(chan struct{})
	s.mu.Lock()
	s.waiting[line] = answered
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.waiting, line)
		s.mu.Unlock()
	}()
	select {
	case s.lines <- line:
	case <-s.done:
		return errEnded
	default:
		return errTooMuch
	}
	select {
	case <-answered:
		return nil
	case <-s.done:
		return errEnded
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *echoStream) ended() <-chan struct{} { return s.done }

func (s *echoStream) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *echoStream) silentSince(t time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.last.After(t)
}

func (s *echoStream) close() { s.end(net.ErrClosed) }
