package graph_test

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/release/channels/graph"
)

const prefix = "io.openshift.upgrades.graph."

// published is a release of amd64 that may be upgraded from others.
func published(version string, previous ...string) graph.Release {
	return graph.Release{Version: version, Arch: "amd64", Payload: "example.com/p@sha256:" + version, Previous: previous}
}

// labelled is the release with metadata, key and value by turns; keys lack their prefix.
func labelled(r graph.Release, metadata ...string) graph.Release {
	r.Metadata = map[string]string{}
	for i := 0; i+1 < len(metadata); i += 2 {
		r.Metadata[prefix+metadata[i]] = metadata[i+1]
	}
	return r
}

// always is a risk of every cluster.
func always(name string) *graph.Risk {
	return &graph.Risk{URL: "https://example.com/" + name, Name: name, Message: "x", MatchingRules: []graph.MatchingRule{{Type: "Always"}}}
}

// described is what a snapshot offers and does not: nodes as VERSION, edges as FROM>TO with
// the names of risks behind, !FROM>TO for blocked ones and ?VERSION for quarantined ones;
// other architectures than amd64 stand before them.
func described(s *graph.Snapshot) []string {
	all := []string{}
	add := func(arch, format string, args ...any) {
		if arch != "amd64" {
			format = arch + " " + format
		}
		all = append(all, fmt.Sprintf(format, args...))
	}
	for arch, g := range s.Graphs {
		for _, n := range g.Nodes {
			add(arch, "%s", n.Version)
		}
		for _, e := range g.Edges {
			add(arch, "%s>%s", g.Nodes[e[0]].Version, g.Nodes[e[1]].Version)
		}
		for _, group := range g.ConditionalEdges {
			var names []string
			for _, r := range group.Risks {
				names = append(names, r.Name)
			}
			for _, e := range group.Edges {
				add(arch, "%s>%s %s", e.From, e.To, strings.Join(names, " "))
			}
		}
	}
	for _, b := range s.Blocked {
		add(b.Arch, "!%s>%s", b.From, b.To)
	}
	for _, q := range s.Quarantined {
		add(q.Arch, "?%s", q.Version)
	}
	slices.Sort(all)
	return all
}

func compile(t testing.TB, rules graph.Rules, releases ...graph.Release) *graph.Snapshot {
	t.Helper()
	s, err := graph.Compile(releases, rules)
	if err != nil {
		t.Fatal(err)
	}
	for arch, g := range s.Graphs {
		if err := g.Check(); err != nil {
			t.Errorf("%s: %v", arch, err)
		}
	}
	return s
}

