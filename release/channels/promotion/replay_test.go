package promotion_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/blang/semver/v4"
	"go.yaml.in/yaml/v3"

	"github.com/slipway-release/slipway/release/channels/graph"
	"github.com/slipway-release/slipway/release/channels/promotion"
)

// corpus is the folder of real data, which the tests go without where there is none.
func corpus(t *testing.T, name string) string {
	t.Helper()
	folder := os.Getenv("SLIPWAY_CORPUS")
	if folder == "" {
		t.Skip("SLIPWAY_CORPUS names no folder with real update data")
	}
	return filepath.Join(folder, "cincinnati", name)
}

// readChannels reads the channels of graph-data. A feeder that is not among them, as the
// field's internal channels are not, is left out. Errata that must be public count as
// one approval; when versions were added is not in the files.
// Format: https://github.com/openshift/cincinnati-graph-data
func readChannels(t *testing.T) []promotion.Channel {
	t.Helper()
	files, err := filepath.Glob(corpus(t, "graph-data-134475077/channels/*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no channels: %v", err)
	}
	var all []promotion.Channel
	known := map[string]bool{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var doc struct {
			Name                 string
			Versions, Tombstones []string
			Feeder               *struct{ Name, Delay, Errata, Filter string }
		}
		if err := yaml.Unmarshal(data, &doc); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		known[doc.Name] = true
		c := promotion.Channel{Name: doc.Name, Tombstones: doc.Tombstones, Members: members(99*day, doc.Versions...)}
		if f := doc.Feeder; f != nil {
			c.Feeder = &promotion.Feeder{Name: f.Name, Filter: f.Filter}
			if f.Errata == "public" {
				c.Feeder.Approvals = 1
			}
			switch f.Delay {
			case "", "PT0H":
			case "PT48H":
				c.Feeder.Delay = 2 * day
			case "P1W":
				c.Feeder.Delay = week
			default:
				t.Fatalf("%s: delay %q", file, f.Delay)
			}
		}
		all = append(all, c)
	}
	for i := range all {
		if f := all[i].Feeder; f != nil && !known[f.Name] {
			all[i].Feeder = nil
		}
	}
	return all
}

// allWays leads from every version to every newer one of its minor and the next.
func allWays(channels []promotion.Channel) *graph.Graph {
	seen := map[string]bool{}
	var versions []semver.Version
	for _, c := range channels {
		for _, m := range c.Members {
			v := semver.MustParse(m.Version)
			v.Build = nil
			if !seen[v.String()] {
				seen[v.String()] = true
				versions = append(versions, v)
			}
		}
	}
	slices.SortFunc(versions, semver.Version.Compare)
	g := &graph.Graph{}
	for i, v := range versions {
		g.Nodes = append(g.Nodes, graph.Node{Version: v.String()})
		for j := range i {
			if from := versions[j]; from.Major == v.Major && v.Minor-from.Minor <= 1 {
				g.Edges = append(g.Edges, [2]int{j, i})
			}
		}
	}
	return g
}

// published is an input in which the errata of all versions are public.
func published(channels []promotion.Channel) promotion.Input {
	in := promotion.Input{Now: now, Channels: channels, Graph: allWays(channels), Evidence: map[string]promotion.Evidence{}}
	for _, n := range in.Graph.Nodes {
		for _, c := range channels {
			e := in.Evidence[n.Version]
			e.Approvals = append(e.Approvals, promotion.Approval{By: "errata", When: now.Add(-99 * day), Channel: c.Name})
			in.Evidence[n.Version] = e
		}
	}
	return in
}

