package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/util/exec"
)

// env is what a spec has: a namespace, and the words to talk about what is in it.
// Its methods fail the spec when they cannot do what they are asked.
type env struct {
	cluster   *cluster
	options   Options
	namespace string
}

func (e *env) api() kubernetes.Interface { return e.cluster.client }

func (e *env) agnhost() string { return e.options.Image("agnhost") }

// createNow makes object in the env's namespace.
func (e *env) createNow(ctx context.Context, object runtime.Object) error {
	_, err := e.cluster.create(ctx, e.namespace, object)
	return err
}

func (e *env) create(ctx context.Context, objects ...runtime.Object) {
	for _, o := range objects {
		ExpectWithOffset(1, e.createNow(ctx, o)).To(Succeed())
	}
}

func (e *env) getPod(ctx context.Context, name string) (*corev1.Pod, error) {
	return e.api().CoreV1().Pods(e.namespace).Get(ctx, name, metav1.GetOptions{})
}

// podsOf returns the pods with label app=name that are not on their way out.
func (e *env) podsOf(ctx context.Context, name string) ([]corev1.Pod, error) {
	list, err := e.api().CoreV1().Pods(e.namespace).List(ctx, metav1.ListOptions{LabelSelector: "app=" + name})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil }), nil
}

// ready waits for pods to be ready and returns the last of them.
func (e *env) ready(ctx context.Context, names ...string) *corev1.Pod {
	var pod *corev1.Pod
	for _, name := range names {
		EventuallyWithOffset(1, ctx, func(g Gomega) {
			var err error
			pod, err = e.getPod(ctx, name)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(isReady(pod)).To(BeTrue(), "pod %s: %s", name, describe(pod))
		}).Should(Succeed())
	}
	return pod
}

// readyPods waits until exactly n pods with label app=name are ready.
func (e *env) readyPods(ctx context.Context, name string, n int) []corev1.Pod {
	var pods []corev1.Pod
	EventuallyWithOffset(1, ctx, func(g Gomega) {
		var err error
		pods, err = e.podsOf(ctx, name)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(pods).To(HaveLen(n))
		for i := range pods {
			g.Expect(isReady(&pods[i])).To(BeTrue(), "pod %s: %s", pods[i].Name, describe(&pods[i]))
		}
	}).Should(Succeed())
	return pods
}

func isReady(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// describe says in one line how far a pod is, and why not farther.
func describe(pod *corev1.Pod) string {
	parts := []string{string(pod.Status.Phase) + " on node " + pod.Spec.NodeName}
	for _, c := range pod.Status.Conditions {
		if c.Status != corev1.ConditionTrue && c.Message != "" {
			parts = append(parts, fmt.Sprintf("%s: %s", c.Type, c.Message))
		}
	}
	for _, s := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		switch {
		case s.State.Waiting != nil:
			parts = append(parts, fmt.Sprintf("container %s: %s %s", s.Name, s.State.Waiting.Reason, s.State.Waiting.Message))
		case s.State.Terminated != nil:
			parts = append(parts, fmt.Sprintf("container %s: ended with code %d %s", s.Name, s.State.Terminated.ExitCode, s.State.Terminated.Reason))
		}
	}
	return strings.Join(parts, "; ")
}

// output is what a command in a pod said.
type output struct {
	Stdout, Stderr string
	Code           int
}

// exec runs a command in the main container of a pod. A command that fails is no
// failure of the spec.
func (e *env) exec(ctx context.Context, pod string, stdin io.Reader, command ...string) (output, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	request := e.cluster.client.CoreV1().RESTClient().Post().Resource("pods").Namespace(e.namespace).Name(pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: mainContainer, Command: command, Stdin: stdin != nil, Stdout: true, Stderr: true}, scheme.ParameterCodec)
	executor, err := remotecommand.NewWebSocketExecutor(e.cluster.config, "GET", request.URL().String())
	if err != nil {
		return output{}, err
	}
	var stdout, stderr bytes.Buffer
	err = executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: stdin, Stdout: &stdout, Stderr: &stderr})
	out := output{Stdout: stdout.String(), Stderr: stderr.String()}
	var exit exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		out.Code = exit.ExitStatus()
		err = nil
	}
	return out, err
}

// run runs a command that must succeed, and returns its standard output without
// the last line's end.
func (e *env) run(ctx context.Context, pod string, command ...string) string {
	out, err := e.exec(ctx, pod, nil, command...)
	ExpectWithOffset(1, err).NotTo(HaveOccurred(), "running %q in pod %s", command, pod)
	ExpectWithOffset(1, out.Code).To(BeZero(), "running %q in pod %s: %s", command, pod, out.Stderr)
	return strings.TrimSpace(out.Stdout)
}

// dial lets a netexec pod ask host:port for its hostname over HTTP, tries times, each
// on a new connection, and returns the different answers, sorted.
func (e *env) dial(ctx context.Context, from, host string, port, tries int) ([]string, error) {
	raw, err := e.api().CoreV1().Pods(e.namespace).ProxyGet("http", from, "8080", "/dial", map[string]string{
		"host": host, "port": fmt.Sprint(port), "request": "hostname", "protocol": "http", "tries": fmt.Sprint(tries),
	}).DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking pod %s to reach %s:%d: %w: %s", from, host, port, err, oneLine(string(raw)))
	}
	var answer struct{ Responses, Errors []string }
	if err := json.Unmarshal(raw, &answer); err != nil {
		return nil, fmt.Errorf("reading the answer of pod %s: %w", from, err)
	}
	if len(answer.Errors) > 0 || len(answer.Responses) != tries {
		return nil, fmt.Errorf("reaching %s:%d from pod %s: %d of %d tries were answered: %s", host, port, from, len(answer.Responses), tries, strings.Join(answer.Errors, "; "))
	}
	slices.Sort(answer.Responses)
	return slices.Compact(answer.Responses), nil
}

// reaches waits until all of want, and nothing else, answer at host:port from a pod.
func (e *env) reaches(ctx context.Context, from, host string, port int, want ...string) {
	slices.Sort(want)
	EventuallyWithOffset(1, ctx, func() ([]string, error) {
		return e.dial(ctx, from, host, port, 4*len(want))
	}).Should(Equal(want), "what answers at %s:%d", host, port)
}

// logs reads what a container said, up to 1 MiB.
func (e *env) logs(ctx context.Context, pod string, options corev1.PodLogOptions) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	stream, err := e.api().CoreV1().Pods(e.namespace).GetLogs(pod, &options).Stream(ctx)
	if err != nil {
		return "", err
	}
	defer stream.Close()
	out, err := io.ReadAll(io.LimitReader(stream, 1<<20))
	return string(out), err
}

// nodes returns all nodes, sorted by name.
func (e *env) nodes(ctx context.Context) []corev1.Node {
	list, err := e.api().CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	ExpectWithOffset(1, err).NotTo(HaveOccurred())
	slices.SortFunc(list.Items, func(a, b corev1.Node) int { return strings.Compare(a.Name, b.Name) })
	return list.Items
}

// soon bounds what must not take a spec's whole time.
const soon = 30 * time.Second
