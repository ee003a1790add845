// Package path finds ways from one version to another in an update graph: which hops a
// cluster takes, which channels offer each, and which risks it bears. Where there is no
// way it says why.
package path

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/blang/semver/v4"

	"github.com/slipway-release/slipway/release/channels/graph"
)

// Options say which ways count.
type Options struct {
	// Channels are those that a cluster may be switched to on its way; none means every
	// channel of the graph, or, where it names no channels, all of its edges.
	Channels []string
	// NoRisks leaves edges out that bear risks.
	NoRisks bool
	// All asks for every way in place of the best one, at most Most of them.
	All bool
	// Most bounds All; 0 means DefaultMost.
	Most int

	// Blocked and Quarantined are what the graph's architecture is not offered: they
	// explain why there is no way.
	Blocked     []graph.Blocked
	Quarantined []graph.Quarantined
	// Trials tell how many trials of hops have passed.
	Trials map[graph.Edge]graph.Trials
	// Rollouts tell how much of all clusters hops are open to at the time Now.
	Rollouts []graph.Rollout
	Now      time.Time
}

// DefaultMost is how many ways are told when all are asked for.
const DefaultMost = 100

// For completes options with what a snapshot knows about one architecture.
func (o Options) For(s *graph.Snapshot, arch string) Options {
	for _, b := range s.Blocked {
		if b.Arch == arch {
			o.Blocked = append(o.Blocked, b)
		}
	}
	for _, q := range s.Quarantined {
		if q.Arch == arch {
			o.Quarantined = append(o.Quarantined, q)
		}
	}
	o.Rollouts, o.Trials = s.Rollouts, s.Trials()
	return o
}

// Found are ways from one version to another.
type Found struct {
	From string `json:"from"`
	To   string `json:"to"`
	// Ways are the best first: fewest hops, then fewest hops that bear risks, then the
	// newest versions on the way. There is at least one.
	Ways []Path `json:"ways"`
	// Shortest is how many ways have as few hops as the first; it stops at a billion.
	Shortest int `json:"shortest"`
	// Cut says that there are more ways than were asked for or could be looked at.
	Cut bool `json:"cut,omitempty"`
}

// Path is one way; it has no hops when a cluster is there already.
type Path struct {
	Hops []Hop `json:"hops"`
}

// Risky counts the hops that bear risks.
func (p Path) Risky() int {
	n := 0
	for _, h := range p.Hops {
		if len(h.Risks) > 0 {
			n++
		}
	}
	return n
}

// Summary is how long the way is, and how much of it bears risks, in words.
func (p Path) Summary() string {
	text := count(len(p.Hops), "hop")
	if risky := p.Risky(); risky > 0 {
		text += fmt.Sprintf(", %d conditional", risky)
	}
	return text
}

// Hop is one upgrade on the way.
type Hop struct {
	From string `json:"from"`
	To   string `json:"to"`
	// Channels are those that offer it, of the ones that were asked for.
	Channels []string     `json:"channels,omitempty"`
	Risks    []graph.Risk `json:"risks,omitempty"`
	// Passes is "1 of 2" where it was tried and several trials must pass for it to count as
	// tested.
	Passes graph.Trials `json:"passes,omitzero"`
	// Open is how much of all clusters it is open to, from 0 to 1.
	Open float64 `json:"open"`
}

// Find returns the best way between two versions of a graph, or all of them. The same
// graph gives the same answer. Where there is none the error is a *NoWay.
func Find(g *graph.Graph, from, to string, o Options) (Found, error) {
	if g == nil {
		g = &graph.Graph{}
	}
	if why := o.unknown(g, from, to); why != nil {
		return Found{}, why
	}
	n := newNet(g, o.Channels)
	if !o.NoRisks {
		if found, ok := n.find(from, to, o); ok {
			return found, nil
		}
		return Found{}, o.explain(g, n, from, to)
	}
	if found, ok := n.withoutRisks().find(from, to, o); ok {
		return found, nil
	}
	return Found{}, o.explain(g, n.withoutRisks(), from, to)
}

// net is a graph whose edges are found by their ends. Places are those of its nodes in
// the order of their versions.
type net struct {
	nodes  []graph.Node
	places map[string]int32
	out    [][]step // by where they come from, to the newest first
	groups []graph.ConditionalEdges
}

// step is an edge, seen from where it comes from.
type step struct {
	to    int32
	group int32 // of its risks, -1 without any
}

func (s step) risky() int32 {
	if s.group >= 0 {
		return 1
	}
	return 0
}

// newNet takes the part of a graph that some channels offer.
func newNet(g *graph.Graph, channels []string) *net {
	cut := g.Within(channels...)
	n := &net{places: make(map[string]int32, len(cut.Nodes)), groups: cut.ConditionalEdges, out: make([][]step, len(cut.Nodes))}
	place := n.order(cut.Nodes)
	for _, e := range cut.Edges {
		n.out[place[e[0]]] = append(n.out[place[e[0]]], step{place[e[1]], -1})
	}
	for i, group := range cut.ConditionalEdges {
		for _, e := range group.Edges {
			from, ok := n.places[e.From]
			to, good := n.places[e.To]
			if ok && good {
				n.out[from] = append(n.out[from], step{to, int32(i)})
			}
		}
	}
	for _, steps := range n.out {
		slices.SortFunc(steps, func(a, b step) int { return cmp.Compare(b.to, a.to) })
	}
	return n
}

// order takes nodes by version, and tells the new place of each old one.
func (n *net) order(nodes []graph.Node) []int32 {
	versions := make([]semver.Version, len(nodes))
	old := make([]int, len(nodes))
	for i, node := range nodes {
		versions[i], _ = semver.Parse(node.Version) // one that is none comes first
		old[i] = i
	}
	slices.SortFunc(old, func(a, b int) int {
		return cmp.Or(versions[a].Compare(versions[b]), cmp.Compare(nodes[a].Version, nodes[b].Version))
	})
	place := make([]int32, len(nodes))
	for i, at := range old {
		place[at] = int32(i)
		n.places[nodes[at].Version] = int32(i)
		n.nodes = append(n.nodes, nodes[at])
	}
	return place
}

func (n *net) withoutRisks() *net {
	safe := *n
	safe.out = make([][]step, len(n.out))
	for i, steps := range n.out {
		safe.out[i] = slices.DeleteFunc(slices.Clone(steps), func(s step) bool { return s.group >= 0 })
	}
	return &safe
}

// incoming are the places that edges to each place come from.
func (n *net) incoming() [][]int32 {
	in := make([][]int32, len(n.out))
	for from, steps := range n.out {
		for _, s := range steps {
			in[s.to] = append(in[s.to], int32(from))
		}
	}
	return in
}
