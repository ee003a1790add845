package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/distros"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/lint"
)

type releaseLintOptions struct {
	profile    string
	kubernetes string
	from       []string
	bothWays   bool
	exceptions []string
	failOn     string
	explain    string
	listRules  bool
	out        output
}

// failLevels are the values of --fail-on.
var failLevels = []string{string(lint.Error), string(lint.Warning), string(lint.Note), "never"}

func newReleaseLint(a *app) *cobra.Command {
	o := releaseLintOptions{out: output{more: []string{"sarif"}}}
	cmd := &cobra.Command{
		Use:   "lint PAYLOAD|DIR",
		Short: "Judge the manifests of a payload or of sources",
		Long: `Judge the manifests of a payload, or those in a folder: of an extracted payload, of a
distribution's components, or of one component. The rules find what would stop an
update half-way, is silently never applied, or cannot survive the drain of a node;
docs/lint.md holds them all, and so does --list-rules.

With --from PAYLOAD the step from that payload to this one is judged as well, without a
cluster: versions that are too far apart, changes that the API server refuses, and
objects that are left behind. --both-ways judges the step back, too.

A finding that is meant is excepted, with a reason and a last day, by an annotation of
its object (lint.slipway.dev/<rule>: "reason; until=2027-01-31") or in a file given by
--exceptions. The exit code is 1 when a finding is left at the level of --fail-on.`,
		Example: `  slipway release lint 1.36.3-0.nightly-2026-11-20-101500
  slipway release lint distros/skiff/components --fail-on warning
  slipway release lint 1.36.3-0.nightly-2026-11-20-101500 --from 1.36.2-0.nightly-2026-11-19-101500 --both-ways
  slipway release lint quay.io/okd/scos-release:4.19.0-okd-scos.16 --profile self-managed-high-availability
  slipway release lint manifests -o sarif > lint.sarif
  slipway release lint --explain single-replica`,
		Args: func(cmd *cobra.Command, args []string) error {
			if o.explain != "" || o.listRules {
				return cobra.NoArgs(cmd, args)
			}
			return cobra.ExactArgs(1)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.out.check(); err != nil {
				return err
			}
			if o.explain != "" || o.listRules {
				return printRules(a, o.out, o.explain, lint.Rules(), lint.Find, func(r lint.Rule) ruleLine {
					return ruleLine{r.ID, r.Name, string(r.Level), r.Title}
				}, lint.Report{}.SARIF)
			}
			return a.lint(cmd.Context(), &o, args[0])
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.profile, "profile", "", "cluster profile that the release is for (default: any)")
	f.StringVar(&o.kubernetes, "kubernetes-version", "", "version of Kubernetes whose APIs must serve the objects (default: the payload's or the distribution's)")
	f.StringArrayVar(&o.from, "from", nil, "payload that clusters are upgraded from in one step; may be given several times")
	f.BoolVar(&o.bothWays, "both-ways", false, "judge the steps back to --from as well")
	f.StringArrayVar(&o.exceptions, "exceptions", nil, "file of exceptions; may be given several times")
	f.StringVar(&o.failOn, "fail-on", string(lint.Error), "level of findings from which on the exit code is 1: "+strings.Join(failLevels, ", "))
	f.StringVar(&o.explain, "explain", "", "say all that there is to say about this rule, and end")
	f.BoolVar(&o.listRules, "list-rules", false, "list all rules, and end")
	o.out.addFlag(cmd)
	_ = cmd.RegisterFlagCompletionFunc("fail-on", cobra.FixedCompletions(failLevels, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("explain", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		var names []string
		for _, r := range lint.Rules() {
			names = append(names, r.Name+"\t"+r.Title)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	})
	cmd.MarkFlagsMutuallyExclusive("explain", "list-rules")
	return cmd
}

func (a *app) lint(ctx context.Context, o *releaseLintOptions, named string) error {
	options, err := o.options()
	if err != nil {
		return err
	}
	files, refs, err := a.lintInput(ctx, named, &options)
	if err != nil {
		return err
	}
	for _, from := range o.from {
		payload, err := a.loadPayload(ctx, from)
		if err != nil {
			return err
		}
		options.From = append(options.From, payload)
	}
	report := lint.Run(files, refs, options)
	var names []string
	for _, f := range report.Findings {
		names = append(names, fmt.Sprintf("%s %s:%d", f.Rule, f.File, f.Line))
	}
	err = o.out.print(a.Out, result{value: report, names: names, text: report.Text, forms: map[string]func(io.Writer) error{
		"sarif": func(w io.Writer) error { return report.SARIF(w, programVersion()) },
	}})
	if err != nil {
		return err
	}
	if o.failOn != "never" && report.Failed(lint.Level(o.failOn)) {
		return rejected(fmt.Errorf("judging the manifests of %s: %s", named, report.Summary()))
	}
	return nil
}

// options reads all that the flags say, before anything is fetched.
func (o *releaseLintOptions) options() (lint.Options, error) {
	options := lint.Options{Profile: o.profile, Kubernetes: o.kubernetes, BothWays: o.bothWays}
	if o.bothWays && len(o.from) == 0 {
		return options, usage(errors.New("reading --both-ways: it goes with --from, which names the other end of the step"))
	}
	if !slices.Contains(failLevels, o.failOn) {
		return options, usage(fmt.Errorf("reading --fail-on: %q is none of %s", o.failOn, strings.Join(failLevels, ", ")))
	}
	if o.kubernetes != "" {
		if err := lint.CheckKubernetes(o.kubernetes); err != nil {
			return options, usage(fmt.Errorf("reading --kubernetes-version: %w", err))
		}
	}
	for _, file := range o.exceptions {
		data, err := os.ReadFile(file)
		if err != nil {
			return options, usage(fmt.Errorf("reading --exceptions: %w", err))
		}
		exceptions, err := lint.ParseExceptions(data, file)
		if err != nil {
			return options, usage(err)
		}
		options.Exceptions = append(options.Exceptions, exceptions...)
	}
	return options, nil
}

// lintInput reads what is to be judged: a folder of manifests, or else a payload.
func (a *app) lintInput(ctx context.Context, named string, options *lint.Options) ([]release.File, release.ImageReferences, error) {
	if info, err := os.Stat(named); err == nil && info.IsDir() && !isLayout(named) {
		return lintFolder(named, options)
	}
	payload, err := a.loadPayload(ctx, named)
	if err != nil {
		return nil, release.ImageReferences{}, err
	}
	return payload.Manifests, payload.References, nil
}

func (a *app) loadPayload(ctx context.Context, named string) (*release.Payload, error) {
	image, err := a.openPayload(ctx, named)
	if err != nil {
		return nil, err
	}
	return image.load(ctx)
}

func lintFolder(dir string, options *lint.Options) ([]release.File, release.ImageReferences, error) {
	source, err := lint.Load(dir)
	if err != nil {
		return nil, release.ImageReferences{}, usage(err)
	}
	d, err := distributionAround(dir)
	if err != nil {
		return nil, release.ImageReferences{}, err
	}
	if d != nil {
		for _, c := range d.Components {
			source.Replace(d.Repository + "/" + c.Metadata.Name)
		}
		if options.Kubernetes == "" {
			options.Kubernetes = d.Versions["kubernetes"]
		}
	}
	options.Origin, options.Replaced = source.Origin, source.Replaced
	if len(source.References.Tags) > 0 {
		options.Replaced = nil
	}
	return source.Files, source.References, nil
}

// distributionAround finds the distribution of which a folder, its components or
// one component are being judged; nil when there is none.
func distributionAround(dir string) (*distros.Distribution, error) {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	for range 4 { // distro.yaml, components, one component, its manifests
		if _, err := os.Stat(filepath.Join(absolute, "distro.yaml")); err == nil {
			d, err := distros.Load(absolute)
			return d, usage(err)
		} else if !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		absolute = filepath.Dir(absolute)
	}
	return nil, nil
}

func programVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return ""
}
