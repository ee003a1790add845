package upgradetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// stream is something long-lived that many probes share.
type stream interface {
	// ended is closed when nothing comes any more. failure then says why, nil
	// after an end in good order.
	ended() <-chan struct{}
	failure() error
	// silentSince reports whether nothing has come since t.
	silentSince(t time.Time) bool
	close()
}

// link keeps one stream. The probe that finds none opens it; the others wait for
// that. An attempt that fails has failed for all of them: nothing is tried twice.
type link[S stream] struct {
	open func(ctx context.Context, p *Probe) (S, error)

	mu      sync.Mutex
	current S
	is      bool // there is a current one
	opened  bool // there was one before
	opening chan struct{}
	err     error // of the last attempt
}

func (l *link[S]) get(ctx context.Context, p *Probe) (S, error) {
	var none S
	l.mu.Lock()
	for !l.is && l.opening != nil {
		opening := l.opening
		l.mu.Unlock()
		select {
		case <-opening:
		case <-ctx.Done():
			return none, ctx.Err()
		}
		l.mu.Lock()
		// Who opened may have had less time left than this probe.
		if !l.is && l.err != nil && !errors.Is(l.err, context.DeadlineExceeded) {
			err := l.err
			l.mu.Unlock()
			return none, err
		}
	}
	if l.is {
		defer l.mu.Unlock()
		return l.current, nil
	}
	opening := make(chan struct{})
	l.opening = opening
	l.mu.Unlock()

	s, err := l.open(ctx, p)

	l.mu.Lock()
	defer l.mu.Unlock()
	l.opening, l.err = nil, err
	close(opening)
	if err != nil {
		return none, err
	}
	p.Reconnected = l.opened
	l.current, l.is, l.opened = s, true, true
	return s, nil
}

// drop forgets s, so that the next probe opens another.
func (l *link[S]) drop(s S) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.is && stream(l.current) == stream(s) {
		var none S
		l.current, l.is = none, false
	}
}

func (l *link[S]) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.is {
		l.current.close()
		l.is = false
	}
}

// probe waits on the stream until done. A stream that ended in the meantime, which
// mayEnd allows or not, is opened once more within the same probe, its clock running.
func (l *link[S]) probe(ctx context.Context, p *Probe, mayEnd bool, done func(ctx context.Context, s S) error) {
	for attempt := 0; ; attempt++ {
		s, err := l.get(ctx, p)
		if err != nil {
			p.Class, p.Detail = classify(err)
			return
		}
		err = done(ctx, s)
		if err == nil {
			return
		}
		ended := errors.Is(err, errEnded)
		if ended {
			l.drop(s)
			s.close()
			if attempt == 0 && ctx.Err() == nil && (mayEnd || s.failure() == nil) {
				continue
			}
			if failure := s.failure(); failure != nil {
				err = failure
			} else {
				err = io.EOF
			}
		} else if ctx.Err() != nil && s.silentSince(p.Begin) {
			l.drop(s) // what is sent from now on takes another one; what waits on it may still be answered
			time.AfterFunc(2*DefaultTimeout, s.close)
		}
		p.Class, p.Detail = classify(err)
		return
	}
}

// errEnded says that the stream ended before the probe was done with it.
var errEnded = errors.New("the stream ended")

// statusError is an answer that is none.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("%d %s", int(e), http.StatusText(int(e))) }

// bodyStream is an answer of an HTTP server that goes on.
type bodyStream struct {
	conn *conn
	stop context.CancelFunc
	done chan struct{}
	err  error // when done is closed
}

// openBody sends a GET on a connection of its own and lets read take in what is
// answered, until the end. ctx bounds only the opening.
func openBody(ctx context.Context, target HTTPTarget, rt http.RoundTripper, u *url.URL, p *Probe, read func(io.Reader) error) (*bodyStream, error) {
	c, err := dial(ctx, u, target.TLS, true, p)
	if err != nil {
		return nil, err
	}
	p.Server = c.server
	life, stop := context.WithCancel(context.WithValue(context.Background(), connKey{}, c))
	opening := context.AfterFunc(ctx, stop)
	s := &bodyStream{conn: c, stop: stop, done: make(chan struct{})}
	req, err := http.NewRequestWithContext(life, http.MethodGet, u.String(), nil)
	if err != nil {
		s.close()
		return nil, err
	}
	req.Header.Set("User-Agent", "slipway-upgradetest")
	resp, err := rt.RoundTrip(req)
	if err == nil && !opening() {
		resp.Body.Close()
		err = ctx.Err()
	}
	if err != nil {
		err = c.cause(err)
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		s.close()
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		s.close()
		return nil, statusError(resp.StatusCode)
	}
	go func() {
		defer close(s.done)
		defer resp.Body.Close()
		if err := read(resp.Body); err != nil && !errors.Is(err, io.EOF) {
			s.err = c.cause(err)
		}
	}()
	return s, nil
}

func (s *bodyStream) ended() <-chan struct{} { return s.done }

func (s *bodyStream) failure() error {
	select {
	case <-s.done:
		return s.err
	default:
		return nil
	}
}

func (s *bodyStream) silentSince(t time.Time) bool { return s.conn.silentSince(t) }

func (s *bodyStream) close() {
	s.stop()
	s.conn.close()
}
