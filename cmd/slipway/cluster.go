package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/internal/cluster"
	"github.com/slipway-release/slipway/internal/state"
	"github.com/slipway-release/slipway/release/rollout"
)

func newCluster(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cluster",
		Short: "Create clusters from payloads, upgrade and delete them",
	}
	cmd.AddCommand(newClusterCreate(a), newClusterDelete(a), newClusterList(a), newClusterKubeconfig(a),
		newClusterLogs(a), newClusterCompose(a), newClusterUpgrade(a))
	return cmd
}

// manager opens the engine and the clusters of the state directory. What the
// engine and kubeadm print goes to a log file there.
func (a *app) manager(ctx context.Context, st *state.Dir) (*cluster.Manager, error) {
	log, err := os.OpenFile(filepath.Join(st.Clusters(), "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the log of clusters: %w", err)
	}
	a.closers = append(a.closers, func() { log.Close() })
	e, err := a.openEngine(ctx, st, log)
	if err != nil {
		return nil, err
	}
	return cluster.NewManager(e, st, log), nil
}

// openManager opens the state directory and its clusters.
func (a *app) openManager(ctx context.Context) (*cluster.Manager, error) {
	st, err := a.state()
	if err != nil {
		return nil, err
	}
	return a.manager(ctx, st)
}

// bits reads a verified payload and the images that make a cluster of it.
func (a *app) bits(ctx context.Context, w *world, reference string) (cluster.Bits, error) {
	p, err := a.payload(ctx, w, reference)
	if err != nil {
		return cluster.Bits{}, err
	}
	return rollout.Bits(ctx, p, w.registry)
}

type clusterCreateOptions struct {
	payload, payloadFile, profile, run, logDir string
	rollout, replace                           bool
}

