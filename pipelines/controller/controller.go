package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/slipway-release/slipway/internal/clock"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/streams"
	"github.com/slipway-release/slipway/release/streams/journal"
	"github.com/slipway-release/slipway/release/streams/lease"
)

// Journal is where the state of streams is kept: a journal.Store.
type Journal interface {
	Read(ctx context.Context, stream string) (journal.State, error)
	Change(ctx context.Context, stream string, edit journal.Edit) (journal.State, error)
}

// Payloads are the releases in the registry and what is known of them.
type Payloads interface {
	// Inputs are what the stream's next payload would be made of.
	Inputs(ctx context.Context, stream string) ([]streams.Input, error)
	// Digest of a version's payload; "" when there is none.
	Digest(ctx context.Context, v release.Version) (string, error)
	// Results are those of all checks that evidence beside the payload tells of.
	Results(ctx context.Context, v release.Version, policy streams.Policy) ([]streams.Result, error)
	// Source selects the payload that an upgrade to a version starts from.
	Source(ctx context.Context, s streams.Selector, to release.Version) (from streams.Release, reason string, ok bool, err error)
	// RecordCut, RecordCheck and RecordVerdict attach evidence to a payload. What is
	// there already is not attached again.
	RecordCut(ctx context.Context, c journal.Cut, d streams.Declaration) error
	RecordCheck(ctx context.Context, v release.Version, e CheckEvidence) error
	RecordVerdict(ctx context.Context, v release.Version, verdict streams.Verdict) error
	// Promote adds an accepted payload to its stream's channels.
	Promote(ctx context.Context, v release.Version, policy streams.Policy) error
	// Referred names what refers to payloads, by version: channels and edges.
	Referred(ctx context.Context) (map[release.Version][]string, error)
	Delete(ctx context.Context, v release.Version, digest string) error
}

// Options are what a controller works with. All without a comment are required.
type Options struct {
	Streams  []streams.Declaration
	Journal  Journal
	Payloads Payloads
	Runs     Runs
	Lease    lease.Lease
	Log      *slog.Logger
	// Holder and Tool name this controller and its version, in what it records.
	Holder, Tool string
	// Offered params are given to pipelines that declare them, besides version, stream,
	// payload, inputs, and declaration: a file with the one that the payload is cut under.
	Offered map[string]string

	Poll time.Duration // how often to look for changes; 0 means 30 s
	Jobs int           // runs at a time; 0 means 1
	// Once ends when every stream has been looked at and what was begun is finished.
	Once bool
	// Cuts ends after so many; 0 means never.
	Cuts int
	// For ends cutting after a while; what was begun is finished. 0 means never.
	For time.Duration
	// Now cuts whatever inputs and schedule say, once or up to Cuts times.
	Now string // who asks for it; empty means that nobody does
	// Advance moves releases on from channel to channel; nil leaves them where they are. It
	// is called now and then, and a last time when all streams are done. Its error is logged.
	Advance func(ctx context.Context) error
	// Publish copies accepted payloads to places outside; nil copies none. It is called like
	// Advance, beside the streams, which do not wait for it. Its error is logged, and is that
	// of Run when the last call fails.
	Publish func(ctx context.Context) error
	// Clock is for tests; nil means time.Now.
	Clock func() time.Time
}

// Controller runs streams.
type Controller struct {
	Options
	Metrics *Metrics

	slots chan struct{}
	begun time.Time
	mu    sync.Mutex
	cuts  int // made by this process
}

// New checks the streams against the pipelines they name; all that is wrong is in the error.
func New(o Options) (*Controller, error) {
	if o.Poll <= 0 {
		o.Poll = 30 * time.Second
	}
	if o.Jobs <= 0 {
		o.Jobs = 1
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Now != "" && o.Cuts == 0 {
		o.Cuts = 1
	}
	c := &Controller{Options: o, Metrics: newMetrics(o.Holder), slots: make(chan struct{}, o.Jobs)}
	var errs []error
	for _, d := range o.Streams {
		if err := c.Runs.Check(Run{Pipeline: d.Run.Pipeline, Params: d.Run.Params, Offered: c.offered(d, release.Version{}, "")}); err != nil {
			errs = append(errs, fmt.Errorf("stream %q, run: %w", d.Name, err))
		}
		for _, check := range d.Checks {
			if err := c.Runs.Check(Run{Pipeline: check.Pipeline, Params: check.Params, Offered: c.offered(d, release.Version{}, "")}); err != nil {
				errs = append(errs, fmt.Errorf("stream %q, check %q: %w", d.Name, check.Name, err))
			}
		}
	}
	return c, errors.Join(errs...)
}

// Run leads as soon as it can and runs the streams until ctx ends, or as long as the
// options say. Another leader's being there is no error; losing the lease is.
func (c *Controller) Run(ctx context.Context) error {
	return c.Lease.Lead(ctx, func(holder string) {
		c.Log.Info("waiting for the lease", "holder", holder)
	}, func(ctx context.Context) error {
		c.Log.Info("leading", "holder", c.Holder, "streams", len(c.Streams))
		c.Metrics.lead(true)
		defer c.Metrics.lead(false)
		c.begun = c.Clock()
		beside, stop := context.WithCancel(ctx)
		defer stop()
		var published error
		var working sync.WaitGroup
		if c.Advance != nil {
			working.Go(func() {
				_ = c.repeat(ctx, beside, c.Advance, "releases could not be moved on between channels; it is tried again")
			})
		}
		if c.Publish != nil {
			working.Go(func() {
				published = c.repeat(ctx, beside, c.Publish, "accepted payloads could not be published; it is tried again")
			})
		}
		group, following := errgroup.WithContext(ctx)
		for _, d := range c.Streams {
			group.Go(func() error {
				return (&follower{Controller: c, d: d, log: c.Log.With("stream", d.Name)}).follow(following)
			})
		}
		err := group.Wait()
		stop()
		working.Wait()
		if ctx.Err() != nil {
			return err
		}
		return errors.Join(err, published)
	})
}

// repeatEvery is the least time between two looks at what may go on between channels or
// be published, for which the evidence of all that waits is read.
const repeatEvery = time.Minute

// repeat does something until the streams are done, and then once more. It returns the
// error of the last time.
func (c *Controller) repeat(ctx, streams context.Context, do func(context.Context) error, failed string) error {
	for last := false; ; {
		err := do(ctx)
		if err != nil && ctx.Err() == nil {
			c.Log.Error(failed, "error", err)
		}
		if last || ctx.Err() != nil {
			return err
		}
		last = clock.Sleep(streams, max(c.Poll, repeatEvery)) != nil
	}
}

// mayCut says whether the limits of the options leave room for another cut, and takes it.
func (c *Controller) mayCut() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.spent() {
		return false
	}
	c.cuts++
	return true
}

// giveBack returns a cut that was not made.
func (c *Controller) giveBack() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cuts--
}

func (c *Controller) spent() bool {
	return (c.Cuts > 0 && c.cuts >= c.Cuts) || (c.For > 0 && c.Clock().Sub(c.begun) >= c.For)
}

// over says that nothing more is to be cut by this process.
func (c *Controller) over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.spent()
}

// pause waits until then, no longer than limit, or until woken.
func pause(ctx context.Context, d time.Duration, wake <-chan struct{}) error {
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-wake:
			cancel()
		case <-waiting.Done():
		}
	}()
	_ = clock.Sleep(waiting, d)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}
