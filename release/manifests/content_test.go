package manifests

import (
	"reflect"
	"testing"

	sigsyaml "sigs.k8s.io/yaml"
)

// slowContent is what Kubernetes' own library makes of a document.
func slowContent(text []byte) (map[string]any, error) {
	asJSON, err := sigsyaml.YAMLToJSON(text)
	if err != nil {
		return nil, err
	}
	return decodeJSON(asJSON)
}

// agrees compares the short way with Kubernetes' own; it reports whether the
// document took the short way.
func agrees(t *testing.T, text []byte) (short bool) {
	t.Helper()
	docs, err := split(text)
	if err != nil {
		return false
	}
	for _, d := range docs {
		root, err := d.parse()
		if err != nil || root == nil {
			continue
		}
		if _, key := duplicateKey(root, 0); key != "" {
			continue
		}
		got, ok := plainObject(d, root)
		if !ok {
			continue
		}
		short = true
		want, err := slowContent(d.text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %#v, Kubernetes reads %#v, %v", d.text, got, want, err)
		}
	}
	return short
}

var contents = map[string]bool{ // the document, and whether it goes the short way
	"a: b\nc: [1, -5, 0, true, false, null, x]\nd: {}\ne: ''\nf:\n":           true,
	"a: |\n  x\n\n   y\nb: >-\n  x\n  y\n\nc: \"a\\nb\\u00e9\"\nd: 'it''s'\n": true,
	"a: 10m\nb: 50Mi\nc: 10.96.0.10\nd: 10.0.0.0/8\ne: 1.36.3\nf: 25%\n":      true,
	"a: --flag=x\nb: -conf\nc: /bin/sh\nd: 5s\ne: 0.5m\n":                     true,
	"a: on\n":                false,
	"a: y\n":                 false,
	"on: a\n":                false,
	"a: 010\n":               false,
	"a: 0x1F\n":              false,
	"a: 1.5\n":               false,
	"a: 1e3\n":               false,
	"a: ~\n":                 false,
	"a: 2026-11-20\n":        false,
	"a: 1_000\n":             false,
	"a: 12:30:45\n":          false,
	"a: &x b\nc: *x\n":       false,
	"a: !!str 1\n":           false,
	"!!map {a: b}\n":         false,
	"<<: {a: b}\n":           false,
	"1: a\n":                 false,
	"a: -0\n":                false,
	"a: +1\n":                false,
	"a: .inf\n":              false,
	"a: 9223372036854775808": false,
	"a: Null\n":              false,
}

func TestContentIsThatOfKubernetes(t *testing.T) {
	for text, short := range contents {
		if got := agrees(t, []byte(text)); got != short {
			t.Errorf("%q took the short way: %v, want %v", text, got, short)
		}
	}
}

func FuzzContent(f *testing.F) {
	for text := range contents {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) { agrees(t, data) })
}
