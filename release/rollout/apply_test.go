package rollout_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/slipway-release/slipway/release/rollout"
)

// quick looks often. Its patience is for what gets well in the end, on a busy host as well.
func quick() rollout.Options {
	return rollout.Options{Interval: 2 * time.Millisecond, StallTimeout: time.Minute, RetryTimeout: time.Minute}
}

// stalls are for what never gets well.
func stalls() rollout.Options {
	opts := quick()
	opts.StallTimeout = 100 * time.Millisecond
	return opts
}

func TestApplyOrder(t *testing.T) {
	a := newAPI(t)
	a.applied = a.controllers
	var events []string
	opts := quick()
	opts.Progress = func(e rollout.Event) {
		if e.Object != "" && (e.State == rollout.Applied || e.State == rollout.Ready) {
			events = append(events, fmt.Sprintf("%02d %s %s %s", e.RunLevel, e.Component, e.Object, e.State))
		}
	}
	plan := planOf(t, payload(t, newer,
		"0000_20_web_01.yaml", deploymentYAML+"---\n"+fmt.Sprintf(configYAML, "late"),
		"0000_00_base_02.yaml", widgetYAML,
		"0000_00_base_01.yaml", namespaceYAML+"---\n"+widgetCRD,
		"image-notes.txt", "not a manifest"))
	result, err := rollout.Apply(context.Background(), a.config, plan, opts)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"00 base Namespace web applied", "00 base Namespace web ready",
		"00 base CustomResourceDefinition widgets.example.org applied", "00 base CustomResourceDefinition widgets.example.org ready",
		"00 base Widget web/w applied", "00 base Widget web/w ready",
		"20 web Deployment web/web applied", "20 web ConfigMap web/late applied",
		"20 web Deployment web/web ready", "20 web ConfigMap web/late ready",
	}
	if !slices.Equal(events, want) {
		t.Errorf("events:\n%s\nwant:\n%s", strings.Join(events, "\n"), strings.Join(want, "\n"))
	}
	if result.Objects != 5 || result.Version != newer || len(result.Orphans) != 0 {
		t.Errorf("result = %+v", result)
	}
	u := &unstructured.Unstructured{Object: a.object(deploymentPath)}
	wantMarks := map[string]string{rollout.VersionAnnotation: newer, rollout.PayloadAnnotation: digestOf(newer).String()}
	if got := u.GetAnnotations(); !reflect.DeepEqual(got, wantMarks) {
		t.Errorf("annotations = %v, want %v", got, wantMarks)
	}
	if got := u.GetLabels()[rollout.ComponentLabel]; got != "web" {
		t.Errorf("component label = %q, want web", got)
	}
}

func TestApplyComponentsOfALevelSideBySide(t *testing.T) {
	a := newAPI(t)
	// Neither gets ready before both were applied.
	a.applied = func(path string, obj object) {
		a.controllers(path, obj)
		if path == deploymentPath || path == daemonSetPath {
			status := obj["status"]
			delete(obj, "status")
			if other := a.objects[map[string]string{deploymentPath: daemonSetPath, daemonSetPath: deploymentPath}[path]]; other != nil {
				obj["status"] = status
				a.controllers("", other)
			}
		}
	}
	plan := planOf(t, payload(t, newer, "0000_10_a_x.yaml", deploymentYAML, "0000_10_b_x.yaml", daemonSetYAML))
	if _, err := rollout.Apply(context.Background(), a.config, plan, quick()); err != nil {
		t.Fatal(err)
	}
}

func TestApplyFailuresOfALevelTogether(t *testing.T) {
	a := newAPI(t)
	a.applied = func(path string, obj object) {
		if obj["kind"] == "Namespace" {
			a.controllers(path, obj)
		}
	}
	plan := planOf(t, payload(t, newer,
		"0000_10_a_x.yaml", deploymentYAML, "0000_10_b_x.yaml", daemonSetYAML, "0000_20_c_x.yaml", fmt.Sprintf(configYAML, "later")))
	_, err := rollout.Apply(context.Background(), a.config, plan, stalls())
	for _, want := range []string{`component "a"`, `component "b"`, "Deployment web/web", "DaemonSet web/agent", "its controller has not seen generation 1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
	if a.object(configPath+"later") != nil {
		t.Error("run level 20 was begun although level 10 had failed")
	}
	if inv := fmt.Sprint(a.object(inventoryPath)["data"]); !strings.Contains(inv, `"complete":false`) {
		t.Errorf("the record does not say that the rollout is incomplete: %s", inv)
	}
}

func TestApplyRetries(t *testing.T) {
	faults := map[string]func(w http.ResponseWriter){
		"busy": func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", "1")
			problem(w, http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests, "busy")
		},
		"down": func(w http.ResponseWriter) {
			problem(w, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, "down")
		},
		"internal": func(w http.ResponseWriter) {
			problem(w, http.StatusInternalServerError, metav1.StatusReasonInternalError, "webhook")
		},
		"forbidden": func(w http.ResponseWriter) {
			problem(w, http.StatusForbidden, metav1.StatusReasonForbidden, "no roles yet")
		},
		"cut": func(w http.ResponseWriter) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_ = conn.Close()
			}
		},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t)
			a.applied = a.controllers
			left := 2
			a.fault = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodPatch || left == 0 || !strings.HasPrefix(r.URL.Path, configPath) {
					return false
				}
				left--
				fault(w)
				return true
			}
			plan := planOf(t, payload(t, newer, "0000_10_a_x.yaml", fmt.Sprintf(configYAML, "c")))
			if _, err := rollout.Apply(context.Background(), a.config, plan, quick()); err != nil {
				t.Fatal(err)
			}
			if left != 0 || a.object(configPath+"c") == nil {
				t.Errorf("%d faults were left, object %v", left, a.object(configPath+"c"))
			}
		})
	}
}

