package promotion_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/blang/semver/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/internal/golden"
	"github.com/slipway-release/slipway/release/channels/graph"
	"github.com/slipway-release/slipway/release/channels/promotion"
)

const (
	day  = 24 * time.Hour
	week = 7 * day
)

var now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// members were all added at one time before now.
func members(age time.Duration, versions ...string) []promotion.Member {
	var all []promotion.Member
	for _, v := range versions {
		all = append(all, promotion.Member{Version: v, Since: now.Add(-age)})
	}
	return all
}

// ways is a graph of edges "FROM TO" and "FROM TO RISK".
func ways(edges ...string) *graph.Graph {
	places := map[string]int{}
	for _, e := range edges {
		f := strings.Fields(e)
		places[f[0]], places[f[1]] = 0, 0
	}
	g := &graph.Graph{}
	for _, v := range slices.SortedFunc(maps.Keys(places), func(a, b string) int { return semver.MustParse(a).Compare(semver.MustParse(b)) }) {
		places[v] = len(g.Nodes)
		g.Nodes = append(g.Nodes, graph.Node{Version: v, Payload: "example.com/release@sha256:" + v})
	}
	for _, e := range edges {
		f := strings.Fields(e)
		if len(f) == 2 {
			g.Edges = append(g.Edges, [2]int{places[f[0]], places[f[1]]})
			continue
		}
		g.ConditionalEdges = append(g.ConditionalEdges, graph.ConditionalEdges{
			Edges: []graph.Edge{{From: f[0], To: f[1]}}, Risks: []graph.Risk{{Name: f[2]}},
		})
	}
	return g
}

// fed is fast, with what it holds, and stable-1.36, which it feeds.
func fed(feeder promotion.Feeder, stable, fast []promotion.Member, tombstones ...string) []promotion.Channel {
	feeder.Name = "fast"
	return []promotion.Channel{
		{Name: "fast", Members: fast, Tombstones: tombstones},
		{Name: "stable-1.36", Feeder: &feeder, Members: stable},
	}
}

// outline tells a plan in short: "+" what is added, "x" removed, "-" what is held, "!" warnings.
func outline(p promotion.Plan) []string {
	lines := []string{}
	for _, a := range p.Additions {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("+ %s %s", a.Channel, a.Version)))
	}
	for _, r := range p.Removals {
		lines = append(lines, fmt.Sprintf("x %s %s", r.Channel, r.Version))
	}
	for _, h := range p.Held {
		line := fmt.Sprintf("- %s %s %s", h.Channel, h.Version, h.Rule)
		if !h.Until.IsZero() {
			line += " " + h.Until.Format("01-02T15:04")
		}
		lines = append(lines, line)
	}
	for _, w := range p.Warnings {
		lines = append(lines, fmt.Sprintf("! %s %s %s", w.Channel, w.Version, w.Rule))
	}
	return lines
}

func approvals(channel, digest string, by ...string) []promotion.Approval {
	var all []promotion.Approval
	for i, name := range by {
		all = append(all, promotion.Approval{By: name, When: now.Add(-time.Duration(i+1) * time.Hour), Channel: channel, Digest: digest})
	}
	return all
}

