// Package drivertest simulates clusters that drivers upgrade.
package drivertest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/slipway-release/slipway/upgradetest/driver"
)

// Older and Newer are the releases that an OKD knows.
var (
	Older = driver.Release{Version: "4.19.0-okd-scos.15", Image: "quay.io/okd/scos-release@sha256:" + strings.Repeat("a", 64)}
	Newer = driver.Release{Version: "4.19.0-okd-scos.16", Image: "quay.io/okd/scos-release@sha256:" + strings.Repeat("b", 64)}
)

// OKD stands for the API of a cluster of OKD. Every look at its ClusterVersion moves
// an update on; machines follow afterwards, one look each. Of what else
// a cluster has, it has the namespace "default" and empty lists.
type OKD struct {
	mu       sync.Mutex
	At, Want driver.Release
	Percent  int                    // of the update to Want; 100 when there is none
	StuckAt  int                    // percentage at which nothing moves any more; 0 for never
	Step     int                    // percent that a look moves an update on; default 10
	Refuses  bool                   // releases that it is asked for
	NoPools  bool                   // there are no pools of machines
	DownFor  int                    // requests that are answered by 503
	Down     func(percent int) bool // whether reads of namespaces are answered so
	Asked    []string               // versions and images, in order
	machines int                    // of three, at the release
	closed   chan struct{}
}

// Serve begins to serve a cluster that is at Older, after change, and returns its
// address. It ends with the test.
func Serve(t testing.TB, change func(*OKD)) (*OKD, string) {
	t.Helper()
	o := &OKD{At: Older, Want: Older, Percent: 100, Step: 10, machines: 3, closed: make(chan struct{})}
	if change != nil {
		change(o)
	}
	server := httptest.NewServer(o)
	t.Cleanup(func() {
		close(o.closed)
		server.CloseClientConnections()
		server.Close()
	})
	return o, server.URL
}

// Now is what the cluster is at.
func (o *OKD) Now() driver.Release {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.At
}

// ServeHTTP implements http.Handler.
func (o *OKD) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Query().Get("watch") != "" {
		o.watch(w, r)
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.DownFor > 0 {
		o.DownFor--
		status(w, http.StatusServiceUnavailable, "ServiceUnavailable")
		return
	}
	path := strings.Trim(r.URL.Path, "/")
	switch {
	case strings.HasSuffix(path, "clusterversions/version") && r.Method == http.MethodPatch:
		var body struct {
			Spec struct {
				DesiredUpdate driver.Release `json:"desiredUpdate"`
			} `json:"spec"`
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			status(w, http.StatusBadRequest, "BadRequest")
			return
		}
		o.ask(body.Spec.DesiredUpdate)
		_ = json.NewEncoder(w).Encode(o.clusterVersion())
	case strings.HasSuffix(path, "clusterversions/version"):
		o.advance()
		_ = json.NewEncoder(w).Encode(o.clusterVersion())
	case strings.HasSuffix(path, "machineconfigpools") && !o.NoPools:
		_ = json.NewEncoder(w).Encode(o.machinePools())
	case strings.HasSuffix(path, "namespaces/default"):
		if o.Down != nil && o.Down(o.Percent) {
			status(w, http.StatusServiceUnavailable, "ServiceUnavailable")
			return
		}
		fmt.Fprint(w, `{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"default","resourceVersion":"1"}}`)
	case strings.Contains(path, "openshift.io") || strings.Count(path, "/") < 2:
		status(w, http.StatusNotFound, "NotFound")
	default:
		fmt.Fprint(w, `{"metadata":{"resourceVersion":"1"},"items":[]}`)
	}
}

func status(w http.ResponseWriter, code int, reason string) {
	w.WriteHeader(code)
	fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"code":%d}`, reason, code)
}

// watch shows that nothing changes; a list comes first.
func (o *OKD) watch(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("sendInitialEvents") != "" {
		status(w, http.StatusBadRequest, "BadRequest")
		return
	}
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	select {
	case <-r.Context().Done():
	case <-o.closed:
	}
}

func (o *OKD) ask(r driver.Release) {
	o.Asked = append(o.Asked, r.Version+r.Image)
	if o.Refuses {
		return
	}
	for _, known := range []driver.Release{Older, Newer} {
		if r.Image == known.Image || (r.Image == "" && r.Version == known.Version) {
			o.Want, o.Percent, o.machines = known, 0, 0
		}
	}
}

func (o *OKD) advance() {
	if o.Percent < 100 && (o.StuckAt == 0 || o.Percent < o.StuckAt) {
		if o.Percent = min(o.Percent+o.Step, 100); o.Percent == 100 {
			o.At = o.Want
		}
	}
}

func (o *OKD) clusterVersion() any {
	progressing, state := "False", "Completed"
	message := "Cluster version is " + o.At.Version
	if o.Percent < 100 {
		progressing, state = "True", "Partial"
		message = fmt.Sprintf("Working towards %s: %d of 900 done (%d%% complete)", o.Want.Version, 9*o.Percent, o.Percent)
	}
	conditions := []any{map[string]any{"type": "Progressing", "status": progressing, "message": message}}
	if o.Refuses {
		conditions = append(conditions, map[string]any{"type": "ReleaseAccepted", "status": "False", "reason": "RetrievePayload", "message": "Retrieving payload failed version=\"" + Newer.Version + "\": The update cannot be verified"})
	}
	return map[string]any{
		"apiVersion": "config.openshift.io/v1", "kind": "ClusterVersion", "metadata": map[string]any{"name": "version"},
		"status": map[string]any{
			"desired": o.Want, "conditions": conditions,
			"history": []any{map[string]any{"state": state, "version": o.Want.Version, "image": o.Want.Image}},
		},
	}
}

func (o *OKD) machinePools() any {
	updated := "False"
	if o.Percent == 100 && o.machines < 3 {
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
