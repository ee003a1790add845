package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	kind "sigs.k8s.io/kind/pkg/cluster"

	"github.com/slipway-release/slipway/internal/controlplane"
	"github.com/slipway-release/slipway/internal/state"
)

// cleanupTimeout bounds the removal of a cluster that could not be made.
const cleanupTimeout = 3 * time.Minute

// Create makes a cluster and returns when its API answers. Nodes are not Ready
// before the payload's network is rolled out; WaitReady waits for that. When it
// fails or ctx ends, nothing is left but the logs in Options.LogDir.
func (m *Manager) Create(ctx context.Context, o Options, progress Progress) (_ *Cluster, err error) {
	o.Name = FullName(o.Name)
	if err := m.checkNew(ctx, o); err != nil {
		return nil, err
	}
	image, err := m.NodeImage(ctx, o.Bits, progress)
	if err != nil {
		return nil, fmt.Errorf("creating cluster %q: %w", o.Name, err)
	}
	c := &Cluster{manager: m, Kubeconfig: m.KubeconfigPath(o.Name), Record: Record{
		Name: o.Name, Profile: o.Profile, Engine: m.engine.Kind(), Ephemeral: o.Ephemeral, Run: o.Run,
		Payload: o.Bits.Payload, KubernetesVersion: o.Bits.version(), Created: time.Now().UTC().Truncate(time.Second),
	}}
	if err := m.writeRecord(c.Record); err != nil {
		return nil, fmt.Errorf("creating cluster %q: %w", o.Name, err)
	}
	if err := c.make(ctx, o, image, progress); err != nil {
		return nil, fmt.Errorf("creating cluster %q: %w", o.Name, errors.Join(err, m.abandon(ctx, o)))
	}
	c.Ready = true
	if err := m.writeRecord(c.Record); err != nil {
		return nil, errors.Join(err, m.abandon(ctx, o))
	}
	return c, nil
}

func (m *Manager) checkNew(ctx context.Context, o Options) error {
	if err := checkName(o.Name); err != nil {
		return err
	}
	if _, err := shapeOf(o.Profile); err != nil {
		return err
	}
	if o.Ephemeral && o.Run == "" {
		return fmt.Errorf("creating cluster %q: an ephemeral cluster needs the id of its run", o.Name)
	}
	if err := o.Bits.Validate(); err != nil {
		return err
	}
	existing, err := m.List(ctx)
	if err != nil {
		return err
	}
	for _, r := range existing {
		if r.Name == o.Name {
			return fmt.Errorf("creating cluster %q: it exists; delete it first", o.Name)
		}
	}
	return nil
}

// abandon takes away a cluster that could not be made.
func (m *Manager) abandon(ctx context.Context, o Options) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	if o.LogDir != "" {
		if err := m.Logs(ctx, o.Name, o.LogDir); err != nil {
			fmt.Fprintln(m.log, err)
		}
	}
	return m.Delete(ctx, o.Name)
}

func (c *Cluster) make(ctx context.Context, o Options, image string, progress Progress) error {
	cfg, err := kindConfig(o, c.manager.engine.Host(), image)
	if err != nil {
		return err
	}
	labels := map[string]string{clusterLabel: o.Name}
	if o.Ephemeral {
		labels[runLabel] = o.Run
	}
	if err := c.manager.engine.CreateNetwork(ctx, o.Name, labels); err != nil {
		return err
	}
	progress.say("starting %d nodes", len(cfg.Nodes))
	start := func() error { return c.manager.provision(ctx, cfg) }
	if o.Profile == ProfileHA {
		balanced := start
		start = func() error { return c.manager.withBalancerImage(ctx, o.Bits, balanced) }
	}
	if err := start(); err != nil {
		return fmt.Errorf("starting nodes: %w", err)
	}
	if err := c.findNodes(ctx); err != nil {
		return err
	}
	if err := c.prepareNodes(ctx, o.Bits); err != nil {
		return err
	}
	if err := c.setUpKubernetes(ctx, progress); err != nil {
		return err
	}
	return c.waitAPI(ctx, progress)
}

// prepareNodes writes what is the payload's and the cluster's own to each node
// and waits until its container runtime answers.
func (c *Cluster) prepareNodes(ctx context.Context, b Bits) error {
	files, err := c.nodeFiles(b)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return c.ConfigureBalancer(ctx, b.Settings.Balancer) })
	for _, n := range c.nodes {
		g.Go(func() error {
			if err := n.writeFiles(ctx, files); err != nil {
				return err
			}
			return n.waitRuntime(ctx, c.hosts())
		})
	}
	return g.Wait()
}

// nodeFiles are the files of a node that depend on the payload or the cluster.
func (c *Cluster) nodeFiles(b Bits) ([]file, error) {
	// kubeadm wants the folder of patches on workers too.
	patches, err := c.staticPodPatches(b, controlplane.Reconfiguration{})
	return append(patches, apiServerURLFile(c.endpointHost())), err
}

// endpointHost is where the API is inside the cluster's network.
func (c *Cluster) endpointHost() string {
	if c.balancer != nil {
		return c.balancer.name
	}
	return c.ControlPlanes()[0].name
}

// waitRuntime waits for the node's container runtime, which kind does not. It
// also gives the node the addresses of its fellows, so that finding one of them
// does not hang on the engine's name server.
func (n *Node) waitRuntime(ctx context.Context, hosts string) error {
	_, err := n.script(ctx, nil, `printf '%s' "$1" >>/etc/hosts
for i in $(seq 600); do ctr version >/dev/null 2>&1 && exit 0; sleep 0.1; done
systemctl status --no-pager containerd >&2
exit 1`, hosts)
	return err
}

// hosts are lines for /etc/hosts with every machine of the cluster.
func (c *Cluster) hosts() string {
	machines := c.nodes
	if c.balancer != nil {
		machines = append(slices.Clone(machines), c.balancer)
	}
	var b strings.Builder
	for _, n := range machines {
		fmt.Fprintf(&b, "%s %s\n", n.address, n.name)
	}
	return b.String()
}

// writeKubeconfig stores the administrator's kubeconfig for use from this host.
func (c *Cluster) writeKubeconfig() error {
	return c.manager.withKind(c.Name, func(p *kind.Provider) error {
		text, err := p.KubeConfig(c.Name, false)
		if err != nil {
			return fmt.Errorf("reading the kubeconfig: %w", err)
		}
		// kind names cluster, context and user after itself.
		text = strings.ReplaceAll(text, "kind-"+c.Name, c.Name)
		return state.WriteFile(c.Kubeconfig, []byte(text), os.FileMode(0o600))
	})
}
