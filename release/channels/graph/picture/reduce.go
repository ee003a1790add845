package picture

import "slices"

// reduce leaves out edges that several other ones make up for: of those without a risk,
// others without a risk. Edges to older versions all stay. The order is kept.
func reduce(nodes []Node, edges []Edge) []Edge {
	places := make(map[string]int, len(nodes))
	for i, n := range nodes {
		places[n.Version] = i
	}
	type way struct{ to, edge int }
	forward := make([][]way, len(nodes))
	stays := make([]bool, len(edges))
	for i, e := range edges {
		from, ok := places[e.From]
		to, good := places[e.To]
		switch {
		case ok && good && from < to:
			forward[from] = append(forward[from], way{to, i})
		case ok && good:
			stays[i] = true
		}
	}
	safe, every := make([]set, len(nodes)), make([]set, len(nodes))
	for from := len(nodes) - 1; from >= 0; from-- {
		safe[from], every[from] = newSet(len(nodes)), newSet(len(nodes))
		slices.SortFunc(forward[from], func(a, b way) int { return a.to - b.to })
		for _, w := range forward[from] { // ways around an edge begin with a nearer one
			if len(edges[w.edge].Risks) > 0 {
				stays[w.edge] = !every[from].has(w.to)
			} else {
				stays[w.edge] = !safe[from].has(w.to)
				safe[from].add(w.to, safe[w.to])
			}
			every[from].add(w.to, every[w.to])
		}
	}
	var kept []Edge
	for i, e := range edges {
		if stays[i] {
			kept = append(kept, e)
		}
	}
	return kept
}

// set is a set of places, one bit each.
type set []uint64

func newSet(size int) set        { return make(set, (size+63)/64) }
func (s set) has(place int) bool { return s[place/64]&(1<<(place%64)) != 0 }

// add puts a place and those of another set in.
func (s set) add(place int, more set) {
	s[place/64] |= 1 << (place % 64)
	for i, bits := range more {
		s[i] |= bits
	}
}
