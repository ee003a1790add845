package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/release/channels"
	"github.com/slipway-release/slipway/release/channels/graph"
	"github.com/slipway-release/slipway/release/channels/graph/path"
	updateserver "github.com/slipway-release/slipway/release/updates"
)

// graphFlags say which part of which graph is looked at.
type graphFlags struct {
	channels []string
	files    []string
	payloads payloadFlags
	arch     string
	// argument is what the files were given as; "" means --graph-file.
	argument string
}

func (f *graphFlags) add(a *app, cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.channels, "channel", nil, "channel to look at (default: all); may be given more than once")
	flags.StringArrayVar(&f.files, "graph-file", nil, "look at this graph in place of the registry's channels, [ARCH=]FILE (default ARCH: amd64); may be given more than once")
	f.payloads.add(cmd, "folder or image of graph-data with the channels of --releases")
	flags.StringVar(&f.arch, "arch", "", "architecture of the graph (default: the only one there is)")
	_ = cmd.MarkFlagFilename("graph-file", "json")
	_ = cmd.RegisterFlagCompletionFunc("channel", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return f.completeChannels(cmd.Context(), a), cobra.ShellCompDirectiveNoFileComp
	})
}

// offering is what clusters of one architecture are offered.
type offering struct {
	snapshot *graph.Snapshot
	arch     string
	// at is when it was offered.
	at time.Time
}

func (o offering) graph() *graph.Graph { return o.snapshot.Graphs[o.arch] }

// open reads the graph that the flags name, as it was at a time; zero means now.
func (f *graphFlags) open(ctx context.Context, a *app, at time.Time) (offering, error) {
	if err := f.payloads.check(f.files); err != nil {
		return offering{}, err
	}
	if f.payloads.repository == "" && f.payloads.data != "" {
		return offering{}, usage(errors.New("reading --graph-data: say with --releases which payloads are offered in its channels"))
	}
	if len(f.files) > 0 {
		if !at.IsZero() {
			return offering{}, usage(errors.New("reading a graph as it was: a file of --graph-file holds one time only; leave out the date, or the file"))
		}
		source, err := graphFiles(cmp.Or(f.argument, "--graph-file"), f.files)
		if err != nil {
			return offering{}, err
		}
		snapshot, err := source.Snapshot(ctx)
		return f.offer(snapshot, usage(err))
	}
	if f.payloads.repository != "" {
		if !at.IsZero() {
			return offering{}, usage(errors.New("reading a graph as it was: --graph-data holds what is offered now only; leave out the date, or --releases"))
		}
		log := slog.New(slog.NewTextHandler(a.Err, nil))
		if err := f.payloads.openData(ctx, a, log); err != nil {
			return offering{}, err
		}
		source, err := f.payloads.source(ctx, a, log)
		if err != nil {
			return offering{}, err
		}
		return f.offer(source.Snapshot(ctx))
	}
	w, err := a.open(ctx)
	if err != nil {
		return offering{}, err
	}
	if err := f.checkChannels(channelNames(w.distro), fmt.Sprintf("distribution %q", w.distro.Name)); err != nil {
		return offering{}, err
	}
	snapshot, err := w.offered(ctx, at)
	if err != nil {
		return offering{}, err
	}
	if at.IsZero() {
		at = time.Now()
	}
	if len(snapshot.Graphs) == 0 { // nothing was promoted yet
		snapshot.Graphs = map[string]*graph.Graph{w.arch(): {}}
	}
	return f.choose(offering{snapshot: snapshot, at: at})
}

// offer is the part that was asked for of a snapshot, as it is now.
func (f *graphFlags) offer(snapshot *graph.Snapshot, err error) (offering, error) {
	if err != nil {
		return offering{}, err
	}
	o, err := f.choose(offering{snapshot: snapshot, at: time.Now()})
	if err != nil {
		return offering{}, err
	}
	return o, f.checkChannels(o.graph().Channels(), "the graph")
}

