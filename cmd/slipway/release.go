package main

import "github.com/spf13/cobra"

func newRelease(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "release", Short: "Assemble, inspect, compare, copy and check release payloads"}
	a.addRegistryFlags(cmd)
	cmd.AddCommand(
		newReleaseNew(a),
		newReleaseRebuild(a),
		newReleaseInfo(a),
		newReleaseLint(a),
		newReleaseDiff(a),
		newReleaseChangelog(a),
		newReleaseExtract(a),
		newReleaseMirror(a),
	)
	return cmd
}
