package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/channels"
	"github.com/slipway-release/slipway/release/sign"
	"github.com/slipway-release/slipway/release/streams"
)

func newChannel(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "channel", Short: "Promote payloads into channels and list what they hold"}
	cmd.AddCommand(newChannelPromote(a), newChannelList(a))
	return cmd
}

func (w *world) channels() channels.Store {
	return channels.Store{Registry: w.registry, Repository: w.distro.Repository}
}

// promotion is what `channel promote` did to one channel.
type promotion struct {
	Name    string   `json:"name"`
	Added   bool     `json:"added"`
	Changes []string `json:"changes,omitempty"`
}

func newChannelPromote(a *app) *cobra.Command {
	var stream, resultFile string
	var dryRun bool
	var out output
	cmd := &cobra.Command{
		Use:   "promote PAYLOAD",
		Short: "Add an accepted payload to the channels of its stream",
		Long: `Add a payload to the channels of its stream, together with the upgrade edges that
its evidence proves. Only a payload whose newest signed decision is Accepted is
promoted. Doing it twice changes nothing.`,
		Example: "  slipway channel promote sha256:… --stream nightly --dry-run",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			done, err := a.promote(cmd.Context(), args[0], stream, dryRun)
			if err != nil {
				return err
			}
			if err := writeResults("", "", resultFile, done); err != nil {
				return err
			}
			r := result{value: done, text: func(w io.Writer) {
				for _, p := range done {
					fmt.Fprintf(w, "%s: %s\n", p.Name, strings.Join(orNothing(p.Changes), "; "))
				}
			}}
			for _, p := range done {
				r.names = append(r.names, p.Name)
			}
			return out.print(a.Out, r)
		},
	}
	f := cmd.Flags()
	f.StringVar(&stream, "stream", "nightly", "stream whose channels are meant")
	f.StringVar(&resultFile, "result-file", "", "write what was done to this file, as JSON")
	f.BoolVar(&dryRun, "dry-run", false, "show what would change and change nothing")
	out.addFlag(cmd)
	return cmd
}

func orNothing(changes []string) []string {
	if len(changes) == 0 {
		return []string{"nothing to change"}
	}
	return changes
}

func (a *app) promote(ctx context.Context, reference, stream string, dryRun bool) ([]promotion, error) {
	w, err := a.open(ctx)
	if err != nil {
		return nil, err
	}
	policy, err := w.policy(stream)
	if err != nil {
		return nil, err
	}
	p, err := a.payload(ctx, w, reference)
	if err != nil {
		return nil, err
	}
	verifier, err := a.verifier(w.state)
	if err != nil {
		return nil, err
	}
	verdict, err := decisions{w, verifier}.Decision(ctx, p.Reference)
	if err != nil {
		return nil, err
	}
	if verdict != streams.Accepted {
		return nil, rejected(fmt.Errorf("promoting %q: its decision is %q, not %q; run slipway stream decide", p.Version, verdict, streams.Accepted))
	}
	edges, err := provenEdges(ctx, w, verifier, p, policy)
	if err != nil {
		return nil, err
	}
	addition := channels.Addition{Version: p.Version, PullSpec: p.Reference, Metadata: p.Metadata.Values, Edges: edges}
	var done []promotion
	for _, name := range policy.Channels {
		plan, err := w.promoteInto(ctx, name, addition, dryRun)
		if err != nil {
			return nil, err
		}
		done = append(done, promotion{Name: name, Added: !plan.Empty(), Changes: plan.Changes})
	}
	return done, nil
}

func (w *world) promoteInto(ctx context.Context, channel string, add channels.Addition, dryRun bool) (channels.Plan, error) {
	store := w.channels()
	if !dryRun {
		return store.Promote(ctx, channel, add, time.Now())
	}
	stored, err := store.Read(ctx, channel)
	if err != nil {
		return channels.Plan{}, err
	}
	return channels.NewPlan(stored, add, time.Now())
}

// provenEdges are the upgrades to p that passed, by signed evidence.
func provenEdges(ctx context.Context, w *world, verifier *sign.Verifier, p *release.Payload, policy streams.Policy) ([]channels.Source, error) {
	found, err := verifier.Evidence(ctx, w.registry, p.Reference, sign.PredicateUpgradeResult)
	if err != nil {
		return nil, err
	}
	var edges []channels.Source
	seen := map[release.Version]bool{}
	for _, s := range found.Statements {
		u, err := readUpgrade(s, p)
		if err != nil {
			return nil, err
		}
		from, err := release.Parse(u.From.Version)
		if err != nil || seen[from] || streams.EvaluateUpgrade("upgrade", policy.Upgrade[u.Profile], u.Upgrade).Status != streams.Passed {
			continue
		}
		seen[from] = true
		edges = append(edges, channels.Source{From: from, Evidence: s.Digest.String()})
	}
	return edges, nil
}

func newChannelList(a *app) *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the channels and the versions in them",
		Example: "  slipway channel list -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			w, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			stored, err := w.channels().List(cmd.Context())
			if err != nil {
				return err
			}
			all := []channels.State{}
			r := result{}
			for _, s := range stored {
				all = append(all, s.State)
				r.names = append(r.names, s.State.Name)
			}
			r.value = all
			r.text = func(w io.Writer) {
				for _, c := range all {
					fmt.Fprintf(w, "%s (%d versions, %d edges)\n", c.Name, len(c.Versions), len(c.Edges))
					for _, v := range c.Versions {
						fmt.Fprintf(w, "  %s\n", v.Version)
					}
				}
			}
			return out.print(a.Out, r)
		},
	}
	out.addFlag(cmd)
	return cmd
}

func newGraph(a *app) *cobra.Command {
	var channel string
	var out output
	cmd := &cobra.Command{
		Use:     "graph",
		Short:   "Show a channel's update graph; with -o json as the update service answers it",
		Example: "  slipway graph --channel candidate -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			return runGraph(cmd.Context(), a, channel, &out)
		},
	}
	cmd.Flags().StringVar(&channel, "channel", "candidate", "channel to show")
	out.addFlag(cmd)
	return cmd
}

func runGraph(ctx context.Context, a *app, channel string, out *output) error {
	w, err := a.open(ctx)
	if err != nil {
		return err
	}
	if w.distro.Channel(channel) == nil {
		return usage(fmt.Errorf("showing the graph of channel %q: distribution %q has no such channel", channel, w.distro.Name))
	}
	stored, err := w.channels().List(ctx)
	if err != nil {
		return err
	}
	var all []channels.State
	for _, s := range stored {
		all = append(all, s.State)
	}
	data, err := channels.Graph(channel, all)
	if err != nil {
		return err
	}
	var graph struct {
		Nodes []struct{ Version, Payload string }
		Edges [][2]int
	}
	if err := json.Unmarshal(data, &graph); err != nil {
		return errors.Join(errors.New("reading the graph back"), err)
	}
	r := result{value: json.RawMessage(data), text: func(w io.Writer) {
		for _, n := range graph.Nodes {
			fmt.Fprintf(w, "%s  %s\n", n.Version, n.Payload)
		}
		for _, e := range graph.Edges {
			fmt.Fprintf(w, "%s -> %s\n", graph.Nodes[e[0]].Version, graph.Nodes[e[1]].Version)
		}
	}}
	for _, n := range graph.Nodes {
		r.names = append(r.names, n.Version)
	}
	return out.print(a.Out, r)
}
