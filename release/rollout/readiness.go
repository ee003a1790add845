package rollout

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
)

// Readiness says whether an object is what its manifest asks for.
type Readiness struct {
	Ready bool
	// Failed means that waiting is in vain: nothing in the cluster will make it ready.
	Failed bool
	// Message says what is missing, e.g. "1 of 3 updated".
	Message string
	// Progress grows on the way to readiness. A crash loop moves it to and fro,
	// so only a new maximum is progress.
	Progress int64
}

func (r Readiness) at(progress ...int32) Readiness {
	for _, p := range progress {
		r.Progress += int64(p)
	}
	return r
}

func ready() Readiness { return Readiness{Ready: true} }

func waiting(format string, args ...any) Readiness {
	return Readiness{Message: fmt.Sprintf(format, args...)}
}

func failed(format string, args ...any) Readiness {
	return Readiness{Failed: true, Message: fmt.Sprintf(format, args...)}
}

// ReadinessOf judges an object as read from the API server. Kinds without a
// notion of readiness are ready as soon as they exist. bindsLate tells whether
// volumes of the named storage class wait for their first consumer; "" is the
// default class.
func ReadinessOf(obj *unstructured.Unstructured, bindsLate func(class string) bool) (Readiness, error) {
	if obj.GetDeletionTimestamp() != nil {
		return waiting("being deleted, held by finalizers %q", obj.GetFinalizers()), nil
	}
	gvk := obj.GroupVersionKind()
	switch gvk.GroupKind() {
	case schema.GroupKind{Group: "apps", Kind: "Deployment"}:
		return judge(obj, deploymentReadiness)
	case schema.GroupKind{Group: "apps", Kind: "DaemonSet"}:
		return judge(obj, daemonSetReadiness)
	case schema.GroupKind{Group: "apps", Kind: "StatefulSet"}:
		return judge(obj, statefulSetReadiness)
	case schema.GroupKind{Group: "batch", Kind: "Job"}:
		return judge(obj, jobReadiness)
	case schema.GroupKind{Kind: "Pod"}:
		return judge(obj, podReadiness)
	case schema.GroupKind{Kind: "Namespace"}:
		return judge(obj, namespaceReadiness)
	case schema.GroupKind{Kind: "PersistentVolumeClaim"}:
		return judge(obj, func(pvc *corev1.PersistentVolumeClaim) Readiness { return claimReadiness(pvc, bindsLate) })
	case schema.GroupKind{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}:
		return judge(obj, crdReadiness)
	case schema.GroupKind{Group: "apiregistration.k8s.io", Kind: "APIService"}:
		return judge(obj, apiServiceReadiness)
	}
	return ready(), nil
}

func judge[T any](obj *unstructured.Unstructured, verdict func(*T) Readiness) (Readiness, error) {
	typed := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(obj.Object, typed); err != nil {
		return Readiness{}, fmt.Errorf("reading %s %q: %w", obj.GetKind(), obj.GetName(), err)
	}
	return verdict(typed), nil
}

func replicas(n *int32) int32 {
	if n == nil {
		return 1
	}
	return *n
}

func deploymentReadiness(d *appsv1.Deployment) Readiness {
	want, st := replicas(d.Spec.Replicas), d.Status
	old := st.Replicas - st.UpdatedReplicas
	switch {
	case d.Generation > st.ObservedGeneration:
		return waiting("its controller has not seen generation %d", d.Generation)
	case d.Spec.Paused:
		return waiting("it is paused")
	}
	for _, c := range st.Conditions {
		if c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue {
			return waiting("%d of %d updated: %s: %s", st.UpdatedReplicas, want, c.Reason, c.Message)
		}
	}
	switch {
	case st.UpdatedReplicas < want:
		return waiting("%d of %d updated", st.UpdatedReplicas, want).at(st.UpdatedReplicas, st.AvailableReplicas, -old)
	case old > 0:
		return waiting("%d old replicas still run", old).at(st.UpdatedReplicas, st.AvailableReplicas, -old)
	case st.AvailableReplicas < want:
		return waiting("%d of %d available", st.AvailableReplicas, want).at(st.UpdatedReplicas, st.AvailableReplicas, -old)
	}
	return ready()
}

