package graphdata_test

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/internal/config"
	"github.com/slipway-release/slipway/release/channels/graphdata"
)

// Every refusal names file, line and field, and all of a folder are told at once.
func TestLoadRefuses(t *testing.T) {
	const block = "blocked-edges/4.1.0-Slow.yaml"
	long := strings.Repeat("x", 64<<10+1)
	for name, c := range map[string]struct {
		files folder
		want  []string // beginnings of the problems, behind "data/"
	}{
		"version no version":          {folder{"version": "new\n"}, []string{`version:1: must be a version such as 1.2.0, not "new"`}},
		"version of another kind":     {folder{"version": "2.0.0\n"}, []string{`version:1: schema 2.0.0 is not known; only 1.x is`}},
		"not yaml":                    {folder{"channels/a.yml": "name: a\n"}, []string{"channels/a.yml:1: its name must end in .yaml"}},
		"no extension":                {folder{"blocked-edges/4.1.0": "to: 4.1.0\n"}, []string{"blocked-edges/4.1.0:1: its name must end in .yaml"}},
		"folder in a folder":          {folder{"channels/more/a.yaml": "name: a\n"}, []string{"channels/more:1: must be a file"}},
		"file for a folder":           {folder{"channels": "name: a\n"}, []string{"channels:1: must be a folder"}},
		"too large":                   {folder{"channels/a.yaml": "name: a\n" + strings.Repeat("#", 4<<20)}, []string{"channels/a.yaml:1: is larger than 4194304 bytes"}},
		"empty":                       {folder{"channels/a.yaml": ""}, []string{"channels/a.yaml:1: the file is empty"}},
		"null":                        {folder{"channels/a.yaml": "~\n"}, []string{"channels/a.yaml:1: has no value"}},
		"list":                        {folder{"channels/a.yaml": "- a\n"}, []string{"channels/a.yaml:1: must be a mapping"}},
		"syntax":                      {folder{"channels/a.yaml": "name: a\nversions: [\n"}, []string{"channels/a.yaml:"}},
		"two documents":               {folder{"channels/a.yaml": "name: a\n---\nname: b\n"}, []string{"channels/a.yaml:"}},
		"unknown field":               {folder{"channels/a.yaml": "name: a\nversion: [4.1.0]\n"}, []string{"channels/a.yaml:2: version: is not a field"}},
		"field twice":                 {folder{"channels/a.yaml": "name: a\nname: a\n"}, []string{"channels/a.yaml:2: name: stands here twice"}},
		"channel without name":        {folder{"channels/a.yaml": "versions: [4.1.0]\n"}, []string{"channels/a.yaml:1: name: is missing"}},
		"version as a number":         {folder{"channels/a.yaml": "name: a\nversions:\n- 4.1.0\n- 4.10\n"}, []string{`channels/a.yaml:4: versions[1]: must be a string, not a number; write "4.10"`}},
		"feeder without name":         {folder{"channels/a.yaml": "name: a\nfeeder:\n  delay: P1W\n"}, []string{"channels/a.yaml:2: feeder.name: is missing"}},
		"filter":                      {folder{"internal-channels/a.yaml": "name: a\nfeeder:\n  name: b\n  filter: 4[.\n"}, []string{`internal-channels/a.yaml:4: feeder.filter: "4[." is no RE2 regular expression`}},
		"filter without an end":       {folder{"channels/a.yaml": "name: a\nfeeder:\n  name: b\n  filter: '\\Q4'\n"}, []string{`channels/a.yaml:4: feeder.filter: "\\Q4" cannot be held against whole versions`}},
		"block without to, from":      {folder{block: "url: https://example.com\n"}, []string{block + ":1: from: is missing", block + ":1: to: is missing"}},
		"pattern":                     {folder{block: "to: 4.1.0\nfrom: (4\n"}, []string{block + `:2: from: "(4" is no RE2 regular expression: error parsing regexp: missing closing )`}},
		"lookaround":                  {folder{block: "to: 4.1.0\nfrom: (?!4)\n"}, []string{block + ":2: from: "}},
		"pattern too long":            {folder{block: "to: 4.1.0\nfrom: " + long + "\n"}, []string{block + ":2: from: is longer than 65536 bytes"}},
		"pattern that repeats itself": {folder{block: "to: 4.1.0\nfrom: '" + strings.Repeat("(4?[.]?){900}", 9) + "'\n"}, []string{block + `:2: from: "(4?[.]?){900}(4?[.]?){900}`}},
		"half a risk":                 {folder{block: "to: 4.1.0\nfrom: .*\nname: Slow\n"}, []string{block + ":1: matchingRules: is missing", block + ":1: message: is missing", block + ":1: url: is missing"}},
		"always with a query": {folder{block: conditional("4.1.0", ".*", "Slow") + "  promql:\n    promql: up\n"},
			[]string{block + ":7: matchingRules[0]: a rule of type Always has no promql"}},
		"promql without a query": {folder{block: strings.Replace(conditional("4.1.0", ".*", "Slow"), "Always", "PromQL", 1)},
			[]string{block + ":7: matchingRules[0]: a rule of type PromQL needs promql.promql"}},
		"query too long": {folder{block: strings.Replace(conditional("4.1.0", ".*", "Slow"), "Always", "PromQL\n  promql: {promql: "+long+"}", 1)},
			[]string{block + ":7: matchingRules[0]: its query is longer than 16384 bytes"}},
		"rule without a type": {folder{block: strings.Replace(conditional("4.1.0", ".*", "Slow"), "- type: Always", "- {}", 1)},
			[]string{block + ":7: matchingRules[0]: needs a type, Always or PromQL"}},
		"metadata no JSON":        {folder{"raw/metadata.json": "{\n\"4.1.0\": \n"}, []string{"raw/metadata.json:3: must be JSON"}},
		"metadata of a number":    {folder{"raw/metadata.json": "{\n\"4.1.0\": {\n\"a\": 1}}\n"}, []string{"raw/metadata.json:3: 4.1.0.a: must be a string, not a number"}},
		"metadata twice":          {folder{"raw/metadata.json": "{\"4.1.0\": {\"a\": \"1\",\n\"a\": \"2\"}}\n"}, []string{"raw/metadata.json:2: 4.1.0.a: stands here twice"}},
		"suggestions":             {folder{"build-suggestions/4.1.yaml": "default:\n  z_mim: 4.1.0\n"}, []string{"build-suggestions/4.1.yaml:2: default.z_mim: is not a field"}},
		"risk without anything":   {folder{"risks/Slow.yaml": "kind: Risk\n"}, []string{"risks/Slow.yaml:1: message: is missing", "risks/Slow.yaml:1: metadata.name: is missing", "risks/Slow.yaml:1: to: is missing", "risks/Slow.yaml:1: url: is missing"}},
		"risk of another kind":    {folder{"risks/Slow.yaml": strings.NewReplacer("v1alpha1", "v2", "kind: Risk", "kind: Danger").Replace(risk("Slow", ">1.0.0", always))}, []string{`risks/Slow.yaml:1: apiVersion: must be slipway.dev/v1alpha1`, `risks/Slow.yaml:2: kind: must be Risk, not "Danger"`}},
		"risk's name":             {folder{"risks/slow.yaml": risk("slow", ">1.0.0", always)}, []string{`risks/slow.yaml:4: metadata.name: must be in CamelCase`}},
		"risk's file":             {folder{"risks/Fast.yaml": risk("Slow", ">1.0.0", always)}, []string{`risks/Fast.yaml:4: metadata.name: must be "Fast" like the file, not "Slow"`}},
		"risk's ranges":           {folder{"risks/Slow.yaml": risk("Slow", "new", "from: old\n"+always)}, []string{`risks/Slow.yaml:5: to: must be a range of versions`, `risks/Slow.yaml:8: from: must be a range of versions`}},
		"risk's range too long":   {folder{"risks/Slow.yaml": risk("Slow", long, always)}, []string{`risks/Slow.yaml:5: to: is longer than 65536 bytes`}},
		"risk's fix":              {folder{"risks/Slow.yaml": risk("Slow", ">1.0.0", "fixedIn: soon\n"+always)}, []string{`risks/Slow.yaml:8: fixedIn: must be a version, not "soon"`}},
		"risk's architecture":     {folder{"risks/Slow.yaml": risk("Slow", ">1.0.0", "architectures: [arm64, arm]\n"+always)}, []string{`risks/Slow.yaml:8: architectures[1]: must be one of amd64, arm64, ppc64le, s390x, multi, not "arm"`}},
		"risk without rules":      {folder{"risks/Slow.yaml": risk("Slow", ">1.0.0", "")}, []string{`risks/Slow.yaml:1: matchingRules: is missing`}},
		"rules of a block":        {folder{"risks/Slow.yaml": risk("Slow", ">1.0.0", "block: true\n"+always)}, []string{`risks/Slow.yaml:9: matchingRules: must be left out where block is true`}},
		"several files, in order": {folder{"channels/b.yaml": "nam: b\n", "channels/a.yaml": "name: 1\n", "version": "x"}, []string{"channels/a.yaml:1: name: must be a string", "channels/b.yaml:1: nam: is not a field", "version:1: must be"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := graphdata.LoadFS(c.files.fs(), "data")
			var wrong *config.Error
			if !errors.As(err, &wrong) {
				t.Fatalf("got %v", err)
			}
			var got []string
			for i, p := range wrong.Problems {
				text, ok := strings.CutPrefix(p.String(), "data/")
				if !ok || p.Line < 1 {
					t.Errorf("%+v", p)
				}
				if i < len(c.want) && strings.HasPrefix(text, c.want[i]) {
					text = c.want[i]
				}
				got = append(got, text)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLoadRefusesFoldersThatAreNone(t *testing.T) {
	if _, err := graphdata.LoadFS(folder{}.fs(), "data"); err != nil {
		t.Errorf("a folder with nothing but its version: %v", err)
	}
	empty := folder{}.fs()
	delete(empty, "version")
	if _, err := graphdata.LoadFS(empty, "data"); err == nil || err.Error() != "data/version:1: is missing; it holds the schema's version, such as 1.2.0" {
		t.Errorf("no version: %v", err)
	}
	if _, err := graphdata.Load("/nonexistent"); !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), `reading graph-data "/nonexistent": `) {
		t.Errorf("no folder: %v", err)
	}
	many := folder{}
	for i := range 17 {
		many[fmt.Sprintf("channels/%d.yaml", i)] = "#" + strings.Repeat(" ", 4<<20-1)
	}
	if _, err := graphdata.LoadFS(many.fs(), "data"); err == nil || !strings.Contains(err.Error(), "67108864 bytes together") {
		t.Errorf("68 MB: %v", err)
	}
}

// What people put beside the data is no mistake.
func TestLoadLeavesOut(t *testing.T) {
	d := folder{
		"channels/OWNERS": "x", "channels/_OWNERS": "x", "blocked-edges/README.md": "x", "channels/.a.yaml.swp": "x",
		"deploy/a.yaml": "x: [", "README.md": "x", "channels/a.yaml": "name: a\nversions: [4.1.0]\n",
	}.load(t)
	if len(d.Channels) != 1 || len(d.Blocks) != 0 {
		t.Errorf("%+v", d)
	}
}

func TestLoad(t *testing.T) {
	d := folder{
		"channels/stable-4.1.yaml":      "feeder: {name: stable, delay: PT0H, errata: public, filter: '4[.]1[.].*'}\nname: stable-4.1\ntombstones: [4.1.9]\nversions:\n- 4.1.0\n- 4.1.1+arm64\n",
		"internal-channels/stable.yaml": "name: stable\nversions: [4.1.0]\n",
		"blocked-edges/4.1.1.yaml":      "to: 4.1.1\nfrom: .*\n",
		"blocked-edges/4.1.1-Slow.yaml": conditional("4.1.1", "^4[.]0[.].*$", "Slow") + "fixedIn: 4.1.2\nautoExtend: https://example.com\n",
		"build-suggestions/4.1.yaml":    "default: {minor_min: 4.0.3, minor_max: 4.0.9999, minor_block_list: [], z_min: 4.1.0, z_max: 4.1.9999, z_block_list: [4.1.3]}\narm64: {z_min: 4.1.1}\n",
		"raw/metadata.json":             "{\n\t\"4.1.0\": {\n\t\t\"url\": \"https:\\/\\/example.com\\/\\ud83d\\ude00\\u00e4 \\\"x\\\"\"\n\t}\n}\n",
		"risks/BrokenRaid.yaml":         risk("BrokenRaid", ">=4.1.0", "from: <4.1.0\narchitectures: [arm64]\n"+always),
	}.load(t)
	c := d.Channels[0]
	want := graphdata.Feeder{Name: "stable", Delay: "PT0H", Errata: "public", Filter: "4[.]1[.].*"}
	if c.Name != "stable-4.1" || *c.Feeder != want || c.Line("versions[1]") != 6 || c.File() != "channels/stable-4.1.yaml" {
		t.Errorf("%+v", c)
	}
	if pattern, err := c.Feeder.Pattern(); err != nil || !pattern.MatchString("4.1.3") || pattern.MatchString("14.1.3") {
		t.Errorf("filter %v: %v", pattern, err)
	}
	if pattern, err := (graphdata.Feeder{}).Pattern(); pattern != nil || err != nil {
		t.Errorf("no filter is %v, %v", pattern, err)
	}
	if diff := cmp.Diff([]string{"4.1.0", "4.1.1+arm64"}, c.Versions); diff != "" {
		t.Error(diff)
	}
	if len(d.Internal) != 1 || len(d.Blocks) != 2 || d.Blocks[0].Risk().Name != "Slow" || d.Blocks[0].FixedIn != "4.1.2" || d.Blocks[1].Risk() != nil {
		t.Errorf("%+v", d.Blocks)
	}
	if s := d.Suggestions[0]; s.Minor != "4.1" || s.ByArch["default"].ZBlockList[0] != "4.1.3" || s.ByArch["arm64"].ZMin != "4.1.1" {
		t.Errorf("%+v", s)
	}
	if diff := cmp.Diff(map[string]map[string]string{"4.1.0": {"url": `https://example.com/😀ä "x"`}}, d.Metadata); diff != "" {
		t.Error(diff)
	}
	if r := d.Risks[0]; r.Metadata.Name != "BrokenRaid" || r.Architectures[0] != "arm64" {
		t.Errorf("%+v", r)
	}
}

// A short file can hold billions of values.
func TestLoadBoundsAliases(t *testing.T) {
	var keys, uses strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&keys, "k%d: v, ", i)
		fmt.Fprintf(&uses, "arch%d: *a\n", i)
	}
	versions := strings.Repeat("4.1.0, ", 3000)
	for file, text := range map[string]string{
		"build-suggestions/4.1.yaml": "base: &a {z_block_list: [" + versions + "]}\n" + uses.String(),
		"blocked-edges/4.1.0.yaml":   "to: 4.1.0\nfrom: .*\nmatchingRules:\n- &a {type: Always, promql: {promql: x}}\n" + strings.Repeat("- *a\n", 200_000),
	} {
		_, err := graphdata.LoadFS(folder{file: text}.fs(), "data")
		if err == nil || !strings.Contains(err.Error(), "aliases stand for more than 100000 values") || len(err.Error()) > 1000 {
			t.Errorf("%s: %.1000v", file, err)
		}
	}
	// JSON knows no aliases, and they are none in it.
	if _, err := graphdata.LoadFS(folder{"raw/metadata.json": `{"a": &a {"b": "c"}, "d": *a}`}.fs(), "data"); err == nil {
		t.Error("an alias in JSON was taken")
	}
}

func TestParseDelay(t *testing.T) {
	for text, want := range map[string]string{
		"P1W": "168h0m0s", "P4D": "96h0m0s", "PT48H": "48h0m0s", "PT0H": "0s", "P1DT12H30M5S": "36h30m5s", "PT90M": "1h30m0s", "P0521W": "87528h0m0s",
		"": "", "P": "", "PT": "", "P1DT": "", "1D": "", "P1Y": "", "P1M": "", "P-1D": "", "p1d": "", "P1.5D": "", "P1W2D": "", "P1D ": "", "P1H": "",
		"P999999W": "", "P999999999D": "", "PT99999999999999999999H": "", "P3650DT1S": "",
	} {
		got, err := graphdata.ParseDelay(text)
		if want == "" {
			if err == nil {
				t.Errorf("%q was taken for %s", text, got)
			}
		} else if err != nil || got.String() != want {
			t.Errorf("%q is %s (%v), want %s", text, got, err, want)
		}
	}
}