func TestCompile(t *testing.T) {
	all := regexp.MustCompile(".*")
	arm := func(r graph.Release) graph.Release { r.Arch = "arm64"; return r }
	plain := []graph.Release{published("1.0.0"), published("1.0.1", "1.0.0"), published("1.0.2", "1.0.0", "1.0.1")}
	for name, c := range map[string]struct {
		releases []graph.Release
		rules    graph.Rules
		want     string // by blanks around |
		reason   string // of the first release that is quarantined
	}{
		"nothing":                     {nil, graph.Rules{}, "", ""},
		"plain":                       {plain, graph.Rules{}, "1.0.0 | 1.0.0>1.0.1 | 1.0.0>1.0.2 | 1.0.1 | 1.0.1>1.0.2 | 1.0.2", ""},
		"unknown and own versions":    {[]graph.Release{published("1.0.1", "1.0.0", "1.0.1", "")}, graph.Rules{}, "1.0.1", ""},
		"next":                        {[]graph.Release{published("1.0.1"), {Version: "1.0.0", Arch: "amd64", Payload: "p", Next: []string{"1.0.1", "1.0.1"}}}, graph.Rules{}, "1.0.0 | 1.0.0>1.0.1 | 1.0.1", ""},
		"architectures never meet":    {[]graph.Release{published("1.0.0"), arm(published("1.0.1", "1.0.0")), arm(published("1.0.0"))}, graph.Rules{}, "1.0.0 | arm64 1.0.0 | arm64 1.0.0>1.0.1 | arm64 1.0.1", ""},
		"the same twice":              {[]graph.Release{published("1.0.0"), published("1.0.0")}, graph.Rules{}, "1.0.0", ""},
		"contradiction":               {[]graph.Release{published("1.0.0"), {Version: "1.0.0", Arch: "amd64", Payload: "other"}, published("1.0.1", "1.0.0")}, graph.Rules{}, "1.0.0 | 1.0.0>1.0.1 | 1.0.1 | ?1.0.0", "its version is example.com/p@sha256:1.0.0 already"},
		"no payload":                  {[]graph.Release{published("1.0.0"), {Version: "1.0.1", Arch: "amd64", Previous: []string{"1.0.0"}}}, graph.Rules{}, "1.0.0 | ?1.0.1", "it has no payload"},
		"no version":                  {[]graph.Release{published("1.0")}, graph.Rules{}, "?1.0", "its version is not semver without build metadata"},
		"version with architecture":   {[]graph.Release{published("1.0.0+amd64")}, graph.Rules{}, "?1.0.0+amd64", "its version is not semver without build metadata"},
		"pattern in metadata":         {[]graph.Release{published("1.0.0"), labelled(published("1.0.1", "1.0.0"), "previous.remove_regex", "("), published("1.0.2", "1.0.0", "1.0.1")}, graph.Rules{}, "1.0.0 | 1.0.0>1.0.2 | 1.0.2 | ?1.0.1", "its metadata io.openshift.upgrades.graph.previous.remove_regex is no regular expression: error parsing regexp: missing closing ): `(`"},
		"circle of two":               {[]graph.Release{published("1.0.0", "1.0.1"), published("1.0.1", "1.0.0"), published("1.0.2", "1.0.1")}, graph.Rules{}, "1.0.1 | 1.0.1>1.0.2 | 1.0.2 | ?1.0.0", `it declares the edge from "1.0.1" to "1.0.0", which closes a circle`},
		"circle by next":              {[]graph.Release{published("1.0.0"), published("1.0.1", "1.0.0"), {Version: "1.0.2", Arch: "amd64", Payload: "p", Previous: []string{"1.0.1"}, Next: []string{"1.0.0"}}}, graph.Rules{}, "1.0.0 | 1.0.0>1.0.1 | 1.0.1 | ?1.0.2", `it declares the edge from "1.0.2" to "1.0.0", which closes a circle`},
		"two circles":                 {[]graph.Release{published("1.0.0", "1.0.1"), published("1.0.1", "1.0.0"), published("2.0.0", "2.0.1"), published("2.0.1", "2.0.0")}, graph.Rules{}, "1.0.1 | 2.0.1 | ?1.0.0 | ?2.0.0", `it declares the edge from "1.0.1" to "1.0.0", which closes a circle`},
		"a way down is no circle":     {[]graph.Release{published("1.0.0", "1.0.2"), published("1.0.1", "1.0.0"), published("1.0.2")}, graph.Rules{}, "1.0.0 | 1.0.0>1.0.1 | 1.0.1 | 1.0.2 | 1.0.2>1.0.0", ""},
		"blocked circle":              {[]graph.Release{published("1.0.0", "1.0.1"), published("1.0.1", "1.0.0")}, graph.Rules{Blocks: []graph.Block{{To: "1.0.0", From: all}}}, "!1.0.1>1.0.0 | 1.0.0 | 1.0.0>1.0.1 | 1.0.1", ""},
		"release.remove":              {[]graph.Release{published("1.0.0"), labelled(published("1.0.1", "1.0.0"), "release.remove", "true"), published("1.0.2", "1.0.1")}, graph.Rules{}, "1.0.0 | 1.0.2", ""},
		"previous.add":                {[]graph.Release{published("1.0.0"), published("1.0.1"), labelled(published("1.0.2"), "previous.add", "1.0.0, 1.0.1+amd64,1.0.1+arm64,0.9.0")}, graph.Rules{}, "1.0.0 | 1.0.0>1.0.2 | 1.0.1 | 1.0.1>1.0.2 | 1.0.2", ""},
		"next.add":                    {[]graph.Release{labelled(published("1.0.0"), "next.add", "1.0.1"), published("1.0.1")}, graph.Rules{}, "1.0.0 | 1.0.0>1.0.1 | 1.0.1", ""},
		"previous.remove":             {[]graph.Release{plain[0], plain[1], labelled(plain[2], "previous.remove", "1.0.1+arm64, 1.0.0+amd64")}, graph.Rules{}, "!1.0.0>1.0.2 | 1.0.0 | 1.0.0>1.0.1 | 1.0.1 | 1.0.1>1.0.2 | 1.0.2", ""},
		"previous.remove all":         {[]graph.Release{plain[0], plain[1], labelled(plain[2], "previous.remove", "*", "previous.add", "1.0.0")}, graph.Rules{}, "!1.0.0>1.0.2 | !1.0.1>1.0.2 | 1.0.0 | 1.0.0>1.0.1 | 1.0.1 | 1.0.2", ""},
		"previous.remove_regex":       {[]graph.Release{plain[0], plain[1], labelled(plain[2], "previous.remove_regex", "0[.]1[+]amd64$")}, graph.Rules{}, "!1.0.1>1.0.2 | 1.0.0 | 1.0.0>1.0.1 | 1.0.0>1.0.2 | 1.0.1 | 1.0.2", ""},
		"next.remove":                 {[]graph.Release{labelled(plain[0], "next.remove", "1.0.2"), plain[1], plain[2]}, graph.Rules{}, "!1.0.0>1.0.2 | 1.0.0 | 1.0.0>1.0.1 | 1.0.1 | 1.0.1>1.0.2 | 1.0.2", ""},
		"next.remove all":             {[]graph.Release{labelled(plain[0], "next.remove", "1.0.9, *"), plain[1], plain[2]}, graph.Rules{}, "!1.0.0>1.0.1 | !1.0.0>1.0.2 | 1.0.0 | 1.0.1 | 1.0.1>1.0.2 | 1.0.2", ""},
		"metadata of the rules":       {plain, graph.Rules{Metadata: map[string]map[string]string{"1.0.2": {prefix + "previous.remove": "1.0.0"}, "1.0.2+amd64": {prefix + "previous.remove": "1.0.1"}, "1.0.1+arm64": {prefix + "previous.remove": "*"}}}, "!1.0.0>1.0.2 | !1.0.1>1.0.2 | 1.0.0 | 1.0.0>1.0.1 | 1.0.1 | 1.0.2", ""},
		"block":                       {plain, graph.Rules{Blocks: []graph.Block{{To: "1.0.2", From: regexp.MustCompile("^1[.]0[.]0[+]")}}}, "!1.0.0>1.0.2 | 1.0.0 | 1.0.0>1.0.1 | 1.0.1 | 1.0.1>1.0.2 | 1.0.2", ""},
		"block of an architecture":    {plain, graph.Rules{Blocks: []graph.Block{{To: "1.0.2+amd64", From: all}, {To: "1.0.1+arm64", From: all}}}, "!1.0.0>1.0.2 | !1.0.1>1.0.2 | 1.0.0 | 1.0.0>1.0.1 | 1.0.1 | 1.0.2", ""},
		"all blocks count":            {plain, graph.Rules{Blocks: []graph.Block{{To: "1.0.2", From: regexp.MustCompile("[.]0[+]")}, {To: "1.0.2", From: regexp.MustCompile("[.]1[+]")}}}, "!1.0.0>1.0.2 | !1.0.1>1.0.2 | 1.0.0 | 1.0.0>1.0.1 | 1.0.1 | 1.0.2", ""},
		"risk":                        {plain, graph.Rules{Blocks: []graph.Block{{To: "1.0.2", From: regexp.MustCompile("[.]1[+]"), Risk: always("A")}}}, "1.0.0 | 1.0.0>1.0.1 | 1.0.0>1.0.2 | 1.0.1 | 1.0.1>1.0.2 A | 1.0.2", ""},
		"block before the risk":       {plain, graph.Rules{Blocks: []graph.Block{{To: "1.0.1", From: all}, {To: "1.0.1", From: all, Risk: always("A")}}}, "!1.0.0>1.0.1 | 1.0.0 | 1.0.0>1.0.2 | 1.0.1 | 1.0.1>1.0.2 | 1.0.2", ""},
		"block behind the risk":       {plain, graph.Rules{Blocks: []graph.Block{{To: "1.0.1", From: all, Risk: always("A")}, {To: "1.0.1", From: all}}}, "!1.0.0>1.0.1 | 1.0.0 | 1.0.0>1.0.2 | 1.0.1 | 1.0.1>1.0.2 | 1.0.2", ""},
		"metadata is over a risk":     {[]graph.Release{plain[0], labelled(plain[1], "previous.remove", "*")}, graph.Rules{Blocks: []graph.Block{{To: "1.0.1", From: all, Risk: always("A")}}}, "!1.0.0>1.0.1 | 1.0.0 | 1.0.1", ""},
		"the same risk once":          {plain[:2], graph.Rules{Blocks: []graph.Block{{To: "1.0.1", From: all, Risk: always("A")}, {To: "1.0.1", From: regexp.MustCompile("1"), Risk: always("A")}}}, "1.0.0 | 1.0.0>1.0.1 A | 1.0.1", ""},
		"risks in order":              {plain[:2], graph.Rules{Blocks: []graph.Block{{To: "1.0.1", From: all, Risk: always("B")}, {To: "1.0.1", From: all, Risk: always("A")}, {To: "1.0.1", From: all, Risk: always("C")}}}, "1.0.0 | 1.0.0>1.0.1 A B C | 1.0.1", ""},
		"edges that are not declared": {plain[:1], graph.Rules{Blocks: []graph.Block{{To: "1.0.1", From: all}, {To: "1.0.0", From: all, Risk: always("A")}}}, "1.0.0", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := compile(t, c.rules, c.releases...)
			if diff := cmp.Diff(c.want, strings.Join(described(s), " | ")); diff != "" {
				t.Error(diff)
			}
			if c.reason != "" && (len(s.Quarantined) == 0 || s.Quarantined[0].Reason != c.reason) {
				t.Errorf("quarantined: %v", s.Quarantined)
			}
		})
	}
}

