package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/e2e"
	"github.com/slipway-release/slipway/internal/cluster"
	"github.com/slipway-release/slipway/internal/progress"
	"github.com/slipway-release/slipway/internal/state"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/rollout"
	"github.com/slipway-release/slipway/release/sign"
)

func newTest(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "test", Short: "Test that a cluster does what its users count on"}
	cmd.AddCommand(newTestRun(a))
	return cmd
}

type testOptions struct {
	kubeconfig, cluster, payload, profile, suite, artifacts string
	flakeAttempts                                           int
	logDir                                                  string
	rollout, findingsOK                                     bool
	out                                                     output
}

func newTestRun(a *app) *cobra.Command {
	var o testOptions
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run a suite of specs against a cluster",
		Long: `Run a suite of specs against a cluster that a payload was rolled out to. The result
is attached to the payload as signed evidence. Exit code 1 when a spec failed or an
expected one did not run.`,
		Example: "  slipway test run --cluster dev --payload 1.36.3-0.nightly-2026-11-20-101500",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runTest(cmd.Context(), a, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig of the cluster (default: $KUBECONFIG)")
	f.StringVar(&o.cluster, "cluster", "", "name of a cluster that slipway created, in place of --kubeconfig")
	f.StringVar(&o.payload, "payload", "", "payload that the cluster runs")
	f.StringVar(&o.profile, "profile", cluster.ProfileSingle, "profile of the cluster: single or ha")
	f.StringVar(&o.suite, "suite", e2e.Smoke, "suite to run")
	f.StringVar(&o.artifacts, "artifacts", "test", "folder for results, JUnit and what explains failures")
	f.IntVar(&o.flakeAttempts, "flake-attempts", 1, "how often a failing spec is tried; one that passes later counts as flaked")
	f.BoolVar(&o.rollout, "rollout", false, "roll the payload out first; that it does not come up is a finding as well")
	f.StringVar(&o.logDir, "log-dir", "", "where the logs of a cluster that slipway created go when the rollout fails")
	f.BoolVar(&o.findingsOK, "findings-ok", false, "exit 0 when specs failed: the evidence tells, and a later stage decides")
	_ = cmd.MarkFlagRequired("payload")
	o.out.addFlag(cmd)
	return cmd
}

func runTest(ctx context.Context, a *app, o testOptions) error {
	if err := o.out.check(); err != nil {
		return err
	}
	w, err := a.open(ctx)
	if err != nil {
		return err
	}
	p, err := a.payload(ctx, w, o.payload)
	if err != nil {
		return err
	}
	kubeconfig, err := a.kubeconfigPath(w, o.kubeconfig, o.cluster)
	if err != nil {
		return err
	}
	display := a.newDisplay()
	defer display.Close()
	opts := e2e.Options{
		Kubeconfig: kubeconfig, Suite: o.suite, Profile: o.profile,
		Image:   func(component string) string { ref, _ := p.Image(component); return ref },
		Digests: digestsOf(p), KubernetesVersion: kubernetesVersion(p),
		JUnit: filepath.Join(o.artifacts, "junit_"+o.suite+".xml"), Artifacts: filepath.Join(o.artifacts, "failures"),
		FlakeAttempts: o.flakeAttempts,
	}
	res, err := a.rolloutAndTest(ctx, w, p, o, opts, display)
	display.Close()
	if err != nil {
		return err
	}
	if err := a.recordTest(ctx, w, p, o, res); err != nil {
		return err
	}
	r := result{value: res, names: []string{res.Suite}, text: func(w io.Writer) { printTest(w, res) }}
	if err := o.out.print(a.Out, r); err != nil {
		return err
	}
	if !res.OK() && !o.findingsOK {
		return rejected(fmt.Errorf("testing %q with suite %q: %s", p.Version, res.Suite, shortfall(res)))
	}
	return nil
}

// rolloutAndTest runs the suite, after the rollout if that was asked for. That the
// payload does not come up is a result like failed specs.
func (a *app) rolloutAndTest(ctx context.Context, w *world, p *release.Payload, o testOptions, opts e2e.Options, display *progress.Display) (e2e.Result, error) {
	if o.rollout {
		err := a.rolloutBefore(ctx, w, p, o, display)
		var stall *rollout.StallError
		if errors.As(err, &stall) {
			res, writeErr := e2e.NotRun(opts, "rollout", err.Error())
			return res, errors.Join(writeErr, a.collectLogs(ctx, w.state, o.cluster, o.logDir))
		}
		if err != nil {
			return e2e.Result{}, errors.Join(err, a.collectLogs(ctx, w.state, o.cluster, o.logDir))
		}
	}
	item := display.Start(o.suite)
	opts.Progress = updates{item}
	res, err := e2e.Run(ctx, opts)
	if err == nil && !res.OK() {
		item.Done(progress.Failed, fmt.Sprintf("%d failed", res.Failed))
	} else {
		finish(item, err)
	}
	return res, err
}

func (a *app) rolloutBefore(ctx context.Context, w *world, p *release.Payload, o testOptions, display *progress.Display) error {
	config, err := a.restConfig(w, o.kubeconfig, o.cluster)
	if err != nil {
		return err
	}
	plan, err := rollout.PlanOf(p)
	if err != nil {
		return rejected(err)
	}
	item := display.Start("rollout")
	_, err = rollout.Apply(ctx, config, plan, rollout.Options{Progress: showRollout(item)})
	finish(item, err)
	return err
}

// recordTest keeps the result on disk and attaches it to the payload.
func (a *app) recordTest(ctx context.Context, w *world, p *release.Payload, o testOptions, res e2e.Result) error {
	data, err := marshalIndent(res)
	if err != nil {
		return err
	}
	if err := state.WriteFile(filepath.Join(o.artifacts, "conformance.json"), data, 0o644); err != nil {
		return err
	}
	signer, err := a.keys(w.state)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(res)
	if err != nil {
		return err
	}
	t := sign.TestResult{
		Result: sign.TestFailed, Conformance: raw,
		Configuration: []sign.Material{{Name: "payload", URI: p.Reference, Digest: map[string]string{"sha256": p.Digest.Hex}}},
	}
	if res.OK() {
		t.Result = sign.TestPassed
	}
	for _, f := range res.Failures {
		t.FailedTests = append(t.FailedTests, f.Name)
	}
	_, err = signer.Attest(ctx, w.registry, p.Reference, sign.PredicateTestResult, t)
	return err
}

func printTest(w io.Writer, r e2e.Result) {
	fmt.Fprintf(w, "%s: %d expected, %d ran, %d passed, %d failed, %d flaked, %d skipped in %.1f s\n", r.Suite, r.Expected, r.Ran, r.Passed, r.Failed, r.Flaked, r.Skipped, r.Seconds)
	for _, f := range r.Failures {
		fmt.Fprintf(w, "  FAILED %s: %s\n", f.Name, f.Message)
	}
}

// shortfall says in what a result is not well.
func shortfall(r e2e.Result) string {
	s := fmt.Sprintf("%d of %d expected specs failed or did not run", r.Expected-r.Passed, r.Expected)
	if r.Ran == 0 && len(r.Failures) == 1 {
		s += fmt.Sprintf(": %s: %s", r.Failures[0].Name, r.Failures[0].Message)
	}
	return s
}

// digestsOf are the digests of all images of a payload.
func digestsOf(p *release.Payload) []string {
	var digests []string
	for _, name := range p.Components() {
		ref, _ := p.Image(name)
		if _, digest, ok := strings.Cut(ref, "@"); ok {
			digests = append(digests, digest)
		}
	}
	return digests
}

func kubernetesVersion(p *release.Payload) string {
	v, err := p.KubernetesVersion()
	if err != nil {
		return ""
	}
	return "v" + v
}

// updates shows written lines as what an item is doing.
type updates struct{ item *progress.Item }

// Write takes whole lines.
func (u updates) Write(line []byte) (int, error) {
	u.item.Update(string(line))
	return len(line), nil
}
