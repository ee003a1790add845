package manifests_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/release/manifests"
)

func TestParse(t *testing.T) {
	const file = `# a comment is no document
---
apiVersion: v1
kind: Namespace
metadata: {name: kube-flannel}
---
# nothing

--- # one with a comment on its mark
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: default
  annotations: {count: 3, "a/b": "true"}
spec:
  replicas: 9007199254740993
  fraction: 0.5
  enabled: on
...
`
	objects, err := manifests.Parse([]byte(file), "a.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(objects) != 2 {
		t.Fatalf("got %d objects", len(objects))
	}
	if o := objects[0]; o.String() != "Namespace kube-flannel" || o.Line != 3 || o.Group() != "" {
		t.Errorf("got %s on line %d, group %q", o, o.Line, o.Group())
	}
	o := objects[1]
	if o.String() != "Deployment default/web" || o.Line != 10 || o.Group() != "apps" || o.File != "a.yaml" {
		t.Errorf("got %s on line %d, group %q", o, o.Line, o.Group())
	}
	// 2^53+1 does not survive a float; `on` is a boolean to Kubernetes.
	want := map[string]any{"replicas": int64(9007199254740993), "fraction": 0.5, "enabled": true}
	if diff := cmp.Diff(want, o.Content["spec"]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"a/b": "true"}, o.Annotations()); diff != "" {
		t.Error(diff)
	}
}

func TestParseJSONIndentedByTabs(t *testing.T) {
	objects, err := manifests.Parse([]byte("{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"Namespace\",\n\t\"metadata\": {\n\t\t\"name\": \"a\"\n\t}\n}\n"), "a.json")
	if err != nil || len(objects) != 1 || objects[0].Name != "a" {
		t.Errorf("got %v, %v", objects, err)
	}
}

func TestParseReportsEverything(t *testing.T) {
	for name, tc := range map[string]struct {
		file string
		want []string
	}{
		"every field of every document": {
			file: "kind: A\n---\napiVersion: v1\nmetadata: {name: x}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: x}\n",
			want: []string{"f.yaml:1: apiVersion is missing", "f.yaml:1: metadata.name is missing", "f.yaml:3: kind is missing", `f.yaml:6: metadata.namespace of Pod "x" is missing`},
		},
		"documents that do not parse": {
			file: "a: [\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n---\na: b: c\n---\nb: 'x\n",
			want: []string{"f.yaml:1: reading YAML", "f.yaml:7: reading YAML", "f.yaml:9: reading YAML"},
		},
		"wrong types": {
			file: "apiVersion: 1\nkind: [Pod]\nmetadata: {name: 5, namespace: {}}\n",
			want: []string{"apiVersion is not a string", "kind is not a string", "metadata.name is not a string", "metadata.namespace is not a string"},
		},
		"metadata is a list":   {file: "apiVersion: v1\nkind: A\nmetadata: [a]\n", want: []string{"f.yaml:1: metadata.name is missing"}},
		"behind the end":       {file: "apiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n... # end\n# c\n\nkind: A\n", want: []string{"f.yaml:7: behind the end of a document (...) stands text that nobody reads"}},
		"a list":               {file: "\n- a\n", want: []string{"f.yaml:2: the document is no object"}},
		"a word":               {file: "hello\n", want: []string{"f.yaml:1: the document is no object"}},
		"a key twice":          {file: "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: a\n  name: b\n", want: []string{`f.yaml:5: key "name" stands twice in one mapping`}},
		"not UTF-8":            {file: "a: \xff\n", want: []string{"f.yaml: the file is not UTF-8"}},
		"UTF-16":               {file: "a\x00:\x00", want: []string{"f.yaml: the file holds a NUL byte"}},
		"an alias to nothing":  {file: "a: *b\n", want: []string{"f.yaml:1: reading YAML"}},
		"aliases that explode": {file: bomb(), want: []string{"excessive aliasing"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := manifests.Parse([]byte(tc.file), "f.yaml")
			var problems manifests.Problems
			if !errors.As(err, &problems) {
				t.Fatalf("got %v (%T), want Problems", err, err)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got\n%v\nwant a line with %q", err, want)
				}
			}
			if len(problems) != len(tc.want) {
				t.Errorf("got %d problems, want %d:\n%v", len(problems), len(tc.want), err)
			}
		})
	}
}

