package manifests_test

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	yaml "go.yaml.in/yaml/v3"

	"github.com/slipway-release/slipway/internal/golden"
	"github.com/slipway-release/slipway/release/manifests"
)

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
	golden.Check(t, "testdata/substitute/everything.golden", got)
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

// What stands around a reference decides whether it is one.
func TestSubstituteInItsSurroundings(t *testing.T) {
	const ref = "registry.example/skiff/etcd:1"
	for _, tc := range []struct{ value, want string }{
		{"IMG", "NEW"},
		{"IMG,IMG", "NEW,NEW"},
		{"IMG IMG", "NEW NEW"},
		{"{IMG}", "{NEW}"},
		{"${X:-IMG}", "${X:-NEW}"},
		{"[IMG;IMG]", "[NEW;NEW]"},
		{"(IMG).", "(NEW)."},
		{"see IMG.", "see NEW."},
		{"image: IMG: x", "image: NEW: x"},
		{"--image=IMG", "--image=NEW"},
		{"a|IMG|b", "a|NEW|b"},
		{"`IMG`", "`NEW`"},
		{"docker://IMG", "docker://NEW"},
		{"https://hub.example/?image=IMG&x=y", "https://hub.example/?image=NEW&x=y"},
		{"https://hub.example/a,IMG", "https://hub.example/a,NEW"},
		// Locations
		{"https://IMG", "https://IMG"},
		{"https://hub.example/IMG", "https://hub.example/IMG"},
		{"https://hub.example/x=IMG", "https://hub.example/x=IMG"},
		{"https://hub.example/~a/(IMG)", "https://hub.example/~a/(IMG)"},
		{"HTTPS://hub.example/a+b/IMG", "HTTPS://hub.example/a+b/IMG"},
		{"https://user:p%40ss@hub.example/$IMG", "https://user:p%40ss@hub.example/$IMG"},
		{"/var/lib/quay.io/openshift/origin-etcd", "/var/lib/quay.io/openshift/origin-etcd"},
		{"mirror.example/quay.io/openshift/origin-etcd", "mirror.example/quay.io/openshift/origin-etcd"},
		// Others whose names begin or end alike
		{"quay.io/openshift/origin-etcd-", "quay.io/openshift/origin-etcd-"},
		{"quay.io/openshift/origin-etcd/x", "quay.io/openshift/origin-etcd/x"},
		{"quay.io/openshift/origin-etcd/", "quay.io/openshift/origin-etcd/"},
		{"xquay.io/openshift/origin-etcd", "xquay.io/openshift/origin-etcd"},
	} {
		source, want := strings.ReplaceAll(tc.value, "IMG", ref), strings.ReplaceAll(strings.ReplaceAll(tc.want, "NEW", etcd), "IMG", ref)
		got, err := manifests.Substitute("f.yaml", []byte("a: '"+source+"'\n"), substitution())
		if err != nil || string(got) != "a: '"+want+"'\n" {
			t.Errorf("%s became %s, %v; want %s", source, got, err, want)
		}
	}
}

// A listed image that cannot be replaced must not stay behind unseen.
func TestSubstituteRefusesWhatItCannotReplace(t *testing.T) {
	for value, want := range map[string]string{
		"registry.example/skiff/etcd:$TAG":                 "the tag of image",
		"quay.io/openshift/origin-etcd:$(TAG)":             "the tag of image",
		"quay.io/openshift/origin-etcd:{{.Tag}}":           "the tag of image",
		"dir:quay.io/openshift/origin-etcd:1":              `image "quay.io/openshift/origin-etcd:1" cannot be replaced because of the "dir:" before it`,
		"a:b:quay.io/openshift/origin-etcd":                `because of the "a:b:" before it`,
		"registry.example/skiff/etcd-$ARCH":                `image "registry.example/skiff/etcd-" is not in the payload`,
		"registry.example/skiff/etcd/":                     `image "registry.example/skiff/etcd/" is not in the payload`,
		"mirror.example/registry.example/skiff/kube-proxy": "is not in the payload",
	} {
		got, err := manifests.Substitute("f.yaml", []byte("a: '"+value+"'\n"), substitution())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s became %q, %v; want %q", value, got, err, want)
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
