package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/release/channels/graph"
	"github.com/slipway-release/slipway/release/channels/graph/path"
	"github.com/slipway-release/slipway/release/channels/graph/picture"
)

func newPath(a *app) *cobra.Command {
	var f graphFlags
	var o path.Options
	var out output
	cmd := &cobra.Command{
		Use:   "path FROM TO",
		Short: "Find the way from one version to another through the update graph",
		Long: `Find the way from one version to another: the hops a cluster takes, the channels that
offer each, and the risks that each bears. The best way has the fewest hops, then the
fewest that bear risks, then the newest versions on it.

With several channels a cluster may be switched from one to another on its way. Where
there is no way, it is told why, and the exit code is 1.`,
		Example: `  slipway path 1.36.3-0.nightly-2026-11-18-101500 1.36.3-0.nightly-2026-11-20-101500
  slipway path 4.6.59 4.7.55 --graph-file graph.json --channel stable-4.7 --no-risks
  slipway path 4.8.1 4.10.3 --graph-file graph.json --channel eus-4.8 --channel eus-4.10 --all`,
		Args: cobra.ExactArgs(2),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 1 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return f.completeVersions(cmd.Context(), a), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			if o.Most < 1 {
				return usage(fmt.Errorf("reading --most: %d is no number of ways", o.Most))
			}
			offered, err := f.open(cmd.Context(), a, time.Time{})
			if err != nil {
				return err
			}
			o.Channels, o.Now = f.channels, offered.at
			return findPath(a.Out, &out, offered, args[0], args[1], o)
		},
	}
	f.add(a, cmd)
	flags := cmd.Flags()
	flags.BoolVar(&o.All, "all", false, "tell every way in place of the best one")
	flags.IntVar(&o.Most, "most", path.DefaultMost, "how many ways --all tells at most")
	flags.BoolVar(&o.NoRisks, "no-risks", false, "take no edge that bears a risk")
	out.addFlag(cmd)
	return cmd
}

func findPath(w io.Writer, out *output, offered offering, from, to string, o path.Options) error {
	found, err := path.Find(offered.graph(), from, to, o.For(offered.snapshot, offered.arch))
	var why *path.NoWay
	if errors.As(err, &why) {
		// Programs read why from the answer, people from the error.
		if printed := out.print(w, result{value: why, text: func(io.Writer) {}}); printed != nil {
			return printed
		}
		return rejected(err)
	}
	if err != nil {
		return err
	}
	r := result{value: found, text: func(w io.Writer) { writeWays(w, found) }}
	for _, way := range found.Ways {
		versions := []string{from}
		for _, h := range way.Hops {
			versions = append(versions, h.To)
		}
		if o.All {
			versions = []string{strings.Join(versions, " ")}
		}
		r.names = append(r.names, versions...)
	}
	return out.print(w, r)
}

func writeWays(w io.Writer, f path.Found) {
	for i, way := range f.Ways {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s to %s: %s", f.From, f.To, way.Summary())
		if i == 0 && f.Shortest > 1 {
			fmt.Fprintf(w, "; %d ways are as short", f.Shortest)
		}
		fmt.Fprintln(w)
		for j, h := range way.Hops {
			writeHop(w, j+1, h)
		}
	}
	if f.Cut {
		fmt.Fprintf(w, "\nThere are more ways than these %d; --most tells more of them.\n", len(f.Ways))
	}
}

func writeHop(w io.Writer, number int, h path.Hop) {
	fmt.Fprintf(w, "%3d. %s -> %s", number, h.From, h.To)
	if len(h.Channels) > 0 {
		fmt.Fprintf(w, "  in %s", strings.Join(h.Channels, ", "))
	}
	if h.Passes != (graph.Trials{}) {
		fmt.Fprintf(w, "  %s passes", h.Passes)
	}
	if h.Open < 1 {
		fmt.Fprintf(w, "  open to %s of clusters", picture.Percent(h.Open))
	}
	fmt.Fprintln(w)
	for _, r := range h.Risks {
		fmt.Fprintf(w, "     risk %s: %s\n", r.Name, r.Message)
		if r.URL != "" {
			fmt.Fprintf(w, "       %s\n", r.URL)
		}
	}
}
