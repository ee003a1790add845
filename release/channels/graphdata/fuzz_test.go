package graphdata_test

import (
	"io"
	"strings"
	"testing"

	"github.com/slipway-release/slipway/release/channels/graphdata"
)

// kinds are a file of each kind.
var kinds = []string{"channels/a.yaml", "internal-channels/a.yaml", "blocked-edges/4.1.0-Slow.yaml", "build-suggestions/4.1.yaml", "raw/metadata.json", "risks/Slow.yaml", "version"}

// FuzzLoad reads a hostile file of each kind, judges and writes what can be read.
func FuzzLoad(f *testing.F) {
	for name, text := range ordinary() {
		for i, kind := range kinds {
			if strings.HasPrefix(name, kind[:strings.IndexAny(kind, "/n")]) {
				f.Add(i, text)
			}
		}
	}
	f.Add(2, "to: &a 4.1.0\nfrom: *a\nmatchingRules: &b [*b]\n")
	f.Add(0, "name: &a a\nversions: &b\n- *a\n- *b\ntombstones: *b\n<<: *b\n")
	f.Add(4, `{"4.1.0": {"io.openshift.upgrades.graph.previous.add": "4.0.9\u0000\ud83d"}}`)
	f.Add(5, risk("Slow", "4.x || !4.1.0", "from: '>=1.2.3 <v2'\nmatchingRules: [{type: PromQL, promql: {promql: 'max(up) > bool 1'}}]\n"))
	f.Add(6, "1.9.0\n")
	releases := releasesOf([]string{"4.0.9", "4.1.0-rc.1", "4.1.0", "4.1.1"}, "amd64", "arm64")
	f.Fuzz(func(t *testing.T, kind int, text string) {
		if kind < 0 || kind >= len(kinds) {
			t.Skip()
		}
		files := ordinary().with(folder{kinds[kind]: text})
		d, err := graphdata.LoadFS(files.fs(), "data")
		if err != nil {
			if !strings.Contains(err.Error(), "data/") {
				t.Errorf("%v names no file", err)
			}
			return
		}
		d.Lint().Text(io.Discard)
		if err := d.Lint().SARIF(io.Discard, ""); err != nil {
			t.Error(err)
		}
		if _, err := d.Compile(releases); err != nil {
			t.Errorf("what could be read cannot be compiled: %v", err)
		}
		exported, err := d.Export([]string{"4.0.9", "4.1.0"})
		if err != nil {
			t.Fatal(err)
		}
		other := folder{}
		for name, data := range exported {
			other[name] = string(data)
		}
		if _, err := graphdata.LoadFS(other.fs(), "data"); err != nil {
			t.Errorf("what was exported cannot be read: %v", err)
		}
	})
}

func FuzzParseDelay(f *testing.F) {
	for _, text := range []string{"P1W", "PT48H", "P1DT2H3M4S", "P999999999W", "PT", "P1W1D"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := graphdata.ParseDelay(text)
		if err == nil && (d < 0 || d.Hours() > 24*3650) || err != nil && d != 0 {
			t.Errorf("%q is %s, %v", text, d, err)
		}
	})
}

// FuzzAdd adds a version to any file that can be read: it holds that one then, and
// everything that it held, or the file is refused.
func FuzzAdd(f *testing.F) {
	for _, text := range []string{
		"name: a\nversions:\n- 4.1.0 # x\n- 4.1.2", "name: a\r\nversions:\r\n  - '4.1.0'\r\n", "name: a\nversions: [4.1.0]\n",
		"name: a\nversions: &x\n- 4.1.0\ntombstones: *x\n", "name: a\nversions:\n- &x 4.1.0\n- *x\n", "name: a\nversions:\n- !!str 4.1.0\n-\n  4.1.2\n",
	} {
		f.Add(text, "4.1.1")
	}
	f.Fuzz(func(t *testing.T, text, version string) {
		d, err := graphdata.LoadFS(folder{"channels/a.yaml": text}.fs(), "data")
		if err != nil {
			t.Skip()
		}
		data, err := d.Add(d.Channels[0], version)
		if err != nil || data == nil {
			return
		}
		again, err := graphdata.LoadFS(folder{"channels/a.yaml": string(data)}.fs(), "data")
		if err != nil {
			t.Fatalf("%q cannot be read: %v", data, err)
		}
		had, has := d.Channels[0], again.Channels[0]
		if len(has.Versions) != len(had.Versions)+1 || has.Name != had.Name || strings.Join(has.Tombstones, " ") != strings.Join(had.Tombstones, " ") {
			t.Errorf("%q became %q", text, data)
		}
	})
}
