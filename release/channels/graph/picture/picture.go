// Package picture draws update graphs: as SVG for pages, as a page that stands alone, and
// for Graphviz.
package picture

import (
	"fmt"
	"strconv"

	"github.com/blang/semver/v4"
)

// Node is a version to be drawn.
type Node struct {
	Version string
	Label   string // that is written beside it
	Tone    Tone
	Link    string // of a page about it, or ""
	Note    string // more about it, or ""
}

// Edge is an upgrade to be drawn.
type Edge struct {
	From, To string
	Tone     Tone
	Note     string   // what is to be said of it
	Risks    []string // names
}

// Tone is the class that style sheets know nodes and edges by.
type Tone string

// Tones of edges are drawn as lines of different kinds, for those who see no colours.
const (
	Good  Tone = "good"
	Bad   Tone = "bad"
	Doubt Tone = "doubt"
	Busy  Tone = "busy"
	Soft  Tone = "soft"
)

// Picture is a graph laid out: a column for every minor version, in it the versions from
// the oldest at the bottom to the newest on top. Distances are in CSS pixels.
type Picture struct {
	Title, Desc   string
	Width, Height int
	Columns       []column
	Nodes         []dot
	Edges         []line
	// All is how many edges there are; of very many, Edges are those that no other ways
	// make up for.
	All int
}

type column struct {
	X     int
	Title string
}

type dot struct {
	Node
	X, Y int
}

// Title is what is shown of a version that is pointed at.
func (d dot) Title() string {
	if d.Note == "" {
		return d.Version
	}
	return d.Version + ", " + d.Note
}

type line struct {
	Path  string
	Tone  Tone
	Title string
}

const (
	rowHeight   = 26
	denseHeight = 18 // of rows in tall columns
	tall        = 40 // rows
	tallest     = 90 // rows; a minor version with more gets several columns
	topMargin   = 52
	dotX        = 92 // from the left of a column: arcs to the left, names to the right
	manyEdges   = 150
	nameWidth   = 7 // of a letter
)

// Draw lays a graph out. Nodes are in ascending order of their versions.
func Draw(nodes []Node, edges []Edge) Picture {
	p := Picture{All: len(edges)}
	columns := columnsOf(nodes)
	rows, x := 0, 0
	for _, c := range columns {
		rows = max(rows, len(c))
	}
	height := rowHeight
	if rows > tall {
		height = denseHeight
	}
	places := map[string]place{}
	for i, c := range columns {
		wide := 0
		title := minorOf(c[0].Version)
		if i > 0 && title == minorOf(columns[i-1][0].Version) {
			title += " …"
		}
		p.Columns = append(p.Columns, column{x + dotX - 6, title})
		for row, n := range c {
			d := dot{Node: n, X: x + dotX, Y: topMargin + (rows-1-row)*height}
			wide = max(wide, len(n.Label)*nameWidth)
			places[n.Version] = place{i, row, d.X, d.Y}
			p.Nodes = append(p.Nodes, d)
		}
		x += dotX + 14 + wide + 24
	}
	p.Width, p.Height = max(x, 120), topMargin+max(rows, 1)*height
	if len(edges) > manyEdges {
		edges = reduce(nodes, edges)
	}
	for _, e := range edges {
		from, ok := places[e.From]
		to, good := places[e.To]
		if ok && good {
			p.Edges = append(p.Edges, line{curve(from, to), e.Tone, fmt.Sprintf("%s to %s: %s", e.From, e.To, e.Note)})
		}
	}
	return p
}

// Left is how many edges are not drawn.
func (p Picture) Left() int { return p.All - len(p.Edges) }

// place is where a version is drawn.
type place struct{ column, row, x, y int }

func curve(from, to place) string {
	switch {
	case from.column == to.column && to.row-from.row == 1:
		return fmt.Sprintf("M%d %dV%d", from.x, from.y-6, to.y+6)
	case from.column == to.column: // an arc on the left, the farther the wider
		bulge := min(dotX-22, 12+6*max(to.row-from.row, from.row-to.row))
		return fmt.Sprintf("M%d %dC%d %d %d %d %d %d", from.x-5, from.y, from.x-bulge, from.y, to.x-bulge, to.y, to.x-5, to.y)
	default: // below the names, from column to column
		middle := (from.x + to.x) / 2
		return fmt.Sprintf("M%d %dC%d %d %d %d %d %d", from.x+5, from.y, middle, from.y, middle, to.y, to.x-6, to.y)
	}
}

// columnsOf groups nodes by their minor version, and those of one that has very many into
// several columns of about the same height.
func columnsOf(nodes []Node) [][]Node {
	var columns [][]Node
	for start := 0; start < len(nodes); {
		end := start + 1
		for end < len(nodes) && minorOf(nodes[end].Version) == minorOf(nodes[start].Version) {
			end++
		}
		parts := (end - start + tallest - 1) / tallest
		for ; parts > 0; parts-- {
			n := (end - start + parts - 1) / parts
			columns = append(columns, nodes[start:start+n])
			start += n
		}
	}
	return columns
}

// minorOf is MAJOR.MINOR of a version.
func minorOf(version string) string {
	v, err := semver.Parse(version)
	if err != nil {
		return "other"
	}
	return strconv.FormatUint(v.Major, 10) + "." + strconv.FormatUint(v.Minor, 10)
}
