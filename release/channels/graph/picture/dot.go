package picture

import (
	"fmt"
	"io"
	"strings"

	"github.com/slipway-release/slipway/release/channels/graph"
)

// Dot writes a graph in Graphviz's language, every minor version as a cluster; edges that
// bear risks are dashed, and labelled with the risks' names. Of very many edges those are
// left out that others make up for, as Graphviz would not come to an end with them; the
// graph's label says so.
// Language: https://graphviz.org/doc/info/lang.html
func Dot(w io.Writer, title string, g graph.Graph) error {
	var out strings.Builder
	fmt.Fprintf(&out, "digraph %s {\n  rankdir=BT;\n  node [shape=box, fontname=\"sans-serif\"];\n  edge [fontname=\"sans-serif\", fontsize=10];\n", quote(title))
	var minors []string
	members := map[string][]string{}
	for _, n := range g.Nodes {
		minor := minorOf(n.Version)
		if members[minor] == nil {
			minors = append(minors, minor)
		}
		members[minor] = append(members[minor], n.Version)
	}
	for _, minor := range minors {
		fmt.Fprintf(&out, "  subgraph %s {\n    label=%s;\n", quote("cluster_"+minor), quote(minor))
		for _, v := range members[minor] {
			fmt.Fprintf(&out, "    %s;\n", quote(v))
		}
		out.WriteString("  }\n")
	}
	edges := edgesOf(g)
	if len(edges) > manyEdges {
		kept := reduce(nodesOf(g), edges)
		fmt.Fprintf(&out, "  label=%s;\n", quote(fmt.Sprintf("%d of %d edges: those that several others make up for are left out", len(kept), len(edges))))
		edges = kept
	}
	for _, e := range edges {
		fmt.Fprintf(&out, "  %s -> %s", quote(e.From), quote(e.To))
		if len(e.Risks) > 0 {
			fmt.Fprintf(&out, " [style=dashed, label=%s]", quote(strings.Join(e.Risks, "\n")))
		}
		out.WriteString(";\n")
	}
	out.WriteString("}\n")
	if _, err := io.WriteString(w, out.String()); err != nil {
		return fmt.Errorf("writing a graph for Graphviz: %w", err)
	}
	return nil
}

// escapes are what Graphviz would not take as it is in a quoted string or a label.
var escapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", "", "\x00", "")

func quote(s string) string { return `"` + escapes.Replace(s) + `"` }
