package graph

import (
	"slices"
	"strings"

	"github.com/blang/semver/v4"
)

// Union is what clusters of any architecture are offered: each version and each edge once.
// An edge that bears risks for some of them bears those. It is nil when nothing is offered.
func (s *Snapshot) Union() *Graph {
	archs := s.Architectures()
	switch len(archs) {
	case 0:
		return nil
	case 1:
		return s.Graphs[archs[0]]
	}
	u := &Graph{Edges: [][2]int{}, ConditionalEdges: []ConditionalEdges{}}
	places := map[string]int{}
	for _, arch := range archs {
		for _, n := range s.Graphs[arch].Nodes {
			if _, have := places[n.Version]; !have {
				places[n.Version] = 0
				u.Nodes = append(u.Nodes, n)
			}
		}
	}
	slices.SortFunc(u.Nodes, func(a, b Node) int { return compareVersions(a.Version, b.Version) })
	for i, n := range u.Nodes {
		places[n.Version] = i
	}
	seen := map[Edge]bool{}
	for _, arch := range archs {
		for _, group := range s.Graphs[arch].ConditionalEdges {
			fresh := ConditionalEdges{Risks: group.Risks}
			for _, e := range group.Edges {
				if !seen[e] {
					seen[e] = true
					fresh.Edges = append(fresh.Edges, e)
				}
			}
			if len(fresh.Edges) > 0 {
				u.ConditionalEdges = append(u.ConditionalEdges, fresh)
			}
		}
	}
	for _, arch := range archs {
		g := s.Graphs[arch]
		for _, e := range g.Edges {
			pair := Edge{g.Nodes[e[0]].Version, g.Nodes[e[1]].Version}
			if !seen[pair] {
				seen[pair] = true
				u.Edges = append(u.Edges, [2]int{places[pair.From], places[pair.To]})
			}
		}
	}
	slices.SortFunc(u.Edges, func(a, b [2]int) int { return slices.Compare(a[:], b[:]) })
	return u
}

// compareVersions orders by semver, as the graphs of single architectures are.
func compareVersions(a, b string) int {
	va, errA := semver.Parse(a)
	vb, errB := semver.Parse(b)
	if errA != nil || errB != nil {
		return strings.Compare(a, b)
	}
	return va.Compare(vb)
}
