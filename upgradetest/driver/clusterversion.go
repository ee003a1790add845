package driver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/slipway-release/slipway/internal/clock"
)

// ClusterVersion upgrades a cluster of OpenShift or OKD: it sets
// spec.desiredUpdate of the ClusterVersion named "version" (config.openshift.io/v1)
// and watches its conditions and history, and then the pools of machines, until
// all is at the release.
type ClusterVersion struct {
	Config *rest.Config
	// To are the releases to upgrade to, one after the other.
	To []Release
	// Force takes a release whose signature the cluster cannot verify, or that its
	// preconditions speak against. Clusters remember it.
	Force bool
	// AbortAt sets the cluster back to where it was when it says that this share of
	// the last update is complete: 0.5 for half of it. 0 never does.
	AbortAt float64
	// Rollback sets the cluster back after the upgrade.
	Rollback bool
	// StallTimeout ends the upgrade when nothing moves for so long; default 1 hour,
	// as machines may take half of it to restart.
	StallTimeout time.Duration
	// Interval between two looks; default 2 seconds.
	Interval time.Duration
}

var _ Driver = (*ClusterVersion)(nil)

var (
	clusterVersions = schema.GroupVersionResource{Group: "config.openshift.io", Version: "v1", Resource: "clusterversions"}
	machinePools    = schema.GroupVersionResource{Group: "machineconfiguration.openshift.io", Version: "v1", Resource: "machineconfigpools"}
	// "Working towards 4.20.0: 105 of 950 done (11% complete), waiting on etcd"
	completePattern = regexp.MustCompile(`\((\d{1,3})% complete\)`)
)

const (
	clusterVersionName = "version"
	// outage bounds how long the API may not answer: an upgrade restarts it.
	outage = 10 * time.Minute
)

// Upgrade implements Driver.
func (d *ClusterVersion) Upgrade(ctx context.Context, say func(Event)) (Report, error) {
	r, err := d.upgrade(ctx, say)
	if err != nil {
		return r, fmt.Errorf("upgrading the cluster at %q: %w", d.Config.Host, err)
	}
	return r, nil
}

func (d *ClusterVersion) upgrade(ctx context.Context, say func(Event)) (Report, error) {
	client, err := dynamic.NewForConfig(d.Config)
	if err != nil {
		return Report{}, err
	}
	w := &cvWatch{driver: d, client: client, say: say}
	if d.StallTimeout <= 0 {
		d.StallTimeout = time.Hour
	}
	if d.Interval <= 0 {
		d.Interval = 2 * time.Second
	}
	cv, err := w.get(ctx)
	if err != nil {
		return Report{}, err
	}
	report := Report{From: cv.Status.Desired.release()}
	if len(d.To) == 0 {
		return report, errors.New("no release was named")
	}
	last := len(d.To) - 1
	report.To = d.To[last]
	if !cv.completed(report.From) {
		return report, fmt.Errorf("it is in the midst of another upgrade, to %q: wait for that to end", report.From.name())
	}
	for i, to := range d.To {
		abortAt := 0.0
		if i == last {
			abortAt = d.AbortAt
		}
		if report.Aborted, err = w.travel(ctx, cv, to, abortAt); err != nil {
			return report, err
		}
		if cv, err = w.get(ctx); err != nil {
			return report, err
		}
		switch now := cv.Status.Desired.release(); {
		case i < last:
			report.Via = append(report.Via, now)
		case !report.Aborted:
			report.To = now // the cluster knows version and image of it
		}
	}
	if !report.Aborted && !d.Rollback {
		return report, nil
	}
	// Where it came from needs no edge of the update graph, so it is named by image.
	if _, err := w.travel(ctx, cv, report.From, 0); err != nil {
		return report, err
	}
	report.RolledBack = true
	return report, nil
}

// clusterVersion is the part of a ClusterVersion that decides.
type clusterVersion struct {
	Status struct {
		Desired    update             `json:"desired"`
		History    []history          `json:"history"`
		Conditions []metav1.Condition `json:"conditions"`
	} `json:"status"`
}

type update struct {
	Version string `json:"version"`
	Image   string `json:"image"`
}

