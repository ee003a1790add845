package manifests

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Annotations that decide whether a cluster applies a manifest.
const (
	includePrefix          = "include.release.openshift.io/"
	excludePrefix          = "exclude.release.openshift.io/"
	featureSetAnnotation   = "release.openshift.io/feature-set"
	featureGateAnnotation  = "release.openshift.io/feature-gate"
	majorVersionAnnotation = "release.openshift.io/major-version"
	capabilityAnnotation   = "capability.openshift.io/name"
	createOnlyAnnotation   = "release.openshift.io/create-only"
	deleteAnnotation       = "release.openshift.io/delete"
)

// DefaultFeatureSet is the feature set of a cluster that chose none.
const DefaultFeatureSet = "Default"

// featureSets are those that the cluster-version operator knows. It never
// applies a manifest that names another.
var featureSets = []string{"CustomNoUpgrade", DefaultFeatureSet, "DevPreviewNoUpgrade", "OKD", "TechPreviewNoUpgrade"}

// Selection says for which kind of cluster manifests are chosen. Its zero value
// looks at profiles and exclusions only; every further field adds a filter.
type Selection struct {
	// Profile chooses only objects annotated include.release.openshift.io/<profile>: "true".
	// Empty: a manifest needs no such annotation.
	Profile string
	// Identity leaves out objects annotated exclude.release.openshift.io/<identity>: "true".
	// Empty stands for "slipway".
	Identity string
	// FeatureSet leaves out objects whose release.openshift.io/feature-set, a comma
	// list, names others only. DefaultFeatureSet is that of a cluster that chose none.
	// Empty: objects of all feature sets are chosen.
	FeatureSet string
	// FeatureGates are those that are on. They are compared with
	// release.openshift.io/feature-gate, a comma list in which -NAME must be off. Nil: objects are
	// chosen whatever gates they name; empty, not nil: no gate is on.
	FeatureGates []string
	// MajorVersion of the release is compared with release.openshift.io/major-version, a
	// comma list in which -N is refused. Zero: it is not compared.
	MajorVersion uint64
	// Overrides leave out objects that the cluster's administrator manages.
	Overrides []Override
	// Capabilities leave out objects whose capability.openshift.io/name, joined by
	// "+", names one that is not on. Nil: objects of all capabilities are chosen.
	Capabilities *Capabilities
}

// Override is an object that its cluster's administrator took over from the
// cluster-version operator: spec.overrides of a ClusterVersion with unmanaged.
type Override struct {
	Group, Kind, Namespace, Name string
}

// Capabilities are the optional parts of a cluster.
type Capabilities struct {
	// Known are all that the cluster has heard of. An object of another one is
	// left out. Nil: every name is known.
	Known   []string
	Enabled []string
}

// With returns the capabilities with more of them known and on.
func (c *Capabilities) With(names ...string) *Capabilities {
	more := &Capabilities{Enabled: slices.Concat(c.Enabled, names)}
	if c.Known != nil {
		more.Known = slices.Concat(c.Known, names)
	}
	return more
}

// Included reports whether an object belongs into a cluster, and if not, why:
// all reasons, joined by "; ". The rules are those of the cluster-version operator; besides, a
// selection without profile takes objects without any annotation as well.
func Included(o Object, s Selection) (included bool, reason string) {
	annotations := o.Annotations()
	var reasons []string
	for _, check := range []func(Object, map[string]string) string{
		s.excluded, s.checkFeatures, s.checkMajorVersion, s.checkProfile, s.checkCapabilities, s.checkOverrides,
	} {
		if reason := check(o, annotations); reason != "" {
			reasons = append(reasons, reason)
		}
	}
	return len(reasons) == 0, strings.Join(reasons, "; ")
}

// CreateOnly reports whether a cluster makes the object once and never changes it.
func (o Object) CreateOnly() bool { return o.Annotations()[createOnlyAnnotation] == "true" }

// Deleted reports whether a cluster removes the object, if it has it.
func (o Object) Deleted() bool { return o.Annotations()[deleteAnnotation] == "true" }

// Capabilities returns the capabilities that must all be on for the object to be
// applied; nil when it names none.
func (o Object) Capabilities() []string {
	if value := o.Annotations()[capabilityAnnotation]; value != "" {
		return strings.Split(value, "+")
	}
	return nil
}

// Profiles returns the cluster profiles that the object names with the value
// "true", sorted.
func (o Object) Profiles() []string {
	var profiles []string
	for key, value := range o.Annotations() {
		if profile, ok := strings.CutPrefix(key, includePrefix); ok && value == "true" {
			profiles = append(profiles, profile)
		}
	}
	slices.Sort(profiles)
	return profiles
}

func (s Selection) excluded(_ Object, annotations map[string]string) string {
	identity := s.Identity
	if identity == "" {
		identity = "slipway"
	}
	if key := excludePrefix + identity; annotations[key] == "true" {
		return key + " is true"
	}
	return ""
}

