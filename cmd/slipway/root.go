package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// stdio is what a command reads from and writes to: results to Out,
// progress and messages to Err.
type stdio struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer
}

// newRoot builds the command tree. The environment is asked for the variables
// that its help names.
func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "slipway",
		Short: "From the source of a Kubernetes distribution to releases that clusters update to",
		Long: `Slipway builds the component images of a Kubernetes distribution, assembles them
into one signed, date-named release payload, boots clusters from exactly those
bits, tests them and upgrades to them, and promotes what passed into channels.

Exit codes: 0 done and accepted; 1 tested and rejected; 2 wrong usage or
configuration; 3 the host or a service failed; 4 inconclusive.

Environment: SLIPWAY_DISTRO, SLIPWAY_STATE_DIR, SLIPWAY_REGISTRY, SLIPWAY_INSECURE
and SLIPWAY_ENGINE stand in for the flags of these names; COSIGN_PASSWORD opens the
signing key, SLIPWAY_SIGN_KEY names another one, SLIPWAY_OPENPGP_PASSPHRASE opens that
of --openpgp-key; SLIPWAY_VERIFY_KEYS lists public keys to trust in place of the own
one; KUBECONFIG names a cluster.`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetIn(a.In)
	root.SetOut(a.Out)
	root.SetErr(a.Err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage(fmt.Errorf("%w; see %q", err, cmd.CommandPath()+" --help"))
	})
	a.addFlags(root)

	root.AddGroup(
		&cobra.Group{ID: "run", Title: "Whole runs:"},
		&cobra.Group{ID: "stage", Title: "Stages of a run, in order:"},
		&cobra.Group{ID: "look", Title: "Looking at what there is:"},
	)
	for group, commands := range map[string][]*cobra.Command{
		"run":   {newNightly(a), newController(a), newUpgradeCheck(a), newPipeline(a), newServe(a)},
		"stage": {newLock(a), newBuild(a), newRelease(a), newSign(a), newVerify(a), newAttest(a), newCluster(a), newRollout(a), newTest(a), newUpgradeTest(a), newStream(a), newChannel(a), newReport(a)},
		"look":  {newGraph(a), newPath(a), newEvidence(a), newRegistry(a), newHost(a), newVersion(a)},
	} {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	root.AddCommand(newDocs(a))
	a.completeNames(root)
	return root
}
