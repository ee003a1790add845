package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/internal/progress"
	"github.com/slipway-release/slipway/upgradetest"
	"github.com/slipway-release/slipway/upgradetest/session"
	"github.com/slipway-release/slipway/upgradetest/trial"
)

func newUpgradeTest(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "upgrade-test", Short: "Upgrade a cluster while it is probed, and report every gap"}
	cmd.AddCommand(newUpgradeTestRun(a), newUpgradeTestMonitor(a), newUpgradeTestSelftest(a), newUpgradeTestReport(a), newUpgradeTestAggregate(a), newUpgradeTestServe(a), newUpgradeTestPoll(a))
	return cmd
}

type upgradeTestOptions struct {
	driver, artifacts string
	route             routeFlags
	foreign           foreignFlags
	cluster, logDir   string
	backends          []string
	probing           upgradetest.Options
	selftest          bool
	findingsOK        bool
	out               output
	program           []string
}

func newUpgradeTestRun(a *app) *cobra.Command {
	var o upgradeTestOptions
	cmd := &cobra.Command{
		Use:   "run [-- PROGRAM [ARGS]]",
		Short: "Upgrade a cluster while everything in it is probed",
		Long: `Upgrade a cluster while its API, its DNS and the workloads and streams put into it are
probed on a fixed grid, on new and on reused connections, from this host and from its
nodes. Before, the monitor has to find outages that are made on this host, and probes
the idle cluster for --baseline. The result has the bounds of every disruption in
milliseconds, and what was being done at that time.

The driver says what upgrades the cluster:

  kind            one of slipway's own, in place, to payloads of the registry. The result
                  is attached to the payload as signed evidence; what it means is for
                  "slipway stream decide".
  clusterversion  one of OpenShift or OKD, by setting desiredUpdate of its ClusterVersion to
                  the versions or pull specs of --to.
  exec            any, by a program. It finds the kubeconfig in KUBECONFIG, and --to in
                  SLIPWAY_UPGRADE_TO or, when it is a pull spec, SLIPWAY_UPGRADE_TO_IMAGE.
                  Each line that it prints begins a step. It exits with 0 when the cluster
                  has arrived and with 1 when the release did not come up.

Of the last two, the exit code is the judgement: 0 when nothing was disrupted, 1 when
something was, 4 when nothing can be said.

` + reconfigurationHelp + ` The result is
printed and written to --artifacts as well, but it is no evidence: it says nothing about
upgrades to the payload.`,
		Example: `  slipway upgrade-test run --cluster dev --to 1.36.3-0.nightly-2026-11-21-101500 --artifacts out
  slipway upgrade-test run --cluster dev --reconfigure kube-apiserver.v=3 --rollback
  slipway upgrade-test run --driver clusterversion --kubeconfig admin.conf --to 4.20.1,4.20.3 --image registry.example.com/agnhost:2.53
  slipway upgrade-test run --driver exec --kubeconfig admin.conf --to v1.37.0 -- ./upgrade.sh --fast`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.program = args
			return runUpgradeTest(cmd.Context(), a, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.driver, "driver", driverKind, "what upgrades the cluster: "+strings.Join(drivers, ", "))
	f.StringVar(&o.cluster, "cluster", "", "slipway's cluster to upgrade")
	o.route.add(cmd)
	o.foreign.add(cmd)
	f.StringVar(&o.artifacts, "artifacts", "upgrade-test", "folder for samples and results")
	f.StringSliceVar(&o.backends, "backends", nil, "what to probe: "+strings.Join(upgradetest.AllBackends(), ", ")+" (default: all that can be)")
	addProbingFlags(cmd, &o.probing)
	f.Lookup("baseline").DefValue = "10s"
	o.probing.Baseline = 10 * time.Second
	f.BoolVar(&o.selftest, "selftest", true, "let the monitor find outages made on this host first; no release is accepted on a result without")
	f.StringVar(&o.logDir, "log-dir", "", "where the logs of slipway's cluster go when the upgrade fails")
	f.BoolVar(&o.findingsOK, "findings-ok", false, "exit 0 whatever was found: the result tells, and a later stage decides")
	_ = cmd.RegisterFlagCompletionFunc("backends", cobra.FixedCompletions(upgradetest.AllBackends(), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("driver", cobra.FixedCompletions(drivers, cobra.ShellCompDirectiveNoFileComp))
	o.out.addFlag(cmd)
	return cmd
}

func runUpgradeTest(ctx context.Context, a *app, o upgradeTestOptions) error {
	if err := errors.Join(o.out.check(), usage(upgradetest.Selection(o.backends).Check()), o.checkDriver()); err != nil {
		return err
	}
	t, err := o.prepare(ctx, a)
	if err != nil {
		return err
	}
	defer t.close()
	display := a.newDisplay()
	item := display.Start("upgrade-test")
	o.probing.SamplesDir = filepath.Join(o.artifacts, "samples")
	res, err := trial.Run(ctx, t.config, t.driver, trial.Options{
		Options: session.Options{
			Image: t.image, Server: t.server, Selected: t.selected, Monitor: o.probing, Progress: func(line string) { item.Update(line) },
		},
		SelfTest: o.selftest,
	})
	if err == nil && res.Failure != "" {
		item.Done(progress.Failed, "the upgrade did not come to its end")
		err = t.collectLogs(ctx)
	} else if finish(item, err); err != nil {
		err = errors.Join(err, t.collectLogs(ctx))
	}
	if err != nil {
		return err
	}
	if err := session.Write(o.artifacts, o.probing.SamplesDir, res); err != nil {
		return err
	}
	if err := t.attach(ctx, res); err != nil {
		return err
	}
	a.close()
	if err := o.out.print(a.Out, result{value: res, names: []string{res.To.Version}, text: func(w io.Writer) { printUpgradeResult(w, res) }}); err != nil {
		return err
	}
	switch {
	case o.findingsOK:
		return nil
	case res.Failure != "":
		return rejected(errors.New(res.Failure))
	case o.driver == driverKind:
		return nil // decided from the evidence
	}
	return disruptionError(res)
}

func printUpgradeResult(w io.Writer, r upgradetest.Result) {
	if r.To.Version != "" {
		fmt.Fprintf(w, "from %s\nto   %s\n", r.From.Version, r.To.Version)
	}
	fmt.Fprintf(w, "in %.1f s, tester healthy: %t\n\n", r.Seconds, r.TesterHealthy)
	if r.Failure != "" {
		fmt.Fprintf(w, "FAILED: the upgrade did not come to its end: %s\n\n", r.Failure)
	}
	for _, reason := range r.TesterReasons {
		fmt.Fprintf(w, "  tester: %s\n", reason)
	}
	if r.SelfTest != nil {
		fmt.Fprintln(w, selftestSummary(*r.SelfTest))
	}
	if b := r.Baseline; b != nil {
		fmt.Fprintf(w, "idle for %.1f s before: %d of %d samples failed\n", b.Seconds, b.Failed(), b.Sent())
	}
	fmt.Fprintf(w, "%-34s %7s %7s %7s %6s %9s %9s\n", "BACKEND", "INTEND", "SENT", "FAILED", "SLOW", "P99 ms", "MAX ms")
	printBackends(w, r.Backends)
	if len(r.Informing) > 0 {
		fmt.Fprintln(w, "\nAway at times, as they must be:")
		printBackends(w, r.Informing)
	}
	fmt.Fprintln(w)
	for _, l := range r.Ledgers {
		fmt.Fprintln(w, l)
	}
	for _, f := range r.Findings {
		fmt.Fprintf(w, "%-7s %s  %s: %s: %s\n", f.Severity, f.At.UTC().Format("15:04:05.000"), f.Rule, f.Object, f.Message)
	}
	for _, s := range r.Skipped {
		fmt.Fprintf(w, "skipped %s\n", s)
	}
}

func printBackends(w io.Writer, backends []upgradetest.BackendResult) {
	for _, b := range backends {
		fmt.Fprintf(w, "%-34s %7d %7d %7d %6d %9.1f %9.1f\n", b.Label(), b.Intended, b.Sent, b.Failed, b.Slow, b.P99Ms, b.MaxMs)
		for _, d := range b.Disruptions {
			fmt.Fprintf(w, "  %s  %.0f to %.0f ms  %s  %s", d.From.UTC().Format("15:04:05.000"), d.AtLeastMs, d.AtMostMs, d.Reason, d.During)
			if d.Cause != "" && d.Cause != d.During {
				fmt.Fprintf(w, "  (%s)", d.Cause)
			}
			fmt.Fprintln(w)
		}
	}
}
