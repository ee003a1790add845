package diff_test

import (
	"encoding/json"
	"testing"

	"github.com/slipway-release/slipway/internal/golden"
	"github.com/slipway-release/slipway/release/channels/graph"
	"github.com/slipway-release/slipway/release/channels/graph/diff"
)

func node(version, payload, url string, channels ...string) graph.Node {
	return graph.Node{Version: version, Payload: payload, Metadata: map[string]string{"url": url}, Channels: channels}
}

func conditional(from, to string, risks ...graph.Risk) graph.ConditionalEdges {
	return graph.ConditionalEdges{Edges: []graph.Edge{{From: from, To: to}}, Risks: risks}
}

var slow, lost = graph.Risk{Name: "Slow", Message: "It is slow."}, graph.Risk{Name: "Lost", Message: "Volumes are lost."}

func before() graph.Graph {
	return graph.Graph{
		Nodes:            []graph.Node{node("1.36.0", "a", "u", "stable"), node("1.36.1", "b", "u", "stable"), node("1.36.2", "c", "u", "candidate"), node("1.36.10", "d", "u", "candidate")},
		Edges:            [][2]int{{0, 1}, {1, 2}},
		ConditionalEdges: []graph.ConditionalEdges{conditional("1.36.0", "1.36.2", slow, lost), conditional("1.36.2", "1.36.10", slow)},
	}
}

func TestCompare(t *testing.T) {
	slower := slow
	slower.Message = "It is very slow."
	after := graph.Graph{
		Nodes: []graph.Node{node("1.36.11", "e", "u", "candidate"), node("1.36.2", "c", "other", "candidate", "stable"), node("1.36.1", "b2", "u", "stable"), node("1.36.10", "d", "u", "candidate")},
		Edges: [][2]int{{1, 3}},
		ConditionalEdges: []graph.ConditionalEdges{
			conditional("1.36.1", "1.36.2", slower), conditional("1.36.10", "1.36.11", graph.Risk{Name: "New", Message: "Nobody tried."}),
		},
	}
	for file, d := range map[string]diff.Diff{"changed.json": diff.Compare(before(), after), "empty.json": diff.Compare(graph.Graph{}, graph.Graph{})} {
		data, err := json.MarshalIndent(d, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		golden.Check(t, "testdata/"+file, append(data, '\n'))
	}
}

// The order in which a graph is written down means nothing.
func TestCompareOrder(t *testing.T) {
	other := before()
	other.Nodes[0], other.Nodes[3] = other.Nodes[3], other.Nodes[0]
	other.Edges = [][2]int{{1, 2}, {3, 1}}
	other.ConditionalEdges[0].Risks = []graph.Risk{lost, slow}
	other.ConditionalEdges[0], other.ConditionalEdges[1] = other.ConditionalEdges[1], other.ConditionalEdges[0]
	if d := diff.Compare(before(), other); !d.Empty() {
		t.Errorf("%+v", d)
	}
	if d := diff.Compare(before(), graph.Graph{}); d.Empty() || len(d.Versions.Removed) != 4 || len(d.Edges.Removed) != 4 || len(d.Risks.Removed) != 2 {
		t.Errorf("%+v", d)
	}
}
