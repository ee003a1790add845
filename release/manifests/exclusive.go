package manifests

import (
	"slices"
	"strings"
)

// Exclusive reports whether no cluster applies both objects, because their
// annotations exclude each other: other profiles, other feature sets, a gate that must be
// on for the one and off for the other, other major versions. A payload may hold one
// object in several such variants.
func Exclusive(a, b Object) bool {
	x, y := a.Annotations(), b.Annotations()
	return exclusiveProfiles(x, y) || exclusiveFeatureSets(x, y) || exclusiveGates(x, y) || exclusiveGates(y, x) || exclusiveMajors(x, y)
}

// exclusiveProfiles takes an object that names no profile as one of all of them.
func exclusiveProfiles(a, b map[string]string) bool {
	names := func(annotations map[string]string) bool {
		for key := range annotations {
			if strings.HasPrefix(key, includePrefix) {
				return true
			}
		}
		return false
	}
	if !names(a) || !names(b) {
		return false
	}
	for key, value := range a {
		if strings.HasPrefix(key, includePrefix) && value == "true" && b[key] == "true" {
			return false
		}
	}
	return true
}

func exclusiveFeatureSets(a, b map[string]string) bool {
	x, inA := a[featureSetAnnotation]
	y, inB := b[featureSetAnnotation]
	return inA && inB && !intersect(strings.Split(x, ","), strings.Split(y, ","))
}

func exclusiveGates(a, b map[string]string) bool {
	others := listed(b[featureGateAnnotation])
	return slices.ContainsFunc(listed(a[featureGateAnnotation]), func(gate string) bool {
		return slices.Contains(others, "-"+gate)
	})
}

func exclusiveMajors(a, b map[string]string) bool {
	wantedA, refusedA, problemA := parseMajorVersions(a[majorVersionAnnotation])
	wantedB, refusedB, problemB := parseMajorVersions(b[majorVersionAnnotation])
	if problemA != "" || problemB != "" {
		return false
	}
	if len(wantedA) > 0 && len(wantedB) > 0 {
		return !intersect(wantedA, wantedB)
	}
	within := func(wanted, refused []uint64) bool {
		return len(wanted) > 0 && !slices.ContainsFunc(wanted, func(n uint64) bool { return !slices.Contains(refused, n) })
	}
	return within(wantedA, refusedB) || within(wantedB, refusedA)
}

func intersect[T comparable](a, b []T) bool {
	return slices.ContainsFunc(a, func(item T) bool { return slices.Contains(b, item) })
}

// Contradiction is an annotation for which no cluster applies the object.
type Contradiction struct{ Annotation, Reason string }

// Contradictions returns the annotations that no cluster can meet.
func Contradictions(o Object) []Contradiction {
	var found []Contradiction
	add := func(annotation, reason string) {
		if reason != "" {
			found = append(found, Contradiction{annotation, reason})
		}
	}
	annotations := o.Annotations()
	sets, hasSets := annotations[featureSetAnnotation]
	_, hasGates := annotations[featureGateAnnotation]
	if hasSets {
		add(featureSetAnnotation, checkFeatureSet(sets, strings.Split(sets, ",")[0]))
	}
	if hasSets && hasGates {
		add(featureGateAnnotation, featureSetAnnotation+" and "+featureGateAnnotation+" exclude each other, and both are set")
	}
	if exclusiveGates(annotations, annotations) {
		add(featureGateAnnotation, featureGateAnnotation+" wants a gate both on and off: "+annotations[featureGateAnnotation])
	}
	if majors, ok := annotations[majorVersionAnnotation]; ok {
		wanted, _, problem := parseMajorVersions(majors)
		if problem == "" && len(wanted) > 0 {
			problem = Selection{MajorVersion: wanted[0]}.checkMajorVersion(o, annotations)
		}
		add(majorVersionAnnotation, problem)
	}
	return found
}
