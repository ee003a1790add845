package channels

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/channels/graph"
)

// What may become of an edge that is declared and was never tried.
const (
	UntestedConditional = "conditional" // offered with the risk UntestedUpgrade; the default
	UntestedOffered     = "offer"       // offered like any other
	UntestedOmitted     = "omit"        // not offered
)

// RiskUntested is the name of the risk that an untested edge bears.
const RiskUntested = "UntestedUpgrade"

// Offer says what clusters are offered beyond what was proven.
type Offer struct {
	// Untested is one of the constants above; "" is UntestedConditional.
	Untested string
	// Passes is how many trials of an upgrade must have passed for it to count as tested;
	// less than 1 stands for 1.
	Passes int
	// UntestedURL is where clusters' people are told about the risk.
	UntestedURL string
	// Blocks are the edges that bear risks or are not to be offered, among those of the
	// versions that are known; nil stands for none.
	Blocks func(versions []string) []graph.Block
	// Metadata is added to that of releases, by version and key.
	Metadata map[string]map[string]string
}

// Short reports whether an upgrade that was tried, and did not fail, counts as untested all
// the same, because too few trials have passed.
func (o Offer) Short(e Edge) bool { return !e.Failed && e.Passes() < o.Passes }

// defaultUntestedURL explains what an untested edge is.
const defaultUntestedURL = "https://github.com/slipway-release/slipway/blob/main/docs/channels.md#untested-edges"

// Snapshot is what the channels of a distribution offer, whose payloads are of one
// architecture unless they say otherwise. A payload of several is offered to each of them
// and to release.ArchitectureMulti, everywhere as the manifest list, which is what was
// signed. Where two channels name different payloads by one version, the one that was added
// first is offered and the other is quarantined.
func Snapshot(arch string, states []State, offer Offer) (*graph.Snapshot, error) {
	o := &offered{arch: arch, offer: offer, edges: map[[2]release.Version]Edge{}}
	o.rules.Metadata = offer.Metadata
	for _, s := range states {
		if err := o.add(s); err != nil {
			return nil, fmt.Errorf("offering channel %q: %w", s.Name, err)
		}
	}
	releases := o.releases()
	o.blockFailed(releases)
	if offer.Blocks != nil {
		var versions []string
		for _, r := range releases {
			versions = append(versions, r.Version)
		}
		versions = slices.Compact(versions) // of several architectures
		o.rules.Blocks = append(o.rules.Blocks, offer.Blocks(versions)...)
	}
	snapshot, err := graph.Compile(releases, o.rules)
	if err != nil || offer.Passes <= 1 {
		return snapshot, err
	}
	snapshot.Tried, snapshot.Needed = o.tried(), offer.Passes
	return snapshot, snapshot.Identify()
}

// tried are the upgrades that were tried, in the order of their ends.
func (o *offered) tried() []graph.Tried {
	var all []graph.Tried
	for ends, e := range o.edges {
		all = append(all, graph.Tried{Edge: graph.Edge{From: ends[0].String(), To: ends[1].String()}, Passed: e.Passes()})
	}
	slices.SortFunc(all, func(a, b graph.Tried) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To)) })
	return all
}

// offered gathers what several channels say.
type offered struct {
	arch    string
	offer   Offer
	members []member
	edges   map[[2]release.Version]Edge
	rules   graph.Rules
}

// member is a version in a channel.
type member struct {
	Version
	channel string
}

func (o *offered) add(s State) error {
	for _, v := range s.Versions {
		o.members = append(o.members, member{v, s.Name})
	}
	for _, e := range s.Edges {
		key := [2]release.Version{e.From, e.To}
		// What failed in one channel's eyes is not offered by another. Of trials that passed,
		// a channel may know more than those it feeds.
		if have, ok := o.edges[key]; !ok || e.Failed && !have.Failed || !have.Failed && e.Passes() > have.Passes() {
			o.edges[key] = e
		}
	}
	for _, r := range s.Rollouts {
		rollout, err := r.graph(s.Name)
		if err != nil {
			return err
		}
		o.rules.Rollouts = append(o.rules.Rollouts, rollout)
	}
	return nil
}

func (r Rollout) graph(channel string) (graph.Rollout, error) {
	duration, err := time.ParseDuration(r.Duration)
	if err != nil {
		return graph.Rollout{}, fmt.Errorf("rollout of version %q: %w", r.Version, err)
	}
	out := graph.Rollout{Channel: channel, Version: r.Version.String(), Start: r.Start, Duration: duration}
	if r.Halted != nil {
		out.Halted = *r.Halted
	}
	return out, nil
}