func daemonSetReadiness(d *appsv1.DaemonSet) Readiness {
	st := d.Status
	if d.Generation > st.ObservedGeneration {
		return waiting("its controller has not seen generation %d", d.Generation)
	}
	want := st.DesiredNumberScheduled
	if d.Spec.UpdateStrategy.Type != appsv1.OnDeleteDaemonSetStrategyType && st.UpdatedNumberScheduled < want {
		return waiting("%d of %d updated", st.UpdatedNumberScheduled, want).at(st.UpdatedNumberScheduled, st.NumberAvailable)
	}
	if st.NumberAvailable < want {
		return waiting("%d of %d available", st.NumberAvailable, want).at(st.UpdatedNumberScheduled, st.NumberAvailable)
	}
	return ready()
}

func statefulSetReadiness(s *appsv1.StatefulSet) Readiness {
	want, st := replicas(s.Spec.Replicas), s.Status
	if s.Generation > st.ObservedGeneration {
		return waiting("its controller has not seen generation %d", s.Generation)
	}
	if s.Spec.UpdateStrategy.Type != appsv1.OnDeleteStatefulSetStrategyType {
		updated := want
		if r := s.Spec.UpdateStrategy.RollingUpdate; r != nil && r.Partition != nil {
			updated = max(0, want-*r.Partition)
		}
		if st.UpdatedReplicas < updated && st.CurrentRevision != st.UpdateRevision {
			return waiting("%d of %d updated", st.UpdatedReplicas, updated).at(st.UpdatedReplicas, st.AvailableReplicas)
		}
	}
	switch {
	case st.Replicas > want:
		return waiting("%d replicas too many still run", st.Replicas-want).at(want - st.Replicas)
	case st.AvailableReplicas < want:
		return waiting("%d of %d available", st.AvailableReplicas, want).at(st.UpdatedReplicas, st.AvailableReplicas)
	}
	return ready()
}

func jobReadiness(j *batchv1.Job) Readiness {
	for _, c := range j.Status.Conditions {
		if c.Status != corev1.ConditionTrue {
			continue
		}
		switch c.Type {
		case batchv1.JobComplete:
			return ready()
		case batchv1.JobFailed:
			return failed("it failed: %s: %s", c.Reason, c.Message)
		case batchv1.JobSuspended:
			return waiting("it is suspended")
		}
	}
	return waiting("%d of %d completions, %d active, %d failed", j.Status.Succeeded, replicas(j.Spec.Completions), j.Status.Active, j.Status.Failed).at(j.Status.Succeeded)
}

func podReadiness(p *corev1.Pod) Readiness {
	switch p.Status.Phase {
	case corev1.PodSucceeded:
		return ready()
	case corev1.PodFailed:
		return failed("it failed: %s %s", p.Status.Reason, p.Status.Message)
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			return ready()
		}
	}
	return waiting("phase %s, not ready", p.Status.Phase)
}

func namespaceReadiness(n *corev1.Namespace) Readiness {
	if n.Status.Phase == corev1.NamespaceActive {
		return ready()
	}
	return waiting("phase %q", n.Status.Phase)
}

func claimReadiness(c *corev1.PersistentVolumeClaim, bindsLate func(string) bool) Readiness {
	if c.Status.Phase == corev1.ClaimBound {
		return ready()
	}
	class := ""
	if c.Spec.StorageClassName != nil {
		class = *c.Spec.StorageClassName
	}
	if c.Status.Phase == corev1.ClaimPending && bindsLate != nil && bindsLate(class) {
		return ready()
	}
	return waiting("phase %q", c.Status.Phase)
}

func crdReadiness(crd *apiextensionsv1.CustomResourceDefinition) Readiness {
	want := map[apiextensionsv1.CustomResourceDefinitionConditionType]bool{
		apiextensionsv1.NamesAccepted: false, apiextensionsv1.Established: false,
	}
	for _, c := range crd.Status.Conditions {
		if _, ok := want[c.Type]; !ok {
			continue
		}
		want[c.Type] = c.Status == apiextensionsv1.ConditionTrue
		if c.Status == apiextensionsv1.ConditionFalse {
			return waiting("condition %s is False: %s: %s", c.Type, c.Reason, c.Message)
		}
	}
	if !want[apiextensionsv1.NamesAccepted] || !want[apiextensionsv1.Established] {
		return waiting("not established")
	}
	return ready()
}

func apiServiceReadiness(s *apiregistrationv1.APIService) Readiness {
	for _, c := range s.Status.Conditions {
		if c.Type != apiregistrationv1.Available {
			continue
		}
		if c.Status == apiregistrationv1.ConditionTrue {
			return ready()
		}
		return waiting("condition Available is %s: %s: %s", c.Status, c.Reason, c.Message)
	}
	return waiting("not available")
}
