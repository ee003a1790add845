package channels_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/channels"
	"github.com/slipway-release/slipway/release/channels/graph"
	"github.com/slipway-release/slipway/release/channels/graph/path"
)

// declared is a channel whose release of day 20 declares three sources: from that of day
// 17 nobody tried it, from 18 it failed, and from 19 it passed.
func declared(t *testing.T) channels.State {
	t.Helper()
	stored := channels.Stored{State: channels.State{Name: "candidate"}}
	for _, day := range []int{17, 18, 19} {
		stored.State = plan(t, stored, addition(t, day)).After
	}
	add := addition(t, 20, 19)
	add.Previous = []release.Version{nightly(t, 19), nightly(t, 17), nightly(t, 18)}
	add.Edges = append(add.Edges, channels.Source{From: nightly(t, 18), Evidence: "sha256:bad", Failed: true})
	return plan(t, stored, add).After
}

func plan(t *testing.T, stored channels.Stored, add channels.Addition) channels.Plan {
	t.Helper()
	p, err := channels.NewPlan(stored, add, now)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// waysTo are the days from which the release of day 20 is offered, with the risks.
func waysTo(t *testing.T, state channels.State, offer channels.Offer) (string, *graph.Snapshot) {
	t.Helper()
	s, err := channels.Snapshot("amd64", []channels.State{state}, offer)
	if err != nil {
		t.Fatal(err)
	}
	g := s.Graphs["amd64"]
	day := func(version string) string { return strings.Split(version, "-")[4] }
	var ways []string
	for _, e := range g.Edges {
		ways = append(ways, day(g.Nodes[e[0]].Version))
	}
	for _, group := range g.ConditionalEdges {
		for _, e := range group.Edges {
			way := day(e.From)
			for _, r := range group.Risks {
				way += " " + r.Name
			}
			ways = append(ways, way)
		}
	}
	slices.Sort(ways)
	return strings.Join(ways, ", "), s
}

func TestUntestedEdgesAreOfferedAsThePolicyHasIt(t *testing.T) {
	state := declared(t)
	for policy, want := range map[string]string{
		"":                           "17 UntestedUpgrade, 19",
		channels.UntestedConditional: "17 UntestedUpgrade, 19",
		channels.UntestedOffered:     "17, 19",
		channels.UntestedOmitted:     "19",
	} {
		got, s := waysTo(t, state, channels.Offer{Untested: policy})
		if got != want {
			t.Errorf("policy %q: got %q, want %q", policy, got, want)
		}
		if len(s.Blocked) != 1 || s.Blocked[0].From != nightly(t, 18).String() || !strings.Contains(s.Blocked[0].Reason, "sha256:bad") {
			t.Errorf("policy %q: blocked are %+v, want the edge that failed, with its evidence", policy, s.Blocked)
		}
	}
}

func TestWhatFailedOnceMayPassLater(t *testing.T) {
	stored := channels.Stored{State: declared(t)}
	from, to := nightly(t, 19).String(), nightly(t, 20).String()
	for _, untested := range []string{channels.UntestedConditional, channels.UntestedOffered} {
		_, s := waysTo(t, declared(t), channels.Offer{Passes: 2, Untested: untested})
		trials := s.Trials()[graph.Edge{From: from, To: to}]
		if trials.String() != "1 of 2" || !trials.Short() {
			t.Errorf("%s: trials are %q", untested, trials)
		}
		found, err := path.Find(s.Graphs["amd64"], from, to, path.Options{}.For(s, "amd64"))
		if err != nil || found.Ways[0].Hops[0].Passes != trials {
			t.Errorf("%s: way %+v, error %v", untested, found, err)
		}
	}
	if _, s := waysTo(t, declared(t), channels.Offer{}); len(s.Tried) != 0 || len(s.Trials()) != 0 {
		t.Errorf("where one pass is enough, trials are %v", s.Tried)
	}
	again := addition(t, 20)
	again.Edges = []channels.Source{{From: nightly(t, 18), Evidence: "sha256:good"}, {From: nightly(t, 19), Evidence: "sha256:worse", Failed: true}}
	p := plan(t, stored, again)
	if len(p.Changes) != 1 {
		t.Errorf("changes %q, want the one edge that passed now", p.Changes)
	}
	if got, _ := waysTo(t, p.After, channels.Offer{}); got != "17 UntestedUpgrade, 18, 19" {
		t.Errorf("got %q", got)
	}
}

// Where several passes are demanded, an edge with fewer is what the policy makes of untested
// ones, whether the payload declares it or not; more evidence completes it, once.
func TestSeveralPasses(t *testing.T) {
	for policy, want := range map[string]string{
		channels.UntestedConditional: "17 UntestedUpgrade, 19 UntestedUpgrade",
		channels.UntestedOffered:     "17, 19",
		channels.UntestedOmitted:     "",
	} {
		if got, _ := waysTo(t, declared(t), channels.Offer{Untested: policy, Passes: 2}); got != want {
			t.Errorf("policy %q: got %q, want %q", policy, got, want)
		}
	}
	_, s := waysTo(t, declared(t), channels.Offer{Passes: 2})
	var messages []string
	for _, g := range s.Graphs["amd64"].ConditionalEdges {
		messages = append(messages, g.Risks[0].Message)
	}
	if !strings.Contains(strings.Join(messages, "\n"), "has 1 of 2 passes") || !strings.Contains(strings.Join(messages, "\n"), "never tested") {
		t.Errorf("risks say %q", messages)
	}
	again := addition(t, 20)
	again.Edges = []channels.Source{
		{From: nightly(t, 18), Evidence: "sha256:good"}, // failed before
		{From: nightly(t, 19), Evidence: "sha256:two", More: []string{"sha256:one"}},
	}
	more := plan(t, channels.Stored{State: declared(t)}, again)
	if len(more.Changes) != 2 || !strings.Contains(strings.Join(more.Changes, "\n"), "which passed 2 times") {
		t.Errorf("changes %q", more.Changes)
	}
	for passes, want := range map[int]string{1: "17 UntestedUpgrade, 18, 19", 2: "17 UntestedUpgrade, 18 UntestedUpgrade, 19", 3: "17 UntestedUpgrade, 18 UntestedUpgrade, 19 UntestedUpgrade"} {
		if got, _ := waysTo(t, more.After, channels.Offer{Passes: passes}); got != want {
			t.Errorf("%d passes: got %q, want %q", passes, got, want)
		}
	}
	again.Edges = append(again.Edges, channels.Source{From: nightly(t, 19), Evidence: "sha256:worse", Failed: true})
	if p := plan(t, channels.Stored{State: more.After}, again); !p.Empty() {
		t.Errorf("the same once more changes %q", p.Changes)
	}
	data, err := more.After.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if read, err := channels.ParseState(data); err != nil || len(read.Edges) != len(more.After.Edges) {
		t.Errorf("read back: %+v, error %v", read, err)
	}
	for _, e := range []channels.Edge{
		{From: nightly(t, 17), To: nightly(t, 20), Evidence: "sha256:one", More: []string{"sha256:one"}},
		{From: nightly(t, 17), To: nightly(t, 20), Evidence: "sha256:one", More: []string{"sha256:two"}, Failed: true},
	} {
		bad := declared(t)
		bad.Edges = append(bad.Edges, e)
		if _, err := bad.Marshal(); err == nil || !strings.Contains(err.Error(), "evidence") {
			t.Errorf("%+v: error %v", e, err)
		}
	}
}

func TestRisksAreDeclaredOverWhatIsProven(t *testing.T) {
	risk := &graph.Risk{Name: "Slow", URL: "https://example.com", Message: "slow", MatchingRules: []graph.MatchingRule{{Type: "Always"}}}
	offer := channels.Offer{Blocks: func(versions []string) []graph.Block {
		return []graph.Block{{To: slices.Max(versions), From: regexp.MustCompile("-1[79]-"), Risk: risk}}
	}}
	if got, _ := waysTo(t, declared(t), offer); got != "17 UntestedUpgrade Slow, 19 Slow" && got != "17 Slow UntestedUpgrade, 19 Slow" {
		t.Errorf("got %q", got)
	}
}

func TestRolloutsAreOffered(t *testing.T) {
	state := declared(t)
	halted := now.Add(time.Hour)
	state.Rollouts = []channels.Rollout{{Version: nightly(t, 20), Start: now, Duration: "48h", Halted: &halted}}
	_, s := waysTo(t, state, channels.Offer{})
	want := graph.Rollout{Channel: "candidate", Version: nightly(t, 20).String(), Start: now, Duration: 48 * time.Hour, Halted: halted}
	if len(s.Rollouts) != 1 || s.Rollouts[0] != want {
		t.Errorf("got %+v, want %+v", s.Rollouts, want)
	}
	state.Rollouts[0].Duration = "soon"
	if _, err := state.Marshal(); err == nil || !strings.Contains(err.Error(), "expected one such as 24h") {
		t.Errorf("a rollout without a duration: %v", err)
	}
}
