// Package diff compares two update graphs.
package diff

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/blang/semver/v4"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/channels/graph"
)

// Diff is what differs from one graph to another.
type Diff struct {
	Versions Versions `json:"versions"`
	Edges    Edges    `json:"edges"`
	Risks    Risks    `json:"risks"`
}

// Versions that differ, in ascending order.
type Versions struct {
	Added   []string        `json:"added"`
	Removed []string        `json:"removed"`
	Changed []VersionChange `json:"changed"`
}

// VersionChange is a version that both graphs have and that is not the same.
type VersionChange struct {
	Version string `json:"version"`
	// Payload is the new one, "" where it is the same.
	Payload         string   `json:"payload,omitempty"`
	ChannelsAdded   []string `json:"channelsAdded,omitempty"`
	ChannelsRemoved []string `json:"channelsRemoved,omitempty"`
	// Metadata are the keys whose values differ, but for the list of channels.
	Metadata []string `json:"metadata,omitempty"`
}

// Edges that differ, ascending by from and to.
type Edges struct {
	Added   []Edge       `json:"added"`
	Removed []Edge       `json:"removed"`
	Changed []EdgeChange `json:"changed"`
}

// Edge is an edge with the names of its risks.
type Edge struct {
	graph.Edge
	Risks []string `json:"risks,omitempty"`
}

// EdgeChange is an edge that both graphs have, and that bears other risks.
type EdgeChange struct {
	graph.Edge
	RisksAdded   []string `json:"risksAdded,omitempty"`
	RisksRemoved []string `json:"risksRemoved,omitempty"`
}

// Risks that differ, by name.
type Risks struct {
	Added   []graph.Risk `json:"added"`
	Removed []graph.Risk `json:"removed"`
	Changed []RiskChange `json:"changed"`
}

// RiskChange is a risk that says something else, or to other clusters.
type RiskChange struct {
	Name string     `json:"name"`
	From graph.Risk `json:"from"`
	To   graph.Risk `json:"to"`
}

// Empty reports whether nothing differs.
func (d Diff) Empty() bool {
	v, e, r := d.Versions, d.Edges, d.Risks
	return len(v.Added)+len(v.Removed)+len(v.Changed)+len(e.Added)+len(e.Removed)+len(e.Changed)+len(r.Added)+len(r.Removed)+len(r.Changed) == 0
}

// Compare tells what differs. The order of nodes, edges and groups means nothing.
func Compare(from, to graph.Graph) Diff {
	d := Diff{
		Versions: Versions{Added: []string{}, Removed: []string{}, Changed: []VersionChange{}},
		Edges:    Edges{Added: []Edge{}, Removed: []Edge{}, Changed: []EdgeChange{}},
		Risks:    Risks{Added: []graph.Risk{}, Removed: []graph.Risk{}, Changed: []RiskChange{}},
	}
	d.compareVersions(nodesOf(from), nodesOf(to))
	d.compareEdges(edgesOf(from), edgesOf(to))
	d.compareRisks(risksOf(from), risksOf(to))
	return d
}

func nodesOf(g graph.Graph) map[string]graph.Node {
	nodes := make(map[string]graph.Node, len(g.Nodes))
	for _, n := range g.Nodes {
		nodes[n.Version] = n
	}
	return nodes
}

func (d *Diff) compareVersions(from, to map[string]graph.Node) {
	for _, version := range slices.SortedFunc(maps.Keys(both(from, to)), compareVersions) {
		a, had := from[version]
		b, has := to[version]
		switch {
		case !had:
			d.Versions.Added = append(d.Versions.Added, version)
			continue
		case !has:
			d.Versions.Removed = append(d.Versions.Removed, version)
			continue
		}
		c := VersionChange{Version: version, ChannelsAdded: without(b.Channels, a.Channels), ChannelsRemoved: without(a.Channels, b.Channels)}
		if a.Payload != b.Payload {
			c.Payload = b.Payload
		}
		for _, key := range slices.Sorted(maps.Keys(both(a.Metadata, b.Metadata))) {
			if key != release.MetadataChannels && a.Metadata[key] != b.Metadata[key] {
				c.Metadata = append(c.Metadata, key)
			}
		}
		if c.Payload != "" || len(c.ChannelsAdded)+len(c.ChannelsRemoved)+len(c.Metadata) > 0 {
			d.Versions.Changed = append(d.Versions.Changed, c)
		}
	}
}

