package upgradetest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Monitor probes its backends until it is stopped. Its methods are safe for
// concurrent use.
type Monitor struct {
	options  Options
	restore  func()    // of the priority
	start    time.Time // wall and monotonic: slot 0 of a series without offset
	backends []Backend // with the control backends, in the order of the session's series
	session  session
	control  *controlServer

	recorder *recorder
	stop     chan struct{} // closed when no slot is started any more
	stopAt   atomic.Int64  // nanoseconds since start
	stopOnce sync.Once
	cancel   context.CancelFunc
	probes   sync.WaitGroup
	loops    sync.WaitGroup
}

// latest is how late a start may be and still be sent: as long as an answer may take and
// not be slow. Until then its lateness is part of the figures; what comes later would only
// be a burst.
const latest = time.Second

// lead is the time between Start and the first slot, for everything to stand ready.
const lead = 100 * time.Millisecond

// Start begins to probe and to record. With a baseline it returns when that is
// over. It ends with Stop, or with ctx; what was recorded until then stays.
func Start(ctx context.Context, options Options) (*Monitor, error) {
	options, err := options.complete()
	if err != nil {
		return nil, fmt.Errorf("starting the monitor: %w", err)
	}
	m := &Monitor{options: options, stop: make(chan struct{})}
	if m.control, err = serveControl(); err != nil {
		return nil, fmt.Errorf("starting the control backend: %w", err)
	}
	m.backends = slices.Concat(options.Backends, m.control.backends(options.Hertz))
	m.start = time.Now().Add(lead)
	m.session = newSession(m.start, options, m.backends)
	if m.recorder, err = record(options.SamplesDir, m.session); err != nil {
		m.control.close()
		return nil, fmt.Errorf("starting the recording in %q: %w", options.SamplesDir, err)
	}
	m.restore = raisePriority(options.KeepPriority)
	m.run(ctx)
	if options.Begun != nil {
		if err := options.Begun(m); err != nil {
			_, stopErr := m.Stop(context.WithoutCancel(ctx))
			return nil, errors.Join(err, stopErr)
		}
	}
	if err := sleepUntil(ctx, m.start.Add(options.Baseline)); err != nil && options.Baseline > 0 {
		_, stopErr := m.Stop(context.WithoutCancel(ctx))
		return nil, errors.Join(fmt.Errorf("probing the idle cluster: %w", err), stopErr)
	}
	return m, nil
}

// newSession lays the grids: those of one rate are staggered evenly, so that the
// tester never starts all probes at once.
func newSession(start time.Time, o Options, backends []Backend) session {
	s := session{Start: start.Round(0), Timeout: o.Timeout, Slow: o.Slow, Baseline: o.Baseline, Limits: o.Limits}
	for i, b := range backends {
		s.Series = append(s.Series, series{
			Name: b.Name, Connection: b.Connection, Hertz: b.Hertz, Interval: b.interval(),
			Offset:  b.interval() * time.Duration(i) / time.Duration(len(backends)),
			Control: i >= len(o.Backends), Informing: b.Informing,
		})
	}
	return s
}

func (m *Monitor) run(ctx context.Context) {
	ctx, m.cancel = context.WithCancel(ctx)
	for i := range m.backends {
		m.loops.Go(func() { m.schedule(ctx, i) })
	}
	m.loops.Go(func() { m.watchHost() })
	// A monitor whose context ends is stopped, though nobody calls Stop.
	context.AfterFunc(ctx, m.halt)
}

// halt lets no further slot start. Those that are due by now still do.
func (m *Monitor) halt() {
	m.stopOnce.Do(func() {
		m.stopAt.Store(int64(time.Since(m.start)))
		close(m.stop)
	})
}

