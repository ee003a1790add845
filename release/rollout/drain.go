package rollout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/kubectl/pkg/drain"
	"k8s.io/kubectl/pkg/util/podutils"

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
		err = u.evict(ctx, s)
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

// evict evicts the pods of the node one after the other, each when the place of the one
// before is filled. Evicted all at once, as kubectl drain does it, they start elsewhere all
// at once, and on a small host everything else then waits for seconds, writes to etcd first.
func (u *upgrade) evict(ctx context.Context, s Step) error {
	helper := u.drainHelper(ctx, s)
	list, errs := helper.GetPodsForDeletion(s.Node)
	if len(errs) > 0 {
		return utilerrors.NewAggregate(errs)
	}
	pods := list.Pods()
	failures := make([]error, len(pods))
	var all sync.WaitGroup
	for i, pod := range pods {
		all.Go(func() { failures[i] = helper.DeleteOrEvictPods([]corev1.Pod{pod}) })
		if i < len(pods)-1 {
			// What a budget holds back, or what does not come up elsewhere, must not use up
			// the time that the other pods need to end.
			u.awaitReplacement(ctx, pod, min(maxReplacement, u.opts.DrainTimeout/time.Duration(2*len(pods))))
		}
	}
	all.Wait()
	return utilerrors.NewAggregate(failures)
}

// maxReplacement is how long the next pod of a drain waits for the one before to be
// ready elsewhere.
const maxReplacement = 20 * time.Second

// awaitReplacement returns when the pod is evicted and its controller has all replicas
// ready without it, or after limit.
func (u *upgrade) awaitReplacement(ctx context.Context, pod corev1.Pod, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	selector, replicas, ok := u.replicasOf(ctx, pod)
	for ok && clock.Sleep(ctx, u.opts.Interval) == nil {
		list, err := u.client.kube.CoreV1().Pods(pod.Namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
		if err != nil {
			continue
		}
		evicted, ready := true, 0
		for _, p := range list.Items {
			switch {
			case p.DeletionTimestamp != nil:
			case p.UID == pod.UID:
				evicted = false
			case podutils.IsPodReady(&p):
				ready++
			}
		}
		if evicted && ready >= replicas {
			return
		}
	}
}

// replicasOf returns how many pods the pod's controller wants, and the selector of them;
// not of a Job's, say, whose place nothing fills at once.
func (u *upgrade) replicasOf(ctx context.Context, pod corev1.Pod) (selector string, replicas int, ok bool) {
	owner := metav1.GetControllerOf(&pod)
	if owner == nil {
		return "", 0, false
	}
	var scale *autoscalingv1.Scale
	var err error
	switch owner.Kind {
	case "ReplicaSet":
		scale, err = u.client.kube.AppsV1().ReplicaSets(pod.Namespace).GetScale(ctx, owner.Name, metav1.GetOptions{})
	case "StatefulSet":
		scale, err = u.client.kube.AppsV1().StatefulSets(pod.Namespace).GetScale(ctx, owner.Name, metav1.GetOptions{})
	default:
		return "", 0, false
	}
	if err != nil {
		return "", 0, false
	}
	return scale.Status.Selector, int(scale.Spec.Replicas), true
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
