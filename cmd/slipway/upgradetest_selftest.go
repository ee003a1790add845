package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/internal/cluster"
	"github.com/slipway-release/slipway/internal/progress"
	"github.com/slipway-release/slipway/upgradetest"
	"github.com/slipway-release/slipway/upgradetest/selftest"
)

type selftestOptions struct {
	cluster, image string
	test           selftest.Options
	out            output
}

func newUpgradeTestSelftest(a *app) *cobra.Command {
	var o selftestOptions
	cmd := &cobra.Command{
		Use:   "selftest",
		Short: "Prove that the monitor finds outages, by making some",
		Long: `Make outages of known length and look whether the monitor finds each of them, with
bounds that contain the true length; and probe for a while without any.

Without --cluster nothing is needed: a proxy on this host refuses, freezes, resets and
drops connections to servers of its own. With --cluster, one of slipway's clusters is
upset as well: API servers are frozen, shut off and killed, etcd's leader is killed, a
pod is evicted. Use a cluster that nobody needs.

The exit code is 1 when an outage was missed or its bounds are wrong, 4 when the tester
was ill, so that nothing can be said.`,
		Example: "  slipway upgrade-test selftest\n  slipway upgrade-test selftest --short\n  slipway upgrade-test selftest --cluster dev -o json",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runSelftest(cmd.Context(), a, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.cluster, "cluster", "", "cluster to upset as well")
	f.BoolVar(&o.test.Short, "short", false, "without a cluster, only what a nightly does before it trusts the monitor: under ten seconds")
	f.StringVar(&o.image, "image", "", "image of agnhost, of which a pod is evicted (default: the one its nodes hold)")
	f.StringVar(&o.test.Dir, "artifacts", "", "folder for the recordings (default: they are not kept)")
	f.Float64Var(&o.test.Hertz, "hertz", upgradetest.DefaultHertz, "probes per second and backend")
	o.out.addFlag(cmd)
	return cmd
}

func runSelftest(ctx context.Context, a *app, o selftestOptions) error {
	if err := o.out.check(); err != nil {
		return err
	}
	display := a.newDisplay()
	item := display.Start("selftest")
	o.test.Progress = func(line string) { item.Update(line) }
	r, err := selftest.Loopback(ctx, o.test)
	if err == nil && o.cluster != "" {
		var more selftest.Report
		if more, err = selftestCluster(ctx, a, o); err == nil {
			r.Injections = append(r.Injections, more.Injections...)
		}
	}
	if err != nil {
		finish(item, err)
		return err
	}
	missed, doubtful := r.Missed()
	if len(missed) > 0 {
		item.Done(progress.Failed, fmt.Sprintf("%d of %d are wrong", len(missed), len(r.Injections)))
	} else {
		finish(item, nil)
	}
	a.close()
	if err := o.out.print(a.Out, result{value: r, names: names(missed), text: func(w io.Writer) { printSelftest(w, r) }}); err != nil {
		return err
	}
	switch {
	case len(missed) > 0:
		return rejected(fmt.Errorf("testing the monitor: %d of %d injections were missed or measured wrong: %v", len(missed), len(r.Injections), names(missed)))
	case len(doubtful) > 0:
		return inconclusive(fmt.Errorf("testing the monitor: the tester was ill during %v, so that nothing can be said", names(doubtful)))
	}
	return nil
}

func names(injections []selftest.Injection) []string {
	var out []string
	for _, i := range injections {
		out = append(out, i.Name)
	}
	return out
}

func selftestCluster(ctx context.Context, a *app, o selftestOptions) (selftest.Report, error) {
	m, err := a.openManager(ctx)
	if err != nil {
		return selftest.Report{}, err
	}
	c, err := m.Get(ctx, o.cluster)
	if errors.Is(err, cluster.ErrNotFound) {
		err = usage(err)
	}
	if err != nil {
		return selftest.Report{}, err
	}
	t := selftest.Target{Image: o.image, Leader: func(ctx context.Context) (string, error) {
		n, err := c.EtcdLeader(ctx)
		if err != nil {
			return "", err
		}
		return n.Name(), nil
	}}
	if t.Config, err = c.RestConfig(); err != nil {
		return selftest.Report{}, err
	}
	for _, n := range c.ControlPlanes() {
		t.Planes = append(t.Planes, n)
	}
	if t.Image == "" {
		if t.Image, err = upgradetest.FindImage(ctx, t.Config, "agnhost"); err != nil {
			return selftest.Report{}, usage(err)
		}
	}
	return selftest.Cluster(ctx, t, o.test)
}

// selftestSummary is a self-test in one line.
func selftestSummary(r selftest.Report) string {
	missed, doubtful := r.Missed()
	switch {
	case len(missed) > 0:
		return fmt.Sprintf("self-test of the monitor: %d of %d injections were missed or measured wrong: %v", len(missed), len(r.Injections), names(missed))
	case len(doubtful) > 0:
		return fmt.Sprintf("self-test of the monitor: the tester was ill during %v", names(doubtful))
	}
	return fmt.Sprintf("self-test of the monitor: %d injections, none missed", len(r.Injections))
}

func printSelftest(w io.Writer, r selftest.Report) {
	fmt.Fprintf(w, "%-22s %-7s %21s %21s %9s  %s\n", "INJECTION", "FOUND", "TRUE ms", "MEASURED ms", "LIMIT ms", "WHERE")
	for _, i := range r.Injections {
		found := "yes"
		switch {
		case i.Doubt != "":
			found = "doubt"
		case i.Problem != "":
			found = "NO"
		case !i.Found:
			found = "none"
		}
		fmt.Fprintf(w, "%-22s %-7s %9.1f to %8.1f %9.1f to %8.1f %9.1f  %s\n", i.Name, found, i.TrueMs.AtLeast, i.TrueMs.AtMost, i.MeasuredMs.AtLeast, i.MeasuredMs.AtMost, i.LimitMs, i.Backend)
		for _, why := range []string{i.Problem, i.Doubt} {
			if why != "" {
				fmt.Fprintf(w, "  %s\n", why)
			}
		}
	}
}
