package promotion

import "github.com/slipway-release/slipway/release/channels/graph"

// edges are the ways between versions, found from either end.
type edges struct {
	out, in [][]hop // by number of the version
	groups  []graph.ConditionalEdges
}

// hop is an edge seen from one of its ends.
type hop struct {
	to    int32 // the other end
	group int32 // of edges with the same risks, -1 for one without any
}

func newEdges(g *graph.Graph, c *catalog) *edges {
	e := &edges{out: make([][]hop, len(c.all)), in: make([][]hop, len(c.all))}
	if g == nil {
		return e
	}
	e.groups = g.ConditionalEdges
	places := make([]int32, len(g.Nodes))
	for i, n := range g.Nodes {
		places[i] = c.ids[n.Version]
	}
	add := func(from, to, group int32) {
		e.out[from] = append(e.out[from], hop{to, group})
		e.in[to] = append(e.in[to], hop{from, group})
	}
	for _, edge := range g.Edges {
		add(places[edge[0]], places[edge[1]], -1)
	}
	for i, group := range g.ConditionalEdges {
		for _, edge := range group.Edges {
			from, known := c.ids[edge.From]
			to, alsoKnown := c.ids[edge.To]
			if known && alsoKnown {
				add(from, to, int32(i))
			}
		}
	}
	return e
}
