package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
)

func podSpecs() []spec {
	return []spec{
		{group: "Pods", name: "run with their command, environment and identity", run: runsWithEnvironment, objects: environmentObjects},
		{group: "Pods", name: "are started again when they fail, unless told not to", run: restartsFailed, objects: failingObjects},
		{group: "Pods", name: "are restarted by a failing liveness probe", run: restartsUnhealthy, objects: unhealthyObjects},
		{group: "Pods", name: "get time to end in order", run: endsInOrder, objects: endingObjects},
	}
}

func environmentObjects(e *env) []runtime.Object {
	return objects(e.pod("aware", shell(idle), func(s *corev1.PodSpec) {
		field := func(name, path string) corev1.EnvVar {
			return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}}
		}
		s.Containers[0].WorkingDir = "/tmp"
		s.Containers[0].Env = []corev1.EnvVar{
			field("POD", "metadata.name"), field("ADDRESS", "status.podIP"), field("NODE", "spec.nodeName"),
			{Name: "GREETING", Value: "hello from $(POD)"},
		}
	}))
}

func runsWithEnvironment(ctx context.Context, e *env) {
	pod := e.ready(ctx, "aware")
	said := e.run(ctx, "aware", "sh", "-c", `echo "$POD|$ADDRESS|$NODE|$GREETING|$(hostname)|$(pwd)"`)
	Expect(said).To(Equal(strings.Join([]string{"aware", pod.Status.PodIP, pod.Spec.NodeName, "hello from aware", "aware", "/tmp"}, "|")))
}

func failingObjects(e *env) []runtime.Object {
	once := `if [ -e /state/seen ]; then ` + idle + `; fi; touch /state/seen; echo giving up; exit 7`
	return objects(
		e.pod("again", shell(once), volume("state", "/state", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}})),
		e.pod("never", shell("exit 3"), never),
		e.pod("done", shell("exit 0"), never),
	)
}

func restartsFailed(ctx context.Context, e *env) {
	Eventually(ctx, func(g Gomega) {
		pod, err := e.getPod(ctx, "again")
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(isReady(pod)).To(BeTrue(), describe(pod))
		status := pod.Status.ContainerStatuses[0]
		g.Expect(status.RestartCount).To(BeEquivalentTo(1))
		g.Expect(status.LastTerminationState.Terminated).NotTo(BeNil())
		g.Expect(status.LastTerminationState.Terminated.ExitCode).To(BeEquivalentTo(7))
	}).Should(Succeed())
	for name, want := range map[string]corev1.PodPhase{"never": corev1.PodFailed, "done": corev1.PodSucceeded} {
		Eventually(ctx, func(g Gomega) {
			pod, err := e.getPod(ctx, name)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(pod.Status.Phase).To(Equal(want), describe(pod))
			g.Expect(pod.Status.ContainerStatuses[0].RestartCount).To(BeZero())
		}).Should(Succeed())
	}
}

func unhealthyObjects(e *env) []runtime.Object {
	return objects(e.pod("patient", shell(idle), func(s *corev1.PodSpec) {
		s.Containers[0].LivenessProbe = &corev1.Probe{
			ProbeHandler:  corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"sh", "-c", "! test -e /tmp/sick"}}},
			PeriodSeconds: 1, TimeoutSeconds: 10, FailureThreshold: 1,
		}
	}))
}

func restartsUnhealthy(ctx context.Context, e *env) {
	pod := e.ready(ctx, "patient")
	Expect(pod.Status.ContainerStatuses[0].RestartCount).To(BeZero(), "restarts before anything was wrong")
	e.run(ctx, "patient", "touch", "/tmp/sick")
	Eventually(ctx, func(g Gomega) {
		pod, err := e.getPod(ctx, "patient")
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(pod.Status.ContainerStatuses[0].RestartCount).To(BeEquivalentTo(1))
		g.Expect(isReady(pod)).To(BeTrue(), describe(pod))
	}).Should(Succeed())
}

// endingObjects: netexec ends at once on SIGTERM, so what keeps the pod is its hook. That
// waits for the touch by which it ends, which would be killed with the pod.
func endingObjects(e *env) []runtime.Object {
	return objects(e.pod("leaving", func(s *corev1.PodSpec) {
		s.TerminationGracePeriodSeconds = new(int64(20))
		s.Containers[0].Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{
			Command: []string{"sh", "-c", "while ! test -e /tmp/leave; do sleep 0.2; done; sleep 1"},
		}}}
	}))
}

func endsInOrder(ctx context.Context, e *env) {
	e.ready(ctx, "leaving")
	pods := e.api().CoreV1().Pods(e.namespace)
	Expect(pods.Delete(ctx, "leaving", metav1.DeleteOptions{})).To(Succeed())
	Consistently(ctx, func(g Gomega) {
		out, err := e.exec(ctx, "leaving", nil, "true")
		g.Expect(err).NotTo(HaveOccurred(), "the pod was ended before its time")
		g.Expect(out.Code).To(BeZero())
	}).WithTimeout(time.Second).WithPolling(250 * time.Millisecond).Should(Succeed())
	e.run(ctx, "leaving", "touch", "/tmp/leave")
	Eventually(ctx, func() bool {
		_, err := e.getPod(ctx, "leaving")
		return err != nil && strings.Contains(err.Error(), "not found")
	}).WithTimeout(15*time.Second).Should(BeTrue(), "the pod went on after its hook had ended")
}

