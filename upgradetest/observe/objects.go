package observe

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	policylisters "k8s.io/client-go/listers/policy/v1"

	"github.com/slipway-release/slipway/upgradetest"
)

// trim drops what nobody here looks at, for there may be thousands of objects.
func trim(obj any) any {
	if m, ok := obj.(metav1.Object); ok {
		m.SetManagedFields(nil)
	}
	if pod, ok := obj.(*corev1.Pod); ok {
		pod.Spec.Volumes, pod.Spec.InitContainers = nil, nil
		for i := range pod.Spec.Containers {
			c := &pod.Spec.Containers[i]
			pod.Spec.Containers[i] = corev1.Container{Name: c.Name, Image: c.Image}
		}
	}
	return obj
}

func (o *Observer) node(before, after any) {
	old, _ := before.(*corev1.Node)
	now, _ := after.(*corev1.Node)
	switch {
	case now == nil && old != nil:
		o.see(upgradetest.LaneNode, old.Name, "gone", "", nil)
	case now == nil:
	case old == nil || nodeState(old) != nodeState(now) || old.Spec.Unschedulable != now.Spec.Unschedulable:
		state, why := nodeReady(now)
		o.see(upgradetest.LaneNode, now.Name, state, why, map[string]string{
			"cordoned": strconv.FormatBool(now.Spec.Unschedulable), "kubelet": now.Status.NodeInfo.KubeletVersion,
		})
	}
}

func nodeState(n *corev1.Node) string {
	state, _ := nodeReady(n)
	return state
}

func nodeReady(n *corev1.Node) (state, why string) {
	for _, c := range n.Status.Conditions {
		if c.Type != corev1.NodeReady {
			continue
		}
		switch c.Status {
		case corev1.ConditionTrue:
			return "Ready", ""
		case corev1.ConditionFalse:
			return "NotReady", c.Reason + ": " + c.Message
		}
		return "Unknown", c.Reason + ": " + c.Message
	}
	return "Unknown", "it has no condition Ready"
}

func name(m metav1.Object) string { return m.GetNamespace() + "/" + m.GetName() }

// killed is the exit code of a process that SIGKILL ended.
const killed = 137

func (o *Observer) pod(before, after any) {
	old, _ := before.(*corev1.Pod)
	now, _ := after.(*corev1.Pod)
	if now == nil {
		if old != nil {
			o.see(upgradetest.LanePod, name(old), "deleted", "on "+old.Spec.NodeName, nil)
		}
		return
	}
	if old == nil || old.UID != now.UID {
		if now.CreationTimestamp.After(o.start) {
			o.see(upgradetest.LanePod, name(now), "started", "on "+now.Spec.NodeName, nil)
		}
		return
	}
	if evicted(now) != "" && evicted(old) == "" {
		budget := o.budgets.of(now)
		detail := evicted(now)
		if budget == "" {
			detail += "; no budget covers it"
		}
		o.see(upgradetest.LanePod, name(now), "evicted", detail, map[string]string{"budget": budget})
	}
	_, mirror := now.Annotations[corev1.MirrorPodAnnotationKey]
	for _, s := range now.Status.ContainerStatuses {
		last := statusOf(old, s.Name)
		ended := s.State.Terminated
		if last.State.Terminated != nil {
			ended = nil // seen
		}
		restarted := s.RestartCount > last.RestartCount
		if restarted && last.State.Terminated == nil {
			ended = s.LastTerminationState.Terminated
		}
		facts := map[string]string{"container": s.Name, "mirror": strconv.FormatBool(mirror)}
		if ended != nil {
			facts["exitCode"] = strconv.Itoa(int(ended.ExitCode))
			if ended.ExitCode == killed || ended.Reason == "OOMKilled" {
				o.see(upgradetest.LanePod, name(now), "killed", fmt.Sprintf("container %q on %s ended with %d, %s", s.Name, now.Spec.NodeName, ended.ExitCode, ended.Reason), facts)
			}
		}
		if restarted {
			detail := fmt.Sprintf("container %q on %s was started for the %d. time", s.Name, now.Spec.NodeName, s.RestartCount+1)
			if t := s.LastTerminationState.Terminated; t != nil {
				facts["exitCode"] = strconv.Itoa(int(t.ExitCode))
				detail += fmt.Sprintf(" after exit code %d, %s", t.ExitCode, t.Reason)
			}
			o.see(upgradetest.LanePod, name(now), "restarted", detail, facts)
		}
	}
}

func statusOf(pod *corev1.Pod, container string) corev1.ContainerStatus {
	i := slices.IndexFunc(pod.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool { return s.Name == container })
	if i < 0 {
		return corev1.ContainerStatus{}
	}
	return pod.Status.ContainerStatuses[i]
}

// evicted says by whom a pod is being put off its node, or nothing.
func evicted(pod *corev1.Pod) string {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue {
			return c.Reason
		}
	}
	if pod.Status.Reason == "Evicted" {
		return pod.Status.Message
	}
	return ""
}

// budgets finds what protects a pod.
type budgets struct {
	lister policylisters.PodDisruptionBudgetLister
}