func (u update) release() Release { return Release(u) }

type history struct {
	State   string `json:"state"` // Partial or Completed
	Version string `json:"version"`
	Image   string `json:"image"`
}

func (cv *clusterVersion) condition(kind string) metav1.Condition {
	for _, c := range cv.Status.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return metav1.Condition{}
}

// completed reports whether the newest entry of the history is the release, done.
func (cv *clusterVersion) completed(r Release) bool {
	return len(cv.Status.History) > 0 && cv.Status.History[0].State == "Completed" && cv.wants(r, Release{
		Version: cv.Status.History[0].Version, Image: cv.Status.History[0].Image,
	}) && cv.condition("Progressing").Status != metav1.ConditionTrue
}

// wants reports whether two names mean the same release; an image says more than
// a version.
func (cv *clusterVersion) wants(a, b Release) bool {
	if a.Image != "" && b.Image != "" {
		return a.Image == b.Image
	}
	return a.Version != "" && a.Version == b.Version
}

// complete is the share of the update that the cluster says is done, 0 to 1.
func (cv *clusterVersion) complete() float64 {
	m := completePattern.FindStringSubmatch(cv.condition("Progressing").Message)
	if m == nil {
		return 0
	}
	percent, _ := strconv.Atoi(m[1])
	return float64(percent) / 100
}

// cvWatch follows one cluster.
type cvWatch struct {
	driver *ClusterVersion
	client dynamic.Interface
	say    func(Event)
	told   string
}

func (w *cvWatch) get(ctx context.Context) (*clusterVersion, error) {
	var obj *unstructured.Unstructured
	err := w.patiently(ctx, func(ctx context.Context) (err error) {
		obj, err = w.client.Resource(clusterVersions).Get(ctx, clusterVersionName, metav1.GetOptions{})
		return err
	})
	if apierrors.IsNotFound(err) {
		return nil, errors.New("it has no ClusterVersion: this is no cluster of OpenShift or OKD")
	}
	if err != nil {
		return nil, fmt.Errorf("reading its ClusterVersion: %w", err)
	}
	cv := &clusterVersion{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(obj.Object, cv); err != nil {
		return nil, fmt.Errorf("reading its ClusterVersion: %w", err)
	}
	return cv, nil
}

// patiently repeats a request while the API does not answer, as it may during an
// upgrade of the cluster that serves it.
func (w *cvWatch) patiently(ctx context.Context, request func(context.Context) error) error {
	begun := time.Now()
	for {
		attempt, cancel := context.WithTimeout(ctx, 30*time.Second)
		err := request(attempt)
		cancel()
		if err == nil || ctx.Err() != nil || answered(err) || time.Since(begun) > outage {
			return err
		}
		if err := clock.Sleep(ctx, w.driver.Interval); err != nil {
			return err
		}
	}
}

// answered tells an API server that said no from one that could not say anything.
func answered(err error) bool {
	return apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) || apierrors.IsInvalid(err) || apierrors.IsBadRequest(err)
}

// travel asks for a release and waits until the cluster is there, or until the
// share abortAt of the way is done.
func (w *cvWatch) travel(ctx context.Context, cv *clusterVersion, to Release, abortAt float64) (aborted bool, err error) {
	if !cv.completed(to) {
		if err := w.ask(ctx, to); err != nil {
			return false, err
		}
	}
	aborted, err = w.await(ctx, to, abortAt)
	if err != nil || aborted {
		return aborted, err
	}
	return false, w.awaitPools(ctx, to)
}

func (w *cvWatch) ask(ctx context.Context, to Release) error {
	desired := map[string]any{"version": to.Version, "image": to.Image, "force": w.driver.Force}
	if to.Image != "" {
		// The cluster would look the version up in its graph and refuse what is not there.
		delete(desired, "version")
	}
	body, err := json.Marshal(map[string]any{"spec": map[string]any{"desiredUpdate": desired}})
	if err != nil {
		return err
	}
	w.say(Event{Step: "asking for " + to.name()})
	err = w.patiently(ctx, func(ctx context.Context) error {
		_, err := w.client.Resource(clusterVersions).Patch(ctx, clusterVersionName, types.MergePatchType, body, metav1.PatchOptions{FieldManager: "slipway"})
		return err
	})
	if err != nil {
		return fmt.Errorf("setting spec.desiredUpdate of its ClusterVersion: %w", err)
	}
	return nil
}

