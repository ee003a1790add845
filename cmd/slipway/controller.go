package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/slipway-release/slipway/pipelines/controller"
	"github.com/slipway-release/slipway/release/streams"
	"github.com/slipway-release/slipway/release/streams/lease"
)

type controllerOptions struct {
	streams                 []string
	once, dryRun, now, json bool
	period                  time.Duration
	cuts, jobs              int
	poll, lease             time.Duration
	leaseIn                 string
	promote                 bool
	out                     output
}

func newController(a *app) *cobra.Command {
	var o controllerOptions
	cmd := &cobra.Command{
		Use:   "controller",
		Short: "Run streams unattended: cut, check, decide, promote, retain",
		Long: `Run streams unattended, as their rules in distro.yaml say: cut a payload by running the
stream's pipeline, run its checks, decide, promote what is accepted, and delete what
need not be kept. What is accepted is published to the places that streams declare, beside
the rest: one that is down loses no verdict. Failures of the host are tried again; what is
superseded is cancelled.

All state is in the registry. A controller that was killed goes on where it stood, also
on another host; of several, one leads at a time.

A stream's pipeline is one of the built-in ones, or of the files in pipelines/ beside
distro.yaml. The controller ends when interrupted, after --cuts or --for, or with --once
when every stream has been looked at; what was begun is finished first, except when
interrupted. Then the exit code is that of the last payload.`,
		Example: "  slipway controller\n  slipway controller --stream nightly --now --cuts 2\n  slipway controller --promote\n  slipway controller --once --dry-run\n  slipway controller --lease-in kubernetes:slipway/controller",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runController(cmd.Context(), a, o) },
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.streams, "stream", nil, "streams to run (default: all)")
	f.BoolVar(&o.once, "once", false, "look once, finish what is begun, and end")
	f.BoolVar(&o.now, "now", false, "cut without waiting for inputs and schedule; once, or --cuts times")
	f.IntVar(&o.cuts, "cuts", 0, "end after so many cuts")
	f.DurationVar(&o.period, "for", 0, "cut for this long")
	f.IntVar(&o.jobs, "jobs", 1, "runs at a time")
	f.DurationVar(&o.poll, "poll", 30*time.Second, "how often to look for changes")
	f.DurationVar(&o.lease, "lease", time.Minute, "time after which others take over from a controller that is gone")
	f.StringVar(&o.leaseIn, "lease-in", "registry", "where the lease is: registry, or kubernetes:NAMESPACE/NAME of the cluster of KUBECONFIG")
	f.BoolVar(&o.promote, "promote", false, "also move releases on from channel to channel, as slipway channel promote --apply does")
	f.BoolVar(&o.json, "log-json", false, "log in JSON")
	f.BoolVar(&o.dryRun, "dry-run", false, "say what would be cut and deleted, and do nothing")
	o.out.addFlag(cmd)
	return cmd
}

func runController(ctx context.Context, a *app, o controllerOptions) error {
	if err := o.out.check(); err != nil {
		return err
	}
	defer a.close()
	if o.dryRun {
		return a.controllerPlan(ctx, o)
	}
	st, err := a.state()
	if err != nil {
		return err
	}
	unlock, err := st.Lock()
	if err != nil {
		return err
	}
	defer unlock()
	w, err := a.open(ctx)
	if err != nil {
		return err
	}
	a.registry = a.address // what is opened later is this one
	options, err := a.controllerOptions(ctx, w, o)
	if err != nil {
		return err
	}
	c, err := controller.New(options)
	if err != nil {
		return usage(err)
	}
	if usesClusters(options.Streams) {
		if err := a.prepareHost(ctx, false); err != nil {
			return err
		}
	}
	err = c.Run(ctx)
	snapshot := c.Metrics.Snapshot()
	if printed := o.out.print(a.Out, controllerResult(snapshot)); err == nil {
		err = printed
	}
	if err != nil && ctx.Err() != nil && !errors.Is(err, lease.ErrLost) {
		return nil // interrupted, as controllers are ended
	}
	return errors.Join(err, controllerVerdict(snapshot))
}

// controllerVerdict is the worst of what this process's payloads came to.
func controllerVerdict(s controller.Snapshot) error {
	count := map[streams.Phase]int{}
	for _, m := range s.Streams {
		for phase, n := range m.Finished {
			count[phase] += n
		}
	}
	switch {
	case count[streams.PhaseFailed] > 0:
		return fmt.Errorf("%d payloads could not be made; see slipway stream show", count[streams.PhaseFailed])
	case count[streams.PhaseRejected] > 0:
		return rejected(fmt.Errorf("%d payloads were rejected; see slipway stream show", count[streams.PhaseRejected]))
	case count[streams.PhaseInconclusive] > 0:
		return inconclusive(fmt.Errorf("%d payloads are undecided; see slipway stream show", count[streams.PhaseInconclusive]))
	}
	return nil
}

