package picture

import (
	"fmt"
	"io"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/channels/graph"
)

// Page is a graph shown on a page that stands alone.
type Page struct {
	Title string
	// At is when it was offered; zero when that is not to be told.
	At    time.Time
	Graph graph.Graph
	// Open tells how much of all clusters each version is open to, from 0 to 1, where
	// that is not all.
	Open map[string]float64
	// Trials tell how many trials of edges have passed, where several are needed.
	Trials map[graph.Edge]graph.Trials
}

// HTML writes the page: the picture, and in words what it shows. It loads nothing from
// elsewhere and needs no scripts.
func (p Page) HTML(w io.Writer) error {
	v := pageView{Page: p, Picture: p.draw(), Risks: p.risks()}
	v.rows()
	if err := templates.ExecuteTemplate(w, "page.tmpl", v); err != nil {
		return fmt.Errorf("writing the page of a graph: %w", err)
	}
	return nil
}

type pageView struct {
	Page
	Picture     Picture
	Rows        []row // the newest first
	Risks       []risk
	Conditional int
}

// row is a version and how it hangs together with others.
type row struct {
	graph.Node
	Link            string
	Open            string
	From, To        int // edges to it and from it
	Newest          string
	Risks           []string // of edges from it
	Source, DeadEnd bool     // nothing leads to it, or on from it
}

// risk is a risk and the edges that bear it.
type risk struct {
	graph.Risk
	Link  string
	Edges []riskyEdge
}

// riskyEdge is an edge that bears a risk. Passes is "1 of 2 passes", or "".
type riskyEdge struct {
	graph.Edge
	Passes string
}

// passes is how many trials of an edge have passed, in words.
func (p Page) passes(e graph.Edge) string {
	if t := p.Trials[e]; t != (graph.Trials{}) {
		return t.String() + " passes"
	}
	return ""
}

func (p Page) draw() Picture {
	nodes := nodesOf(p.Graph)
	for i, n := range p.Graph.Nodes {
		nodes[i].Link = Web(n.Metadata[release.MetadataURL])
		if open, ok := p.Open[n.Version]; ok {
			nodes[i].Tone, nodes[i].Note = Busy, "open to "+Percent(open)+" of clusters"
			nodes[i].Label += " (" + Percent(open) + ")"
		}
	}
	edges := edgesOf(p.Graph)
	for i, e := range edges {
		if t := p.passes(graph.Edge{From: e.From, To: e.To}); t != "" {
			edges[i].Note += ", " + t
		}
	}
	drawn := Draw(nodes, edges)
	drawn.Title = p.Title
	drawn.Desc = fmt.Sprintf("%s and %s, a column for every minor version, the newest on top. The table below says the same in words.",
		count(len(nodes), "version"), count(len(edges), "edge"))
	return drawn
}

func (v *pageView) rows() {
	places := map[string]int{}
	for i, n := range v.Graph.Nodes {
		places[n.Version] = i
		r := row{Node: n, Link: Web(n.Metadata[release.MetadataURL])}
		if open, ok := v.Open[n.Version]; ok {
			r.Open = Percent(open)
		}
		v.Rows = append(v.Rows, r)
	}
	newest := make([]int, len(v.Rows))
	each(v.Graph, func(e graph.Edge, risks []graph.Risk) {
		from, to := &v.Rows[places[e.From]], &v.Rows[places[e.To]]
		from.To++
		to.From++
		newest[places[e.From]] = max(newest[places[e.From]], places[e.To])
		from.Newest = v.Rows[newest[places[e.From]]].Version
		for _, name := range names(risks) {
			if !slices.Contains(from.Risks, name) {
				from.Risks = append(from.Risks, name)
			}
		}
		if len(risks) > 0 {
			v.Conditional++
		}
	})
	for i := range v.Rows {
		v.Rows[i].Source, v.Rows[i].DeadEnd = v.Rows[i].From == 0 && i > 0, v.Rows[i].To == 0 && i < len(v.Rows)-1
	}
	slices.Reverse(v.Rows)
}

// risks are those of the graph by name; those that differ in anything are several.
func (p Page) risks() []risk {
	var all []risk
	for _, group := range p.Graph.ConditionalEdges {
		for _, r := range group.Risks {
			at := slices.IndexFunc(all, func(have risk) bool { return have.Name == r.Name && have.Message == r.Message && have.URL == r.URL })
			if at < 0 {
				at = len(all)
				all = append(all, risk{Risk: r, Link: Web(r.URL)})
			}
			for _, e := range group.Edges {
				all[at].Edges = append(all[at].Edges, riskyEdge{e, p.passes(e)})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b risk) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// nodesOf are the versions of a graph alone.
func nodesOf(g graph.Graph) []Node {
	var nodes []Node
	for _, n := range g.Nodes {
		nodes = append(nodes, Node{Version: n.Version, Label: n.Version, Tone: Good})
	}
	return nodes
}

// edgesOf are the edges of a graph, drawn as they are offered.
func edgesOf(g graph.Graph) []Edge {
	var edges []Edge
	each(g, func(e graph.Edge, risks []graph.Risk) {
		drawn := Edge{From: e.From, To: e.To, Tone: Good, Note: "offered"}
		if len(risks) > 0 {
			drawn.Tone, drawn.Risks = Doubt, names(risks)
			drawn.Note = "conditional, " + strings.Join(drawn.Risks, ", ")
		}
		edges = append(edges, drawn)
	})
	return edges
}

// each calls do for every edge whose ends are both there.
func each(g graph.Graph, do func(graph.Edge, []graph.Risk)) {
	known := map[string]bool{}
	for _, n := range g.Nodes {
		known[n.Version] = true
	}
	for _, e := range g.Edges {
		do(graph.Edge{From: g.Nodes[e[0]].Version, To: g.Nodes[e[1]].Version}, nil)
	}
	for _, group := range g.ConditionalEdges {
		for _, e := range group.Edges {
			if known[e.From] && known[e.To] {
				do(e, group.Risks)
			}
		}
	}
}

func names(risks []graph.Risk) []string {
	var all []string
	for _, r := range risks {
		all = append(all, r.Name)
	}
	return all
}

// Web is an address that a page may lead to, or "".
func Web(address string) string {
	if u, err := url.Parse(address); err != nil || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	return address
}

// Percent writes a share of clusters, from 0 to 1, rounded down.
func Percent(share float64) string { return fmt.Sprintf("%d %%", int(math.Floor(100*share))) }
