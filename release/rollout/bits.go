package rollout

import (
	"context"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/slipway-release/slipway/internal/cluster"
	"github.com/slipway-release/slipway/internal/controlplane"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/manifests"
)

// Components of a payload that nodes are made of. A distribution that clusters
// are to be created from has them under these names.
const (
	MachineOS    = "machine-os" // root file system, kubelet and container runtime
	LoadBalancer = "haproxy"    // before the API servers of several control planes
	pause        = "pause"
)

var controlPlane = []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd", pause}

// Images reads images by their canonical reference.
type Images interface {
	Image(ctx context.Context, reference string) (v1.Image, error)
}

// Bits returns what a cluster of the payload consists of. Every image of the
// payload is among those that nodes hold, but the nodes' own system and the load
// balancer, which are no pods, and what no manifest names.
func Bits(ctx context.Context, p *release.Payload, images Images) (cluster.Bits, error) {
	kubernetes, err := p.KubernetesVersion()
	if err != nil {
		return cluster.Bits{}, err
	}
	bits := cluster.Bits{Payload: p.Digest.String(), KubernetesVersion: kubernetes, ControlPlane: map[string]string{}}
	var missing []error
	for _, name := range append([]string{MachineOS, LoadBalancer}, controlPlane...) {
		ref, ok := p.Image(name)
		if !ok {
			missing = append(missing, fmt.Errorf("it has no component %q", name))
			continue
		}
		if name != MachineOS && name != LoadBalancer {
			bits.ControlPlane[name] = ref
		}
	}
	bits.Settings, err = Settings(p)
	if err := errors.Join(append(missing, err)...); err != nil {
		return cluster.Bits{}, fmt.Errorf("making nodes of payload %q: %w", p.Version, err)
	}
	components := p.Components()
	fetched := make([]v1.Image, len(components))
	// Images are read later, so they must not get a context that ends here.
	var g errgroup.Group
	for i, name := range components {
		g.Go(func() (err error) {
			ref, _ := p.Image(name)
			fetched[i], err = images.Image(ctx, ref)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return cluster.Bits{}, fmt.Errorf("making nodes of payload %q: %w", p.Version, err)
	}
	for i, name := range components {
		ref, _ := p.Image(name)
		switch {
		case name == MachineOS:
			bits.MachineOS = fetched[i]
		case name == LoadBalancer:
			bits.LoadBalancer = fetched[i]
		case runsInPods(fetched[i]):
			bits.Images = append(bits.Images, cluster.NodeImage{Reference: ref, Image: fetched[i]})
		}
	}
	return bits, nil
}

// Settings are what the payload's manifests say about how the control plane is run:
// its ConfigMaps with the label controlplane.Label. All that is wrong with them is one error.
func Settings(p *release.Payload) (controlplane.Settings, error) {
	s := controlplane.New()
	objects, problems := manifests.Read(p.Manifests)
	errs := []error{problems.Err()}
	from := map[string]string{}
	for _, o := range objects {
		part, text, ok := SettingsOf(o)
		if !ok {
			continue
		}
		if other, twice := from[part]; twice {
			errs = append(errs, fmt.Errorf("%s: it has the settings of %q, and so has %s", o.File, part, other))
			continue
		}
		from[part] = o.File
		if err := s.Set(part, []byte(text)); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", o.File, err))
		}
	}
	return s, errors.Join(errs...)
}

// SettingsOf returns what an object says about a part of the control plane; ok is false
// for an object that says nothing.
func SettingsOf(o manifests.Object) (part, text string, ok bool) {
	if o.Kind != "ConfigMap" || o.Group() != "" {
		return "", "", false
	}
	u := unstructured.Unstructured{Object: o.Content}
	if part, ok = u.GetLabels()[controlplane.Label]; !ok {
		return "", "", false
	}
	text, _, _ = unstructured.NestedString(o.Content, "data", controlplane.Key)
	return part, text, true
}

// runsInPods is false for images that carry manifests and no program.
func runsInPods(img v1.Image) bool {
	config, err := img.ConfigFile()
	if err != nil {
		return true // whoever reads the image next will say why
	}
	return len(config.Config.Entrypoint)+len(config.Config.Cmd) > 0
}
