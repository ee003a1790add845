package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/channels"
)

// rolloutFlags are those of `slipway channel rollout`.
type rolloutFlags struct {
	channel      string
	over         time.Duration
	start        string
	halt, resume bool
	all          bool
	dryRun       bool
	out          output
}

func newChannelRollout(a *app) *cobra.Command {
	var f rolloutFlags
	cmd := &cobra.Command{
		Use:   "rollout VERSION",
		Short: "Open a version to a growing share of clusters, or halt that",
		Long: `Open the edges to a version of a channel to a growing share of clusters. Which
clusters come first is decided by a hash of version and cluster id, so that each
cluster keeps its place, and not the same ones go first each time.

--halt stops it where it is: clusters that the version is open to keep it, others wait.
--resume goes on from there, --all opens it to every cluster at once.`,
		Example: `  slipway channel rollout 1.36.4 --channel stable --over 48h
  slipway channel rollout 1.36.4 --channel stable --over 48h --start 2026-12-01T06:00:00Z
  slipway channel rollout 1.36.4 --channel stable --halt
  slipway channel rollout 1.36.4 --channel stable --resume`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.out.check(); err != nil {
				return err
			}
			edit, err := f.edit(args[0], time.Now())
			if err != nil {
				return usage(err)
			}
			w, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			return f.run(cmd, a, w, edit)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.channel, "channel", "", "channel that holds the version")
	flags.DurationVar(&f.over, "over", 0, "how long it takes until the version is open to all clusters")
	flags.StringVar(&f.start, "start", "", "when it begins, as in 2026-12-01T06:00:00Z (default: now)")
	flags.BoolVar(&f.halt, "halt", false, "open the version to no more clusters")
	flags.BoolVar(&f.resume, "resume", false, "go on after --halt")
	flags.BoolVar(&f.all, "all", false, "open the version to all clusters at once")
	flags.BoolVar(&f.dryRun, "dry-run", false, "show what would change and change nothing")
	f.out.addFlag(cmd)
	_ = cmd.MarkFlagRequired("channel")
	cmd.MarkFlagsOneRequired("over", "halt", "resume", "all")
	cmd.MarkFlagsMutuallyExclusive("over", "halt", "resume", "all")
	cmd.MarkFlagsMutuallyExclusive("start", "halt", "resume", "all")
	return cmd
}

// edit is the change that the flags ask for.
func (f *rolloutFlags) edit(version string, now time.Time) (func(*channels.State) ([]string, error), error) {
	v, err := release.Parse(version)
	if err != nil {
		return nil, err
	}
	start := now
	if f.start != "" {
		if start, err = time.Parse(time.RFC3339, f.start); err != nil {
			return nil, fmt.Errorf("reading --start: %w", err)
		}
	}
	switch {
	case f.halt:
		return func(s *channels.State) ([]string, error) { return s.Halt(v, now) }, nil
	case f.resume:
		return func(s *channels.State) ([]string, error) { return s.Resume(v, now) }, nil
	case f.all:
		return func(s *channels.State) ([]string, error) { return s.OpenOver(v, now, 0) }, nil
	case f.over <= 0:
		return nil, fmt.Errorf("reading --over: %s is no length of time; --all opens the version at once", f.over)
	}
	return func(s *channels.State) ([]string, error) { return s.OpenOver(v, start, f.over) }, nil
}

func (f *rolloutFlags) run(cmd *cobra.Command, a *app, w *world, edit func(*channels.State) ([]string, error)) error {
	if w.distro.Channel(f.channel) == nil {
		return usage(fmt.Errorf("changing channel %q: distribution %q has no such channel", f.channel, w.distro.Name))
	}
	store := w.channels()
	var changes []string
	if f.dryRun {
		stored, err := store.Read(cmd.Context(), f.channel)
		if err != nil {
			return err
		}
		if changes, err = edit(&stored.State); err != nil {
			return usage(fmt.Errorf("changing channel %q: %w", f.channel, err))
		}
	} else {
		var refused error
		plan, err := store.Change(cmd.Context(), f.channel, time.Now(), func(s *channels.State) (c []string, err error) {
			c, refused = edit(s)
			return c, refused
		})
		if refused != nil {
			return usage(err)
		}
		if err != nil {
			return err
		}
		changes = plan.Changes
	}
	p := promotion{Name: f.channel, Added: len(changes) > 0, Changes: changes}
	return f.out.print(a.Out, result{value: p, names: []string{p.Name}, text: func(out io.Writer) {
		fmt.Fprintf(out, "%s: %s\n", p.Name, strings.Join(orNothing(p.Changes), "; "))
	}})
}
