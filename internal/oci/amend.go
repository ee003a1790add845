package oci

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/internal/clock"
)

// looks is how often a change to something shared is looked at before it counts
// as there to stay.
const looks = 3

// settle waits about as long as somebody else needs to write what they had read
// before we wrote: as our own turn took.
func settle(ctx context.Context, turn time.Duration) error {
	wait := max(turn, 20*time.Millisecond)
	return clock.Sleep(ctx, wait/2+rand.N(wait))
}

// Amend changes the image under a tag that others may change at the same time.
// change gets the present image, nil when there is none, and returns the image
// to store in its place, or nil when nothing is left to be done. Registries know
// no conditional writes, so Amend looks again after its change, and has change
// mend what somebody else's overwrote; change may run many times. Its error ends Amend, but
// after a write only when it is still there in the last look: what made ours impossible
// may itself be overwritten.
func (r *Registry) Amend(ctx context.Context, ref string, change func(v1.Image) (v1.Image, error)) error {
	located, err := r.Locate(ref)
	if err != nil {
		return err
	}
	unlock := r.writers.lock(located.Name())
	defer unlock()
	var turn time.Duration
	var refused error // of the last look
	for attempt, seen := 1, looks; attempt <= 4*r.patience.attempts; attempt++ {
		begun := time.Now()
		img, err := r.Image(ctx, ref)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		next, err := change(img)
		if err != nil && turn == 0 {
			return err
		}
		if err == nil && next != nil {
			if _, err := r.Push(ctx, ref, next); err != nil {
				return err
			}
			turn, seen, refused = time.Since(begun), 0, nil
			continue
		}
		if (err == nil) != (refused == nil) {
			seen = 0
		}
		refused = err
		if seen++; seen >= looks {
			return err
		}
		if err := settle(ctx, turn); err != nil {
			return err
		}
	}
	return fmt.Errorf("changing image %q in registry %s: others keep overwriting it", ref, located.Context().RegistryStr())
}

// keyedMutex is one lock for each key, for as long as somebody wants it.
type keyedMutex struct {
	mu    sync.Mutex
	locks map[string]*countedLock
}

type countedLock struct {
	sync.Mutex
	waiting int
}

func (k *keyedMutex) lock(key string) (unlock func()) {
	k.mu.Lock()
	if k.locks == nil {
		k.locks = map[string]*countedLock{}
	}
	l := k.locks[key]
	if l == nil {
		l = &countedLock{}
		k.locks[key] = l
	}
	l.waiting++
	k.mu.Unlock()
	l.Lock()
	return func() {
		l.Unlock()
		k.mu.Lock()
		defer k.mu.Unlock()
		if l.waiting--; l.waiting == 0 {
			delete(k.locks, key)
		}
	}
}
