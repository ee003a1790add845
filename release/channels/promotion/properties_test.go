package promotion_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/blang/semver/v4"

	"github.com/slipway-release/slipway/release/channels/graph"
	"github.com/slipway-release/slipway/release/channels/promotion"
)

// seeds is how many inputs each property is tried with.
const seeds = 1000

// random is an input with three minors, a chain of channels and channels of minors.
func random(r *rand.Rand) promotion.Input {
	var versions []string
	for m := 34; m <= 36; m++ {
		for _, rc := range []string{"-rc.1", "-rc.2"}[r.IntN(3):] {
			versions = append(versions, fmt.Sprintf("1.%d.0%s", m, rc))
		}
		for p := range 2 + r.IntN(4) {
			versions = append(versions, fmt.Sprintf("1.%d.%d", m, p))
		}
	}
	in := promotion.Input{Now: now, Graph: randomWays(r, versions), Evidence: map[string]promotion.Evidence{},
		Policy: promotion.Policy{RequireEvidence: []string{"e2e", "upgrade"}[:r.IntN(3)]}}
	for _, v := range versions {
		in.Evidence[v] = randomEvidence(r)
		if r.IntN(8) == 0 {
			in.Risks = append(in.Risks, promotion.Risk{Name: "R" + fmt.Sprint(r.IntN(3)), To: versions[r.IntN(len(versions)):], FixedIn: []string{"", v}[r.IntN(2)]})
		}
	}
	in.Channels = []promotion.Channel{{Name: "candidate", Members: randomMembers(r, versions, .9)}}
	feeder := "candidate"
	add := func(name, filter string) {
		f := &promotion.Feeder{Name: feeder, Filter: filter, Delay: time.Duration(max(0, r.IntN(4)-1)) * day, Approvals: max(0, r.IntN(4)-1)}
		from := in.Channels[slices.IndexFunc(in.Channels, func(c promotion.Channel) bool { return c.Name == feeder })]
		var fits []string
		for _, m := range from.Members {
			if minorOf(m.Version) <= minorOfChannel(name) {
				fits = append(fits, m.Version)
			}
		}
		in.Channels = append(in.Channels, promotion.Channel{Name: name, Feeder: f, Members: randomMembers(r, fits, .9*r.Float64())})
		if r.IntN(4) == 0 && len(fits) > 0 {
			at := &in.Channels[slices.IndexFunc(in.Channels, func(c promotion.Channel) bool { return c.Name == feeder })]
			at.Tombstones = append(at.Tombstones, fits[r.IntN(len(fits))])
		}
	}
	add("fast", "")
	add("fast-1.35", `1[.]3[45][.].*`)
	feeder = "fast"
	add("stable-1.36", `1[.]3[56][.][0-9]+`)
	add("stable", `[^-]*`)
	feeder = "stable"
	add("eus-1.36", `1[.]3[46][.].*`)
	for _, c := range in.Channels {
		if len(c.Members) > 0 && r.IntN(8) == 0 {
			in.Removals = append(in.Removals, promotion.Removal{Channel: c.Name, Version: c.Members[r.IntN(len(c.Members))].Version})
		}
	}
	return in
}

// randomWays has few edges or many, nearly all of them to newer versions.
func randomWays(r *rand.Rand, versions []string) *graph.Graph {
	var edges []string
	often := .1 + .8*r.Float64()
	for i, from := range versions {
		for j, to := range versions {
			if i == j || r.Float64() > often || j < i && (r.IntN(60) > 0 || minorOf(from) != minorOf(to)) {
				continue
			}
			edges = append(edges, from+" "+to+[]string{"", " R", " S"}[r.IntN(3)])
		}
	}
	return ways(edges...)
}

func randomEvidence(r *rand.Rand) promotion.Evidence {
	e := promotion.Evidence{Newest: now.Add(-time.Duration(r.IntN(500)) * time.Hour)}
	for _, check := range []string{"e2e", "upgrade"} {
		if r.IntN(5) > 0 {
			e.Passed = append(e.Passed, check)
		}
	}
	for range r.IntN(4) {
		e.Approvals = append(e.Approvals, promotion.Approval{
			By: []string{"ann", "bob", "eve"}[r.IntN(3)], When: now.Add(time.Duration(r.IntN(200)-150)*time.Hour - 7*time.Minute),
			Channel: []string{"fast", "stable", "stable-1.36", "fast-1.35", "eus-1.36"}[r.IntN(5)],
		})
	}
	return e
}

func randomMembers(r *rand.Rand, versions []string, often float64) []promotion.Member {
	var all []promotion.Member
	for _, v := range versions {
		if r.Float64() < often {
			// Odd minutes, so that nothing opens at the very time of a plan.
			all = append(all, promotion.Member{Version: v, Since: now.Add(time.Duration(20-r.IntN(200))*time.Hour - 13*time.Minute)})
		}
	}
	if len(all) > 0 && r.IntN(6) == 0 {
		all[r.IntN(len(all))].Since = time.Time{}
	}
	return all
}

