package graphdata_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/internal/config"
	"github.com/slipway-release/slipway/internal/state"
	"github.com/slipway-release/slipway/release/channels/graphdata"
)

func TestAdd(t *testing.T) {
	const commented = "# ours\nname: a # b\nversions:\n# old\n- 4.1.0 # first\n\n- 4.1.2\n# end\ntombstones: [4.0.1]\n"
	for name, c := range map[string]struct {
		before string
		add    []string
		want   string // with "error: ", what stands in the message
	}{
		"in its place":            {commented, []string{"4.1.1"}, strings.Replace(commented, "# first\n", "# first\n- 4.1.1\n", 1)},
		"at the end":              {commented, []string{"4.1.3"}, strings.Replace(commented, "4.1.2\n", "4.1.2\n- 4.1.3\n", 1)},
		"at the begin":            {commented, []string{"4.0.1"}, strings.Replace(commented, "- 4.1.0", "- 4.0.1\n- 4.1.0", 1)},
		"several, unsorted":       {commented, []string{"4.1.3", "4.1.1", "4.1.4", "4.1.3"}, strings.NewReplacer("# first\n", "# first\n- 4.1.1\n", "4.1.2\n", "4.1.2\n- 4.1.3\n- 4.1.4\n").Replace(commented)},
		"nothing new":             {commented, []string{"4.1.2", "4.1.0"}, ""},
		"pre-releases":            {"name: a\nversions:\n- 4.1.0-ec.1\n- 4.1.0-rc.2\n- 4.1.0\n", []string{"4.1.0-rc.10", "4.1.0-fc.0", "4.1.0-rc.1"}, "name: a\nversions:\n- 4.1.0-ec.1\n- 4.1.0-fc.0\n- 4.1.0-rc.1\n- 4.1.0-rc.2\n- 4.1.0-rc.10\n- 4.1.0\n"},
		"architecture":            {"name: a\nversions:\n- 4.1.0\n- 4.1.2\n", []string{"4.1.1+s390x", "4.1.1+arm64", "4.1.2+arm64"}, "name: a\nversions:\n- 4.1.0\n- 4.1.1+arm64\n- 4.1.1+s390x\n- 4.1.2\n"},
		"all after architectures": {"name: a\nversions:\n- 4.1.0+arm64\n", []string{"4.1.0", "4.1.0+s390x"}, "name: a\nversions:\n- 4.1.0\n- 4.1.0+arm64\n"},
		"indented":                {"name: a\nversions:\n    -   4.1.0\n    -   4.1.2\n", []string{"4.1.1"}, "name: a\nversions:\n    -   4.1.0\n    - 4.1.1\n    -   4.1.2\n"},
		"quoted":                  {"name: a\nversions:\n- \"4.1.0\"\n- '4.1.2'\n", []string{"4.1.3"}, "name: a\nversions:\n- \"4.1.0\"\n- '4.1.2'\n- 4.1.3\n"},
		"CRLF":                    {"name: a\r\nversions:\r\n- 4.1.0\r\n- 4.1.2\r\n", []string{"4.1.1", "4.1.3"}, "name: a\r\nversions:\r\n- 4.1.0\r\n- 4.1.1\r\n- 4.1.2\r\n- 4.1.3\r\n"},
		"CRLF, no newline":        {"name: a\r\nversions:\r\n- 4.1.0", []string{"4.1.1"}, "name: a\r\nversions:\r\n- 4.1.0\r\n- 4.1.1"},
		"no newline at the end":   {"name: a\nversions:\n- 4.1.0\n- 4.1.2", []string{"4.1.4", "4.1.1", "4.1.3"}, "name: a\nversions:\n- 4.1.0\n- 4.1.1\n- 4.1.2\n- 4.1.3\n- 4.1.4"},
		"unsorted list":           {"name: a\nversions:\n- 4.1.0\n- 4.1.0-rc.10\n- 4.1.0-rc.2\n", []string{"4.1.1", "4.1.0-rc.3"}, "name: a\nversions:\n- 4.1.0\n- 4.1.0-rc.10\n- 4.1.0-rc.2\n- 4.1.0-rc.3\n- 4.1.1\n"},
		"flow list":               {"name: a\nversions: [4.1.0]\n", []string{"4.1.1"}, "error: do not stand each on a line of its own"},
		"flow list over lines":    {"name: a\nversions: [\n  4.1.0,\n  4.1.0-rc.1\n]\n", []string{"4.1.1"}, "error: do not stand each on a line of its own"},
		"on the next line":        {"name: a\nversions:\n-\n  4.1.0\n", []string{"4.1.1"}, "error: do not stand each on a line of its own"},
		"no versions":             {"name: a\n", []string{"4.1.1"}, "error: write the first one by hand"},
		"shared list":             {"name: a\ntombstones: &x\n- 4.1.0\nversions: *x\n", []string{"4.1.1"}, "error: other parts of the file would change"},
		"folded version":          {"name: a\nversions:\n- 4.1.0\n- |-\n  4.1.2\n", []string{"4.1.3"}, "error: "},
		"no version":              {commented, []string{"4.1.1", "4.2", "4.1.1\n- 4.1.7"}, `error: "4.2" is no version: No Major.Minor.Patch elements found; "4.1.1\n- 4.1.7" is no version`},
		"unknown architecture":    {commented, []string{"4.1.1+arm"}, "error: is for architecture"},
	} {
		t.Run(name, func(t *testing.T) {
			d := folder{"channels/a.yaml": c.before}.load(t)
			got, err := d.Add(d.Channels[0], c.add...)
			if message, fails := strings.CutPrefix(c.want, "error: "); fails {
				if err == nil || !strings.Contains(err.Error(), message) || !strings.Contains(err.Error(), "channels/a.yaml") || got != nil {
					t.Errorf("got %q, %v", got, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, string(got)); diff != "" {
				t.Error(diff)
			}
			if c.want == "" {
				return
			}
			again := folder{"channels/a.yaml": string(got)}.load(t)
			if more, err := again.Add(again.Channels[0], c.add...); more != nil || err != nil {
				t.Errorf("the second time: %q, %v", more, err)
			}
		})
	}
}

func TestMarshalAndReadAgain(t *testing.T) {
	const query = "max(\n  up{a=\"b: c\"} # d\n) > bool 1"
	rules := "matchingRules:\n- type: PromQL\n  promql: {promql: " + fmt.Sprintf("%q", query) + "}\n- type: Always\n"
	d := folder{
		"blocked-edges/4.1.0.yaml":      "to: 4.1.0+arm64\nfrom: '.*'\n",
		"blocked-edges/4.1.1-Slow.yaml": strings.Replace(conditional("4.1.1", "'^4[.]0[.].*[+].*$'", "Slow"), always, rules, 1) + "fixedIn: 4.1.2\nautoExtend: https://example.com\n",
		"risks/Broken.yaml":             risk("Broken", ">=4.1.0", "from: '<4.1.0'\nfixedIn: 4.1.4\narchitectures: [arm64, multi]\n"+rules),
		"risks/Never.yaml":              risk("Never", "4.1.9", "block: true\n"),
	}.load(t)
	again := folder{}
	for _, b := range d.Blocks {
		data, err := b.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again[b.File()] = string(data)
	}
	for _, r := range d.Risks {
		data, err := r.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again[r.File()] = string(data)
	}
	got := again.load(t)
	if diff := cmp.Diff(asJSON(t, d.Blocks), asJSON(t, got.Blocks)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(asJSON(t, d.Risks), asJSON(t, got.Risks)); diff != "" {
		t.Error(diff)
	}
	if got.Blocks[1].MatchingRules[0].PromQL.PromQL != query {
		t.Errorf("%q", got.Blocks[1].MatchingRules[0].PromQL.PromQL)
	}
}

// Saying in which version a risk is fixed changes one line and leaves the rest as people
// wrote it, where that can be.
func TestFixedInKeepsComments(t *testing.T) {
	const rules = "url: https://example.com/1 # why\nname: Slow\nmessage: |-\n  It is\n  slow. # no comment\nmatchingRules:\n- type: Always # all\n"
	for name, c := range map[string]struct{ file, before, want string }{
		"a block":         {"blocked-edges/4.1.1-Slow.yaml", "# ours\nto: 4.1.1 # the first\nfrom: .* # all\n# more\n" + rules, "# ours\nto: 4.1.1 # the first\nfrom: .* # all\nfixedIn: 4.1.3\n# more\n" + rules},
		"fixed already":   {"blocked-edges/4.1.1-Slow.yaml", "to: 4.1.1\nfrom: .*\n" + rules + "fixedIn: '4.1.2'   # once more\n", "to: 4.1.1\nfrom: .*\n" + rules + "fixedIn: 4.1.3 # once more\n"},
		"to at the end":   {"blocked-edges/4.1.1-Slow.yaml", "from: .*\n" + rules + "to: 4.1.1", "from: .*\n" + rules + "to: 4.1.1\nfixedIn: 4.1.3\n"},
		"other line ends": {"blocked-edges/4.1.1-Slow.yaml", strings.ReplaceAll("to: 4.1.1 # a\nfrom: .*\n"+rules, "\n", "\r\n"), strings.ReplaceAll("to: 4.1.1 # a\nfrom: .*\nfixedIn: 4.1.3\n"+rules, "\n", "\r\n")},
		"a risk": {"risks/Slow.yaml", "# ours\n" + risk("Slow", ">=4.1.0", "# why from\nfrom: <4.1.0 # older\n"+always),
			"# ours\n" + risk("Slow", ">=4.1.0", "# why from\nfrom: <4.1.0 # older\nfixedIn: 4.1.3\n"+always)},
		// What cannot be changed by a line is written anew.
		"a flow": {"blocked-edges/4.1.1-Slow.yaml", "{to: 4.1.1, from: .*, url: https://example.com/1, name: Slow, message: It is slow., matchingRules: [{type: Always}]} # x\n",
			"to: 4.1.1\nfrom: .*\nfixedIn: 4.1.3\nurl: https://example.com/1\nname: Slow\nmessage: It is slow.\nmatchingRules:\n  - type: Always\n"},
		"several lines": {"blocked-edges/4.1.1-Slow.yaml", "to: 4.1.1\nfrom: 4[.]0[.]1\n  |4[.]0[.]2\n" + strings.ReplaceAll(rules, " # all", ""),
			"to: 4.1.1\nfrom: 4[.]0[.]1 |4[.]0[.]2\nfixedIn: 4.1.3\n" + strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(rules, " # all", ""), " # why", ""), "- type", "  - type")},
	} {
		t.Run(name, func(t *testing.T) {
			d := folder{c.file: c.before}.load(t)
			changes, err := d.FixedIn("Slow", "4.1.3")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, string(changes[c.file])); diff != "" || len(changes) != 1 {
				t.Error(diff)
			}
			again := folder{c.file: string(changes[c.file])}.load(t)
			if more, err := again.FixedIn("Slow", "4.1.3"); err != nil || string(more[c.file]) != c.want {
				t.Errorf("the second time: %q, %v", more[c.file], err)
			}
		})
	}
}

