// Package cluster brings up Kubernetes clusters whose nodes are containers made
// from a payload's own images, and changes such nodes in place. kind provides
// the containers, their network and the load balancer; kubeadm sets up
// Kubernetes in them, driven from here so that it can be cancelled.
//
// It does not know what a payload looks like (release does) nor in which order
// a cluster is upgraded (release/rollout does).
package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/internal/controlplane"
)

// ErrNotFound says that there is no cluster of a name.
var ErrNotFound = errors.New("cluster not found")

// Profiles are the shapes of clusters.
const (
	// ProfileSingle is one control-plane node that runs everything.
	ProfileSingle = "single"
	// ProfileHA is three control-plane nodes, two workers and a load balancer.
	ProfileHA = "ha"
)

// Roles of nodes, as kind labels their containers.
const (
	RoleControlPlane = "control-plane"
	RoleWorker       = "worker"
	RoleBalancer     = "external-load-balancer"
)

// namePrefix begins the name of every cluster, container and network made here.
const namePrefix = "slipway-"

// namePattern leaves room for the longest suffix of a node in a host name of 63 bytes.
var namePattern = regexp.MustCompile(`^slipway-[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)

// NodeImage is an image that nodes hold, ready to run without a registry.
type NodeImage struct {
	Reference string // canonical: repository@sha256:…
	Image     v1.Image
}

// Bits are what a cluster consists of, taken from one payload.
type Bits struct {
	Payload           string // digest, sha256:…
	KubernetesVersion string // v1.36.3; a missing v is put before it
	// MachineOS is the nodes' root file system, LoadBalancer stands before several API servers.
	MachineOS, LoadBalancer v1.Image
	// ControlPlane maps kube-apiserver, kube-controller-manager, kube-scheduler,
	// etcd and pause to their canonical references by digest.
	ControlPlane map[string]string
	// Images are put on every node: those of ControlPlane and any that the cluster will run.
	Images []NodeImage
	// Settings say how the control plane is run.
	Settings controlplane.Settings
}

// Control-plane components that Bits.ControlPlane names.
var controlPlane = controlplane.StaticPods

const pauseImage = "pause"

// Validate says what is missing or contradicts itself, all at once.
func (b Bits) Validate() error {
	var errs []error
	if _, err := v1.NewHash(b.Payload); err != nil {
		errs = append(errs, fmt.Errorf("payload digest %q: %w", b.Payload, err))
	}
	if b.KubernetesVersion == "" {
		errs = append(errs, errors.New("no Kubernetes version"))
	}
	if b.MachineOS == nil {
		errs = append(errs, errors.New("no machine-os image"))
	}
	if b.Settings.Balancer == (controlplane.Balancer{}) {
		errs = append(errs, errors.New("no settings of the load balancer"))
	}
	have := map[string]bool{}
	for _, img := range b.Images {
		have[img.Reference] = true
		if !strings.Contains(img.Reference, "@sha256:") || img.Image == nil {
			errs = append(errs, fmt.Errorf("image %q: not an image by digest", img.Reference))
		}
	}
	for _, name := range append([]string{pauseImage}, controlPlane...) {
		switch ref := b.ControlPlane[name]; {
		case ref == "":
			errs = append(errs, fmt.Errorf("component %q: no reference", name))
		case !have[ref]:
			errs = append(errs, fmt.Errorf("component %q: image %q is not among those given", name, ref))
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("reading what a cluster is made of: %w", errors.Join(errs...))
	}
	return nil
}

// version is the Kubernetes version with its leading v.
func (b Bits) version() string { return "v" + strings.TrimPrefix(b.KubernetesVersion, "v") }

// Options say what to create.
type Options struct {
	// Name is made of a-z, 0-9 and -; "slipway-" is put before it where missing.
	Name    string
	Profile string // ProfileSingle or ProfileHA
	Bits    Bits
	// Ephemeral clusters belong to a run, named by Run, and are removed with it.
	Ephemeral bool
	Run       string
	// LogDir receives the nodes' logs when creating fails; empty keeps none.
	LogDir string
}

// Progress is told what happens now, in a few words.
type Progress func(step string)

func (p Progress) say(format string, args ...any) {
	if p != nil {
		p(fmt.Sprintf(format, args...))
	}
}

// Record is what is kept on disk of a cluster, written before anything is made.
type Record struct {
	Name              string    `json:"name"`
	Profile           string    `json:"profile"`
	Engine            string    `json:"engine"`
	Ephemeral         bool      `json:"ephemeral,omitempty"`
	Run               string    `json:"run,omitempty"`
	Payload           string    `json:"payload"`
	KubernetesVersion string    `json:"kubernetesVersion"`
	Created           time.Time `json:"created"`
	Ready             bool      `json:"ready"` // false: half made, or being made
}

// Cluster is a cluster that was made.
type Cluster struct {
	Record
	Kubeconfig string // path of the administrator's kubeconfig for this host

	manager  *Manager
	nodes    []*Node
	balancer *Node
}

// Nodes are the Kubernetes nodes: control planes first, each group by name.
func (c *Cluster) Nodes() []*Node { return c.nodes }

// ControlPlanes are the nodes that run the API, the first one leading.
func (c *Cluster) ControlPlanes() []*Node { return withRole(c.nodes, RoleControlPlane) }

// Workers are the other nodes.
func (c *Cluster) Workers() []*Node { return withRole(c.nodes, RoleWorker) }

// HasBalancer says whether a load balancer stands before the API servers.
func (c *Cluster) HasBalancer() bool { return c.balancer != nil }

// Node returns the node of a name.
func (c *Cluster) Node(name string) (*Node, error) {
	for _, n := range c.nodes {
		if n.name == name {
			return n, nil
		}
	}
	return nil, fmt.Errorf("cluster %q: no node %q", c.Name, name)
}

func withRole(nodes []*Node, role string) []*Node {
	var found []*Node
	for _, n := range nodes {
		if n.role == role {
			found = append(found, n)
		}
	}
	return found
}

// Node is one machine of a cluster. Its name is that of its Kubernetes node and
// of its container.
type Node struct {
	name, role, address string
	engine              Engine
}

// Name is the name of the node and of its container.
func (n *Node) Name() string { return n.name }

// Role is RoleControlPlane, RoleWorker or RoleBalancer.
func (n *Node) Role() string { return n.role }

// Address is the node's IPv4 address in the cluster's network.
func (n *Node) Address() string { return n.address }

// Exec runs a program on the node and returns what it wrote to standard output.
// A failure is a *command.Error with its exit code and the end of all output.
func (n *Node) Exec(ctx context.Context, stdin io.Reader, argv ...string) ([]byte, error) {
	var out strings.Builder
	err := n.Stream(ctx, stdin, &out, nil, argv...)
	return []byte(out.String()), err
}
