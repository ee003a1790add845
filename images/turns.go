package images

import (
	"context"
	"sync"
)

// turns lets long work begin in a fixed order, a few at a time: what many others
// wait for stands first in the plan and should not wait behind them.
type turns struct {
	mu     sync.Mutex
	queue  []chan struct{}
	byName map[string]chan struct{}
}

// newTurns makes turns for names, in their order; each may be there once.
func newTurns(names []string, atOnce int) *turns {
	t := &turns{byName: map[string]chan struct{}{}}
	for _, name := range names {
		if t.byName[name] == nil {
			t.byName[name] = make(chan struct{})
			t.queue = append(t.queue, t.byName[name])
		}
	}
	for range atOnce {
		t.next()
	}
	return t
}

// wait returns when it is a name's turn, with what to call at its end.
func (t *turns) wait(ctx context.Context, name string) (func(), error) {
	turn, ok := t.byName[name]
	if !ok {
		return func() {}, nil // nobody expected it: it vanished from the cache meanwhile
	}
	select {
	case <-turn:
		return t.next, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (t *turns) next() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.queue) > 0 {
		close(t.queue[0])
		t.queue = t.queue[1:]
	}
}
