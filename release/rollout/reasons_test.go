package rollout_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/slipway-release/slipway/release/rollout"
)

func TestStallReasons(t *testing.T) {
	const podPath = "/api/v1/namespaces/web/pods/web-1"
	pod := func(spec, status string) string {
		return "{apiVersion: v1, kind: Pod, metadata: {name: web-1, namespace: web, labels: {app: web}}, spec: {" + spec + "}, status: {" + status + "}}"
	}
	tests := []struct {
		name    string
		objects map[string]string
		logs    string
		want    []string
	}{
		{
			name: "an image that is not there",
			objects: map[string]string{podPath: pod("nodeName: n1, containers: [{name: main}]",
				`phase: Pending, containerStatuses: [{name: main, image: "r.example/web:1", state: {waiting: {reason: ImagePullBackOff, message: Back-off pulling image}}}]`)},
			want: []string{"pod web-1 on node n1: container main: ImagePullBackOff, image r.example/web:1: Back-off pulling image"},
		},
		{
			name: "a container that crashes",
			logs: "one\ntwo\npanic: no configuration\n",
			objects: map[string]string{podPath: pod("nodeName: n1, containers: [{name: main}]",
				`phase: Running, containerStatuses: [{name: main, restartCount: 4, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 2, reason: Error}}}]`)},
			want: []string{"container main: CrashLoopBackOff, it ended with Error, exit code 2", "panic: no configuration"},
		},
		{
			name: "an init container that fails",
			logs: "cannot write\n",
			objects: map[string]string{podPath: pod("nodeName: n1, containers: [{name: main}]",
				`phase: Pending, initContainerStatuses: [{name: setup, state: {terminated: {exitCode: 1, reason: Error}}}], containerStatuses: [{name: main, state: {waiting: {reason: PodInitializing}}}]`)},
			want: []string{"container setup: Error, exit code 1", "cannot write"},
		},
		{
			name: "a pod that finds no node",
			objects: map[string]string{podPath: pod("containers: [{name: main}]",
				`phase: Pending, conditions: [{type: PodScheduled, status: "False", reason: Unschedulable, message: "0/3 nodes are available: 3 Insufficient cpu."}]`)},
			want: []string{"pod web-1: Unschedulable: 0/3 nodes are available: 3 Insufficient cpu."},
		},
		{
			name: "a probe that does not succeed",
			objects: map[string]string{
				podPath: pod("nodeName: n1, containers: [{name: main, readinessProbe: {tcpSocket: {port: 1}}}]",
					`phase: Running, containerStatuses: [{name: main, state: {running: {}}}]`),
				"/api/v1/namespaces/web/events/e1": `{apiVersion: v1, kind: Event, type: Warning, metadata: {name: e1, namespace: web}, reason: Unhealthy, message: "Readiness probe failed: 503", involvedObject: {kind: Pod, name: web-1}}`,
			},
			want: []string{"container main: it runs, but its readiness probe does not succeed", "event: Unhealthy: Readiness probe failed: 503"},
		},
		{
			name: "an event about the object itself",
			objects: map[string]string{
				"/api/v1/namespaces/web/events/e1": `{apiVersion: v1, kind: Event, type: Warning, metadata: {name: e1, namespace: web}, reason: Nonsense, message: "cannot", involvedObject: {kind: Deployment, name: web}}`,
				"/api/v1/namespaces/web/events/e2": `{apiVersion: v1, kind: Event, type: Normal, metadata: {name: e2, namespace: web}, reason: Fine, message: "fine", involvedObject: {kind: Deployment, name: web}}`,
			},
			want: []string{"condition Progressing is False: ProgressDeadlineExceeded: too slow; event: Nonsense: cannot"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := newAPI(t)
			a.applied = func(_ string, obj object) {
				if obj["kind"] == "Deployment" {
					obj["status"] = object{"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 1,
						"conditions": []any{object{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "too slow"}}}
				}
			}
			for path, text := range tt.objects {
				a.put(path, parse(t, text))
			}
			a.put("/api/v1/namespaces/web/pods/other", parse(t, "{apiVersion: v1, kind: Pod, metadata: {name: other, namespace: web, labels: {app: other}}, status: {phase: Failed, reason: NotOurs}}"))
			a.logs[podPath] = tt.logs
			_, err := rollout.Apply(context.Background(), a.config, planOf(t, payload(t, newer, "0000_10_a_x.yaml", deploymentYAML)), stalls())
			var stall *rollout.StallError
			if !errors.As(err, &stall) {
				t.Fatalf("error %v is no *StallError", err)
			}
			if stall.Object != "Deployment web/web" || stall.Message != "1 of 2 available" {
				t.Errorf("stalled on %q: %q", stall.Object, stall.Message)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error does not say %q:\n%v", want, err)
				}
			}
			for _, not := range []string{"NotOurs", "fine"} {
				if strings.Contains(err.Error(), not) {
					t.Errorf("error says %q:\n%v", not, err)
				}
			}
		})
	}
}