func newClusterCreate(a *app) *cobra.Command {
	var o clusterCreateOptions
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Create a cluster from a payload",
		Long: `Create a cluster whose nodes are composed from a payload and nothing else: root
file system, kubelet and container runtime from its machine-os, control plane by
digest from its references. The payload's signature is verified first.`,
		Example: "  slipway cluster create dev --payload 1.36.3-0.nightly-2026-11-20-101500 --rollout\n  slipway cluster create big --payload sha256:… --profile ha",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runClusterCreate(cmd.Context(), a, args[0], o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.payload, "payload", "", "payload to make it of: a version, a digest or a reference")
	f.StringVar(&o.profile, "profile", cluster.ProfileSingle, "single (one node) or ha (three control planes, two workers, load balancer)")
	f.BoolVar(&o.rollout, "rollout", false, "apply the payload's manifests as well and wait until all is ready")
	f.BoolVar(&o.replace, "replace", false, "delete a cluster of this name first")
	f.StringVar(&o.run, "run", "", "make it ephemeral: it belongs to this run and is removed with it")
	f.StringVar(&o.logDir, "log-dir", "", "where the nodes' logs go when creating fails")
	f.StringVar(&o.payloadFile, "payload-file", "", "file that holds the payload's reference, in place of --payload")
	cmd.MarkFlagsOneRequired("payload", "payload-file")
	cmd.MarkFlagsMutuallyExclusive("payload", "payload-file")
	_ = cmd.RegisterFlagCompletionFunc("profile", cobra.FixedCompletions([]string{cluster.ProfileSingle, cluster.ProfileHA}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func runClusterCreate(ctx context.Context, a *app, name string, o clusterCreateOptions) error {
	if o.profile != cluster.ProfileSingle && o.profile != cluster.ProfileHA {
		return usage(fmt.Errorf("creating cluster %q: profile %q is none of single, ha", name, o.profile))
	}
	if o.payloadFile != "" {
		data, err := os.ReadFile(o.payloadFile)
		if err != nil {
			return usage(fmt.Errorf("reading --payload-file: %w", err))
		}
		o.payload = strings.TrimSpace(string(data))
	}
	w, err := a.open(ctx)
	if err != nil {
		return err
	}
	p, err := a.payload(ctx, w, o.payload)
	if err != nil {
		return err
	}
	bits, err := rollout.Bits(ctx, p, w.registry)
	if err != nil {
		return err
	}
	m, err := a.manager(ctx, w.state)
	if err != nil {
		return err
	}
	if o.replace {
		if err := m.Delete(ctx, name); err != nil {
			return err
		}
	}
	display := a.newDisplay()
	item := display.Start("cluster " + name)
	c, err := m.Create(ctx, cluster.Options{
		Name: name, Profile: o.profile, Bits: bits, Ephemeral: o.run != "", Run: o.run, LogDir: o.logDir,
	}, func(step string) { item.Update(step) })
	finish(item, err)
	if err != nil {
		return err
	}
	if o.rollout {
		if err := a.rolloutOn(ctx, c, p, display.Start("rollout")); err != nil {
			return err
		}
	}
	a.close()
	fmt.Fprintf(a.Out, "%s\n", c.Kubeconfig)
	return nil
}

func newClusterDelete(a *app) *cobra.Command {
	var all bool
	var run string
	cmd := &cobra.Command{
		Use:     "delete [NAME ...]",
		Short:   "Delete clusters with everything that belongs to them",
		Example: "  slipway cluster delete dev\n  slipway cluster delete --all",
		RunE: func(cmd *cobra.Command, names []string) error {
			if len(names) == 0 && !all && run == "" {
				return usage(fmt.Errorf("deleting clusters: name some, or give --all"))
			}
			m, err := a.openManager(cmd.Context())
			if err != nil {
				return err
			}
			records, err := m.List(cmd.Context())
			if err != nil {
				return err
			}
			for _, r := range records {
				if all || (run != "" && r.Run == run) {
					names = append(names, r.Name)
				}
			}
			for _, n := range names {
				if err := m.Delete(cmd.Context(), n); err != nil {
					return err
				}
			}
			return nil
		},
		ValidArgsFunction: a.completeClusters,
	}
	cmd.Flags().BoolVar(&all, "all", false, "delete every cluster of the state directory")
	cmd.Flags().StringVar(&run, "run", "", "delete the clusters that belong to a run")
	return cmd
}

func (a *app) completeClusters(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	st, err := a.state()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	entries, err := os.ReadDir(st.Clusters())
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func newClusterList(a *app) *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the clusters of the state directory",
		Example: "  slipway cluster list -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			m, err := a.openManager(cmd.Context())
			if err != nil {
				return err
			}
			records, err := m.List(cmd.Context())
			if err != nil {
				return err
			}
			r := result{value: records, text: func(w io.Writer) {
				for _, c := range records {
					fmt.Fprintf(w, "%-32s %-7s ready=%-5t %s %s\n", c.Name, c.Profile, c.Ready, c.KubernetesVersion, c.Payload)
				}
			}}
			for _, c := range records {
				r.names = append(r.names, c.Name)
			}
			return out.print(a.Out, r)
		},
	}
	out.addFlag(cmd)
	return cmd
}

func newClusterKubeconfig(a *app) *cobra.Command {
	return &cobra.Command{
		Use:               "kubeconfig NAME",
		Short:             "Print the administrator's kubeconfig of a cluster",
		Example:           "  slipway cluster kubeconfig dev > kubeconfig",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeClusters,
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := a.openManager(cmd.Context())
			if err != nil {
				return err
			}
			data, err := m.Kubeconfig(args[0])
			if err != nil {
				return usage(err)
			}
			_, err = a.Out.Write(data)
			return err
		},
	}
}

func newClusterLogs(a *app) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:               "logs NAME",
		Short:             "Collect the logs of a cluster's nodes and pods",
		Example:           "  slipway cluster logs dev --dir logs",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeClusters,
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := a.openManager(cmd.Context())
			if err != nil {
				return err
			}
			if dir == "" {
				dir = args[0] + "-logs"
			}
			if err := m.Logs(cmd.Context(), args[0], dir); err != nil {
				return err
			}
			fmt.Fprintln(a.Out, dir)
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "folder to write into (default: NAME-logs)")
	return cmd
}

