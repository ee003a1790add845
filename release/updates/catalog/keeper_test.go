package catalog_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/channels"
	"github.com/slipway-release/slipway/release/channels/graph"
	"github.com/slipway-release/slipway/release/sign"
	"github.com/slipway-release/slipway/release/streams"
	"github.com/slipway-release/slipway/release/updates/catalog"
	"github.com/slipway-release/slipway/release/updates/catalog/catalogtest"
)

func TestPhases(t *testing.T) {
	c := catalogtest.New(t).Keeper(t).Catalog()
	got := map[string][]string{}
	for _, s := range c.Streams {
		for _, p := range s.Payloads {
			got[s.Policy.Name] = append(got[s.Policy.Name], p.Version.String()+" "+string(p.Phase))
		}
	}
	want := map[string][]string{
		"nightly": {
			catalogtest.Nightly(24) + " Pending", catalogtest.Nightly(23) + " Ready", catalogtest.Nightly(22) + " Inconclusive", catalogtest.Nightly(21) + " Rejected",
			catalogtest.Nightly(20) + " Accepted", catalogtest.Nightly(19) + " Rejected", catalogtest.Nightly(18) + " Accepted", catalogtest.Nightly(17) + " Accepted",
		},
		"stable": {"1.37.0-rc.1 Rejected", "1.36.3 Ready", "1.36.2 Accepted", "1.36.1 Accepted"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	manual := c.Payload("1.37.0-rc.1")
	if d := manual.Decision; d == nil || d.By != "jo@example.com" || !d.Manual() || len(manual.Earlier) != 1 || manual.Now != streams.Undecided {
		t.Errorf("the decision by hand is %+v, before it %v, now %v", d, manual.Earlier, manual.Now)
	}
	if p := c.Payload(catalogtest.Nightly(20)); p.Decision.Manual() || p.Now != streams.Accepted || len(p.UpgradesTo) != 3 || !slices.Equal(p.Channels, []string{"candidate"}) || len(p.Refused) != 1 {
		t.Errorf("got %+v", p)
	}
	if u := c.Upgrade(catalogtest.Nightly(20), catalogtest.Nightly(21)); u.Verdict() != "Failed" || u.Failure != 1 || !strings.Contains(u.Runs[0].Detail, "31 of 999") {
		t.Errorf("got %+v", u)
	}
	if c := c.Payload(catalogtest.Nightly(20)).Checks[1]; c.Name != "upgrade" || c.Retries != 0 || len(c.Evidence) != 2 {
		t.Errorf("upgrades from two versions are told as %+v", c)
	}
	for pair, want := range map[catalog.Pair]string{
		{From: catalogtest.Nightly(18), To: catalogtest.Nightly(20)}: "Tested", {From: catalogtest.Nightly(17), To: catalogtest.Nightly(20)}: "Untested",
		{From: "1.36.1", To: "1.36.2"}: "Conditional", {From: catalogtest.Nightly(20), To: catalogtest.Nightly(22)}: "Unclear", {From: "1.36.2", To: "1.36.1"}: "",
	} {
		if got := c.Upgrade(pair.From, pair.To).Verdict(); got != want {
			t.Errorf("%v: got %q, want %q", pair, got, want)
		}
	}
}

func TestStuck(t *testing.T) {
	c := catalogtest.New(t).Keeper(t).Catalog()
	want := map[string][]string{
		"nightly": {
			"The newest accepted payload is 4 days old, more than 2 days; 1 since then failed, most often in upgrade (1).",
			catalogtest.Nightly(23) + " has waited 25 h for a verdict: no answer from upgrade.",
		},
		"stable": {"Nothing is cut: release week, until 1.36.3 is out (jo@example.com)", "1.36.3 has waited 8 days for a verdict: no answer from conformance."},
	}
	for _, s := range c.Streams {
		if diff := cmp.Diff(want[s.Policy.Name], s.Stuck); diff != "" {
			t.Errorf("%s: %s", s.Policy.Name, diff)
		}
	}
}

// TestRefresh sees that nothing is read twice, that new evidence is seen, and that
// content alone decides about the ID.
func TestRefresh(t *testing.T) {
	w := catalogtest.New(t)
	k := w.Keeper(t)
	first, read := k.Catalog(), w.Read
	if err := k.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w.Read != read || k.Catalog() == first || k.Catalog().ID != first.ID {
		t.Errorf("read %d times, then %d; %s, then %s", read, w.Read, first.ID, k.Catalog().ID)
	}
	digest := w.Digest(t, catalogtest.Nightly(22)).String()
	e := w.Said[digest]
	e.Statements = append(e.Statements, sign.Statement{
		Digest: w.Digest(t, "1.36.1"), PredicateType: sign.PredicateDecision, Predicate: json.RawMessage(`{"verdict":"Accepted","by":"jo"}`), Time: catalogtest.Now,
	})
	w.Said[digest] = e
	if err := k.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p := k.Catalog().Payload(catalogtest.Nightly(22)); p.Phase != catalog.Accepted || w.Read != read+1 || k.Catalog().ID == first.ID {
		t.Errorf("got %s after %d more reads", p.Phase, w.Read-read)
	}
	if first.Payload(catalogtest.Nightly(22)).Phase != catalog.Inconclusive {
		t.Error("a catalog that was handed out changed")
	}
}

func TestUnreadable(t *testing.T) {
	w := catalogtest.New(t)
	w.Broken = w.Digest(t, catalogtest.Nightly(20)).String()
	k := w.Keeper(t)
	c := k.Catalog()
	if p := c.Payload(catalogtest.Nightly(20)); p.Phase != catalog.Inconclusive || !strings.Contains(p.Reason, "the registry does not answer") || len(c.Problems) != 1 {
		t.Errorf("evidence that cannot be read gives %s: %s; %v", p.Phase, p.Reason, c.Problems)
	}
	w.Down = errors.New("no route to host")
	if err := k.Refresh(t.Context()); err == nil || k.Catalog() != c {
		t.Errorf("got %v; the last good catalog must stay", err)
	}
	if at, err := k.Failure(); err == nil || at != catalogtest.Now {
		t.Errorf("got %v at %v", err, at)
	}
	w.Down, w.Broken = nil, ""
	if err := k.Refresh(t.Context()); err != nil || k.Catalog().Payload(catalogtest.Nightly(20)).Phase != catalog.Accepted {
		t.Errorf("got %v", err)
	}
	if _, err := k.Failure(); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestRun(t *testing.T) {
	w := catalogtest.New(t)
	k := catalog.NewKeeper(w.Sources(), catalog.Options{Interval: time.Hour, Payloads: 2})
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan struct{})
	go func() { defer close(over); k.Run(ctx) }()
	wait := func(ok func(*catalog.Catalog) bool) *catalog.Catalog {
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			if c := k.Catalog(); c != nil && ok(c) {
				return c
			}
		}
		t.Fatal("no such catalog was made")
		return nil
	}
	first := wait(func(*catalog.Catalog) bool { return true })
	if s := first.Stream("nightly"); s.Left != 5 || len(s.Payloads) != 3 { // the third is one without an image
		t.Errorf("%d are left out of the list, %d are in it", s.Left, len(s.Payloads))
	}
	k.Trigger()
	k.Trigger()
	wait(func(c *catalog.Catalog) bool { return c != first })
	cancel()
	<-over
}

func parse(t *testing.T, name string) release.Version {
	v, err := release.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

type stored []channels.Stored

func (s stored) List(context.Context) ([]channels.Stored, error) { return s, nil }

func TestChannelSources(t *testing.T) {
	v1, v2, v3 := parse(t, "1.36.1"), parse(t, "1.36.2"), parse(t, "1.36.3")
	held := func(v release.Version, previous ...release.Version) channels.Version {
		return channels.Version{Version: v, PullSpec: "a.example/b@sha256:" + strings.Repeat(v.String()[len(v.String())-1:], 64), Previous: previous}
	}
	state := channels.State{Name: "candidate", Versions: []channels.Version{held(v1), held(v2), held(v3, v1)},
		Edges: []channels.Edge{{From: v1, To: v2, Evidence: "sha256:e"}, {From: v2, To: v3, Evidence: "sha256:bad", Failed: true}}}
	got, err := catalog.ChannelStore{Store: stored{{State: state}, {State: channels.State{Name: "empty"}}}, Architecture: "amd64"}.Channels(t.Context())
	if err != nil || len(got) != 2 || len(got[0].Versions) != 3 || len(got[0].Edges) != 2 {
		t.Fatalf("got %+v, %v", got, err)
	}
	if e := got[0].Edges; e[0].Evidence != "sha256:e" || len(e[0].Risks) != 0 || !slices.Equal(e[1].Risks, []string{channels.RiskUntested}) {
		t.Errorf("the edges are %+v: one is proven, the other was declared and not tried", e)
	}
	if b := got[0].Blocked; len(b) != 1 || b[0].From != "1.36.2" || !strings.Contains(b[0].Reason, "sha256:bad") {
		t.Errorf("blocked are %+v, want the edge that failed", b)
	}
	snapshot := &graph.Snapshot{
		Graphs: map[string]*graph.Graph{"amd64": {
			Nodes: []graph.Node{{Version: "1.36.1", Channels: []string{"a", "b"}}, {Version: "1.36.2", Channels: []string{"a"}}, {Version: "1.36.3", Channels: []string{"a"}}},
			Edges: [][2]int{{0, 1}}, ConditionalEdges: []graph.ConditionalEdges{{Edges: []graph.Edge{{From: "1.36.1", To: "1.36.3"}}, Risks: []graph.Risk{{Name: "Slow"}}}},
		}},
		Quarantined: []graph.Quarantined{{Version: "1.36.0", Reason: "twice"}},
	}
	offered := catalog.Offered{Snapshot: func() *graph.Snapshot { return snapshot }, Architecture: "amd64"}
	got, err = offered.Channels(t.Context())
	if err != nil || len(got) != 2 {
		t.Fatalf("got %+v, %v", got, err)
	}
	for _, c := range got {
		if c.Name == "a" && (len(c.Versions) != 3 || len(c.Edges) != 2 || c.Edges[1].Risks[0] != "Slow" || len(c.Quarantined) != 1) {
			t.Errorf("got %+v", c)
		}
		if c.Name == "b" && (len(c.Versions) != 1 || len(c.Edges) != 0) {
			t.Errorf("got %+v", c)
		}
	}
	if none, err := (catalog.Offered{Snapshot: func() *graph.Snapshot { return nil }}).Channels(t.Context()); err != nil || none != nil {
		t.Errorf("got %v, %v", none, err)
	}
}
