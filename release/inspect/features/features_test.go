package features_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/inspect/features"
	"github.com/slipway-release/slipway/release/releasetest"
)

const (
	alone  = "self-managed-high-availability"
	hosted = "ibm-cloud-managed"
)

// gate writes a FeatureGate as payloads have it. States are "+On" and "-Off".
func gate(file, set, value string, profiles []string, states ...string) releasetest.File {
	var b strings.Builder
	b.WriteString("apiVersion: config.openshift.io/v1\nkind: FeatureGate\nmetadata:\n  name: cluster\n  annotations:\n")
	for _, p := range profiles {
		b.WriteString("    include.release.openshift.io/" + p + ": \"" + value + "\"\n")
	}
	b.WriteString("spec:\n  featureSet: \"" + set + "\"\nstatus:\n  featureGates:\n  - version: \"\"\n    enabled:\n")
	for _, s := range states {
		if name, on := strings.CutPrefix(s, "+"); on {
			b.WriteString("    - name: " + name + "\n")
		}
	}
	b.WriteString("    disabled:\n")
	for _, s := range states {
		if name, off := strings.CutPrefix(s, "-"); off {
			b.WriteString("    - name: " + name + "\n")
		}
	}
	return releasetest.File{Name: "0000_50_cluster-config-api_featureGate-" + file + ".yaml", Data: []byte(b.String())}
}

func load(t *testing.T, version string, files ...releasetest.File) *release.Payload {
	t.Helper()
	spec := releasetest.Small(version)
	spec.Manifests = append(spec.Manifests, files...)
	p, err := release.Load(t.Context(), spec.Image(t))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const tests = "apiVersion: config.openshift.io/v1\nkind: TestReporting\nmetadata: {name: cluster}\nspec:\n  testsForFeatureGates:\n" +
	"  - {featureGate: Fresh, tests: [{testName: a}, {testName: b}]}\n  - {featureGate: Grown, tests: [{testName: c}]}\n"

func TestCompare(t *testing.T) {
	both := []string{alone, hosted}
	operator := "false-except-for-the-config-operator"
	older := load(t, "4.19.0",
		gate("default", "", operator, both, "-Grown", "+Stays", "+Taken", "+Gone"),
		gate("tech", "TechPreviewNoUpgrade", "true", []string{alone}, "+Grown", "+Stays", "+Taken", "+Gone"),
		gate("dev", "DevPreviewNoUpgrade", "true", []string{alone}, "+Never"))
	newer := load(t, "4.20.0",
		gate("default", "", operator, both, "+Grown", "+Stays", "-Taken", "-Fresh"),
		gate("tech", "TechPreviewNoUpgrade", "true", []string{alone}, "+Grown", "+Stays", "+Taken", "+Fresh"),
		releasetest.File{Name: "0000_50_tests_test-reporting.yaml", Data: []byte(tests)})
	from, to := features.Read(older), features.Read(newer)
	if len(from.Warnings)+len(to.Warnings) != 0 {
		t.Errorf("%v, %v", from.Warnings, to.Warnings)
	}
	var got []string
	for _, c := range features.Compare(from, to) {
		words := []string{c.Name, strings.Repeat("t", c.Tests)}
		for _, s := range c.States {
			words = append(words, s.Kind.String()+": "+s.String())
		}
		got = append(got, strings.Join(words, "|"))
		if c.New() != (c.Name == "Fresh") || c.Gone() != (c.Name == "Gone") {
			t.Errorf("%s: new is %v, gone is %v", c.Name, c.New(), c.Gone())
		}
	}
	row := func(name, tests, onHosted, onAlone, tech string) string {
		return strings.Join([]string{name, tests, "Default, " + hosted + ": " + onHosted, "Default, " + alone + ": " + onAlone, "TechPreviewNoUpgrade, " + alone + ": " + tech}, "|")
	}
	want := []string{
		row("Fresh", "tt", "", "", "Enabled (New)"),
		row("Gone", "", "Removed", "Removed", "Removed"),
		row("Grown", "t", "Enabled (Changed)", "Enabled (Changed)", "Enabled"),
		row("Taken", "", "Disabled (Changed)", "Disabled (Changed)", "Enabled"),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := features.Compare(to, to); len(got) != 0 {
		t.Errorf("a payload differs from itself: %v", got)
	}
}

func TestOn(t *testing.T) {
	major := gate("five", "", "true", []string{alone}, "+Five")
	major.Data = []byte(strings.Replace(string(major.Data), "  annotations:\n", "  annotations:\n    release.openshift.io/major-version: \"5\"\n", 1))
	versioned := gate("versions", "OKD", "true", []string{alone}, "+Older")
	versioned.Data = []byte(strings.Replace(string(versioned.Data), `version: ""`, `version: "4.18.0"`, 1) + "  - {version: 4.19.0, enabled: [{name: Exact}], disabled: []}\n")
	g := features.Read(load(t, "4.19.0", gate("default", "", "true", []string{alone}, "+B", "+A", "-C"), gate("any", "DevPreviewNoUpgrade", "true", nil, "+X"), major, versioned))
	for _, test := range []struct {
		kind  features.Kind
		on    []string
		known bool
	}{
		{features.Kind{Profile: alone, FeatureSet: "Default"}, []string{"A", "B"}, true},
		{features.Kind{Profile: alone, FeatureSet: "OKD"}, []string{"Exact"}, true},
		{features.Kind{Profile: alone, FeatureSet: "DevPreviewNoUpgrade"}, []string{"X"}, true},
		{features.Kind{Profile: hosted, FeatureSet: "Default"}, nil, false},
		{features.Kind{Profile: alone, FeatureSet: "TechPreviewNoUpgrade"}, nil, false},
	} {
		on, known := g.On(test.kind)
		if diff := cmp.Diff(test.on, on); diff != "" || known != test.known {
			t.Errorf("%s: known is %v\n%s", test.kind, known, diff)
		}
	}
}

func TestUnreadable(t *testing.T) {
	g := features.Read(load(t, "4.19.0",
		releasetest.File{Name: "0000_50_a_a.yaml", Data: []byte("FeatureGate: [")},
		releasetest.File{Name: "0000_50_a_b.yaml", Data: []byte("apiVersion: config.openshift.io/v1\nkind: FeatureGate\nmetadata: {name: cluster}\nstatus: {featureGates: 3}\n")},
		releasetest.File{Name: "0000_50_a_c.yaml", Data: []byte("apiVersion: other/v1\nkind: FeatureGate\nmetadata: {name: cluster}\nstatus: {featureGates: 3}\n")}))
	if len(g.Warnings) != 2 || len(g.Kinds()) != 0 {
		t.Errorf("%q, %v", g.Warnings, g.Kinds())
	}
}
