package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/release/channels/graphdata"
)

func newGraphPrevious(a *app) *cobra.Command {
	var dir, arch string
	var out output
	cmd := &cobra.Command{
		Use:   "previous VERSION",
		Short: "Say which versions a new release may be upgraded from, by build suggestions",
		Long: `Say which versions a new release may be upgraded from: those that the channels of a
folder of graph-data name and its build-suggestions/X.Y.yaml lets in, and why the others
of these minor versions are not. -o name gives what slipway release new --previous takes,
one version a line.`,
		Example: `  slipway graph previous 4.16.4 --graph-data cincinnati-graph-data
  slipway graph previous 4.16.4 --graph-data cincinnati-graph-data --arch arm64 -o name | paste -sd,`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			data, err := graphdata.Load(dir)
			if err != nil {
				return usage(err)
			}
			all, err := data.Previous(args[0], arch)
			if err != nil {
				return usage(err)
			}
			r := result{value: all, text: func(w io.Writer) {
				for _, s := range all {
					sign := "-"
					if s.Taken {
						sign = "+"
					}
					fmt.Fprintf(w, "%s %s  %s\n", sign, s.Version, s.Why)
				}
			}}
			for _, s := range all {
				if s.Taken {
					r.names = append(r.names, s.Version)
				}
			}
			return out.print(a.Out, r)
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "graph-data", "", "folder of graph-data")
	f.StringVar(&arch, "arch", "amd64", "architecture of the release")
	_ = cmd.MarkFlagRequired("graph-data")
	_ = cmd.MarkFlagDirname("graph-data")
	out.addFlag(cmd)
	return cmd
}
