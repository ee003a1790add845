package compare_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/slipway-release/slipway/release/inspect/compare"
)

func TestValues(t *testing.T) {
	for name, c := range map[string]struct {
		from, to string // YAML
		want     []string
	}{
		"equal":              {"{a: 1, b: [x]}", "{b: [x], a: 1}", nil},
		"scalar":             {"{a: 1}", "{a: 2}", []string{"~a 1 2"}},
		"kind of value":      {"{a: 1}", "{a: '1'}", []string{`~a 1 "1"`}},
		"null is not absent": {"{a: null}", "{}", []string{"-a null"}},
		"keys":               {"{a: 1, b: 2}", "{b: 2, c: 3}", []string{"-a 1", "+c 3"}},
		"keys with dots":     {`{metadata: {annotations: {"a.b/c": x}}}`, `{metadata: {annotations: {"a.b/c": z}}}`, []string{`~metadata.annotations["a.b/c"] "x" "z"`}},
		"by name":            {"{c: [{name: a, v: 1}, {name: b, v: 1}]}", "{c: [{name: a, v: 2}, {name: m, v: 1}, {name: b, v: 1}]}", []string{"~c[a].v 1 2", `+c[m] {"name":"m","v":1}`}},
		"order of names":     {"{c: [{name: a}, {name: b}]}", "{c: [{name: b}, {name: a}]}", []string{`~c ["a","b"] ["b","a"]`}},
		"by mount path":      {"{m: [{name: v, mountPath: /a}, {name: v, mountPath: /b}]}", "{m: [{name: v, mountPath: /a}, {name: v, mountPath: /b, readOnly: true}]}", []string{"+m[mountPath=/b].readOnly true"}},
		"by port":            {"{p: [{port: 80, to: 1}]}", "{p: [{port: 80, to: 2}]}", []string{"~p[port=80].to 1 2"}},
		"flags":              {"{a: [--v=2, --x, --y]}", "{a: [--v=3, --x, --z]}", []string{`~a[0] "--v=2" "--v=3"`, `-a[2] "--y"`, `+a[2] "--z"`}},
		"item in between":    {"{r: [{v: [get]}, {v: [list]}]}", "{r: [{v: [get]}, {v: [x]}, {v: [list]}]}", []string{`+r[1] {"v":["x"]}`}},
		"item without name":  {"{r: [{g: [a], v: [get]}]}", "{r: [{g: [a], v: [get, list]}]}", []string{`+r[0].v[1] "list"`}},
		"list to map":        {"{a: [1]}", "{a: {b: 1}}", []string{`~a [1] {"b":1}`}},
		"emptied":            {"{a: [{name: x}]}", "{a: []}", []string{`-a[x] {"name":"x"}`}},
		"hostile name":       {`{a: [{name: 'x]"'}]}`, "{a: []}", []string{`-a["x]\""] {"name":"x]\""}`}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, ch := range compare.Values(value(t, c.from), value(t, c.to)) {
				switch ch.Kind {
				case compare.Added:
					got = append(got, "+"+ch.Path+" "+asJSON(ch.To))
				case compare.Removed:
					got = append(got, "-"+ch.Path+" "+asJSON(ch.From))
				default:
					got = append(got, "~"+ch.Path+" "+asJSON(ch.From)+" "+asJSON(ch.To))
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func value(t testing.TB, text string) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func asJSON(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(data)
}

// Two values are without difference if and only if they are equal, a difference
// read backwards is the difference of the two the other way round, and every change
// says something.
func FuzzValues(f *testing.F) {
	for _, seed := range [][2]string{
		{`{"a":[{"name":"x","v":1},{"name":"y"}]}`, `{"a":[{"name":"y"},{"name":"x","v":2}]}`},
		{`[1,2,3]`, `[3,2,1]`}, {`"a"`, `null`}, {`{"a":{"a":{"a":[[[]]]}}}`, `{"a":{"a":{"a":[[[1]]]}}}`},
		{`[{"name":1},{"name":"1"}]`, `[{"name":1.5}]`}, {`["--a=1","--a=2"]`, `["--a=2","--b"]`},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		var from, to any
		if len(a)+len(b) > 20_000 || json.Unmarshal([]byte(a), &from) != nil || json.Unmarshal([]byte(b), &to) != nil {
			return
		}
		for _, v := range []any{from, to} {
			if changes := compare.Values(v, v); len(changes) > 0 {
				t.Fatalf("a value differs from itself: %v", changes)
			}
		}
		forth, back := compare.Values(from, to), compare.Values(to, from)
		if equal := reflect.DeepEqual(from, to); equal != (len(forth) == 0) || equal != (len(back) == 0) {
			t.Fatalf("equal: %t, forth %v, back %v", equal, forth, back)
		}
		for _, c := range forth {
			if c.Kind == compare.Changed && reflect.DeepEqual(c.From, c.To) {
				t.Fatalf("nothing changed at %s", c.Path)
			}
			if strings.Contains(c.Path, "\n") {
				t.Fatalf("the path %q is not one line", c.Path)
			}
		}
	})
}

// An SBOM is evidence of others.
func FuzzPackages(f *testing.F) {
	f.Add([]byte(`{"spdxVersion":"SPDX-2.3","packages":[{"SPDXID":"a","name":"i","primaryPackagePurpose":"CONTAINER"},{"SPDXID":"b","name":"bash"}],"relationships":[{"spdxElementId":"a","relationshipType":"CONTAINS","relatedSpdxElement":"b"}]}`))
	f.Add([]byte(`{"spdxVersion":"SPDX-2.3"}`))
	f.Add([]byte(`[`))
	f.Fuzz(func(t *testing.T, document []byte) {
		bill := compare.SBOM{Document: document, Trust: compare.Unverified}
		found, err := compare.BillsOfMaterials(bill, bill)
		if (found == nil) != (err != nil) || !found.Empty() {
			t.Fatalf("a document differs from itself: %+v, %v", found, err)
		}
	})
}