// edgesOf are the edges with the names of their risks, in order.
func edgesOf(g graph.Graph) map[graph.Edge][]string {
	edges := make(map[graph.Edge][]string, len(g.Edges))
	for _, e := range g.Edges {
		edges[graph.Edge{From: g.Nodes[e[0]].Version, To: g.Nodes[e[1]].Version}] = nil
	}
	for _, group := range g.ConditionalEdges {
		var names []string
		for _, r := range group.Risks {
			names = append(names, r.Name)
		}
		slices.Sort(names)
		for _, e := range group.Edges {
			edges[e] = names
		}
	}
	return edges
}

func (d *Diff) compareEdges(from, to map[graph.Edge][]string) {
	order := slices.SortedFunc(maps.Keys(both(from, to)), func(a, b graph.Edge) int {
		return cmp.Or(compareVersions(a.From, b.From), compareVersions(a.To, b.To))
	})
	for _, e := range order {
		a, had := from[e]
		b, has := to[e]
		switch {
		case !had:
			d.Edges.Added = append(d.Edges.Added, Edge{e, b})
		case !has:
			d.Edges.Removed = append(d.Edges.Removed, Edge{e, a})
		case !slices.Equal(a, b):
			d.Edges.Changed = append(d.Edges.Changed, EdgeChange{e, without(b, a), without(a, b)})
		}
	}
}

// risksOf are the risks by name. Of several under one name the content is that of all.
func risksOf(g graph.Graph) map[string][]graph.Risk {
	risks := map[string][]graph.Risk{}
	for _, group := range g.ConditionalEdges {
		for _, r := range group.Risks {
			if !slices.ContainsFunc(risks[r.Name], func(have graph.Risk) bool { return content(have) == content(r) }) {
				risks[r.Name] = append(risks[r.Name], r)
			}
		}
	}
	for _, same := range risks {
		slices.SortFunc(same, func(a, b graph.Risk) int { return strings.Compare(content(a), content(b)) })
	}
	return risks
}

func content(r graph.Risk) string {
	data, _ := json.Marshal(r) // strings and lists of them
	return string(data)
}

func (d *Diff) compareRisks(from, to map[string][]graph.Risk) {
	for _, name := range slices.Sorted(maps.Keys(both(from, to))) {
		a, b := from[name], to[name]
		switch {
		case len(a) == 0:
			d.Risks.Added = append(d.Risks.Added, b...)
		case len(b) == 0:
			d.Risks.Removed = append(d.Risks.Removed, a...)
		default:
			same := func(a, b graph.Risk) bool { return content(a) == content(b) }
			if !slices.EqualFunc(a, b, same) {
				d.Risks.Changed = append(d.Risks.Changed, RiskChange{name, a[0], b[0]})
			}
		}
	}
}

// both has the keys of two maps.
func both[K comparable, V any](a, b map[K]V) map[K]V {
	all := maps.Clone(a)
	if all == nil {
		all = map[K]V{}
	}
	maps.Copy(all, b)
	return all
}

// without are the names in all that are not in some.
func without(all, some []string) []string {
	var left []string
	for _, name := range all {
		if !slices.Contains(some, name) {
			left = append(left, name)
		}
	}
	return left
}

// compareVersions orders by semver; what is none comes first.
func compareVersions(a, b string) int {
	va, _ := semver.Parse(a)
	vb, _ := semver.Parse(b)
	return cmp.Or(va.Compare(vb), strings.Compare(a, b))
}
