package rollout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/blang/semver/v4"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/slipway-release/slipway/internal/controlplane"
	"github.com/slipway-release/slipway/release"
)

// Target is a cluster seen from the payload it is to be brought to: the hands
// of an upgrade on its machines. Every method may be called again after it was
// cut short, and returns when what it names is done, not when it is begun.
type Target interface {
	// Push brings the payload's images and system files to the node without
	// making use of them.
	Push(ctx context.Context, node string) error
	// ConfigureBalancer brings the load balancer, where there is one, to the payload's settings.
	ConfigureBalancer(ctx context.Context) error
	// DrainBackend takes the node's API server out of the load balancer, and
	// RestoreBackend puts it back; both do nothing where there is none.
	DrainBackend(ctx context.Context, node string) error
	RestoreBackend(ctx context.Context, node string) error
	// MoveEtcdLeader makes another member lead when the node's leads.
	MoveEtcdLeader(ctx context.Context, node string) error
	// UpgradeControlPlane brings the node's API server, controllers, scheduler
	// and etcd to the payload. The first control plane of an upgrade also
	// changes what the cluster keeps about its configuration.
	UpgradeControlPlane(ctx context.Context, node string, first bool) error
	// ReconfigureControlPlane brings the same of a node that is at the payload to
	// what the payload says with the difference of r, with new certificates.
	ReconfigureControlPlane(ctx context.Context, node string, r controlplane.Reconfiguration) error
	// UpdateNode brings system files and the kubelet to the payload and
	// restarts what they changed. Pods go on running.
	UpdateNode(ctx context.Context, node string) error
	// CheckControlPlane returns nil when the node's own API server is ready and
	// every etcd member of the cluster is healthy.
	CheckControlPlane(ctx context.Context, node string) error
}

// Phase is a part of an upgrade.
type Phase string

// The phases of an upgrade, in their order. The API servers come first, for
// they may be newer than everything that talks to them, and nothing may be newer than
// they are; a control plane's kubelet moves with it and talks to its own API
// server. kube-proxy and the other add-ons follow by their manifests, then the
// kubelets of the workers. Workers are drained; control planes are not, as
// nothing but the control plane and replicated add-ons runs there, and restarting a
// kubelet leaves pods alone. A cluster of one node has nowhere to drain to.
const (
	PhaseContent      Phase = "content"
	PhaseControlPlane Phase = "control-plane"
	PhaseManifests    Phase = "manifests"
	PhaseWorkers      Phase = "workers"
	PhaseVerify       Phase = "verify"
)

// Action is what a step does to its node.
type Action string

// The actions of steps, in the order in which they happen to a node.
const (
	ActionPush        Action = "push"
	ActionBalance     Action = "configure-balancer"
	ActionUnload      Action = "drain-backend"
	ActionLeader      Action = "move-etcd-leader"
	ActionUpgrade     Action = "upgrade"
	ActionReconfigure Action = "reconfigure"
	ActionCordon      Action = "cordon"
	ActionDrain       Action = "drain"
	ActionUpdate      Action = "update"
	ActionHealth      Action = "health"
	ActionReload      Action = "restore-backend"
	ActionUncordon    Action = "uncordon"
	ActionMark        Action = "mark"
	ActionApply       Action = "apply"
	ActionCheck       Action = "check"
)

// Step is one thing that an upgrade does.
type Step struct {
	// ID is phase/node/action; without the node where it concerns the whole cluster.
	ID     string `json:"id"`
	Phase  Phase  `json:"phase"`
	Node   string `json:"node,omitempty"`
	Action Action `json:"action"`
	// Done is true when the cluster shows that the step was done before.
	Done bool `json:"done,omitempty"`
}

// Point names a payload.
type Point struct {
	Version string `json:"version"`
	Digest  string `json:"digest"`
}

// UpgradePlan is everything that an upgrade is going to do, in order; steps of
// phase content happen side by side.
type UpgradePlan struct {
	// From is what the cluster recorded last; empty when that is nothing.
	From Point `json:"from"`
	// Resumes is true when an upgrade or rollout to the same payload was begun before.
	Resumes bool   `json:"resumes,omitempty"`
	To      Point  `json:"to"`
	Steps   []Step `json:"steps"`
	// Reconfiguration is what the control planes are brought to at the payload that the
	// cluster is at; nil for an upgrade to a payload, which brings them to nothing but that.
	Reconfiguration *controlplane.Reconfiguration `json:"reconfiguration,omitempty"`

	manifests    *Plan
	nodes        []node
	kubelet      string // version of the payload, v1.36.3
	controlPlane int
	// whole is true when all of the cluster is at From, reconfigured or not.
	whole bool
	// recorded is the reconfiguration that the cluster's record tells of.
	recorded controlplane.Reconfiguration
}

// node is what an upgrade has to know about a machine.
type node struct {
	name         string
	controlPlane bool
	payload      string // digest of PayloadAnnotation
	state        string // UpgradeAnnotation
	reconfigured string // ReconfigurationAnnotation
	kubelet      string // v1.36.3
}

