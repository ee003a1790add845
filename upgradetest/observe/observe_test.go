package observe

import (
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	policylisters "k8s.io/client-go/listers/policy/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/slipway-release/slipway/upgradetest"
)

// seen is a sink that keeps lines.
type seen []string

func (s *seen) Event(e upgradetest.Event) {
	*s = append(*s, fmt.Sprintf("%s %s %s", e.Lane, e.Object, e.State))
}

func (s *seen) Skip(what ...string) { *s = append(*s, what...) }

func observer(budgetsThere ...*policyv1.PodDisruptionBudget) (*Observer, *seen) {
	index := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	for _, b := range budgetsThere {
		_ = index.Add(b)
	}
	s := &seen{}
	return &Observer{sink: s, start: time.Now(), budgets: budgets{policylisters.NewPodDisruptionBudgetLister(index)}}, s
}

func check(t *testing.T, s *seen, want ...string) {
	t.Helper()
	if got := strings.Join(*s, "; "); got != strings.Join(want, "; ") {
		t.Errorf("seen %q, want %q", got, want)
	}
	*s = nil
}

func TestNode(t *testing.T) {
	node := func(ready corev1.ConditionStatus, cordoned bool) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "w1"}, Spec: corev1.NodeSpec{Unschedulable: cordoned},
			Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready, LastHeartbeatTime: metav1.Now()}}}}
	}
	o, s := observer()
	o.node(nil, node(corev1.ConditionTrue, false))
	check(t, s, "node w1 Ready")
	o.node(node(corev1.ConditionTrue, false), node(corev1.ConditionTrue, false))
	check(t, s)
	o.node(node(corev1.ConditionTrue, false), node(corev1.ConditionTrue, true))
	check(t, s, "node w1 Ready")
	o.node(node(corev1.ConditionTrue, true), node(corev1.ConditionUnknown, true))
	check(t, s, "node w1 Unknown")
	o.node(node(corev1.ConditionUnknown, true), nil)
	check(t, s, "node w1 gone")
}

func pod(change func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "b", UID: "1", Labels: map[string]string{"app": "b"}}, Spec: corev1.PodSpec{NodeName: "w1"}}
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "c"}}
	if change != nil {
		change(p)
	}
	return p
}

func TestPod(t *testing.T) {
	ended := func(code int32) *corev1.ContainerStateTerminated {
		return &corev1.ContainerStateTerminated{ExitCode: code, Reason: "Error"}
	}
	evicted := pod(func(p *corev1.Pod) {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "EvictionByEvictionAPI"}}
	})
	o, s := observer()
	o.pod(nil, pod(nil))
	check(t, s) // it was there before
	o.pod(nil, pod(func(p *corev1.Pod) { p.CreationTimestamp = metav1.NewTime(time.Now().Add(time.Minute)) }))
	check(t, s, "pod a/b started")
	o.pod(pod(nil), evicted)
	check(t, s, "pod a/b evicted")
	o.pod(evicted, evicted)
	check(t, s)
	o.pod(pod(nil), pod(func(p *corev1.Pod) {
		p.Status.ContainerStatuses[0].RestartCount = 1
		p.Status.ContainerStatuses[0].LastTerminationState.Terminated = ended(1)
	}))
	check(t, s, "pod a/b restarted")
	o.pod(pod(nil), pod(func(p *corev1.Pod) {
		p.Status.ContainerStatuses[0].RestartCount = 1
		p.Status.ContainerStatuses[0].LastTerminationState.Terminated = ended(killed)
	}))
	check(t, s, "pod a/b killed", "pod a/b restarted")
	over := pod(func(p *corev1.Pod) { p.Status.ContainerStatuses[0].State.Terminated = ended(killed) })
	o.pod(pod(nil), over)
	check(t, s, "pod a/b killed")
	o.pod(over, pod(func(p *corev1.Pod) {
		p.Status.ContainerStatuses[0].RestartCount = 1
		p.Status.ContainerStatuses[0].LastTerminationState.Terminated = ended(killed)
	}))
	check(t, s, "pod a/b restarted") // killed was told before
	o.pod(pod(nil), nil)
	check(t, s, "pod a/b deleted")
}

