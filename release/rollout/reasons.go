package rollout

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
)

const (
	// reasonsTimeout bounds the search for reasons; an error message must not wait for a sick cluster.
	reasonsTimeout = 20 * time.Second
	maxPods        = 20 // pods that are looked at, of those that are not ready
	maxEvents      = 3
	logTail        = 5 // lines
	maxText        = 400
)

// reasons collects what the cluster says about why an object is not ready. What
// cannot be read is left out.
func (c *client) reasons(ctx context.Context, obj *unstructured.Unstructured) []string {
	// The wait may have ended because ctx did.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reasonsTimeout)
	defer cancel()
	all := c.workloadReasons(ctx, obj)
	if len(all) == 0 || obj.GetKind() != "Deployment" {
		all = append(all, conditionReasons(obj)...)
	}
	return append(all, c.warnings(ctx, obj.GetNamespace(), obj.GetKind(), obj.GetName())...)
}

// workloadReasons tells why the pods of a workload are not ready. They mostly
// fail alike; what one has told is only counted for the others.
func (c *client) workloadReasons(ctx context.Context, obj *unstructured.Unstructured) []string {
	var all []string
	told := map[string]bool{}
	alike := 0
	for _, pod := range c.unreadyPods(ctx, obj) {
		reasons := podReasons(&pod)
		key := strings.Join(reasons, "; ")
		if told[key] {
			alike++
			continue
		}
		told[key] = true
		for _, reason := range reasons {
			all = append(all, podName(&pod)+": "+reason)
		}
		for _, st := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
			if log := c.logOf(ctx, &pod, st); log != "" {
				all = append(all, fmt.Sprintf("the log of its container %s ends with %q", st.Name, log))
			}
		}
		for _, w := range c.warnings(ctx, pod.Namespace, "Pod", pod.Name) {
			if len(reasons) == 0 || !repeats(w) {
				all = append(all, w)
			}
		}
	}
	if alike > 0 {
		all = append(all, fmt.Sprintf("%d more pods are in the same state", alike))
	}
	return all
}

// repeats tells events that only say what the pod's status says as well.
func repeats(warning string) bool {
	for _, reason := range []string{"Failed", "BackOff", "FailedScheduling"} {
		if strings.HasPrefix(warning, "event: "+reason+":") {
			return true
		}
	}
	return false
}

func podName(pod *corev1.Pod) string {
	if pod.Spec.NodeName == "" {
		return "pod " + pod.Name
	}
	return "pod " + pod.Name + " on node " + pod.Spec.NodeName
}

// conditionReasons tells the conditions of an object that are not as they
// should be, whatever its kind.
func conditionReasons(obj *unstructured.Unstructured) []string {
	conditions, _, _ := unstructured.NestedSlice(obj.Object, "status", "conditions")
	var all []string
	for _, entry := range conditions {
		c, ok := entry.(map[string]any)
		if !ok {
			continue
		}
		text := func(field string) string { s, _ := c[field].(string); return s }
		// Most conditions are good when True; these are the others.
		bad := text("status") == "False"
		if slices.Contains([]string{"ReplicaFailure", "Failed", "FailureTarget", "Terminating", "NonStructuralSchema"}, text("type")) {
			bad = text("status") == "True"
		}
		if bad {
			all = append(all, sentence(fmt.Sprintf("condition %s is %s", text("type"), text("status")), text("reason"), text("message")))
		}
	}
	return all
}

// unreadyPods finds the pods of a workload that are not ready, newest first.
func (c *client) unreadyPods(ctx context.Context, obj *unstructured.Unstructured) []corev1.Pod {
	options := metav1.ListOptions{}
	switch obj.GetKind() {
	case "Pod":
		options.FieldSelector = fields.OneTermEqualSelector("metadata.name", obj.GetName()).String()
	case "Deployment", "DaemonSet", "StatefulSet", "Job", "ReplicaSet":
		raw, _, _ := unstructured.NestedMap(obj.Object, "spec", "selector")
		selector, err := labelSelector(raw)
		if err != nil {
			return nil
		}
		options.LabelSelector = selector
	default:
		return nil
	}
	pods, err := c.kube.CoreV1().Pods(obj.GetNamespace()).List(ctx, options)
	if err != nil {
		return nil
	}
	unready := slices.DeleteFunc(pods.Items, func(p corev1.Pod) bool { return podReadiness(&p).Ready })
	slices.SortStableFunc(unready, func(a, b corev1.Pod) int { return b.CreationTimestamp.Compare(a.CreationTimestamp.Time) })
	return unready[:min(len(unready), maxPods)]
}

