package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/distros"
	"github.com/slipway-release/slipway/release/channels"
	"github.com/slipway-release/slipway/release/channels/graph"
)

// channelView is a channel as `slipway channel show` tells of it.
type channelView struct {
	Name string `json:"name"`
	// Digest is that of the channel in the registry; empty while nothing was promoted.
	Digest   string             `json:"digest,omitempty"`
	Updated  *time.Time         `json:"updated,omitempty"`
	Feeder   *distros.Feeder    `json:"feeder,omitempty"`
	Versions []channelVersion   `json:"versions"`
	Edges    []channelEdge      `json:"edges"`
	Rollouts []channels.Rollout `json:"rollouts,omitempty"`
	Removed  []channels.Removed `json:"removed,omitempty"`
}

type channelVersion struct {
	channels.Version
	Tombstone bool `json:"tombstone,omitempty"`
	// Share is how much of all clusters the version is open to, from 0 to 1.
	Share float64 `json:"share"`
	// Quarantined says why the version is not offered.
	Quarantined string `json:"quarantined,omitempty"`
}

type channelEdge struct {
	graph.Edge
	// Status is offered, conditional or blocked.
	Status   string   `json:"status"`
	Risks    []string `json:"risks,omitempty"`
	Reason   string   `json:"reason,omitempty"`
	Evidence string   `json:"evidence,omitempty"`
	// Passes is "1 of 2" where several upgrade tests must pass, and this edge was tried.
	Passes graph.Trials `json:"passes,omitzero"`
}

func newChannelShow(a *app) *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use:   "show CHANNEL",
		Short: "Show what a channel holds and which upgrades it offers",
		Long: `Show the versions of a channel, since when it holds them and to which share of
clusters they are open, and its edges: offered because they were proven, conditional
because of which risks, or blocked because of what.`,
		Example: "  slipway channel show candidate\n  slipway channel show stable -o json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			w, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			view, err := w.viewChannel(cmd.Context(), args[0], time.Now())
			if err != nil {
				return err
			}
			r := result{value: view, text: view.text}
			for _, v := range view.Versions {
				r.names = append(r.names, v.Version.Version.String())
			}
			return out.print(a.Out, r)
		},
	}
	out.addFlag(cmd)
	return cmd
}

// viewChannel gathers what there is to say about a channel.
func (w *world) viewChannel(ctx context.Context, name string, now time.Time) (*channelView, error) {
	declared := w.distro.Channel(name)
	stored, err := w.channels().List(ctx)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(stored, func(s channels.Stored) bool { return s.State.Name == name })
	if declared == nil && at < 0 {
		return nil, usage(fmt.Errorf("showing channel %q: distribution %q has no such channel", name, w.distro.Name))
	}
	view := &channelView{Name: name, Versions: []channelVersion{}, Edges: []channelEdge{}}
	if declared != nil {
		view.Feeder = declared.Feeder
	}
	if at < 0 {
		return view, nil
	}
	state := stored[at].State
	view.Digest, view.Updated, view.Rollouts, view.Removed = stored[at].Digest.String(), &state.Updated, state.Rollouts, state.Removed
	snapshot, err := w.snapshot(channels.States(stored))
	if err != nil {
		return nil, err
	}
	view.addVersions(state, declared, snapshot, now)
	view.addEdges(channels.States(stored), snapshot, snapshot.Union())
	return view, nil
}

func (c *channelView) addVersions(state channels.State, declared *distros.Channel, snapshot *graph.Snapshot, now time.Time) {
	for _, v := range state.Versions {
		name := v.Version.String()
		row := channelVersion{Version: v, Share: 1}
		if declared != nil {
			row.Tombstone = slices.Contains(declared.Tombstones, name)
		}
		for _, r := range snapshot.Rollouts {
			if r.Version == name && (r.Channel == "" || r.Channel == state.Name) {
				row.Share = min(row.Share, r.Share(now))
			}
		}
		for _, q := range snapshot.Quarantined {
			if q.Version == name && q.Payload == v.PullSpec {
				row.Quarantined = q.Reason
			}
		}
		c.Versions = append(c.Versions, row)
	}
}

func (c *channelView) addEdges(states []channels.State, snapshot *graph.Snapshot, of *graph.Graph) {
	evidence := map[graph.Edge]string{}
	passes := snapshot.Trials()
	for _, s := range states {
		if s.Name != c.Name {
			continue
		}
		for _, e := range s.Edges {
			evidence[graph.Edge{From: e.From.String(), To: e.To.String()}] = e.Evidence
		}
	}
	add := func(e graph.Edge, status string, risks []graph.Risk, reason string) {
		edge := channelEdge{Edge: e, Status: status, Reason: reason, Evidence: evidence[e], Passes: passes[e]}
		for _, r := range risks {
			edge.Risks = append(edge.Risks, r.Name)
		}
		c.Edges = append(c.Edges, edge)
	}
	g := of.Channel(c.Name)
	for _, e := range g.Edges {
		add(graph.Edge{From: g.Nodes[e[0]].Version, To: g.Nodes[e[1]].Version}, "offered", nil, "")
	}
	for _, group := range g.ConditionalEdges {
		for _, e := range group.Edges {
			add(e, "conditional", group.Risks, "")
		}
	}
	places := map[string]int{}
	for i, n := range g.Nodes {
		places[n.Version] = i
	}
	blocked := map[graph.Edge]bool{} // said of each architecture
	for _, b := range snapshot.Blocked {
		_, from := places[b.From]
		_, to := places[b.To]
		if from && to && !blocked[b.Edge] {
			blocked[b.Edge] = true
			add(b.Edge, "blocked", nil, b.Reason)
		}
	}
	slices.SortStableFunc(c.Edges, func(a, b channelEdge) int {
		return slices.Compare([]int{places[a.From], places[a.To]}, []int{places[b.From], places[b.To]})
	})
}

