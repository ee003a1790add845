package path_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/release/channels/graph"
	"github.com/slipway-release/slipway/release/channels/graph/path"
)

// build makes a graph of versions "VERSION CHANNEL…" and edges "FROM TO RISK…".
func build(versions, edges []string) *graph.Graph {
	g := &graph.Graph{}
	places := map[string]int{}
	for _, v := range versions {
		words := strings.Fields(v)
		places[words[0]] = len(g.Nodes)
		g.Nodes = append(g.Nodes, graph.Node{Version: words[0], Payload: "p", Channels: words[1:]})
	}
	for _, e := range edges {
		words := strings.Fields(e)
		if len(words) == 2 {
			g.Edges = append(g.Edges, [2]int{places[words[0]], places[words[1]]})
			continue
		}
		group := graph.ConditionalEdges{Edges: []graph.Edge{{From: words[0], To: words[1]}}}
		for _, r := range words[2:] {
			group.Risks = append(group.Risks, graph.Risk{Name: r, URL: "https://example.com/" + r, Message: r + " happens."})
		}
		g.ConditionalEdges = append(g.ConditionalEdges, group)
	}
	return g
}

// skiff has two minor versions, the newer one in the channel after the older one's.
func skiff() *graph.Graph {
	return build([]string{
		"1.35.9 stable-1.35", "1.36.0 stable-1.35 stable-1.36", "1.36.1 stable-1.36 candidate", "1.36.2 stable-1.36",
		"1.36.10 stable-1.36 candidate", "1.37.0 candidate", "1.37.1 candidate", "1.38.0 candidate",
	}, []string{
		"1.35.9 1.36.0", "1.36.0 1.36.1", "1.36.0 1.36.2", "1.36.1 1.36.10", "1.36.2 1.36.10", "1.36.0 1.36.10 Slow",
		"1.36.10 1.37.0 Lost Slow", "1.36.1 1.37.1", "1.36.2 1.37.0", // the last one is in no channel
	})
}

// ways writes ways down as "a b? c", where ? marks a hop that bears risks.
func ways(f path.Found) []string {
	var all []string
	for _, w := range f.Ways {
		text := f.From
		for _, h := range w.Hops {
			text += " " + h.To + strings.Repeat("?", min(1, len(h.Risks)))
		}
		all = append(all, text)
	}
	return all
}

func TestFind(t *testing.T) {
	for name, tc := range map[string]struct {
		from, to string
		o        path.Options
		want     []string
		shortest int
		cut      bool
	}{
		"one hop":                          {"1.36.0", "1.36.1", path.Options{}, []string{"1.36.0 1.36.1"}, 1, false},
		"there already":                    {"1.36.0", "1.36.0", path.Options{}, []string{"1.36.0"}, 1, false},
		"fewest hops before risks":         {"1.36.0", "1.36.10", path.Options{}, []string{"1.36.0 1.36.10?"}, 1, false},
		"without risks the newest between": {"1.36.0", "1.36.10", path.Options{NoRisks: true}, []string{"1.36.0 1.36.2 1.36.10"}, 2, false},
		"every way": {"1.36.0", "1.36.10", path.Options{All: true},
			[]string{"1.36.0 1.36.10?", "1.36.0 1.36.2 1.36.10", "1.36.0 1.36.1 1.36.10"}, 1, false},
		"no more ways than wanted": {"1.36.0", "1.36.10", path.Options{All: true, Most: 2}, []string{"1.36.0 1.36.10?", "1.36.0 1.36.2 1.36.10"}, 1, true},
		"as many ways as wanted": {"1.36.0", "1.36.10", path.Options{All: true, Most: 3},
			[]string{"1.36.0 1.36.10?", "1.36.0 1.36.2 1.36.10", "1.36.0 1.36.1 1.36.10"}, 1, false},
		"over channels": {"1.35.9", "1.37.1", path.Options{Channels: []string{"stable-1.35", "stable-1.36", "candidate"}},
			[]string{"1.35.9 1.36.0 1.36.1 1.37.1"}, 1, false},
		"an edge that no channel offers": {"1.36.2", "1.37.0", path.Options{}, []string{"1.36.2 1.36.10 1.37.0?"}, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := path.Find(skiff(), tc.from, tc.to, tc.o)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, ways(found)); diff != "" {
				t.Error(diff)
			}
			if found.Shortest != tc.shortest || found.Cut != tc.cut {
				t.Errorf("%d shortest, cut %v", found.Shortest, found.Cut)
			}
		})
	}
}

// Of ways with as few hops, one with fewer risks goes before one over newer versions.
func TestFindPrefersFewRisks(t *testing.T) {
	g := build([]string{"1.0.0", "1.0.1", "1.0.2", "1.1.0"},
		[]string{"1.0.0 1.0.2 Slow", "1.0.2 1.1.0", "1.0.0 1.0.1", "1.0.1 1.1.0"})
	found, err := path.Find(g, "1.0.0", "1.1.0", path.Options{})
	if err != nil || !cmp.Equal(ways(found), []string{"1.0.0 1.0.1 1.1.0"}) || found.Shortest != 2 {
		t.Errorf("%v, %v", found, err)
	}
}

