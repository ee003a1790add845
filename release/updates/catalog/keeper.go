package catalog

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Options bound what a Keeper reads. Zero values stand for what the comments say.
type Options struct {
	Interval time.Duration // between two refreshes; 30 s
	Timeout  time.Duration // of one refresh; 10 min
	// Payloads is how many payloads of a stream are listed, the newest; 500.
	Payloads int
	// Jobs is how many payloads are read side by side; 8.
	Jobs int
	// Now is the clock; time.Now.
	Now func() time.Time
	// Report is told about each refresh that failed; it may be nil.
	Report func(error)
}

func (o Options) withDefaults() Options {
	o.Interval, o.Timeout = cmp.Or(o.Interval, 30*time.Second), cmp.Or(o.Timeout, 10*time.Minute)
	o.Payloads, o.Jobs = cmp.Or(o.Payloads, 500), cmp.Or(o.Jobs, 8)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Report == nil {
		o.Report = func(error) {}
	}
	return o
}

// Keeper keeps a catalog up to date. Its methods may be called from anywhere.
type Keeper struct {
	sources Sources
	options Options
	current atomic.Pointer[Catalog]
	failed  atomic.Pointer[failure]
	again   chan struct{}

	refreshing sync.Mutex
	known      map[v1.Hash]*facts // guarded by refreshing
}

type failure struct {
	at  time.Time
	err error
}

// NewKeeper returns a Keeper that has read nothing yet.
func NewKeeper(s Sources, o Options) *Keeper {
	return &Keeper{sources: s, options: o.withDefaults(), again: make(chan struct{}, 1)}
}

// Catalog returns what was read last, or nil while nothing was.
func (k *Keeper) Catalog() *Catalog { return k.current.Load() }

// Failure returns the error of the last refresh and when it happened, or nil when
// that succeeded. The catalog is the last good one then.
func (k *Keeper) Failure() (time.Time, error) {
	if f := k.failed.Load(); f != nil {
		return f.at, f.err
	}
	return time.Time{}, nil
}

// Trigger asks for a refresh soon and does not wait for it.
func (k *Keeper) Trigger() {
	select {
	case k.again <- struct{}{}:
	default: // one is asked for already
	}
}

// Run refreshes until the context ends.
func (k *Keeper) Run(ctx context.Context) {
	tick := time.NewTicker(k.options.Interval)
	defer tick.Stop()
	for {
		if err := k.Refresh(ctx); err != nil && !errors.Is(err, context.Canceled) {
			k.options.Report(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-k.again:
		}
	}
}

// Refresh reads everything anew; of payloads about which nothing new was said, only
// that. On an error the catalog stays as it was.
func (k *Keeper) Refresh(ctx context.Context) error {
	k.refreshing.Lock()
	defer k.refreshing.Unlock()
	ctx, cancel := context.WithTimeout(ctx, k.options.Timeout)
	defer cancel()
	r := &reading{Sources: k.sources, options: k.options, before: k.known, facts: map[v1.Hash]*facts{}}
	c, err := r.read(ctx)
	if err != nil {
		k.failed.Store(&failure{k.options.Now(), err})
		return err
	}
	k.known = r.facts
	k.failed.Store(nil)
	k.current.Store(c)
	return nil
}
