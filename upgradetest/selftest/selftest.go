// Package selftest proves that the monitor can fail: it injects outages whose times it
// knows and looks whether they are found, and runs once without any.
//
// The part that needs no cluster puts a proxy of its own between the monitor and a
// server. The part with a cluster freezes, kills and evicts what runs there.
package selftest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/slipway-release/slipway/upgradetest"
)

// Bounds of a length of time, in milliseconds.
type Bounds = upgradetest.Bounds

// Injection is one outage and what the monitor made of it.
type Injection = upgradetest.Injection

// Report is all injections of a self-test.
type Report = upgradetest.SelfTest

// Options say how to test.
type Options struct {
	// Hertz is the rate of every backend; default upgradetest.DefaultHertz.
	Hertz float64
	// Short leaves out those outages without a cluster that are of a kind with others,
	// and takes under ten seconds.
	Short bool
	// Tries is how often an outage without a cluster is made while the tester is ill, for
	// a moment of load on the host says nothing about the monitor; default 3.
	Tries int
	// Dir receives the recordings; empty keeps none.
	Dir string
	// Progress is told what happens; nil is nobody.
	Progress func(string)
}

func (o *Options) complete() (cleanup func(), err error) {
	if o.Hertz == 0 {
		o.Hertz = upgradetest.DefaultHertz
	}
	if o.Tries == 0 {
		o.Tries = 3
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if o.Dir != "" {
		return func() {}, nil
	}
	if o.Dir, err = os.MkdirTemp("", "slipway-selftest-"); err != nil {
		return nil, fmt.Errorf("preparing the self-test: %w", err)
	}
	return func() { os.RemoveAll(o.Dir) }, nil
}

func (o Options) interval() time.Duration { return time.Duration(float64(time.Second) / o.Hertz) }

// scene is an outage that can be made without a cluster.
type scene struct {
	name, what string
	connection string
	// inject makes the outage and says how long it was, exactly or in bounds.
	inject func(ctx context.Context, p *proxy) truth
	// every is, of an outage that does not meet every sample, after how many samples one
	// has met it as good as surely.
	every int
	short bool // it is part of the short self-test
}

// truth is the length of an outage, as exactly as it is known.
type truth struct{ atLeast, atMost time.Duration }

func (t truth) bounds() Bounds { return Bounds{AtLeast: ms(t.atLeast), AtMost: ms(t.atMost)} }

// scenes are run in this order. The lengths of the first two are those that a poller
// with one sample a second, or a client that tries again, does not see.
var scenes = []scene{
	{name: "nothing", what: "nothing is done (A/A)", connection: upgradetest.New, short: true},
	{name: "refused", what: "new connections are refused for 300 ms", connection: upgradetest.New, short: true, inject: func(ctx context.Context, p *proxy) truth {
		return lasting(ctx, 300*time.Millisecond, func() { p.refuse(true) }, func() { p.refuse(false) })
	}},
	{name: "frozen", what: "the server is frozen for 5 s: it takes connections and answers nothing", connection: upgradetest.Reused, short: true, inject: freeze},
	{name: "frozen-new", what: "the same, on new connections", connection: upgradetest.New, inject: freeze},
	{name: "reset", what: "all connections that exist are reset, once", connection: upgradetest.Reused, inject: func(ctx context.Context, p *proxy) truth {
		return lasting(ctx, 0, p.reset, func() {})
	}},
	{name: "dropped-backend", what: "one of three servers behind a round-robin balancer is gone for 2 s", connection: upgradetest.New, every: backends, inject: func(ctx context.Context, p *proxy) truth {
		return lasting(ctx, 2*time.Second, func() { p.dropBackend(true) }, func() { p.dropBackend(false) })
	}},
	{name: "lossy", what: "40 % of connections are dropped for 2 s", connection: upgradetest.New, every: 18, inject: func(ctx context.Context, p *proxy) truth { // 0.6^18 is 1 in 10,000
		return lasting(ctx, 2*time.Second, func() { p.lose(0.4) }, func() { p.lose(0) })
	}},
}

func freeze(ctx context.Context, p *proxy) truth {
	return lasting(ctx, 5*time.Second, func() { p.freeze(true) }, func() { p.freeze(false) })
}

// lasting calls begin, waits, calls end.
func lasting(ctx context.Context, length time.Duration, begin, end func()) truth {
	var at [4]time.Time
	at[0] = time.Now()
	begin()
	at[1] = time.Now()
	pause(ctx, length)
	at[2] = time.Now()
	end()
	at[3] = time.Now()
	return truth{at[2].Sub(at[1]), at[3].Sub(at[0])}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// Loopback runs the part that needs no cluster. An error says that it could not be
// run; what was missed stands in the report.
func Loopback(ctx context.Context, o Options) (Report, error) {
	cleanup, err := o.complete()
	if err != nil {
		return Report{}, err
	}
	defer cleanup()
	r := Report{Hertz: o.Hertz}
	for _, s := range scenes {
		if o.Short && !s.short {
			continue
		}
		i, err := s.try(ctx, o)
		if err != nil {
			return r, fmt.Errorf("injecting %q: %w", s.name, err)
		}
		r.Injections = append(r.Injections, i)
	}
	return r, nil
}

func (s scene) try(ctx context.Context, o Options) (i Injection, err error) {
	for range o.Tries {
		o.Progress(s.what)
		if i, err = s.run(ctx, o); err != nil || ctx.Err() != nil {
			return i, errors.Join(err, ctx.Err())
		}
		if i.Doubt == "" {
			break
		}
	}
	return i, nil
}

// rest is the time before and after an outage: enough for a dozen samples.
func (o Options) rest() time.Duration {
	if o.Short {
		return 600 * time.Millisecond
	}
	return time.Second
}

func (s scene) run(ctx context.Context, o Options) (Injection, error) {
	p, err := startProxy()
	if err != nil {
		return Injection{}, err
	}
	defer p.close()
	prober, err := upgradetest.HTTP(s.connection, upgradetest.HTTPTarget{URL: p.url(), ServerFromBody: true})
	if err != nil {
		return Injection{}, err
	}
	m, err := upgradetest.Start(ctx, upgradetest.Options{
		Backends:   []upgradetest.Backend{{Name: "proxied", Connection: s.connection, Prober: prober}},
		SamplesDir: filepath.Join(o.Dir, s.name), Hertz: o.Hertz,
	})
	if err != nil {
		return Injection{}, err
	}
	pause(ctx, o.rest())
	var t truth
	if s.inject != nil {
		m.Mark(s.name)
		t = s.inject(ctx, p)
	}
	pause(ctx, o.rest())
	res, err := m.Stop(context.WithoutCancel(ctx))
	if err != nil {
		return Injection{}, err
	}
	return s.judge(res, t, o), nil
}

// judge compares what was done with what was seen.
func (s scene) judge(r upgradetest.Result, t truth, o Options) Injection {
	b := r.Backends[0]
	i := Injection{Name: s.name, What: s.what, Backend: b.Label(), TrueMs: t.bounds(), Found: len(b.Disruptions) > 0}
	if i.Found {
		i.MeasuredMs, i.LimitMs = measure(b.Disruptions, s.every, o.interval(), edge(r))
	}
	switch {
	case !r.TesterHealthy:
		i.Doubt = strings.Join(r.TesterReasons, "; ")
	case s.inject == nil && b.Failed > 0:
		i.Problem = fmt.Sprintf("%d samples failed, and nothing was done", b.Failed)
	case s.inject != nil:
		i.Problem = compare(i)
	}
	// Then the tester's own answers move the edges of an outage by more than the grid does.
	if e := edge(r); i.Problem != "" && i.Doubt == "" && e > ms(o.interval()) {
		i.Doubt = fmt.Sprintf("the tester was slow: its own answers and late starts take %.0f ms, more than the interval; it says %s", e, i.Problem)
	}
	return i
}

// edge is how far an ordinary answer and a late start move one edge of an outage: the
// package comment of upgradetest has the rules. The control backend's answers are
// ordinary ones; what passes the proxy takes two of them.
func edge(r upgradetest.Result) float64 {
	ordinary := 0.0
	for _, c := range r.Tester.Control {
		ordinary = max(ordinary, 2*c.P99Ms)
	}
	return 2*ordinary + r.Tester.Lateness.P99
}

// measure gives the bounds of the outage and how far apart they may be. Where only one
// of every few samples meets it, the disruptions are moments of one outage, and before
// the first and after the last of them there may be several samples that did not.
func measure(disruptions []upgradetest.Disruption, every int, interval time.Duration, edge float64) (Bounds, float64) {
	first, last := disruptions[0], disruptions[len(disruptions)-1]
	if every > 0 {
		blind := 2 * float64(every) * ms(interval)
		whole := ms(last.To.Sub(first.From))
		// Several samples in a row may have met it, so the uncertain edges of a
		// disruption, and not all of it, lie outside of what is certain.
		uncertain := (first.AtMostMs - first.AtLeastMs + last.AtMostMs - last.AtLeastMs) / 2
		return Bounds{AtLeast: max(whole-uncertain, 0), AtMost: whole + blind}, blind + 2*ms(interval) + 2*edge
	}
	longest := first
	for _, d := range disruptions {
		if d.AtMostMs > longest.AtMostMs {
			longest = d
		}
	}
	return Bounds{AtLeast: longest.AtLeastMs, AtMost: longest.AtMostMs}, 2*ms(interval) + 2*edge
}

// compare says what is wrong with what was measured, or nothing.
func compare(i Injection) string {
	m, t := i.MeasuredMs, i.TrueMs
	switch {
	case !i.Found:
		return "it was missed"
	case m.AtLeast > t.AtMost || m.AtMost < t.AtLeast:
		return fmt.Sprintf("the bounds %.1f to %.1f ms do not contain the true %.1f ms", m.AtLeast, m.AtMost, t.AtLeast)
	case i.LimitMs > 0 && m.AtMost-m.AtLeast > i.LimitMs:
		return fmt.Sprintf("the bounds %.1f to %.1f ms are over %.1f ms apart", m.AtLeast, m.AtMost, i.LimitMs)
	}
	return ""
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
