package driver_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/rest"

	"github.com/slipway-release/slipway/upgradetest/driver"
	"github.com/slipway-release/slipway/upgradetest/driver/drivertest"
)

var older, newer = drivertest.Older, drivertest.Newer

func serve(t *testing.T, change func(*drivertest.OKD)) (*drivertest.OKD, *rest.Config) {
	t.Helper()
	o, address := drivertest.Serve(t, change)
	return o, &rest.Config{Host: address, QPS: 1000, Burst: 1000}
}

type said struct{ steps []string }

func (s *said) hear(e driver.Event) { s.steps = append(s.steps, e.Step) }

func one(r driver.Release) []driver.Release { return []driver.Release{r} }

func TestClusterVersion(t *testing.T) {
	byVersion := driver.Release{Version: newer.Version}
	for name, tc := range map[string]struct {
		change func(*drivertest.OKD)
		driver driver.ClusterVersion
		want   driver.Report
		at     driver.Release
		says   string
		error  string
		stall  bool
	}{
		"by image":           {driver: driver.ClusterVersion{To: one(newer)}, want: driver.Report{From: older, To: newer}, at: newer, says: "worker: 2 of 3 machines"},
		"by version":         {driver: driver.ClusterVersion{To: one(byVersion)}, want: driver.Report{From: older, To: newer}, at: newer, says: "50% complete"},
		"two hops":           {driver: driver.ClusterVersion{To: []driver.Release{newer, {Version: older.Version}}}, want: driver.Report{From: older, Via: one(newer), To: older}, at: older},
		"two hops and back":  {driver: driver.ClusterVersion{To: []driver.Release{newer, older, newer}, AbortAt: 0.2}, want: driver.Report{From: older, Via: []driver.Release{newer, older}, To: newer, Aborted: true, RolledBack: true}, at: older},
		"nowhere":            {want: driver.Report{From: older}, at: older, error: "no release"},
		"no pools":           {change: func(o *drivertest.OKD) { o.NoPools = true }, driver: driver.ClusterVersion{To: one(newer)}, want: driver.Report{From: older, To: newer}, at: newer},
		"API away":           {change: func(o *drivertest.OKD) { o.DownFor = 3 }, driver: driver.ClusterVersion{To: one(newer)}, want: driver.Report{From: older, To: newer}, at: newer},
		"there already":      {driver: driver.ClusterVersion{To: one(older)}, want: driver.Report{From: older, To: older}, at: older},
		"aborted":            {driver: driver.ClusterVersion{To: one(newer), AbortAt: 0.5}, want: driver.Report{From: older, To: newer, Aborted: true, RolledBack: true}, at: older, says: "giving up at 50 %"},
		"rolled back":        {driver: driver.ClusterVersion{To: one(newer), Rollback: true}, want: driver.Report{From: older, To: newer, RolledBack: true}, at: older},
		"refused":            {change: func(o *drivertest.OKD) { o.Refuses = true }, driver: driver.ClusterVersion{To: one(newer)}, want: driver.Report{From: older, To: newer}, at: older, error: "cannot be verified", stall: true},
		"stuck":              {change: func(o *drivertest.OKD) { o.StuckAt = 30 }, driver: driver.ClusterVersion{To: one(newer), StallTimeout: 500 * time.Millisecond}, want: driver.Report{From: older, To: newer}, at: older, error: "30% complete", stall: true},
		"in another upgrade": {change: func(o *drivertest.OKD) { o.Percent, o.Want = 10, newer }, driver: driver.ClusterVersion{To: one(newer)}, want: driver.Report{From: newer, To: newer}, at: older, error: "in the midst"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, config := serve(t, tc.change)
			tc.driver.Config, tc.driver.Interval = config, time.Millisecond
			var s said
			got, err := tc.driver.Upgrade(t.Context(), s.hear)
			if (err != nil) != (tc.error != "") || (err != nil && !strings.Contains(err.Error(), tc.error)) {
				t.Fatalf("error %v, want %q", err, tc.error)
			}
			var stall *driver.StallError
			if errors.As(err, &stall) != tc.stall {
				t.Errorf("error %v is a StallError: %t, want %t", err, !tc.stall, tc.stall)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" || o.At != tc.at {
				t.Errorf("at %v, want %v; report (-want +got):\n%s", o.At, tc.at, diff)
			}
			if !strings.Contains(strings.Join(s.steps, "\n"), tc.says) {
				t.Errorf("it did not say %q: %q", tc.says, s.steps)
			}
			if name == "there already" && len(o.Asked) > 0 {
				t.Errorf("a cluster that is there was asked: %q", o.Asked)
			}
		})
	}
}