func TestHops(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	s := &graph.Snapshot{Rollouts: []graph.Rollout{
		{Channel: "candidate", Version: "1.37.0", Start: now.Add(-time.Hour), Duration: 4 * time.Hour},
		{Channel: "stable-1.36", Version: "1.36.10", Start: now.Add(time.Hour), Duration: time.Hour},
	}}
	found, err := path.Find(skiff(), "1.36.1", "1.37.0", path.Options{Now: now}.For(s, "amd64"))
	if err != nil {
		t.Fatal(err)
	}
	hops := found.Ways[0].Hops
	if !cmp.Equal(hops[0].Channels, []string{"stable-1.36", "candidate"}) || hops[0].Open != 1 {
		t.Errorf("it is open to all in the candidate channel, and shut in the other: %+v", hops[0])
	}
	if len(hops[1].Risks) != 2 || hops[1].Risks[0].URL != "https://example.com/Lost" || hops[1].Open != .25 || found.Ways[0].Risky() != 1 {
		t.Errorf("%+v", hops[1])
	}
}

func TestNoWay(t *testing.T) {
	blocked := []graph.Blocked{
		{Arch: "amd64", Edge: graph.Edge{From: "1.37.0", To: "1.38.0"}, Reason: "lost-volumes.yaml"},
		{Arch: "amd64", Edge: graph.Edge{From: "1.38.0", To: "1.37.1"}, Reason: "of no use"},
		{Arch: "arm64", Edge: graph.Edge{From: "1.36.10", To: "1.38.0"}, Reason: "another architecture"},
	}
	s := &graph.Snapshot{Blocked: blocked, Quarantined: []graph.Quarantined{{Arch: "amd64", Version: "1.36.3", Reason: "its version is another payload already"}}}
	for name, tc := range map[string]struct {
		from, to string
		o        path.Options
		causes   []path.Cause
		want     []string // in the sentence
	}{
		"unknown version":  {"1.36.11", "1.37.0", path.Options{}, []path.Cause{path.UnknownVersion}, []string{`there is no version "1.36.11"; did you mean 1.36.1 or 1.36.10?`}},
		"unknown channel":  {"1.36.1", "1.37.0", path.Options{Channels: []string{"candidates"}}, []path.Cause{path.UnknownChannel}, []string{"did you mean candidate?"}},
		"both unknown":     {"x", "y", path.Options{}, []path.Cause{path.UnknownVersion, path.UnknownVersion}, []string{`"x"`, `"y"`}},
		"quarantined":      {"1.36.1", "1.36.3", path.Options{}, []path.Cause{path.Quarantined}, []string{`"1.36.3" is quarantined because its version is another payload already`}},
		"not in channel":   {"1.36.1", "1.35.9", path.Options{Channels: []string{"candidate"}}, []path.Cause{path.NotInChannel}, []string{"is not in channel candidate, but in stable-1.35"}},
		"older":            {"1.36.1", "1.36.0", path.Options{}, []path.Cause{path.Older}, []string{`"1.36.0" is the older of the two`, `"1.36.0" is reached from 1.35.9`}},
		"risks":            {"1.36.10", "1.37.0", path.Options{NoRisks: true}, []path.Cause{path.Risks, path.DeadEnd, path.DeadEnd}, []string{"every way bears risks, the best one, of 1 hop, Lost and Slow"}},
		"another channel":  {"1.36.1", "1.36.10", path.Options{Channels: []string{"stable-1.36"}}, nil, nil},
		"other channels":   {"1.36.0", "1.37.1", path.Options{Channels: []string{"stable-1.36", "stable-1.35"}}, []path.Cause{path.NotInChannel}, []string{"but in candidate"}},
		"blocked":          {"1.36.0", "1.38.0", path.Options{}, []path.Cause{path.Blocked, path.DeadEnd}, []string{`the edge from "1.37.0" to "1.38.0" is blocked (lost-volumes.yaml)`, `"1.36.0" leads to 1.37.1, 1.37.0 and 1.36.10`}},
		"dead end":         {"1.37.1", "1.38.0", path.Options{}, []path.Cause{path.DeadEnd, path.DeadEnd}, []string{`nothing leads on from "1.37.1"`, `nothing leads to "1.38.0"`}},
		"nothing like it":  {strings.Repeat("9", 4000), "1.38.0", path.Options{}, []path.Cause{path.UnknownVersion}, nil},
		"no name":          {"", "1.38.0", path.Options{}, []path.Cause{path.UnknownVersion}, nil},
		"through a switch": {"1.36.2", "1.37.0", path.Options{Channels: []string{"candidate", "stable-1.35", "stable-1.36"}}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := path.Find(skiff(), tc.from, tc.to, tc.o.For(s, "amd64"))
			var why *path.NoWay
			if !errors.As(err, &why) {
				if err != nil || tc.causes != nil {
					t.Errorf("got %v, want %v", err, tc.causes)
				}
				return
			}
			var causes []path.Cause
			for _, r := range why.Reasons {
				causes = append(causes, r.Cause)
			}
			if diff := cmp.Diff(tc.causes, causes); diff != "" {
				t.Errorf("%s\n%v", diff, err)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in: %v", want, err)
				}
			}
			if strings.Contains(err.Error(), "another architecture") {
				t.Error(err)
			}
		})
	}
}