// schedule starts the probes of one backend on its grid.
func (m *Monitor) schedule(ctx context.Context, index int) {
	s, backend := m.session.Series[index], m.backends[index]
	limit := int64(m.options.maxInFlight(backend.Hertz))
	var inFlight atomic.Int64
	for slot := int64(0); ; slot++ {
		due := m.start.Add(s.due(slot))
		if !m.await(due) {
			return
		}
		late := max(time.Since(due), 0)
		if late >= max(s.Interval, latest) || inFlight.Load() >= limit {
			m.recorder.add(sample{series: index, slot: slot, class: NotSent, late: late})
			continue
		}
		inFlight.Add(1)
		m.probes.Go(func() {
			defer inFlight.Add(-1)
			m.recorder.add(m.probe(ctx, index, slot, due))
		})
	}
}

// await waits for a slot. It returns false when the monitor stops before.
func (m *Monitor) await(due time.Time) bool {
	wait := time.Until(due)
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
			return true
		case <-m.stop:
		}
	}
	select {
	case <-m.stop:
		return int64(due.Sub(m.start)) <= m.stopAt.Load()
	default:
		return true
	}
}

func (m *Monitor) probe(ctx context.Context, index int, slot int64, due time.Time) sample {
	// The timeout counts from the intended start as well, and an end of the
	// monitor's own context is no verdict on the backend.
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), due.Add(m.options.Timeout))
	defer cancel()
	p := Probe{Begin: time.Now()}
	m.backends[index].Prober.Probe(ctx, &p)
	total := time.Since(due)
	if p.Class == OK && total > m.options.Timeout {
		p.Class, p.Detail = Timeout, "no answer in time"
	}
	return sample{
		series: index, slot: slot, class: p.Class, reconnected: p.Reconnected, leaving: p.Leaving,
		late: p.Begin.Sub(due), dns: p.DNS, connect: p.Connect, tls: p.TLS, firstByte: p.FirstByte, total: total,
		status: p.Status, server: p.Server, detail: p.Detail,
	}
}

// Mark records that what label names begins now, e.g. "control-plane 2: restarting
// kube-apiserver". Disruptions name the mark they began under.
func (m *Monitor) Mark(label string) {
	m.recorder.mark(markFrame{At: time.Since(m.start), Label: label})
}

// Stop ends the probing, waits for open requests (at most the timeout), and
// evaluates the recording. The error says that the recording is not complete, e.g. for a
// full disk, or was not readable.
func (m *Monitor) Stop(ctx context.Context) (Result, error) {
	m.halt()
	defer m.cancel()
	if err := wait(ctx, &m.loops, &m.probes); err != nil {
		return Result{}, fmt.Errorf("waiting for open requests: %w", err)
	}
	m.settle(ctx)
	for _, b := range m.backends {
		b.Prober.Close()
	}
	m.control.close()
	m.restore()
	err := m.recorder.close(endFrame{At: time.Duration(m.stopAt.Load()), Wall: m.start.Round(0).Add(time.Duration(m.stopAt.Load())).Add(clockStep(m.start))})
	if err != nil {
		return Result{}, fmt.Errorf("recording samples in %q: %w", m.options.SamplesDir, err)
	}
	return Evaluate(m.options.SamplesDir)
}

// clockStep is by how much the wall clock was set since start.
func clockStep(start time.Time) time.Duration {
	now := time.Now()
	return now.Round(0).Sub(start.Round(0)) - now.Sub(start)
}

func wait(ctx context.Context, groups ...*sync.WaitGroup) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, g := range groups {
			g.Wait()
		}
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func sleepUntil(ctx context.Context, t time.Time) error {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// create makes the file of a recording. A former one is kept beside it under
// samples-1.slipway and so on.
func create(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, SamplesFile)
	for n := 1; ; n++ {
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if !errors.Is(err, fs.ErrExist) {
			return file, err
		}
		// Link, unlike rename, does not replace a recording kept earlier.
		kept := filepath.Join(dir, fmt.Sprintf("samples-%d.slipway", n))
		if err := os.Link(path, kept); errors.Is(err, fs.ErrExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
}
