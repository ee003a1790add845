package cluster

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/slipway-release/slipway/internal/command"
	"github.com/slipway-release/slipway/internal/engine"
)

const (
	// kubeadmTimeout bounds one call of kubeadm.
	kubeadmTimeout = 6 * time.Minute
	// apiTimeout bounds the wait for an API that was set up.
	apiTimeout = 3 * time.Minute
	// requestTimeout bounds one question to an API server.
	requestTimeout = 5 * time.Second
)

// sharedCertificates are what control planes have in common, relative to /etc/kubernetes.
var sharedCertificates = []string{
	"pki/ca.crt", "pki/ca.key", "pki/front-proxy-ca.crt", "pki/front-proxy-ca.key",
	"pki/sa.pub", "pki/sa.key", "pki/etcd/ca.crt", "pki/etcd/ca.key",
}

// setUpKubernetes runs kubeadm on every node. Control planes join one after the
// other, for each adds a member to etcd; workers join meanwhile.
func (c *Cluster) setUpKubernetes(ctx context.Context, progress Progress) error {
	planes := c.ControlPlanes()
	first := planes[0]
	progress.say("starting the control plane on %s", first.name)
	if err := c.kubeadm(ctx, first, "init", "--config="+kubeadmConfig, "--skip-token-print"); err != nil {
		return err
	}
	if err := c.writeKubeconfig(); err != nil {
		return err
	}
	if len(c.nodes) == 1 {
		// With one node, load balancers must be able to send to it.
		_, err := first.Exec(ctx, nil, "kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", "label", "nodes", "--all",
			"node.kubernetes.io/exclude-from-external-load-balancers-")
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return c.joinControlPlanes(ctx, planes, progress) })
	for _, n := range c.Workers() {
		g.Go(func() error { return c.join(ctx, n) })
	}
	return g.Wait()
}

func (c *Cluster) joinControlPlanes(ctx context.Context, planes []*Node, progress Progress) error {
	first := planes[0]
	certificates, err := first.script(ctx, nil, `tar --create --file=- --directory=/etc/kubernetes "$@"`, sharedCertificates...)
	if err != nil {
		return err
	}
	for _, n := range planes[1:] {
		progress.say("joining %s", n.name)
		if _, err := n.Exec(ctx, bytes.NewReader(certificates), "tar", "--extract", "--file=-", "--directory=/etc/kubernetes"); err != nil {
			return err
		}
		if err := c.join(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) join(ctx context.Context, n *Node) error {
	return c.kubeadm(ctx, n, "join", "--config="+kubeadmConfig)
}

// kubeadm runs kubeadm on a node and logs what it says.
func (c *Cluster) kubeadm(ctx context.Context, n *Node, args ...string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, kubeadmTimeout, fmt.Errorf("kubeadm did not finish in %s", kubeadmTimeout))
	defer cancel()
	fmt.Fprintf(c.manager.log, "%s: kubeadm %s\n", n.name, strings.Join(args, " "))
	out := &prefixWriter{w: c.manager.log, prefix: n.name + ": "}
	defer out.flush()
	argv := append(append([]string{"kubeadm"}, args...), "--v=2")
	if err := n.engine.Exec(ctx, n.name, engine.Streams{Stdout: out, Stderr: out}, argv...); err != nil {
		return fmt.Errorf("running kubeadm on node %q: %w", n.name, kubeadmError(err))
	}
	return nil
}

// kubeadmError keeps of what kubeadm said the line that tells the error; the
// rest is in the log.
func kubeadmError(err error) error {
	var failed *command.Error
	if !errors.As(err, &failed) {
		return err
	}
	for line := range strings.Lines(failed.Output) {
		if reason, found := strings.CutPrefix(line, "error: "); found {
			short := *failed
			short.Output = strings.TrimSpace(reason)
			return &short
		}
	}
	return err
}

// lastLine keeps of what a script said its last line, which tells the reason.
func lastLine(err error) error {
	var failed *command.Error
	if !errors.As(err, &failed) {
		return err
	}
	lines := strings.Split(strings.TrimSpace(failed.Output), "\n")
	short := *failed
	short.Output = lines[len(lines)-1]
	return &short
}

// RestConfig is how this host talks to the cluster's API as its administrator.
func (c *Cluster) RestConfig() (*rest.Config, error) {
	cfg, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig of cluster %q: %w", c.Name, err)
	}
	return cfg, nil
}

