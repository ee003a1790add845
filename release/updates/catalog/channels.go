package catalog

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/channels"
	"github.com/slipway-release/slipway/release/channels/graph"
)

// ChannelStore reads the channels that are kept in a registry, and what they offer.
type ChannelStore struct {
	Store interface {
		List(ctx context.Context) ([]channels.Stored, error)
	}
	// Offer makes what is offered of all channels; nil stands for the defaults.
	Offer func([]channels.State) (*graph.Snapshot, error)
	// Architecture is that of the payloads.
	Architecture string
}

// Channels implements the interface of that name.
func (s ChannelStore) Channels(ctx context.Context) ([]Channel, error) {
	stored, err := s.Store.List(ctx)
	if err != nil {
		return nil, err
	}
	states := channels.States(stored)
	offer := s.Offer
	if offer == nil {
		offer = func(states []channels.State) (*graph.Snapshot, error) {
			return channels.Snapshot(s.Architecture, states, channels.Offer{})
		}
	}
	snapshot, err := offer(states)
	if err != nil {
		return nil, err
	}
	compiled, err := everywhere(ctx, snapshot)
	if err != nil {
		return nil, err
	}
	var found []Channel
	for _, state := range states {
		c := Channel{Name: state.Name}
		if at := slices.IndexFunc(compiled, func(c Channel) bool { return c.Name == state.Name }); at >= 0 {
			c = compiled[at]
		}
		c.describe(state)
		found = append(found, c)
	}
	return found, nil
}

// everywhere is what channels offer to clusters of any architecture.
func everywhere(ctx context.Context, snapshot *graph.Snapshot) ([]Channel, error) {
	var all []Channel
	for _, arch := range snapshot.Architectures() {
		offered, err := Offered{func() *graph.Snapshot { return snapshot }, arch}.Channels(ctx)
		if err != nil {
			return nil, err
		}
		for _, c := range offered {
			at := slices.IndexFunc(all, func(have Channel) bool { return have.Name == c.Name })
			if at < 0 {
				all = append(all, c)
				continue
			}
			for _, e := range c.Edges {
				if !slices.ContainsFunc(all[at].Edges, func(have ChannelEdge) bool { return have.Pair == e.Pair }) {
					all[at].Edges = append(all[at].Edges, e)
				}
			}
			for _, b := range c.Blocked {
				if !slices.Contains(all[at].Blocked, b) {
					all[at].Blocked = append(all[at].Blocked, b)
				}
			}
		}
	}
	return all, nil
}

// describe adds what only the registry knows: dates and evidence.
func (c *Channel) describe(state channels.State) {
	c.Updated, c.Versions = state.Updated, nil
	for _, v := range state.Versions {
		c.Versions = append(c.Versions, ChannelVersion{Version: v.Version, PullSpec: v.PullSpec, Added: v.Added, Architectures: v.Architectures})
	}
	evidence := map[Pair]string{}
	for _, e := range state.Edges {
		evidence[Pair{e.From.String(), e.To.String()}] = e.Evidence
	}
	for i := range c.Edges {
		c.Edges[i].Evidence = evidence[c.Edges[i].Pair]
	}
}

// Offered reads the channels from what the update service offers, for one architecture
// or "multi"; an architecture that it does not have has no channels.
type Offered struct {
	Snapshot     func() *graph.Snapshot // nil while there is none
	Architecture string
}

// Channels implements the interface of that name.
func (o Offered) Channels(context.Context) ([]Channel, error) {
	snapshot := o.Snapshot()
	if snapshot == nil {
		return nil, nil
	}
	g := snapshot.Graphs[o.Architecture]
	if g == nil {
		return nil, nil
	}
	byName := map[string]*Channel{}
	members := map[string]map[string]bool{} // channel → version
	for _, n := range g.Nodes {
		v, err := release.Parse(n.Version)
		if err != nil {
			return nil, fmt.Errorf("reading what is offered: %w", err)
		}
		for _, name := range n.Channels {
			if byName[name] == nil {
				byName[name], members[name] = &Channel{Name: name}, map[string]bool{}
			}
			byName[name].Versions = append(byName[name].Versions, ChannelVersion{Version: v, PullSpec: n.Payload})
			members[name][n.Version] = true
		}
	}
	edges := offeredEdges(g, snapshot.Trials())
	var found []Channel
	for name, c := range byName {
		for _, e := range edges {
			if members[name][e.From] && members[name][e.To] {
				c.Edges = append(c.Edges, e)
			}
		}
		for _, b := range snapshot.Blocked {
			if b.Arch == o.Architecture && members[name][b.From] && members[name][b.To] {
				c.Blocked = append(c.Blocked, BlockedEdge{Pair{b.From, b.To}, b.Reason})
			}
		}
		for _, q := range snapshot.Quarantined {
			c.Quarantined = append(c.Quarantined, Quarantined{q.Version, q.Reason})
		}
		found = append(found, *c)
	}
	return found, nil
}

func offeredEdges(g *graph.Graph, trials map[graph.Edge]graph.Trials) []ChannelEdge {
	var edges []ChannelEdge
	for _, e := range g.Edges {
		from, to := g.Nodes[e[0]].Version, g.Nodes[e[1]].Version
		edges = append(edges, ChannelEdge{Pair: Pair{from, to}, Trials: trials[graph.Edge{From: from, To: to}]})
	}
	for _, group := range g.ConditionalEdges {
		var risks []string
		for _, r := range group.Risks {
			risks = append(risks, r.Name)
		}
		for _, e := range group.Edges {
			edges = append(edges, ChannelEdge{Pair: Pair{e.From, e.To}, Risks: risks, Trials: trials[e]})
		}
	}
	return edges
}

// sortChannel puts a channel into the order that pages and digests of the content rely on.
func sortChannel(c *Channel) {
	slices.SortFunc(c.Versions, func(a, b ChannelVersion) int { return a.Version.Compare(b.Version) })
	place := make(map[string]int, len(c.Versions))
	for i, v := range c.Versions {
		place[v.Version.String()] = i
	}
	slices.SortFunc(c.Edges, func(a, b ChannelEdge) int {
		return cmp.Or(cmp.Compare(place[a.From], place[b.From]), cmp.Compare(place[a.To], place[b.To]),
			cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
}
