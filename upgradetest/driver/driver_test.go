package driver_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/slipway-release/slipway/upgradetest/driver"
)

var (
	older = driver.Release{Version: "4.19.0-okd-scos.15", Image: "quay.io/okd/scos-release@sha256:" + strings.Repeat("a", 64)}
	newer = driver.Release{Version: "4.19.0-okd-scos.16", Image: "quay.io/okd/scos-release@sha256:" + strings.Repeat("b", 64)}
)

// okd stands for the API of an OKD cluster. Every look at its ClusterVersion moves
// an update on by ten percent; machines follow afterwards, one look each.
type okd struct {
	mu       sync.Mutex
	at, want driver.Release
	percent  int // of the update to want; 100 when there is none
	stuckAt  int // percentage at which nothing moves any more; 0 for never
	refuses  bool
	pools    bool
	machines int // of three, at the release
	downFor  int // requests that are answered by 503
	patches  []string
}

func newOKD(t *testing.T, change func(*okd)) (*okd, *rest.Config) {
	t.Helper()
	o := &okd{at: older, want: older, percent: 100, pools: true, machines: 3}
	if change != nil {
		change(o)
	}
	server := httptest.NewServer(o)
	t.Cleanup(server.Close)
	return o, &rest.Config{Host: server.URL, QPS: 1000, Burst: 1000}
}

