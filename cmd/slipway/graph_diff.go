package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/release/channels/graph"
	"github.com/slipway-release/slipway/release/channels/graph/diff"
)

func newGraphDiff(a *app) *cobra.Command {
	var from, to string
	var channels []string
	var exitCode bool
	var out output
	cmd := &cobra.Command{
		Use:   "diff [A B]",
		Short: "Compare two update graphs, or what the channels offered at two times",
		Long: `Tell which versions, edges and risks were added, removed or changed from one graph to
another: two files in the update service's form, or what the registry's channels
offered at --from and at --to (default: now). A day means its end in UTC.`,
		Example: `  slipway graph diff before.json after.json
  slipway graph diff --from 2026-11-19 --to 2026-11-20 --channel candidate
  slipway graph diff --from 2026-11-19 --exit-code -o json`,
		Args: cobra.MatchAll(cobra.MaximumNArgs(2), func(_ *cobra.Command, args []string) error {
			if len(args) == 1 || len(args) == 0 && from == "" || len(args) == 2 && from+to != "" {
				return usage(errors.New("comparing graphs: give two files, or --from and no files"))
			}
			return nil
		}),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			sides, err := a.graphSides(cmd.Context(), args, channels, from, to)
			if err != nil {
				return err
			}
			d := diff.Compare(sides[0], sides[1])
			r := result{value: d, text: func(w io.Writer) { writeDiff(w, d) }, names: append(append([]string{}, d.Versions.Added...), d.Versions.Removed...)}
			if err := out.print(a.Out, r); err != nil {
				return err
			}
			if exitCode && !d.Empty() {
				return rejected(errors.New("comparing graphs: they differ"))
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&from, "from", "", "compare what the registry's channels offered then: a time, or a day")
	f.StringVar(&to, "to", "", "with what they offered then (default: now)")
	f.StringArrayVar(&channels, "channel", nil, "compare what this channel offers (default: all); may be given more than once")
	f.BoolVar(&exitCode, "exit-code", false, "exit with 1 when the graphs differ")
	out.addFlag(cmd)
	return cmd
}

// graphSides are the graphs to compare: those in two files, or of two times.
func (a *app) graphSides(ctx context.Context, files, channels []string, from, to string) (sides [2]graph.Graph, err error) {
	now := time.Now()
	var times [2]time.Time
	for i, text := range []string{from, to} {
		flag := []string{"from", "to"}[i]
		if times[i], err = parseDate(flag, text, now); err != nil {
			return sides, err
		}
	}
	for i := range sides {
		f := graphFlags{channels: channels}
		if len(files) > 0 {
			f.files, f.argument = files[i:i+1], "graph "+[]string{"A", "B"}[i]
			f.channels = nil // one file may lack a channel that the other has
		}
		o, err := f.open(ctx, a, times[i])
		if err != nil {
			return sides, err
		}
		sides[i] = o.graph().Within(channels...)
	}
	return sides, nil
}

func writeDiff(w io.Writer, d diff.Diff) {
	if d.Empty() {
		fmt.Fprintln(w, "Nothing differs.")
		return
	}
	for _, v := range d.Versions.Added {
		fmt.Fprintf(w, "+ version %s\n", v)
	}
	for _, v := range d.Versions.Removed {
		fmt.Fprintf(w, "- version %s\n", v)
	}
	for _, c := range d.Versions.Changed {
		var what []string
		if c.Payload != "" {
			what = append(what, "payload "+c.Payload)
		}
		what = append(what, cameAndWent("channel", c.ChannelsAdded, c.ChannelsRemoved)...)
		if len(c.Metadata) > 0 {
			what = append(what, "metadata "+strings.Join(c.Metadata, ", "))
		}
		fmt.Fprintf(w, "~ version %s: %s\n", c.Version, strings.Join(what, ", "))
	}
	edge := func(sign string, e diff.Edge) {
		fmt.Fprintf(w, "%s edge %s -> %s", sign, e.From, e.To)
		if len(e.Risks) > 0 {
			fmt.Fprintf(w, "  conditional: %s", strings.Join(e.Risks, ", "))
		}
		fmt.Fprintln(w)
	}
	for _, e := range d.Edges.Added {
		edge("+", e)
	}
	for _, e := range d.Edges.Removed {
		edge("-", e)
	}
	for _, c := range d.Edges.Changed {
		fmt.Fprintf(w, "~ edge %s -> %s: %s\n", c.From, c.To, strings.Join(cameAndWent("risk", c.RisksAdded, c.RisksRemoved), ", "))
	}
	for _, r := range d.Risks.Added {
		fmt.Fprintf(w, "+ risk %s: %s\n", r.Name, r.Message)
	}
	for _, r := range d.Risks.Removed {
		fmt.Fprintf(w, "- risk %s: %s\n", r.Name, r.Message)
	}
	for _, c := range d.Risks.Changed {
		fmt.Fprintf(w, "~ risk %s: %s\n", c.Name, c.To.Message)
	}
}

// cameAndWent writes what came and what went.
func cameAndWent(what string, added, removed []string) []string {
	var all []string
	for _, name := range added {
		all = append(all, "+"+what+" "+name)
	}
	for _, name := range removed {
		all = append(all, "-"+what+" "+name)
	}
	return all
}
