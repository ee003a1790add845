package picture_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/slipway-release/slipway/internal/golden"
	"github.com/slipway-release/slipway/release/channels/graph"
	"github.com/slipway-release/slipway/release/channels/graph/picture"
)

// hostile has names that mean something to HTML and to Graphviz.
func hostile() graph.Graph {
	nodes := []graph.Node{
		{Version: "1.35.9", Metadata: map[string]string{"url": "https://example.com/1.35.9"}, Channels: []string{"stable"}},
		{Version: "1.36.3-0.nightly-2026-11-18-101500", Metadata: map[string]string{"url": "javascript:alert(1)"}, Channels: []string{"stable", `c"<b>\`}},
		{Version: `1.37.0-"<script>\n`}, {Version: "node"},
	}
	risks := []graph.Risk{
		{Name: "Quote\"d\\N\n<i>", Message: "<script>alert(1)</script>", URL: "https://example.com/?a&b", MatchingRules: []graph.MatchingRule{{Type: "PromQL", PromQL: &graph.PromQL{PromQL: "up > bool 1"}}, {Type: "Always"}}},
		{Name: "Odd", URL: "javascript:alert(2)", MatchingRules: []graph.MatchingRule{{Type: "<u>"}}},
	}
	return graph.Graph{Nodes: nodes, Edges: [][2]int{{0, 1}, {1, 2}},
		ConditionalEdges: []graph.ConditionalEdges{{Edges: []graph.Edge{{From: "1.35.9", To: nodes[2].Version}, {From: "nowhere", To: "1.35.9"}}, Risks: risks}}}
}

func TestDot(t *testing.T) {
	var out strings.Builder
	if err := picture.Dot(&out, `Graph of "all"`, hostile()); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/hostile.dot", out.String())
}

func TestHTML(t *testing.T) {
	page := picture.Page{Title: "Update graph of <stable>", At: time.Date(2026, 11, 20, 23, 59, 59, 0, time.UTC), Graph: hostile(), Open: map[string]float64{"1.36.3-0.nightly-2026-11-18-101500": .359}}
	var out strings.Builder
	if err := page.HTML(&out); err != nil {
		t.Fatal(err)
	}
	body := out.String()
	start, end := strings.Index(body, "<style>"), strings.Index(body, "</style>")
	golden.Check(t, "testdata/hostile.html", body[:start]+body[end:])
	doc, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for n := range doc.Descendants() {
		switch n.Data {
		case "script", "img", "link", "b", "i", "u":
			t.Errorf("there is a <%s>", n.Data)
		}
		for _, a := range n.Attr {
			if a.Key == "href" && !strings.HasPrefix(a.Val, "https://example.com/") || strings.HasPrefix(a.Key, "on") {
				t.Errorf("<%s> has %s=%q", n.Data, a.Key, a.Val)
			}
		}
	}
	out.Reset()
	if err := (picture.Page{Title: "Nothing"}).HTML(&out); err != nil || !strings.Contains(out.String(), "Nothing is offered.") {
		t.Errorf("an empty graph: %v", err)
	}
}

// vendor is a graph in which every version leads to the next ones, every seventh under a risk.
func vendor(minors, patches, reach int) graph.Graph {
	var g graph.Graph
	group := graph.ConditionalEdges{Risks: []graph.Risk{{Name: "Slow"}}}
	for i := range minors * patches {
		g.Nodes = append(g.Nodes, graph.Node{Version: fmt.Sprintf("4.%d.%d", i/patches, i%patches)})
		for j := max(0, i-reach); j < i; j++ {
			if i%7 == 0 {
				group.Edges = append(group.Edges, graph.Edge{From: g.Nodes[j].Version, To: g.Nodes[i].Version})
			} else {
				g.Edges = append(g.Edges, [2]int{j, i})
			}
		}
	}
	g.ConditionalEdges = []graph.ConditionalEdges{group}
	return g
}

// Where there are very many edges, none is drawn that others make up for; one without a
// risk is not made up for by others with one.
func TestManyEdges(t *testing.T) {
	nodes := []picture.Node{}
	edges := []picture.Edge{}
	for i := range 200 {
		nodes = append(nodes, picture.Node{Version: fmt.Sprintf("1.0.%d", i)})
		if i > 0 {
			edges = append(edges, picture.Edge{From: nodes[i-1].Version, To: nodes[i].Version})
		}
	}
	edges[50].Risks = []string{"Slow"} // from 50 to 51
	edges = append(edges,
		picture.Edge{From: "1.0.3", To: "1.0.9"},                            // made up for
		picture.Edge{From: "1.0.3", To: "1.0.9", Risks: []string{"Slow"}},   // too
		picture.Edge{From: "1.0.45", To: "1.0.55"},                          // not: the way bears a risk
		picture.Edge{From: "1.0.44", To: "1.0.56", Risks: []string{"Slow"}}, // made up for by one
		picture.Edge{From: "1.0.80", To: "1.0.70"},                          // back
	)
	p := picture.Draw(nodes, edges)
	if p.Left() != 3 || p.All != 204 || len(p.Edges) != 201 {
		t.Errorf("%d of %d are drawn", len(p.Edges), p.All)
	}
	if len(p.Columns) != 3 || p.Columns[1].Title != "1.0 …" || p.Height > 2000 {
		t.Errorf("%d columns, %d high", len(p.Columns), p.Height)
	}
}

func TestHTMLOfALargeGraph(t *testing.T) {
	g := vendor(20, 70, 62)
	start := time.Now()
	var out strings.Builder
	if err := (picture.Page{Title: "All", Graph: g}).HTML(&out); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("it took %v", took)
	}
	body := out.String()
	if n := strings.Count(body, "<path"); n > 5000 || n < 1200 || strings.Count(body, "<circle") != 1400 || !strings.Contains(body, "make up for are left out") {
		t.Errorf("%d edges are drawn", n)
	}
}
