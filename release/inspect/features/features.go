// Package features reads which feature gates a payload turns on, for each kind of
// cluster that it has manifests for, and says how that differs between two payloads.
//
// A payload has an object FeatureGate (config.openshift.io/v1) for every cluster
// profile and feature set, whose status.featureGates lists what is on and off. Such
// objects are not applied: they name their profile by the annotation
// include.release.openshift.io/<profile> with "true", or with a value that keeps
// everybody else off. How many tests there are of a gate says an object TestReporting.
package features

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/manifests"
)

const (
	group         = "config.openshift.io"
	profilePrefix = "include.release.openshift.io/"
	setAnnotation = "release.openshift.io/feature-set"
	// forOperator is the value of the profile's annotation that keeps the
	// cluster-version operator from applying a FeatureGate.
	forOperator = "false-except-for-the-config-operator"
)

// Kind is a kind of cluster.
type Kind struct {
	Profile    string `json:"profile"` // "self-managed-high-availability"; empty when the manifest names none
	FeatureSet string `json:"featureSet"`
}

func (k Kind) String() string { return strings.TrimSuffix(k.FeatureSet+", "+k.Profile, ", ") }

func compareKinds(a, b Kind) int {
	return cmp.Or(cmp.Compare(a.FeatureSet, b.FeatureSet), cmp.Compare(a.Profile, b.Profile))
}

// Gates is what a payload says of feature gates.
type Gates struct {
	// Warnings name manifests that could not be read.
	Warnings []string

	on    map[Kind]map[string]bool
	tests map[string]int
}

// Read reads a payload. One that has no FeatureGate has no kinds.
func Read(p *release.Payload) *Gates {
	g := &Gates{on: map[Kind]map[string]bool{}, tests: map[string]int{}}
	for _, f := range p.Manifests {
		// Most files are of something else, and parsing takes long.
		if !manifests.IsManifest(f.Name) || !bytes.Contains(f.Data, []byte("FeatureGate")) {
			continue
		}
		objects, err := manifests.Parse(f.Data, f.Name)
		if err != nil {
			g.Warnings = append(g.Warnings, fmt.Sprintf("feature gates of %s were not read: it is no readable manifest", f.Name))
			continue
		}
		for _, o := range objects {
			if o.Group() != group {
				continue
			}
			switch o.Kind {
			case "FeatureGate":
				err = g.addGates(p, o)
			case "TestReporting":
				err = g.addTests(o)
			}
			if err != nil {
				g.Warnings = append(g.Warnings, fmt.Sprintf("%s in %s was not read: %v", o, f.Name, err))
			}
		}
	}
	return g
}

func (g *Gates) addGates(p *release.Payload, o manifests.Object) error {
	if !o.ForMajorVersion(p.Version.Semver().Major) {
		return nil
	}
	var gate Object
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Content, &gate); err != nil {
		return err
	}
	sets := []string{cmp.Or(gate.Spec.FeatureSet, manifests.DefaultFeatureSet)}
	if named := o.Annotations()[setAnnotation]; named != "" && gate.Spec.FeatureSet == "" {
		sets = strings.Split(named, ",")
	}
	state := map[string]bool{}
	on, off, ok := gate.Of(p.Version.String())
	if !ok {
		return nil
	}
	for _, name := range off {
		state[name] = false
	}
	for _, name := range on {
		state[name] = true
	}
	for _, profile := range profilesOf(o) {
		for _, set := range sets {
			g.on[Kind{profile, set}] = state
		}
	}
	return nil
}

func profilesOf(o manifests.Object) []string {
	var profiles []string
	for key, value := range o.Annotations() {
		if profile, ok := strings.CutPrefix(key, profilePrefix); ok && (value == "true" || value == forOperator) {
			profiles = append(profiles, profile)
		}
	}
	if len(profiles) == 0 {
		return []string{""}
	}
	return profiles
}

func (g *Gates) addTests(o manifests.Object) error {
	var reporting struct {
		Spec struct {
			TestsForFeatureGates []struct {
				FeatureGate string `json:"featureGate"`
				Tests       []any  `json:"tests"`
			} `json:"testsForFeatureGates"`
		} `json:"spec"`
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Content, &reporting); err != nil {
		return err
	}
	for _, t := range reporting.Spec.TestsForFeatureGates {
		g.tests[t.FeatureGate] = len(t.Tests)
	}
	return nil
}

// Kinds returns the kinds of clusters that the payload has gates for, sorted by set.
func (g *Gates) Kinds() []Kind { return slices.SortedFunc(maps.Keys(g.on), compareKinds) }

// On returns the gates that are on in clusters of a kind, sorted, and whether the
// payload says anything about such. A payload that names no profile speaks of all.
func (g *Gates) On(k Kind) ([]string, bool) {
	states, ok := g.on[k]
	if !ok {
		if states, ok = g.on[Kind{FeatureSet: k.FeatureSet}]; !ok {
			return nil, false
		}
	}
	on := []string{}
	for _, name := range slices.Sorted(maps.Keys(states)) {
		if states[name] {
			on = append(on, name)
		}
	}
	return on, true
}

// Object is what is used of a FeatureGate (config.openshift.io/v1), in a payload or in
// a cluster.
type Object struct {
	Spec struct {
		FeatureSet      string `json:"featureSet"`
		CustomNoUpgrade struct {
			Enabled  []string `json:"enabled"`
			Disabled []string `json:"disabled"`
		} `json:"customNoUpgrade"`
	} `json:"spec"`
	Status struct {
		FeatureGates []struct {
			Version  string `json:"version"`
			Enabled  []name `json:"enabled"`
			Disabled []name `json:"disabled"`
		} `json:"featureGates"`
	} `json:"status"`
}

type name struct {
	Name string `json:"name"`
}

// Of returns what is on and off in a version of the release. An entry without
// version, as payloads have it, is for every one.
func (o *Object) Of(version string) (on, off []string, ok bool) {
	for _, wanted := range []string{version, ""} {
		for _, s := range o.Status.FeatureGates {
			if s.Version == wanted {
				return names(s.Enabled), names(s.Disabled), true
			}
		}
	}
	return nil, nil, false
}

func names(list []name) []string {
	all := make([]string, len(list))
	for i, n := range list {
		all[i] = n.Name
	}
	return all
}