func minorOf(version string) uint64 { return semver.MustParse(version).Minor }

// minorOfChannel is the newest minor that a channel may hold.
func minorOfChannel(name string) uint64 {
	if _, of, ok := strings.Cut(name, "-1."); ok {
		return minorOf("1." + of + ".0")
	}
	return 99
}

func mustPlan(t *testing.T, in promotion.Input) promotion.Plan {
	t.Helper()
	plan, err := promotion.New(in)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// forSeeds runs a property on many inputs and shows the first that breaks it.
func forSeeds(t *testing.T, property func(t *testing.T, r *rand.Rand, in promotion.Input)) {
	for seed := range uint64(seeds) {
		r := rand.New(rand.NewPCG(seed, 36))
		in := random(r)
		if property(t, r, in); t.Failed() {
			t.Fatalf("seed %d\n%s", seed, strings.Join(outline(mustPlan(t, in)), "\n"))
		}
	}
}

// after is what the channels hold once a plan was carried out.
func after(in promotion.Input, plan promotion.Plan) promotion.Input {
	in.Channels = slices.Clone(in.Channels)
	for _, a := range plan.Additions {
		i := slices.IndexFunc(in.Channels, func(c promotion.Channel) bool { return c.Name == a.Channel })
		in.Channels[i].Members = append(slices.Clone(in.Channels[i].Members), promotion.Member{Version: a.Version, Since: in.Now})
	}
	for _, gone := range plan.Removals {
		i := slices.IndexFunc(in.Channels, func(c promotion.Channel) bool { return c.Name == gone.Channel })
		in.Channels[i].Members = slices.DeleteFunc(slices.Clone(in.Channels[i].Members), func(m promotion.Member) bool { return m.Version == gone.Version })
	}
	in.Removals = slices.DeleteFunc(slices.Clone(in.Removals), func(r promotion.Removal) bool { return slices.Contains(plan.Removals, r) })
	return in
}

func holdings(c promotion.Channel) map[string]bool {
	held := map[string]bool{}
	for _, m := range c.Members {
		held[m.Version] = true
	}
	return held
}

func additions(p promotion.Plan) map[[2]string]bool {
	all := map[[2]string]bool{}
	for _, a := range p.Additions {
		all[[2]string{a.Channel, a.Version}] = true
	}
	return all
}

func TestEveryCandidateIsAddedOrHeld(t *testing.T) {
	added, held := 0, 0
	forSeeds(t, func(t *testing.T, _ *rand.Rand, in promotion.Input) {
		plan := mustPlan(t, in)
		done := after(in, plan)
		added, held = added+len(plan.Additions), held+len(plan.Held)
		why := map[[2]string]bool{}
		for _, h := range plan.Held {
			why[[2]string{h.Channel, h.Version}] = true
			if h.Rule == "" || !strings.HasSuffix(h.Detail, ".") {
				t.Errorf("%+v explains nothing", h)
			}
			if h.Rule == promotion.RuleDelay && !h.Until.After(in.Now) {
				t.Errorf("%+v should be over", h)
			}
		}
		for i, c := range done.Channels {
			if c.Feeder == nil {
				continue
			}
			feeder := done.Channels[slices.IndexFunc(done.Channels, func(f promotion.Channel) bool { return f.Name == c.Feeder.Name })]
			was, is := holdings(in.Channels[i]), holdings(c)
			for v := range holdings(feeder) {
				key := [2]string{c.Name, v}
				if !was[v] && is[v] == why[key] {
					t.Errorf("%v is added: %v, is held: %v", key, is[v], why[key])
				}
			}
		}
	})
	if added < seeds || held < seeds {
		t.Errorf("%d additions and %d held in %d plans: the inputs try nothing", added, held, seeds)
	}
}

func TestNothingIsLeftAfterAPlan(t *testing.T) {
	forSeeds(t, func(t *testing.T, _ *rand.Rand, in promotion.Input) {
		again := mustPlan(t, after(in, mustPlan(t, in)))
		if len(again.Additions)+len(again.Removals) > 0 {
			t.Errorf("planning again adds %v", outline(again))
		}
	})
}

// hasWay is the definition of a way to the head, written down once more.
func hasWay(g *graph.Graph, c promotion.Channel, v string) bool {
	held := holdings(c)
	heads := map[uint64]string{}
	for w := range held {
		m := minorOf(w)
		if head, ok := heads[m]; !ok || semver.MustParse(w).GT(semver.MustParse(head)) {
			heads[m] = w
		}
	}
	own := minorOfChannel(c.Name)
	for m, head := range heads {
		if (own == 99 && m >= minorOf(v) || m == own) && reaches(g, held, v, head) {
			return true
		}
	}
	return false
}

func TestNoPlanStrandsAVersion(t *testing.T) {
	forSeeds(t, func(t *testing.T, r *rand.Rand, in promotion.Input) {
		if r.IntN(4) == 0 {
			held := in.Channels[0].Members
			in.Only = []string{held[r.IntN(len(held))].Version}
		}
		plan := mustPlan(t, in)
		done := after(in, plan)
		warned := map[[2]string]bool{}
		for _, w := range plan.Warnings {
			warned[[2]string{w.Channel, w.Version}] = warned[[2]string{w.Channel, w.Version}] || w.Rule == promotion.WarnStranded
		}
		for i, c := range done.Channels {
			was := holdings(in.Channels[i])
			for v := range holdings(c) {
				way := hasWay(in.Graph, c, v)
				if !way && (!was[v] || hasWay(in.Graph, in.Channels[i], v)) {
					t.Errorf("%s is left without a way in %s", v, c.Name)
				}
				if len(in.Only) == 0 && way == warned[[2]string{c.Name, v}] {
					t.Errorf("%s has a way in %s: %v, and that is warned of: %v", v, c.Name, way, !way)
				}
			}
		}
	})
}

func TestOrderMeansNothing(t *testing.T) {
	forSeeds(t, func(t *testing.T, r *rand.Rand, in promotion.Input) {
		want := mustPlan(t, in)
		shuffled := in
		shuffled.Channels = mixed(r, in.Channels)
		for i := range shuffled.Channels {
			shuffled.Channels[i].Members = mixed(r, shuffled.Channels[i].Members)
			shuffled.Channels[i].Tombstones = mixed(r, shuffled.Channels[i].Tombstones)
		}
		shuffled.Risks = mixed(r, in.Risks)
		shuffled.Evidence = map[string]promotion.Evidence{}
		for v, e := range in.Evidence {
			e.Passed, e.Approvals = mixed(r, e.Passed), mixed(r, e.Approvals)
			shuffled.Evidence[v] = e
		}
		g := *in.Graph
		g.Edges, g.ConditionalEdges = mixed(r, g.Edges), mixed(r, g.ConditionalEdges)
		shuffled.Graph = &g
		got := mustPlan(t, shuffled)
		if !reflect.DeepEqual(want, got) {
			t.Errorf("another order of the same gives\n%s", strings.Join(outline(got), "\n"))
		}
		if !reflect.DeepEqual(want.ChangeSets(), got.ChangeSets()) {
			t.Error("another order of the same gives other change sets")
		}
	})
}

func mixed[T any](r *rand.Rand, list []T) []T {
	list = slices.Clone(list)
	r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

func TestMoreTimeTakesNoAdditionAway(t *testing.T) {
	forSeeds(t, func(t *testing.T, r *rand.Rand, in promotion.Input) {
		before := additions(mustPlan(t, in))
		in.Now = in.Now.Add(time.Duration(r.IntN(300)) * time.Hour)
		later := additions(mustPlan(t, in))
		for a := range before {
			if !later[a] {
				t.Errorf("%v is no longer added at %s", a, in.Now)
			}
		}
	})
}

func TestMoreApprovalsTakeNoAdditionAway(t *testing.T) {
	forSeeds(t, func(t *testing.T, r *rand.Rand, in promotion.Input) {
		before := additions(mustPlan(t, in))
		for v, e := range in.Evidence {
			if r.IntN(2) == 0 {
				c := in.Channels[1+r.IntN(len(in.Channels)-1)].Name
				e.Approvals = append(slices.Clone(e.Approvals), promotion.Approval{By: "zoe", When: now, Channel: c}, promotion.Approval{By: "kim", When: now, Channel: c})
				in.Evidence[v] = e
			}
		}
		later := additions(mustPlan(t, in))
		for a := range before {
			if !later[a] {
				t.Errorf("%v is no longer added once others are approved", a)
			}
		}
	})
}

// Evidence that arrives for one of two releases that shut each other out may give it the
// place of the other, and takes nothing away else.
func TestMoreEvidenceTakesNoAdditionAwayButForItsRival(t *testing.T) {
	forSeeds(t, func(t *testing.T, r *rand.Rand, in promotion.Input) {
		before := additions(mustPlan(t, in))
		for v, e := range in.Evidence {
			if r.IntN(3) == 0 {
				e.Passed = []string{"upgrade", "e2e"}
				in.Evidence[v] = e
			}
		}
		plan := mustPlan(t, in)
		later := additions(plan)
		rivals := map[string]bool{} // channels that take in something new
		for a := range later {
			if !before[a] {
				rivals[a[0]] = true
			}
		}
		for a := range before {
			if later[a] || rivals[a[0]] || rivals[feederOf(in, a[0])] || rivals[feederOf(in, feederOf(in, a[0]))] {
				continue
			}
			t.Errorf("%v is no longer added, though nothing new is", a)
		}
		for _, h := range plan.Held {
			if before[[2]string{h.Channel, h.Version}] && h.Rule != promotion.RuleStrand && h.Rule != promotion.RulePathOut {
				t.Errorf("more evidence makes %s hold %s in %s", h.Rule, h.Version, h.Channel)
			}
		}
	})
}

func feederOf(in promotion.Input, channel string) string {
	for _, c := range in.Channels {
		if c.Name == channel && c.Feeder != nil {
			return c.Feeder.Name
		}
	}
	return ""
}
