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
	"github.com/slipway-release/slipway/release/rollout"
	"github.com/slipway-release/slipway/release/sign"
	"github.com/slipway-release/slipway/upgradetest"
	"github.com/slipway-release/slipway/upgradetest/session"
)

func newUpgradeTest(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "upgrade-test", Short: "Upgrade a cluster while it is probed, and report every gap"}
	cmd.AddCommand(newUpgradeTestRun(a), newUpgradeTestMonitor(a), newUpgradeTestSelftest(a), newUpgradeTestReport(a), newUpgradeTestServe(a), newUpgradeTestPoll(a))
	return cmd
}

type upgradeTestOptions struct {
	cluster, artifacts, logDir string
	route                      routeFlags
	backends                   []string
	probing                    upgradetest.Options
	findingsOK                 bool
	out                        output
}

func newUpgradeTestRun(a *app) *cobra.Command {
	var o upgradeTestOptions
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Upgrade a cluster while API, a service and DNS are probed",
		Long: `Upgrade one of slipway's clusters in place while the API (on new and on reused
connections), a service with two replicas and DNS are probed on a fixed grid. The
result, with the bounds of every disruption in milliseconds, is attached to the
new payload as signed evidence. What it means is for "slipway stream decide".`,
		Example: "  slipway upgrade-test run --cluster dev --to 1.36.3-0.nightly-2026-11-21-101500 --artifacts out",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runUpgradeTest(cmd.Context(), a, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.cluster, "cluster", "", "cluster to upgrade")
	o.route.add(cmd)
	f.StringVar(&o.artifacts, "artifacts", "upgrade-test", "folder for samples and results")
	f.StringSliceVar(&o.backends, "backends", nil, "what to probe: "+strings.Join(upgradetest.AllBackends(), ", ")+" (default: all)")
	addProbingFlags(cmd, &o.probing)
	f.Lookup("baseline").DefValue = "10s"
	o.probing.Baseline = 10 * time.Second
	_ = cmd.RegisterFlagCompletionFunc("backends", cobra.FixedCompletions(upgradetest.AllBackends(), cobra.ShellCompDirectiveNoFileComp))
	f.StringVar(&o.logDir, "log-dir", "", "where the cluster's logs go when the upgrade fails")
	f.BoolVar(&o.findingsOK, "findings-ok", false, "exit 0 when the upgrade did not come to its end: the evidence tells, and a later stage decides")
	_ = cmd.MarkFlagRequired("cluster")
	o.out.addFlag(cmd)
	return cmd
}

func runUpgradeTest(ctx context.Context, a *app, o upgradeTestOptions) error {
	if err := errors.Join(o.out.check(), usage(upgradetest.Selection(o.backends).Check())); err != nil {
		return err
	}
	w, err := a.open(ctx)
	if err != nil {
		return err
	}
	u, err := a.prepareUpgrade(ctx, w, o.cluster, o.route)
	if err != nil {
		return err
	}
	display := a.newDisplay()
	item := display.Start("upgrade-test")
	res, err := measuredUpgrade(ctx, u, o, func(line string) { item.Update(line) })
	switch {
	case err == nil && res.Failure != "":
		item.Done(progress.Failed, "the upgrade did not come to its end")
		err = a.collectLogs(ctx, w.state, o.cluster, o.logDir)
	default:
		finish(item, err)
		if err != nil {
			err = errors.Join(err, a.collectLogs(ctx, w.state, o.cluster, o.logDir))
		}
	}
	if err != nil {
		return err
	}
	if err := session.Write(o.artifacts, filepath.Join(o.artifacts, "samples"), res); err != nil {
		return err
	}
	signer, err := a.keys(w.state)
	if err != nil {
		return err
	}
	if _, err := signer.Attest(ctx, w.registry, u.payload.Reference, sign.PredicateUpgradeResult, measured{u.cluster.Profile, res}); err != nil {
		return err
	}
	a.close()
	if err := o.out.print(a.Out, result{value: res, names: []string{res.To.Version}, text: func(w io.Writer) { printUpgradeResult(w, res) }}); err != nil {
		return err
	}
	if res.Failure != "" && !o.findingsOK {
		return rejected(fmt.Errorf("upgrading to %q: %s", res.To.Version, res.Failure))
	}
	return nil
}

