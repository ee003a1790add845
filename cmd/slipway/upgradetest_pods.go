package main

import (
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/upgradetest/incluster"
)

// newUpgradeTestServe is what probed pods run.
func newUpgradeTestServe(a *app) *cobra.Command {
	o := incluster.ServeOptions{Log: a.Out}
	cmd := &cobra.Command{
		Use:     "serve",
		Short:   "Serve what an upgrade test probes, in a pod",
		Example: "  slipway upgrade-test serve --http :7003 --lines :7000 --log-ticks 50ms",
		Hidden:  true,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return incluster.Serve(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.HTTP, "http", ":7003", "address of /readyz and of the store")
	f.StringVar(&o.Lines, "lines", "", "address of a TCP server that sends every line back")
	f.StringVar(&o.Store, "store", "", "folder of a store that lines are appended to")
	f.DurationVar(&o.LogTicks, "log-ticks", 0, "how often a numbered line is written to the log")
	f.DurationVar(&o.Linger, "linger", 0, "how long to serve on after the end was asked for")
	return cmd
}

// newUpgradeTestPoll is what pollers inside a cluster run.
func newUpgradeTestPoll(a *app) *cobra.Command {
	var o incluster.PollOptions
	var grace time.Duration
	cmd := &cobra.Command{
		Use:     "poll",
		Short:   "Probe from inside a cluster, in a pod",
		Example: "  slipway upgrade-test poll --http :17002",
		Hidden:  true,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := os.MkdirTemp(o.Dir, "samples-")
			if err != nil {
				return err
			}
			defer os.RemoveAll(dir)
			o.Dir, o.Node = dir, a.getenv("NODE_NAME")
			return incluster.Poll(cmd.Context(), o, grace)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.HTTP, "http", ":17002", "address at which the monitor pulls samples")
	f.StringVar(&o.Dir, "dir", "", "where samples lie until they were pulled (default: the system's folder for temporary files)")
	f.DurationVar(&grace, "grace", 25*time.Second, "how long to wait after the end until the rest was pulled")
	return cmd
}
