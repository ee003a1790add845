package upgradetest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/klog/v2"
)

// replicas finds a pod to have a stream with: one that is ready and stays.
type replicas struct {
	client   kubernetes.Interface
	selector string
}

func (r replicas) pick(ctx context.Context) (string, error) {
	pods, err := r.client.CoreV1().Pods(Namespace).List(ctx, metav1.ListOptions{LabelSelector: r.selector})
	if err != nil {
		return "", err
	}
	newest := corev1.Pod{}
	for _, pod := range pods.Items {
		if pod.DeletionTimestamp == nil && podReady(pod) && (newest.Name == "" || pod.CreationTimestamp.After(newest.CreationTimestamp.Time)) {
			newest = pod
		}
	}
	if newest.Name == "" {
		return "", fmt.Errorf("none of %d pods %q is ready", len(pods.Items), r.selector)
	}
	return newest.Name, nil
}

func podReady(pod corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// newExecProber keeps `cat` running in a pod, by exec, and sends it lines. Such a
// stream goes through an API server and a kubelet and ends with either, so an end
// is a reconnect; that no other one can be had is a failure.
func newExecProber(config *rest.Config, pods replicas, container string) *echoProber {
	e := &echoProber{mayEnd: true}
	e.link.open = func(ctx context.Context, p *Probe) (*echoStream, error) {
		pod, err := pods.pick(ctx)
		if err != nil {
			return nil, err
		}
		s, err := execCat(ctx, config, pods.client, pod, container)
		if err == nil {
			p.Connect = time.Since(p.Begin)
		}
		return s, err
	}
	return e
}

func execCat(ctx context.Context, config *rest.Config, client kubernetes.Interface, pod, container string) (*echoStream, error) {
	u := client.CoreV1().RESTClient().Post().Resource("pods").Namespace(Namespace).Name(pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: container, Command: []string{"cat"}, Stdin: true, Stdout: true}, scheme.ParameterCodec).URL()
	executor, err := remotecommand.NewWebSocketExecutor(config, http.MethodGet, u.String())
	if err != nil {
		return nil, err
	}
	// What client-go logs of an end is in the sample's detail.
	life, stop := context.WithCancel(klog.NewContext(context.Background(), klog.New(nil)))
	in, toPod := io.Pipe()
	fromPod, out := io.Pipe()
	var ended error
	over := make(chan struct{})
	go func() {
		defer close(over)
		ended = executor.StreamWithContext(life, remotecommand.StreamOptions{Stdin: in, Stdout: out})
		if ended == nil {
			ended = io.EOF
		}
		_ = in.CloseWithError(ended)
		_ = out.CloseWithError(ended)
	}()
	s := newEchoStream(fromPod, toPod, func() { stop(); toPod.Close(); fromPod.Close() }, nil)
	s.server = pod
	// The stream is there when a first line has come back.
	if err := s.roundTrip(ctx, "hello"); err != nil {
		s.close()
		if errors.Is(err, errEnded) {
			<-over
			err = ended
		}
		return nil, err
	}
	return s, nil
}

// TickPrefix begins the lines of the log whose stream is probed; a number follows.
const TickPrefix = "tick "

// logProber follows the log of a pod that writes a numbered line every few
// milliseconds. A probe is answered by the next line. Numbers that never come are
// counted in the ledger.
type logProber struct {
	link[*bodyStream]
	target    HTTPTarget
	rt        http.RoundTripper
	base      *url.URL
	pods      replicas
	container string

	mu      sync.Mutex
	pod     string
	last    int64 // number of that pod
	lines   int64
	missing int64
	changed chan struct{}
}

func newLogProber(target HTTPTarget, pods replicas, container string) (*logProber, error) {
	p, err := HTTP(Reused, target)
	if err != nil {
		return nil, err
	}
	h := p.(*httpProber)
	l := &logProber{target: target, rt: h.rt, base: h.url, pods: pods, container: container, changed: make(chan struct{})}
	l.link.open = l.begin
	return l, nil
}

// Probe implements Prober.
func (l *logProber) Probe(ctx context.Context, p *Probe) {
	l.mu.Lock()
	before := l.lines
	l.mu.Unlock()
	l.link.probe(ctx, p, true, func(ctx context.Context, s *bodyStream) error {
		p.Server = l.name()
		for {
			l.mu.Lock()
			lines, changed := l.lines, l.changed
			l.mu.Unlock()
			if lines > before {
				return nil
			}
			select {
			case <-changed:
			case <-s.done:
				return errEnded
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
}

func (l *logProber) name() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pod
}

// resumeLines is how far a stream to the same pod reaches back, to find what was
// written while there was none.
const resumeLines = 2000

func (l *logProber) begin(ctx context.Context, p *Probe) (*bodyStream, error) {
	pod, err := l.pods.pick(ctx)
	if err != nil {
		return nil, err
	}
	tail := 1
	l.mu.Lock()
	if pod == l.pod {
		tail = resumeLines
	} else {
		l.pod, l.last = pod, 0
	}
	l.mu.Unlock()
	u := *l.base
	u.Path = strings.TrimSuffix(u.Path, "/") + "/api/v1/namespaces/" + Namespace + "/pods/" + pod + "/log"
	u.RawQuery = url.Values{"container": {l.container}, "follow": {"true"}, "tailLines": {strconv.Itoa(tail)}}.Encode()
	return openBody(ctx, l.target, l.rt, &u, p, func(in io.Reader) error { return l.read(in, pod) })
}

func (l *logProber) read(in io.Reader, pod string) error {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		n, err := strconv.ParseInt(strings.TrimPrefix(lines.Text(), TickPrefix), 10, 64)
		if err != nil {
			continue
		}
		l.mu.Lock()
		if l.pod == pod && n > l.last {
			if l.last > 0 {
				l.missing += n - l.last - 1
			}
			l.last = n
			l.lines++
			close(l.changed)
			l.changed = make(chan struct{})
		}
		l.mu.Unlock()
	}
	return lines.Err()
}

// settle implements keeper.
func (l *logProber) settle(context.Context) Ledger {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Ledger{Acknowledged: int(l.lines + l.missing), Missing: int(l.missing)}
}

// Close implements Prober.
func (l *logProber) Close() { l.link.close() }