func newClusterCompose(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "compose PAYLOAD",
		Short:   "Compose the node image of a payload, so that clusters start from it at once",
		Example: "  slipway cluster compose 1.36.3-0.nightly-2026-11-20-101500",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			w, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			bits, err := a.bits(cmd.Context(), w, args[0])
			if err != nil {
				return err
			}
			m, err := a.manager(cmd.Context(), w.state)
			if err != nil {
				return err
			}
			item := a.newDisplay().Start("node image")
			tag, err := m.NodeImage(cmd.Context(), bits, func(step string) { item.Update(step) })
			if err == nil {
				err = m.PruneImages(cmd.Context())
			}
			finish(item, err)
			if err != nil {
				return err
			}
			a.close()
			fmt.Fprintln(a.Out, tag)
			return nil
		},
	}
}

func newClusterUpgrade(a *app) *cobra.Command {
	var route routeFlags
	var dryRun bool
	var out output
	cmd := &cobra.Command{
		Use:   "upgrade NAME",
		Short: "Upgrade a cluster in place to another payload, or bring it back",
		Long: `Upgrade a cluster in place: control planes one at a time, manifests by run level,
workers. An upgrade that was cut short is continued by the same command, or taken
back by --rollback.

` + reconfigurationHelp,
		Example: `  slipway cluster upgrade dev --to 1.36.3-0.nightly-2026-11-21-101500 --dry-run
  slipway cluster upgrade dev --to 1.36.3-0.nightly-2026-11-21-101500,1.36.3-0.nightly-2026-11-22-101500
  slipway cluster upgrade dev --to 1.36.3-0.nightly-2026-11-21-101500 --abort-at 50%
  slipway cluster upgrade dev --rollback
  slipway cluster upgrade dev --reconfigure kube-apiserver.v=3 --reconfigure etcd.log-level=debug
  slipway cluster upgrade dev --reconfigure kube-apiserver.v- --rotate-certificates`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeClusters,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			return runClusterUpgrade(cmd.Context(), a, args[0], route, dryRun, &out)
		},
	}
	route.add(cmd)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "print the plans as the cluster is now, and change nothing")
	out.addFlag(cmd)
	return cmd
}

func runClusterUpgrade(ctx context.Context, a *app, name string, route routeFlags, dryRun bool, out *output) error {
	w, err := a.open(ctx)
	if err != nil {
		return err
	}
	u, err := a.prepareUpgrade(ctx, w, name, route)
	if err != nil {
		return err
	}
	if dryRun {
		return out.print(a.Out, result{value: u.plans, text: func(w io.Writer) {
			for _, p := range u.plans {
				fmt.Fprint(w, p)
			}
		}})
	}
	item := a.newDisplay().Start("upgrade")
	results, err := u.run(ctx, showRollout(item))
	finish(item, err)
	a.close()
	if err != nil {
		return stallIsRejection(err)
	}
	r := result{value: results, text: func(w io.Writer) {
		for _, res := range results {
			took := res.Finished.Sub(res.Started).Round(1e8)
			if res.Reconfiguration != nil {
				fmt.Fprintf(w, "reconfigured %d control planes at %s in %s\n%s", res.Nodes, res.To.Version, took, res.Reconfiguration)
				continue
			}
			verb := "upgraded"
			if res.Aborted {
				verb = "aborted the upgrade of"
			}
			fmt.Fprintf(w, "%s %d nodes from %s to %s in %s\n", verb, res.Nodes, res.From.Version, res.To.Version, took)
		}
	}}
	for _, res := range results {
		r.names = append(r.names, res.To.Version)
	}
	return out.print(a.Out, r)
}

// kubeconfigPath is that of a cluster by name, or the one given.
func (a *app) kubeconfigPath(w *world, kubeconfig, clusterName string) (string, error) {
	switch {
	case kubeconfig != "" && clusterName != "":
		return "", usage(fmt.Errorf("choosing a cluster: give --kubeconfig or --cluster, not both"))
	case clusterName != "":
		path := cluster.NewManager(nil, w.state, nil).KubeconfigPath(clusterName)
		if _, err := os.Stat(path); err != nil {
			return "", usage(fmt.Errorf("choosing cluster %q: slipway created none of this name: %w", clusterName, err))
		}
		return path, nil
	}
	if path := a.flagOrEnv(kubeconfig, "KUBECONFIG"); path != "" {
		return path, nil
	}
	return "", usage(fmt.Errorf("choosing a cluster: give --kubeconfig or --cluster"))
}