// await watches until the history says that the release is there.
func (w *cvWatch) await(ctx context.Context, to Release, abortAt float64) (aborted bool, err error) {
	last, moved := "", time.Now()
	for {
		cv, err := w.get(ctx)
		if err != nil {
			return false, err
		}
		if cv.wants(to, cv.Status.Desired.release()) {
			if cv.completed(to) {
				return false, nil
			}
			if abortAt > 0 && cv.complete() >= abortAt {
				w.say(Event{Step: fmt.Sprintf("giving up at %d %%", int(100*cv.complete()))})
				return true, nil
			}
		}
		if refused := cv.condition("ReleaseAccepted"); refused.Status == metav1.ConditionFalse && strings.Contains(refused.Message, to.name()) {
			return false, &StallError{Release: to, Message: "the cluster does not accept the release: " + refused.Reason + ": " + refused.Message}
		}
		state := cv.summary()
		if state != last {
			last, moved = state, time.Now()
			w.tell(state)
		}
		if waited := time.Since(moved); waited > w.driver.StallTimeout {
			return false, &StallError{Release: to, Message: state, Waited: waited}
		}
		if err := clock.Sleep(ctx, w.driver.Interval); err != nil {
			return false, err
		}
	}
}

// summary is what moves during an upgrade, in one line.
func (cv *clusterVersion) summary() string {
	s := cv.condition("Progressing").Message
	if failing := cv.condition("Failing"); failing.Status == metav1.ConditionTrue {
		s = strings.TrimPrefix(s+"; failing: "+failing.Message, "; ")
	}
	if s == "" {
		s = "waiting for the cluster to begin"
	}
	return s
}

func (w *cvWatch) tell(message string) {
	if message != w.told {
		w.told = message
		w.say(Event{Step: message})
	}
}

// awaitPools waits until every machine has the new system; the history is
// complete before that. Clusters without such pools have none to wait for.
func (w *cvWatch) awaitPools(ctx context.Context, to Release) error {
	last, moved := "", time.Now()
	for {
		waiting, err := w.pools(ctx)
		if err != nil || waiting == "" {
			return err
		}
		if waiting != last {
			last, moved = waiting, time.Now()
			w.tell(waiting)
		}
		if waited := time.Since(moved); waited > w.driver.StallTimeout {
			return &StallError{Release: to, Message: waiting, Waited: waited}
		}
		if err := clock.Sleep(ctx, w.driver.Interval); err != nil {
			return err
		}
	}
}

// pools says which machines are not at the release yet, or nothing.
func (w *cvWatch) pools(ctx context.Context) (string, error) {
	var list *unstructured.UnstructuredList
	err := w.patiently(ctx, func(ctx context.Context) (err error) {
		list, err = w.client.Resource(machinePools).List(ctx, metav1.ListOptions{})
		return err
	})
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("listing its pools of machines: %w", err)
	}
	var waiting []string
	for _, pool := range list.Items {
		all, _, _ := unstructured.NestedInt64(pool.Object, "status", "machineCount")
		updated, _, _ := unstructured.NestedInt64(pool.Object, "status", "updatedMachineCount")
		observed, _, _ := unstructured.NestedInt64(pool.Object, "status", "observedGeneration")
		if updated < all || observed < pool.GetGeneration() || conditionOf(pool, "Updated") != "True" {
			waiting = append(waiting, fmt.Sprintf("pool %s: %d of %d machines are updated", pool.GetName(), updated, all))
		}
	}
	return strings.Join(waiting, "; "), nil
}

func conditionOf(obj unstructured.Unstructured, kind string) string {
	conditions, _, _ := unstructured.NestedSlice(obj.Object, "status", "conditions")
	for _, c := range conditions {
		m, _ := c.(map[string]any)
		if m["type"] == kind {
			status, _ := m["status"].(string)
			return status
		}
	}
	return ""
}
