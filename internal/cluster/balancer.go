package cluster

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	balancerConfig  = "/usr/local/etc/haproxy/haproxy.cfg"
	balancerControl = "/run/haproxy/control.sock"
	balancerBackend = "kube-apiservers"
	// balancerKindImage is the image that kind v0.31.0 starts as load balancer, fixed in its source.
	balancerKindImage = "docker.io/kindest/haproxy:v20251211-v0.29.0-alpha-100-g82a92c5d"
	// pollInterval is how often a state is asked for that is awaited.
	pollInterval = 200 * time.Millisecond
)

// haproxyConfig stands in for kind's. It asks each API server every half second
// whether it is ready, which one that shuts down denies at once while it still
// serves: so no new connection goes to a server that is about to leave. Long
// timeouts keep idle watches alive.
func haproxyConfig(servers []*Node) string {
	var b strings.Builder
	fmt.Fprintf(&b, `global
  maxconn 8000

defaults
  mode tcp
  timeout connect 2s
  timeout client 1h
  timeout server 1h
  timeout check 3s
  retries 3
  option redispatch 1
  option clitcpka
  option srvtcpka

frontend control-plane
  bind *:%d
  default_backend %s

backend %s
  option httpchk GET /readyz
  http-check expect status 200
  default-server check check-ssl verify none inter 500ms fall 1 rise 4
`, apiPort, balancerBackend, balancerBackend)
	for _, n := range servers {
		fmt.Fprintf(&b, "  server %s %s:%d\n", n.name, n.address, apiPort)
	}
	return b.String()
}

// configureBalancer puts our configuration in place of kind's and reloads it.
func (c *Cluster) configureBalancer(ctx context.Context) error {
	if c.balancer == nil {
		return nil
	}
	_, err := c.balancer.script(ctx, strings.NewReader(haproxyConfig(c.ControlPlanes())),
		`cat >"$1.new" && haproxy -c -q -f /etc/haproxy/host.cfg -f "$1.new" && mv "$1.new" "$1" && kill -HUP 1`, balancerConfig)
	return err
}

// DrainBackend sends no new connection to a control plane's API server; those
// that exist stay. Without a load balancer it does nothing.
func (c *Cluster) DrainBackend(ctx context.Context, n *Node) error {
	return c.setBackend(ctx, n, "drain")
}

// RestoreBackend lets new connections go to a control plane's API server again
// and waits until the balancer finds it ready.
func (c *Cluster) RestoreBackend(ctx context.Context, n *Node) error {
	if err := c.setBackend(ctx, n, "ready"); err != nil || c.balancer == nil {
		return err
	}
	for {
		status, err := c.backendStatus(ctx, n)
		if err != nil || strings.HasPrefix(status, "UP") {
			return err
		}
		if err := pause(ctx, pollInterval); err != nil {
			return fmt.Errorf("waiting for API server %q to be ready (the load balancer says %q): %w", n.name, status, err)
		}
	}
}

func (c *Cluster) setBackend(ctx context.Context, n *Node, state string) error {
	if c.balancer == nil {
		return nil
	}
	out, err := c.control(ctx, fmt.Sprintf("set server %s/%s state %s", balancerBackend, n.name, state))
	if err != nil {
		return err
	}
	if msg := strings.TrimSpace(out); msg != "" {
		return fmt.Errorf("setting API server %q to %q in the load balancer: %s", n.name, state, msg)
	}
	return nil
}

// backendStatus is what the balancer thinks of an API server: UP, DOWN, DRAIN, …
func (c *Cluster) backendStatus(ctx context.Context, n *Node) (string, error) {
	out, err := c.control(ctx, "show stat")
	if err != nil {
		return "", err
	}
	return parseBackendStatus(out, n.name)
}

// parseBackendStatus reads haproxy's statistics, a table with the columns named
// in its first line.
func parseBackendStatus(stats, server string) (string, error) {
	r := csv.NewReader(strings.NewReader(strings.TrimPrefix(strings.TrimSpace(stats), "# ")))
	r.FieldsPerRecord = -1
	rows, err := r.ReadAll()
	if err != nil {
		return "", fmt.Errorf("reading the load balancer's statistics: %w", err)
	}
	if len(rows) == 0 {
		return "", errors.New("reading the load balancer's statistics: nothing in them")
	}
	column := slices.Index(rows[0], "status")
	for _, row := range rows[1:] {
		if column >= 0 && len(row) > column && row[0] == balancerBackend && row[1] == server {
			return row[column], nil
		}
	}
	return "", fmt.Errorf("reading the load balancer's statistics: no API server %q in them", server)
}

func (c *Cluster) control(ctx context.Context, request string) (string, error) {
	out, err := c.balancer.Exec(ctx, strings.NewReader(request+"\n"), "socat", "-t5", "-", "UNIX-CONNECT:"+balancerControl)
	return string(out), err
}

// pause waits, or returns why ctx ended.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
