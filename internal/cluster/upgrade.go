package cluster

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/slipway-release/slipway/internal/controlplane"
	"github.com/slipway-release/slipway/internal/engine"
)

const (
	// kubeletTimeout bounds the restart of a kubelet.
	kubeletTimeout = 2 * time.Minute
	// swapTimeout bounds the exchange of a node's static pods, with the way back.
	swapTimeout = 15 * time.Minute
)

// swap exchanges a node's static pods; see there.
//
//go:embed swap.sh
var swap string

// UpgradeControlPlane brings the static pods of a control plane to b, whose
// content PushContent has brought to the node before. first says that it is the
// first control plane to be upgraded, which brings the cluster's own records
// along.
//
// kubeadm generates the new static pods and renews certificates, but left to
// itself it replaces etcd under an API server that runs, and waits for what that
// server can no longer do. So the pods are exchanged here: the API server first
// leaves in good order, then etcd goes, then all come back at once. When they do
// not get ready, the former ones are put back and the error says so.
//
// A call that was cut off can be repeated; one on an upgraded node restarts nothing.
func (c *Cluster) UpgradeControlPlane(ctx context.Context, n *Node, b Bits, first bool) error {
	if n.role != RoleControlPlane {
		return fmt.Errorf("upgrading the control plane of node %q: it has none", n.name)
	}
	if err := c.swapStaticPods(ctx, n, b); err != nil {
		return fmt.Errorf("upgrading the control plane of node %q: %w", n.name, err)
	}
	// For what else there is to upgrade. Images are on the node, and kube-proxy
	// and CoreDNS come with the payload's manifests.
	args := []string{"upgrade", "node", "--patches=" + patchDir, "--skip-phases=preflight,addon"}
	if first {
		args = []string{"upgrade", "apply", b.version(), "--yes", "--force", "--patches=" + patchDir, "--skip-phases=preflight,addon"}
	}
	if err := c.kubeadm(ctx, n, args...); err != nil {
		return fmt.Errorf("upgrading the control plane of node %q: %w", n.name, err)
	}
	// kubeadm keeps a copy of what it changes.
	if _, err := n.script(ctx, nil, `rm -rf /etc/kubernetes/tmp/kubeadm-*`); err != nil {
		return err
	}
	return n.waitReadyz(ctx)
}

// ReconfigureControlPlane brings the static pods of a control plane to what b says with
// the difference of r, and renews their certificates. The node must be at b; what an
// upgrade to something else that was given up has brought there is taken back. Nothing
// outside of the node changes.
//
// A call that was cut off can be repeated; one on a node that is at r restarts nothing.
func (c *Cluster) ReconfigureControlPlane(ctx context.Context, n *Node, b Bits, r controlplane.Reconfiguration) error {
	fail := func(err error) error {
		return fmt.Errorf("reconfiguring the control plane of node %q: %w", n.name, err)
	}
	if n.role != RoleControlPlane {
		return fail(errors.New("it has none"))
	}
	if err := c.PushContent(ctx, n, b, nil); err != nil {
		return fail(err)
	}
	patches, err := c.staticPodPatches(b, r)
	if err != nil {
		return fail(err)
	}
	if err := n.writeFiles(ctx, patches); err != nil {
		return fail(err)
	}
	if err := c.swapStaticPods(ctx, n, b); err != nil {
		return fail(err)
	}
	return n.waitReadyz(ctx)
}

func (c *Cluster) swapStaticPods(ctx context.Context, n *Node, b Bits) error {
	ctx, cancel := context.WithTimeoutCause(ctx, swapTimeout, fmt.Errorf("static pods were not exchanged in %s", swapTimeout))
	defer cancel()
	out := &prefixWriter{w: c.manager.log, prefix: n.name + ": "}
	defer out.flush()
	argv := append([]string{"bash", "-euo", "pipefail", "-s", b.version(), kubeadmConfig}, controlPlane...)
	return lastLine(n.engine.Exec(ctx, n.name, engine.Streams{Stdin: strings.NewReader(swap), Stdout: out, Stderr: out}, argv...))
}

// UpgradeWorker brings a worker's kubelet settings to what the cluster records.
func (c *Cluster) UpgradeWorker(ctx context.Context, n *Node) error {
	if err := c.kubeadm(ctx, n, "upgrade", "node", "--patches="+patchDir, "--skip-phases=preflight,addon"); err != nil {
		return fmt.Errorf("upgrading node %q: %w", n.name, err)
	}
	return nil
}

// RestartKubelet lets a node's kubelet, and its container runtime where that
// changed, run from the files that PushContent brought, and waits until the
// kubelet is healthy. Containers run on.
func (c *Cluster) RestartKubelet(ctx context.Context, n *Node) error {
	ctx, cancel := context.WithTimeoutCause(ctx, kubeletTimeout, fmt.Errorf("it was not healthy after %s", kubeletTimeout))
	defer cancel()
	_, err := n.script(ctx, nil, `
systemctl daemon-reload
pid=$(systemctl show --property MainPID --value containerd)
started=$(stat -c %Y "/proc/$pid")
if [[ $(readlink "/proc/$pid/exe") == *" (deleted)" || $(stat -c %Y /etc/containerd/config.toml) -gt $started ]]; then
  systemctl restart containerd
fi
systemctl restart kubelet
until curl --silent --fail --max-time 2 --output /dev/null http://127.0.0.1:10248/healthz; do sleep 0.2; done
`)
	if err != nil {
		return fmt.Errorf("restarting the kubelet of node %q: %w", n.name, err)
	}
	return nil
}