func (c *channelView) text(w io.Writer) {
	fmt.Fprintf(w, "%s: %d versions, %d edges\n", c.Name, len(c.Versions), len(c.Edges))
	if f := c.Feeder; f != nil {
		fmt.Fprintf(w, "fed by %s, %s\n", f.Channel, feederRule(*f))
	}
	for _, v := range c.Versions {
		fmt.Fprintf(w, "  %s  since %s", v.Version.Version, v.Added.Format("2006-01-02 15:04"))
		if len(v.Architectures) > 0 {
			fmt.Fprintf(w, "  for %s", strings.Join(v.Architectures, ", "))
		}
		if v.Share < 1 {
			fmt.Fprintf(w, "  open to %.0f %% of clusters", 100*v.Share)
		}
		if v.Tombstone {
			fmt.Fprint(w, "  tombstone")
		}
		if v.Quarantined != "" {
			fmt.Fprintf(w, "  quarantined: %s", v.Quarantined)
		}
		fmt.Fprintln(w)
	}
	for _, r := range c.Removed {
		fmt.Fprintf(w, "  %s  removed %s by %s: %s\n", r.Version.Version, r.Removed.Format("2006-01-02 15:04"), r.By, r.Why)
	}
	for _, e := range c.Edges {
		fmt.Fprintf(w, "  %s -> %s  %s", e.From, e.To, e.Status)
		switch {
		case len(e.Risks) > 0:
			fmt.Fprintf(w, ": %s", strings.Join(e.Risks, ", "))
		case e.Reason != "":
			fmt.Fprintf(w, ": %s", e.Reason)
		case e.Evidence != "":
			fmt.Fprintf(w, ", proven by %s", e.Evidence)
		}
		if e.Passes != (graph.Trials{}) {
			fmt.Fprintf(w, ", %s passes", e.Passes)
		}
		fmt.Fprintln(w)
	}
}

// feederRule says in words when a version goes on.
func feederRule(f distros.Feeder) string {
	var rules []string
	if f.Delay != "" {
		rules = append(rules, "after "+f.Delay)
	}
	if f.Approvals > 0 {
		rules = append(rules, fmt.Sprintf("with %d approvals", f.Approvals))
	}
	text := strings.Join(rules, " or ")
	if f.Versions != "" {
		text += ", versions " + f.Versions
	}
	return text
}

// channelDiff is in what two channels differ.
type channelDiff struct {
	From string `json:"from"`
	To   string `json:"to"`
	// Only in the first, and only in the second of the channels.
	Missing []string `json:"missing"`
	Added   []string `json:"added"`
	// Changed are versions that are different payloads.
	Changed []string `json:"changed,omitempty"`
	// MissingEdges and AddedEdges are FROM -> TO between versions that both hold.
	MissingEdges []string `json:"missingEdges,omitempty"`
	AddedEdges   []string `json:"addedEdges,omitempty"`
}

func newChannelDiff(a *app) *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use:     "diff CHANNEL CHANNEL",
		Short:   "Show in what two channels differ",
		Example: "  slipway channel diff candidate stable",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			w, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			var states [2]channels.State
			for i, name := range args {
				stored, err := w.channels().Read(cmd.Context(), name)
				if err != nil {
					return err
				}
				if stored.Digest.Hex == "" && w.distro.Channel(name) == nil {
					return usage(fmt.Errorf("comparing channels: distribution %q has no channel %q", w.distro.Name, name))
				}
				states[i] = stored.State
			}
			d := diffChannels(states[0], states[1])
			return out.print(a.Out, result{value: d, names: slices.Concat(d.Missing, d.Added), text: d.text})
		},
	}
	out.addFlag(cmd)
	return cmd
}

func diffChannels(from, to channels.State) channelDiff {
	d := channelDiff{From: from.Name, To: to.Name, Missing: []string{}, Added: []string{}}
	for _, v := range from.Versions {
		other, ok := to.Find(v.Version)
		switch {
		case !ok:
			d.Missing = append(d.Missing, v.Version.String())
		case other.PullSpec != v.PullSpec:
			d.Changed = append(d.Changed, v.Version.String())
		}
	}
	for _, v := range to.Versions {
		if _, ok := from.Find(v.Version); !ok {
			d.Added = append(d.Added, v.Version.String())
		}
	}
	edges := func(s, other channels.State) (all []string) {
		for _, e := range s.Edges {
			_, okFrom := other.Find(e.From)
			_, okTo := other.Find(e.To)
			if okFrom && okTo && !e.Failed {
				all = append(all, fmt.Sprintf("%s -> %s", e.From, e.To))
			}
		}
		return all
	}
	first, second := edges(from, to), edges(to, from)
	d.MissingEdges, d.AddedEdges = without(first, second), without(second, first)
	return d
}

// without are those of a that are not in b.
func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}

func (d channelDiff) text(w io.Writer) {
	for _, part := range []struct {
		sign, of string
		names    []string
	}{{"-", "", d.Missing}, {"+", "", d.Added}, {"!", "another payload: ", d.Changed}, {"-", "edge ", d.MissingEdges}, {"+", "edge ", d.AddedEdges}} {
		for _, name := range part.names {
			fmt.Fprintf(w, "%s %s%s\n", part.sign, part.of, name)
		}
	}
	if len(d.Missing)+len(d.Added)+len(d.Changed)+len(d.MissingEdges)+len(d.AddedEdges) == 0 {
		fmt.Fprintf(w, "%s and %s hold the same\n", d.From, d.To)
	}
}
