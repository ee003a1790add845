package main

import "github.com/spf13/cobra"

func newRelease(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "release", Short: "Assemble, inspect, compare, copy and check release payloads"}
	a.addRegistryFlags(cmd)
	cmd.AddCommand(
		newReleaseNew(a),
		newReleaseInfo(a),
	)
	return cmd
}