func streamSpecs() []spec {
	one := func(name string, change ...func(*corev1.PodSpec)) func(*env) []runtime.Object {
		return func(e *env) []runtime.Object { return objects(e.pod(name, change...)) }
	}
	talk := `if [ -e /state/seen ]; then echo second life; ` + idle + `; fi; touch /state/seen; echo first life; echo oops >&2; exit 1`
	state := volume("state", "/state", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}})
	return []spec{
		{group: "Streams", name: "exec gives both outputs, takes input and tells the exit code", objects: one("target", shell(idle)), run: execs},
		{group: "Streams", name: "logs of this and the previous container", objects: one("talker", shell(talk), state), run: readsLogs},
		{group: "Streams", name: "logs are followed as they come", objects: one("ticker", shell(`while :; do if [ -e /tmp/say ]; then cat /tmp/say; rm /tmp/say; fi; sleep 0.1; done`)), run: followsLogs},
		{group: "Streams", name: "a port is forwarded", objects: one("server"), run: forwardsPort},
	}
}

func execs(ctx context.Context, e *env) {
	e.ready(ctx, "target")
	out, err := e.exec(ctx, "target", nil, "sh", "-c", "echo out; echo err >&2; exit 5")
	Expect(err).NotTo(HaveOccurred())
	Expect(out).To(Equal(output{Stdout: "out\n", Stderr: "err\n", Code: 5}))
	input := strings.Repeat("0123456789abcdef", 4096)
	out, err = e.exec(ctx, "target", strings.NewReader(input), "sh", "-c", "cat; echo done >&2")
	Expect(err).NotTo(HaveOccurred())
	Expect(out.Stdout == input).To(BeTrue(), "%d bytes went in, %d came out", len(input), len(out.Stdout))
	Expect(out.Stderr).To(Equal("done\n"))
}

func readsLogs(ctx context.Context, e *env) {
	Eventually(ctx, func() (string, error) { return e.logs(ctx, "talker", corev1.PodLogOptions{}) }).Should(Equal("second life\n"))
	Eventually(ctx, func() (string, error) { return e.logs(ctx, "talker", corev1.PodLogOptions{Previous: true}) }).
		Should(And(ContainSubstring("first life\n"), ContainSubstring("oops\n"), Not(ContainSubstring("second"))))
	stamped, err := e.logs(ctx, "talker", corev1.PodLogOptions{Timestamps: true})
	Expect(err).NotTo(HaveOccurred())
	at, text, _ := strings.Cut(stamped, " ")
	Expect(text).To(Equal("second life\n"))
	_, err = time.Parse(time.RFC3339Nano, at)
	Expect(err).NotTo(HaveOccurred())
}

func followsLogs(ctx context.Context, e *env) {
	e.ready(ctx, "ticker")
	stream, err := e.api().CoreV1().Pods(e.namespace).GetLogs("ticker", &corev1.PodLogOptions{Follow: true}).Stream(ctx)
	Expect(err).NotTo(HaveOccurred())
	defer stream.Close()
	lines := bufio.NewReader(stream)
	for i := range 3 {
		// A line is only said once the one before has come.
		word := fmt.Sprintf("line %d", i)
		e.run(ctx, "ticker", "sh", "-c", "echo '"+word+"' >/tmp/new && mv /tmp/new /tmp/say")
		line, err := lines.ReadString('\n')
		Expect(err).NotTo(HaveOccurred())
		Expect(line).To(Equal(word + "\n"))
	}
}

func forwardsPort(ctx context.Context, e *env) {
	e.ready(ctx, "server")
	transport, upgrader, err := spdy.RoundTripperFor(e.cluster.config)
	Expect(err).NotTo(HaveOccurred())
	url := e.cluster.client.CoreV1().RESTClient().Post().Resource("pods").Namespace(e.namespace).Name("server").SubResource("portforward").URL()
	overSPDY := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, url)
	overWebSocket, err := portforward.NewSPDYOverWebsocketDialer(url, e.cluster.config)
	Expect(err).NotTo(HaveOccurred())
	dialer := portforward.NewFallbackDialer(overWebSocket, overSPDY, func(error) bool { return true })

	ctx, cancel := context.WithTimeout(ctx, soon)
	defer cancel()
	ready, said := make(chan struct{}), &bytes.Buffer{}
	forwarder, err := portforward.New(dialer, []string{fmt.Sprintf("0:%d", containerPort)}, ctx.Done(), ready, io.Discard, said)
	Expect(err).NotTo(HaveOccurred())
	ended := make(chan error, 1)
	go func() { ended <- forwarder.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-ended:
		Expect(err).NotTo(HaveOccurred(), "forwarding ended before it began: %s", said)
	}
	ports, err := forwarder.GetPorts()
	Expect(err).NotTo(HaveOccurred())
	for range 3 {
		Expect(get(ctx, fmt.Sprintf("http://127.0.0.1:%d/hostname", ports[0].Local))).To(Equal("server"))
	}
	cancel()
	Eventually(ended).WithTimeout(soon).Should(Receive())
}

// get reads what a URL answers, on a connection of its own.
func get(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %s", url, response.Status)
	}
	return string(body), err
}
