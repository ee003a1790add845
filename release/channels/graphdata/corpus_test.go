package graphdata_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/internal/config"
	"github.com/slipway-release/slipway/release/channels/graph"
	"github.com/slipway-release/slipway/release/channels/graphdata"
)

// corpus is a folder of other projects' data; tests that need it are skipped without.
func corpus(t testing.TB, parts ...string) string {
	t.Helper()
	root := os.Getenv("SLIPWAY_CORPUS")
	if root == "" {
		t.Skip("SLIPWAY_CORPUS names no folder with the data of other projects")
	}
	return filepath.Join(append([]string{root, "cincinnati"}, parts...)...)
}

const (
	keyArch = "io.openshift.upgrades.graph.release.arch"
	keyPrev = "io.openshift.upgrades.graph.previous.remove"

	mentioned = "mentioned@sha256:0"
)

// foreign is a graph as Cincinnati's graph builder keeps it: the architecture stands in
// the versions.
type foreign struct {
	Nodes []struct {
		Version, Payload string
		Metadata         map[string]string
	}
	Edges [][2]int
}

func readJSON(t testing.TB, file string, into any) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}

// releases are those of a graph, whose edges they declare.
func (f foreign) releases() []graph.Release {
	var all []graph.Release
	for _, n := range f.Nodes {
		version, arch, _ := strings.Cut(n.Version, "+")
		if n.Payload == "" {
			// A version that others only mention: Cincinnati holds a place for it, which it
			// never serves; Compile needs none, and refuses it.
			n.Payload = mentioned
		}
		all = append(all, graph.Release{Version: version, Arch: arch, Payload: n.Payload, Metadata: n.Metadata})
	}
	for _, e := range f.Edges {
		all[e[1]].Previous = append(all[e[1]].Previous, all[e[0]].Version)
	}
	return all
}

// described is a snapshot for comparison: nodes with their metadata, and edges.
func described(s *graph.Snapshot) (nodes map[string]string, edges []string) {
	nodes = map[string]string{}
	for arch, g := range s.Graphs {
		for _, n := range g.Nodes {
			metadata := maps.Clone(n.Metadata)
			if n.Payload == mentioned {
				metadata = nil
			}
			maps.DeleteFunc(metadata, func(k, _ string) bool { return strings.HasPrefix(k, keyPrev) || k == keyArch })
			nodes[n.Version+"+"+arch] = fmt.Sprint(n.Payload, metadata)
		}
		for _, e := range g.Edges {
			edges = append(edges, g.Nodes[e[0]].Version+" "+g.Nodes[e[1]].Version+" "+arch)
		}
	}
	slices.Sort(edges)
	return nodes, edges
}

