package catalog

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"sync"
	"time"
)

// ErrBusy says that too much is being made already.
var ErrBusy = errors.New("too much is being read at the moment; try again later")

// ErrNotYet says that something is being made and was not finished in the time that a
// request waits for it.
var ErrNotYet = errors.New("it is being read; try again in a few seconds")

// Limits bound what is read when somebody asks. Zero values stand for what the
// comments say.
type Limits struct {
	Wait    time.Duration // that a request waits before it is told to come back; 1 s
	Timeout time.Duration // of one piece of work; 10 min
	Jobs    int           // pieces side by side; 2
	Queue   int           // pieces that wait for their turn; 32
	Bytes   int64         // of results that are kept; 64 MiB
	// Forget is how long a failure is told before it is tried anew; 1 min.
	Forget time.Duration
}

func (l Limits) withDefaults() Limits {
	l.Wait, l.Timeout = cmp.Or(l.Wait, time.Second), cmp.Or(l.Timeout, 10*time.Minute)
	l.Jobs, l.Queue = cmp.Or(l.Jobs, 2), cmp.Or(l.Queue, 32)
	l.Bytes, l.Forget = cmp.Or(l.Bytes, 64<<20), cmp.Or(l.Forget, time.Minute)
	return l
}

// maker makes things that take long, each once, and keeps those used last. The work
// goes on when whoever asked has left, for the next one will ask again.
type maker struct {
	limits Limits
	slots  chan struct{}

	mu     sync.Mutex
	made   map[string]*product
	recent *list.List // keys, those used last in front
	bytes  int64
	queued int
}

type product struct {
	done  chan struct{}
	value any
	err   error
	size  int64
	until time.Time // of failures, and of what may be complete next time
	place *list.Element
}

func newMaker(l Limits) *maker {
	l = l.withDefaults()
	return &maker{limits: l, slots: make(chan struct{}, l.Jobs), made: map[string]*product{}, recent: list.New()}
}

// get returns what make returns for a key, now or from before. size is in bytes.
func (m *maker) get(ctx context.Context, key string, work func(context.Context) (value any, size int64, err error)) (any, error) {
	p, err := m.start(key, work)
	if err != nil {
		return nil, err
	}
	timer := time.NewTimer(m.limits.Wait)
	defer timer.Stop()
	select {
	case <-p.done:
		return p.value, p.err
	case <-timer.C:
		return nil, ErrNotYet
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (m *maker) start(key string, work func(context.Context) (any, int64, error)) (*product, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.made[key]; p != nil {
		if p.until.IsZero() || time.Now().Before(p.until) {
			m.recent.MoveToFront(p.place)
			return p, nil
		}
		m.drop(key)
	}
	if m.queued >= m.limits.Jobs+m.limits.Queue {
		return nil, ErrBusy
	}
	m.queued++
	p := &product{done: make(chan struct{}), place: m.recent.PushFront(key)}
	m.made[key] = p
	go m.run(key, p, work)
	return p, nil
}

func (m *maker) run(key string, p *product, work func(context.Context) (any, int64, error)) {
	m.slots <- struct{}{}
	ctx, cancel := context.WithTimeout(context.Background(), m.limits.Timeout)
	value, size, err := work(ctx)
	cancel()
	<-m.slots
	m.mu.Lock()
	defer m.mu.Unlock()
	m.queued--
	p.value, p.size, p.err = value, size, err
	if err != nil {
		p.value, p.until = nil, time.Now().Add(m.limits.Forget)
	}
	if v, ok := value.(interface{ Incomplete() bool }); ok && err == nil && v.Incomplete() {
		p.until = time.Now().Add(10 * m.limits.Forget)
	}
	if p.size > m.limits.Bytes { // told to those who wait, and not kept
		p.size = 0
		m.drop(key)
	}
	m.bytes += p.size
	close(p.done)
	m.trim()
}

// trim forgets what was not used for the longest time. Failures weigh nothing, and are
// bounded in number.
func (m *maker) trim() {
	for at := m.recent.Back(); at != nil && (m.bytes > m.limits.Bytes || m.recent.Len() > maxProducts); {
		before := at.Prev()
		key := at.Value.(string)
		select {
		case <-m.made[key].done:
			m.drop(key)
		default: // being made
		}
		at = before
	}
}

const maxProducts = 1024

func (m *maker) drop(key string) {
	p := m.made[key]
	m.recent.Remove(p.place)
	m.bytes -= p.size
	delete(m.made, key)
}