func TestRules(t *testing.T) {
	delayed := promotion.Feeder{Delay: week}
	approved := promotion.Feeder{Approvals: 2}
	either := promotion.Feeder{Delay: week, Approvals: 2}
	line := ways("1.36.1 1.36.2", "1.36.2 1.36.3", "1.36.1 1.36.3")
	evidence := func(e promotion.Evidence) map[string]promotion.Evidence {
		return map[string]promotion.Evidence{"1.36.2": e}
	}
	for _, tc := range []struct {
		name string
		in   promotion.Input
		want []string
	}{
		{"delay is over", promotion.Input{Graph: line, Channels: fed(delayed, members(week, "1.36.1"), members(week, "1.36.1", "1.36.2"))},
			[]string{"+ stable-1.36 1.36.2"}},
		{"delay is not over", promotion.Input{Graph: line, Channels: fed(delayed, members(week, "1.36.1"), members(week-time.Minute, "1.36.1", "1.36.2"))},
			[]string{"- stable-1.36 1.36.2 delay 11-20T12:01"}},
		{"no delay", promotion.Input{Graph: line, Channels: fed(promotion.Feeder{}, members(week, "1.36.1"), members(0, "1.36.1", "1.36.2"))},
			[]string{"+ stable-1.36 1.36.2"}},
		{"added in the future", promotion.Input{Graph: line, Channels: fed(promotion.Feeder{}, members(week, "1.36.1"), members(-time.Hour, "1.36.1", "1.36.2"))},
			[]string{"- stable-1.36 1.36.2 delay 11-20T13:00"}},
		{"unknown age", promotion.Input{Graph: line, Channels: fed(delayed, members(week, "1.36.1"), []promotion.Member{{Version: "1.36.1"}, {Version: "1.36.2"}})},
			[]string{"- stable-1.36 1.36.2 unknown-age"}},
		{"unknown age, approved", promotion.Input{Graph: line, Channels: fed(either, members(week, "1.36.1"), []promotion.Member{{Version: "1.36.1"}, {Version: "1.36.2"}}),
			Evidence: evidence(promotion.Evidence{Approvals: approvals("stable-1.36", "", "ann", "bob")})},
			[]string{"+ stable-1.36 1.36.2"}},

		{"approved before the delay", promotion.Input{Graph: line, Channels: fed(either, members(week, "1.36.1"), members(day, "1.36.1", "1.36.2")),
			Evidence: evidence(promotion.Evidence{Approvals: approvals("stable-1.36", "", "ann", "bob")})},
			[]string{"+ stable-1.36 1.36.2"}},
		{"one person twice", promotion.Input{Graph: line, Channels: fed(either, members(week, "1.36.1"), members(day, "1.36.1", "1.36.2")),
			Evidence: evidence(promotion.Evidence{Approvals: approvals("stable-1.36", "", "ann", "ann")})},
			[]string{"- stable-1.36 1.36.2 delay 11-26T12:00"}},
		{"approvals alone", promotion.Input{Graph: line, Channels: fed(approved, members(week, "1.36.1"), members(99*week, "1.36.1", "1.36.2"))},
			[]string{"- stable-1.36 1.36.2 approval"}},
		{"approved for another channel", promotion.Input{Graph: line, Channels: fed(approved, members(week, "1.36.1"), members(week, "1.36.1", "1.36.2")),
			Evidence: evidence(promotion.Evidence{Approvals: approvals("fast", "", "ann", "bob")})},
			[]string{"- stable-1.36 1.36.2 approval"}},
		{"another payload approved", promotion.Input{Graph: line, Channels: fed(approved, members(week, "1.36.1"), members(week, "1.36.1", "1.36.2")),
			Evidence: evidence(promotion.Evidence{Digests: []string{"sha256:a"}, Approvals: approvals("stable-1.36", "sha256:b", "ann", "bob")})},
			[]string{"- stable-1.36 1.36.2 approval"}},
		{"approved by payload", promotion.Input{Graph: line, Channels: fed(approved, members(week, "1.36.1"), members(week, "1.36.1", "1.36.2")),
			Evidence: evidence(promotion.Evidence{Digests: []string{"sha256:a"}, Approvals: approvals("stable-1.36", "sha256:a", "ann", "bob")})},
			[]string{"+ stable-1.36 1.36.2"}},
		{"approved in the future", promotion.Input{Graph: line, Channels: fed(promotion.Feeder{Approvals: 1}, members(week, "1.36.1"), members(week, "1.36.1", "1.36.2")),
			Evidence: evidence(promotion.Evidence{Approvals: []promotion.Approval{{By: "ann", When: now.Add(1), Channel: "stable-1.36"}}})},
			[]string{"- stable-1.36 1.36.2 approval"}},

		{"filter is anchored", promotion.Input{Graph: line, Channels: fed(promotion.Feeder{Filter: `1[.]36|36[.]2`}, members(week, "1.36.1"), members(week, "1.36.2"))},
			[]string{"- stable-1.36 1.36.2 filter", "! stable-1.36 1.36.1 not-in-feeder", "! stable-1.36 1.36.1 outside-filter"}},
		{"filter chooses", promotion.Input{Graph: line, Channels: fed(promotion.Feeder{Filter: `1[.]36[.][0-9].*`}, members(week, "1.36.1"), members(week, "1.36.1", "1.36.2", "1.37.0"))},
			[]string{"+ stable-1.36 1.36.2", "- stable-1.36 1.37.0 filter"}},
		{"range", promotion.Input{Graph: line, Channels: fed(promotion.Feeder{Range: ">=1.36.0 <1.37.0"}, members(week, "1.36.1"), members(week, "1.36.1", "1.36.2", "1.37.0"))},
			[]string{"+ stable-1.36 1.36.2", "- stable-1.36 1.37.0 filter"}},
		{"tombstone", promotion.Input{Graph: line, Channels: fed(promotion.Feeder{}, members(week, "1.36.1"), members(week, "1.36.1", "1.36.2"), "1.36.2", "1.36.1")},
			[]string{"- stable-1.36 1.36.2 tombstone", "! stable-1.36 1.36.1 tombstoned"}},
		{"tombstones and architectures", promotion.Input{Graph: line, Channels: fed(promotion.Feeder{}, members(week, "1.36.1"), members(week, "1.36.1", "1.36.2+amd64", "1.36.3"), "1.36.2", "1.36.3+arm64")},
			[]string{"- stable-1.36 1.36.2+amd64 tombstone", "- stable-1.36 1.36.3 tombstone"}},
		{"architectures", promotion.Input{Graph: line, Channels: fed(promotion.Feeder{}, members(week, "1.36.1", "1.36.2+arm64"), members(week, "1.36.1+arm64", "1.36.1", "1.36.2+amd64", "1.36.2+arm64"))},
			[]string{"+ stable-1.36 1.36.2+amd64"}},

		{"a way out of an older minor, with risks", promotion.Input{Graph: ways("1.35.8 1.35.9 R", "1.35.9 1.36.1 R"),
			Channels: fed(promotion.Feeder{}, members(week, "1.36.1"), members(week, "1.36.1", "1.35.8", "1.35.9"))},
			[]string{"+ stable-1.36 1.35.8", "+ stable-1.36 1.35.9"}},
		{"no way out of an older minor", promotion.Input{Graph: ways("1.35.8 1.35.9", "1.35.9 1.36.2", "1.36.1 1.36.3"),
			Channels: fed(promotion.Feeder{}, members(week, "1.36.1"), members(week, "1.36.1", "1.35.8", "1.35.9"))},
			[]string{"- stable-1.36 1.35.8 path-out", "- stable-1.36 1.35.9 path-out"}},
		{"a way past the channel's minor is none", promotion.Input{Graph: ways("1.35.9 1.37.0", "1.36.1 1.37.0"),
			Channels: fed(promotion.Feeder{}, members(week, "1.36.1", "1.37.0"), members(week, "1.36.1", "1.35.9", "1.37.0"))},
			[]string{"- stable-1.36 1.35.9 path-out"}},
		{"no version of the channel's own minor", promotion.Input{Graph: ways("1.35.8 1.35.9"),
			Channels: fed(promotion.Feeder{}, members(week, "1.35.9"), members(week, "1.35.9", "1.35.8"))},
			[]string{"- stable-1.36 1.35.8 path-out", "! stable-1.36 1.35.9 stranded"}},
		{"across majors", promotion.Input{Graph: ways("4.22.1 5.0.0", "4.22.2 4.22.3"), Channels: []promotion.Channel{
			{Name: "fast", Members: members(week, "4.22.1", "4.22.2", "5.0.0")},
			{Name: "fast-5.0", Feeder: &promotion.Feeder{Name: "fast", Filter: `(4[.]22|5[.]0)[.].*`}}}},
			[]string{"+ fast-5.0 4.22.1", "+ fast-5.0 5.0.0", "- fast-5.0 4.22.2 path-out"}},

		{"a head that strands others", promotion.Input{Graph: ways("1.36.1 1.36.2", "1.36.1 1.36.3"),
			Channels: fed(promotion.Feeder{}, members(week, "1.36.1", "1.36.2"), members(week, "1.36.1", "1.36.2", "1.36.3"))},
			[]string{"- stable-1.36 1.36.3 strand"}},
		{"an old patch without a way", promotion.Input{Graph: ways("1.36.1 1.36.3"),
			Channels: fed(promotion.Feeder{}, members(week, "1.36.1", "1.36.3"), members(week, "1.36.1", "1.36.2", "1.36.3"))},
			[]string{"- stable-1.36 1.36.2 strand"}},
		{"who is stranded already blocks nobody", promotion.Input{Graph: ways("1.36.2 1.36.3", "1.36.3 1.36.4"),
			Channels: fed(promotion.Feeder{}, members(week, "1.36.1", "1.36.3"), members(week, "1.36.1", "1.36.2", "1.36.3", "1.36.4"))},
			[]string{"+ stable-1.36 1.36.2", "+ stable-1.36 1.36.4", "! stable-1.36 1.36.1 stranded", "! stable-1.36 1.36.1 patch-connectivity"}},
		{"several that need each other", promotion.Input{Graph: ways("1.36.1 1.36.2", "1.36.2 1.36.3", "1.36.3 1.36.4"),
			Channels: fed(promotion.Feeder{}, members(week, "1.36.1"), members(week, "1.36.1", "1.36.2", "1.36.3", "1.36.4"))},
			[]string{"+ stable-1.36 1.36.2", "+ stable-1.36 1.36.3", "+ stable-1.36 1.36.4"}},
		{"one that others wait for is held", promotion.Input{Graph: ways("1.36.1 1.36.2", "1.36.2 1.36.3", "1.36.3 1.36.4"), Policy: promotion.Policy{RequireEvidence: []string{"e2e"}},
			Evidence: map[string]promotion.Evidence{"1.36.2": {Passed: []string{"e2e"}}, "1.36.4": {Passed: []string{"e2e"}}},
			Channels: fed(promotion.Feeder{}, members(week, "1.36.1"), members(week, "1.36.1", "1.36.2", "1.36.3", "1.36.4"))},
			[]string{"+ stable-1.36 1.36.2", "- stable-1.36 1.36.3 evidence-missing", "- stable-1.36 1.36.4 strand"}},
		{"who could go first goes first", promotion.Input{Graph: ways("1.36.1 1.36.2", "1.36.1 1.36.3"),
			Channels: fed(promotion.Feeder{}, members(week, "1.36.1"), append(members(week, "1.36.1", "1.36.3"), members(day, "1.36.2")...))},
			[]string{"+ stable-1.36 1.36.3", "- stable-1.36 1.36.2 strand"}},
		{"a channel without a minor has a head for each", promotion.Input{Graph: ways("1.35.1 1.35.2", "1.35.2 1.36.1", "1.36.1 1.36.3"), Channels: []promotion.Channel{
			{Name: "candidate", Members: members(week, "1.35.1", "1.35.2", "1.36.1", "1.36.2", "1.36.3", "1.37.0-rc.0")},
			{Name: "fast", Feeder: &promotion.Feeder{Name: "candidate"}, Members: members(week, "1.35.1", "1.36.1")}}},
			[]string{"+ fast 1.35.2", "+ fast 1.36.3", "+ fast 1.37.0-rc.0", "- fast 1.36.2 strand", "! candidate 1.36.2 stranded"}},
		{"a way that is waited for in vain", promotion.Input{Graph: ways("1.36.1 1.36.2"),
			Channels: fed(delayed, members(week, "1.36.1", "1.36.2"), members(day, "1.36.1", "1.36.2", "1.36.3"))},
			[]string{"- stable-1.36 1.36.3 delay 11-26T12:00", "- stable-1.36 1.36.3 strand"}},
		{"ways that come with those waiting", promotion.Input{Graph: ways("1.36.1 1.36.2", "1.36.2 1.36.3"),
			Channels: fed(delayed, members(week, "1.36.1"), members(day, "1.36.1", "1.36.2", "1.36.3"))},
			[]string{"- stable-1.36 1.36.2 delay 11-26T12:00", "- stable-1.36 1.36.3 delay 11-26T12:00"}},

		{"a risk not declared again", promotion.Input{Graph: line, Risks: []promotion.Risk{{Name: "Slow", To: []string{"1.36.1"}}, {Name: "Old", To: []string{"1.35.9"}}},
			Channels: fed(promotion.Feeder{}, members(week, "1.36.1"), members(week, "1.36.1", "1.36.2"))},
			[]string{"- stable-1.36 1.36.2 risk-extension"}},
		{"a risk declared again", promotion.Input{Graph: line, Risks: []promotion.Risk{{Name: "Slow", To: []string{"1.36.1"}}, {Name: "Slow", To: []string{"1.36.2+amd64"}}},
			Channels: fed(promotion.Feeder{}, members(week, "1.36.1"), members(week, "1.36.1", "1.36.2"))},
			[]string{"+ stable-1.36 1.36.2"}},
		{"a risk fixed", promotion.Input{Graph: line, Risks: []promotion.Risk{{Name: "Slow", To: []string{"1.36.1"}, FixedIn: "1.36.2"}},
			Channels: fed(promotion.Feeder{}, members(week, "1.36.1"), members(week, "1.36.1", "1.36.2"))},
			[]string{"+ stable-1.36 1.36.2"}},
		{"a risk fixed later", promotion.Input{Graph: line, Risks: []promotion.Risk{{Name: "Slow", To: []string{"1.36.1"}, FixedIn: "1.36.3"}},
			Channels: fed(promotion.Feeder{}, members(week, "1.36.1"), members(week, "1.36.1", "1.36.2"))},
			[]string{"- stable-1.36 1.36.2 risk-extension"}},

		{"evidence", promotion.Input{Graph: line, Policy: promotion.Policy{RequireEvidence: []string{"e2e", "upgrade"}, FreshFor: week},
			Evidence: evidence(promotion.Evidence{Passed: []string{"upgrade", "e2e"}, Newest: now.Add(-week)}),
			Channels: fed(promotion.Feeder{}, members(week, "1.36.1"), members(week, "1.36.1", "1.36.2"))},
			[]string{"+ stable-1.36 1.36.2"}},
		{"evidence of one architecture", promotion.Input{Graph: line, Policy: promotion.Policy{RequireEvidence: []string{"e2e"}},
			Evidence: evidence(promotion.Evidence{Passed: []string{"e2e"}}),
			Channels: fed(promotion.Feeder{}, members(week, "1.36.1"), members(week, "1.36.1", "1.36.2+amd64"))},
			[]string{"+ stable-1.36 1.36.2+amd64"}},
		{"evidence missing and stale, and more", promotion.Input{Graph: line, Policy: promotion.Policy{RequireEvidence: []string{"e2e", "upgrade"}, FreshFor: week},
			Evidence: evidence(promotion.Evidence{Passed: []string{"upgrade"}, Newest: now.Add(-week - time.Minute)}),
			Channels: fed(delayed, members(week, "1.36.1"), members(day, "1.36.1", "1.36.2"))},
			[]string{"- stable-1.36 1.36.2 delay 11-26T12:00", "- stable-1.36 1.36.2 evidence-missing", "- stable-1.36 1.36.2 evidence-stale"}},
		{"evidence that one channel asks for", promotion.Input{Graph: line, Policy: promotion.Policy{RequireEvidence: []string{"e2e"}, FreshFor: 2 * week},
			Evidence: evidence(promotion.Evidence{Passed: []string{"e2e"}, Newest: now.Add(-week)}),
			Channels: append(fed(promotion.Feeder{}, members(week, "1.36.1"), members(week, "1.36.1", "1.36.2")),
				promotion.Channel{Name: "slow-1.36", Feeder: &promotion.Feeder{Name: "stable-1.36"}, RequireEvidence: []string{"soak"}, FreshFor: day})},
			[]string{"+ stable-1.36 1.36.2", "- slow-1.36 1.36.1 evidence-missing", "- slow-1.36 1.36.1 evidence-stale", "- slow-1.36 1.36.2 evidence-missing", "- slow-1.36 1.36.2 evidence-stale"}},
		{"no evidence at all", promotion.Input{Graph: line, Policy: promotion.Policy{FreshFor: week},
			Channels: fed(promotion.Feeder{}, members(week, "1.36.1"), members(day, "1.36.1", "1.36.2"))},
			[]string{"- stable-1.36 1.36.2 evidence-stale"}},
		{"several payloads", promotion.Input{Graph: line, Evidence: evidence(promotion.Evidence{Digests: []string{"sha256:a"}}),
			Channels: fed(promotion.Feeder{}, members(week, "1.36.1"), append(members(week, "1.36.1"), promotion.Member{Version: "1.36.2", Since: now, Digest: "sha256:b"}))},
			[]string{"- stable-1.36 1.36.2 contradiction"}},

		{"several channels at once", promotion.Input{Graph: line, Channels: []promotion.Channel{
			{Name: "stable-1.36", Feeder: &promotion.Feeder{Name: "stable"}},
			{Name: "late", Feeder: &promotion.Feeder{Name: "stable", Delay: day}},
			{Name: "stable", Feeder: &promotion.Feeder{Name: "fast", Delay: week}, Members: members(week, "1.36.1")},
			{Name: "fast", Members: members(week, "1.36.1", "1.36.2")}}},
			[]string{"+ late 1.36.1", "+ stable 1.36.2", "+ stable-1.36 1.36.1", "+ stable-1.36 1.36.2", "- late 1.36.2 delay 11-21T12:00"}},
		{"only one release", promotion.Input{Graph: line, Only: []string{"1.36.2"},
			Channels: fed(delayed, members(week, "1.36.1"), members(week, "1.36.1", "1.36.2", "1.36.3"))},
			[]string{"+ stable-1.36 1.36.2"}},
		{"removed", promotion.Input{Graph: line, Removals: []promotion.Removal{{Channel: "stable-1.36", Version: "1.36.2"}},
			Channels: []promotion.Channel{{Name: "stable-1.36", Members: members(week, "1.36.1", "1.36.2", "1.36.3")}}},
			[]string{"x stable-1.36 1.36.2", "! stable-1.36 1.36.2 removed"}},
		{"a removal that strands", promotion.Input{Graph: ways("1.36.1 1.36.2", "1.36.2 1.36.3"), Removals: []promotion.Removal{{Channel: "stable-1.36", Version: "1.36.2"}},
			Channels: []promotion.Channel{{Name: "stable-1.36", Members: members(week, "1.36.1", "1.36.2", "1.36.3")}}},
			[]string{"- stable-1.36 1.36.2 strand"}},
		{"a removal that an addition makes good", promotion.Input{Graph: ways("1.36.1 1.36.2", "1.36.1 1.36.3", "1.36.2 1.36.3", "1.36.2 1.36.4", "1.36.3 1.36.4"), Removals: []promotion.Removal{{Channel: "stable-1.36", Version: "1.36.2"}},
			Channels: fed(promotion.Feeder{}, members(week, "1.36.1", "1.36.2", "1.36.4"), members(week, "1.36.1", "1.36.2", "1.36.3", "1.36.4"), "1.36.2")},
			[]string{"+ stable-1.36 1.36.3", "x stable-1.36 1.36.2", "! stable-1.36 1.36.2 removed"}},
		{"a removal of a head that stood in the way", promotion.Input{Graph: ways("1.36.1 1.36.2", "1.36.1 1.36.4", "1.36.2 1.36.4"), Removals: []promotion.Removal{{Channel: "stable-1.36", Version: "1.36.3"}},
			Channels: fed(promotion.Feeder{}, members(week, "1.36.1", "1.36.3"), members(week, "1.36.1", "1.36.2", "1.36.3", "1.36.4"), "1.36.3")},
			[]string{"+ stable-1.36 1.36.2", "+ stable-1.36 1.36.4", "x stable-1.36 1.36.3", "! stable-1.36 1.36.3 removed"}},
		{"a removal that the feeder undoes", promotion.Input{Graph: line, Removals: []promotion.Removal{{Channel: "stable-1.36", Version: "1.36.2"}},
			Channels: fed(promotion.Feeder{}, members(week, "1.36.1", "1.36.2", "1.36.3"), members(week, "1.36.1", "1.36.2", "1.36.3"))},
			[]string{"- stable-1.36 1.36.2 contradiction"}},
		{"patches with risks", promotion.Input{Graph: ways("1.36.1 1.36.2 Slow", "1.36.1 1.36.3 Loud", "1.36.2 1.36.3", "1.36.1 1.37.0"),
			Channels: []promotion.Channel{{Name: "stable-1.36", Members: members(day, "1.36.1", "1.36.2", "1.36.3", "1.37.0")}}},
			[]string{"! stable-1.36 1.36.1 patch-connectivity"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.in.Now = now
			plan, err := promotion.New(tc.in)
			if err != nil {
				t.Fatal(err)
			}
			got := outline(plan)
			// What fast itself is warned of is left out where the case is not about it.
			got = slices.DeleteFunc(got, func(l string) bool { return strings.HasPrefix(l, "! fast ") && !slices.Contains(tc.want, l) })
			slices.Sort(got)
			slices.Sort(tc.want)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got\n%s\n%s", diff, said(plan))
			}
		})
	}
}