func asJSON(t testing.TB, v any) string {
	t.Helper()
	data, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// channelsWith is a folder whose channels have one version, and as many files.
func channelsWith(version string) map[string][]byte {
	return map[string][]byte{
		"channels/a.yaml": []byte("name: a\nversions:\n- " + version + "\n"),
		"channels/b.yaml": []byte("name: b\nversions:\n- " + version + "\n"),
		"channels/c.yaml": []byte("name: c\nversions:\n- " + version + "\n"),
	}
}

// uniform is the only version of a folder's channels, which have the same.
func uniform(t testing.TB, d *graphdata.Data) string {
	t.Helper()
	if len(d.Channels) != 3 {
		t.Fatalf("%d channels", len(d.Channels))
	}
	for _, c := range d.Channels {
		if len(c.Versions) != 1 || c.Versions[0] != d.Channels[0].Versions[0] {
			t.Fatalf("channels have %v", d.Channels)
		}
	}
	return d.Channels[0].Versions[0]
}

func TestApply(t *testing.T) {
	dir := ordinary().write(t)
	err := graphdata.Apply(dir, map[string][]byte{
		"channels/new.yaml":              []byte("name: new\nversions: [4.1.0]\n"),
		"blocked-edges/4.1.0.yaml":       nil,
		"blocked-edges/none.yaml":        nil,
		"risks/BrokenRaid.yaml":          nil,
		"internal-channels/more.yaml":    []byte("name: more\n"),
		"notes/made/today.txt":           []byte("yes"),
		"channels/README.md":             {},
		"build-suggestions/4.2.yaml":     []byte("default: {z_min: 4.2.0}\n"),
		"blocked-edges/4.1.1-Other.yaml": []byte(conditional("4.1.1", ".*", "Other")),
	})
	if err != nil {
		t.Fatal(err)
	}
	d, err := graphdata.Load(dir)
	if err != nil || len(d.Channels) != 3 || len(d.Internal) != 3 || len(d.Blocks) != 2 || len(d.Risks) != 0 || len(d.Suggestions) != 2 {
		t.Errorf("%+v, %v", d, err)
	}
	if readFile(t, dir+"/notes/made/today.txt") != "yes" || readFile(t, dir+"/channels/README.md") != "" {
		t.Error("other files were not written")
	}
	if left, _ := filepath.Glob(dir + "/.*"); len(left) > 0 {
		t.Errorf("it leaves %v", left)
	}
}

// What would not load is refused with all that is wrong, and nothing is written.
func TestApplyRefuses(t *testing.T) {
	for name, changes := range map[string]map[string][]byte{
		"wrong file among others": {"channels/a.yaml": []byte("name: a\n"), "channels/b.yaml": []byte("name: 1\n")},
		"no version left":         {"version": nil},
		"unknown ending":          {"channels/b.txt": []byte("x")},
		"outside":                 {"../a.yaml": []byte("name: a\n")},
		"absolute":                {"/etc/a.yaml": []byte("name: a\n")},
		"another way to a file":   {"channels/../channels/a.yaml": []byte("name: a\n")},
		"its own notes":           {".slipway-changes": []byte("{}")},
		"folder":                  {".": nil},
	} {
		dir := ordinary().write(t)
		before := asJSON(t, snapshotOf(t, dir))
		err := graphdata.Apply(dir, changes)
		if err == nil || !strings.HasPrefix(err.Error(), "changing graph-data ") {
			t.Errorf("%s: %v", name, err)
		}
		if name == "wrong file among others" && !errors.As(err, new(*config.Error)) {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(before, asJSON(t, snapshotOf(t, dir))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if err := graphdata.Apply("/nonexistent", nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
	link := folder{}.write(t)
	outside := t.TempDir()
	if err := os.Symlink(outside, link+"/channels"); err != nil {
		t.Fatal(err)
	}
	err := graphdata.Apply(link, map[string][]byte{"channels/a.yaml": []byte("name: a\n")})
	if left, _ := os.ReadDir(outside); err == nil || len(left) > 0 {
		t.Errorf("through a symbolic link that leads out: %v, %v", err, left)
	}
}

// snapshotOf are the contents of a folder by path.
func snapshotOf(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			all[path] = readFile(t, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Whichever of its writes was the last one, the folder reads as after them all, and the
// next Apply does the others.
func TestUnfinishedChanges(t *testing.T) {
	changes := channelsWith("4.1.0")
	changes["channels/d.yaml"] = nil
	paths := []string{"channels/a.yaml", "channels/b.yaml", "channels/c.yaml", "channels/d.yaml"}
	intent, err := json.Marshal(changes)
	if err != nil {
		t.Fatal(err)
	}
	for done := range 1 << len(paths) {
		dir := folder{"channels/a.yaml": "name: a\nversions: [4.0.0]\n", "channels/b.yaml": "name: b\nversions: [4.0.0]\n", "channels/d.yaml": "name: d\n"}.write(t)
		for i, path := range paths {
			if done&(1<<i) == 0 {
				continue
			}
			if changes[path] == nil {
				if err := os.Remove(filepath.Join(dir, path)); err != nil {
					t.Fatal(err)
				}
			} else {
				writeFile(t, filepath.Join(dir, path), string(changes[path]))
			}
		}
		writeFile(t, dir+"/.slipway-changes", string(intent))
		writeFile(t, dir+"/channels/.b.yaml.123", "name: [")
		d, err := graphdata.Load(dir)
		if err != nil || uniform(t, d) != "4.1.0" {
			t.Fatalf("%04b: %v", done, err)
		}
		if err := graphdata.Apply(dir, map[string][]byte{"channels/e.yaml": []byte("name: 1\n")}); err == nil {
			t.Error("what would not load was written")
		}
		if _, err := os.Stat(dir + "/.slipway-changes"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%04b: the changes are not done: %v", done, err)
		}
		if d, err = graphdata.Load(dir); err != nil || uniform(t, d) != "4.1.0" {
			t.Fatalf("%04b: %v", done, err)
		}
	}
	for _, broken := range []string{"", "{", `{"../a.yaml":""}`, `[]`} {
		dir := folder{}.write(t)
		writeFile(t, dir+"/.slipway-changes", broken)
		if err := graphdata.Apply(dir, nil); err == nil || !strings.Contains(err.Error(), ".slipway-changes") && !strings.Contains(err.Error(), "../a.yaml") {
			t.Errorf("unfinished changes %q: %v", broken, err)
		}
	}
}

const applyIn = "GRAPHDATA_TEST_APPLY_IN"

// TestApplyWithoutEnd is the process that TestKilledApply kills.
func TestApplyWithoutEnd(t *testing.T) {
	dir := os.Getenv(applyIn)
	if dir == "" {
		t.Skip("it is started by TestKilledApply")
	}
	for n := 0; ; n++ {
		if err := graphdata.Apply(dir, channelsWith(fmt.Sprintf("4.%d.0", n))); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKilledApply(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := folder{}.write(t)
	unfinished := 0
	for round := range 25 {
		cmd := exec.Command(self, "-test.run", "^TestApplyWithoutEnd$")
		cmd.Env = append(os.Environ(), applyIn+"="+dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for begun := time.Now(); time.Since(begun) < time.Minute; time.Sleep(time.Millisecond) {
			if _, err := os.Stat(dir + "/channels/c.yaml"); err == nil {
				break
			}
		}
		time.Sleep(time.Duration(20+7*round) * time.Millisecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // killed
		if _, err := os.Stat(dir + "/.slipway-changes"); err == nil {
			unfinished++
		}
		d, err := graphdata.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		before := uniform(t, d)
		if err := graphdata.Apply(dir, nil); err != nil {
			t.Fatal(err)
		}
		if d, err = graphdata.Load(dir); err != nil || uniform(t, d) != before {
			t.Fatalf("what read as %s is another version once it is done: %v", before, err)
		}
	}
	t.Logf("%d of 25 were killed between their writes", unfinished)
}

// Writers at the same time change one after the other, and readers never see a half.
func TestApplyAtTheSameTime(t *testing.T) {
	dir := folder{}.write(t)
	if err := graphdata.Apply(dir, channelsWith("4.0.0")); err != nil {
		t.Fatal(err)
	}
	var writers, readers sync.WaitGroup
	stop := make(chan struct{})
	for w := range 3 {
		writers.Go(func() {
			for n := range 10 {
				if err := patiently(func() error { return graphdata.Apply(dir, channelsWith(fmt.Sprintf("4.%d.%d", w, n))) }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	readers.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			var d *graphdata.Data
			if err := patiently(func() (err error) { d, err = graphdata.Load(dir); return err }); err != nil {
				t.Error(err)
				return
			}
			for _, c := range d.Channels {
				if c.Versions[0] != d.Channels[0].Versions[0] {
					t.Errorf("a reader saw %s and %s", c.Versions[0], d.Channels[0].Versions[0])
				}
			}
		}
	})
	writers.Wait()
	close(stop)
	readers.Wait()
}

// patiently does again what came too late for ten seconds: the folder is given to anybody
// who asks, in no order, and a busy host needs long for each.
func patiently(do func() error) error {
	for {
		if err := do(); !errors.Is(err, state.ErrBusy) {
			return err
		}
	}
}

// A reader that had looked for unfinished changes before there were any would read half of
// them: it waits until the writer is done, and the writer until readers are.
func TestLoadAndApplyWaitForEachOther(t *testing.T) {
	dir := folder{}.write(t)
	for name, c := range map[string]struct {
		shared bool
		do     func() error
	}{
		"reader behind a writer": {false, func() error { _, err := graphdata.Load(dir); return err }},
		"writer behind a writer": {false, func() error { return graphdata.Apply(dir, channelsWith("4.1.0")) }},
		"writer behind a reader": {true, func() error { return graphdata.Apply(dir, channelsWith("4.2.0")) }},
	} {
		t.Run(name, func(t *testing.T) {
			unlock, err := state.LockFolder(dir, c.shared)
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- c.do() }()
			select {
			case err := <-done:
				t.Fatalf("it did not wait: %v", err)
			case <-time.After(100 * time.Millisecond):
			}
			unlock()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}