// Edges that bear the same risks stand in one group, however many files say so.
func TestGroupsAreUnique(t *testing.T) {
	all := regexp.MustCompile(".*")
	s := compile(t, graph.Rules{Blocks: []graph.Block{
		{To: "1.0.1", From: all, Risk: always("A")}, {To: "1.0.1", From: all, Risk: always("B")},
		{To: "1.0.2", From: all, Risk: always("B")}, {To: "1.0.2", From: all, Risk: always("A")},
		{To: "1.0.3", From: all, Risk: always("B")},
	}}, published("1.0.0"), published("1.0.1", "1.0.0"), published("1.0.2", "1.0.0"), published("1.0.3", "1.0.0"))
	groups := s.Graphs["amd64"].ConditionalEdges
	if len(groups) != 2 || len(groups[0].Edges) != 2 || len(groups[1].Edges) != 1 {
		t.Errorf("%+v", groups)
	}
}

func TestNodes(t *testing.T) {
	r := labelled(published("1.0.0"), "release.arch", "amd64", "previous.remove_regex", "x", "next.remove", "y")
	r.Metadata["url"] = "https://example.com"
	s := compile(t, graph.Rules{
		Channels: []graph.Channel{{Name: "stable-1.1", Versions: []string{"1.0.0"}}, {Name: "fast-1.0", Versions: []string{"1.0.0+amd64", "1.0.0"}}, {Name: "eus-1.0", Versions: []string{"1.0.0+arm64"}}, {Name: "candidate-1.0", Versions: []string{" 1.0.0 "}}},
		Metadata: map[string]map[string]string{"1.0.0": {"url": "https://example.org", "more": "x"}},
	}, r)
	want := []graph.Node{{
		Version: "1.0.0", Payload: "example.com/p@sha256:1.0.0", Channels: []string{"candidate-1.0", "fast-1.0", "stable-1.1"},
		Metadata: map[string]string{"url": "https://example.com,https://example.org", "more": "x", "io.openshift.upgrades.graph.release.channels": "candidate-1.0,fast-1.0,stable-1.1", "io.openshift.upgrades.graph.release.manifestref": "sha256:1.0.0"},
	}}
	if diff := cmp.Diff(want, s.Graphs["amd64"].Nodes); diff != "" {
		t.Error(diff)
	}
	if len(r.Metadata) != 4 {
		t.Errorf("the release itself was changed: %v", r.Metadata)
	}
}

