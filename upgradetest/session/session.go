// Package session measures a cluster as a whole: it puts the probed workloads into it,
// starts the monitor, the pollers inside and the observers, and ends them in order.
package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/rest"

	"github.com/slipway-release/slipway/internal/state"
	"github.com/slipway-release/slipway/upgradetest"
	"github.com/slipway-release/slipway/upgradetest/incluster"
	"github.com/slipway-release/slipway/upgradetest/observe"
)

// Options say what to measure.
type Options struct {
	// Image is that of agnhost, Server that of slipway itself, both by digest. Without
	// them what they run is not probed.
	Image, Server string
	Selected      upgradetest.Selection
	// Monitor is how to probe; its Backends are filled in.
	Monitor upgradetest.Options
	// Progress is told what happens; nil is nobody.
	Progress func(string)
}

// Session is a measurement that goes on.
type Session struct {
	*upgradetest.Monitor
	config    *rest.Config
	observer  *observe.Observer
	collector *incluster.Collector
	workload  bool
}

// podsShare is the rate of the pollers inside the cluster as a part of the monitor's:
// there are two on every node, and they take part in the cluster's own load.
const podsShare = 10

// Start brings everything up and returns when the baseline is over. On an error,
// what was put into the cluster is removed again.
func Start(ctx context.Context, config *rest.Config, o Options) (_ *Session, err error) {
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if err := o.Selected.Check(); err != nil {
		return nil, err
	}
	s := &Session{config: config}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.remove(context.WithoutCancel(ctx)))
		}
	}()
	var w *upgradetest.Workload
	if o.Selected.NeedsNamespace() && (o.Image != "" || !o.Selected.NeedsImages()) {
		o.Progress("starting the probed workloads")
		s.workload = true
		if w, err = upgradetest.Setup(ctx, config, upgradetest.WorkloadOptions{Image: o.Image, Server: o.Server, Selected: o.Selected}); err != nil {
			return nil, err
		}
	}
	backends, skipped, err := upgradetest.Backends(ctx, config, w, o.Selected, o.Monitor.Hertz)
	if err != nil {
		return nil, err
	}
	if w != nil {
		skipped = append(skipped, w.Skipped...)
	}
	if err := s.start(ctx, o, backends, skipped, w); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Session) start(ctx context.Context, o Options, backends []upgradetest.Backend, skipped []string, w *upgradetest.Workload) error {
	if o.Monitor.Baseline > 0 {
		o.Progress(fmt.Sprintf("probing for %s before anything is done", o.Monitor.Baseline))
	}
	o.Monitor.Backends = backends
	o.Monitor.Begun = func(m *upgradetest.Monitor) error {
		m.Skip(skipped...)
		var err error
		if w != nil && o.Server != "" && o.Selected.Has(upgradetest.BackendPods) && w.Has(upgradetest.PollerName) {
			hertz := o.Monitor.Hertz
			if hertz == 0 {
				hertz = upgradetest.DefaultHertz
			}
			if s.collector, err = incluster.Collect(ctx, s.config, m, o.Monitor.SamplesDir, max(hertz/podsShare, 1)); err != nil {
				return err
			}
		}
		s.observer, err = observe.Start(ctx, s.config, m)
		return err
	}
	var err error
	if s.Monitor, err = upgradetest.Start(ctx, o.Monitor); err != nil {
		s.detach(context.WithoutCancel(ctx))
	}
	return err
}

// settleDown is how long the cluster is watched after the probing: what ended last is
// seen a moment later.
const settleDown = 2 * time.Second

// Stop ends the measurement and evaluates it. What was put into the cluster stays.
func (s *Session) Stop(ctx context.Context) (upgradetest.Result, error) {
	select {
	case <-time.After(settleDown):
	case <-ctx.Done():
	}
	s.detach(ctx)
	return s.Monitor.Stop(ctx)
}

func (s *Session) detach(ctx context.Context) {
	if s.collector != nil {
		s.collector.Stop(ctx)
	}
	if s.observer != nil {
		s.observer.Stop()
	}
}

// Remove takes the workloads out of the cluster again.
func (s *Session) Remove(ctx context.Context) error { return s.remove(ctx) }

func (s *Session) remove(ctx context.Context) error {
	if !s.workload {
		return nil
	}
	return upgradetest.Teardown(ctx, s.config)
}

// resultFile is the Result that Write writes.
const resultFile = "upgrade.json"

// Evaluate evaluates a recording again. What samples do not tell, such as between which
// releases it was made, it takes from the result that Write put beside them, if that is
// there and of the same recording.
func Evaluate(samplesDir string) (upgradetest.Result, error) {
	r, err := upgradetest.Evaluate(samplesDir)
	if err != nil {
		return r, err
	}
	var before upgradetest.Result
	data, err := os.ReadFile(filepath.Join(filepath.Dir(filepath.Clean(samplesDir)), resultFile))
	if err != nil || json.Unmarshal(data, &before) != nil || !before.Started.Equal(r.Started) {
		return r, nil
	}
	r.From, r.To, r.Via, r.Nodes = before.From, before.To, before.Via, before.Nodes
	r.Aborted, r.RolledBack, r.Failure, r.SelfTest = before.Aborted, before.RolledBack, before.Failure, before.SelfTest
	return r, nil
}

// Write writes upgrade.json, junit_upgrade.xml and timeline.html into dir, each whole
// or not at all. samplesDir is that of the recording.
func Write(dir, samplesDir string, r upgradetest.Result) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	suite, err := r.JUnit()
	if err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	page, err := upgradetest.Timeline(samplesDir, r)
	if err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	for name, content := range map[string][]byte{resultFile: append(data, '\n'), "junit_upgrade.xml": suite, "timeline.html": page} {
		if err := state.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return fmt.Errorf("writing the result: %w", err)
		}
	}
	return nil
}
