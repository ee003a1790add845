package oci

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/slipway-release/slipway/internal/clock"
)

// gates holds what is known of each host, by HOST[:PORT]. A registry counts the
// requests of a client whatever they are for, so that all Registry values of a
// process share them.
var gates sync.Map

func gateOf(host string) *gate {
	if known, ok := gates.Load(host); ok {
		return known.(*gate)
	}
	known, _ := gates.LoadOrStore(host, &gate{})
	return known.(*gate)
}

// gate lets requests to one host pass. It is wide open until the host says that
// there are too many. Then nobody passes for the time that the host asked for, and
// after that half as many side by side as before; every round of answers without
// another complaint lets one more in, until the gate is open again.
type gate struct {
	mu      sync.Mutex
	closed  time.Time // nobody passes before
	limit   int       // requests side by side; 0: as many as there are
	opens   int       // the limit above which the gate is open again
	active  int
	good    int // answers since the limit last changed
	cuts    int // how often the limit was cut
	waiting []*waiter
	timer   *time.Timer // admits once the gate is no longer closed
}

// waiter is a request at the gate.
type waiter struct {
	attempt int
	passed  chan struct{} // closed when it may go
}

// pass is the permission for one request, to be given back by good or refused.
type pass struct {
	gate *gate
	cuts int
	side bool // the request does not count
}

// enter waits until a request may be sent. The one that was refused most often goes
// first, so that a host that never recovers is found out as soon as if nobody else
// had asked.
func (g *gate) enter(ctx context.Context, attempt int) (pass, error) {
	g.mu.Lock()
	w := &waiter{attempt: attempt, passed: make(chan struct{})}
	g.waiting = append(g.waiting, w)
	g.admit()
	g.mu.Unlock()
	select {
	case <-w.passed:
	case <-ctx.Done():
		g.mu.Lock()
		defer g.mu.Unlock()
		if i := slices.Index(g.waiting, w); i >= 0 {
			g.waiting = slices.Delete(g.waiting, i, i+1)
		} else {
			g.active--
			g.admit()
		}
		return pass{}, context.Cause(ctx)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return pass{gate: g, cuts: g.cuts}, nil
}

// beside waits until the gate is not closed, and takes no place in it. That is for
// requests whose bodies are what others read from the same host at the time: were
// they counted, the two could wait for each other.
func (g *gate) beside(ctx context.Context) (pass, error) {
	for {
		g.mu.Lock()
		wait, cuts := time.Until(g.closed), g.cuts
		g.mu.Unlock()
		if wait <= 0 {
			return pass{gate: g, cuts: cuts, side: true}, nil
		}
		if err := clock.Sleep(ctx, wait); err != nil {
			return pass{}, err
		}
	}
}

// admit lets in whoever may pass. The lock is held.
func (g *gate) admit() {
	if len(g.waiting) == 0 {
		return
	}
	if wait := time.Until(g.closed); wait > 0 {
		if g.timer == nil {
			g.timer = time.AfterFunc(wait, func() {
				g.mu.Lock()
				defer g.mu.Unlock()
				g.timer = nil
				g.admit()
			})
		}
		return
	}
	for len(g.waiting) > 0 && (g.limit == 0 || g.active < g.limit) {
		next := 0
		for i, w := range g.waiting {
			if w.attempt > g.waiting[next].attempt {
				next = i
			}
		}
		close(g.waiting[next].passed)
		g.waiting = slices.Delete(g.waiting, next, next+1)
		g.active++
	}
}

// refused gives a pass back for a request that was one too many. Nobody passes for
// the time given. What was sent before the last cut says nothing about whether that
// was deep enough.
func (p pass) refused(wait time.Duration) {
	g := p.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	if until := time.Now().Add(wait); until.After(g.closed) {
		g.closed = until
	}
	if p.cuts == g.cuts {
		before := g.limit
		if before == 0 {
			before, g.opens = g.active, g.active
		}
		g.limit, g.good, g.cuts = max(before/2, 1), 0, g.cuts+1
	}
	p.leave()
}

// answered gives a pass back for a request that the host did not mind.
func (p pass) answered() {
	g := p.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.good++; g.limit > 0 && g.good >= g.limit {
		g.limit, g.good = g.limit+1, 0
		if g.limit > g.opens {
			g.limit = 0
		}
	}
	p.leave()
}

// failed gives a pass back for a request that was not answered.
func (p pass) failed() {
	p.gate.mu.Lock()
	defer p.gate.mu.Unlock()
	p.leave()
}

// leave makes room for another one. The lock is held.
func (p pass) leave() {
	if !p.side {
		p.gate.active--
	}
	p.gate.admit()
}
