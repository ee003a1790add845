package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/upgradetest"
)

func newUpgradeTestAggregate(a *app) *cobra.Command {
	out := output{more: []string{junitForm}}
	var runs int
	cmd := &cobra.Command{
		Use:   "aggregate RESULT...",
		Short: "Say what several runs of an upgrade test prove together",
		Long: `Put several results together: upgrade.json of upgrade tests, or report.json of nightly
runs. For each backend it says in how many runs samples failed, and what share of failing
samples is ruled out with 95 % confidence (the exact bound of Clopper and Pearson; without
failures about three by the number of samples).

No failure is forgiven: one failed sample, or one finding of severity error, in one
conclusive run rejects. The exit code is 0 when none failed, 1 when one did, and 4 when
too few runs are conclusive.`,
		Example: "  slipway upgrade-test aggregate run-*/upgrade.json\n  slipway upgrade-test aggregate .slipway/runs/nightly-*/report.json --runs 5 -o json",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			var results []upgradetest.Result
			var problems []error
			for _, path := range args {
				r, err := readUpgradeResult(path)
				results, problems = append(results, r), append(problems, usage(err))
			}
			if err := errors.Join(problems...); err != nil {
				return err
			}
			sum := upgradetest.Aggregated(args, results, runs)
			if err := out.print(a.Out, result{value: sum, names: []string{sum.Verdict}, text: func(w io.Writer) { printAggregate(w, sum) }, forms: junitOutput(sum.JUnit)}); err != nil {
				return err
			}
			err := fmt.Errorf("putting %d runs together: %s", len(args), sum.Verdict)
			if len(sum.Reasons) > 0 {
				err = fmt.Errorf("%w: %s", err, sum.Reasons[0])
			}
			switch sum.Verdict {
			case upgradetest.Accepted:
				return nil
			case upgradetest.Rejected:
				return rejected(err)
			}
			return inconclusive(err)
		},
	}
	cmd.Flags().IntVar(&runs, "runs", 0, "how many conclusive runs are needed (default: all that are given must be)")
	out.addFlag(cmd)
	return cmd
}

// readUpgradeResult reads upgrade.json, or that part of a run's report.json.
func readUpgradeResult(path string) (upgradetest.Result, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return upgradetest.Result{}, fmt.Errorf("reading a result: %w", err)
	}
	var of struct {
		Upgrade *upgradetest.Result `json:"upgrade"`
	}
	var r upgradetest.Result
	if err := errors.Join(json.Unmarshal(data, &of), json.Unmarshal(data, &r)); err != nil {
		return r, fmt.Errorf("reading result %q: %w", path, err)
	}
	if of.Upgrade != nil {
		r = *of.Upgrade
	}
	if r.Started.IsZero() {
		return r, fmt.Errorf("reading result %q: it is no result of an upgrade test", path)
	}
	return r, nil
}

func printAggregate(w io.Writer, a upgradetest.Aggregate) {
	fmt.Fprintf(w, "%s: %d runs, %d conclusive\n\n", a.Verdict, len(a.Runs), a.Conclusive)
	fmt.Fprintf(w, "%-26s %9s %9s %7s %6s %14s %21s\n", "BACKEND", "RUNS BAD", "SENT", "FAILED", "SLOW", "FAILING AT MOST", "WORST ms")
	for _, b := range a.Backends {
		worst := ""
		if b.Worst.AtMost > 0 {
			worst = fmt.Sprintf("%.0f to %.0f", b.Worst.AtLeast, b.Worst.AtMost)
		}
		fmt.Fprintf(w, "%-26s %4d of %-2d %9d %7d %6d %13.4f %% %21s\n", b.Name+"/"+b.Connection, b.RunsFailed, b.Runs, b.Sent, b.Failed, b.Slow, 100*b.FailuresAtMost, worst)
	}
	if len(a.Reasons) > 0 {
		fmt.Fprintln(w)
	}
	for _, reason := range a.Reasons {
		fmt.Fprintln(w, reason)
	}
}
