package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/slipway-release/slipway/internal/progress"
	"github.com/slipway-release/slipway/internal/state"
	"github.com/slipway-release/slipway/release/rollout"
)

type rolloutOptions struct {
	kubeconfig, cluster, logDir string
	dryRun                      bool
	out                         output
}

func newRollout(a *app) *cobra.Command {
	var o rolloutOptions
	cmd := &cobra.Command{
		Use:   "rollout PAYLOAD",
		Short: "Bring a cluster's objects to a payload's manifests, by run level",
		Long: `Apply the manifests of a payload to a cluster, run level by run level, and wait
until what they describe really runs. A rollout that was cut short is continued by
calling it again. The payload's signature is verified first.`,
		Example: "  slipway rollout 1.36.3-0.nightly-2026-11-20-101500 --cluster slipway-dev\n  slipway rollout sha256:… --kubeconfig ~/.kube/config --dry-run",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.out.check(); err != nil {
				return err
			}
			return runRollout(cmd.Context(), a, args[0], o)
		},
	}
	cmd.Flags().StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig of the cluster (default: $KUBECONFIG)")
	cmd.Flags().StringVar(&o.cluster, "cluster", "", "name of a cluster that slipway created, in place of --kubeconfig")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "show the order of the manifests and change nothing")
	cmd.Flags().StringVar(&o.logDir, "log-dir", "", "where the logs of a cluster that slipway created go when it fails")
	o.out.addFlag(cmd)
	return cmd
}

func runRollout(ctx context.Context, a *app, reference string, o rolloutOptions) error {
	w, err := a.open(ctx)
	if err != nil {
		return err
	}
	p, err := a.payload(ctx, w, reference)
	if err != nil {
		return err
	}
	plan, err := rollout.PlanOf(p)
	if err != nil {
		return rejected(err)
	}
	if o.dryRun {
		return o.out.print(a.Out, result{value: plan, text: func(w io.Writer) { printLevels(w, plan) }})
	}
	config, err := a.restConfig(w, o.kubeconfig, o.cluster)
	if err != nil {
		return err
	}
	display := a.newDisplay()
	item := display.Start("rollout")
	res, err := rollout.Apply(ctx, config, plan, rollout.Options{Progress: showRollout(item)})
	finish(item, err)
	display.Close()
	if err != nil {
		return errors.Join(stallIsRejection(err), a.collectLogs(ctx, w.state, o.cluster, o.logDir))
	}
	return o.out.print(a.Out, result{value: res, names: []string{res.Version}, text: func(w io.Writer) {
		fmt.Fprintf(w, "%s rolled out: %d objects ready\n", res.Version, res.Objects)
	}})
}

// collectLogs keeps what explains a failure of one of slipway's own clusters.
func (a *app) collectLogs(ctx context.Context, st *state.Dir, name, dir string) error {
	if name == "" || dir == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
	defer cancel()
	m, err := a.manager(ctx, st)
	if err != nil {
		return err
	}
	return m.Logs(ctx, name, dir)
}

// stallIsRejection tells a release that does not come up from a host that
// cannot say.
func stallIsRejection(err error) error {
	var stall *rollout.StallError
	if errors.As(err, &stall) {
		return rejected(err)
	}
	return err
}

func showRollout(item *progress.Item) func(rollout.Event) {
	return func(e rollout.Event) {
		if e.State != rollout.Applied {
			item.Update(e.String())
		}
	}
}

func finish(item *progress.Item, err error) {
	if err != nil {
		item.Done(progress.Failed, "")
		return
	}
	item.Done(progress.Succeeded, "")
}

func printLevels(w io.Writer, plan *rollout.Plan) {
	for _, level := range plan.Levels {
		fmt.Fprintf(w, "run level %02d\n", level.Number)
		for _, c := range level.Components {
			fmt.Fprintf(w, "  %-26s %d objects\n", c.Name, len(c.Objects))
		}
	}
}

// restConfig reaches a cluster by the name slipway gave it or by kubeconfig.
func (a *app) restConfig(w *world, kubeconfig, clusterName string) (*rest.Config, error) {
	path, err := a.kubeconfigPath(w, kubeconfig, clusterName)
	if err != nil {
		return nil, err
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return nil, usage(fmt.Errorf("reading kubeconfig %q: %w", path, err))
	}
	return rollout.Unthrottled(config), nil
}
