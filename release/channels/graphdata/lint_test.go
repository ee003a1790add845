package graphdata_test

import (
	"bytes"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/internal/golden"
	"github.com/slipway-release/slipway/release/channels/graphdata"
)

// ordinary is a folder of which nothing is to be said.
func ordinary() folder {
	return folder{
		"internal-channels/candidate.yaml": "name: candidate\nversions:\n- 4.0.9\n- 4.1.0-rc.1\n- 4.1.0\n- 4.1.1\n",
		"internal-channels/fast.yaml":      "feeder:\n  name: candidate\n  errata: public\nname: fast\nversions:\n- 4.0.9\n- 4.1.0\n",
		"channels/candidate-4.1.yaml":      "feeder:\n  name: candidate\n  delay: PT0H\nname: candidate-4.1\nversions:\n- 4.0.9\n- 4.1.0-rc.1\n- 4.1.0\n- 4.1.1\n",
		"channels/fast-4.1.yaml":           "feeder:\n  name: fast\n  delay: PT0H\n  filter: 4[.][01][.].*\nname: fast-4.1\nversions:\n- 4.0.9\n- 4.1.0\n- 4.1.1+arm64\n",
		"blocked-edges/4.1.0.yaml":         "to: 4.1.0\nfrom: ^4[.]1[.]0-rc[.].*$\n",
		"blocked-edges/4.1.1-Slow.yaml":    conditional("4.1.1", "^4[.]0[.].*[+].*$", "Slow") + "fixedIn: 4.1.2\n",
		"build-suggestions/4.1.yaml":       "default:\n  minor_min: 4.0.9\n  z_min: 4.1.0\n",
		"risks/BrokenRaid.yaml":            risk("BrokenRaid", ">=4.1.0 <4.2.0", "from: '<4.1.0-0'\nfixedIn: 4.1.2\n"+always),
	}
}

// with is the folder with other files in it.
func (f folder) with(files folder) folder {
	all := folder{}
	for _, from := range []folder{f, files} {
		for name, text := range from {
			all[name] = text
		}
	}
	return all
}

// edited is the folder with a file in which something stands for something else.
func (f folder) edited(t testing.TB, file, old, by string) folder {
	t.Helper()
	text := strings.Replace(f[file], old, by, 1)
	if text == f[file] {
		t.Fatalf("%s lacks %q", file, old)
	}
	return f.with(folder{file: text})
}

// lines are findings as ID FILE:LINE MESSAGE.
func lines(t testing.TB, r graphdata.Report) []string {
	t.Helper()
	var text bytes.Buffer
	r.Text(&text)
	all := []string{}
	for _, m := range regexp.MustCompile(`(?m)^data/(\S+?:\d+): (?:error|warning|note): (.*) \[[a-z0-9-]+, (SLG\d+)\]$`).FindAllStringSubmatch(text.String(), -1) {
		all = append(all, m[3]+" "+m[1]+" "+m[2])
	}
	if len(all) != len(r.Findings) {
		t.Errorf("%d of %d findings are written as they should be:\n%s", len(all), len(r.Findings), text.String())
	}
	return all
}

func TestOrdinaryFolderIsClean(t *testing.T) {
	if got := lines(t, ordinary().load(t).Lint()); len(got) > 0 {
		t.Error(strings.Join(got, "\n"))
	}
}