// measured is the predicate of an upgrade result.
type measured struct {
	Profile string `json:"profile"`
	upgradetest.Result
}

// measuredUpgrade probes from before the upgrade begins until after it ended.
// Gaps, and that the new release does not come up, are part of the result; an
// error says that the upgrade could not be tried.
func measuredUpgrade(ctx context.Context, u *preparedUpgrade, o upgradeTestOptions, say func(string)) (upgradetest.Result, error) {
	var none upgradetest.Result
	image, ok := u.payload.Image("agnhost")
	if !ok {
		return none, usage(errors.New("preparing the upgrade test: the payload has no component \"agnhost\" to run the probed service with"))
	}
	server, _ := u.payload.Image("slipway")
	server, err := upgradetest.ImageOnNodes(ctx, u.config, server)
	if err != nil {
		return none, err
	}
	o.probing.SamplesDir = filepath.Join(o.artifacts, "samples")
	monitor, err := session.Start(ctx, u.config, session.Options{
		Image: image, Server: server, Selected: o.backends, Monitor: o.probing, Progress: say,
	})
	if err != nil {
		return none, err
	}
	upgraded, upgradeErr := u.run(ctx, func(e rollout.Event) {
		if e.Step != "" && e.State == rollout.Started {
			monitor.Mark(e.Step)
		}
		if e.State != rollout.Applied {
			say(e.String())
		}
	})
	res, err := monitor.Stop(context.WithoutCancel(ctx))
	var stall *rollout.StallError
	if upgradeErr != nil && !errors.As(upgradeErr, &stall) {
		return none, upgradeErr
	}
	if err != nil {
		return none, err
	}
	u.describe(&res, upgraded)
	if stall != nil {
		res.Failure = upgradeErr.Error()
		return res, nil
	}
	return res, monitor.Remove(ctx)
}

// describe says in the result between which payloads was measured. A route that
// leads back is still about the payload that it led to.
func (u *preparedUpgrade) describe(res *upgradetest.Result, hops []*rollout.UpgradeResult) {
	for i, hop := range hops {
		switch {
		case i == 0:
			res.From, res.Nodes = upgradetest.Release(hop.From), hop.Nodes
		case hop.From.Version != "" && i < len(u.route.Hops):
			res.Via = append(res.Via, upgradetest.Release(hop.From))
		}
		res.Aborted = res.Aborted || hop.Aborted
	}
	res.To = upgradetest.Release{Version: u.payload.Version.String(), Digest: u.payload.Digest.String()}
	res.RolledBack = u.route.Back != nil
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

func newUpgradeTestReport(a *app) *cobra.Command {
	var out output
	var artifacts string
	cmd := &cobra.Command{
		Use:     "report SAMPLES",
		Short:   "Evaluate a recording again, without a cluster",
		Example: "  slipway upgrade-test report upgrade-test/samples -o json\n  slipway upgrade-test report upgrade-test/samples --artifacts again",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			res, err := upgradetest.Evaluate(args[0])
			if err != nil {
				return usage(err)
			}
			if artifacts != "" {
				if err := session.Write(artifacts, args[0], res); err != nil {
					return err
				}
			}
			return out.print(a.Out, result{value: res, text: func(w io.Writer) { printUpgradeResult(w, res) }})
		},
	}
	cmd.Flags().StringVar(&artifacts, "artifacts", "", "folder to write upgrade.json, JUnit and timeline.html into as well")
	out.addFlag(cmd)
	return cmd
}