// offered is what the channels in the registry offered at a time; zero means now.
func (w *world) offered(ctx context.Context, at time.Time) (*graph.Snapshot, error) {
	stored, err := w.channels().List(ctx)
	if err != nil {
		return nil, err
	}
	all := channels.States(stored)
	for i := range all {
		if !at.IsZero() {
			all[i] = all[i].At(at)
		}
	}
	return w.snapshot(all)
}

// choose takes the architecture that was asked for, or the only one.
func (f *graphFlags) choose(o offering) (offering, error) {
	have := o.snapshot.Architectures()
	switch {
	case f.arch == "" && len(have) == 1:
		o.arch = have[0]
	case f.arch == "":
		return o, usage(fmt.Errorf("choosing a graph: there are those of %s; say which with --arch", strings.Join(have, ", ")))
	case !slices.Contains(have, f.arch):
		return o, usage(fmt.Errorf("choosing a graph: there is none of architecture %q, but of %s", f.arch, strings.Join(have, ", ")))
	default:
		o.arch = f.arch
	}
	return o, nil
}

func (f *graphFlags) checkChannels(known []string, whose string) error {
	var problems []error
	for _, c := range f.channels {
		if slices.Contains(known, c) {
			continue
		}
		text := fmt.Sprintf("showing the graph of channel %q: %s has no such channel", c, whose)
		if near := path.Near(c, known); len(near) > 0 {
			text += "; did you mean " + strings.Join(near, " or ") + "?"
		}
		problems = append(problems, errors.New(text))
	}
	return usage(errors.Join(problems...))
}

// completeChannels are names of channels, where they are had without a registry.
func (f *graphFlags) completeChannels(ctx context.Context, a *app) []string {
	if len(f.files) > 0 {
		return f.completing(ctx, a).Channels()
	}
	d, err := a.distribution()
	if err != nil {
		return nil
	}
	return channelNames(d)
}

// completeVersions are the versions of a graph in a file; a registry is not asked, as it
// may be far away.
func (f *graphFlags) completeVersions(ctx context.Context, a *app) []string {
	if len(f.files) == 0 {
		return nil
	}
	var versions []string
	for _, n := range f.completing(ctx, a).Within(f.channels...).Nodes {
		versions = append(versions, n.Version)
	}
	return versions
}

// completing reads the graph in a file while its names are completed; one that cannot be
// read is empty. Flags have been read twice by then, so that lists have everything twice.
func (f *graphFlags) completing(ctx context.Context, a *app) *graph.Graph {
	once := graphFlags{files: f.files[:(len(f.files)+1)/2], arch: f.arch}
	if o, err := once.open(ctx, a, time.Time{}); err == nil {
		return o.graph()
	}
	return &graph.Graph{}
}

// graphFiles reads [ARCH=]FILE, one for each architecture, as a flag or argument has them.
func graphFiles(flag string, named []string) (updateserver.FileSource, error) {
	source := updateserver.FileSource{}
	for _, n := range named {
		arch, file, ok := strings.Cut(n, "=")
		if !ok {
			arch, file = "amd64", n
		}
		if source[arch] != "" {
			return nil, usage(fmt.Errorf("reading %s: architecture %q is given twice", flag, arch))
		}
		if _, err := os.Stat(file); err != nil {
			return nil, usage(fmt.Errorf("reading %s: %w", flag, err))
		}
		source[arch] = file
	}
	return source, nil
}

// parseDate reads a time, or a day, which means its end in UTC, or now when that is today.
func parseDate(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	began := at
	if err != nil {
		if began, err = time.Parse(time.DateOnly, text); err != nil {
			return time.Time{}, usage(fmt.Errorf("reading --%s: %q is no date such as 2026-11-20 or 2026-11-20T12:00:00Z", flag, text))
		}
		at = began.AddDate(0, 0, 1).Add(-time.Nanosecond)
	}
	if began.After(now) {
		return time.Time{}, usage(fmt.Errorf("reading --%s: %s is in the future, and nobody knows what will be offered then", flag, text))
	}
	if at.After(now) {
		at = now
	}
	return at, nil
}