// Every rule finds what it is for, in its place, and leaves alone what is close to it.
func TestRules(t *testing.T) {
	const (
		slow  = "blocked-edges/4.1.1-Slow.yaml"
		plain = "blocked-edges/4.1.0.yaml"
		fast  = "channels/fast-4.1.yaml"
		cand  = "channels/candidate-4.1.yaml"
	)
	o := ordinary()
	from := func(pattern string) folder {
		return o.edited(t, slow, "^4[.]0[.].*[+].*$", "'"+pattern+"'")
	}
	query := func(q string) folder {
		return o.edited(t, slow, "type: Always", "type: PromQL\n  promql:\n    promql: '"+q+"'")
	}
	seen := map[string]bool{}
	for name, c := range map[string]struct {
		files folder
		want  []string
	}{
		"pattern finds nothing":          {from("^4[.]9[.].*$"), []string{`SLG002 ` + slow + `:2 "^4[.]9[.].*$" is found in none of the 4 versions known`}},
		"pattern of an architecture":     {from("^4[.]0[.]9[+]s390x$"), nil},
		"range finds nothing":            {o.edited(t, "risks/BrokenRaid.yaml", "<4.1.0-0", "<4.0.0"), []string{`SLG002 risks/BrokenRaid.yaml:8 "<4.0.0" holds none of the 4 versions known`}},
		"dead alternative":               {from("^4[.]0[.](8|9|1])[+].*$"), []string{`SLG003 ` + slow + `:2 its part "1]" can be found in no version, because of "]"`}},
		"dead class":                     {from("^4[.]0[.](9|[_!]1)[+].*$"), []string{`SLG003 ` + slow + `:2 its part "[!_]" can be found in no version, because of "[!_]"`}},
		"dead repetition":                {from("^4[.]0[.](9|(?:_x){2})[+].*$"), []string{`SLG003 ` + slow + `:2 its part "_x" can be found in no version, because of "_"`}},
		"what may be left out":           {from("^4[.]0[.]9_*[+](amd64|arm64)_?$"), nil},
		"not anchored":                   {from("4[.]0[.]9"), []string{`SLG004 ` + slow + `:2 "4[.]0[.]9" lacks ^ at its begin and $ at its end`}},
		"no begin":                       {from("4[.]0[.].*[+].*$"), []string{`SLG004 ` + slow + `:2 "4[.]0[.].*[+].*$" lacks ^ at its begin`}},
		"no end":                         {from("^4[.]0[.]9"), []string{`SLG004 ` + slow + `:2 "^4[.]0[.]9" lacks $ at its end`}},
		"one alternative not anchored":   {from("^4[.]0[.]9[+].*$|4[.]1[.]"), []string{`SLG004 ` + slow + `:2 "^4[.]0[.]9[+].*$|4[.]1[.]" lacks ^ at its begin and $ at its end`}},
		"both alternatives anchored":     {from("(^4[.]0[.].*$|^4[.]1[.]0[+].*$)"), nil},
		"all, in whatever way":           {from(".*"), nil},
		"rest is anything":               {from("^4[.]0[.].*"), nil},
		"no PromQL":                      {query("max(up"), []string{`SLG005 ` + slow + `:9 it is no PromQL: 1:7: parse error: unclosed left parenthesis`}},
		"PromQL of another type":         {query("up[5m]"), []string{`SLG005 ` + slow + `:9 it gives a range vector, and clusters need an instant vector of one sample`}},
		"PromQL":                         {query(`max(etcd_objects{cluster="a"}) > bool 1e6`), nil},
		"risk not in CamelCase":          {o.edited(t, slow, "name: Slow", "name: slow-start"), []string{`SLG006 ` + slow + `:4 "slow-start" is not in CamelCase`}},
		"link without TLS":               {o.edited(t, slow, "https:", "http:"), []string{`SLG006 ` + slow + `:3 "http://example.com/Slow" does not begin with https://`}},
		"link of a risk over ranges":     {o.edited(t, "risks/BrokenRaid.yaml", "https:", "http:"), []string{`SLG006 risks/BrokenRaid.yaml:6 "http://example.com/BrokenRaid" does not begin with https://`}},
		"unknown type of rule":           {o.edited(t, slow, "Always", "Sometimes"), []string{`SLG006 ` + slow + `:7 there is no rule of type "Sometimes"`}},
		"type twice":                     {o.edited(t, slow, "- type: Always\n", "- type: Always\n- type: Always\n"), []string{`SLG006 ` + slow + `:8 type Always stands there twice; clients take the first that they can evaluate`}},
		"block twice":                    {o.with(folder{"blocked-edges/4.1.0-again.yaml": "to: 4.1.0\nfrom: ^4[.]1[.]1[+].*$\n"}), []string{`SLG007 ` + plain + `:1 it and blocked-edges/4.1.0-again.yaml both block it without a risk for upgrades to 4.1.0`}},
		"risk twice":                     {o.with(folder{"blocked-edges/4.1.1-Slow-2.yaml": conditional("4.1.1", "^4[.]0[.]9[+].*$", "Slow")}), []string{`SLG007 ` + slow + `:1 it and blocked-edges/4.1.1-Slow-2.yaml both declare risk Slow for upgrades to 4.1.1`}},
		"risk of other edges":            {o.with(folder{"blocked-edges/4.1.1-Slow-2.yaml": conditional("4.1.1", "^4[.]1[.]0[+].*$", "Slow")}), nil},
		"risk of another version":        {o.with(folder{"blocked-edges/4.1.0-Slow.yaml": conditional("4.1.0", "^4[.]0[.]9[+].*$", "Slow")}), nil},
		"block and risk":                 {o.with(folder{"blocked-edges/4.1.1-x.yaml": "to: 4.1.1\nfrom: ^.*[+]arm64$\n"}), []string{`SLG008 ` + slow + `:2 the edge from 4.0.9+arm64 to 4.1.1 bears this risk, and blocked-edges/4.1.1-x.yaml blocks it; it is not offered`, `SLG008 risks/BrokenRaid.yaml:8 the edge from 4.0.9+arm64 to 4.1.1 bears this risk, and blocked-edges/4.1.1-x.yaml blocks it; it is not offered`}},
		"block of another architecture":  {o.edited(t, slow, "[+].*$", "[+]amd64$").edited(t, "risks/BrokenRaid.yaml", "from:", "architectures: [amd64]\nfrom:").with(folder{"blocked-edges/4.1.1+arm64.yaml": "to: 4.1.1+arm64\nfrom: .*\n"}), nil},
		"block of one architecture":      {o.edited(t, "risks/BrokenRaid.yaml", "from:", "architectures: [amd64]\nfrom:").with(folder{"blocked-edges/4.1.1+arm64.yaml": "to: 4.1.1+arm64\nfrom: .*\n"}), []string{`SLG008 ` + slow + `:2 the edge from 4.0.9+arm64 to 4.1.1 bears this risk, and blocked-edges/4.1.1+arm64.yaml blocks it; it is not offered`}},
		"block over a range":             {o.with(folder{"risks/Broken.yaml": risk("Broken", "4.1.1", "from: '4.0.9'\nblock: true\n")}), []string{`SLG008 ` + slow + `:2 the edge from 4.0.9+amd64 to 4.1.1 bears this risk, and risks/Broken.yaml blocks it; it is not offered`, `SLG008 risks/BrokenRaid.yaml:8 the edge from 4.0.9+amd64 to 4.1.1 bears this risk, and risks/Broken.yaml blocks it; it is not offered`}},
		"risk with another text":         {o.with(folder{"blocked-edges/4.1.0-Slow.yaml": strings.Replace(conditional("4.1.0", "^4[.]0[.]9[+].*$", "Slow"), "may", "will", 1)}), []string{`SLG008 ` + slow + `:5 risk Slow has another message in blocked-edges/4.1.0-Slow.yaml`}},
		"risk with other rules":          {o.with(folder{"risks/Slow.yaml": risk("Slow", "4.1.0", "from: '<4.1.0-0'\nmatchingRules: [{type: PromQL, promql: {promql: up}}]\n")}).edited(t, "risks/Slow.yaml", "example.com/Slow", "example.com/Slow"+"#"), []string{`SLG008 risks/Slow.yaml:6 risk Slow has another url in ` + slow}},
		"versions that are none":         {o.edited(t, cand, "- 4.1.1\n", "- 4.1.1\n- 4.2\n- v4.3.0\n- 04.4.0\n- 4.5.0+riscv\n").edited(t, cand, "4.2\n", "'4.2'\n"), []string{`SLG009 ` + cand + `:10 "4.2" is no version: No Major.Minor.Patch elements found`, `SLG009 ` + cand + `:11 "v4.3.0" is no version: Invalid character(s) found in major number "v4"`, `SLG009 ` + cand + `:12 "04.4.0" is no version: Major number must not contain leading zeroes "04"`, `SLG009 ` + cand + `:13 "4.5.0+riscv" is for architecture "riscv", which is none of amd64, arm64, ppc64le, s390x, multi`}},
		"tombstone that is none":         {o.edited(t, cand, "versions:", "tombstones: [4.1.x]\nversions:"), []string{`SLG009 ` + cand + `:5 "4.1.x" is no version: Invalid character(s) found in patch number "x"`}},
		"fixedIn that is none":           {o.edited(t, slow, "fixedIn: 4.1.2", "fixedIn: soon"), []string{`SLG009 ` + slow + `:8 "soon" is no version: No Major.Minor.Patch elements found`}},
		"suggestion that is none":        {o.edited(t, "build-suggestions/4.1.yaml", "z_min: 4.1.0", "z_min: 4.x.0"), []string{`SLG009 build-suggestions/4.1.yaml:3 "4.x.0" is no version: Invalid character(s) found in minor number "x"`}},
		"block to none":                  {o.with(folder{"blocked-edges/all.yaml": "to: all\nfrom: .*\n"}), []string{`SLG009 blocked-edges/all.yaml:1 "all" is no version: No Major.Minor.Patch elements found`, `SLG013 blocked-edges/all.yaml:1 all is in no channel`}},
		"unsorted":                       {o.edited(t, cand, "- 4.1.0-rc.1\n- 4.1.0\n", "- 4.1.0\n- 4.1.0-rc.1\n"), []string{`SLG010 ` + cand + `:8 4.1.0-rc.1 stands behind 4.1.0, which is newer`}},
		"sorted as text":                 {o.edited(t, cand, "- 4.1.0-rc.1\n", "- 4.1.0-rc.10\n- 4.1.0-rc.2\n"), []string{`SLG010 ` + cand + `:8 4.1.0-rc.2 stands behind 4.1.0-rc.10, which is newer`}},
		"sorted by semver":               {o.edited(t, cand, "- 4.1.0-rc.1\n", "- 4.1.0-ec.3\n- 4.1.0-rc.1\n- 4.1.0-rc.10\n"), nil},
		"version twice":                  {o.edited(t, cand, "- 4.1.1\n", "- 4.1.1\n- 4.1.1\n"), []string{`SLG011 ` + cand + `:10 4.1.1 stands there twice; the first time in line 9`}},
		"tombstone twice":                {o.edited(t, cand, "versions:", "tombstones: [4.1.1, 4.1.1]\nversions:"), []string{`SLG011 ` + cand + `:5 4.1.1 stands there twice; the first time in line 5`}},
		"version and its architecture":   {o.edited(t, cand, "- 4.1.1\n", "- 4.1.1\n- 4.1.1+arm64\n"), nil},
		"channel in another file":        {o.with(folder{"channels/x.yaml": "name: y\nversions: [4.1.0]\n"}), []string{`SLG012 channels/x.yaml:1 channel "y" stands in a file for channel "x"`}},
		"block in another file":          {o.with(folder{"blocked-edges/4.1.10.yaml": "to: 4.1.1\nfrom: ^4[.]1[.]0[+].*$\n"}), []string{`SLG012 blocked-edges/4.1.10.yaml:1 a block of 4.1.1 stands in a file whose name does not begin with that`}},
		"block in a pre-release's file":  {o.with(folder{"blocked-edges/4.1.0-rc.1-Old.yaml": conditional("4.1.0", "^4[.]0[.]9[+].*$", "Old")}), []string{`SLG012 blocked-edges/4.1.0-rc.1-Old.yaml:1 a block of 4.1.0 stands in a file for 4.1.0-rc.1`}},
		"names of blocks":                {o.with(folder{"blocked-edges/4.0.9-to-4.1.1.yaml": "to: 4.1.1\nfrom: ^4[.]1[.]1[+].*$\n", "blocked-edges/4.1.0-rc-names.yaml": conditional("4.1.0", "^4[.]0[.]9[+].*$", "Rc")}), nil},
		"block of an unknown version":    {o.with(folder{"blocked-edges/4.3.0.yaml": "to: 4.3.0\nfrom: .*\n"}), []string{`SLG013 blocked-edges/4.3.0.yaml:1 4.3.0 is in no channel`}},
		"block of a known one":           {o.with(folder{"blocked-edges/4.0.9+arm64.yaml": "to: 4.0.9+arm64\nfrom: .*\n"}), nil},
		"range of unknown versions":      {o.edited(t, "risks/BrokenRaid.yaml", ">=4.1.0 <4.2.0", ">=4.1.2"), []string{`SLG013 risks/BrokenRaid.yaml:5 ">=4.1.2" holds no version of any channel before 4.1.2`}},
		"fixed before":                   {o.edited(t, slow, "fixedIn: 4.1.2", "fixedIn: 4.1.1"), []string{`SLG014 ` + slow + `:8 the risk of 4.1.1 is said to be fixed in 4.1.1`}},
		"fixed in another minor version": {o.edited(t, slow, "fixedIn: 4.1.2", "fixedIn: 4.2.0-rc.1"), nil},
		"no feeder":                      {o.edited(t, fast, "name: fast\n", "name: faster\n"), []string{`SLG015 ` + fast + `:2 there is no channel "faster"`}},
		"delay":                          {o.edited(t, fast, "PT0H", "2 days"), []string{`SLG015 ` + fast + `:3 "2 days" is no duration such as P1W, P4D or PT48H`}},
		"errata":                         {o.edited(t, fast, "delay: PT0H", "errata: private"), []string{`SLG015 ` + fast + `:3 "private" is not "public"`}},
		"never":                          {o.edited(t, fast, "  delay: PT0H\n", ""), []string{`SLG015 ` + fast + `:1 neither delay nor errata says when a version goes on`}},
		"circle":                         {o.edited(t, "internal-channels/candidate.yaml", "name:", "feeder: {name: fast, delay: P1W}\nname:"), []string{`SLG015 internal-channels/candidate.yaml:1 channels feed each other in a circle: candidate ← fast ← candidate`, `SLG015 internal-channels/fast.yaml:2 channels feed each other in a circle: fast ← candidate ← fast`}},
		"filter":                         {o.edited(t, fast, "4[.][01][.].*", "4[.]1[.].*"), []string{`SLG016 ` + fast + `:7 4.0.9 does not match the filter 4[.]1[.].*`}},
		"not in the less stable":         {o.edited(t, cand, "- 4.1.0\n", ""), []string{`SLG017 ` + fast + `:8 4.1.0 is not in channel candidate-4.1`}},
		"other channels are no subsets":  {o.with(folder{"channels/mine-4.1.yaml": "name: mine-4.1\nversions: [4.1.3]\n", "channels/fast.yaml": "name: fast\nversions: [4.1.5]\n", "channels/stable-4.2.yaml": "name: stable-4.2\nversions: [4.2.0]\n", "channels/fast-4.1.yaml": o[fast]}).edited(t, fast, "name: fast\n", "name: candidate\n"), nil},
		"newer schema":                   {o.with(folder{"version": "1.3.0\n"}), []string{`SLG018 version:1 schema 1.3.0 is newer than 1.2.0`}},
		"newer patch of the schema":      {o.with(folder{"version": "1.2.9\n"}), nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := lines(t, c.files.load(t).Lint())
			if diff := cmp.Diff(append([]string{}, c.want...), got); diff != "" {
				t.Error(diff)
			}
		})
		for _, want := range c.want {
			seen[want[:6]] = true
		}
	}
	seen["SLG001"] = true // see TestLintOfWhatCannotBeLoaded
	for _, r := range graphdata.Rules() {
		if !seen[r.ID] {
			t.Errorf("nothing shows what %s reports", r.ID)
		}
	}
}

