package promotion_test

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/slipway-release/slipway/release/channels/graph"
	"github.com/slipway-release/slipway/release/channels/promotion"
)

// field is an input as large as the field's largest: 76 channels and the three that feed
// them, about 1,400 versions and 86,000 edges, of which a third bear risks. Each channel
// lacks its newest versions, or holds none.
func field(lacks int) promotion.Input {
	const minors, patches = 23, 61
	var versions []string
	byMinor := make([][]string, minors)
	g := &graph.Graph{}
	for m := range minors {
		for p := range patches {
			v := fmt.Sprintf("4.%d.%d", m, p)
			versions = append(versions, v)
			byMinor[m] = append(byMinor[m], v)
			g.Nodes = append(g.Nodes, graph.Node{Version: v})
		}
	}
	risky := make([]graph.ConditionalEdges, 270)
	for i := range risky {
		risky[i].Risks = []graph.Risk{{Name: fmt.Sprint("Risk", i)}}
	}
	add := func(m, from, n, to int) {
		if g.Nodes[n*patches+to].Version != byMinor[n][to] {
			panic("nodes are not in order")
		}
		if group := (n*patches + to) % 400; group < len(risky) && (from+to)%2 == 0 {
			risky[group].Edges = append(risky[group].Edges, graph.Edge{From: byMinor[m][from], To: byMinor[n][to]})
			return
		}
		g.Edges = append(g.Edges, [2]int{m*patches + from, n*patches + to})
	}
	for m := range minors {
		for from := range patches {
			for to := range patches {
				if from < to {
					add(m, from, m, to)
				}
				if m+1 < minors && from <= to {
					add(m, from, m+1, to)
				}
			}
		}
	}
	g.ConditionalEdges = risky
	in := promotion.Input{Graph: g, Now: now, Evidence: map[string]promotion.Evidence{}, Policy: promotion.Policy{RequireEvidence: []string{"e2e", "upgrade"}, FreshFor: 900 * day}}
	for _, v := range versions {
		in.Evidence[v] = promotion.Evidence{Passed: []string{"e2e", "upgrade", "sbom"}, Newest: now.Add(-day)}
	}
	for i, v := range versions {
		for r := range 3 {
			in.Risks = append(in.Risks, promotion.Risk{Name: fmt.Sprint("Risk", i/patches, r), To: []string{v}})
		}
	}
	hold := func(of ...[]string) (held []promotion.Member) {
		for _, list := range of {
			for _, v := range list[:max(0, len(list)-lacks)] {
				held = append(held, promotion.Member{Version: v, Since: now.Add(-30 * day)})
			}
		}
		return held
	}
	feed := func(name, feeder, filter string, delay time.Duration, held []promotion.Member) {
		in.Channels = append(in.Channels, promotion.Channel{Name: name, Members: held, Feeder: &promotion.Feeder{Name: feeder, Filter: filter, Delay: delay}})
	}
	in.Channels = []promotion.Channel{{Name: "candidate", Members: members(30*day, versions...)}}
	feed("fast", "candidate", `4[.][0-9]+[.][0-9]+`, 0, hold(byMinor...))
	feed("stable", "fast", "", week, hold(byMinor...))
	for m := range minors {
		own := hold(byMinor[max(0, m-1) : m+1]...)
		for _, from := range []string{"candidate", "fast", "stable"} {
			feed(fmt.Sprintf("%s-4.%d", from, m), from, fmt.Sprintf(`4[.](%d|%d)[.][0-9].*`, m-1, m), 0, own)
		}
		if m%2 == 0 && m > 4 {
			feed(fmt.Sprintf("eus-4.%d", m), "stable", fmt.Sprintf(`4[.](%d|%d|%d)[.][0-9].*`, m-2, m-1, m), 0, hold(byMinor[m-2:m+1]...))
		}
	}
	return in
}

func BenchmarkNew(b *testing.B) {
	for name, in := range map[string]promotion.Input{"a few releases": field(2), "every channel anew": field(1000)} {
		b.Run(name, func(b *testing.B) {
			edges := len(in.Graph.Edges)
			for _, g := range in.Graph.ConditionalEdges {
				edges += len(g.Edges)
			}
			var plan promotion.Plan
			for b.Loop() {
				var err error
				if plan, err = promotion.New(in); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(in.Channels)), "channels")
			b.ReportMetric(float64(len(in.Graph.Nodes)), "versions")
			b.ReportMetric(float64(edges), "edges")
			b.ReportMetric(float64(len(plan.Additions)), "added")
			b.ReportMetric(float64(len(plan.Held)), "held")
			if len(plan.Additions) == 0 {
				rules := map[string]int{}
				for _, h := range plan.Held {
					rules[h.Rule]++
				}
				b.Fatalf("nothing is added: %v", rules)
			}
		})
	}
}

// A plan for the whole field must be quick enough to be made for every pull request. What
// is bounded is the work: a busy host lets it wait, for as long as it likes.
func TestFieldIsPlannedInTime(t *testing.T) {
	if testing.Short() {
		t.Skip("it measures time")
	}
	in := field(2)
	var took []time.Duration
	for range 3 {
		before := processorTime(t)
		if _, err := promotion.New(in); err != nil {
			t.Fatal(err)
		}
		took = append(took, processorTime(t)-before)
	}
	if best := slices.Min(took); best > 5*time.Second {
		t.Errorf("a plan takes %s of a processor, expected less than 5s", best)
	}
}

// processorTime is what this process has had of processors.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