func (s Selection) checkProfile(o Object, annotations map[string]string) string {
	if s.Profile != "" {
		key := includePrefix + s.Profile
		switch value, ok := annotations[key]; {
		case !ok:
			return key + " is not set"
		case value != "true":
			return fmt.Sprintf("%s is %q, not \"true\"", key, value)
		}
		return ""
	}
	// Without a profile only manifests that say of every profile they name that
	// they do not belong to it are left out.
	for key := range annotations {
		if strings.HasPrefix(key, includePrefix) && len(o.Profiles()) == 0 {
			return "no " + includePrefix + "… is true"
		}
	}
	return ""
}

func (s Selection) checkFeatures(_ Object, annotations map[string]string) string {
	sets, hasSets := annotations[featureSetAnnotation]
	gates, hasGates := annotations[featureGateAnnotation]
	if hasSets && hasGates && s.FeatureSet != "" && s.FeatureGates != nil {
		return fmt.Sprintf("%s and %s exclude each other, and both are set", featureSetAnnotation, featureGateAnnotation)
	}
	if hasSets && s.FeatureSet != "" {
		if reason := checkFeatureSet(sets, s.FeatureSet); reason != "" {
			return reason
		}
	}
	if hasGates && s.FeatureGates != nil {
		return checkFeatureGates(gates, s.FeatureGates)
	}
	return ""
}

func checkFeatureSet(annotation, wanted string) string {
	named := strings.Split(annotation, ",")
	for _, n := range named {
		if !slices.Contains(featureSets, n) {
			return fmt.Sprintf("%s names %q, which is none of %s", featureSetAnnotation, n, strings.Join(featureSets, ", "))
		}
	}
	if !slices.Contains(named, wanted) {
		return fmt.Sprintf("%s is %s, not %s", featureSetAnnotation, annotation, wanted)
	}
	return ""
}

func checkFeatureGates(annotation string, on []string) string {
	var reasons []string
	for _, gate := range listed(annotation) {
		if name, off := strings.CutPrefix(gate, "-"); off {
			if slices.Contains(on, name) {
				reasons = append(reasons, "feature gate "+name+" is on and must be off")
			}
		} else if !slices.Contains(on, gate) {
			reasons = append(reasons, "feature gate "+gate+" is off")
		}
	}
	return strings.Join(reasons, "; ")
}

func (s Selection) checkMajorVersion(o Object, annotations map[string]string) string {
	annotation, ok := annotations[majorVersionAnnotation]
	if !ok || s.MajorVersion == 0 {
		return ""
	}
	if !o.is("config.openshift.io", "FeatureGate") && !o.is("apiextensions.k8s.io", "CustomResourceDefinition") {
		return majorVersionAnnotation + " counts on FeatureGate and CustomResourceDefinition only"
	}
	wanted, refused, problem := parseMajorVersions(annotation)
	switch {
	case problem != "":
		return problem
	case slices.Contains(refused, s.MajorVersion), len(wanted) > 0 && !slices.Contains(wanted, s.MajorVersion):
		return fmt.Sprintf("%s is %q, and the release's is %d", majorVersionAnnotation, annotation, s.MajorVersion)
	}
	return ""
}

// ForMajorVersion reports whether the object belongs into releases of a major version,
// by release.openshift.io/major-version.
func (o Object) ForMajorVersion(major uint64) bool {
	return Selection{MajorVersion: major}.checkMajorVersion(o, o.Annotations()) == ""
}

func parseMajorVersions(annotation string) (wanted, refused []uint64, problem string) {
	for _, item := range listed(annotation) {
		digits, negative := strings.CutPrefix(item, "-")
		n, err := strconv.ParseUint(digits, 10, 64)
		if err != nil {
			return nil, nil, fmt.Sprintf("%s names %q, which is no major version", majorVersionAnnotation, item)
		}
		if negative {
			refused = append(refused, n)
		} else {
			wanted = append(wanted, n)
		}
	}
	for _, n := range wanted {
		if slices.Contains(refused, n) {
			return nil, nil, fmt.Sprintf("%s both names and refuses %d", majorVersionAnnotation, n)
		}
	}
	return wanted, refused, ""
}

func (s Selection) checkCapabilities(o Object, _ map[string]string) string {
	if s.Capabilities == nil {
		return ""
	}
	var unknown, off []string
	for _, c := range o.Capabilities() {
		switch {
		case s.Capabilities.Known != nil && !slices.Contains(s.Capabilities.Known, c):
			unknown = append(unknown, c)
		case !slices.Contains(s.Capabilities.Enabled, c):
			off = append(off, c)
		}
	}
	var reasons []string
	if len(unknown) > 0 {
		reasons = append(reasons, "capabilities that are not known: "+strings.Join(unknown, ", "))
	}
	if len(off) > 0 {
		reasons = append(reasons, "capabilities that are off: "+strings.Join(off, ", "))
	}
	return strings.Join(reasons, "; ")
}

func (s Selection) checkOverrides(o Object, _ map[string]string) string {
	if slices.Contains(s.Overrides, Override{o.Group(), o.Kind, o.Namespace, o.Name}) {
		return "spec.overrides of the cluster's ClusterVersion says that it is unmanaged"
	}
	return ""
}

// listed returns the items of a comma list, without white space and empty ones.
func listed(list string) []string {
	var items []string
	for _, item := range strings.Split(list, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

func (o Object) is(group, kind string) bool { return o.Group() == group && o.Kind == kind }