func TestLintOfWhatCannotBeLoaded(t *testing.T) {
	dir := folder{"blocked-edges/4.1.0.yaml": "to: 4.1.0\nfrom: (\n", "channels/a.yaml": "name: 1\n"}.write(t)
	r, err := graphdata.Lint(dir)
	if err != nil || !r.Failed(graphdata.LevelError) || r.Counts.Error != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	for i, want := range []string{dir + "/blocked-edges/4.1.0.yaml", dir + "/channels/a.yaml"} {
		if f := r.Findings[i]; f.ID != "SLG001" || f.File != want || f.Line != 2-i {
			t.Errorf("%+v", f)
		}
	}
	if _, err := graphdata.Lint("/nonexistent"); err == nil {
		t.Error("no folder was judged")
	}
}

func TestReport(t *testing.T) {
	o := ordinary()
	messy := o.edited(t, "channels/fast-4.1.yaml", "4[.][01]", "4[.]1").edited(t, "channels/candidate-4.1.yaml", "- 4.1.0-rc.1\n- 4.1.0\n", "- 4.1.0\n- 4.1.0-rc.1\n").
		edited(t, "blocked-edges/4.1.1-Slow.yaml", "^4[.]0[.].*[+].*$", "\"^4[.]0[.](9|10])\\e\"").load(t).Lint()
	unreadable, err := graphdata.Lint(folder{"version": "2.0.0"}.write(t))
	if err != nil {
		t.Fatal(err)
	}
	unreadable.Findings[0].File = "data/version"
	var text, log bytes.Buffer
	for _, r := range []graphdata.Report{messy, unreadable, o.load(t).Lint()} {
		r.Text(&text)
		text.WriteString("-----\n")
	}
	golden.Check(t, "testdata/report.txt", text.Bytes())
	if err := messy.SARIF(&log, "v1.2.3"); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/report.sarif", log.Bytes())
	for level, want := range map[graphdata.Level]bool{graphdata.LevelError: true, graphdata.LevelWarning: true, graphdata.LevelNote: true} {
		if messy.Failed(level) != want {
			t.Errorf("failed at %s: %t", level, !want)
		}
	}
}

