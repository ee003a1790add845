package rollout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/kubectl/pkg/drain"

	"github.com/slipway-release/slipway/internal/clock"
)

// drain evicts the node's pods within what disruption budgets allow. Pods
// without a controller are evicted too: they cannot come back, but they must
// not hold up an upgrade for ever.
func (u *upgrade) drain(ctx context.Context, s Step) error {
	ctx, cancel := context.WithTimeoutCause(ctx, u.opts.DrainTimeout, fmt.Errorf("pods were left after %s", u.opts.DrainTimeout))
	defer cancel()
	var err error
	for {
		err = drain.RunNodeDrain(u.drainHelper(ctx, s), s.Node)
		// An API server that went away is no reason to give up; a budget in the
		// way is waited for inside.
		if err == nil || ctx.Err() != nil || !transientDrain(err) {
			break
		}
		u.opts.Progress(Event{Step: s.ID, Node: s.Node, RunLevel: -1, State: Retrying, Message: err.Error()})
		if clock.Sleep(ctx, 2*time.Second) != nil {
			break
		}
	}
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return fmt.Errorf("draining node %q: %w%s", s.Node, err, u.whatHolds(ctx, s.Node))
}

func (u *upgrade) drainHelper(ctx context.Context, s Step) *drain.Helper {
	return &drain.Helper{
		Ctx: ctx, Client: u.client.kube,
		Force: true, GracePeriodSeconds: -1, IgnoreAllDaemonSets: true, DeleteEmptyDirData: true,
		Timeout: u.opts.DrainTimeout, Out: io.Discard, ErrOut: io.Discard,
		OnPodDeletionOrEvictionStarted: func(pod *corev1.Pod, _ bool) {
			u.opts.Progress(Event{Step: s.ID, Node: s.Node, RunLevel: -1, State: Waiting, Message: fmt.Sprintf("evicting pod %s/%s", pod.Namespace, pod.Name)})
		},
	}
}

// transientDrain looks into the errors that draining joins.
func transientDrain(err error) bool {
	var many interface{ Errors() []error }
	if errors.As(err, &many) {
		for _, e := range many.Errors() {
			if !transientDrain(e) {
				return false
			}
		}
		return true
	}
	return transient(err)
}

// whatHolds names the pods that are still on a node, and the budgets that keep
// them there, ready to be appended to a sentence.
func (u *upgrade) whatHolds(ctx context.Context, name string) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reasonsTimeout)
	defer cancel()
	list, errs := u.drainHelper(ctx, Step{}).GetPodsForDeletion(name)
	if len(errs) > 0 || list == nil {
		return ""
	}
	budgets, err := u.client.kube.PolicyV1().PodDisruptionBudgets("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return ""
	}
	var held []string
	for _, pod := range list.Pods() {
		text := "pod " + pod.Namespace + "/" + pod.Name
		for _, b := range budgets.Items {
			selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
			if err == nil && b.Namespace == pod.Namespace && b.Status.DisruptionsAllowed == 0 && selector.Matches(labels.Set(pod.Labels)) {
				text += fmt.Sprintf(" (PodDisruptionBudget %s allows no disruption: %d of %d healthy, %d wanted)",
					b.Name, b.Status.CurrentHealthy, b.Status.ExpectedPods, b.Status.DesiredHealthy)
			}
		}
		held = append(held, text)
	}
	if len(held) == 0 {
		return ""
	}
	return ": still there: " + strings.Join(held, ", ")
}
