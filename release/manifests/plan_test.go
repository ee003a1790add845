package manifests_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/manifests"
)

// file makes a manifest with one object for every "Kind name" given.
func file(name string, objects ...string) release.File {
	var b strings.Builder
	for _, o := range objects {
		kind, object, _ := strings.Cut(o, " ")
		api := "v1"
		if kind == "Job" {
			api = "batch/v1"
		}
		fmt.Fprintf(&b, "---\napiVersion: %s\nkind: %s\nmetadata: {name: %s, namespace: a}\n", api, kind, object)
	}
	return release.File{Name: name, Data: []byte(b.String())}
}

// draw writes a plan as text: a line for every level.
func draw(levels []manifests.RunLevel) string {
	var b strings.Builder
	for _, l := range levels {
		fmt.Fprintf(&b, "%d:", l.Number)
		for i, c := range l.Components {
			if i > 0 {
				b.WriteString(" |")
			}
			fmt.Fprintf(&b, " %s", c.Name)
			for _, o := range c.Objects {
				fmt.Fprintf(&b, " %s", o.Name)
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

func TestPlan(t *testing.T) {
	for name, tc := range map[string]struct {
		files []release.File
		want  string
	}{
		"nothing": {},
		"levels, components, files and documents": {
			files: []release.File{
				file("0000_50_b_1.yaml", "ConfigMap b1"), file("0000_50_a_2.yaml", "ConfigMap a2", "ConfigMap a2x"), file("0000_50_a_1.yaml", "ConfigMap a1"),
				file("0000_10_z_1.yaml", "ConfigMap z1"), {Name: "0000_10_z_2.txt", Data: []byte("{")}, {Name: "0000_10_z_3.yaml", Data: []byte("# nothing\n")},
			},
			want: "10: z z1\n50: a a1 a2 a2x | b b1\n",
		},
		"components whose names begin alike": {
			files: []release.File{file("0000_50_kube_1.yaml", "ConfigMap k1"), file("0000_50_kube-proxy_1.yaml", "ConfigMap p1"), file("0000_50_kube_2.yaml", "ConfigMap k2")},
			want:  "50: kube k1 k2 | kube-proxy p1\n",
		},
		"a job stands alone": {
			files: []release.File{file("0000_50_a_1.yaml", "ConfigMap a1", "Job j", "ConfigMap a2"), file("0000_50_b_1.yaml", "ConfigMap b1")},
			want:  "50: a a1\n50: a j\n50: a a2 | b b1\n",
		},
		"names of others": {
			files: []release.File{file("0000_50_a_1.yaml", "ConfigMap a1"), file("odd.yaml", "ConfigMap o1"), file("zodd.yaml", "ConfigMap o2"), file("0000_x_a_1.yaml", "ConfigMap x")},
			want:  "50: a a1\n-1:  x o1 o2\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			levels, err := manifests.Plan(tc.files)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, draw(levels)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPlanReportsEverything(t *testing.T) {
	crd := release.File{Name: "0000_10_a_crd.yaml", Data: []byte(`apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: boats.example.com}
spec: {group: example.com, scope: Namespaced, names: {kind: Boat}}
`)}
	boat := release.File{Name: "0000_20_a_boat.yaml", Data: []byte("apiVersion: example.com/v1\nkind: Boat\nmetadata: {name: dinghy}\n")}
	newer := release.File{Name: "0000_30_b_z.yaml", Data: []byte("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: a}\n")}
	older := release.File{Name: "0000_30_c_z.yaml", Data: []byte("\napiVersion: apps/v1beta1\nkind: Deployment\nmetadata: {name: web, namespace: a}\n")}
	_, err := manifests.Plan([]release.File{older, newer, boat, crd, {Name: "0000_40_d_x.json", Data: []byte("{")}})
	want := []string{
		`0000_20_a_boat.yaml:1: metadata.namespace of Boat "dinghy" is missing`,
		`0000_30_c_z.yaml:2: Deployment a/web stands in 0000_30_b_z.yaml:1 as well`,
		`0000_40_d_x.json:1: reading YAML`,
	}
	for _, w := range want {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("got\n%v\nwant a line with %q", err, w)
		}
	}
	if err != nil && strings.Count(err.Error(), "\n") != len(want)-1 {
		t.Errorf("got\n%v", err)
	}
}

// Of the variants of an object a plan holds one.
func TestPlanOfVariants(t *testing.T) {
	variant := func(name, annotation string) release.File {
		return release.File{Name: name, Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: b, annotations: {" + annotation + "}}\n")}
	}
	levels, err := manifests.Plan([]release.File{
		variant("0000_10_a_default.yaml", "release.openshift.io/feature-set: Default"),
		variant("0000_10_a_preview.yaml", "release.openshift.io/feature-set: TechPreviewNoUpgrade"),
		variant("0000_10_a_gate.yaml", "release.openshift.io/feature-gate: X, release.openshift.io/feature-set: OKD"),
	})
	if err != nil || draw(levels) != "10: a a\n" || levels[0].Components[0].Objects[0].File != "0000_10_a_default.yaml" {
		t.Errorf("got %v, %v", levels, err)
	}
	_, err = manifests.Plan([]release.File{
		variant("0000_10_a_ha.yaml", "include.release.openshift.io/ha: 'true'"), variant("0000_10_a_single.yaml", "include.release.openshift.io/single: 'true'"),
	})
	if err == nil || err.Error() != "0000_10_a_single.yaml:1: ConfigMap b/a stands in 0000_10_a_ha.yaml:1 as well" {
		t.Errorf("two variants were planned: %v", err)
	}
}

func TestFileNames(t *testing.T) {
	for _, tc := range []struct {
		file, want string
		wrong      bool
	}{
		{"0000_10_etcd_01.yaml", "0000_10_etcd_01.yaml", false},
		{"rbac.yaml", "0000_50_kube-proxy_rbac.yaml", false},
		{"10_rbac.yaml", "0000_50_kube-proxy_10_rbac.yaml", false},
		{"0000_5_etcd_01.yaml", "0000_5_etcd_01.yaml", true},
		{"0000_100_etcd_01.yaml", "0000_100_etcd_01.yaml", true},
		{"0000_10_etcd.yaml", "0000_10_etcd.yaml", true},
		{"0000_10_-etcd_x.yaml", "0000_10_-etcd_x.yaml", true},
		{".hidden.yaml", "0000_50_kube-proxy_.hidden.yaml", true},
	} {
		got := manifests.FileName("kube-proxy", tc.file)
		if err := manifests.CheckFileName(got); got != tc.want || (err != nil) != tc.wrong {
			t.Errorf("%s became %s, %v", tc.file, got, err)
		}
	}
}
