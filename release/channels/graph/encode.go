package graph

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/blang/semver/v4"

	"github.com/slipway-release/slipway/release"
)

// answer is a graph as clients get it, field by field in this order.
type answer struct {
	Version int `json:"version"`
	Graph
}

// Encode writes a graph as the protocol has it, compactly and without escaping what
// stands in PromQL. The same graph gives the same bytes.
func (g Graph) Encode() ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(answer{Version: 1, Graph: g}); err != nil {
		return nil, fmt.Errorf("encoding the update graph: %w", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// Parse reads a graph in the protocol's form, strictly: an unknown field, another
// version, an edge to nowhere or a version that is no semver is an error. Nodes and
// edges are put in order.
func Parse(data []byte) (*Graph, error) {
	var read struct {
		Version          *int               `json:"version"`
		Nodes            []Node             `json:"nodes"`
		Edges            [][]int            `json:"edges"`
		ConditionalEdges []ConditionalEdges `json:"conditionalEdges"`
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&read); err != nil {
		return nil, fmt.Errorf("it is no update graph: %w", err)
	}
	if dec.More() {
		return nil, errors.New("something stands behind the graph's end")
	}
	if read.Version == nil || *read.Version != 1 {
		return nil, errors.New(`it is no update graph of version 1: "version" must be 1`)
	}
	g := &Graph{Nodes: read.Nodes, ConditionalEdges: read.ConditionalEdges}
	for _, e := range read.Edges {
		if len(e) != 2 {
			return nil, fmt.Errorf("edge %v is no pair", e)
		}
		g.Edges = append(g.Edges, [2]int{e[0], e[1]})
	}
	if err := g.Check(); err != nil {
		return nil, err
	}
	return order(g)
}

// order sorts nodes by semver, with what points at them.
func order(g *Graph) (*Graph, error) {
	type placed struct {
		Node
		semver semver.Version
		place  int
	}
	var all []placed
	for i, n := range g.Nodes {
		v, err := semver.Parse(n.Version)
		if err != nil {
			return nil, fmt.Errorf("version %q: %w", n.Version, err)
		}
		if n.Payload == "" {
			return nil, fmt.Errorf("version %q has no payload", n.Version)
		}
		for _, c := range strings.Split(n.Metadata[release.MetadataChannels], ",") {
			if c = strings.TrimSpace(c); c != "" {
				n.Channels = append(n.Channels, c)
			}
		}
		all = append(all, placed{n, v, i})
	}
	slices.SortFunc(all, func(a, b placed) int {
		return cmp.Or(a.semver.Compare(b.semver), strings.Compare(a.Version, b.Version))
	})
	out := &Graph{Nodes: []Node{}, Edges: [][2]int{}, ConditionalEdges: g.ConditionalEdges}
	places := make([]int, len(all))
	for i, n := range all {
		places[n.place] = i
		out.Nodes = append(out.Nodes, n.Node)
	}
	for _, e := range g.Edges {
		out.Edges = append(out.Edges, [2]int{places[e[0]], places[e[1]]})
	}
	slices.SortFunc(out.Edges, func(a, b [2]int) int { return slices.Compare(a[:], b[:]) })
	return out, nil
}

// Check refuses a graph that would make an answer wrong: Compile upholds all of
// this, and a file on disk or a foreign one need not.
func (g *Graph) Check() error {
	seen := make(map[string]bool, len(g.Nodes))
	for _, n := range g.Nodes {
		if n.Version == "" || seen[n.Version] {
			return fmt.Errorf("version %q stands there twice, or has no name", n.Version)
		}
		seen[n.Version] = true
	}
	plain := make(map[[2]string]bool, len(g.Edges))
	for _, e := range g.Edges {
		if e[0] < 0 || e[1] < 0 || e[0] >= len(g.Nodes) || e[1] >= len(g.Nodes) || e[0] == e[1] {
			return fmt.Errorf("edge %v does not join two of its %d nodes", e, len(g.Nodes))
		}
		pair := [2]string{g.Nodes[e[0]].Version, g.Nodes[e[1]].Version}
		if plain[pair] {
			return fmt.Errorf("the edge from %q to %q stands there twice", pair[0], pair[1])
		}
		plain[pair] = true
	}
	for _, group := range g.ConditionalEdges {
		for _, e := range group.Edges {
			pair := [2]string{e.From, e.To}
			if plain[pair] {
				return fmt.Errorf("the edge from %q to %q stands there twice, at least once with risks", e.From, e.To)
			}
			plain[pair] = true
		}
	}
	return nil
}
