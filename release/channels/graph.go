package channels

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/slipway-release/slipway/release"
)

// metadataManifest tells a node's digest apart from its pull spec.
const metadataManifest = "io.openshift.upgrades.graph.release.manifestref"

// The update service's protocol, version 1, field by field in its order.
type graph struct {
	Version          int        `json:"version"`
	Nodes            []node     `json:"nodes"`
	Edges            [][2]int   `json:"edges"`
	ConditionalEdges []struct{} `json:"conditionalEdges"`
}

type node struct {
	Version  release.Version   `json:"version"`
	Payload  string            `json:"payload"`
	Metadata map[string]string `json:"metadata"`
}

// Graph returns the update graph of a channel as the update service answers it:
// nodes in semver order, edges as pairs of their places. all are the channels of
// the distribution, from which every node tells in which it is. Edges whose ends are not both
// in the channel are left out. A channel that all does not hold has an empty graph, as the
// protocol demands. The same channels always give the same bytes.
func Graph(channel string, all []State) ([]byte, error) {
	var state State
	for _, s := range all {
		if s.Name == channel {
			state = s.sorted()
		}
	}
	g := graph{Version: 1, Nodes: []node{}, Edges: [][2]int{}, ConditionalEdges: []struct{}{}}
	places := map[release.Version]int{}
	for i, v := range state.Versions {
		n, err := newNode(v, all)
		if err != nil {
			return nil, fmt.Errorf("writing the graph of channel %q: %w", channel, err)
		}
		g.Nodes = append(g.Nodes, n)
		places[v.Version] = i
	}
	for _, e := range state.Edges {
		from, okFrom := places[e.From]
		to, okTo := places[e.To]
		if okFrom && okTo {
			g.Edges = append(g.Edges, [2]int{from, to})
		}
	}
	slices.SortFunc(g.Edges, func(a, b [2]int) int { return slices.Compare(a[:], b[:]) })
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(g); err != nil {
		return nil, fmt.Errorf("writing the graph of channel %q: %w", channel, err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

func newNode(v Version, all []State) (node, error) {
	digest, err := name.NewDigest(v.PullSpec)
	if err != nil {
		return node{}, fmt.Errorf("version %q: %w", v.Version, err)
	}
	n := node{Version: v.Version, Payload: v.PullSpec, Metadata: map[string]string{}}
	maps.Copy(n.Metadata, v.Metadata)
	var names []string
	for _, s := range all {
		have, ok := s.Find(v.Version)
		if !ok {
			continue
		}
		if have.PullSpec != v.PullSpec {
			return node{}, fmt.Errorf("version %q is %s in channel %q and %s in another", v.Version, have.PullSpec, s.Name, v.PullSpec)
		}
		names = append(names, s.Name)
	}
	slices.Sort(names)
	n.Metadata[release.MetadataChannels] = strings.Join(slices.Compact(names), ",")
	n.Metadata[metadataManifest] = digest.DigestStr()
	return n, nil
}
