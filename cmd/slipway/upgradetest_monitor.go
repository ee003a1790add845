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
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/slipway-release/slipway/upgradetest"
	"github.com/slipway-release/slipway/upgradetest/session"
)

type monitorOptions struct {
	kubeconfig, kubeContext, artifacts string
	image, server                      string
	backends                           []string
	duration                           time.Duration
	probing                            upgradetest.Options
	keep                               bool
	out                                output
}

func newUpgradeTestMonitor(a *app) *cobra.Command {
	var o monitorOptions
	cmd := &cobra.Command{
		Use:   "monitor",
		Short: "Probe any cluster beside whatever is done to it",
		Long: `Probe a cluster on a fixed grid until --duration is over or it is interrupted, and
say for how long which part of it did not answer.

The API's own backends need nothing but a namespace of their own in the cluster. The
others run pods, from the images agnhost (--image) and slipway (--server-image).

The exit code is 0 when nothing was disrupted, 1 when something was, and 4 when the
tester was ill or sent under 99.9 % of its samples, so that nothing can be said.`,
		Example: "  slipway upgrade-test monitor --backends kube-api,kube-api-cache --duration 10m\n  slipway upgrade-test monitor --kubeconfig admin.conf --image registry.example.com/agnhost:2.53 -o json",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runMonitor(cmd.Context(), a, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig of the cluster (default: KUBECONFIG, then ~/.kube/config)")
	f.StringVar(&o.kubeContext, "context", "", "context of the kubeconfig")
	f.StringVar(&o.artifacts, "artifacts", "upgrade-test", "folder for samples and results")
	f.StringSliceVar(&o.backends, "backends", nil, "what to probe: "+strings.Join(upgradetest.AllBackends(), ", ")+" (default: all that the images allow)")
	f.DurationVar(&o.duration, "duration", 0, "how long to probe; 0 until it is interrupted")
	f.StringVar(&o.image, "image", "", "image of agnhost, for the service")
	f.StringVar(&o.server, "server-image", "", "image of slipway, for the TCP and stateful workloads and the pollers inside the cluster")
	f.BoolVar(&o.keep, "keep", false, "leave the probed workloads in the cluster")
	addProbingFlags(cmd, &o.probing)
	_ = cmd.RegisterFlagCompletionFunc("backends", cobra.FixedCompletions(upgradetest.AllBackends(), cobra.ShellCompDirectiveNoFileComp))
	o.out.addFlag(cmd)
	return cmd
}

func addProbingFlags(cmd *cobra.Command, o *upgradetest.Options) {
	f := cmd.Flags()
	f.Float64Var(&o.Hertz, "hertz", upgradetest.DefaultHertz, "probes per second, backend and kind of connection")
	f.DurationVar(&o.Timeout, "timeout", upgradetest.DefaultTimeout, "when a sample has failed")
	f.DurationVar(&o.Slow, "slow", upgradetest.DefaultSlow, "when an answered one was slow")
	f.DurationVar(&o.Baseline, "baseline", 0, "how long to probe first, reported apart")
}

func runMonitor(ctx context.Context, a *app, o monitorOptions) error {
	selected := upgradetest.Selection(o.backends)
	problems := errors.Join(o.out.check(), usage(selected.Check()))
	if problems == nil && len(selected) > 0 && selected.NeedsImages() && o.image == "" {
		problems = usage(errors.New("reading --backends: those that are no part of the API run pods; name the image of agnhost by --image"))
	}
	if problems != nil {
		return problems
	}
	if len(selected) == 0 && o.image == "" {
		selected = upgradetest.APIBackends()
	}
	config, err := kubeconfig(o.kubeconfig, o.kubeContext)
	if err != nil {
		return usage(err)
	}
	display := a.newDisplay()
	item := display.Start("monitor")
	o.probing.SamplesDir = filepath.Join(o.artifacts, "samples")
	s, err := session.Start(ctx, config, session.Options{
		Image: o.image, Server: o.server, Selected: selected, Monitor: o.probing, Progress: func(line string) { item.Update(line) },
	})
	if err != nil {
		finish(item, err)
		return err
	}
	item.Update("probing; interrupt to end")
	wait, cancel := ctx, context.CancelFunc(func() {})
	if o.duration > 0 {
		wait, cancel = context.WithTimeout(ctx, o.duration)
	}
	s.Wait(wait)
	cancel()
	// An interrupt is how it is meant to end, so the rest does not depend on ctx.
	ctx = context.WithoutCancel(ctx)
	res, err := s.Stop(ctx)
	if err == nil {
		err = session.Write(o.artifacts, o.probing.SamplesDir, res)
	}
	if !o.keep {
		err = errors.Join(err, s.Remove(ctx))
	}
	finish(item, err)
	if err != nil {
		return err
	}
	a.close()
	if err := o.out.print(a.Out, result{value: res, text: func(w io.Writer) { printUpgradeResult(w, res) }}); err != nil {
		return err
	}
	return disruptionError(res)
}

// disruptionError is the exit code of a measurement in which no gap is allowed.
func disruptionError(r upgradetest.Result) error {
	v := r.Judge()
	switch {
	case !v.Conclusive:
		return inconclusive(fmt.Errorf("probing the cluster: nothing can be said: %s", strings.Join(v.Doubts, "; ")))
	case len(v.Gaps) > 0:
		return rejected(fmt.Errorf("probing the cluster: %s", strings.Join(v.Gaps, "; ")))
	}
	return nil
}

// kubeconfig reads how to reach a cluster, as kubectl does.
func kubeconfig(path, name string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = path
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: name}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	return config, nil
}
