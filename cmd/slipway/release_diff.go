package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/slipway-release/slipway/release/inspect"
	"github.com/slipway-release/slipway/release/inspect/compare"
	"github.com/slipway-release/slipway/release/inspect/forge"
)

type releaseDiffOptions struct {
	full     bool
	commits  bool
	exitCode bool
	failOn   []string
	forges   []string
	out      output
}

// diffForms are the formats of a comparison besides those of every command.
var diffForms = []string{"markdown", "html"}

func newReleaseDiff(a *app) *cobra.Command {
	o := releaseDiffOptions{out: output{more: diffForms}}
	cmd := &cobra.Command{
		Use:   "diff FROM TO",
		Short: "Show what differs between two payloads: images, objects, permissions, packages",
		Long: `Show what differs between two payloads, the older one first: which images changed and
which were only rebuilt; which Kubernetes objects were added, removed or changed, field
by field; what their accounts, pods and webhooks may do that those of the older payload
may not; versions, metadata and feature gates; and packages, where both payloads have a
signed bill of materials (one whose signature cannot be checked is used too, and called
unverified).

The digest of a component's image and the payload's own version are written as
<image NAME> and <version>: a change of these alone is no change of an object.

The output of -o json has the keys of "oc adm release info FROM TO -o json" (from, to,
changedImages, changedManifests), and identical, upgradable, images, versions,
metadata, previous, next, manifests, permissions, featureGates, packages and warnings
besides. -o markdown is for a comment on a merge request, -o html a page of its own.

Exit code 0, whatever differs; with --exit-code 1 when something does, and with
--fail-on when one of these does: ` + strings.Join(compare.Conditions(), ", ") + ".",
		Example: `  slipway release diff 1.36.3-0.nightly-2026-11-19-101500 1.36.3-0.nightly-2026-11-20-101500
  slipway release diff quay.io/okd/scos-release:4.19.0-okd-scos.15 quay.io/okd/scos-release:4.19.0-okd-scos.16
  slipway release diff FROM TO -o markdown > comment.md
  slipway release diff FROM TO --fail-on permissions,removed-objects`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runReleaseDiff(cmd.Context(), a, o, args[0], args[1])
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.full, "full", false, "show every change of every object, and values in whole length")
	f.BoolVar(&o.commits, "commits", false, "show links to the commits between two images")
	f.BoolVar(&o.exitCode, "exit-code", false, "exit with 1 when the payloads differ")
	f.StringSliceVar(&o.failOn, "fail-on", nil, "exit with 1 when one of these differs: "+strings.Join(compare.Conditions(), ", "))
	addForgeFlag(cmd, &o.forges)
	_ = cmd.RegisterFlagCompletionFunc("fail-on", cobra.FixedCompletions(compare.Conditions(), cobra.ShellCompDirectiveNoFileComp))
	o.out.addFlag(cmd)
	return cmd
}

func runReleaseDiff(ctx context.Context, a *app, o releaseDiffOptions, from, to string) error {
	if err := o.out.check(); err != nil {
		return err
	}
	hosts, err := forge.ParseHosts(o.forges)
	if err != nil {
		return usage(fmt.Errorf("reading --forge: %w", err))
	}
	for _, c := range o.failOn {
		if !slices.Contains(compare.Conditions(), c) {
			return usage(fmt.Errorf("reading --fail-on: %q is none of %s", c, strings.Join(compare.Conditions(), ", ")))
		}
	}
	// Both payloads are held as objects; without the headroom that the collector
	// takes by default this stays below what a small host has to spare.
	debug.SetGCPercent(50)
	sides, err := a.openSides(ctx, hosts, from, to)
	if err != nil {
		return err
	}
	d := compare.Payloads(sides[0], sides[1], hosts)
	if err := a.printDiff(o, d); err != nil {
		return err
	}
	if met := d.Met(o.failOn); len(met) > 0 {
		return rejected(fmt.Errorf("comparing %s with %s: what --fail-on names differs: %s", from, to, strings.Join(met, ", ")))
	}
	if o.exitCode && !d.Identical {
		return rejected(fmt.Errorf("comparing %s with %s: the payloads differ", from, to))
	}
	return nil
}

// openSides reads both payloads side by side, with their bills of materials.
func (a *app) openSides(ctx context.Context, hosts forge.Hosts, named ...string) ([]compare.Side, error) {
	subjects := make([]subject, len(named))
	// One after the other: the own registry is opened by the first.
	for i, n := range named {
		var err error
		if subjects[i], err = a.openSubject(ctx, n); err != nil {
			return nil, err
		}
	}
	sides := make([]compare.Side, len(named))
	group, ctx := errgroup.WithContext(ctx)
	for i, s := range subjects {
		group.Go(func() error {
			info, err := inspect.Describe(s.Subject, hosts)
			if err != nil {
				return err
			}
			sides[i] = compare.Side{Info: info, Payload: s.Payload}
			sides[i].SBOM, err = a.billOfMaterials(ctx, s)
			if err != nil {
				sides[i].Warnings = append(sides[i].Warnings, err.Error())
			}
			return nil
		})
	}
	return sides, group.Wait()
}

func (a *app) printDiff(o releaseDiffOptions, d *compare.Diff) error {
	v := compare.View{Full: o.full, Commits: o.commits}
	var failed error
	err := o.out.print(a.Out, result{
		value: d, names: d.Names(),
		text: func(w io.Writer) { failed = d.WriteText(w, v) },
		forms: map[string]func(io.Writer) error{
			"markdown": func(w io.Writer) error { return d.WriteMarkdown(w, v) },
			"html":     func(w io.Writer) error { return d.WriteHTML(w, v) },
		},
	})
	return errors.Join(err, failed)
}