// podReasons tells from a pod's status why it is not ready.
func podReasons(pod *corev1.Pod) []string {
	var all []string
	if pod.DeletionTimestamp != nil {
		all = append(all, "being deleted")
	}
	if pod.Status.Reason != "" {
		all = append(all, sentence(pod.Status.Reason, pod.Status.Message))
	}
	for _, cond := range pod.Status.Conditions {
		if cond.Type == corev1.PodScheduled && cond.Status == corev1.ConditionFalse {
			all = append(all, sentence(cond.Reason, cond.Message))
		}
	}
	for _, st := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if reason := containerReason(st, hasReadinessProbe(pod, st.Name)); reason != "" {
			all = append(all, "container "+st.Name+": "+reason)
		}
	}
	return all
}

func containerReason(st corev1.ContainerStatus, probed bool) string {
	switch {
	case st.State.Waiting != nil && st.State.Waiting.Reason == "PodInitializing":
		return "" // an init container has the reason
	case st.State.Waiting != nil && st.State.Waiting.Reason == "CrashLoopBackOff" && st.LastTerminationState.Terminated != nil:
		return "CrashLoopBackOff, it ended with " + exitReason(st.LastTerminationState.Terminated)
	case st.State.Waiting != nil:
		w := st.State.Waiting
		return sentence(fmt.Sprintf("%s, image %s", w.Reason, st.Image), "", w.Message)
	case st.State.Terminated != nil && st.State.Terminated.ExitCode != 0:
		return exitReason(st.State.Terminated)
	case st.State.Running != nil && !st.Ready && probed:
		return "it runs, but its readiness probe does not succeed"
	}
	return ""
}

func exitReason(t *corev1.ContainerStateTerminated) string {
	return sentence(fmt.Sprintf("%s, exit code %d", t.Reason, t.ExitCode), "", t.Message)
}

func hasReadinessProbe(pod *corev1.Pod, container string) bool {
	for _, c := range pod.Spec.Containers {
		if c.Name == container {
			return c.ReadinessProbe != nil
		}
	}
	return false
}

// logOf returns the last lines of a container that ended, joined by " | "; ""
// for one that runs for the first time.
func (c *client) logOf(ctx context.Context, pod *corev1.Pod, st corev1.ContainerStatus) string {
	ended := st.State.Terminated != nil && st.State.Terminated.ExitCode != 0
	if !ended && st.LastTerminationState.Terminated == nil {
		return ""
	}
	data, err := c.kube.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{
		Container: st.Name, Previous: !ended, TailLines: ptr.To[int64](logTail), LimitBytes: ptr.To[int64](16 << 10),
	}).DoRaw(ctx)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(bytes.ToValidUTF8(data, []byte("?")))), "\n")
	return sentence(strings.Join(lines[max(0, len(lines)-logTail):], " | "))
}

// warnings returns the last events about an object that are warnings.
func (c *client) warnings(ctx context.Context, namespace, kind, name string) []string {
	if namespace == "" {
		namespace = metav1.NamespaceDefault // where events about cluster-wide objects are kept
	}
	list, err := c.kube.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{
		FieldSelector: fields.Set{"involvedObject.kind": kind, "involvedObject.name": name, "type": corev1.EventTypeWarning}.String(),
		Limit:         500,
	})
	if err != nil {
		return nil
	}
	slices.SortStableFunc(list.Items, func(a, b corev1.Event) int { return eventTime(b).Compare(eventTime(a)) })
	var all []string
	for _, e := range list.Items {
		text := sentence("event", e.Reason, e.Message)
		if !slices.Contains(all, text) {
			all = append(all, text)
		}
		if len(all) == maxEvents {
			break
		}
	}
	return all
}

func eventTime(e corev1.Event) time.Time {
	if e.Series != nil {
		return e.Series.LastObservedTime.Time
	}
	if !e.LastTimestamp.IsZero() {
		return e.LastTimestamp.Time
	}
	return e.EventTime.Time
}

// sentence joins what is not empty by colons, bounded and on one line.
func sentence(parts ...string) string {
	parts = slices.DeleteFunc(parts, func(s string) bool { return s == "" })
	s := strings.Join(strings.Fields(strings.Join(parts, ": ")), " ")
	if r := []rune(s); len(r) > maxText {
		s = string(r[:maxText]) + "…"
	}
	return s
}

func labelSelector(raw map[string]any) (string, error) {
	selector := &metav1.LabelSelector{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(raw, selector); err != nil {
		return "", err
	}
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return "", err
	}
	return s.String(), nil
}