// waitAPI waits until every API server is ready, asked on its own node, and the
// cluster's endpoint answers on this host.
func (c *Cluster) waitAPI(ctx context.Context, progress Progress) error {
	progress.say("waiting for the API")
	ctx, cancel := context.WithTimeoutCause(ctx, apiTimeout, fmt.Errorf("the API was not ready after %s", apiTimeout))
	defer cancel()
	g, gctx := errgroup.WithContext(ctx)
	for _, n := range c.ControlPlanes() {
		g.Go(func() error { return n.waitReadyz(gctx) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	cfg, err := c.RestConfig()
	if err != nil {
		return err
	}
	// Whether it answers is all that is asked; the certificate is checked by whoever uses it.
	client := &http.Client{Timeout: requestTimeout, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer client.CloseIdleConnections()
	for {
		status, err := get(ctx, client, cfg.Host+"/readyz")
		if err == nil && status == http.StatusOK {
			return nil
		}
		if waited := pause(ctx, pollInterval); waited != nil {
			return fmt.Errorf("asking the API at %s (status %d, %v): %w", cfg.Host, status, err, waited)
		}
	}
}

func get(ctx context.Context, client *http.Client, url string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	return resp.StatusCode, err
}

// waitReadyz waits until the API server on the node itself is ready.
func (n *Node) waitReadyz(ctx context.Context) error {
	_, err := n.script(ctx, nil, `until curl --silent --fail --insecure --max-time 5 --output /dev/null https://127.0.0.1:$1/readyz; do sleep 0.2; done`,
		fmt.Sprint(apiPort))
	if err != nil {
		return fmt.Errorf("waiting for the API server of node %q: %w", n.name, err)
	}
	return nil
}

// WaitReady waits until every node of the cluster is registered and Ready.
func (c *Cluster) WaitReady(ctx context.Context) error {
	cfg, err := c.RestConfig()
	if err != nil {
		return err
	}
	cfg.Timeout = requestTimeout
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return err
	}
	for {
		waiting, err := notReady(ctx, client, c.nodes)
		if err == nil && len(waiting) == 0 {
			return nil
		}
		if waited := pause(ctx, pollInterval); waited != nil {
			return fmt.Errorf("waiting for the nodes of cluster %q (not ready: %s; %v): %w", c.Name, strings.Join(waiting, ", "), err, waited)
		}
	}
}

func notReady(ctx context.Context, client kubernetes.Interface, nodes []*Node) ([]string, error) {
	list, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	ready := map[string]bool{}
	for _, n := range list.Items {
		for _, condition := range n.Status.Conditions {
			if condition.Type == "Ready" {
				ready[n.Name] = condition.Status == "True"
			}
		}
	}
	var waiting []string
	for _, n := range nodes {
		if !ready[n.name] {
			waiting = append(waiting, n.name)
		}
	}
	return waiting, nil
}

// prefixWriter writes whole lines, each with the time and a prefix. Standard
// output and standard error may share one.
type prefixWriter struct {
	w      io.Writer
	prefix string

	mu   sync.Mutex
	rest []byte
}

func (p *prefixWriter) Write(data []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rest = append(p.rest, data...)
	for {
		i := bytes.IndexByte(p.rest, '\n')
		if i < 0 {
			return len(data), nil
		}
		if err := p.line(p.rest[:i]); err != nil {
			return 0, err
		}
		p.rest = p.rest[i+1:]
	}
}

func (p *prefixWriter) line(text []byte) error {
	_, err := fmt.Fprintf(p.w, "%s %s%s\n", time.Now().UTC().Format("15:04:05.000"), p.prefix, text)
	return err
}

func (p *prefixWriter) flush() {
	if len(p.rest) > 0 {
		_ = p.line(p.rest) // the log is nobody's result
		p.rest = nil
	}
}