// releases are the members of all channels, those first that were added first, with
// every edge to them that is declared or was tried. A channel that names another payload
// than the first of that version does not hold it.
func (o *offered) releases() []graph.Release {
	slices.SortFunc(o.members, func(a, b member) int {
		return cmp.Or(a.Added.Compare(b.Added), cmp.Compare(a.PullSpec, b.PullSpec), a.Version.Version.Compare(b.Version.Version), cmp.Compare(a.channel, b.channel))
	})
	var all []graph.Release
	var archs [][]string // of each
	first := map[release.Version]int{}
	in := map[string][]string{}
	for _, m := range o.members {
		r := graph.Release{Version: m.Version.Version.String(), Payload: m.PullSpec, Metadata: m.Metadata}
		at, known := first[m.Version.Version]
		switch {
		case !known:
			at = len(all)
			first[m.Version.Version] = at
			all, archs = append(all, r), append(archs, o.offeredTo(m))
		case all[at].Payload != r.Payload:
			all, archs = append(all, r), append(archs, archs[at]) // to be quarantined
			continue
		}
		in[m.channel] = append(in[m.channel], r.Version)
		for _, from := range m.Previous {
			o.declare(&all[at], archs[at], from, m.Version.Version)
		}
	}
	for key, e := range o.edges {
		at, ok := first[key[1]]
		switch {
		case ok && o.offer.Short(e):
			o.declare(&all[at], archs[at], key[0], key[1])
		case ok:
			all[at].Previous = append(all[at].Previous, key[0].String())
		}
	}
	for i := range all {
		slices.Sort(all[i].Previous)
		all[i].Previous = slices.Compact(all[i].Previous)
	}
	for _, name := range slices.Sorted(maps.Keys(in)) {
		o.rules.Channels = append(o.rules.Channels, graph.Channel{Name: name, Versions: in[name]})
	}
	var each []graph.Release
	for i, r := range all {
		for _, r.Arch = range archs[i] {
			each = append(each, r)
		}
	}
	return each
}

// offeredTo are the architectures that clusters ask for which a payload is for.
func (o *offered) offeredTo(m member) []string {
	switch len(m.Architectures) {
	case 0:
		return []string{o.arch}
	case 1:
		return m.Architectures
	}
	return append([]string{release.ArchitectureMulti}, m.Architectures...)
}

// declare adds an edge that does not count as tested, as the policy has it.
func (o *offered) declare(to *graph.Release, archs []string, from, version release.Version) {
	name := from.String()
	edge, tried := o.edges[[2]release.Version{from, version}]
	if tried && !o.offer.Short(edge) || slices.Contains(to.Previous, name) {
		return
	}
	message := "This upgrade was declared to work and was never tested by the release pipeline."
	if tried {
		message = fmt.Sprintf("This upgrade has %s passes that the release pipeline demands before it counts as tested.", graph.Trials{Passed: edge.Passes(), Needed: o.offer.Passes})
	}
	switch o.offer.Untested {
	case UntestedOmitted:
		return
	case UntestedOffered:
	default:
		risk := &graph.Risk{
			URL:           cmp.Or(o.offer.UntestedURL, defaultUntestedURL),
			Name:          RiskUntested,
			Message:       message,
			MatchingRules: []graph.MatchingRule{{Type: "Always"}},
		}
		for _, arch := range archs {
			o.rules.Blocks = append(o.rules.Blocks, graph.Block{To: to.Version, From: exactly(name + "+" + arch), Risk: risk})
		}
	}
	to.Previous = append(to.Previous, name)
}

func (o *offered) blockFailed(releases []graph.Release) {
	to := map[string][]string{} // architectures by version
	for _, r := range releases {
		to[r.Version] = append(to[r.Version], r.Arch)
	}
	for _, e := range o.edges {
		if !e.Failed {
			continue
		}
		for _, arch := range to[e.To.String()] {
			o.rules.Blocks = append(o.rules.Blocks, graph.Block{To: e.To.String(), From: exactly(e.From.String() + "+" + arch),
				Reason: "its upgrade test failed, which is proven by " + e.Evidence})
		}
	}
}

// exactly matches one string.
type exactly string

// MatchString implements graph.Matcher.
func (e exactly) MatchString(s string) bool { return s == string(e) }
