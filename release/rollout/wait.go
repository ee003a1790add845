package rollout

import (
	"context"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/slipway-release/slipway/internal/clock"
)

const (
	// patience is how long nothing may move before a progress event says why.
	patience = 10 * time.Second
	// reminder is how often that is said again.
	reminder = time.Minute
)

// StallError says that an object did not get ready, and everything the cluster
// tells about why.
type StallError struct {
	Object  string        // DaemonSet kube-system/kube-proxy
	Message string        // what is missing: "1 of 3 available"
	Waited  time.Duration // since the last progress
	Failed  bool          // waiting longer would have been in vain
	Reasons []string      // conditions, pods, containers, events, log lines; most telling first
}

// Error is one sentence, the reasons behind it.
func (e *StallError) Error() string {
	s := fmt.Sprintf("waiting for %s: %s", e.Object, e.Message)
	if !e.Failed {
		s += fmt.Sprintf(", without progress for %s", e.Waited.Round(time.Second))
	}
	if len(e.Reasons) > 0 {
		s += ": " + strings.Join(e.Reasons, "; ")
	}
	return s
}

// watcher is one wait for one object.
type watcher struct {
	best     int64
	bestTime time.Time
	message  string
	asked    time.Time // when reasons were looked for last
	told     time.Time // when they were reported last
}

// wait returns when the object is ready, or a *StallError when it makes no
// progress for the stall timeout or never will.
func (r *run) wait(ctx context.Context, e Event, obj *unstructured.Unstructured) error {
	w := watcher{best: -1 << 62, bestTime: time.Now()}
	for {
		current, state := r.look(ctx, obj)
		if state.Ready {
			r.report(e.with(Ready, ""))
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if state.Progress > w.best {
			w.best, w.bestTime = state.Progress, time.Now()
		}
		stalled := time.Since(w.bestTime) >= r.opts.StallTimeout
		if stalled || state.Failed {
			return &StallError{Object: e.Object, Message: state.Message, Waited: time.Since(w.bestTime),
				Failed: state.Failed, Reasons: r.client.reasons(ctx, current)}
		}
		r.tell(ctx, e, &w, current, state.Message)
		if err := clock.Sleep(ctx, r.opts.Interval); err != nil {
			return err
		}
	}
}

// tell reports a new message at once, and after a while without progress what
// seems to be the matter.
func (r *run) tell(ctx context.Context, e Event, w *watcher, obj *unstructured.Unstructured, message string) {
	if message != w.message {
		w.message, w.asked, w.told = message, time.Now(), time.Time{}
		r.report(e.with(Waiting, message))
		return
	}
	if time.Since(w.asked) < patience {
		return
	}
	w.asked = time.Now()
	reasons := r.client.reasons(ctx, obj)
	// An image that cannot be pulled goes to and fro between two reasons.
	if len(reasons) == 0 || time.Since(w.told) < reminder {
		return
	}
	w.told = time.Now()
	r.report(e.with(Waiting, message+": "+reasons[0]))
}

// look reads the object and judges it. An API server that does not answer is a
// reason to wait, like any other; the stall timeout bounds it.
func (r *run) look(ctx context.Context, obj *unstructured.Unstructured) (*unstructured.Unstructured, Readiness) {
	current, err := r.client.get(ctx, obj)
	if err != nil {
		switch {
		case apierrors.IsNotFound(err):
			return obj, waiting("it is gone")
		case transient(err), settling(err):
			return obj, waiting("reading it: %v", err)
		}
		return obj, failed("reading it: %v", err)
	}
	state, err := ReadinessOf(current, r.client.bindsLate(ctx))
	if err != nil {
		return current, failed("%v", err)
	}
	return current, state
}
