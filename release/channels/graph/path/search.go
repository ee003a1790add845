package path

import (
	"cmp"
	"container/heap"
	"slices"

	"github.com/slipway-release/slipway/release/channels/graph"
)

const (
	// maxLooks bounds how many beginnings of ways are looked at: in a graph with circles
	// most of them may lead nowhere.
	maxLooks = 200_000
	// maxCount is where counting of ways stops.
	maxCount = 1_000_000_000
)

// outlook is what lies between a place and the end of the way.
type outlook struct {
	hops  int32 // -1 when there is no way
	risky int32 // fewest hops with risks, of the ways with so few hops
	ways  int   // with so few hops
}

// outlooks tells for every place how the end is reached from there.
func (n *net) outlooks(to int32) []outlook {
	all := make([]outlook, len(n.out))
	for i := range all {
		all[i].hops = -1
	}
	all[to] = outlook{ways: 1}
	in := n.incoming()
	reached := []int32{to} // the nearest first
	for i := 0; i < len(reached); i++ {
		for _, from := range in[reached[i]] {
			if all[from].hops < 0 {
				all[from].hops = all[reached[i]].hops + 1
				reached = append(reached, from)
			}
		}
	}
	for _, at := range reached[1:] {
		here := &all[at]
		here.risky = int32(len(n.out))
		for _, s := range n.out[at] {
			if next := all[s.to]; next.hops >= 0 && next.hops == here.hops-1 {
				here.risky = min(here.risky, next.risky+s.risky())
				here.ways = min(here.ways+next.ways, maxCount)
			}
		}
	}
	return all
}

// beginning is a way that may not have come to its end.
type beginning struct {
	places []int32
	groups []int32 // of risks, one a hop
	hops   int32   // of the best way that begins like this
	risky  int32   // hops so far that bear risks, and then at least
	so     int32   // hops so far that bear risks
}

// beginnings are ordered by the best way that each may become.
type beginnings []*beginning

func (b beginnings) Len() int      { return len(b) }
func (b beginnings) Swap(i, j int) { b[i], b[j] = b[j], b[i] }
func (b beginnings) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(b[i].hops, b[j].hops), cmp.Compare(b[i].risky, b[j].risky), newer(b[i].places, b[j].places)) < 0
}
func (b *beginnings) Push(x any) { *b = append(*b, x.(*beginning)) }
func (b *beginnings) Pop() any {
	last := (*b)[len(*b)-1]
	*b = (*b)[:len(*b)-1]
	return last
}

// newer orders ways by the versions on them, from the start, the newest first.
func newer(a, b []int32) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return cmp.Compare(b[i], a[i])
		}
	}
	return cmp.Compare(len(a), len(b))
}

// find goes on with the most promising beginning until enough ways have come to their
// end. As outlooks are exact, ways come to it in their order.
func (n *net) find(from, to string, o Options) (Found, bool) {
	start, ok := n.places[from]
	end, good := n.places[to]
	if !ok || !good {
		return Found{}, false
	}
	ahead := n.outlooks(end)
	if ahead[start].hops < 0 {
		return Found{}, false
	}
	found := Found{From: from, To: to, Shortest: ahead[start].ways}
	most := 1
	if o.All {
		most = cmp.Or(o.Most, DefaultMost)
	}
	open := &beginnings{{places: []int32{start}, hops: ahead[start].hops, risky: ahead[start].risky}}
	for looks := 0; open.Len() > 0; looks++ {
		b := heap.Pop(open).(*beginning)
		at := b.places[len(b.places)-1]
		switch {
		case at == end && len(found.Ways) == most, looks == maxLooks:
			found.Cut = o.All
			return found, true
		case at == end:
			found.Ways = append(found.Ways, n.path(b, o))
			if !o.All {
				return found, true
			}
			continue
		}
		for _, s := range n.out[at] {
			next := ahead[s.to]
			if next.hops < 0 || slices.Contains(b.places, s.to) {
				continue
			}
			heap.Push(open, &beginning{
				places: append(slices.Clip(b.places), s.to), groups: append(slices.Clip(b.groups), s.group),
				hops: int32(len(b.places)) + next.hops, so: b.so + s.risky(), risky: b.so + s.risky() + next.risky,
			})
		}
	}
	return found, true
}

func (n *net) path(b *beginning, o Options) Path {
	p := Path{Hops: []Hop{}}
	for i, group := range b.groups {
		from, to := n.nodes[b.places[i]], n.nodes[b.places[i+1]]
		h := Hop{From: from.Version, To: to.Version, Passes: o.Trials[graph.Edge{From: from.Version, To: to.Version}]}
		for _, c := range from.Channels {
			if slices.Contains(to.Channels, c) && (len(o.Channels) == 0 || slices.Contains(o.Channels, c)) {
				h.Channels = append(h.Channels, c)
			}
		}
		if group >= 0 {
			h.Risks = n.groups[group].Risks
		}
		h.Open = graph.Share(o.Rollouts, h.To, h.Channels, o.Now)
		p.Hops = append(p.Hops, h)
	}
	return p
}

// reached says which places a place leads to, itself among them.
func (n *net) reached(from int32) []bool {
	seen := make([]bool, len(n.out))
	seen[from] = true
	for open := []int32{from}; len(open) > 0; {
		at := open[len(open)-1]
		open = open[:len(open)-1]
		for _, s := range n.out[at] {
			if !seen[s.to] {
				seen[s.to] = true
				open = append(open, s.to)
			}
		}
	}
	return seen
}