func said(p promotion.Plan) string {
	data, _ := json.MarshalIndent(p, "", "  ")
	return string(data)
}

func TestMistakesAreAllReported(t *testing.T) {
	_, err := promotion.New(promotion.Input{
		Channels: []promotion.Channel{
			{Name: "a", Feeder: &promotion.Feeder{Name: "b"}},
			{Name: "b", Feeder: &promotion.Feeder{Name: "c"}},
			{Name: "c", Feeder: &promotion.Feeder{Name: "a"}},
			{Name: "into-a", Feeder: &promotion.Feeder{Name: "a"}},
			{Name: "self", Feeder: &promotion.Feeder{Name: "self"}},
			{Name: "lost", Feeder: &promotion.Feeder{Name: "nowhere", Delay: -1}},
			{Name: "filter", Feeder: &promotion.Feeder{Name: "a", Filter: "a)(b"}},
			{Name: "range", Feeder: &promotion.Feeder{Name: "a", Range: "latest"}},
			{Name: "both", Feeder: &promotion.Feeder{Name: "a", Range: ">1.0.0", Filter: "x"}},
			{Name: "twice", Members: members(day, "1.0.0", "1.0.0", "4.10")},
			{Name: "twice"},
			{Name: "stale", FreshFor: -2},
		},
		Risks:  []promotion.Risk{{Name: "R", To: []string{"one"}, FixedIn: "never"}},
		Policy: promotion.Policy{FreshFor: -1, Rollouts: map[string]time.Duration{"gone": day, "a": -1}},
	})
	if err == nil {
		t.Fatal("nothing was wrong")
	}
	for _, want := range []string{
		"circle: a ← b ← c ← a", "circle: self ← self", `"nowhere", which does not exist`, "delay -1ns", "no regular expression", `range "latest"`,
		"both a filter and a range", `holds version "1.0.0" twice`, `"twice" stands there twice`, `"4.10", which channel "twice" names`,
		`"one", which risk "R" names`, `"never", which is not semver`, "evidence fresh for -1ns", `"stale" wants evidence fresh for -2ns`, `channel "gone", which does not exist`, "takes -1ns", "the time that the plan is for",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}
	if n := strings.Count(err.Error(), "circle:"); n != 2 {
		t.Errorf("%d circles are reported:\n%v", n, err)
	}
	_, err = promotion.New(promotion.Input{Now: now, Channels: []promotion.Channel{{Name: "a", Members: members(day, "1.0.0")}},
		Removals: []promotion.Removal{{Channel: "a", Version: "2.0.0"}, {Channel: "b", Version: "1.0.0"}}})
	if err == nil || !strings.Contains(err.Error(), `channel "a", which does not hold it`) || !strings.Contains(err.Error(), `channel "b", which does not exist`) {
		t.Errorf("removals of what is not there: %v", err)
	}
	_, err = promotion.New(promotion.Input{Now: now, Only: []string{"1.0.0", "2.0.0"}, Channels: []promotion.Channel{{Name: "a", Members: members(day, "1.0.0")}}})
	if err == nil || !strings.Contains(err.Error(), `"2.0.0"`) || strings.Contains(err.Error(), `"1.0.0"`) {
		t.Errorf("a release that no channel holds: %v", err)
	}
}

