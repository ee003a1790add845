package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func workloadSpecs() []spec {
	return []spec{
		{group: "Workloads", name: "a job runs to its completions and retries what fails", objects: jobObjects, run: completesJob},
		{group: "Workloads", name: "a daemon set runs on every node", objects: daemonObjects, run: coversNodes},
		{group: "Workloads", name: "a stateful set gives its pods lasting names, in order", objects: statefulObjects, run: keepsNames},
		{group: "Workloads", name: "a deployment is updated without a gap, and rolled back", objects: rollingObjects, run: rollsWithoutGap},
	}
}

func jobObjects(e *env) []runtime.Object {
	indexed := batchv1.IndexedCompletion
	template := e.podSpec()
	shell(`if [ "$JOB_COMPLETION_INDEX" = 1 ] && ! [ -e /state/tried ]; then touch /state/tried; exit 1; fi; echo index $JOB_COMPLETION_INDEX`)(&template)
	volume("state", "/state", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}})(&template)
	template.RestartPolicy = corev1.RestartPolicyOnFailure
	return objects(&batchv1.Job{ObjectMeta: meta("work"), Spec: batchv1.JobSpec{
		Completions: new(int32(3)), Parallelism: new(int32(2)), CompletionMode: &indexed, BackoffLimit: new(int32(4)),
		Template: corev1.PodTemplateSpec{Spec: template},
	}})
}

func completesJob(ctx context.Context, e *env) {
	Eventually(ctx, func(g Gomega) {
		job, err := e.api().BatchV1().Jobs(e.namespace).Get(ctx, "work", metav1.GetOptions{})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(job.Status.Succeeded).To(BeEquivalentTo(3), "status %+v", job.Status)
		g.Expect(slices.ContainsFunc(job.Status.Conditions, func(c batchv1.JobCondition) bool {
			return c.Type == batchv1.JobComplete && c.Status == corev1.ConditionTrue
		})).To(BeTrue(), "status %+v", job.Status)
		g.Expect(job.Status.CompletedIndexes).To(Equal("0-2"))
	}).Should(Succeed())
	pods, err := e.api().CoreV1().Pods(e.namespace).List(ctx, metav1.ListOptions{LabelSelector: "job-name=work"})
	Expect(err).NotTo(HaveOccurred())
	restarts := int32(0)
	for _, p := range pods.Items {
		Expect(p.Status.Phase).To(Equal(corev1.PodSucceeded), "pod %s: %s", p.Name, describe(&p))
		restarts += p.Status.ContainerStatuses[0].RestartCount
	}
	// A container that the runtime could not start at first, as happens on busy hosts, counts
	// as restarted too.
	Expect(restarts).To(BeNumerically(">=", 1), "restarts of the container that failed once")
}

func daemonObjects(e *env) []runtime.Object {
	template := e.podSpec()
	template.Tolerations = everywhere()
	return objects(&appsv1.DaemonSet{ObjectMeta: meta("agent"), Spec: appsv1.DaemonSetSpec{
		Selector: &metav1.LabelSelector{MatchLabels: meta("agent").Labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: meta("agent").Labels}, Spec: template},
	}})
}

func coversNodes(ctx context.Context, e *env) {
	nodes := e.nodes(ctx)
	var where, want []string
	for _, p := range e.readyPods(ctx, "agent", len(nodes)) {
		where = append(where, p.Spec.NodeName)
	}
	for _, n := range nodes {
		want = append(want, n.Name)
	}
	slices.Sort(where)
	Expect(where).To(Equal(want))
}

func statefulObjects(e *env) []runtime.Object {
	return objects(service("db", headless), &appsv1.StatefulSet{ObjectMeta: meta("db"), Spec: appsv1.StatefulSetSpec{
		ServiceName: "db", Replicas: new(int32(2)), Selector: &metav1.LabelSelector{MatchLabels: meta("db").Labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: meta("db").Labels}, Spec: e.podSpec()},
	}})
}

func keepsNames(ctx context.Context, e *env) {
	pods := e.readyPods(ctx, "db", 2)
	Expect(names(pods)).To(Equal([]string{"db-0", "db-1"}))
	first, err := e.getPod(ctx, "db-0")
	Expect(err).NotTo(HaveOccurred())
	second, err := e.getPod(ctx, "db-1")
	Expect(err).NotTo(HaveOccurred())
	Expect(first.CreationTimestamp.After(second.CreationTimestamp.Time)).To(BeFalse(), "db-1 was made before db-0")

	Expect(e.api().CoreV1().Pods(e.namespace).Delete(ctx, "db-1", metav1.DeleteOptions{})).To(Succeed())
	var again *corev1.Pod
	Eventually(ctx, func(g Gomega) {
		var err error
		again, err = e.getPod(ctx, "db-1")
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(again.UID).NotTo(Equal(second.UID))
		g.Expect(isReady(again)).To(BeTrue(), describe(again))
	}).Should(Succeed())
	Eventually(ctx, func() ([]string, error) { return e.lookup(ctx, "db-0", "db-1.db") }).Should(Equal([]string{again.Status.PodIP}))
}

