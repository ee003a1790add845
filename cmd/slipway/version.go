package main

import (
	"fmt"
	"io"
	"runtime/debug"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func newVersion(a *app) *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Show the version of this program and of what it is built on",
		Example: "  slipway version -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			info, ok := debug.ReadBuildInfo()
			if !ok {
				return fmt.Errorf("reading the build information: this binary has none")
			}
			v := map[string]string{"slipway": info.Main.Version, "go": info.GoVersion}
			for _, dep := range info.Deps {
				switch dep.Path {
				case "github.com/tektoncd/pipeline", "github.com/sigstore/cosign/v2", "sigs.k8s.io/kind", "k8s.io/client-go":
					v[dep.Path] = dep.Version
				}
			}
			return out.print(a.Out, result{value: v, names: []string{v["slipway"]}, text: func(w io.Writer) {
				fmt.Fprintf(w, "slipway %s, %s\n", v["slipway"], v["go"])
			}})
		},
	}
	out.addFlag(cmd)
	return cmd
}

func newDocs(a *app) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:    "docs",
		Short:  "Write the reference of all commands as Markdown",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.Root().DisableAutoGenTag = true
			return doc.GenMarkdownTree(cmd.Root(), dir)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "docs/commands", "folder to write into")
	return cmd
}