func TestClusterVersionElsewhere(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	d := driver.ClusterVersion{Config: &rest.Config{Host: server.URL}, To: one(newer), Interval: time.Millisecond}
	if _, err := d.Upgrade(t.Context(), func(driver.Event) {}); err == nil || !strings.Contains(err.Error(), "OpenShift or OKD") {
		t.Errorf("error %v", err)
	}
}

func TestClusterVersionIsInterrupted(t *testing.T) {
	_, config := serve(t, func(o *drivertest.OKD) { o.StuckAt = 30 })
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, errors.New("enough"))
	defer cancel()
	d := driver.ClusterVersion{Config: config, To: one(newer), Interval: time.Millisecond}
	if _, err := d.Upgrade(ctx, func(driver.Event) {}); err == nil || ctx.Err() == nil {
		t.Errorf("error %v", err)
	}
}

func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "upgrade")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestParseRelease(t *testing.T) {
	for text, want := range map[string]driver.Release{
		newer.Version:                   {Version: newer.Version},
		newer.Image:                     {Image: newer.Image},
		"registry.example.com/r:4.19.0": {Image: "registry.example.com/r:4.19.0"},
		"":                              {},
		"4.19 0":                        {},
	} {
		got, err := driver.ParseRelease(text)
		if got != want || (err != nil) != (want == driver.Release{}) {
			t.Errorf("%q is %+v, %v", text, got, err)
		}
	}
	if got := newer.Digest(); got != "sha256:"+strings.Repeat("b", 64) {
		t.Errorf("digest %q", got)
	}
}

func TestExec(t *testing.T) {
	for name, tc := range map[string]struct {
		script string
		steps  []string
		error  string
		stall  bool
	}{
		"arrives":        {script: `echo "to $SLIPWAY_UPGRADE_TO ($1) with $KUBECONFIG"; printf 'no newline'`, steps: []string{"to " + newer.Version + " (now) with /kubeconfig", "no newline"}},
		"does not":       {script: "echo draining\necho 'node 2 is not Ready' >&2\nexit 1", steps: []string{"draining"}, error: "node 2 is not Ready", stall: true},
		"cannot":         {script: "exit 42", error: "42"},
		"is killed":      {script: "kill -9 $$", error: "signal"},
		"says very much": {script: "head -c 10000 /dev/zero | tr '\\0' x", steps: []string{strings.Repeat("x", 4096), strings.Repeat("x", 4096), strings.Repeat("x", 1808)}},
	} {
		t.Run(name, func(t *testing.T) {
			d := driver.Exec{Program: []string{script(t, tc.script), "now"}, Kubeconfig: "/kubeconfig", To: newer}
			var s said
			_, err := d.Upgrade(t.Context(), s.hear)
			if (err != nil) != (tc.error != "") || (err != nil && !strings.Contains(err.Error(), tc.error)) {
				t.Fatalf("error %v, want %q", err, tc.error)
			}
			var stall *driver.StallError
			if errors.As(err, &stall) != tc.stall {
				t.Errorf("error %v is a StallError: %t, want %t", err, !tc.stall, tc.stall)
			}
			if !slices.Equal(s.steps, tc.steps) {
				t.Errorf("steps %q, want %q", s.steps, tc.steps)
			}
		})
	}
	if _, err := (&driver.Exec{}).Upgrade(t.Context(), func(driver.Event) {}); err == nil {
		t.Error("no program and no error")
	}
}