// chain is a distribution with one of everything, as the documentation shows it.
func chain() promotion.Input {
	filter := `1[.](35|36)[.][0-9].*`
	return promotion.Input{
		Now: now,
		Channels: []promotion.Channel{
			{Name: "candidate", Members: append(members(30*day, "1.35.9", "1.36.2", "1.36.3"), members(2*day, "1.35.10", "1.36.4", "1.36.5", "1.37.0-rc.0")...), Tombstones: []string{"1.36.3"}},
			{Name: "fast", Feeder: &promotion.Feeder{Name: "candidate", Delay: 2 * day, Filter: `[^-]*`}, Members: members(29*day, "1.35.9", "1.36.2")},
			{Name: "fast-1.36", Feeder: &promotion.Feeder{Name: "fast", Filter: filter}, Members: members(29*day, "1.35.9", "1.36.2")},
			{Name: "stable-1.36", Feeder: &promotion.Feeder{Name: "fast-1.36", Delay: week, Approvals: 2, Filter: filter}, Members: members(22*day, "1.35.9", "1.36.2")},
		},
		Graph: ways("1.35.9 1.36.2", "1.36.2 1.36.4 SlowDisks", "1.35.9 1.36.4", "1.36.4 1.36.5"),
		Risks: []promotion.Risk{{Name: "SlowDisks", To: []string{"1.36.4"}}},
		Evidence: map[string]promotion.Evidence{
			"1.35.10": {Passed: []string{"e2e", "upgrade"}, Newest: now.Add(-2 * day)},
			"1.36.4": {Passed: []string{"e2e", "upgrade"}, Newest: now.Add(-2 * day), Digests: []string{"sha256:4f0c"},
				Approvals: approvals("stable-1.36", "sha256:4f0c", "ann", "bob")},
			"1.36.5": {Passed: []string{"e2e"}, Newest: now.Add(-2 * day)},
		},
		Policy: promotion.Policy{RequireEvidence: []string{"e2e", "upgrade"}, FreshFor: 30 * day, Rollouts: map[string]time.Duration{"stable-1.36": 2 * day}},
	}
}