func (o *okd) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	status := func(code int, reason string) {
		w.WriteHeader(code)
		fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"code":%d}`, reason, code)
	}
	if o.downFor > 0 {
		o.downFor--
		status(http.StatusServiceUnavailable, "ServiceUnavailable")
		return
	}
	switch {
	case strings.HasSuffix(r.URL.Path, "/clusterversions/version") && r.Method == http.MethodPatch:
		var body struct {
			Spec struct {
				DesiredUpdate driver.Release `json:"desiredUpdate"`
			} `json:"spec"`
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			status(http.StatusBadRequest, "BadRequest")
			return
		}
		o.ask(body.Spec.DesiredUpdate)
		_ = json.NewEncoder(w).Encode(o.clusterVersion())
	case strings.HasSuffix(r.URL.Path, "/clusterversions/version"):
		o.advance()
		_ = json.NewEncoder(w).Encode(o.clusterVersion())
	case strings.HasSuffix(r.URL.Path, "/machineconfigpools") && o.pools:
		_ = json.NewEncoder(w).Encode(o.machinePools())
	default:
		status(http.StatusNotFound, "NotFound")
	}
}

func (o *okd) ask(r driver.Release) {
	o.patches = append(o.patches, r.Version+r.Image)
	if o.refuses {
		return
	}
	for _, known := range []driver.Release{older, newer} {
		if r.Image == known.Image || (r.Image == "" && r.Version == known.Version) {
			o.want, o.percent, o.machines = known, 0, 0
		}
	}
}

func (o *okd) advance() {
	if o.percent < 100 && (o.stuckAt == 0 || o.percent < o.stuckAt) {
		if o.percent += 10; o.percent == 100 {
			o.at = o.want
		}
	}
}

func (o *okd) clusterVersion() any {
	progressing, state := "False", "Completed"
	message := "Cluster version is " + o.at.Version
	if o.percent < 100 {
		progressing, state = "True", "Partial"
		message = fmt.Sprintf("Working towards %s: %d of 900 done (%d%% complete)", o.want.Version, 9*o.percent, o.percent)
	}
	conditions := []any{map[string]any{"type": "Progressing", "status": progressing, "message": message}}
	if o.refuses {
		conditions = append(conditions, map[string]any{"type": "ReleaseAccepted", "status": "False", "reason": "RetrievePayload", "message": "Retrieving payload failed version=\"" + newer.Version + "\": The update cannot be verified"})
	}
	return map[string]any{
		"apiVersion": "config.openshift.io/v1", "kind": "ClusterVersion", "metadata": map[string]any{"name": "version"},
		"status": map[string]any{
			"desired": o.want, "conditions": conditions,
			"history": []any{map[string]any{"state": state, "version": o.want.Version, "image": o.want.Image}},
		},
	}
}

func (o *okd) machinePools() any {
	updated := "False"
	if o.percent == 100 && o.machines < 3 {
		o.machines++
	}
	if o.machines == 3 {
		updated = "True"
	}
	return map[string]any{"apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfigPoolList", "items": []any{map[string]any{
		"apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfigPool", "metadata": map[string]any{"name": "worker", "generation": 2},
		"status": map[string]any{"machineCount": 3, "updatedMachineCount": o.machines, "observedGeneration": 2, "conditions": []any{map[string]any{"type": "Updated", "status": updated}}},
	}}}
}

type said struct{ steps []string }

func (s *said) hear(e driver.Event) { s.steps = append(s.steps, e.Step) }

func TestClusterVersion(t *testing.T) {
	byVersion := driver.Release{Version: newer.Version}
	for name, tc := range map[string]struct {
		change func(*okd)
		driver driver.ClusterVersion
		want   driver.Report
		at     driver.Release
		says   string
		error  string
		stall  bool
	}{
		"by image":           {driver: driver.ClusterVersion{To: newer}, want: driver.Report{From: older, To: newer}, at: newer, says: "worker: 2 of 3 machines"},
		"by version":         {driver: driver.ClusterVersion{To: byVersion}, want: driver.Report{From: older, To: newer}, at: newer, says: "50% complete"},
		"no pools":           {change: func(o *okd) { o.pools = false }, driver: driver.ClusterVersion{To: newer}, want: driver.Report{From: older, To: newer}, at: newer},
		"API away":           {change: func(o *okd) { o.downFor = 3 }, driver: driver.ClusterVersion{To: newer}, want: driver.Report{From: older, To: newer}, at: newer},
		"there already":      {driver: driver.ClusterVersion{To: older}, want: driver.Report{From: older, To: older}, at: older},
		"aborted":            {driver: driver.ClusterVersion{To: newer, AbortAt: 0.5}, want: driver.Report{From: older, To: newer, Aborted: true, RolledBack: true}, at: older, says: "giving up at 50 %"},
		"rolled back":        {driver: driver.ClusterVersion{To: newer, Rollback: true}, want: driver.Report{From: older, To: newer, RolledBack: true}, at: older},
		"refused":            {change: func(o *okd) { o.refuses = true }, driver: driver.ClusterVersion{To: newer}, want: driver.Report{From: older, To: newer}, at: older, error: "cannot be verified", stall: true},
		"stuck":              {change: func(o *okd) { o.stuckAt = 30 }, driver: driver.ClusterVersion{To: newer, StallTimeout: 50 * time.Millisecond}, want: driver.Report{From: older, To: newer}, at: older, error: "30% complete", stall: true},
		"in another upgrade": {change: func(o *okd) { o.percent, o.want = 10, newer }, driver: driver.ClusterVersion{To: newer}, want: driver.Report{From: newer, To: newer}, at: older, error: "in the midst"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, config := newOKD(t, tc.change)
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
			if got != tc.want || o.at != tc.at {
				t.Errorf("report %+v at %v, want %+v at %v", got, o.at, tc.want, tc.at)
			}
			if !strings.Contains(strings.Join(s.steps, "\n"), tc.says) {
				t.Errorf("it did not say %q: %q", tc.says, s.steps)
			}
			if name == "there already" && len(o.patches) > 0 {
				t.Errorf("a cluster that is there was asked: %q", o.patches)
			}
		})
	}
}

func TestClusterVersionElsewhere(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	d := driver.ClusterVersion{Config: &rest.Config{Host: server.URL}, To: newer, Interval: time.Millisecond}
	if _, err := d.Upgrade(t.Context(), func(driver.Event) {}); err == nil || !strings.Contains(err.Error(), "OpenShift or OKD") {
		t.Errorf("error %v", err)
	}
}

func TestClusterVersionIsInterrupted(t *testing.T) {
	_, config := newOKD(t, func(o *okd) { o.stuckAt = 30 })
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, errors.New("enough"))
	defer cancel()
	d := driver.ClusterVersion{Config: config, To: newer, Interval: time.Millisecond}
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
