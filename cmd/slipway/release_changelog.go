package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/internal/git"
	"github.com/slipway-release/slipway/internal/progress"
	"github.com/slipway-release/slipway/release/inspect"
	"github.com/slipway-release/slipway/release/inspect/changelog"
	"github.com/slipway-release/slipway/release/inspect/features"
	"github.com/slipway-release/slipway/release/inspect/forge"
)

type releaseChangelogOptions struct {
	issues     []string
	forges     []string
	bots       []string
	limit      int
	strict     bool
	repository repositoryFlags
	out        output
}

// What stands in for flags about source repositories that are not given.
const (
	changelogLimit = 200
	repositoryJobs = 8
	fetchTimeout   = 15 * time.Minute
)

// repositoryFlags say how source repositories are reached.
type repositoryFlags struct {
	local   string
	offline bool
	files   bool
	jobs    int
	timeout time.Duration
}

func (f *repositoryFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.local, "repos", "", "folder of repositories that are there already, as HOST/PATH or by their last name; read before anything is fetched")
	flags.BoolVar(&f.offline, "offline", false, "fetch nothing")
	flags.BoolVar(&f.files, "allow-file-repositories", false, "believe a payload that names a repository on this host's disk")
	flags.IntVar(&f.jobs, "jobs", repositoryJobs, "repositories fetched side by side")
	flags.DurationVar(&f.timeout, "fetch-timeout", fetchTimeout, "time after which fetching one repository is given up")
	_ = cmd.MarkFlagDirname("repos")
}

// repositories opens the copies of source repositories in the state directory.
func (a *app) repositories(f repositoryFlags) (*git.Cache, error) {
	st, err := a.state()
	if err != nil {
		return nil, err
	}
	return git.NewCache(git.Options{Dir: st.Cache("repositories"), Local: f.local, Offline: f.offline, Files: f.files, Timeout: f.timeout}), nil
}

func newReleaseChangelog(a *app) *cobra.Command {
	o := releaseChangelogOptions{out: output{more: []string{"markdown", "html", "issues"}}}
	cmd := &cobra.Command{
		Use:   "changelog FROM TO",
		Short: "Tell what came into a payload since another, from the histories of its sources",
		Long: `Tell what came into a payload since an older one: versions of components, feature
gates, images that are new, gone, or rebuilt, and for all others the changes in the
history of the repository that they are built from. Repositories are fetched by git,
side by side and without file contents, when they lack a commit, and kept below
cache/repositories in the state directory. git is never asked for a password; only https and ssh are spoken.

Merges and squashed changes of GitHub, GitLab, Gitea and Bitbucket are known by their
messages. Issues are found by the words that close them (fixes #12) and by
--issue-pattern; -o issues lists them alone. A history that cannot be had is named with the reason, and the rest is
told; with --strict the exit code is 3 then.`,
		Example: `  slipway release changelog 1.36.3-0.nightly-2026-11-19-101500 1.36.3-0.nightly-2026-11-20-101500
  slipway release changelog FROM TO -o html > changes.html
  slipway release changelog FROM TO --issue-pattern 'OCPBUGS-\d+=https://issues.redhat.com/browse/{}' -o issues
  slipway release changelog FROM TO --repos ~/src --offline --forge git.example.org=gitea`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runReleaseChangelog(cmd.Context(), a, o, args[0], args[1])
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.issues, "issue-pattern", nil, "PATTERN=LINK of issues, {} in the link stands for the key; may be given several times")
	f.StringSliceVar(&o.bots, "bot", nil, "name, address or branch of a program whose changes are told in one line")
	f.IntVar(&o.limit, "limit", changelogLimit, "how many commits of one repository are told")
	f.BoolVar(&o.strict, "strict", false, "fail when a history cannot be had")
	addForgeFlag(cmd, &o.forges)
	o.repository.add(cmd)
	o.out.addFlag(cmd)
	return cmd
}

