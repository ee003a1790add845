package updates

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/slipway-release/slipway/internal/clock"
	"github.com/slipway-release/slipway/release/channels/graph"
)

// Refresher keeps an edition of what its source has. When the source fails, the last
// good edition is served on and everybody who asks is told.
type Refresher struct {
	Source Source
	// File is where the last good snapshot is kept; "" keeps none.
	File string
	// Poll is how often the source is read whether or not it says that it changed; Watch
	// how often a Watched source is asked. Zero means 5 minutes and 5 seconds.
	Poll, Watch time.Duration
	// Timeout bounds one reading of the source; zero means 5 minutes.
	Timeout time.Duration
	Log     *slog.Logger
	Metrics *Metrics

	current atomic.Pointer[Edition]
	turn    sync.Mutex // held while the source is read
	stamp   string     // of the last reading
	saved   string     // ID of what File holds

	mu     sync.Mutex
	status Status
}

// Snapshot is what is offered, nil before the first edition. It must not be changed.
func (r *Refresher) Snapshot() *graph.Snapshot {
	if e := r.Current(); e != nil {
		return e.Snapshot()
	}
	return nil
}

// Status is what became of the last refresh.
type Status struct {
	ID string `json:"id,omitempty"`
	// Loaded is when the source was last read without an error.
	Loaded time.Time `json:"loaded,omitzero"`
	// Tried is when it was last read.
	Tried time.Time `json:"tried,omitzero"`
	// Problem is why that failed, "" when it did not.
	Problem  string `json:"problem,omitempty"`
	FromDisk bool   `json:"fromDisk,omitempty"`
}

// Current is the edition to answer from, nil before the first.
func (r *Refresher) Current() *Edition { return r.current.Load() }

// Status is what became of the last refresh.
func (r *Refresher) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status
}

// Restore takes up the edition that was kept on disk. That there is none, or that it is
// broken, is logged and no error: the next refresh brings one.
func (r *Refresher) Restore() {
	if r.File == "" {
		return
	}
	s, loaded, err := snapshotFile(r.File).load()
	if errors.Is(err, errNoSnapshot) {
		return
	}
	var e *Edition
	if err == nil {
		e, err = NewEdition(s, nil, time.Now())
	}
	if err != nil {
		r.log().Warn("the kept update graph is not used", "error", err)
		return
	}
	r.publish(e, Status{ID: e.ID(), Loaded: loaded, FromDisk: true})
	r.saved = e.ID()
	r.log().Info("took up the kept update graph", "id", e.ID(), "loaded", loaded)
}

// Run refreshes until ctx ends: at once, and whenever the source changed or the time
// has come.
func (r *Refresher) Run(ctx context.Context) {
	watched, _ := r.Source.(Watched)
	if e := r.Current(); e != nil {
		_ = e.Warm(ctx) // fails only when ctx ends, and answers are made when asked for
	}
	_ = r.Refresh(ctx) // is logged
	last := time.Now()
	for {
		wait := or(r.Poll, 5*time.Minute)
		if watched != nil {
			wait = min(wait, or(r.Watch, 5*time.Second))
		}
		if clock.Sleep(ctx, wait) != nil {
			return
		}
		if time.Since(last) >= or(r.Poll, 5*time.Minute) || r.changed(ctx, watched) {
			_ = r.Refresh(ctx) // is logged
			last = time.Now()
		}
	}
}

func or(d, otherwise time.Duration) time.Duration {
	if d <= 0 {
		return otherwise
	}
	return d
}

// changed asks the source whether it did; one that cannot say is not read more often
// than the poll has it.
func (r *Refresher) changed(ctx context.Context, watched Watched) bool {
	if watched == nil {
		return false
	}
	stamp, err := watched.Stamp(ctx)
	r.turn.Lock()
	defer r.turn.Unlock()
	return err == nil && stamp != r.stamp
}

// Refresh reads the source and serves what it has. On an error everything stays as it
// is. It waits for a refresh that is going on, and then reads anew: whoever asked for it
// changed something that the other may have missed.
func (r *Refresher) Refresh(ctx context.Context) error {
	r.turn.Lock()
	defer r.turn.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	start := time.Now()
	limited, cancel := context.WithTimeout(ctx, or(r.Timeout, 5*time.Minute))
	defer cancel()
	e, err := r.read(limited)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	r.Metrics.refreshed(time.Since(start), err)
	if err != nil {
		err = fmt.Errorf("refreshing the update graph: %w", err)
		r.fail(err)
		return err
	}
	changed := r.Current() == nil || r.Current().ID() != e.ID()
	r.publish(e, Status{ID: e.ID(), Loaded: start, Tried: start})
	if changed {
		r.log().Info("refreshed the update graph", "id", e.ID(), "took", time.Since(start))
	}
	r.save(e, start)
	return nil
}

// save keeps the edition on disk, once. That it cannot does not make the edition worse.
func (r *Refresher) save(e *Edition, loaded time.Time) {
	if r.File == "" || r.saved == e.ID() {
		return
	}
	if err := snapshotFile(r.File).save(e.snapshot, loaded); err != nil {
		r.log().Error("a restart would have to read the source anew", "error", err)
		return
	}
	r.saved = e.ID()
}

// read makes an edition of what the source has, the current one when it has the same.
func (r *Refresher) read(ctx context.Context) (*Edition, error) {
	if watched, ok := r.Source.(Watched); ok {
		// Taken before reading: a change in between is seen the next time.
		stamp, err := watched.Stamp(ctx)
		if err != nil {
			return nil, err
		}
		r.stamp = stamp
	}
	s, err := r.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	before := r.Current()
	if before != nil && before.ID() == s.ID {
		return before, nil
	}
	e, err := NewEdition(s, before, time.Now())
	if err != nil {
		return nil, err
	}
	return e, e.Warm(ctx)
}

// snapshot reads the source; one that panics has failed, and does not end the server.
func (r *Refresher) snapshot(ctx context.Context) (s *graph.Snapshot, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("reading the source failed: %v", p)
		}
	}()
	s, err = r.Source.Snapshot(ctx)
	if err == nil && s.ID == "" {
		err = s.Identify()
	}
	return s, err
}

func (r *Refresher) publish(e *Edition, status Status) {
	before := r.current.Swap(e)
	if before != e {
		r.Metrics.offers(e)
	}
	r.Metrics.loaded(status.Loaded)
	r.mu.Lock()
	r.status = status
	r.mu.Unlock()
}

// fail raises the alarm: in the log, the metrics and what readiness says.
func (r *Refresher) fail(err error) {
	r.mu.Lock()
	r.status.Tried = time.Now()
	r.status.Problem = err.Error()
	r.mu.Unlock()
	r.log().Error("the last good update graph is served on", "error", err)
}

func (r *Refresher) log() *slog.Logger {
	if r.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return r.Log
}
