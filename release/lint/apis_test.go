package lint

import (
	"reflect"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
)

// Kubernetes' own types say when their API versions end; the table must say the same.
func TestRetirementsAreThoseOfKubernetes(t *testing.T) {
	seen := 0
	for gvk, typ := range scheme.Scheme.AllKnownTypes() {
		if strings.HasSuffix(gvk.Kind, "List") || strings.HasSuffix(gvk.Kind, "Options") || gvk.Kind == "WatchEvent" {
			continue
		}
		object := reflect.New(typ).Interface()
		removed, ok := object.(interface{ APILifecycleRemoved() (int, int) })
		if !ok || notStored[gvk.Kind] {
			continue
		}
		seen++
		_, minor := removed.APILifecycleRemoved()
		_, deprecated := object.(interface{ APILifecycleDeprecated() (int, int) }).APILifecycleDeprecated()
		r, ok := retirementOf(gvk.GroupVersion().String(), gvk.Kind)
		if !ok || r.removed != minor || r.deprecated != deprecated {
			t.Errorf("%s: Kubernetes deprecates it in 1.%d and removes it in 1.%d; the table says %+v", gvk, deprecated, minor, r)
		}
		if replacement, ok := object.(interface {
			APILifecycleReplacement() schema.GroupVersionKind
		}); ok && r.instead == "" {
			t.Errorf("%s: Kubernetes names %s in its place, the table nothing", gvk, replacement.APILifecycleReplacement())
		}
	}
	if seen < 40 {
		t.Errorf("%d types with an end were seen", seen)
	}
}

// notStored are requests and answers, which no manifest holds.
var notStored = map[string]bool{
	"AdmissionReview": true, "APIGroupDiscovery": true, "DeploymentRollback": true, "Scale": true, "Eviction": true, "TokenReview": true,
	"SelfSubjectReview": true, "LocalSubjectAccessReview": true, "SelfSubjectAccessReview": true, "SelfSubjectRulesReview": true, "SubjectAccessReview": true,
}

func TestRetirementsMakeSense(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range retirements {
		for _, kind := range r.kinds {
			if key := r.api + " " + kind; seen[key] {
				t.Errorf("%s stands twice", key)
			} else {
				seen[key] = true
			}
		}
		if r.removed != 0 && r.removed <= r.deprecated || r.instead == r.api {
			t.Errorf("%+v", r)
		}
		if end, ok := retirementOf(r.instead, r.kinds[0]); ok && end.removed != 0 && end.removed <= r.removed {
			t.Errorf("%+v points to what ends no later", r)
		}
	}
}

func TestParseMinor(t *testing.T) {
	for version, want := range map[string]string{
		"1.36": "1.36", "v1.36.3": "1.36", "1.36.0-rc.1": "1.36", "1.24.17+k3s": "1.24",
		"": "", "1": "", "one.two": "", "0.36.3": "", "1.-1": "", "1.36+": "",
	} {
		if got := parseMinor(version).String(); got != want {
			t.Errorf("%q: got %q, want %q", version, got, want)
		}
	}
}
