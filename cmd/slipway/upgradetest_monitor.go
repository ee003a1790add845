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
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/slipway-release/slipway/upgradetest"
	"github.com/slipway-release/slipway/upgradetest/session"
)

type monitorOptions struct {
	probedFlags
	artifacts string
	backends  []string
	duration  time.Duration
	probing   upgradetest.Options
	keep      bool
	out       output
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
	o.probedFlags.add(cmd)
	f.StringVar(&o.artifacts, "artifacts", "upgrade-test", "folder for samples and results")
	f.StringSliceVar(&o.backends, "backends", nil, "what to probe: "+strings.Join(upgradetest.AllBackends(), ", ")+" (default: all that the images allow)")
	f.DurationVar(&o.duration, "duration", 0, "how long to probe; 0 until it is interrupted")
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
	if err := errors.Join(o.out.check(), usage(upgradetest.Selection(o.backends).Check())); err != nil {
		return err
	}
	selected, err := o.selection(o.backends)
	if err != nil {
		return err
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

// kubeconfigOf finds how to reach a cluster, as kubectl does.
func kubeconfigOf(path, name string) clientcmd.ClientConfig {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = path
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: name})
}

func kubeconfig(path, name string) (*rest.Config, error) {
	config, err := kubeconfigOf(path, name).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	return config, nil
}

// writeKubeconfig writes what is known about one cluster into a file of its own, for a
// program that is told no context.
func writeKubeconfig(file, path, name string) error {
	raw, err := kubeconfigOf(path, name).RawConfig()
	if err == nil {
		if name != "" {
			raw.CurrentContext = name
		}
		err = errors.Join(clientcmdapi.MinifyConfig(&raw), clientcmdapi.FlattenConfig(&raw))
	}
	if err == nil {
		err = clientcmd.WriteToFile(raw, file) // for its owner alone
	}
	if err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	return nil
}
