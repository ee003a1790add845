package images

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
)

// TestTurns lets many begin at random; two at a time do, in order.
func TestTurns(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e"}
	line := newTurns(append(names, "a"), 2)
	var mu sync.Mutex
	var began []string
	var wg sync.WaitGroup
	running := 0
	for _, name := range []string{"e", "d", "c", "b", "a"} {
		wg.Go(func() {
			done, err := line.wait(t.Context(), name)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			began = append(began, name)
			if running++; running > 2 {
				t.Errorf("%d at once", running)
			}
			running--
			mu.Unlock()
			done()
		})
	}
	wg.Wait()
	for i, name := range names {
		// Two may overtake each other, no more.
		if at := slices.Index(began, name); at < i-1 {
			t.Errorf("%s began as number %d of %q", name, at, began)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newTurns([]string{"x"}, 0).wait(ctx, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that it was cancelled", err)
	}
}