// rollingObjects end slowly enough for every node to hear that they do.
func rollingObjects(e *env) []runtime.Object {
	return objects(service("web"), e.pod("client"), e.deployment("web", 2, func(s *appsv1.DeploymentSpec) {
		zero, one := intstr.FromInt32(0), intstr.FromInt32(1)
		s.Strategy = appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType,
			RollingUpdate: &appsv1.RollingUpdateDeployment{MaxUnavailable: &zero, MaxSurge: &one}}
		s.Template.Spec.TerminationGracePeriodSeconds = new(int64(10))
		s.Template.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: 2}}}
		s.Template.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "GENERATION", Value: "one"}}
	}))
}

func rollsWithoutGap(ctx context.Context, e *env) {
	e.ready(ctx, "client")
	before := names(e.readyPods(ctx, "web", 2))
	e.reaches(ctx, "client", "web", 80, before...)
	watcher := e.watchService(ctx, "client", "web")

	e.setGeneration(ctx, "two")
	after := e.rolledOut(ctx, "two")
	Expect(before).NotTo(ContainElements(after))
	e.setGeneration(ctx, "one")
	e.rolledOut(ctx, "one")
	e.reaches(ctx, "client", "web", 80, names(e.readyPods(ctx, "web", 2))...)

	asked, failed := watcher()
	Expect(failed).To(BeEmpty(), "of %d requests", asked)
	Expect(asked).To(BeNumerically(">", 10))
	sets, err := e.api().AppsV1().ReplicaSets(e.namespace).List(ctx, metav1.ListOptions{LabelSelector: "app=web"})
	Expect(err).NotTo(HaveOccurred())
	Expect(sets.Items).To(HaveLen(2), "going back must use the replica set that was there")
}

// setGeneration changes the pods' template as `kubectl set env` does.
func (e *env) setGeneration(ctx context.Context, value string) {
	patch := fmt.Sprintf(`{"spec":{"template":{"spec":{"containers":[{"name":"main","env":[{"name":"GENERATION","value":%q}]}]}}}}`, value)
	_, err := e.api().AppsV1().Deployments(e.namespace).Patch(ctx, "web", types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{})
	ExpectWithOffset(1, err).NotTo(HaveOccurred())
}

// rolledOut waits until only pods of a generation are left, never fewer than two
// being available, and returns their names.
func (e *env) rolledOut(ctx context.Context, generation string) []string {
	var pods []corev1.Pod
	Eventually(ctx, func(g Gomega) {
		d, err := e.api().AppsV1().Deployments(e.namespace).Get(ctx, "web", metav1.GetOptions{})
		g.Expect(err).NotTo(HaveOccurred())
		if d.Status.AvailableReplicas < 2 {
			now, _ := e.podsOf(ctx, "web") // explains; the failure is certain
			StopTrying(fmt.Sprintf("only %d replicas were available: status %+v: %s", d.Status.AvailableReplicas, d.Status, conditions(now))).Now()
		}
		g.Expect(d.Status.ObservedGeneration).To(Equal(d.Generation))
		g.Expect(d.Status.UpdatedReplicas).To(BeEquivalentTo(2))
		g.Expect(d.Status.Replicas).To(BeEquivalentTo(2))
		pods, err = e.podsOf(ctx, "web")
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(pods).To(HaveLen(2))
		for _, p := range pods {
			g.Expect(p.Spec.Containers[0].Env[0].Value).To(Equal(generation))
		}
	}).Should(Succeed())
	return names(pods)
}

// conditions says since when each of pods is ready or not.
func conditions(pods []corev1.Pod) string {
	var out []string
	for _, p := range pods {
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodReady {
				out = append(out, fmt.Sprintf("pod %s ready %s since %s %s", p.Name, c.Status, c.LastTransitionTime.UTC().Format(time.TimeOnly), c.Message))
			}
		}
	}
	return strings.Join(out, "; ")
}

// watchService asks a service again and again from a pod, until the returned
// function is called, which tells how often and what went wrong.
func (e *env) watchService(ctx context.Context, from, host string) func() (int, []string) {
	ctx, cancel := context.WithCancel(ctx)
	var wait sync.WaitGroup
	asked, failed := 0, []string(nil)
	wait.Go(func() {
		defer ginkgo.GinkgoRecover()
		ticker := time.NewTicker(50 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
			_, err := e.dial(ctx, from, host, 80, 1)
			if ctx.Err() != nil {
				return
			}
			asked++
			if err != nil {
				failed = append(failed, fmt.Sprintf("%s %v", time.Now().UTC().Format(time.RFC3339Nano), err))
			}
		}
	})
	ginkgo.DeferCleanup(cancel)
	return func() (int, []string) {
		cancel()
		wait.Wait()
		return asked, failed
	}
}
