package incluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/slipway-release/slipway/upgradetest"
)

const (
	pullEvery   = time.Second
	pullTimeout = 5 * time.Second
	// lostAfter is when a poller that is gone from the cluster, or does not answer at
	// the end, is given up.
	lostAfter = 20 * time.Second
)

// Collector pulls the samples of the cluster's pollers.
type Collector struct {
	client  kubernetes.Interface
	web     *http.Client
	base    string
	monitor *upgradetest.Monitor
	dir     string
	hertz   float64

	known   map[string]*source // by pod
	service *corev1.Service
	dns     *corev1.Service

	cancel context.CancelFunc
	done   chan struct{}
}

// source is one poller.
type source struct {
	pod        corev1.Pod
	name       string // of its recordings
	generation int
	from       int64
	seen       time.Time // when it last answered
	left       bool      // its pod ends, or is gone
	done       bool      // nothing more comes
}

// Collect begins to run the pollers, at hertz starts a second each backend, and puts
// their samples into folders below samplesDir, where upgradetest.Evaluate finds them.
func Collect(ctx context.Context, config *rest.Config, m *upgradetest.Monitor, samplesDir string, hertz float64) (*Collector, error) {
	config = rest.CopyConfig(config)
	config.Timeout = pullTimeout
	config.QPS, config.Burst = -1, 0
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("starting the pollers: %w", err)
	}
	web, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("starting the pollers: %w", err)
	}
	server, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, fmt.Errorf("starting the pollers: %w", err)
	}
	c := &Collector{
		client: client, web: web, base: strings.TrimSuffix(server.String(), "/"), monitor: m, dir: samplesDir, hertz: hertz,
		known: map[string]*source{}, done: make(chan struct{}),
	}
	if c.service, err = client.CoreV1().Services(upgradetest.Namespace).Get(ctx, "echo", metav1.GetOptions{}); err != nil {
		return nil, fmt.Errorf("starting the pollers: %w", err)
	}
	if c.dns, err = client.CoreV1().Services("kube-system").Get(ctx, "kube-dns", metav1.GetOptions{}); err != nil {
		c.dns = nil // then they do not ask it
	}
	ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go c.run(ctx)
	return c, nil
}

