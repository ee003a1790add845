package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/images"
	"github.com/slipway-release/slipway/internal/cluster"
	"github.com/slipway-release/slipway/internal/engine"
	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/pipelines/premerge"
	"github.com/slipway-release/slipway/pipelines/report"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/assemble/input"
	"github.com/slipway-release/slipway/release/streams"
	"github.com/slipway-release/slipway/upgradetest"
)

type upgradeCheckOptions struct {
	components                []string
	base, stream, profile     string
	staticOnly, measureAnyway bool
	dryRun                    bool
	backends                  []string
	probing                   upgradetest.Options
	out                       output
}

func newUpgradeCheck(a *app) *cobra.Command {
	o := upgradeCheckOptions{out: output{more: []string{"markdown"}}}
	cmd := &cobra.Command{
		Use:   "upgrade-check",
		Short: "Say before merging whether a change breaks availability during an upgrade",
		Long: `Say before merging whether a change breaks availability during an upgrade. The change
is laid over the stream's last accepted payload. What needs no cluster is judged in
seconds: what release lint finds that the base does not have. Then what changed is
built, and a cluster of the base is upgraded into the change and out of it again while
it is measured.

A change is any number of --component NAME=SOURCE, where SOURCE is
  a component's folder                      ./components/coredns
  a commit of this checkout                 git:REF
  a commit of any repository                https://example.com/repo.git#REF[:PATH]
  an image                                  quay.io/me/coredns:fix or oci:LAYOUT
Without any, it is all that differs between the checkout and the base.

report.html, timeline.html, JUnit files and summary.md, for the pull request, are in
the run's folder below the state directory. Exit code: 0 Accepted, 1 Rejected,
4 Inconclusive.`,
		Example: `  slipway upgrade-check
  slipway upgrade-check --component coredns=distros/skiff/components/coredns --static-only
  slipway upgrade-check --component etcd=git:bump-etcd --component kube-proxy=quay.io/me/kube-proxy:fix
  slipway upgrade-check --component flannel=https://github.com/me/skiff.git#pull/12/head -o markdown`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runUpgradeCheck(cmd.Context(), a, o) },
	}
	a.addRegistryFlags(cmd)
	f := cmd.Flags()
	f.StringArrayVar(&o.components, "component", nil, "component that changes, NAME=SOURCE; may be given several times")
	f.StringVar(&o.base, "base", "", "payload that the change is laid over (default: the stream's last accepted one)")
	f.StringVar(&o.stream, "stream", "nightly", "stream whose last accepted payload and policy count")
	f.StringVar(&o.profile, "profile", cluster.ProfileHA, "cluster to measure on: single or ha")
	f.BoolVar(&o.staticOnly, "static-only", false, "end after what needs no cluster; nothing is built either")
	f.BoolVar(&o.measureAnyway, "measure-anyway", false, "build and measure also what is rejected already")
	f.BoolVar(&o.dryRun, "dry-run", false, "say what would be built and done, and do nothing")
	f.StringSliceVar(&o.backends, "backends", nil, "what to probe: "+strings.Join(upgradetest.AllBackends(), ", ")+" (default: all)")
	addProbingFlags(cmd, &o.probing)
	f.Lookup("baseline").DefValue = "10s"
	o.probing.Baseline = 10 * time.Second
	cmd.MarkFlagsMutuallyExclusive("static-only", "measure-anyway")
	_ = cmd.RegisterFlagCompletionFunc("component", a.completeComponents)
	_ = cmd.RegisterFlagCompletionFunc("profile", cobra.FixedCompletions([]string{cluster.ProfileSingle, cluster.ProfileHA}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("backends", cobra.FixedCompletions(upgradetest.AllBackends(), cobra.ShellCompDirectiveNoFileComp))
	o.out.addFlag(cmd)
	return cmd
}

// completeComponents offers the components of the distribution; behind the = stands a
// folder, mostly.
func (a *app) completeComponents(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	if strings.Contains(typed, "=") {
		return nil, cobra.ShellCompDirectiveDefault
	}
	d, err := a.distribution()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, c := range d.Components {
		names = append(names, c.Metadata.Name+"=")
	}
	return names, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

func (o *upgradeCheckOptions) check() ([]premerge.Source, error) {
	var profile error
	if o.profile != cluster.ProfileSingle && o.profile != cluster.ProfileHA {
		profile = fmt.Errorf("choosing profile %q: known are single and ha", o.profile)
	}
	sources, err := premerge.ParseSources(o.components)
	return sources, errors.Join(o.out.check(), usage(errors.Join(profile, err, upgradetest.Selection(o.backends).Check())))
}

func runUpgradeCheck(ctx context.Context, a *app, o upgradeCheckOptions) error {
	changed, err := o.check()
	if err != nil {
		return err
	}
	w, err := a.open(ctx)
	if err != nil {
		return err
	}
	opts, err := a.checkOptions(ctx, w, o, changed)
	if err != nil {
		return err
	}
	if o.dryRun {
		plan, err := premerge.DryRun(ctx, opts)
		if err != nil {
			return classifyCheck(err)
		}
		return o.out.print(a.Out, result{value: plan, names: plan.Build, text: plan.Text, forms: map[string]func(io.Writer) error{
			"markdown": func(w io.Writer) error { plan.Text(w); return nil },
		}})
	}
	unlock, err := w.state.Lock()
	if err != nil {
		return err
	}
	defer unlock()
	if !o.staticOnly {
		if err := a.prepareHost(ctx, false); err != nil {
			return err
		}
		if err := a.removeStale(ctx, w.state); err != nil {
			return err
		}
	}
	opts.Display = a.newDisplay()
	r, err := premerge.Run(ctx, opts)
	opts.Display.Close()
	if err != nil {
		return classifyCheck(err)
	}
	return o.conclude(a, r, w.state.Run(r.Run.ID))
}

// conclude prints what was found out; the error carries the exit code.
func (o *upgradeCheckOptions) conclude(a *app, r *report.Report, folder string) error {
	page := filepath.Join(folder, "report.html")
	err := o.out.print(a.Out, result{value: r, names: []string{r.Run.Verdict},
		text: func(w io.Writer) { premerge.Text(w, r, page) },
		forms: map[string]func(io.Writer) error{"markdown": func(w io.Writer) error {
			premerge.Markdown(w, r)
			return nil
		}},
	})
	if err != nil {
		return err
	}
	verdict := fmt.Errorf("the change is %s: %s", strings.ToLower(r.Run.Verdict), strings.Join(r.Reasons, "; "))
	switch streams.Outcome(r.Run.Verdict) {
	case streams.Accepted:
		return nil
	case streams.Rejected:
		return rejected(verdict)
	}
	return inconclusive(verdict)
}

// classifyCheck tells what the contributor must mend from what the host did.
func classifyCheck(err error) error {
	var wrong *premerge.InputError
	if errors.As(err, &wrong) {
		return usage(err)
	}
	return err
}

// checkOptions opens all that a check works with.
func (a *app) checkOptions(ctx context.Context, w *world, o upgradeCheckOptions, changed []premerge.Source) (premerge.Options, error) {
	opts := premerge.Options{
		State: w.state, Distribution: w.distro, Registry: w.registry, Sources: changed,
		StaticOnly: o.staticOnly, MeasureAnyway: o.measureAnyway, Profile: o.profile,
		Sign: func(ctx context.Context, reference string, v release.Version) error {
			signer, err := a.keys(w.state)
			if err != nil {
				return err
			}
			return signer.Sign(ctx, w.registry, reference, claimOf(v, w.distro.Platform))
		},
	}
	everywhere := &sources{app: a, own: w}
	opts.Images = everywhere
	opts.Place = func(ctx context.Context, run string) (premerge.Place, error) {
		m, err := a.manager(ctx, w.state)
		return &premerge.OnThisHost{
			Clusters: m, Name: "check-" + engine.StateID(w.state.Root())[:6], Run: run, Profile: o.profile,
			Images: everywhere, Backends: o.backends, Probing: o.probing,
		}, err
	}
	opts.Open = func(ctx context.Context, named string) (v1.Image, string, error) {
		return a.openComponent(ctx, everywhere, named)
	}
	policy, err := w.policy(o.stream)
	if err != nil {
		return opts, err
	}
	opts.Policy = policy.Upgrade[o.profile]
	if opts.Base, err = a.checkBase(ctx, w, o); err != nil {
		return opts, err
	}
	opts.Command = o.command(opts.Base.Payload)
	if opts.Cache, err = a.harvestCache(o.dryRun); err != nil {
		return opts, err
	}
	if opts.Self, err = os.Executable(); err != nil {
		return opts, fmt.Errorf("finding this program: %w", err)
	}
	path, err := a.defaultLockFile()
	if err != nil {
		return opts, err
	}
	if opts.Lock, err = readLock(path, false); err != nil {
		return opts, err
	}
	opts.Checkout, err = a.distroPath()
	if err == nil && opts.Checkout == "" {
		opts.Checkout, err = os.Getwd()
	}
	return opts, err
}

// checkBase finds the payload that a change is laid over.
func (a *app) checkBase(ctx context.Context, w *world, o upgradeCheckOptions) (premerge.Base, error) {
	var none premerge.Base
	named := o.base
	if named == "" {
		last, err := a.lastAccepted(ctx, w, o.stream)
		if err != nil {
			return none, err
		}
		named = last
	}
	p, err := a.payload(ctx, w, named)
	if err != nil {
		return none, err
	}
	base := premerge.Base{Payload: p}
	if base.Image, err = w.registry.Image(ctx, p.Reference); err != nil {
		return none, err
	}
	made, err := a.provenanceOf(ctx, &payloadImage{source: w.registry, reference: p.Reference})
	if err != nil || made == nil || len(made.Lock) == 0 {
		return base, err
	}
	if base.Lock, err = images.ParseLock(made.Lock); err != nil {
		return none, fmt.Errorf("reading the lock in the provenance of %q: %w", p.Version, err)
	}
	return base, nil
}

// lastAccepted is the reference of the newest accepted payload of a stream.
func (a *app) lastAccepted(ctx context.Context, w *world, stream string) (string, error) {
	none := usage(fmt.Errorf("choosing what the change is laid over: stream %q has no accepted payload in registry %s; run \"make nightly\" (slipway nightly) first, or name a payload with --base", stream, w.registry.Address()))
	verifier, err := a.verifierIfAny()
	if err != nil {
		return "", err
	}
	if verifier == nil {
		return "", none // nothing that nobody signed is accepted
	}
	h, err := a.judgedHistory(w)
	if err != nil {
		return "", err
	}
	last, ok, err := h.LastAccepted(ctx, stream, release.Version{})
	if err != nil {
		return "", err
	}
	if !ok {
		return "", none
	}
	return last.Reference, nil
}

// openComponent finds a component's image: one in files is returned itself, any other
// by its reference by digest.
func (a *app) openComponent(ctx context.Context, everywhere *sources, named string) (v1.Image, string, error) {
	file, inFiles, err := parseNamedFile(named)
	if err != nil {
		return nil, "", usage(err)
	}
	if inFiles {
		layout, reference, err := a.locateFile(file)
		if err != nil {
			return nil, "", err
		}
		img, err := layout.Image(ctx, reference)
		return img, "", err
	}
	reference, err := input.PinReference(ctx, everywhere, named)
	if errors.Is(err, oci.ErrNotFound) {
		return nil, "", usage(fmt.Errorf("%w; what is meant to be a folder must begin with ./ or exist", err))
	}
	return nil, reference, err
}

// command is what does the same again.
func (o *upgradeCheckOptions) command(base *release.Payload) string {
	words := []string{"slipway", "upgrade-check"}
	for _, c := range o.components {
		words = append(words, "--component", quoted(c))
	}
	words = append(words, "--base", base.Version.String())
	if o.profile != cluster.ProfileHA {
		words = append(words, "--profile", o.profile)
	}
	for flag, given := range map[string]bool{"--static-only": o.staticOnly, "--measure-anyway": o.measureAnyway} {
		if given {
			words = append(words, flag)
		}
	}
	return strings.Join(words, " ")
}

// quoted is a word for a shell.
func quoted(word string) string {
	if strings.ContainsFunc(word, func(r rune) bool { return strings.ContainsRune(" \t\n'\"\\$`&|;<>()*?#~", r) }) {
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return word
}
