package manifests_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	yaml "go.yaml.in/yaml/v3"

	"github.com/slipway-release/slipway/release/manifests"
)

var update = flag.Bool("update", false, "write golden files anew")

var (
	etcd  = "registry.example/skiff/etcd@sha256:" + strings.Repeat("e", 64)
	proxy = "registry.example/skiff/kube-proxy@sha256:" + strings.Repeat("f", 64)
)

func substitution() manifests.Substitution {
	return manifests.Substitution{
		Repository: "registry.example/skiff",
		Images: map[string]string{
			"registry.example/skiff/etcd":       etcd,
			"registry.example/skiff/kube-proxy": proxy,
			"quay.io/openshift/origin-etcd":     etcd,
		},
		Version: "1.36.3-0.nightly-2026-11-20-101500",
		ComponentVersions: map[string][]string{
			"kubernetes": {"1.36.3"}, "kubectl": {"1.36.2", "1.36.3"}, "short": {"1.36"},
		},
	}
}

func TestSubstituteGolden(t *testing.T) {
	source, err := os.ReadFile("testdata/substitute/everything.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got, err := manifests.Substitute("everything.yaml", source, substitution())
	if err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/substitute/everything.golden"
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	again, err := manifests.Substitute("everything.yaml", got, substitution())
	if err != nil || !bytes.Equal(again, got) {
		t.Errorf("a second time changes it again: %v\n%s", err, cmp.Diff(string(got), string(again)))
	}
}

func TestSubstituteKeepsOtherBytes(t *testing.T) {
	for name, file := range map[string]string{
		"Windows line ends":     "a: x\r\nimage: IMG\r\n# c\r\nb: y\r\n",
		"old Mac line ends":     "a: x\rimage: IMG\rb: y\r",
		"byte order mark":       "\ufeffimage: IMG\na: b\n",
		"no newline at the end": "a: b\nimage: IMG",
		"line separators":       "a: \"x\u2028y\"\nimage: IMG\n",
		"wide characters":       "{ä: \"日本語\", image: IMG} # ö\n",
		"JSON with tabs":        "{\n\t\"a\":\t[1,2],\n\t\"image\": \"IMG\"\n}\n",
		"tagged":                "image: !!str IMG\n",
		"anchored and tagged":   "image: &a !!str\n  IMG\nb: *a\n",
		"sequence of sequences": "- - IMG\n  - x\n",
		"explicit key":          "? a\n: IMG\n",
		"flow over lines":       "a: [IMG,\n  IMG,   # IMG\n  x]\n",
		"chomping kept":         "a: |+\n  IMG\n\n\nb: >2-\n    IMG\n   x\n",
		"document marks":        "---\nimage: IMG\n...\n---\n# only a comment\n--- {image: IMG}\n",
	} {
		t.Run(name, func(t *testing.T) {
			source := strings.ReplaceAll(file, "IMG", "registry.example/skiff/etcd:1")
			want := strings.ReplaceAll(file, "IMG", etcd)
			want = strings.ReplaceAll(want, "# "+etcd, "# registry.example/skiff/etcd:1")
			got, err := manifests.Substitute("f.yaml", []byte(source), substitution())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Where the value's characters cannot be changed in place, it is written anew;
// its meaning is right in any case.
func TestSubstituteWritesAnew(t *testing.T) {
	for name, tc := range map[string]struct{ file, want string }{
		"escapes":             {`a: "registry.example/skiff/etc\x64"`, `a: "` + etcd + `"`},
		"behind an escape":    {`a: "x\nregistry.example/skiff/etcd"`, `a: "x\n` + etcd + `"`},
		"version is a number": {"a: 0.0.1-snapshot-short # c\n", "a: \"1.36\" # c\n"},
		"broken line":         {"a: \"registry.example/\\\n  skiff/etcd\" # c\n", "a: \"" + etcd + "\" # c\n"},
	} {
		got, err := manifests.Substitute("f.yaml", []byte(tc.file), substitution())
		if err != nil || string(got) != tc.want {
			t.Errorf("%s: got %q, %v; want %q", name, got, err, tc.want)
		}
	}
}

func TestSubstituteReportsEverything(t *testing.T) {
	const file = `a: registry.example/skiff/unknown:1
b: 0.0.1-snapshot-nothing
c: [0.0.1-snapshot-, 0.0.1-snapshot-kubectl]
d: dir:registry.example/skiff/etcd
---
e: {
`
	_, err := manifests.Substitute("f.yaml", []byte(file), substitution())
	var problems manifests.Problems
	if !errors.As(err, &problems) {
		t.Fatalf("got %v", err)
	}
	want := []string{
		`f.yaml:1: image "registry.example/skiff/unknown:1" is not in the payload`,
		`f.yaml:2: 0.0.1-snapshot-nothing: no component announces a version of "nothing"`,
		`f.yaml:3: 0.0.1-snapshot- names no version: 0.0.1-snapshot or 0.0.1-snapshot-<component version> is expected`,
		`f.yaml:3: 0.0.1-snapshot-kubectl: components announce different versions of "kubectl": 1.36.2, 1.36.3`,
		`f.yaml:4: image "dir:registry.example/skiff/etcd" is not in the payload`,
	}
	for i, line := range want {
		if i >= len(problems) || problems[i].String() != line {
			t.Errorf("line %d of\n%v\nis not %q", i, err, line)
		}
	}
	if len(problems) != len(want)+1 || !strings.Contains(err.Error(), "reading YAML") {
		t.Errorf("got\n%v", err)
	}
}

func FuzzSubstitute(f *testing.F) {
	seed, err := os.ReadFile("testdata/substitute/everything.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	for _, s := range []string{
		"a: |2-\n    registry.example/skiff/etcd", "a: &x !!str \"registry.example/skiff/etcd\"", "- 'it''s 0.0.1-snapshot'",
		"a: 0.0.1-snapshot-short", "{a: registry.example/skiff/etcd}", "a: registry.example/skiff/etcd\r\nb: 1", "\ufeff# x\n- 0.0.1-snapshot",
		"a: >\n registry.example/skiff/etcd\n\n  # b\n", "a: \"\\u0072egistry.example/skiff/etcd\"", "? 0.0.1-snapshot\n: &a 0.0.1-snapshot\n--- *a",
	} {
		f.Add([]byte(s))
	}
	s := substitution()
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := manifests.Substitute("f.yaml", data, s)
		if err != nil {
			return
		}
		if !bytes.Contains(data, []byte("registry")) && !bytes.Contains(data, []byte("snapshot")) && !bytes.Contains(data, []byte(`\`)) &&
			!bytes.Contains(data, []byte("quay")) && !bytes.Equal(got, data) {
			t.Errorf("%q became %q", data, got)
		}
		again, err := manifests.Substitute("f.yaml", got, s)
		if err != nil || !bytes.Equal(again, got) {
			t.Errorf("not stable: %q, %q, %q: %v", data, got, again, err)
		}
		if a, b := comments(data), comments(got); a != b {
			t.Errorf("comments changed: %q became %q", a, b)
		}
	})
}

// comments collects the comments of a file's first document as its parser sees them.
func comments(data []byte) string {
	var root yaml.Node
	if err := yaml.Unmarshal(data, &root); err != nil {
		return ""
	}
	var b strings.Builder
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		b.WriteString(n.HeadComment + "\x00" + n.LineComment + "\x00" + n.FootComment + "\x00")
		for _, c := range n.Content {
			walk(c)
		}
	}
	walk(&root)
	return b.String()
}