func (b budgets) of(pod *corev1.Pod) string {
	all, err := b.lister.PodDisruptionBudgets(pod.Namespace).List(labels.Everything())
	if err != nil {
		return ""
	}
	for _, budget := range all {
		selector, err := metav1.LabelSelectorAsSelector(budget.Spec.Selector)
		if err == nil && selector.Matches(labels.Set(pod.Labels)) {
			return budget.Name
		}
	}
	return ""
}

// workload is what Deployments, DaemonSets and StatefulSets have in common. Ready
// replicas count, as for the services and budgets before them. That a controller calls
// one available only after minReadySeconds paces its own rollout: a drain does not wait
// for it.
type workload struct {
	kind, name      string
	generation      int64
	replicas, ready int32
	images          string
}

func (o *Observer) deployment(before, after any) {
	of := func(obj any) *workload {
		d, ok := obj.(*appsv1.Deployment)
		if !ok {
			return nil
		}
		w := &workload{"deployment", name(d), d.Generation, 1, d.Status.ReadyReplicas, images(d.Spec.Template)}
		if d.Spec.Replicas != nil {
			w.replicas = *d.Spec.Replicas
		}
		return w
	}
	o.workload(of(before), of(after))
}

func (o *Observer) daemonSet(before, after any) {
	of := func(obj any) *workload {
		d, ok := obj.(*appsv1.DaemonSet)
		if !ok {
			return nil
		}
		return &workload{"daemonset", name(d), d.Generation, d.Status.DesiredNumberScheduled, d.Status.NumberReady, images(d.Spec.Template)}
	}
	o.workload(of(before), of(after))
}

func (o *Observer) statefulSet(before, after any) {
	of := func(obj any) *workload {
		s, ok := obj.(*appsv1.StatefulSet)
		if !ok {
			return nil
		}
		w := &workload{"statefulset", name(s), s.Generation, 1, s.Status.ReadyReplicas, images(s.Spec.Template)}
		if s.Spec.Replicas != nil {
			w.replicas = *s.Spec.Replicas
		}
		return w
	}
	o.workload(of(before), of(after))
}

func images(t corev1.PodTemplateSpec) string {
	var out []string
	for _, c := range t.Spec.Containers {
		out = append(out, c.Image)
	}
	return strings.Join(out, " ")
}

func (w *workload) up() bool { return w.ready > 0 || w.replicas == 0 }

func (o *Observer) workload(old, now *workload) {
	if now == nil {
		if old != nil {
			o.see(upgradetest.LaneWorkload, old.kind+" "+old.name, "gone", "", nil)
		}
		return
	}
	object := now.kind + " " + now.name
	facts := map[string]string{
		"generation": strconv.FormatInt(now.generation, 10), "replicas": strconv.Itoa(int(now.replicas)), "images": now.images,
	}
	if old == nil {
		state := "available"
		if !now.up() {
			state = "unavailable"
		}
		o.see(upgradetest.LaneWorkload, object, state, "", facts)
		return
	}
	if now.generation != old.generation {
		detail := fmt.Sprintf("generation %d", now.generation)
		if now.images != old.images {
			detail += ", images " + now.images
		}
		// Beside the object's states, for a change is none.
		o.see(upgradetest.LaneWorkload, object+" (spec)", "changed", detail, facts)
	}
	if now.up() != old.up() {
		state := "available"
		if !now.up() {
			state = "unavailable"
		}
		o.see(upgradetest.LaneWorkload, object, state, fmt.Sprintf("%d of %d replicas ready", now.ready, now.replicas), facts)
	}
}

// repeats is how often an event may come before it is told.
const repeats = 20

func (o *Observer) event(before, after any) {
	now, _ := after.(*corev1.Event)
	old, _ := before.(*corev1.Event)
	if now == nil || old == nil || count(now) <= repeats || count(old) > repeats {
		return
	}
	object := now.InvolvedObject
	o.see(upgradetest.LaneEvent, object.Kind+" "+object.Namespace+"/"+object.Name, "repeated", fmt.Sprintf("%d times: %s: %s", count(now), now.Reason, now.Message), nil)
}

func count(e *corev1.Event) int32 {
	if e.Series != nil {
		return max(e.Count, e.Series.Count)
	}
	return e.Count
}

// lease sees by the identity in its Lease that an API server has been started.
func (o *Observer) lease(before, after any) {
	old, _ := before.(*coordinationv1.Lease)
	now, _ := after.(*coordinationv1.Lease)
	if now == nil || now.Namespace != metav1.NamespaceSystem || now.Labels["apiserver.kubernetes.io/identity"] != "kube-apiserver" {
		return
	}
	if old != nil && holder(old) != holder(now) {
		o.see(upgradetest.LaneAPIServer, now.Labels[corev1.LabelHostname], "started", "identity "+holder(now), nil)
	}
}

func holder(l *coordinationv1.Lease) string {
	if l.Spec.HolderIdentity == nil {
		return ""
	}
	return *l.Spec.HolderIdentity
}