func TestPlanGolden(t *testing.T) {
	plan, err := promotion.New(chain())
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/plan.json", []byte(said(plan)+"\n"))
	sets, err := json.MarshalIndent(plan.ChangeSets(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/changesets.json", append(sets, '\n'))
}

// A head comes after the version over which clusters get to it, and a patch that goes
// over another before its head comes after that.
func TestChangeSetsComeInAnOrderThatStrandsNobody(t *testing.T) {
	in := promotion.Input{Now: now, Graph: ways("1.36.5 1.36.6", "1.36.6 1.36.7", "1.36.1 1.36.3", "1.36.3 1.36.4", "1.36.4 1.36.5"),
		Channels: fed(promotion.Feeder{}, members(week, "1.36.5"), append(members(week, "1.36.5", "1.36.1", "1.36.4"), members(2*week, "1.36.7", "1.36.6", "1.36.3")...))}
	plan, err := promotion.New(in)
	if err != nil {
		t.Fatal(err)
	}
	holds := map[string]bool{"1.36.5": true}
	for _, set := range plan.ChangeSets() {
		holds[set.Version] = true
		head := "1.36.5"
		for v := range holds {
			if v > head {
				head = v
			}
		}
		for v := range holds {
			if !reaches(in.Graph, holds, v, head) {
				t.Errorf("after the change set of %s, %s has no way to %s", set.Version, v, head)
			}
		}
	}
	if len(holds) != 6 {
		t.Errorf("got %v", outline(plan))
	}
}

// reaches is the definition of a way, written down once more and simply.
func reaches(g *graph.Graph, holds map[string]bool, from, to string) bool {
	seen := map[string]bool{}
	var walk func(v string) bool
	walk = func(v string) bool {
		if v == to {
			return true
		}
		if seen[v] || !holds[v] {
			return false
		}
		seen[v] = true
		for _, e := range g.Edges {
			if g.Nodes[e[0]].Version == v && holds[g.Nodes[e[1]].Version] && walk(g.Nodes[e[1]].Version) {
				return true
			}
		}
		for _, group := range g.ConditionalEdges {
			for _, e := range group.Edges {
				if e.From == v && holds[e.To] && walk(e.To) {
					return true
				}
			}
		}
		return false
	}
	return walk(from)
}