func TestLines(t *testing.T) {
	objects, err := manifests.Parse([]byte(`# a comment
---
apiVersion: v1
kind: Pod
metadata: {name: a,
  namespace: b}
x: &base
  deep:
    value: 1
spec:
  containers:
  - name: c
    image: d
  - name: e
  base: *base
`), "f.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		path []any
		want int
	}{
		{nil, 3},
		{[]any{"kind"}, 4},
		{[]any{"metadata", "namespace"}, 6},
		{[]any{"spec", "containers", 0, "image"}, 13},
		{[]any{"spec", "containers", 1}, 14},
		{[]any{"spec", "containers", 1, "image", "x"}, 14},
		{[]any{"spec", "containers", 7}, 11},
		{[]any{"spec", "base", "deep", "value"}, 9},
		{[]any{"spec", "nothing"}, 10},
	} {
		if got := objects[0].Lines().Of(tc.path...); got != tc.want {
			t.Errorf("%v: line %d, want %d", tc.path, got, tc.want)
		}
	}
	if lines := objects[0].Lines(); lines.Containing("Pod") != 4 || lines.Containing("no such text") != 3 {
		t.Errorf("texts are found on lines %d and %d", lines.Containing("Pod"), lines.Containing("no such text"))
	}
}

func TestLinesOfTexts(t *testing.T) {
	objects, err := manifests.Parse([]byte(`apiVersion: v1
kind: ConfigMap
metadata: {name: a, namespace: b}
data:
  block: |

    # a comment
    args:
      v: "2"
      list: [1,
        2]
  folded: >
    args:
      v: 2
  quoted: "args:\n  v: 2"
  broken: |
    args: [
    more
  number: 7
`), "f.yaml")
	if err != nil {
		t.Fatal(err)
	}
	lines := objects[0].Lines()
	for _, tc := range []struct {
		key  string
		path []any
		want int
	}{
		{"block", []any{"args"}, 8},
		{"block", []any{"args", "v"}, 9},
		{"block", []any{"args", "list", 1}, 11},
		{"block", []any{"args", "nothing"}, 8},
		{"block", nil, 8},
		{"folded", []any{"args", "v"}, 12},
		{"quoted", []any{"args", "v"}, 15},
		{"broken", []any{"args", "v"}, 16},
		{"number", []any{"args"}, 19},
		{"nothing", []any{"args"}, 4},
	} {
		if got := lines.Within("data", tc.key).Of(tc.path...); got != tc.want {
			t.Errorf("%s, %v: line %d, want %d", tc.key, tc.path, got, tc.want)
		}
	}
	for _, tc := range []struct {
		key     string
		n, want int
	}{
		{"block", 1, 6}, {"block", 3, 8}, {"block", 0, 5}, {"broken", 2, 18}, {"quoted", 2, 15}, {"nothing", 2, 4},
	} {
		if got := lines.OfText(tc.n, "data", tc.key); got != tc.want {
			t.Errorf("line %d of %s is %d, want %d", tc.n, tc.key, got, tc.want)
		}
	}
}

// bomb is small as text and billions of values when aliases are followed.
func bomb() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x,x,x,x,x,x,x,x,x]\n")
	for i := 1; i < 10; i++ {
		p, n := string(rune('0'+i-1)), string(rune('0'+i))
		b.WriteString("a" + n + ": &a" + n + " [" + strings.Repeat("*a"+p+",", 8) + "*a" + p + "]\n")
	}
	return b.String()
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\n# b\n", `{"apiVersion":"v1","kind":"A","metadata":{"name":"b"}}`,
		"a: &a [*a]", "--- |\n  x\n---", "a: !!binary x", "? [a]\n: b", "<<: {a: b}\nkind: |-\n  x\n", "\ufeffa: b", "a: 1e400\nb: 0x1F\nc: .inf",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		objects, err := manifests.Parse(data, "f.yaml")
		var problems manifests.Problems
		if err != nil && !errors.As(err, &problems) {
			t.Fatalf("the error is a %T: %v", err, err)
		}
		lines := strings.Count(string(data), "\n") + strings.Count(string(data), "\r") + 1 +
			strings.Count(string(data), "\u0085") + strings.Count(string(data), "\u2028") + strings.Count(string(data), "\u2029")
		for _, o := range objects {
			if o.APIVersion == "" || o.Kind == "" || o.Name == "" || o.Line < 1 || o.Line > lines {
				t.Errorf("%+v came through", o)
			}
		}
	})
}
