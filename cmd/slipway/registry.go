package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newRegistry(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "registry", Short: "Serve the embedded registry, and remove what nothing needs"}
	var addr string
	serve := &cobra.Command{
		Use:   "serve",
		Short: "Serve the state directory's registry until interrupted",
		Long: `Serve the registry of the state directory on a loopback address until interrupted,
for other tools to pull from, or for other commands to share with --registry.`,
		Example: "  slipway registry serve --address 127.0.0.1:5000",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			st, err := a.state()
			if err != nil {
				return err
			}
			server, err := a.serveRegistry(cmd.Context(), st, addr)
			if err != nil {
				return err
			}
			fmt.Fprintln(a.Out, server.Addr())
			<-cmd.Context().Done()
			a.close()
			return nil
		},
	}
	serve.Flags().StringVar(&addr, "address", "127.0.0.1:5000", "address to listen on")
	cmd.AddCommand(serve, newRegistryPrune(a))
	return cmd
}
