package channels_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/channels"
	"github.com/slipway-release/slipway/release/channels/graph"
)

// A payload of several architectures is offered to each of them and to multi, everywhere
// under the same pull spec, and edges lead on from those that were for one.
func TestArchitectures(t *testing.T) {
	at := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	version := func(day int, archs ...string) channels.Version {
		return channels.Version{Version: nightly(t, day), PullSpec: pullSpec(day), Added: at.AddDate(0, 0, day), Architectures: archs}
	}
	untested := version(23, "amd64", "arm64")
	untested.Previous = []release.Version{nightly(t, 22)}
	state := channels.State{Name: "candidate",
		Versions: []channels.Version{version(20), version(21, "arm64"), version(22, "amd64", "arm64"), untested, version(24, "amd64", "arm64")},
		Edges: []channels.Edge{
			{From: nightly(t, 20), To: nightly(t, 22)}, {From: nightly(t, 21), To: nightly(t, 22)},
			{From: nightly(t, 22), To: nightly(t, 24), Failed: true, Evidence: "sha256:1"},
		},
	}
	data, err := state.Marshal()
	if err == nil {
		state, err = channels.ParseState(data)
	}
	if err != nil {
		t.Fatal(err)
	}
	s, err := channels.Snapshot("amd64", []channels.State{state}, channels.Offer{})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Architectures(); !slices.Equal(got, []string{"amd64", "arm64", "multi"}) || len(s.Quarantined) > 0 {
		t.Fatalf("architectures are %v, quarantined %v", got, s.Quarantined)
	}
	union := s.Union()
	if len(union.Nodes) != 5 || union.Nodes[0].Version != nightly(t, 20).String() || len(union.Edges) != 2 || len(union.ConditionalEdges) != 1 {
		t.Errorf("all architectures are offered %+v", union)
	}
	if err := union.Check(); err != nil {
		t.Error(err)
	}
	for arch, want := range map[string]struct {
		days  []int
		edges int
	}{"amd64": {[]int{20, 22, 23, 24}, 1}, "arm64": {[]int{21, 22, 23, 24}, 1}, "multi": {[]int{22, 23, 24}, 0}} {
		g := s.Graphs[arch]
		var nodes, wanted []graph.Node
		for _, n := range g.Nodes {
			nodes = append(nodes, graph.Node{Version: n.Version, Payload: n.Payload})
		}
		for _, day := range want.days {
			wanted = append(wanted, graph.Node{Version: nightly(t, day).String(), Payload: pullSpec(day)})
		}
		same := func(a, b graph.Node) bool { return a.Version == b.Version && a.Payload == b.Payload }
		if !slices.EqualFunc(nodes, wanted, same) || len(g.Edges) != want.edges || len(g.ConditionalEdges) != 1 {
			t.Errorf("%s is offered %v, %v and %v", arch, nodes, g.Edges, g.ConditionalEdges)
		}
		if !slices.ContainsFunc(s.Blocked, func(b graph.Blocked) bool { return b.Arch == arch && b.To == nightly(t, 24).String() }) {
			t.Errorf("%s is offered what failed: %v", arch, s.Blocked)
		}
	}
}

func TestWrongArchitectures(t *testing.T) {
	for _, archs := range [][]string{{""}, {"x86_64"}, {"amd64", "amd64"}, {"multi"}} {
		state := channels.State{Name: "candidate", Versions: []channels.Version{{Version: nightly(t, 20), PullSpec: pullSpec(20), Architectures: archs}}}
		if _, err := state.Marshal(); err == nil || !strings.Contains(err.Error(), "its architectures are") {
			t.Errorf("%q: %v", archs, err)
		}
	}
}