// String lists the steps, one a line, those done before marked by an x.
func (p *UpgradePlan) String() string {
	var s strings.Builder
	from := p.From.Version
	if from == "" {
		from = "an unknown payload"
	}
	if p.Reconfiguration != nil {
		fmt.Fprintf(&s, "reconfigure %s\n%s", from, p.Reconfiguration)
	} else {
		fmt.Fprintf(&s, "from %s\nto   %s\n", from, p.To.Version)
	}
	for _, step := range p.Steps {
		mark := " "
		if step.Done {
			mark = "x"
		}
		fmt.Fprintf(&s, "[%s] %s\n", mark, step.ID)
	}
	return s.String()
}

// PlanUpgrade looks at the cluster and says what brings it to the payload. It
// changes nothing. An upgrade that Kubernetes does not support is an error.
func PlanUpgrade(ctx context.Context, config *rest.Config, payload *release.Payload) (*UpgradePlan, error) {
	plan, version, err := planFor(ctx, config, payload)
	if err == nil {
		plan.manifests, err = PlanOf(payload)
	}
	if err == nil {
		err = plan.checkSkew(version)
	}
	if err != nil {
		return nil, fmt.Errorf("planning the upgrade to payload %q: %w", payload.Version, err)
	}
	plan.fill()
	return plan, nil
}

// planFor returns a plan without steps, and the payload's Kubernetes version.
func planFor(ctx context.Context, config *rest.Config, payload *release.Payload) (*UpgradePlan, string, error) {
	c, err := newClient(config)
	if err != nil {
		return nil, "", err
	}
	version, err := payload.KubernetesVersion()
	if err != nil {
		return nil, "", err
	}
	p := &UpgradePlan{To: Point{Version: payload.Version.String(), Digest: payload.Digest.String()}, kubelet: "v" + version}
	err = retrier{timeout: Options{}.withDefaults().RetryTimeout}.do(ctx, func(ctx context.Context) error {
		return p.look(ctx, c)
	})
	return p, version, err
}

// look fills what the cluster knows.
func (p *UpgradePlan) look(ctx context.Context, c *client) error {
	inv, err := c.inventory(ctx)
	if err != nil {
		return fmt.Errorf("reading what was rolled out before: %w", err)
	}
	list, err := c.kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("listing nodes: %w", err)
	}
	p.nodes, p.controlPlane = nil, 0
	for _, n := range list.Items {
		p.nodes = append(p.nodes, nodeOf(n))
	}
	slices.SortFunc(p.nodes, compareNodes)
	for _, n := range p.nodes {
		if n.controlPlane {
			p.controlPlane++
		}
	}
	if p.controlPlane == 0 {
		return errors.New("the cluster has no control-plane node that could be upgraded")
	}
	p.whole = inv.whole(p.nodes)
	p.recorded = inv.Reconfiguration
	p.From, p.Resumes = Point{Version: inv.Version, Digest: inv.Digest}, false
	if inv.Digest == p.To.Digest {
		p.Resumes = !inv.Complete
	}
	for _, n := range p.nodes {
		p.Resumes = p.Resumes || n.state == p.To.Digest || (n.payload == p.To.Digest && inv.Digest != p.To.Digest)
	}
	return nil
}

// compareNodes gives the order in which nodes are changed: control planes first;
// within a role those that an upgrade was cut short on, for they may be out of
// service and no other should be before they are back; then by name, so that
// every call sees one order.
func compareNodes(a, b node) int {
	first := func(x, y bool) int {
		switch {
		case x == y:
			return 0
		case x:
			return -1
		}
		return 1
	}
	return cmp.Or(first(a.controlPlane, b.controlPlane), first(a.state != "", b.state != ""), strings.Compare(a.name, b.name))
}

func nodeOf(n corev1.Node) node {
	_, controlPlane := n.Labels["node-role.kubernetes.io/control-plane"]
	return node{
		name: n.Name, controlPlane: controlPlane, kubelet: n.Status.NodeInfo.KubeletVersion,
		payload: n.Annotations[PayloadAnnotation], state: n.Annotations[UpgradeAnnotation],
		reconfigured: n.Annotations[ReconfigurationAnnotation],
	}
}

// checkSkew refuses what kubeadm refuses, before anything is touched: minor
// versions are left out or gone back.
func (p *UpgradePlan) checkSkew(version string) error {
	to, err := semver.Parse(version)
	if err != nil {
		return fmt.Errorf("reading the Kubernetes version %q: %w", version, err)
	}
	for _, n := range p.nodes {
		at, err := semver.Parse(strings.TrimPrefix(n.kubelet, "v"))
		if err != nil {
			return fmt.Errorf("reading the kubelet version %q of node %q: %w", n.kubelet, n.name, err)
		}
		if at.Major != to.Major || at.Minor > to.Minor || at.Minor+1 < to.Minor {
			return fmt.Errorf("node %q runs Kubernetes %s and the payload has %s: an upgrade goes up by at most one minor version, and never down", n.name, at, to)
		}
	}
	return nil
}