func TestApplyFinalErrors(t *testing.T) {
	a := newAPI(t)
	tries := 0
	a.fault = func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.URL.Path, configPath) {
			tries++
			problem(w, http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, "data: wrong")
			return true
		}
		return false
	}
	plan := planOf(t, payload(t, newer, "0000_10_a_x.yaml", fmt.Sprintf(configYAML, "c")))
	_, err := rollout.Apply(context.Background(), a.config, plan, quick())
	if err == nil || !strings.Contains(err.Error(), `applying "ConfigMap web/c"`) || !strings.Contains(err.Error(), "data: wrong") {
		t.Errorf("error = %v", err)
	}
	if tries != 1 {
		t.Errorf("an invalid object was tried %d times", tries)
	}
}

func TestApplyCancelled(t *testing.T) {
	a := newAPI(t)
	ctx, cancel := context.WithCancel(context.Background())
	opts := quick()
	opts.StallTimeout = time.Hour
	opts.Progress = func(e rollout.Event) {
		if e.State == rollout.Waiting {
			cancel()
		}
	}
	_, err := rollout.Apply(ctx, a.config, planOf(t, payload(t, newer, "0000_10_a_x.yaml", deploymentYAML)), opts)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want %v", err, context.Canceled)
	}
}

func TestApplyAnnotations(t *testing.T) {
	a := newAPI(t)
	a.applied = a.controllers
	a.put(configPath+"kept", parse(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: kept, namespace: web}, data: {a: mine}}"))
	a.put(configPath+"old", parse(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: old, namespace: web}}"))
	annotated := func(name, annotation string) string {
		return strings.Replace(fmt.Sprintf(configYAML, name), "namespace: web", fmt.Sprintf("namespace: web, annotations: {%s: 'true'}", annotation), 1) + "---\n"
	}
	plan := planOf(t, payload(t, newer, "0000_10_a_x.yaml",
		annotated("kept", "release.openshift.io/create-only")+annotated("made", "release.openshift.io/create-only")+annotated("old", "release.openshift.io/delete")))
	if _, err := rollout.Apply(context.Background(), a.config, plan, quick()); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(a.object(configPath + "kept")["data"]); got != "map[a:mine]" {
		t.Errorf("a create-only object was overwritten: %s", got)
	}
	if a.object(configPath+"made") == nil {
		t.Error("a create-only object was not created")
	}
	if a.object(configPath+"old") != nil {
		t.Error("an object to be deleted is still there")
	}
}

func TestApplyReplacesJobsOfOtherPayloads(t *testing.T) {
	a := newAPI(t)
	a.applied = a.controllers
	const path = "/apis/batch/v1/namespaces/web/jobs/setup"
	a.fault = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPatch && r.URL.Path == path && a.objects[path] != nil {
			problem(w, http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, "template is immutable")
			return true
		}
		return false
	}
	job := "apiVersion: batch/v1\nkind: Job\nmetadata: {name: setup, namespace: web}\nspec: {}\n"
	for _, version := range []string{older, newer} {
		if _, err := rollout.Apply(context.Background(), a.config, planOf(t, payload(t, version, "0000_10_a_x.yaml", job)), quick()); err != nil {
			t.Fatal(err)
		}
		if got := (&unstructured.Unstructured{Object: a.object(path)}).GetAnnotations()[rollout.VersionAnnotation]; got != version {
			t.Errorf("the job is of payload %q, want %q", got, version)
		}
	}
}

func TestApplyReportsOrphans(t *testing.T) {
	a := newAPI(t)
	a.applied = a.controllers
	apply := func(version string, names ...string) *rollout.Result {
		t.Helper()
		var docs []string
		for _, n := range names {
			docs = append(docs, fmt.Sprintf(configYAML, n))
		}
		result, err := rollout.Apply(context.Background(), a.config, planOf(t, payload(t, version, "0000_10_a_x.yaml", strings.Join(docs, "---\n"))), quick())
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	orphans := func(r *rollout.Result) string { return fmt.Sprint(r.Orphans) }
	if got := orphans(apply(older, "a", "b", "c")); got != "[]" {
		t.Errorf("orphans of the first payload: %s", got)
	}
	if got := orphans(apply(newer, "a")); got != "[ConfigMap web/b ConfigMap web/c]" {
		t.Errorf("orphans: %s", got)
	}
	delete(a.objects, configPath+"b")
	if got := orphans(apply("1.36.3-0.nightly-2026-11-21-101500", "a")); got != "[ConfigMap web/c]" {
		t.Errorf("orphans once one was deleted: %s", got)
	}
	if got := orphans(apply("1.36.3-0.nightly-2026-11-22-101500", "a", "c")); got != "[]" {
		t.Errorf("orphans once the payload has it again: %s", got)
	}
}

func TestPlanReportsAllProblems(t *testing.T) {
	_, err := rollout.PlanOf(payload(t, newer, "0000_10_a_x.yaml", "kind: [", "0000_10_b_x.yaml", "apiVersion: v1\nkind: ConfigMap\n"))
	for _, want := range []string{"0000_10_a_x.yaml", "0000_10_b_x.yaml"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %s", err, want)
		}
	}
}
