package trial_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/slipway-release/slipway/upgradetest"
	"github.com/slipway-release/slipway/upgradetest/driver"
	"github.com/slipway-release/slipway/upgradetest/driver/drivertest"
	"github.com/slipway-release/slipway/upgradetest/session"
	"github.com/slipway-release/slipway/upgradetest/trial"
)

func options(t *testing.T) trial.Options {
	return trial.Options{Options: session.Options{
		Selected: upgradetest.Selection{upgradetest.BackendAPI, upgradetest.BackendAPICache},
		Monitor:  upgradetest.Options{SamplesDir: filepath.Join(t.TempDir(), "samples"), Baseline: time.Second},
	}}
}

// outage is what a server knows of the time that it was down for.
type outage struct {
	mu            sync.Mutex
	before, after time.Time // the last request before it, the first behind it
	begun         bool
}

func (o *outage) see(down bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case down:
		o.begun = true
	case !o.begun:
		o.before = time.Now()
	case o.after.IsZero():
		o.after = time.Now()
	}
	return down
}

func (o *outage) atMostMs() float64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.after.Sub(o.before).Seconds() * 1000
}

// A cluster of OKD is upgraded while its API does not answer for the middle of the way.
func TestClusterVersion(t *testing.T) {
	t.Parallel()
	var down outage
	o, address := drivertest.Serve(t, func(o *drivertest.OKD) {
		o.Down = func(percent int) bool { return down.see(percent >= 40 && percent < 60) }
	})
	config := &rest.Config{Host: address}
	d := &driver.ClusterVersion{Config: config, To: []driver.Release{drivertest.Newer}, Interval: 300 * time.Millisecond}
	opts := options(t)
	opts.Monitor.Timeout = 30 * time.Second // late is not lost
	res, err := trial.Run(t.Context(), config, d, opts)
	if err != nil {
		t.Fatal(err)
	}
	if o.Now() != drivertest.Newer || res.From.Version != drivertest.Older.Version || res.To.Digest != drivertest.Newer.Digest() {
		t.Errorf("at %v after an upgrade from %v to %v", o.Now(), res.From, res.To)
	}
	if res.SelfTest != nil {
		t.Error("it tells of a self-test that was not asked for")
	}
	if len(res.Backends) != 4 || res.Baseline == nil || res.Baseline.Failed() > 0 {
		t.Fatalf("backends %+v, baseline %+v", res.Backends, res.Baseline)
	}
	for _, b := range res.Backends {
		// Two looks of 300 ms, at 40 and at 50 percent.
		if len(b.Disruptions) == 1 && b.Disruptions[0].AtLeastMs <= down.atMostMs() && b.Disruptions[0].AtMostMs >= 600 && strings.Contains(b.Disruptions[0].During, "% complete") {
			continue
		}
		if !res.TesterHealthy {
			t.Skipf("the tester was ill: %v", res.TesterReasons)
		}
		t.Errorf("%s: %+v, down for at most %.0f ms", b.Label(), b.Disruptions, down.atMostMs())
	}
}

// The release does not come up: that is a result, with all that was measured.
func TestStall(t *testing.T) {
	t.Parallel()
	_, address := drivertest.Serve(t, func(o *drivertest.OKD) { o.StuckAt = 30 })
	config := &rest.Config{Host: address}
	d := &driver.ClusterVersion{Config: config, To: []driver.Release{drivertest.Newer}, Interval: 20 * time.Millisecond, StallTimeout: 500 * time.Millisecond}
	res, err := trial.Run(t.Context(), config, d, options(t))
	if err != nil || !strings.Contains(res.Failure, "30% complete") || len(res.Backends) != 4 || res.From.Version != drivertest.Older.Version {
		t.Errorf("%+v, %v", res, err)
	}
}

// The upgrade could not be tried: nothing is said about the release.
func TestCannotBeTried(t *testing.T) {
	t.Parallel()
	_, address := drivertest.Serve(t, nil)
	config := &rest.Config{Host: address}
	_, err := trial.Run(t.Context(), config, fails{}, options(t))
	if !errors.Is(err, errBroken) {
		t.Errorf("error %v", err)
	}
}

var errBroken = errors.New("the host is broken")

type fails struct{}

func (fails) Upgrade(context.Context, func(driver.Event)) (driver.Report, error) {
	return driver.Report{}, errBroken
}

// The monitor is tested first, and a program's steps are those of the recording.
func TestProgramAfterSelfTest(t *testing.T) {
	t.Parallel()
	_, address := drivertest.Serve(t, nil)
	script := filepath.Join(t.TempDir(), "upgrade")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho draining node 1\nsleep 0.3\necho restarting node 1\nsleep 0.3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	var said []string
	o := options(t)
	o.SelfTest, o.Progress = true, func(line string) { said = append(said, line) }
	res, err := trial.Run(t.Context(), &rest.Config{Host: address}, &driver.Exec{Program: []string{script}, To: driver.Release{Version: "v2"}}, o)
	if err != nil {
		t.Fatal(err)
	}
	if res.SelfTest == nil || !slices.ContainsFunc(res.SelfTest.Injections, func(i upgradetest.Injection) bool { return i.Found }) {
		t.Fatalf("self-test %+v", res.SelfTest)
	}
	if missed, _ := res.SelfTest.Missed(); len(missed) > 0 {
		t.Errorf("missed: %+v", missed)
	}
	var labels []string
	for _, m := range res.Marks {
		labels = append(labels, m.Label)
	}
	if want := []string{"draining node 1", "restarting node 1"}; !slices.Equal(labels, want) || !slices.Contains(said, want[0]) || res.To.Version != "v2" {
		t.Errorf("marks %q, said %q, to %v", labels, said, res.To)
	}
}
