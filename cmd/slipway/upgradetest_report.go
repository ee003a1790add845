package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/upgradetest/session"
)

// junitForm is the output format of JUnit's XML.
const junitForm = "junit"

func junitOutput(of func() ([]byte, error)) map[string]func(io.Writer) error {
	return map[string]func(io.Writer) error{junitForm: func(w io.Writer) error {
		data, err := of()
		if err == nil {
			_, err = w.Write(data)
		}
		return err
	}}
}

func newUpgradeTestReport(a *app) *cobra.Command {
	out := output{more: []string{junitForm}}
	var artifacts string
	cmd := &cobra.Command{
		Use:     "report SAMPLES",
		Short:   "Evaluate a recording again, without a cluster",
		Example: "  slipway upgrade-test report upgrade-test/samples -o json\n  slipway upgrade-test report upgrade-test/samples -o junit >junit.xml\n  slipway upgrade-test report upgrade-test/samples --artifacts again",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			res, err := session.Evaluate(args[0])
			if err != nil {
				return usage(err)
			}
			if artifacts != "" {
				if err := session.Write(artifacts, args[0], res); err != nil {
					return err
				}
			}
			return out.print(a.Out, result{value: res, text: func(w io.Writer) { printUpgradeResult(w, res) }, forms: junitOutput(res.JUnit)})
		},
	}
	cmd.Flags().StringVar(&artifacts, "artifacts", "", "folder to write upgrade.json, JUnit and timeline.html into as well")
	out.addFlag(cmd)
	return cmd
}