// random are releases, among them bad ones, and rules about them.
func random(r *rand.Rand) ([]graph.Release, graph.Rules) {
	var versions []string
	for i := range 2 + r.IntN(12) {
		versions = append(versions, fmt.Sprintf("1.%d.%d%s", i/5, i%5, []string{"", "-rc.1"}[r.IntN(2)]))
	}
	one := func() string { return versions[r.IntN(len(versions))] }
	some := func() []string {
		var all []string
		for range r.IntN(5) {
			all = append(all, one())
		}
		return all
	}
	var releases []graph.Release
	for _, arch := range []string{"amd64", "arm64", "multi"}[:1+r.IntN(3)] {
		for i, v := range versions {
			m := map[string]string{}
			for _, key := range []string{"previous.add", "previous.remove", "next.add", "next.remove"} {
				if r.IntN(12) == 0 {
					m[prefix+key] = strings.Join(append(some(), []string{"*", one() + "+" + arch}[r.IntN(2)]), ",")
				}
			}
			if r.IntN(20) == 0 {
				m[prefix+"previous.remove_regex"] = []string{"[.]1[+]", "arm", "("}[r.IntN(3)]
			}
			made := graph.Release{Version: v, Arch: arch, Payload: "example.com/p@sha256:" + v + arch, Previous: append(some(), versions[:i]...), Next: nil, Metadata: m}
			if r.IntN(30) == 0 {
				made.Next = some()
			}
			if r.IntN(30) == 0 {
				made.Payload = ""
			}
			releases = append(releases, made)
		}
	}
	var rules graph.Rules
	for n := range r.IntN(12) {
		b := graph.Block{To: one(), From: regexp.MustCompile([]string{".*", "[.]0[+]", "^1[.]0", "rc", "arm64$"}[r.IntN(5)]), Reason: fmt.Sprint(n)}
		if r.IntN(4) > 0 {
			b.Risk = always(string(rune('A' + r.IntN(4))))
		}
		rules.Blocks = append(rules.Blocks, b)
	}
	for _, name := range []string{"stable-1.0", "fast-1.1", "all"} {
		rules.Channels = append(rules.Channels, graph.Channel{Name: name, Versions: some()})
	}
	return releases, rules
}

