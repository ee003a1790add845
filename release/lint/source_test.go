package lint_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/release/lint"
)

// tree writes files into a new folder.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const sources = "kind: ImageStream\napiVersion: image.openshift.io/v1\nspec: {tags: [{name: a, from: {kind: DockerImage, name: 'registry.example/src:1'}}]}\n"

func TestLoad(t *testing.T) {
	component := map[string]string{
		"components/web/component.yaml": "x", "components/web/manifests/0000_10_web_a.yaml": makesNS, "components/web/manifests/b.yaml": inNS,
		"components/web/manifests/image-references": sources, "components/web/manifests/sub/c.yaml": inNS, "components/web/manifests/.hidden": "x",
		"components/bare/component.yaml": "x", "components/flat/0000_20_flat_a.yaml": makesNS, "components/docs/README.md": "x", "components/README.md": "x",
	}
	payload := map[string]string{
		"release-manifests/release-metadata": "{}", "release-manifests/0000_10_web_a.yaml": makesNS,
		"release-manifests/image-references": `{"kind":"ImageStream","apiVersion":"image.openshift.io/v1","spec":{"tags":[{"name":"a","from":{"kind":"DockerImage","name":"x@sha256:1"}}]}}`,
	}
	for name, tc := range map[string]struct {
		files map[string]string
		below string
		want  []string // payload name, path
		refs  int
	}{
		"distribution": {component, "", []string{"0000_20_flat_a.yaml", "components/flat/0000_20_flat_a.yaml", "0000_10_web_a.yaml", "components/web/manifests/0000_10_web_a.yaml", "0000_50_web_b.yaml", "components/web/manifests/b.yaml"}, 0},
		"components":   {component, "components", []string{"0000_20_flat_a.yaml", "components/flat/0000_20_flat_a.yaml", "0000_10_web_a.yaml", "components/web/manifests/0000_10_web_a.yaml", "0000_50_web_b.yaml", "components/web/manifests/b.yaml"}, 0},
		"manifests":    {component, "components/web/manifests", []string{"0000_10_web_a.yaml", "components/web/manifests/0000_10_web_a.yaml", "0000_50_web_b.yaml", "components/web/manifests/b.yaml"}, 0},
		"payload":      {payload, "", []string{"0000_10_web_a.yaml", "release-manifests/0000_10_web_a.yaml"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			dir := tree(t, tc.files)
			s, err := lint.Load(filepath.Join(dir, tc.below))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range s.Files {
				path, err := filepath.Rel(dir, s.Origin(f.Name))
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, f.Name, path)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			if len(s.References.Tags) != tc.refs {
				t.Errorf("references: %+v", s.References)
			}
			if replaced := s.Replaced("registry.example/src"); replaced != (tc.refs == 0) {
				t.Errorf("the listed image is replaced: %v", replaced)
			}
		})
	}
}

func TestLoadFails(t *testing.T) {
	for name, tc := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"nothing":             {map[string]string{"README.md": "x"}, []string{"holds none"}},
		"broken references":   {map[string]string{"a/manifests/x.yaml": "x", "a/manifests/image-references": "[", "b/manifests/x.yaml": "x", "b/manifests/image-references": "{}"}, []string{"a/manifests/image-references", "b/manifests/image-references"}},
		"payload's are wrong": {map[string]string{"release-metadata": "{}", "image-references": "{}"}, []string{"image-references"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := lint.Load(tree(t, tc.files))
			for _, want := range tc.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q", err, want)
				}
			}
		})
	}
	if _, err := lint.Load(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a folder that is not there was read")
	}
}

// The reference distribution has no findings but those it excepts.
func TestSkiff(t *testing.T) {
	s, err := lint.Load("../../distros/skiff")
	if err != nil {
		t.Fatal(err)
	}
	report := lint.Run(s.Files, s.References, lint.Options{Origin: s.Origin, Replaced: s.Replaced, Kubernetes: "1.36.3", Now: today})
	var b strings.Builder
	report.Text(&b)
	if len(report.Findings) != 0 {
		t.Error(b.String())
	}
	if got := names(report.Excepted); len(got) != 1 || got[0] != "single-replica" {
		t.Errorf("excepted: %v", report.Excepted)
	}
	if report.Objects < 30 {
		t.Errorf("%d objects were judged", report.Objects)
	}
}