func runReleaseChangelog(ctx context.Context, a *app, o releaseChangelogOptions, from, to string) error {
	if err := o.out.check(); err != nil {
		return err
	}
	made, err := a.changelogOptions(o)
	if err != nil {
		return err
	}
	var infos [2]*inspect.Info
	var gates [2]*features.Gates
	for i, named := range []string{from, to} {
		s, err := a.openSubject(ctx, named)
		if err != nil {
			return err
		}
		if infos[i], err = inspect.Describe(s.Subject, made.Hosts); err != nil {
			return err
		}
		gates[i] = features.Read(s.Payload)
	}
	made.FeatureGates = features.Compare(gates[0], gates[1])
	steps := a.lateSteps()
	made.Watch = steps.start
	c, err := changelog.Make(ctx, infos[0], infos[1], made)
	steps.close()
	if err != nil {
		return fmt.Errorf("telling what changed from %s to %s: %w", from, to, err)
	}
	c.Warnings = slices.Concat(gates[0].Warnings, gates[1].Warnings, c.Warnings)
	for _, w := range c.Warnings {
		fmt.Fprintf(a.Err, "Warning: %s.\n", w)
	}
	if err := a.printChangelog(o, c); err != nil {
		return err
	}
	if o.strict && c.Incomplete() {
		return fmt.Errorf("telling what changed from %s to %s: the history of a component could not be had, as the warnings say", from, to)
	}
	return nil
}

func (a *app) changelogOptions(o releaseChangelogOptions) (changelog.Options, error) {
	hosts, err := forge.ParseHosts(o.forges)
	if err != nil {
		return changelog.Options{}, usage(fmt.Errorf("reading --forge: %w", err))
	}
	if o.limit < 1 || o.repository.jobs < 1 {
		return changelog.Options{}, usage(fmt.Errorf("reading --limit and --jobs: %d and %d must be at least 1", o.limit, o.repository.jobs))
	}
	made := changelog.Options{Hosts: hosts, Bots: o.bots, Limit: o.limit, Jobs: o.repository.jobs}
	for _, s := range o.issues {
		p, err := changelog.ParseIssuePattern(s)
		if err != nil {
			return changelog.Options{}, usage(err)
		}
		made.Issues = append(made.Issues, p)
	}
	made.Repositories, err = a.repositories(o.repository)
	return made, err
}

func (a *app) printChangelog(o releaseChangelogOptions, c *changelog.Changelog) error {
	var failed error
	var names []string
	for _, u := range c.UpdatedImages {
		names = append(names, u.Images...)
	}
	err := o.out.print(a.Out, result{
		value: c, names: names,
		text:  func(w io.Writer) { failed = c.WriteMarkdown(w) },
		forms: map[string]func(io.Writer) error{"markdown": c.WriteMarkdown, "html": c.WriteHTML, "issues": c.WriteIssues},
	})
	if err != nil {
		return err
	}
	return failed
}

// lateSteps shows pieces of work that go on side by side, once they take longer
// than anybody would wonder.
type lateSteps struct {
	app   *app
	ready chan struct{} // closed when it is time to show
	timer *time.Timer
	shown *progress.Display
}

func (a *app) lateSteps() *lateSteps {
	s := &lateSteps{app: a, ready: make(chan struct{})}
	s.timer = time.AfterFunc(showAfter, func() {
		s.shown = a.newDisplay()
		close(s.ready)
	})
	return s
}

// start begins a piece of work and returns how it is ended.
func (s *lateSteps) start(name string) func(error) {
	var item *progress.Item
	shown := make(chan struct{})
	over := make(chan struct{})
	go func() {
		defer close(shown)
		select {
		case <-s.ready:
			item = s.shown.Start(name)
		case <-over:
		}
	}()
	return func(err error) {
		close(over)
		<-shown
		if item != nil {
			finish(item, err)
		}
	}
}

func (s *lateSteps) close() {
	if !s.timer.Stop() {
		<-s.ready
		s.shown.Close()
	}
}
