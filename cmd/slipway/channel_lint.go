package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/distros"
	"github.com/slipway-release/slipway/internal/config"
	"github.com/slipway-release/slipway/release/channels/graphdata"
)

type channelLintOptions struct {
	failOn    string
	explain   string
	listRules bool
	out       output
}

func newChannelLint(a *app) *cobra.Command {
	o := channelLintOptions{out: output{more: []string{"sarif"}}}
	cmd := &cobra.Command{
		Use:   "lint [DIR|IMAGE]...",
		Short: "Judge graph-data: channels, blocked edges and risks",
		Long: `Judge graph-data in folders or images, as Cincinnati's schema 1.x has them, before a server reads
them. The rules find files that cannot be understood, patterns that do not do what
they are meant for, PromQL that clusters cannot evaluate, blocks that repeat or
contradict each other, versions that are misspelt, unsorted or unknown, and channels
that do not fit each other; docs/graph-data.md holds them all, and so does --list-rules.

Without DIR the folder channels beside distro.yaml is judged. The exit code is 1 when
there is a finding at the level of --fail-on.`,
		Example: `  slipway channel lint cincinnati-graph-data
  slipway channel lint --fail-on warning
  slipway channel lint cincinnati-graph-data -o sarif > lint.sarif
  slipway channel lint registry.example.com/mirror/graph-data:latest
  slipway channel lint --explain dead-alternative`,
		Args: func(cmd *cobra.Command, args []string) error {
			if o.explain != "" || o.listRules {
				return cobra.NoArgs(cmd, args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.out.check(); err != nil {
				return err
			}
			if o.explain != "" || o.listRules {
				return printRules(a, o.out, o.explain, graphdata.Rules(), graphdata.Find, func(r graphdata.Rule) ruleLine {
					return ruleLine{r.ID, r.Name, string(r.Level), r.Title}
				}, graphdata.Report{}.SARIF)
			}
			return a.lintChannels(cmd.Context(), &o, args)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.failOn, "fail-on", string(graphdata.LevelError), "level of findings from which on the exit code is 1: "+strings.Join(failLevels, ", "))
	f.StringVar(&o.explain, "explain", "", "say all that there is to say about this rule, and end")
	f.BoolVar(&o.listRules, "list-rules", false, "list all rules, and end")
	o.out.addFlag(cmd)
	_ = cmd.RegisterFlagCompletionFunc("fail-on", cobra.FixedCompletions(failLevels, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("explain", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		var names []string
		for _, r := range graphdata.Rules() {
			names = append(names, r.Name+"\t"+r.Title)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	})
	cmd.MarkFlagsMutuallyExclusive("explain", "list-rules")
	return cmd
}

func (a *app) lintChannels(ctx context.Context, o *channelLintOptions, dirs []string) error {
	if !slices.Contains(failLevels, o.failOn) {
		return usage(fmt.Errorf("reading --fail-on: %q is none of %s", o.failOn, strings.Join(failLevels, ", ")))
	}
	dirs, err := a.openGraphData(ctx, dirs)
	if unreadable := (*config.Error)(nil); errors.As(err, &unreadable) {
		return rejected(err)
	}
	if err != nil {
		return err
	}
	var reports []graphdata.Report
	for _, dir := range dirs {
		report, err := graphdata.Lint(dir)
		if err != nil {
			return err
		}
		reports = append(reports, report)
	}
	report := graphdata.Join(reports...)
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
	if o.failOn != "never" && report.Failed(graphdata.Level(o.failOn)) {
		return rejected(fmt.Errorf("judging graph-data in %s: %s", strings.Join(dirs, ", "), report.Summary()))
	}
	return nil
}

// openGraphData is the folders with the graph-data that is named, for which images are
// unpacked, or else that of the distribution.
func (a *app) openGraphData(ctx context.Context, named []string) ([]string, error) {
	dirs := slices.Clone(named)
	for i, name := range named {
		if !graphDataInImage(name) {
			continue
		}
		puller, err := a.pullGraphData(ctx, name)
		if err != nil {
			return nil, err
		}
		if err := puller.Fetch(ctx); err != nil {
			return nil, err
		}
		dirs[i] = puller.Dir()
	}
	return a.graphDataFolders(dirs)
}

// graphDataFolders are those named, or else the one of the distribution.
func (a *app) graphDataFolders(named []string) ([]string, error) {
	if len(named) == 0 {
		distro, err := a.distroPath()
		if err != nil {
			return nil, err
		}
		dir := filepath.Join(distro, distros.GraphDataDir)
		if distro == "" || !graphdata.IsFolder(dir) {
			return nil, usage(errors.New("judging graph-data: there is no distro.yaml with a folder channels that holds graph-data, here or above; name a folder"))
		}
		return []string{dir}, nil
	}
	var problems []error
	for _, dir := range named {
		if !graphdata.IsFolder(dir) {
			problems = append(problems, fmt.Errorf("judging graph-data in %q: it is no folder that has channels, blocked-edges or another part of graph-data", dir))
		}
	}
	return named, usage(errors.Join(problems...))
}
