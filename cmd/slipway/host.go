package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/internal/host"
)

func newHost(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "host",
		Short: "See and install what this machine needs",
	}
	cmd.AddCommand(newHostPrepare(a), newHostCheck(a))
	return cmd
}

func newHostPrepare(a *app) *cobra.Command {
	var tests bool
	cmd := &cobra.Command{
		Use:   "prepare",
		Short: "Install the Debian packages that are missing",
		Long: `Install the Debian packages that are missing: a compiler for C, mmdebstrap and,
where neither Podman nor Docker can start a privileged container, Podman.
What is installed, and why, is said before.`,
		Example: "  slipway host prepare\n  slipway host prepare --no-install",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.prepareHost(cmd.Context(), tests)
		},
	}
	cmd.Flags().BoolVar(&tests, "tests", false, "install what the tests of Slipway itself need as well")
	return cmd
}

func newHostCheck(a *app) *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use:     "check",
		Short:   "List the Debian packages that are missing; exit 3 when there are any",
		Example: "  slipway host check -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			missing := host.Missing(host.Needs{Engine: true})
			r := result{value: missing, text: func(w io.Writer) {
				for _, m := range missing {
					fmt.Fprintf(w, "%-18s %s\n", m.Package, m.Why)
				}
			}}
			for _, m := range missing {
				r.names = append(r.names, m.Package)
			}
			if err := out.print(a.Out, r); err != nil {
				return err
			}
			if len(missing) > 0 {
				return fmt.Errorf("checking this host: packages are missing; run: %s", host.InstallCommand(missing))
			}
			return nil
		},
	}
	out.addFlag(cmd)
	return cmd
}