func TestNoWayThroughOtherChannels(t *testing.T) {
	g := build([]string{"1.0.0 a b", "1.0.1 b", "1.0.2 a b"}, []string{"1.0.0 1.0.1", "1.0.1 1.0.2"})
	_, err := path.Find(g, "1.0.0", "1.0.2", path.Options{Channels: []string{"a"}})
	if err == nil || !strings.Contains(err.Error(), "there is one of 2 hops through channel b") {
		t.Error(err)
	}
}

// TestFindAgainstAllWays compares with ways that are found by trying them all, in graphs
// with circles too.
func TestFindAgainstAllWays(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		const size = 7
		var versions, edges []string
		for i := range size {
			versions = append(versions, fmt.Sprintf("1.0.%d", i))
		}
		risky := map[string]bool{}
		next := map[int][]int{}
		for from := range size {
			for to := range size {
				if from == to || random.IntN(3) > 0 {
					continue
				}
				edge := versions[from] + " " + versions[to]
				if random.IntN(3) == 0 {
					risky[edge] = true
					edge += " Risk"
				}
				edges, next[from] = append(edges, edge), append(next[from], to)
			}
		}
		var want [][]int
		var walk func(way []int)
		walk = func(way []int) {
			at := way[len(way)-1]
			if at == size-1 {
				want = append(want, slices.Clone(way))
				return
			}
			for _, to := range next[at] {
				if !slices.Contains(way, to) {
					walk(append(slices.Clip(way), to))
				}
			}
		}
		walk([]int{0})
		risks := func(way []int) (n int) {
			for i := 1; i < len(way); i++ {
				if risky[versions[way[i-1]]+" "+versions[way[i]]] {
					n++
				}
			}
			return n
		}
		slices.SortFunc(want, func(a, b []int) int {
			if len(a) != len(b) {
				return len(a) - len(b)
			}
			if d := risks(a) - risks(b); d != 0 {
				return d
			}
			return slices.Compare(b, a)
		})
		found, err := path.Find(build(versions, edges), versions[0], versions[size-1], path.Options{All: true, Most: 10_000})
		if (err == nil) != (len(want) > 0) {
			t.Fatalf("got %v, want %v", err, want)
		}
		var wanted []string
		for _, way := range want {
			text := versions[way[0]]
			for i := 1; i < len(way); i++ {
				text += " " + versions[way[i]]
				if risky[versions[way[i-1]]+" "+versions[way[i]]] {
					text += "?"
				}
			}
			wanted = append(wanted, text)
		}
		if diff := cmp.Diff(wanted, ways(found)); diff != "" {
			t.Fatalf("%v: %s", edges, diff)
		}
	}
}

// A graph full of circles has more ways than can be looked at.
func TestFindEnds(t *testing.T) {
	var versions, edges []string
	for i := range 60 {
		versions = append(versions, fmt.Sprintf("1.0.%d", i))
		for j := range 60 {
			if i != j && j != 59 {
				edges = append(edges, fmt.Sprintf("1.0.%d 1.0.%d", i, j))
			}
		}
	}
	edges = append(edges, "1.0.58 1.0.59")
	found, err := path.Find(build(versions, edges), "1.0.0", "1.0.59", path.Options{All: true})
	if err != nil || len(found.Ways) != path.DefaultMost || !found.Cut || len(found.Ways[0].Hops) != 2 {
		t.Errorf("%d ways, %v", len(found.Ways), err)
	}
}

// large is as large as the whole graph of a vendor: 1,400 versions and 86,000 edges.
func large() *graph.Graph {
	g := &graph.Graph{}
	const size, reach = 1400, 62
	group := graph.ConditionalEdges{Risks: []graph.Risk{{Name: "Slow"}}}
	for i := range size {
		minor := i / 70
		g.Nodes = append(g.Nodes, graph.Node{Version: fmt.Sprintf("4.%d.%d", minor, i%70), Payload: "p", Channels: []string{"fast", fmt.Sprintf("fast-4.%d", minor)}})
	}
	for i := range size {
		for j := i + 1; j <= min(size-1, i+reach); j++ {
			if j%9 == 0 {
				group.Edges = append(group.Edges, graph.Edge{From: g.Nodes[i].Version, To: g.Nodes[j].Version})
			} else {
				g.Edges = append(g.Edges, [2]int{i, j})
			}
		}
	}
	g.ConditionalEdges = append(g.ConditionalEdges, group)
	return g
}

func BenchmarkFind(b *testing.B) {
	g := large()
	b.Logf("%d versions, %d edges", len(g.Nodes), len(g.Edges)+len(g.ConditionalEdges[0].Edges))
	for name, o := range map[string]path.Options{"best": {}, "all": {All: true}, "safe": {NoRisks: true, Channels: []string{"fast"}}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := path.Find(g, "4.0.0", "4.19.69", o); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
