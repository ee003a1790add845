package cluster

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-release/slipway/internal/controlplane"
)

const (
	balancerConfig  = "/usr/local/etc/haproxy/haproxy.cfg"
	balancerControl = "/run/haproxy/control.sock"
	balancerBackend = "kube-apiservers"
	// lastResort ends the name under which a server is used when no server passes the check.
	lastResort = "-unchecked"
	// balancerKindImage is the image that kind v0.31.0 starts as load balancer, fixed in its source.
	balancerKindImage = "docker.io/kindest/haproxy:v20251211-v0.29.0-alpha-100-g82a92c5d"
	// pollInterval is how often a state is asked for that is awaited.
	pollInterval = 200 * time.Millisecond
)

// haproxyConfig stands in for kind's. Only servers that pass the check get new
// connections. When none passes, which is rather the host's fault than all servers', each
// gets its share without being asked: a slow answer is better than none.
func haproxyConfig(servers []*Node, balancer controlplane.Balancer) string {
	ms := func(d metav1.Duration) string { return fmt.Sprintf("%dms", d.Milliseconds()) }
	var b strings.Builder
	fmt.Fprintf(&b, `global
  maxconn 8000

defaults
  mode tcp
  timeout connect %[1]s
  timeout client %[2]s
  timeout server %[2]s
  timeout check %[3]s
  retries %[4]d
  option redispatch 1
  option clitcpka
  option srvtcpka

frontend control-plane
  bind *:%[5]d
  default_backend %[6]s

backend %[6]s
  option httpchk GET %[7]s
  option allbackups
  http-check expect status 200
  default-server check check-ssl verify none inter %[8]s fall %[9]d rise %[10]d
`, ms(balancer.ConnectTimeout), ms(balancer.IdleTimeout), ms(balancer.Check.Timeout), balancer.Retries, apiPort, balancerBackend,
		balancer.Check.Path, ms(balancer.Check.Interval), balancer.Check.Fall, balancer.Check.Rise)
	for _, n := range servers {
		fmt.Fprintf(&b, "  server %s %s:%d\n", n.name, n.address, apiPort)
	}
	for _, n := range servers {
		fmt.Fprintf(&b, "  server %s%s %s:%d backup no-check\n", n.name, lastResort, n.address, apiPort)
	}
	return b.String()
}

// ConfigureBalancer brings the load balancer to settings; without one, or when it has
// them already, it does nothing. Connections that exist stay.
func (c *Cluster) ConfigureBalancer(ctx context.Context, settings controlplane.Balancer) error {
	if c.balancer == nil {
		return nil
	}
	_, err := c.balancer.script(ctx, strings.NewReader(haproxyConfig(c.ControlPlanes(), settings)), `
cat >"$1.new"
if cmp --silent "$1.new" "$1.loaded"; then
  rm "$1.new"
  exit 0
fi
haproxy -c -q -f /etc/haproxy/host.cfg -f "$1.new"
cp "$1.new" "$1.loading"
mv "$1.new" "$1"
kill -HUP 1
mv "$1.loading" "$1.loaded"
`, balancerConfig)
	if err != nil {
		return fmt.Errorf("configuring the load balancer: %w", err)
	}
	return nil
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
	out, err := c.control(ctx, fmt.Sprintf("set server %[1]s/%[2]s state %[4]s; set server %[1]s/%[2]s%[3]s state %[4]s", balancerBackend, n.name, lastResort, state))
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