func TestBudgetsProtect(t *testing.T) {
	budget := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "keep"},
		Spec: policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "b"}}}}
	o, _ := observer(budget)
	if got := o.budgets.of(pod(nil)); got != "keep" {
		t.Errorf("budget %q", got)
	}
	if got := o.budgets.of(pod(func(p *corev1.Pod) { p.Namespace = "other" })); got != "" {
		t.Errorf("budget %q of another namespace", got)
	}
	if got := o.budgets.of(pod(func(p *corev1.Pod) { p.Labels = nil })); got != "" {
		t.Errorf("budget %q of other pods", got)
	}
}

func TestWorkloads(t *testing.T) {
	deployment := func(generation int64, ready int32, image string) *appsv1.Deployment {
		two := int32(2)
		d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "b", Generation: generation}, Spec: appsv1.DeploymentSpec{Replicas: &two}}
		d.Spec.Template.Spec.Containers = []corev1.Container{{Image: image}}
		// None is available yet: minReadySeconds have not passed.
		d.Status.ReadyReplicas = ready
		return d
	}
	o, s := observer()
	o.deployment(nil, deployment(1, 2, "i1"))
	check(t, s, "workload deployment a/b available")
	o.deployment(deployment(1, 2, "i1"), deployment(2, 1, "i2"))
	check(t, s, "workload deployment a/b (spec) changed")
	o.deployment(deployment(2, 1, "i2"), deployment(2, 0, "i2"))
	check(t, s, "workload deployment a/b unavailable")
	o.deployment(deployment(2, 0, "i2"), deployment(2, 1, "i2"))
	check(t, s, "workload deployment a/b available")
	o.deployment(deployment(2, 1, "i2"), nil)
	check(t, s, "workload deployment a/b gone")
}

func TestEventsAndLeases(t *testing.T) {
	event := func(n int32) *corev1.Event {
		return &corev1.Event{InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "a", Name: "b"}, Reason: "BackOff", Count: n}
	}
	o, s := observer()
	o.event(event(19), event(20))
	check(t, s)
	o.event(event(20), event(21))
	check(t, s, "event Pod a/b repeated")
	o.event(event(21), event(22))
	check(t, s)
	o.event(nil, event(100)) // from before
	check(t, s)
	lease := func(identity string) *coordinationv1.Lease {
		return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "apiserver-x",
			Labels: map[string]string{"apiserver.kubernetes.io/identity": "kube-apiserver", "kubernetes.io/hostname": "cp1"}},
			Spec: coordinationv1.LeaseSpec{HolderIdentity: &identity}}
	}
	o.lease(lease("1"), lease("1"))
	check(t, s)
	o.lease(lease("1"), lease("2"))
	check(t, s, "apiserver cp1 started")
}

const metrics = `# HELP etcd_server_has_leader Whether or not a leader exists.
etcd_server_has_leader 1
etcd_server_is_leader 0
etcd_server_leader_changes_seen_total 3
etcd_disk_wal_fsync_duration_seconds_bucket{le="0.512"} 90
etcd_disk_wal_fsync_duration_seconds_bucket{le="1.024"} 98
etcd_disk_wal_fsync_duration_seconds_count 100
`

func TestEtcd(t *testing.T) {
	m, err := parseMetrics([]byte(metrics))
	if err != nil || *m != (member{hasLeader: true, changes: 3, slow: 2}) {
		t.Fatalf("%+v, %v", m, err)
	}
	if _, err := parseMetrics([]byte("<html>no metrics</html>")); err == nil {
		t.Error("a page was taken for metrics")
	}
	o, s := observer()
	o.compare("cp1", nil, m)
	check(t, s, "etcd cp1 follower")
	o.compare("cp1", m, m)
	check(t, s)
	o.compare("cp1", m, &member{changes: 4, slow: 2})
	check(t, s, "etcd cp1 no-leader")
	o.compare("cp1", m, &member{hasLeader: true, leader: true, changes: 4, slow: 5})
	check(t, s, "etcd cp1 leader", "etcd cp1 disk slow-fsync")
	o.compare("cp1", m, &member{hasLeader: true}) // started anew
	check(t, s)
}

func FuzzMetrics(f *testing.F) {
	f.Add([]byte(metrics))
	f.Add([]byte("etcd_server_has_leader 1\netcd_disk_wal_fsync_duration_seconds_count 1e300\netcd_server_leader_changes_seen_total -Inf\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, err := parseMetrics(data); err == nil && (m.slow < 0) {
			t.Errorf("%+v", m)
		}
	})
}
