package installation

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/inspect/features"
	"github.com/slipway-release/slipway/release/manifests"
)

// DefaultProfile is the cluster profile of a cluster that says nothing else.
const DefaultProfile = "self-managed-high-availability"

// customSet is the feature set in which the administrator chooses every gate.
const customSet = "CustomNoUpgrade"

// Kind is what decides which of a payload's manifests a cluster applies.
type Kind struct {
	// From says where it was read: "cluster at https://…", or a file's name.
	From string
	// Release is what the cluster is at; zero of an install-config.
	Release Release
	// Cloud is the platform by the name that installers give it, such as "aws";
	// empty when it is not known.
	Cloud string

	selection    manifests.Selection
	capabilities *capabilities
	gates        func(p *release.Payload) ([]string, bool)
}

// capabilities as a cluster is asked to have them.
type capabilities struct {
	baseline   string
	additional []string
}

// Selection is the choice that a cluster of this kind makes among the manifests of a
// payload. What turns on and off by version is that of the payload.
func (k *Kind) Selection(p *release.Payload) (manifests.Selection, error) {
	s := k.selection
	s.MajorVersion = p.Version.Semver().Major
	if k.gates != nil {
		s.FeatureGates, _ = k.gates(p)
	}
	if k.capabilities != nil {
		enabled, err := k.capabilities.of(p)
		if err != nil {
			return s, fmt.Errorf("reading %s: %w", k.From, err)
		}
		s.Capabilities = &manifests.Capabilities{Enabled: enabled}
	}
	return s, nil
}

type infrastructure struct {
	Status struct {
		PlatformStatus struct {
			Type string `json:"type"`
		} `json:"platformStatus"`
	} `json:"status"`
}

// operator is the part of the cluster-version operator's Deployment that says which
// manifests it takes.
type operator struct {
	Spec struct {
		Template struct {
			Spec struct {
				Containers []struct {
					Env []struct {
						Name  string `json:"name"`
						Value string `json:"value"`
					} `json:"env"`
				} `json:"containers"`
			} `json:"spec"`
		} `json:"template"`
	} `json:"spec"`
}

// Kind asks the cluster what kind it is of.
func (c *Cluster) Kind(ctx context.Context) (*Kind, error) {
	k, err := c.kind(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking the %s which manifests it takes: %w", c, err)
	}
	return k, nil
}

func (c *Cluster) kind(ctx context.Context) (*Kind, error) {
	cv, err := c.clusterVersion(ctx)
	if err != nil {
		return nil, err
	}
	k := &Kind{From: c.String()}
	if k.Release, err = c.release(ctx); err != nil {
		return nil, err
	}
	if cv == nil {
		k.selection = manifests.RolloutSelection()
		return k, nil
	}
	k.selection.Capabilities = &manifests.Capabilities{Known: cv.Status.Capabilities.Known, Enabled: cv.Status.Capabilities.Enabled}
	for _, o := range cv.Spec.Overrides {
		if o.Unmanaged {
			k.selection.Overrides = append(k.selection.Overrides, manifests.Override{Group: o.Group, Kind: o.Kind, Namespace: o.Namespace, Name: o.Name})
		}
	}
	if err := c.operator(ctx, k); err != nil {
		return nil, err
	}
	var infra infrastructure
	if _, err := c.read(ctx, "infrastructures", "cluster", &infra); err != nil {
		return nil, err
	}
	k.Cloud = strings.ToLower(infra.Status.PlatformStatus.Type)
	var gate features.Object
	found, err := c.read(ctx, "featuregates", "cluster", &gate)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, fmt.Errorf("%w: it has no FeatureGate", ErrUnknown)
	}
	k.setFeatures(gate)
	return k, nil
}

// operator reads how the cluster-version operator was started.
func (c *Cluster) operator(ctx context.Context, k *Kind) error {
	k.selection.Profile = DefaultProfile
	var o operator
	from := c.dynamic.Resource(schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}).Namespace("openshift-cluster-version")
	const name = "cluster-version-operator"
	found, err := c.readFrom(ctx, from, "deployment openshift-cluster-version/"+name, name, &o)
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("%w: it has no deployment openshift-cluster-version/%s, whose environment names the cluster profile", ErrUnknown, name)
	}
	for _, container := range o.Spec.Template.Spec.Containers {
		for _, e := range container.Env {
			switch {
			case e.Name == "CLUSTER_PROFILE" && e.Value != "":
				k.selection.Profile = e.Value
			case e.Name == "EXCLUDE_MANIFESTS" && e.Value != "":
				k.selection.Identity = e.Value
			}
		}
	}
	return nil
}

// setFeatures makes a FeatureGate decide. What its status says of the very version
// counts; of other versions, what the payload says of this kind of cluster.
func (k *Kind) setFeatures(gate features.Object) {
	k.selection.FeatureSet = manifests.DefaultFeatureSet
	if set := gate.Spec.FeatureSet; set != "" {
		k.selection.FeatureSet = set
	}
	kind := features.Kind{Profile: k.selection.Profile, FeatureSet: k.selection.FeatureSet}
	k.gates = func(p *release.Payload) ([]string, bool) {
		if on, _, ok := gate.Of(p.Version.String()); ok {
			return on, true
		}
		of := features.Read(p)
		if kind.FeatureSet != customSet {
			return of.On(kind)
		}
		on, ok := of.On(features.Kind{Profile: kind.Profile, FeatureSet: manifests.DefaultFeatureSet})
		if !ok && len(gate.Spec.CustomNoUpgrade.Enabled) == 0 {
			return nil, false
		}
		on = append(on, gate.Spec.CustomNoUpgrade.Enabled...)
		slices.Sort(on)
		return slices.DeleteFunc(slices.Compact(on), func(name string) bool {
			return slices.Contains(gate.Spec.CustomNoUpgrade.Disabled, name)
		}), true
	}
}
