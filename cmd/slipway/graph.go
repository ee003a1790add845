package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/release/channels/graph"
	"github.com/slipway-release/slipway/release/channels/graph/picture"
)

func newGraph(a *app) *cobra.Command {
	var f graphFlags
	var at string
	out := output{more: []string{"dot", "html"}}
	cmd := &cobra.Command{
		Use:   "graph",
		Short: "Show what clusters are offered: the update graph, now or as it was",
		Long: `Show the update graph of channels: versions, edges between them and the risks that
some edges bear. Several channels are shown together: their versions, and the edges
whose ends one of them has both.

-o json gives the bytes that the update service answers with, -o dot what Graphviz
reads, -o html a page that stands alone.

--at shows what the registry's channels offered at a time; a day means its end in UTC.`,
		Example: `  slipway graph --channel candidate -o json
  slipway graph --at 2026-11-20
  slipway graph -o html > graph.html
  slipway graph --graph-file graph.json --channel stable-4.7 -o dot | dot -Tsvg > graph.svg`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			then, err := parseDate("at", at, time.Now())
			if err != nil {
				return err
			}
			o, err := f.open(cmd.Context(), a, then)
			if err != nil {
				return err
			}
			return printGraph(a.Out, &out, o, f.channels, then)
		},
	}
	f.add(a, cmd)
	cmd.Flags().StringVar(&at, "at", "", "show what was offered then: a time such as 2026-11-20T12:00:00Z, or a day")
	out.addFlag(cmd)
	cmd.AddCommand(newGraphDiff(a), newGraphPrevious(a))
	return cmd
}

// printGraph prints the part of a graph that some channels offer. then is zero for now.
func printGraph(w io.Writer, out *output, o offering, channels []string, then time.Time) error {
	shown := o.graph().Within(channels...)
	data, err := shown.Encode()
	if err != nil {
		return err
	}
	open, trials := o.shares(shown, channels), o.snapshot.Trials()
	title := "Update graph"
	if len(channels) > 0 {
		title += " of " + strings.Join(channels, ", ")
	}
	r := result{value: json.RawMessage(data), forms: map[string]func(io.Writer) error{
		"json": func(w io.Writer) error { _, err := w.Write(data); return err }, // byte for byte what a server sends
		"dot":  func(w io.Writer) error { return picture.Dot(w, title, shown) },
		"html": picture.Page{Title: title, At: then, Graph: shown, Open: open, Trials: trials}.HTML,
	}}
	r.text = func(w io.Writer) { writeGraph(w, shown, open, trials, len(channels) != 1) }
	for _, n := range shown.Nodes {
		r.names = append(r.names, n.Version)
	}
	return out.print(w, r)
}

func writeGraph(w io.Writer, g graph.Graph, open map[string]float64, trials map[graph.Edge]graph.Trials, several bool) {
	passes := func(e graph.Edge) string {
		if t := trials[e]; t != (graph.Trials{}) {
			return "  " + t.String() + " passes"
		}
		return ""
	}

	for _, n := range g.Nodes {
		line := n.Version + "  " + n.Payload
		if several && len(n.Channels) > 0 {
			line += "  " + strings.Join(n.Channels, ",")
		}
		if share, ok := open[n.Version]; ok {
			line += "  open to " + picture.Percent(share) + " of clusters"
		}
		fmt.Fprintln(w, line)
	}
	for _, e := range g.Edges {
		from, to := g.Nodes[e[0]].Version, g.Nodes[e[1]].Version
		fmt.Fprintf(w, "%s -> %s%s\n", from, to, passes(graph.Edge{From: from, To: to}))
	}
	for _, group := range g.ConditionalEdges {
		for _, e := range group.Edges {
			fmt.Fprintf(w, "%s -> %s  conditional: %s%s\n", e.From, e.To, strings.Join(riskNames(group.Risks), ", "), passes(e))
		}
	}
}

// shares tells how much of all clusters the versions are open to that are not open to
// all, in the channel that opened them most.
func (o offering) shares(g graph.Graph, channels []string) map[string]float64 {
	open := map[string]float64{}
	for _, n := range g.Nodes {
		if share := graph.Share(o.snapshot.Rollouts, n.Version, shared(n.Channels, channels), o.at); share < 1 {
			open[n.Version] = share
		}
	}
	return open
}

// shared are the channels of a version that were asked for; none means all.
func shared(of, asked []string) []string {
	if len(asked) == 0 {
		return of
	}
	var both []string
	for _, c := range of {
		for _, a := range asked {
			if a == c {
				both = append(both, c)
			}
		}
	}
	return both
}

func riskNames(risks []graph.Risk) []string {
	var names []string
	for _, r := range risks {
		names = append(names, r.Name)
	}
	return names
}