// Whatever is declared, the graph holds together, has no circles, offers nothing that is
// blocked, and does not depend on the order of what it is made of.
func TestAnyGraph(t *testing.T) {
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 7))
		releases, rules := random(r)
		s := compile(t, rules, releases...)
		for arch, g := range s.Graphs {
			if err := acyclic(g); err != nil {
				t.Fatalf("seed %d, %s: %v", seed, arch, err)
			}
			if err := obeys(arch, g, rules); err != nil {
				t.Fatalf("seed %d, %s: %v", seed, arch, err)
			}
			data, err := g.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := graph.Parse(data); err != nil {
				t.Fatalf("seed %d, %s: %v", seed, arch, err)
			}
		}
		for range 3 {
			r.Shuffle(len(releases), func(i, j int) { releases[i], releases[j] = releases[j], releases[i] })
			r.Shuffle(len(rules.Channels), func(i, j int) {
				rules.Channels[i], rules.Channels[j] = rules.Channels[j], rules.Channels[i]
			})
			if diff := cmp.Diff(s, compile(t, rules, releases...)); diff != "" {
				t.Fatalf("seed %d, in another order: %s", seed, diff)
			}
		}
		r.Shuffle(len(rules.Blocks), func(i, j int) { rules.Blocks[i], rules.Blocks[j] = rules.Blocks[j], rules.Blocks[i] })
		if diff := cmp.Diff(s.Graphs, compile(t, rules, releases...).Graphs); diff != "" {
			t.Fatalf("seed %d, with blocks in another order: %s", seed, diff)
		}
	}
}

// acyclic takes nodes without incoming edges away until none is left.
func acyclic(g *graph.Graph) error {
	into := map[string]map[string]bool{}
	for _, n := range g.Nodes {
		into[n.Version] = map[string]bool{}
	}
	for _, e := range g.Edges {
		into[g.Nodes[e[1]].Version][g.Nodes[e[0]].Version] = true
	}
	for _, group := range g.ConditionalEdges {
		for _, e := range group.Edges {
			into[e.To][e.From] = true
		}
	}
	for len(into) > 0 {
		before := len(into)
		for v, from := range into {
			for f := range from {
				if into[f] == nil {
					delete(from, f)
				}
			}
			if len(from) == 0 {
				delete(into, v)
			}
		}
		if len(into) == before {
			return fmt.Errorf("circles among %v", into)
		}
	}
	return nil
}

// obeys holds every edge against every block.
func obeys(arch string, g *graph.Graph, rules graph.Rules) error {
	check := func(from, to string, risks []graph.Risk) error {
		want := map[string]bool{}
		for _, b := range rules.Blocks {
			if b.To != to || !b.From.MatchString(from+"+"+arch) {
				continue
			}
			if b.Risk == nil {
				return fmt.Errorf("%s>%s is offered and blocked", from, to)
			}
			want[b.Risk.Name] = true
		}
		for _, r := range risks {
			if !want[r.Name] {
				return fmt.Errorf("%s>%s bears %s, twice or without a block", from, to, r.Name)
			}
			delete(want, r.Name)
		}
		if len(want) > 0 {
			return fmt.Errorf("%s>%s does not bear %v", from, to, want)
		}
		return nil
	}
	for _, e := range g.Edges {
		if err := check(g.Nodes[e[0]].Version, g.Nodes[e[1]].Version, nil); err != nil {
			return err
		}
	}
	seen := map[string]bool{}
	for _, group := range g.ConditionalEdges {
		name := fmt.Sprint(group.Risks)
		if seen[name] || len(group.Edges) == 0 {
			return fmt.Errorf("group %s stands there twice or without edges", name)
		}
		seen[name] = true
		for _, e := range group.Edges {
			if err := check(e.From, e.To, group.Risks); err != nil {
				return err
			}
		}
	}
	return nil
}
