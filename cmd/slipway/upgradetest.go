package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/internal/progress"
	"github.com/slipway-release/slipway/internal/state"
	"github.com/slipway-release/slipway/release/rollout"
	"github.com/slipway-release/slipway/release/sign"
	"github.com/slipway-release/slipway/upgradetest"
)

func newUpgradeTest(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "upgrade-test", Short: "Upgrade a cluster while it is probed, and report every gap"}
	cmd.AddCommand(newUpgradeTestRun(a), newUpgradeTestReport(a))
	return cmd
}

type upgradeTestOptions struct {
	cluster, artifacts, logDir string
	route                      routeFlags
	hertz                      float64
	baseline                   time.Duration
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
	f.Float64Var(&o.hertz, "hertz", upgradetest.DefaultHertz, "probes per second, backend and kind of connection")
	f.DurationVar(&o.baseline, "baseline", 10*time.Second, "how long to probe before the upgrade starts")
	f.StringVar(&o.logDir, "log-dir", "", "where the cluster's logs go when the upgrade fails")
	f.BoolVar(&o.findingsOK, "findings-ok", false, "exit 0 when the upgrade did not come to its end: the evidence tells, and a later stage decides")
	_ = cmd.MarkFlagRequired("cluster")
	o.out.addFlag(cmd)
	return cmd
}

func runUpgradeTest(ctx context.Context, a *app, o upgradeTestOptions) error {
	if err := o.out.check(); err != nil {
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
	data, err := marshalIndent(res)
	if err != nil {
		return err
	}
	if err := state.WriteFile(filepath.Join(o.artifacts, "upgrade.json"), data, 0o644); err != nil {
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
	say("starting the probed service")
	workload, err := upgradetest.Setup(ctx, u.config, upgradetest.WorkloadOptions{Image: image})
	if err != nil {
		return none, err
	}
	backends, err := upgradetest.Backends(u.config, workload)
	if err != nil {
		return none, err
	}
	say(fmt.Sprintf("probing for %s before the upgrade", o.baseline))
	monitor, err := upgradetest.Start(ctx, upgradetest.Options{
		Backends: backends, SamplesDir: filepath.Join(o.artifacts, "samples"), Hertz: o.hertz, Baseline: o.baseline,
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
	return res, upgradetest.Teardown(ctx, u.config)
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
	fmt.Fprintf(w, "from %s\n", r.From.Version)
	for _, v := range r.Via {
		fmt.Fprintf(w, "via  %s\n", v.Version)
	}
	to := r.To.Version
	switch {
	case r.Aborted:
		to += " (aborted, and rolled back)"
	case r.RolledBack:
		to += " (and rolled back)"
	}
	fmt.Fprintf(w, "to   %s\nin %.1f s, %d nodes, tester healthy: %t\n\n", to, r.Seconds, r.Nodes, r.TesterHealthy)
	if r.Failure != "" {
		fmt.Fprintf(w, "FAILED: the upgrade did not come to its end: %s\n\n", r.Failure)
	}
	for _, reason := range r.TesterReasons {
		fmt.Fprintf(w, "  tester: %s\n", reason)
	}
	fmt.Fprintf(w, "%-16s %-7s %7s %7s %7s %6s %9s %9s\n", "BACKEND", "CONN", "INTEND", "SENT", "FAILED", "SLOW", "P99 ms", "MAX ms")
	for _, b := range r.Backends {
		fmt.Fprintf(w, "%-16s %-7s %7d %7d %7d %6d %9.1f %9.1f\n", b.Name, b.Connection, b.Intended, b.Sent, b.Failed, b.Slow, b.P99Ms, b.MaxMs)
		for _, d := range b.Disruptions {
			fmt.Fprintf(w, "  %s  %.0f to %.0f ms  %s  %s\n", d.From.UTC().Format("15:04:05.000"), d.AtLeastMs, d.AtMostMs, d.Reason, d.During)
		}
	}
}

func newUpgradeTestReport(a *app) *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use:     "report SAMPLES",
		Short:   "Evaluate a recording again, without a cluster",
		Example: "  slipway upgrade-test report upgrade-test/samples -o json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			res, err := upgradetest.Evaluate(args[0])
			if err != nil {
				return usage(err)
			}
			return out.print(a.Out, result{value: res, text: func(w io.Writer) { printUpgradeResult(w, res) }})
		},
	}
	out.addFlag(cmd)
	return cmd
}
