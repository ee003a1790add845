package graph

import (
	"slices"
	"strings"
)

// Index is a graph whose conditional edges are found by place, as its edges are, so
// that cutting a channel out of it looks up no version.
type Index struct {
	Graph *Graph
	// Places are those of the nodes, by version.
	Places map[string]int32
	// conditional has the edges of each group, as pairs of places.
	conditional [][][2]int32
}

// NewIndex indexes a graph, which must not change after.
func NewIndex(g *Graph) *Index {
	x := &Index{Graph: g, Places: make(map[string]int32, len(g.Nodes)), conditional: make([][][2]int32, len(g.ConditionalEdges))}
	for i, n := range g.Nodes {
		x.Places[n.Version] = int32(i)
	}
	for i, group := range g.ConditionalEdges {
		pairs := make([][2]int32, 0, len(group.Edges))
		for _, e := range group.Edges {
			from, okFrom := x.Places[e.From]
			to, okTo := x.Places[e.To]
			if !okFrom || !okTo {
				from, to = -1, -1 // never in a channel, and keeps its place
			}
			pairs = append(pairs, [2]int32{from, to})
		}
		x.conditional[i] = pairs
	}
	return x
}

// View is which part of a graph somebody is shown.
type View struct {
	*Index
	// Node says which nodes are shown, by place.
	Node []bool
	// edge says which edges between them are; nil means all.
	edge func(from, to int32) bool
}

// Select shows the nodes for which in says so.
func (x *Index) Select(in func(Node) bool) View {
	v := View{Index: x, Node: make([]bool, len(x.Graph.Nodes))}
	for i, n := range x.Graph.Nodes {
		v.Node[i] = in(n)
	}
	return v
}

// Shows says whether an edge between two places is shown.
func (v View) Shows(from, to int32) bool {
	return from >= 0 && to >= 0 && v.Node[from] && v.Node[to] && (v.edge == nil || v.edge(from, to))
}

// Without hides the edges to some nodes, which themselves stay: clusters that are on
// them must find them.
func (v View) Without(closed map[int32]bool) View {
	if len(closed) == 0 {
		return v
	}
	before := v.edge
	v.edge = func(from, to int32) bool { return !closed[to] && (before == nil || before(from, to)) }
	return v
}

// From shows a version and where it can go in one hop, nothing when it is not shown.
func (v View) From(version string) View {
	all := v
	v.Node = make([]bool, len(all.Node))
	at, ok := v.Places[version]
	if !ok || !all.Node[at] {
		return v
	}
	v.Node[at] = true
	all.Each(func(from, to int32) {
		if from == at {
			v.Node[to] = true
		}
	})
	before := v.edge
	v.edge = func(from, to int32) bool { return from == at && (before == nil || before(from, to)) }
	return v
}

// Into shows the versions that begin with a prefix, those that can go there in one hop,
// and these hops.
func (v View) Into(prefix string) View {
	all := v
	v.Node = make([]bool, len(all.Node))
	target := make([]bool, len(all.Node))
	for i, n := range v.Graph.Nodes {
		target[i] = all.Node[i] && strings.HasPrefix(n.Version, prefix)
		v.Node[i] = target[i]
	}
	all.Each(func(from, to int32) {
		if target[to] {
			v.Node[from] = true
		}
	})
	v.edge = func(_, to int32) bool { return target[to] }
	return v
}

// Each calls do for every edge that is shown, with risks or without.
func (v View) Each(do func(from, to int32)) {
	for _, e := range v.Graph.Edges {
		if from, to := int32(e[0]), int32(e[1]); v.Shows(from, to) {
			do(from, to)
		}
	}
	for _, group := range v.conditional {
		for _, e := range group {
			if v.Shows(e[0], e[1]) {
				do(e[0], e[1])
			}
		}
	}
}

// Cut is the graph that is shown: nodes, edges and groups in their order, without
// groups that are left without edges.
func (v View) Cut() Graph {
	out := Graph{Nodes: []Node{}, Edges: [][2]int{}, ConditionalEdges: []ConditionalEdges{}}
	renumbered := make([]int, len(v.Node))
	for i, n := range v.Graph.Nodes {
		if v.Node[i] {
			renumbered[i] = len(out.Nodes)
			out.Nodes = append(out.Nodes, n)
		}
	}
	for _, e := range v.Graph.Edges {
		if v.Shows(int32(e[0]), int32(e[1])) {
			out.Edges = append(out.Edges, [2]int{renumbered[e[0]], renumbered[e[1]]})
		}
	}
	for i, group := range v.conditional {
		var edges []Edge
		for j, e := range group {
			if v.Shows(e[0], e[1]) {
				edges = append(edges, v.Graph.ConditionalEdges[i].Edges[j])
			}
		}
		if len(edges) > 0 {
			out.ConditionalEdges = append(out.ConditionalEdges, ConditionalEdges{Edges: edges, Risks: v.Graph.ConditionalEdges[i].Risks})
		}
	}
	return out
}

// Channel is the part of a graph that a channel offers; of one that it does not know it
// is empty. A nil graph is one without releases.
func (g *Graph) Channel(name string) Graph { return g.Within(name) }

// Within is the part of a graph that some channels offer together: their versions, and
// the edges whose ends one of them has both. No names stand for all channels, and for
// the whole graph where it names none. A nil graph is one without releases.
func (g *Graph) Within(channels ...string) Graph {
	if g == nil {
		g = &Graph{}
	}
	if len(channels) == 0 {
		if channels = g.Channels(); len(channels) == 0 {
			return NewIndex(g).Select(func(Node) bool { return true }).Cut()
		}
	}
	shared := func(n Node) []string {
		return slices.DeleteFunc(slices.Clone(n.Channels), func(c string) bool { return !slices.Contains(channels, c) })
	}
	of := make([][]string, len(g.Nodes))
	for i, n := range g.Nodes {
		of[i] = shared(n)
	}
	v := NewIndex(g).Select(func(n Node) bool { return len(shared(n)) > 0 })
	if len(channels) > 1 {
		v.edge = func(from, to int32) bool {
			return slices.ContainsFunc(of[from], func(c string) bool { return slices.Contains(of[to], c) })
		}
	}
	return v.Cut()
}

// Channels are the names of all channels of a graph, in order.
func (g *Graph) Channels() []string {
	seen := map[string]bool{}
	for _, n := range g.Nodes {
		for _, c := range n.Channels {
			seen[c] = true
		}
	}
	var names []string
	for c := range seen {
		names = append(names, c)
	}
	slices.Sort(names)
	return names
}