// What real channels lack of their feeders is held, and what they hold beside is warned
// of: the plan for real data adds nothing and leaves nothing unexplained.
func TestReplayExplainsRealChannels(t *testing.T) {
	in := published(readChannels(t))
	plan := mustPlan(t, in)
	if len(plan.Additions) > 0 {
		t.Errorf("real channels lack %+v", plan.Additions)
	}
	held, warned := map[[2]string]string{}, map[[2]string]string{}
	for _, h := range plan.Held {
		held[[2]string{h.Channel, h.Version}] = h.Rule
	}
	for _, w := range plan.Warnings {
		if w.Rule != promotion.WarnPatch && w.Rule != promotion.WarnStranded {
			warned[[2]string{w.Channel, w.Version}] = w.Rule
		}
	}
	fed, lacks, extra := 0, 0, 0
	for _, c := range in.Channels {
		if c.Feeder == nil {
			continue
		}
		fed++
		feeder := holdings(in.Channels[slices.IndexFunc(in.Channels, func(f promotion.Channel) bool { return f.Name == c.Feeder.Name })])
		holds := holdings(c)
		for v := range feeder {
			if holds[v] {
				continue
			}
			lacks++
			if rule := held[[2]string{c.Name, v}]; rule != promotion.RuleTombstone && rule != promotion.RuleFilter {
				t.Errorf("%s lacks %s, which %q explains", c.Name, v, rule)
			}
		}
		for v := range holds {
			if !feeder[v] && warned[[2]string{c.Name, v}] == "" {
				t.Errorf("%s holds %s, which its feeder does not, and nothing explains it", c.Name, v)
			}
		}
	}
	for key, rule := range warned {
		extra++
		if held[key] != "" {
			t.Errorf("%v is warned of by %s and held by %s", key, rule, held[key])
		}
	}
	if fed != 9 || lacks != 82 || extra != 15 {
		t.Errorf("%d channels are fed, lack %d versions and hold %d of their own, expected 9, 82 and 15", fed, lacks, extra)
	}
}

// Filled from nothing, the channels get what they really hold, but for what their rules
// of today would not let in again.
func TestReplayFillsRealChannels(t *testing.T) {
	channels := readChannels(t)
	in := published(channels)
	in.Channels = slices.Clone(channels)
	for i := range in.Channels {
		if in.Channels[i].Feeder != nil {
			in.Channels[i].Members = nil
			in.Channels[i].Feeder.Delay = 0
		}
	}
	plan := mustPlan(t, in)
	filled := after(in, plan)
	held := map[[2]string]string{}
	for _, h := range plan.Held {
		held[[2]string{h.Channel, h.Version}] = h.Rule
	}
	same := 0
	for i, c := range filled.Channels {
		if c.Feeder == nil {
			continue
		}
		feeder := holdings(filled.Channels[slices.IndexFunc(filled.Channels, func(f promotion.Channel) bool { return f.Name == c.Feeder.Name })])
		got, want := holdings(c), holdings(channels[i])
		for v := range got {
			if !want[v] {
				t.Errorf("%s gets %s, which it does not hold", c.Name, v)
			}
			same++
		}
		for v := range want {
			rule := held[[2]string{c.Name, v}]
			if !got[v] && feeder[v] && rule != promotion.RuleTombstone && rule != promotion.RuleFilter {
				t.Errorf("%s does not get %s, which %q explains", c.Name, v, rule)
			}
		}
	}
	if same < 300 {
		t.Errorf("%d versions were promoted, expected hundreds", same)
	}
}

// The real graph of a channel lets the channel be filled as it was.
func TestReplayFindsRealWays(t *testing.T) {
	data, err := os.ReadFile(corpus(t, "golden-stable-4.7-amd64.json"))
	if err != nil {
		t.Fatal(err)
	}
	g, err := graph.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	var versions []string
	for _, n := range g.Nodes {
		versions = append(versions, n.Version)
	}
	plan := mustPlan(t, promotion.Input{Now: now, Graph: g, Channels: []promotion.Channel{
		{Name: "stable", Members: members(week, versions...)},
		{Name: "stable-4.7", Feeder: &promotion.Feeder{Name: "stable", Filter: `4\.[67]\.[0-9].*`}},
	}})
	t.Logf("%d of %d versions are added", len(plan.Additions), len(versions))
	for _, h := range plan.Held {
		t.Errorf("%s is held: %s: %s", h.Version, h.Rule, h.Detail)
	}
}