func (c *Collector) run(ctx context.Context) {
	defer close(c.done)
	ticker := time.NewTicker(pullEvery)
	defer ticker.Stop()
	for {
		c.round(ctx, true)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// Stop ends the pollers' recordings and pulls the rest.
func (c *Collector) Stop(ctx context.Context) {
	c.cancel()
	<-c.done
	ctx, cancel := context.WithTimeout(ctx, lostAfter)
	defer cancel()
	for ctx.Err() == nil && !c.round(ctx, false) {
		select {
		case <-time.After(pullEvery / 2):
		case <-ctx.Done():
		}
	}
	for _, s := range c.known {
		if !s.done {
			c.lost(s, "it did not answer at the end")
		}
	}
}

// round looks for pollers and pulls from each once. It reports whether all are done.
func (c *Collector) round(ctx context.Context, going bool) bool {
	if pods, err := c.client.CoreV1().Pods(upgradetest.Namespace).List(ctx, metav1.ListOptions{
		LabelSelector: fmt.Sprintf("app.kubernetes.io/name in (%s,%s)", upgradetest.PollerName, upgradetest.HostPollerName),
	}); err == nil {
		c.update(pods.Items, going)
	}
	targets := map[*source][]Target{} // all of them first: a poller's depend on the others
	for _, s := range c.known {
		switch {
		case s.done:
		case going && !s.left:
			targets[s] = c.targets(s)
		default:
			targets[s] = nil
		}
	}
	var pulls sync.WaitGroup
	for s, of := range targets {
		pulls.Go(func() { c.pullAll(ctx, s, of) })
	}
	pulls.Wait()
	all := true
	for _, s := range c.known {
		if !s.done && s.left && time.Since(s.seen) > lostAfter {
			c.lost(s, "it is gone from the cluster")
		}
		all = all && s.done
	}
	return all
}

func (c *Collector) lost(s *source, why string) {
	s.done = true
	if s.generation > 0 {
		c.monitor.Event(upgradetest.Event{Lane: upgradetest.LanePoller, Object: s.name, State: "lost", Detail: why})
	}
}

func (c *Collector) update(pods []corev1.Pod, going bool) {
	there := map[string]bool{}
	for _, pod := range pods {
		if pod.Status.Phase != corev1.PodRunning || pod.Status.PodIP == "" {
			continue
		}
		there[pod.Name] = true
		s := c.known[pod.Name]
		if s == nil {
			if !going {
				continue
			}
			s = &source{generation: 0, seen: time.Now()}
			c.known[pod.Name] = s
		}
		s.pod = pod
		s.left = pod.DeletionTimestamp != nil
	}
	for name, s := range c.known {
		s.left = s.left || !there[name]
	}
}

// targets are what a poller probes: a pod on the next node, the service, and from the
// pod network DNS, from a node its own port of the service.
func (c *Collector) targets(s *source) []Target {
	host := s.pod.Labels["app.kubernetes.io/name"] == upgradetest.HostPollerName
	from := "pod"
	if host {
		from = "host"
	}
	hostname := func(address string) string { return "http://" + address + "/hostname" }
	var out []Target
	if peer := c.peer(s); peer != "" {
		out = append(out, Target{Name: from + "-to-pod", Connection: upgradetest.New, HTTP: hostname(peer), Hertz: c.hertz})
		if !host {
			out = append(out, Target{Name: from + "-to-pod", Connection: upgradetest.Reused, HTTP: hostname(peer), Hertz: c.hertz})
		}
	}
	out = append(out, Target{Name: from + "-to-service", Connection: upgradetest.New, HTTP: hostname(net.JoinHostPort(c.service.Spec.ClusterIP, "80")), Hertz: c.hertz})
	if host {
		for _, p := range c.service.Spec.Ports {
			if p.Port == 80 && p.NodePort != 0 {
				out = append(out, Target{Name: "host-to-node-port", Connection: upgradetest.New, HTTP: hostname(net.JoinHostPort(s.pod.Status.HostIP, strconv.Itoa(int(p.NodePort)))), Hertz: c.hertz})
			}
		}
	} else if c.dns != nil {
		out = append(out, Target{Name: "pod-to-dns", Connection: upgradetest.New, DNS: net.JoinHostPort(c.dns.Spec.ClusterIP, "53"), Hertz: c.hertz})
	}
	return out
}

// peer is the poller in the pod network of the next node, in the order of names; the
// same one as long as it is there.
func (c *Collector) peer(s *source) string {
	var nodes []string
	address := map[string]string{}
	for _, other := range c.known {
		if !other.left && !other.done && other.pod.Labels["app.kubernetes.io/name"] == upgradetest.PollerName {
			nodes = append(nodes, other.pod.Spec.NodeName)
			address[other.pod.Spec.NodeName] = net.JoinHostPort(other.pod.Status.PodIP, strconv.Itoa(upgradetest.PollerPort))
		}
	}
	slices.Sort(nodes)
	for _, node := range nodes {
		if node > s.pod.Spec.NodeName {
			return address[node]
		}
	}
	if len(nodes) > 0 && nodes[0] != s.pod.Spec.NodeName {
		return address[nodes[0]]
	}
	return ""
}

// pullAll pulls until nothing more is there now.
func (c *Collector) pullAll(ctx context.Context, s *source, targets []Target) {
	for {
		n, err := c.pull(ctx, s, targets)
		if err != nil || n < maxPull/2 {
			return
		}
	}
}

func (c *Collector) pull(ctx context.Context, s *source, targets []Target) (int, error) {
	ask := max(s.generation, 1)
	body, err := json.Marshal(pull{Generation: ask, From: s.from, Targets: targets})
	if err != nil {
		return 0, err
	}
	port := upgradetest.PollerPort
	if s.pod.Labels["app.kubernetes.io/name"] == upgradetest.HostPollerName {
		port = upgradetest.HostPollerPort
	}
	target := fmt.Sprintf("%s/api/v1/namespaces/%s/pods/%s:%d/proxy%s", c.base, upgradetest.Namespace, s.pod.Name, port, pullPath)
	ctx, cancel := context.WithTimeout(ctx, pullTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	sent := time.Now()
	resp, err := c.web.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	took := time.Since(sent)
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxPull+1))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, data)
	}
	if err != nil {
		return 0, err
	}
	return len(data), c.take(s, ask, data, resp.Header, sent, took)
}

func (c *Collector) take(s *source, generation int, data []byte, h http.Header, sent time.Time, took time.Duration) error {
	s.seen = time.Now()
	if newest, err := strconv.Atoi(h.Get(headerGeneration)); err != nil || newest == 0 {
		// It has measured nothing, so nothing more comes of one that leaves.
		s.done = s.left
		return nil
	}
	if s.generation == 0 || (s.from == 0 && len(data) > 0) {
		s.generation = generation
		s.name = fmt.Sprintf("%s-%s-%d", s.pod.Spec.NodeName, s.pod.Name, generation)
		facts := map[string]string{}
		if now, err := strconv.ParseInt(h.Get(headerNow), 10, 64); err == nil {
			offset := time.Unix(0, now).Sub(sent.Add(took / 2))
			facts["clockOffsetMs"] = strconv.FormatFloat(offset.Seconds()*1000, 'f', 3, 64)
			facts["roundTripMs"] = strconv.FormatFloat(took.Seconds()*1000, 'f', 3, 64)
		}
		c.monitor.Event(upgradetest.Event{Lane: upgradetest.LanePoller, Object: s.name, State: "started", Facts: facts})
	}
	if err := appendTo(filepath.Join(c.dir, s.name), data); err != nil {
		return err
	}
	s.from += int64(len(data))
	if h.Get(headerComplete) == "true" && len(data) == 0 {
		c.monitor.Event(upgradetest.Event{Lane: upgradetest.LanePoller, Object: s.name, State: "stopped"})
		newest, _ := strconv.Atoi(h.Get(headerGeneration))
		if newest > generation {
			s.generation, s.from = generation+1, 0
		} else {
			s.done = true
		}
	}
	return nil
}

func appendTo(dir string, data []byte) error {
	if len(data) == 0 {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Join(dir, upgradetest.SamplesFile), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	return errors.Join(err, file.Close())
}