// Five pods that fail alike are one reason, not five.
func TestStallReasonsAreNotRepeated(t *testing.T) {
	a := newAPI(t)
	for _, name := range []string{"agent-1", "agent-2", "agent-3", "agent-4", "agent-5"} {
		a.put("/api/v1/namespaces/web/pods/"+name, parse(t, "{apiVersion: v1, kind: Pod, metadata: {name: "+name+", namespace: web, labels: {app: agent}}, spec: {nodeName: on-"+name+
			`, containers: [{name: main}]}, status: {phase: Pending, containerStatuses: [{name: main, image: i, state: {waiting: {reason: ErrImagePull}}}]}}`))
	}
	_, err := rollout.Apply(context.Background(), a.config, planOf(t, payload(t, newer, "0000_10_a_x.yaml", daemonSetYAML)), stalls())
	if err == nil || strings.Count(err.Error(), "ErrImagePull") != 1 || !strings.Contains(err.Error(), "4 more pods are in the same state") {
		t.Errorf("error = %v", err)
	}
}

func TestFailedJobEndsTheWaitAtOnce(t *testing.T) {
	a := newAPI(t)
	a.applied = func(_ string, obj object) {
		if obj["kind"] == "Job" {
			obj["status"] = object{"conditions": []any{object{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "too often"}}}
		}
	}
	opts := quick()
	opts.StallTimeout = 1 << 40
	plan := planOf(t, payload(t, newer, "0000_10_a_x.yaml", "apiVersion: batch/v1\nkind: Job\nmetadata: {name: setup, namespace: web}\n"))
	_, err := rollout.Apply(context.Background(), a.config, plan, opts)
	var stall *rollout.StallError
	if !errors.As(err, &stall) || !stall.Failed || !strings.Contains(err.Error(), "BackoffLimitExceeded") {
		t.Errorf("error = %v", err)
	}
}

// A workload whose pods come up and fall down again moves without getting on.
func TestCrashLoopIsNoProgress(t *testing.T) {
	a := newAPI(t)
	a.applied = a.controllers
	n := 0
	a.reading = func(path string, obj object) {
		if path == deploymentPath {
			n++
			obj["status"] = object{"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": n % 2}
		}
	}
	if _, err := rollout.Apply(context.Background(), a.config, planOf(t, payload(t, newer, "0000_10_a_x.yaml", deploymentYAML)), stalls()); err == nil {
		t.Fatal("the rollout succeeded")
	}
}

// Progress that is slow, but is progress, must not be taken for a stall.
func TestSlowProgressIsNoStall(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.applied = a.controllers
	const steps, stall = 9, 10 * time.Second // a busy host may hold one answer up for seconds
	begin := time.Now()
	a.reading = func(path string, obj object) {
		if path == daemonSetPath {
			updated := min(steps, int(time.Since(begin)/(stall/8)))
			obj["status"] = object{"observedGeneration": 1, "desiredNumberScheduled": steps, "updatedNumberScheduled": updated, "numberAvailable": steps}
		}
	}
	opts := quick()
	opts.StallTimeout = stall
	if _, err := rollout.Apply(context.Background(), a.config, planOf(t, payload(t, newer, "0000_10_a_x.yaml", daemonSetYAML)), opts); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took < stall {
		t.Errorf("ready after %s: the test does not last longer than the stall timeout", took)
	}
}
