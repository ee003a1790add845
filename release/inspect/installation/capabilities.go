package installation

import (
	"fmt"
	"slices"
	"strings"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/manifests"
)

// currentSet is the set of all capabilities that a release has.
const currentSet = "vCurrent"

// capabilitySets are the baselines that an installation can name, as
// ClusterVersionCapabilitySets of github.com/openshift/api/config/v1 has them at
// release 4.18: each one is the one before and a few more.
var capabilitySets = []struct {
	name string
	more []string
}{
	{"None", nil},
	{"v4.11", []string{"baremetal", "marketplace", "openshift-samples", "MachineAPI"}},
	{"v4.12", []string{"Console", "Insights", "Storage", "CSISnapshot"}},
	{"v4.13", []string{"NodeTuning"}},
	{"v4.14", []string{"Build", "DeploymentConfig", "ImageRegistry"}},
	{"v4.15", []string{"OperatorLifecycleManager", "CloudCredential"}},
	{"v4.16", []string{"Ingress", "CloudControllerManager"}},
	{"v4.17", nil},
	{"v4.18", []string{"OperatorLifecycleManagerV1"}},
}

// of returns the capabilities that are on in a release, sorted.
func (c *capabilities) of(p *release.Payload) ([]string, error) {
	enabled := slices.Clone(c.additional)
	if c.baseline == "" || c.baseline == currentSet {
		return sorted(append(enabled, CapabilitiesOf(p)...)), nil
	}
	var names []string
	for _, set := range capabilitySets {
		enabled = append(enabled, set.more...)
		if set.name == c.baseline {
			return sorted(enabled), nil
		}
		names = append(names, set.name)
	}
	return nil, fmt.Errorf("baselineCapabilitySet %q is none of %s, %s", c.baseline, strings.Join(names, ", "), currentSet)
}

func sorted(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

// CapabilitiesOf returns all capabilities that a payload's manifests name, sorted.
func CapabilitiesOf(p *release.Payload) []string {
	var all []string
	for _, o := range objectsOf(p) {
		all = append(all, o.Capabilities()...)
	}
	return sorted(all)
}

func objectsOf(p *release.Payload) []manifests.Object {
	var all []manifests.Object
	for _, f := range p.Manifests {
		if !manifests.IsManifest(f.Name) {
			continue
		}
		// What cannot be read is told where manifests are chosen.
		if objects, err := manifests.Parse(f.Data, f.Name); err == nil {
			all = append(all, objects...)
		}
	}
	return all
}

// identity is what makes an object the same in two payloads.
type identity struct{ group, kind, namespace, name string }

func identityOf(o manifests.Object) identity {
	return identity{o.Group(), o.Kind, o.Namespace, o.Name}
}

// Implicit returns the capabilities that the cluster-version operator turns on by
// itself on the way from one payload to the next: what a cluster has is not taken from
// it because the next payload puts it under a capability that is off. Selections are of
// each payload.
func Implicit(from, to *release.Payload, has, wants manifests.Selection) []string {
	if has.Capabilities == nil || wants.Capabilities == nil {
		return nil
	}
	applied := map[identity]bool{}
	for _, o := range objectsOf(from) {
		if included, _ := manifests.Included(o, has); included {
			applied[identityOf(o)] = true
		}
	}
	var implicit []string
	for _, o := range objectsOf(to) {
		if !applied[identityOf(o)] {
			continue
		}
		all := wants
		all.Capabilities = nil
		if included, _ := manifests.Included(o, all); !included {
			continue
		}
		for _, c := range o.Capabilities() {
			if !slices.Contains(wants.Capabilities.Enabled, c) {
				implicit = append(implicit, c)
			}
		}
	}
	return sorted(implicit)
}