func TestRulesAreWritten(t *testing.T) {
	var names []string
	for i, r := range graphdata.Rules() {
		if found, ok := graphdata.Find(strings.ToLower(r.ID)); !ok || found.Name != r.Name {
			t.Errorf("%s is not found by its id", r.ID)
		}
		if found, ok := graphdata.Find(r.Name); !ok || found.ID != r.ID {
			t.Errorf("%s is not found by its name", r.Name)
		}
		if slices.Contains(names, r.Name) || r.ID != "SLG"+string([]byte{'0', byte('0' + (i+1)/10), byte('0' + (i+1)%10)}) {
			t.Errorf("%s, %s: its name or id is another rule's", r.ID, r.Name)
		}
		names = append(names, r.Name)
		for _, text := range []string{r.Title, r.Why, r.Fix} {
			if !strings.HasSuffix(text, ".") || strings.ToUpper(text[:1]) != text[:1] {
				t.Errorf("%s: %q is no sentence", r.ID, text)
			}
		}
		var b bytes.Buffer
		r.Explain(&b)
		if !strings.Contains(b.String(), r.Why) {
			t.Error(b.String())
		}
	}
	if _, ok := graphdata.Find("SLG999"); ok {
		t.Error("a rule was found that does not exist")
	}
}

func TestIsFolder(t *testing.T) {
	dir := folder{"blocked-edges/4.1.0.yaml": "x", "risks": "x"}.write(t)
	if !graphdata.IsFolder(dir) || graphdata.IsFolder(dir+"/version") || graphdata.IsFolder(dir+"/blocked-edges") || graphdata.IsFolder(dir+"/none") {
		t.Error("a folder is one of graph-data when it has one of its folders")
	}
	if err := os.RemoveAll(dir + "/blocked-edges"); err != nil || graphdata.IsFolder(dir) {
		t.Errorf("it has none any more: %v", err)
	}
}
