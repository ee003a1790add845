package graphdata_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/release/channels/graph"
	"github.com/slipway-release/slipway/release/channels/graphdata"
)

// releasesOf are releases that may be upgraded from all before them, on each of archs.
func releasesOf(versions []string, archs ...string) []graph.Release {
	var all []graph.Release
	for _, arch := range archs {
		for i, v := range versions {
			all = append(all, graph.Release{Version: v, Arch: arch, Payload: "example.com/p@sha256:" + v + arch, Previous: versions[:i]})
		}
	}
	return all
}

func compile(t testing.TB, d *graphdata.Data, releases []graph.Release) *graph.Snapshot {
	t.Helper()
	s, err := d.Compile(releases)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// edgesOf are all edges of a snapshot, as ARCH FROM TO and the names of risks, or "blocked".
func edgesOf(s *graph.Snapshot) []string {
	all := []string{}
	for arch, g := range s.Graphs {
		for _, e := range g.Edges {
			all = append(all, fmt.Sprintf("%s %s %s", arch, g.Nodes[e[0]].Version, g.Nodes[e[1]].Version))
		}
		for _, group := range g.ConditionalEdges {
			var names []string
			for _, r := range group.Risks {
				names = append(names, r.Name)
			}
			for _, e := range group.Edges {
				all = append(all, fmt.Sprintf("%s %s %s %s", arch, e.From, e.To, strings.Join(names, ",")))
			}
		}
	}
	for _, b := range s.Blocked {
		all = append(all, fmt.Sprintf("%s %s %s blocked", b.Arch, b.From, b.To))
	}
	slices.Sort(all)
	return all
}

func TestRiskOverRanges(t *testing.T) {
	releases := releasesOf([]string{"4.0.9", "4.1.0-rc.1", "4.1.0", "4.1.1", "4.1.2"}, "amd64", "arm64")
	d := folder{
		"risks/Slow.yaml":   risk("Slow", ">=4.1.0", "from: '<4.1.0'\nfixedIn: 4.1.2\narchitectures: [arm64]\n"+always),
		"risks/Broken.yaml": risk("Broken", "4.1.0-rc.1 || 4.1.2", "from: '!4.1.1'\nblock: true\n"),
	}.load(t)
	want := []string{
		"amd64 4.0.9 4.1.0", "amd64 4.0.9 4.1.0-rc.1 blocked", "amd64 4.0.9 4.1.1", "amd64 4.0.9 4.1.2 blocked",
		"amd64 4.1.0 4.1.1", "amd64 4.1.0 4.1.2 blocked", "amd64 4.1.0-rc.1 4.1.0", "amd64 4.1.0-rc.1 4.1.1", "amd64 4.1.0-rc.1 4.1.2 blocked", "amd64 4.1.1 4.1.2",
		"arm64 4.0.9 4.1.0 Slow", "arm64 4.0.9 4.1.0-rc.1 blocked", "arm64 4.0.9 4.1.1 Slow", "arm64 4.0.9 4.1.2 blocked",
		"arm64 4.1.0 4.1.1", "arm64 4.1.0 4.1.2 blocked", "arm64 4.1.0-rc.1 4.1.0 Slow", "arm64 4.1.0-rc.1 4.1.1 Slow", "arm64 4.1.0-rc.1 4.1.2 blocked", "arm64 4.1.1 4.1.2",
	}
	if diff := cmp.Diff(want, edgesOf(compile(t, d, releases))); diff != "" {
		t.Error(diff)
	}
}

// Other readers take a file for each version; of blocks without a risk they take one only.
func TestExport(t *testing.T) {
	d := folder{
		"channels/OWNERS":               "x",
		"channels/a.yaml":               "name: a # as it is\n",
		"blocked-edges/4.1.0.yaml":      "to: 4.1.0\nfrom: ^4[.]0[.]8[+].*$\n",
		"blocked-edges/4.1.1-Slow.yaml": conditional("4.1.1", ".*", "Slow"),
		"risks/Slow.yaml":               risk("Slow", ">=4.1.0", "from: '>=4.0.8'\nfixedIn: 4.1.2\narchitectures: [arm64, multi]\n"+always),
		"risks/Broken.yaml":             risk("Broken", "<4.1.1", "from: 4.0.9\nblock: true\n"),
		"risks/Nowhere.yaml":            risk("Nowhere", ">4.1.0", "from: <3.0.0\n"+always),
	}.load(t)
	files, err := d.Export([]string{"4.1.1+arm64", "4.0.9", "4.1.0", "4.1.1", "new", "4.1.2"})
	if err != nil {
		t.Fatal(err)
	}
	got := folder{}
	for name, data := range files {
		got[name] = string(data)
	}
	const slow = "from: ^(4[.]0[.]9|4[.]1[.]0|4[.]1[.]1|4[.]1[.]2)[+](arm64|multi)$\nfixedIn: 4.1.2\nurl: https://example.com/Slow\nname: Slow\nmessage: It may hurt.\nmatchingRules:\n  - type: Always\n"
	want := folder{
		"version":                         "1.1.0\n",
		"channels/a.yaml":                 "name: a # as it is\n",
		"blocked-edges/4.1.1-Slow.yaml":   conditional("4.1.1", ".*", "Slow"),
		"blocked-edges/4.1.1-Slow-2.yaml": "to: 4.1.1\n" + slow,
		"blocked-edges/4.1.0-Slow.yaml":   "to: 4.1.0\n" + slow,
		"blocked-edges/4.0.9-Broken.yaml": "to: 4.0.9\nfrom: ^(4[.]0[.]9)[+].*$\n",
		"blocked-edges/4.1.0.yaml":        "to: 4.1.0\nfrom: (^4[.]0[.]8[+].*$)|(^(4[.]0[.]9)[+].*$)\n",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// What other readers get of a folder makes the same graph of it.
func TestExportMakesTheSameGraph(t *testing.T) {
	for seed := range uint64(150) {
		r := rand.New(rand.NewPCG(seed, 1))
		versions := randomVersions(r)
		files := randomFolder(r, versions)
		d := files.load(t)
		exported, err := d.Export(versions)
		if err != nil {
			t.Fatal(err)
		}
		other := folder{}
		for name, data := range exported {
			other[name] = string(data)
		}
		releases := releasesOf(versions, "amd64", "arm64", "multi")
		want := compile(t, d, releases)
		if diff := cmp.Diff(edgesOf(want), edgesOf(compile(t, other.load(t), releases))); diff != "" {
			t.Fatalf("seed %d, %v: %s", seed, files, diff)
		}
		again := folder{"version": string(exported["version"])}
		for name, text := range files {
			again[name] = text
		}
		for _, r := range d.Risks {
			data, err := r.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			again[r.File()] = string(data)
		}
		if diff := cmp.Diff(want, compile(t, again.load(t), releases)); diff != "" {
			t.Fatalf("seed %d, written and read again: %s", seed, diff)
		}
	}
}

// randomVersions are some versions in their order.
func randomVersions(r *rand.Rand) []string {
	var all []string
	for minor := range 1 + r.IntN(3) {
		for _, pre := range []string{"-ec.1", "-rc.2", "-rc.10"} {
			if r.IntN(2) == 0 {
				all = append(all, fmt.Sprintf("4.%d.0%s", minor, pre))
			}
		}
		for patch := range r.IntN(12) {
			if r.IntN(4) > 0 {
				all = append(all, fmt.Sprintf("4.%d.%d", minor, patch))
			}
		}
	}
	return all
}

// randomFolder has risks over ranges and blocks, some with the same names.
func randomFolder(r *rand.Rand, versions []string) folder {
	one := func() string {
		if len(versions) == 0 || r.IntN(10) == 0 {
			return "4.1.5-rc.1"
		}
		return versions[r.IntN(len(versions))]
	}
	span := func() string {
		a, b := one(), one()
		return []string{">=" + a, "<" + a, "!" + a, ">=" + a + " <" + b, a + " || >" + b, ">=4.1.0 <4.2.0"}[r.IntN(6)]
	}
	files := folder{}
	names := []string{"Slow", "Broken", "Loud", "Hot"}
	for _, name := range names[:r.IntN(5)] {
		more := ""
		if r.IntN(3) > 0 {
			more += "from: '" + span() + "'\n"
		}
		if r.IntN(3) == 0 {
			more += "fixedIn: " + one() + "\n"
		}
		if r.IntN(3) == 0 {
			more += "architectures: [" + []string{"arm64", "amd64, arm64", "s390x"}[r.IntN(3)] + "]\n"
		}
		if r.IntN(3) == 0 {
			more += "block: true\n"
		} else {
			more += always
		}
		files["risks/"+name+".yaml"] = risk(name, span(), more)
	}
	for n := range r.IntN(6) {
		to, from := one(), []string{".*", "^4[.]1[.].*$", "^.*[+]arm64$"}[r.IntN(3)]
		switch name := names[r.IntN(4)]; r.IntN(3) {
		case 0:
			files[fmt.Sprintf("blocked-edges/%s-%d.yaml", to, n)] = "to: " + to + "\nfrom: '" + from + "'\n"
		case 1:
			files["blocked-edges/"+to+"-"+name+".yaml"] = conditional(to, "'"+from+"'", name)
		}
	}
	return files
}