// The fixture's other graph has what its folder says in the metadata of its nodes, put
// there by another plugin; the same instructions give the same graph.
func TestFixtureIsReproduced(t *testing.T) {
	dir := corpus(t, "20200220.104838")
	var raw, labelled foreign
	readJSON(t, filepath.Join(dir, "graph-gb-raw.json"), &raw)
	readJSON(t, filepath.Join(dir, "graph-gb-with-quay-metadata.json"), &labelled)
	data, err := graphdata.Load(filepath.Join(dir, "cincinnati-graph-data"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := data.Compile(raw.releases())
	if err != nil {
		t.Fatal(err)
	}
	releases := labelled.releases()
	var rules graph.Rules
	for i, r := range releases { // which bear the channels that the rules of ours name
		for _, c := range strings.Split(r.Metadata["io.openshift.upgrades.graph.release.channels"], ",") {
			at := slices.IndexFunc(rules.Channels, func(have graph.Channel) bool { return have.Name == c })
			if c == "" {
				continue
			}
			if at < 0 {
				at = len(rules.Channels)
				rules.Channels = append(rules.Channels, graph.Channel{Name: c})
			}
			rules.Channels[at].Versions = append(rules.Channels[at].Versions, r.Version+"+"+releases[i].Arch)
		}
	}
	want, err := graph.Compile(releases, rules)
	if err != nil {
		t.Fatal(err)
	}
	gotNodes, gotEdges := described(got)
	wantNodes, wantEdges := described(want)
	if diff := cmp.Diff(wantNodes, gotNodes); diff != "" {
		t.Error("nodes", diff)
	}
	if diff := cmp.Diff(wantEdges, gotEdges); diff != "" {
		t.Error("edges", diff)
	}
	if len(gotNodes) != 112 || len(gotEdges) != 466 || len(got.Quarantined) != 0 {
		t.Errorf("%d nodes, %d edges, %v; the fixture has 112 and 466", len(gotNodes), len(gotEdges), got.Quarantined)
	}
}

// What a production server answered comes again of payloads that declare the edges it
// offered, with or without risks.
func TestGoldenAnswer(t *testing.T) {
	data, err := graphdata.Load(corpus(t, "graph-data-134475077"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(corpus(t, "golden-stable-4.7-amd64.json"))
	if err != nil {
		t.Fatal(err)
	}
	golden, err := graph.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	var releases []graph.Release
	places := map[string]int{}
	for i, n := range golden.Nodes {
		metadata := maps.Clone(n.Metadata)
		delete(metadata, "io.openshift.upgrades.graph.release.channels")
		// The blocks of the folder, which Cincinnati lets clusters see.
		maps.DeleteFunc(metadata, func(k, _ string) bool { return strings.HasPrefix(k, keyPrev) })
		releases = append(releases, graph.Release{Version: n.Version, Arch: "amd64", Payload: n.Payload, Metadata: metadata})
		places[n.Version] = i
	}
	for _, e := range golden.Edges {
		releases[e[1]].Previous = append(releases[e[1]].Previous, releases[e[0]].Version)
	}
	for _, group := range golden.ConditionalEdges {
		for _, e := range group.Edges {
			releases[places[e.To]].Previous = append(releases[places[e.To]].Previous, e.From)
		}
	}
	s, err := data.Compile(releases)
	if err != nil {
		t.Fatal(err)
	}
	got := s.Graphs["amd64"].Channel("stable-4.7")
	if diff := cmp.Diff(plain(*golden), plain(got)); diff != "" {
		t.Error(diff)
	}
	if len(got.Nodes) != 102 || len(got.Edges) != 3244 {
		t.Errorf("%d nodes and %d edges", len(got.Nodes), len(got.Edges))
	}
}

// plain is a graph for comparison: what it says, whatever the order.
func plain(g graph.Graph) []string {
	var all []string
	for _, n := range g.Nodes {
		metadata := maps.Clone(n.Metadata)
		maps.DeleteFunc(metadata, func(k, _ string) bool { return strings.HasPrefix(k, keyPrev) })
		all = append(all, fmt.Sprint("node ", n.Version, " ", n.Payload, metadata))
	}
	for _, e := range g.Edges {
		all = append(all, fmt.Sprintf("edge %s %s", g.Nodes[e[0]].Version, g.Nodes[e[1]].Version))
	}
	for _, group := range g.ConditionalEdges {
		risks, _ := json.Marshal(group.Risks)
		for _, e := range group.Edges {
			all = append(all, fmt.Sprintf("edge %s %s %s", e.From, e.To, risks))
		}
	}
	slices.Sort(all)
	return all
}

func TestInvalidDataIsRefused(t *testing.T) {
	_, err := graphdata.Load(corpus(t, "invalid0", "cincinnati-graph-data"))
	var wrong *config.Error
	if !errors.As(err, &wrong) {
		t.Fatalf("got %v", err)
	}
	files := map[string]bool{}
	for _, p := range wrong.Problems {
		files[filepath.Base(p.File)] = true
		if p.Line == 0 || p.Message == "" {
			t.Errorf("%+v", p)
		}
	}
	want := map[string]bool{"invalid.extension": true, "invalid_format.yaml": true, "missing_extension": true}
	if diff := cmp.Diff(want, files); diff != "" {
		t.Error(diff, err)
	}
}