func controllerResult(s controller.Snapshot) result {
	names := slices.Sorted(maps.Keys(s.Streams))
	return result{value: s, names: names, text: func(w io.Writer) {
		for _, name := range names {
			m := s.Streams[name]
			fmt.Fprintf(w, "%s: %d cut, %d accepted, %d rejected, %d undecided, %d failed\n", name, m.Cuts, m.Finished[streams.PhaseAccepted],
				m.Finished[streams.PhaseRejected], m.Finished[streams.PhaseInconclusive], m.Finished[streams.PhaseFailed])
		}
	}}
}

// chosen are the declarations of the streams to run.
func (w *world) chosen(names []string) ([]streams.Declaration, error) {
	if len(names) == 0 {
		for _, s := range w.distro.Streams {
			if !s.Stable {
				names = append(names, s.Name)
			}
		}
	}
	var all []streams.Declaration
	for _, name := range names {
		if err := w.mayCut(name); err != nil {
			return nil, err
		}
		d, err := w.declaration(name)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

func (a *app) controllerOptions(ctx context.Context, w *world, o controllerOptions) (controller.Options, error) {
	none := controller.Options{}
	declared, err := w.chosen(o.streams)
	if err != nil {
		return none, err
	}
	p, err := a.payloads(w)
	if err != nil {
		return none, err
	}
	host, err := os.Hostname()
	if err != nil {
		return none, err
	}
	holder := fmt.Sprintf("%s-%d-%d", host, os.Getpid(), time.Now().UnixMilli())
	held, err := a.controllerLease(w, o, holder)
	if err != nil {
		return none, err
	}
	var handler slog.Handler = slog.NewTextHandler(a.Err, nil)
	if o.json {
		handler = slog.NewJSONHandler(a.Err, nil)
	}
	log := slog.New(handler)
	r := &streamRuns{app: a, world: w, log: log}
	runs, err := r.runs(ctx)
	if err != nil {
		return none, err
	}
	offered, err := r.offered()
	if err != nil {
		return none, err
	}
	asker := ""
	if o.now {
		asker = "slipway controller --now"
	}
	var advance func(context.Context) error
	if o.promote {
		advance = func(ctx context.Context) error { return a.advance(ctx, w, log) }
	}
	var publish func(context.Context) error
	if len(w.publishing(o.streams)) > 0 {
		publish = func(ctx context.Context) error { return a.publishAll(ctx, w, o.streams, holder, log) }
	}
	return controller.Options{
		Advance: advance, Publish: publish,
		Streams: declared, Journal: w.journal(), Payloads: p, Runs: runs, Lease: held, Log: log, Holder: holder, Tool: toolVersion(),
		Offered: offered, Poll: o.poll, Jobs: o.jobs, Once: o.once, Cuts: o.cuts, For: o.period, Now: asker,
	}, nil
}

func (a *app) controllerLease(w *world, o controllerOptions, holder string) (lease.Lease, error) {
	if o.leaseIn == "registry" {
		return lease.Registry{Images: w.registry, Tag: w.distro.Repository + "/leases:controller", Holder: holder, Duration: o.lease}, nil
	}
	where, ok := strings.CutPrefix(o.leaseIn, "kubernetes:")
	namespace, name, both := strings.Cut(where, "/")
	if !ok || !both || namespace == "" || name == "" {
		return nil, usage(fmt.Errorf("reading --lease-in %q: it must be registry or kubernetes:NAMESPACE/NAME", o.leaseIn))
	}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(clientcmd.NewDefaultClientConfigLoadingRules(), nil).ClientConfig()
	if err != nil {
		return nil, usage(fmt.Errorf("reading KUBECONFIG for --lease-in: %w", err))
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("reaching the cluster of --lease-in: %w", err)
	}
	return lease.Kubernetes{Client: client.CoordinationV1(), Namespace: namespace, Name: name, Holder: holder, Duration: o.lease}, nil
}

// usesClusters says whether a stream runs the built-in pipeline, which needs a
// container engine.
func usesClusters(all []streams.Declaration) bool {
	return slices.ContainsFunc(all, func(d streams.Declaration) bool { return d.Run.Pipeline == "nightly" })
}

func toolVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "slipway"
	}
	return "slipway " + info.Main.Version
}
