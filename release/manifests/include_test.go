package manifests_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/manifests"
)

func annotated(t *testing.T, kind, annotations string) manifests.Object {
	t.Helper()
	api := map[string]string{"FeatureGate": "config.openshift.io/v1", "CustomResourceDefinition": "apiextensions.k8s.io/v1"}[kind]
	if api == "" {
		api = "v1"
	}
	objects, err := manifests.Parse(fmt.Appendf(nil, "apiVersion: %s\nkind: %s\nmetadata: {name: a, annotations: %s}\n", api, kind, annotations), "f.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return objects[0]
}

func TestIncluded(t *testing.T) {
	type selection = manifests.Selection
	ha := "include.release.openshift.io/ha: 'true'"
	off := &manifests.Capabilities{Known: []string{"Console", "Storage"}, Enabled: []string{"Console"}}
	for _, tc := range []struct {
		kind        string // Namespace when empty
		annotations string
		selection   selection
		reason      string // empty: included
	}{
		{"", "{}", selection{}, ""},
		{"", "{" + ha + ", include.release.openshift.io/ibm: 'false'}", selection{}, ""},
		{"", "{include.release.openshift.io/ha: 'false'}", selection{}, "no include.release.openshift.io/… is true"},

		{"", "{exclude.release.openshift.io/slipway: 'true'}", selection{}, "exclude.release.openshift.io/slipway is true"},
		{"", "{exclude.release.openshift.io/slipway: 'false'}", selection{}, ""},
		{"", "{exclude.release.openshift.io/other: 'true'}", selection{}, ""},
		{"", "{exclude.release.openshift.io/other: 'true'}", selection{Identity: "other"}, "exclude.release.openshift.io/other is true"},

		{"", "{}", selection{Profile: "ha"}, "include.release.openshift.io/ha is not set"},
		{"", "{" + ha + "}", selection{Profile: "ha"}, ""},
		{"", "{" + ha + "}", selection{Profile: "single"}, "include.release.openshift.io/single is not set"},
		{"", "{include.release.openshift.io/ha: false-except-for-x}", selection{Profile: "ha"}, `include.release.openshift.io/ha is "false-except-for-x", not "true"`},

		{"", "{release.openshift.io/feature-set: TechPreviewNoUpgrade}", selection{}, ""},
		{"", "{release.openshift.io/feature-set: TechPreviewNoUpgrade}", selection{FeatureSet: "Default"}, "release.openshift.io/feature-set is TechPreviewNoUpgrade, not Default"},
		{"", "{release.openshift.io/feature-set: 'TechPreviewNoUpgrade,Default'}", selection{FeatureSet: "Default"}, ""},
		{"", "{release.openshift.io/feature-set: 'Default,LatencySensitive'}", selection{FeatureSet: "Default"},
			`release.openshift.io/feature-set names "LatencySensitive", which is none of CustomNoUpgrade, Default, DevPreviewNoUpgrade, OKD, TechPreviewNoUpgrade`},
		{"", "{}", selection{FeatureSet: "Default"}, ""},

		{"", "{release.openshift.io/feature-gate: A}", selection{}, ""},
		{"", "{release.openshift.io/feature-gate: A}", selection{FeatureGates: []string{}}, "feature gate A is off"},
		{"", "{release.openshift.io/feature-gate: ' A , ,-B'}", selection{FeatureGates: []string{"A"}}, ""},
		{"", "{release.openshift.io/feature-gate: 'A,-B,C'}", selection{FeatureGates: []string{"A", "B"}}, "feature gate B is on and must be off; feature gate C is off"},
		{"", "{release.openshift.io/feature-gate: A, release.openshift.io/feature-set: Default}", selection{FeatureSet: "Default", FeatureGates: []string{"A"}},
			"release.openshift.io/feature-set and release.openshift.io/feature-gate exclude each other, and both are set"},
		{"", "{release.openshift.io/feature-gate: A, release.openshift.io/feature-set: Default}", selection{FeatureSet: "Default"}, ""},

		{"CustomResourceDefinition", "{release.openshift.io/major-version: '4,5'}", selection{MajorVersion: 4}, ""},
		{"CustomResourceDefinition", "{release.openshift.io/major-version: '4,5'}", selection{}, ""},
		{"CustomResourceDefinition", "{release.openshift.io/major-version: '4,5'}", selection{MajorVersion: 6}, `release.openshift.io/major-version is "4,5", and the release's is 6`},
		{"FeatureGate", "{release.openshift.io/major-version: ' -4 '}", selection{MajorVersion: 4}, `release.openshift.io/major-version is " -4 ", and the release's is 4`},
		{"FeatureGate", "{release.openshift.io/major-version: '-4'}", selection{MajorVersion: 5}, ""},
		{"FeatureGate", "{release.openshift.io/major-version: '4,-4'}", selection{MajorVersion: 4}, "release.openshift.io/major-version both names and refuses 4"},
		{"FeatureGate", "{release.openshift.io/major-version: four}", selection{MajorVersion: 4}, `release.openshift.io/major-version names "four", which is no major version`},
		{"", "{release.openshift.io/major-version: '4'}", selection{MajorVersion: 4}, "release.openshift.io/major-version counts on FeatureGate and CustomResourceDefinition only"},

		{"", "{capability.openshift.io/name: Storage}", selection{}, ""},
		{"", "{capability.openshift.io/name: ''}", selection{Capabilities: off}, ""},
		{"", "{capability.openshift.io/name: Console}", selection{Capabilities: off}, ""},
		{"", "{capability.openshift.io/name: Console+Storage}", selection{Capabilities: off}, "capabilities that are off: Storage"},
		{"", "{capability.openshift.io/name: New+Storage}", selection{Capabilities: off}, "capabilities that are not known: New; capabilities that are off: Storage"},
		{"", "{capability.openshift.io/name: New}", selection{Capabilities: &manifests.Capabilities{}}, "capabilities that are off: New"},

		{"", "{exclude.release.openshift.io/x: 'true', capability.openshift.io/name: Storage}", selection{Identity: "x", Profile: "ha", Capabilities: off},
			"exclude.release.openshift.io/x is true; include.release.openshift.io/ha is not set; capabilities that are off: Storage"},
	} {
		if tc.kind == "" {
			tc.kind = "Namespace"
		}
		got, reason := manifests.Included(annotated(t, tc.kind, tc.annotations), tc.selection)
		if got != (tc.reason == "") || reason != tc.reason {
			t.Errorf("%s %s with %+v: got %v, %q; want %q", tc.kind, tc.annotations, tc.selection, got, reason, tc.reason)
		}
	}
	left, err := manifests.Plan([]release.File{{Name: "0000_10_a_b.yaml", Data: []byte("apiVersion: v1\nkind: Namespace\nmetadata: {name: a, annotations: {exclude.release.openshift.io/slipway: 'true'}}\n")}})
	if err != nil || len(left) != 0 {
		t.Errorf("an excluded object was planned: %v %v", left, err)
	}
}

func TestAnnotationsOfObjects(t *testing.T) {
	o := annotated(t, "Namespace", "{include.release.openshift.io/b: 'true', include.release.openshift.io/a: 'true', include.release.openshift.io/c: 'false', "+
		"capability.openshift.io/name: X+Y, release.openshift.io/create-only: 'true'}")
	if diff := cmp.Diff([]string{"a", "b"}, o.Profiles()); diff != "" {
		t.Error(diff)
	}
	if got := strings.Join(o.Capabilities(), " "); got != "X Y" {
		t.Errorf("capabilities: %q", got)
	}
	if !o.CreateOnly() || o.Deleted() {
		t.Errorf("create-only %v, deleted %v", o.CreateOnly(), o.Deleted())
	}
	bare := annotated(t, "Namespace", "{release.openshift.io/delete: 'true'}")
	if bare.CreateOnly() || !bare.Deleted() || bare.Capabilities() != nil || bare.Profiles() != nil {
		t.Errorf("got %v %v %v %v", bare.CreateOnly(), bare.Deleted(), bare.Capabilities(), bare.Profiles())
	}
}

// Variants of one object for different clusters are no duplicates.
func TestExclusive(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want bool
	}{
		{"{}", "{}", false},
		{"{include.release.openshift.io/a: 'true'}", "{include.release.openshift.io/b: 'true'}", true},
		{"{include.release.openshift.io/a: 'true'}", "{include.release.openshift.io/a: 'true', include.release.openshift.io/b: 'true'}", false},
		{"{include.release.openshift.io/a: 'true'}", "{}", false},
		{"{include.release.openshift.io/a: 'true'}", "{include.release.openshift.io/a: 'false'}", true},
		{"{release.openshift.io/feature-set: Default}", "{release.openshift.io/feature-set: 'CustomNoUpgrade,OKD'}", true},
		{"{release.openshift.io/feature-set: Default}", "{release.openshift.io/feature-set: 'CustomNoUpgrade,Default'}", false},
		{"{release.openshift.io/feature-set: Default}", "{}", false},
		{"{release.openshift.io/feature-gate: 'A, B'}", "{release.openshift.io/feature-gate: '-B'}", true},
		{"{release.openshift.io/feature-gate: 'A'}", "{release.openshift.io/feature-gate: 'B'}", false},
		{"{release.openshift.io/major-version: '4'}", "{release.openshift.io/major-version: '5'}", true},
		{"{release.openshift.io/major-version: '4'}", "{release.openshift.io/major-version: '-4'}", true},
		{"{release.openshift.io/major-version: '4,5'}", "{release.openshift.io/major-version: '-4'}", false},
		{"{release.openshift.io/major-version: '-4'}", "{release.openshift.io/major-version: '-5'}", false},
		{"{release.openshift.io/major-version: 'x'}", "{release.openshift.io/major-version: '5'}", false},
	} {
		a, b := annotated(t, "FeatureGate", tc.a), annotated(t, "FeatureGate", tc.b)
		if manifests.Exclusive(a, b) != tc.want || manifests.Exclusive(b, a) != tc.want {
			t.Errorf("%s and %s: got %v and %v, want %v", tc.a, tc.b, manifests.Exclusive(a, b), manifests.Exclusive(b, a), tc.want)
		}
		if got := len(manifests.Duplicates([]manifests.Object{a, b})) == 0; got != tc.want {
			t.Errorf("%s and %s: no duplicates: %v, want %v", tc.a, tc.b, got, tc.want)
		}
	}
}
