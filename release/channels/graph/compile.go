package graph

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/blang/semver/v4"
	"golang.org/x/sync/errgroup"

	"github.com/slipway-release/slipway/release"
)

// Compile makes what clusters are offered of releases and of what is declared about
// them. It does what Cincinnati's plugins openshift-secondary-metadata-parse and
// edge-add-remove do together, with two differences, both to the side of caution: an edge
// that is blocked without a risk is not offered with another one, and several blocks of
// a version all count.
//
// A release is quarantined, and the others served, when it contradicts one that stands
// before it (same version and architecture, other payload), when its metadata makes no
// sense, or when an edge that it declares closes a circle. The order of releases means
// nothing else: the same inputs give the same snapshot.
func Compile(releases []Release, rules Rules) (*Snapshot, error) {
	byArch := map[string][]Release{}
	for _, r := range releases {
		byArch[r.Arch] = append(byArch[r.Arch], r)
	}
	risks, err := numberRisks(rules.Blocks)
	if err != nil {
		return nil, err
	}
	s := &Snapshot{Graphs: map[string]*Graph{}, Rollouts: rules.Rollouts}
	compilers := map[string]*compiler{}
	var group errgroup.Group
	for arch, of := range byArch {
		c := &compiler{arch: arch, rules: &rules, risks: risks, matched: map[Matcher][]int8{}}
		compilers[arch] = c
		group.Go(func() error { c.compile(of); return nil })
	}
	_ = group.Wait() // they return none
	for _, arch := range slices.Sorted(maps.Keys(compilers)) {
		c := compilers[arch]
		s.Graphs[arch] = c.graph()
		s.Quarantined = append(s.Quarantined, c.quarantined...)
		s.Blocked = append(s.Blocked, c.blocked...)
		if err := s.Graphs[arch].Check(); err != nil {
			return nil, fmt.Errorf("compiling the update graph of architecture %q: %w", arch, err)
		}
	}
	return s, s.Identify()
}

// numberRisks gives risks of the same content the same number, by block: in the order of
// their names, so that it does not depend on that of the blocks.
func numberRisks(blocks []Block) ([]int32, error) {
	contents := make([]string, len(blocks))
	var order []string
	for i, b := range blocks {
		if b.Risk == nil {
			continue
		}
		content, err := json.Marshal(b.Risk)
		if err != nil {
			return nil, fmt.Errorf("compiling risk %q: %w", b.Risk.Name, err)
		}
		contents[i] = b.Risk.Name + "\x00" + string(content)
		order = append(order, contents[i])
	}
	slices.Sort(order)
	known := map[string]int32{}
	for i, content := range slices.Compact(order) {
		known[content] = int32(i)
	}
	numbers := make([]int32, len(blocks))
	for i, content := range contents {
		numbers[i] = -1
		if blocks[i].Risk != nil {
			numbers[i] = known[content]
		}
	}
	return numbers, nil
}

// compiler makes the graph of one architecture.
type compiler struct {
	arch  string
	rules *Rules
	risks []int32 // number of each block's risk
	nodes []compiled
	// places are those of nodes, by version.
	places map[string]int32
	// matched keeps what matchers said about each node: 0 nothing yet, 1 no, 2 yes.
	matched     map[Matcher][]int8
	quarantined []Quarantined
	blocked     []Blocked
}

// compiled is a release on its way into the graph.
type compiled struct {
	Release
	semver   semver.Version
	full     string // VERSION+ARCH
	channels []string
	blocks   []int32 // of edges to it, places in Rules.Blocks
	out      bool    // quarantined
	incoming []incoming
}

// incoming is an edge, seen from where it leads to.
type incoming struct {
	from int32
	by   int32   // the release that declares it
	risk []int32 // places in Rules.Blocks, by the risks' names
}

func (c *compiler) compile(releases []Release) {
	c.collect(releases)
	c.join()
	c.declareEdges()
	c.applyBlocks()
	for c.breakCircles() {
	}
	slices.SortFunc(c.quarantined, func(a, b Quarantined) int {
		return cmp.Or(strings.Compare(a.Version, b.Version), strings.Compare(a.Payload, b.Payload), strings.Compare(a.Reason, b.Reason))
	})
}

func (c *compiler) quarantine(r Release, format string, args ...any) {
	c.quarantined = append(c.quarantined, Quarantined{c.arch, r.Version, r.Payload, fmt.Sprintf(format, args...)})
}

// collect takes the releases that do not contradict each other, by semver.
func (c *compiler) collect(releases []Release) {
	first := map[string]Release{}
	for _, r := range releases {
		v, err := semver.Parse(r.Version)
		switch before, known := first[r.Version]; {
		case err != nil || len(v.Build) > 0:
			c.quarantine(r, "its version is not semver without build metadata")
		case r.Payload == "":
			c.quarantine(r, "it has no payload")
		case known && before.Payload != r.Payload:
			c.quarantine(r, "its version is %s already", before.Payload)
		case !known:
			first[r.Version] = r
			c.nodes = append(c.nodes, compiled{Release: r, semver: v, full: r.Version + "+" + c.arch})
		}
	}
	slices.SortFunc(c.nodes, func(a, b compiled) int { return a.semver.Compare(b.semver) })
	for i := range c.nodes {
		c.addMetadata(&c.nodes[i])
	}
	c.nodes = slices.DeleteFunc(c.nodes, func(n compiled) bool { return n.Metadata[keyRemove] == "true" })
	c.places = make(map[string]int32, len(c.nodes))
	for i, n := range c.nodes {
		c.places[n.Version] = int32(i)
	}
}

// addMetadata gives a release metadata of its own, with what the rules add to it.
func (c *compiler) addMetadata(n *compiled) {
	own := maps.Clone(n.Metadata)
	if own == nil {
		own = map[string]string{}
	}
	for _, name := range []string{n.Version, n.full} {
		for key, value := range c.rules.Metadata[name] {
			if own[key] != "" {
				value = own[key] + "," + value
			}
			own[key] = value
		}
	}
	n.Metadata = own
}

// place finds the node of VERSION or VERSION+ARCH; it is -1 where there is none.
func (c *compiler) place(name string) int32 {
	name = strings.TrimSpace(name)
	if version, arch, ok := strings.Cut(name, "+"); ok {
		if arch != c.arch {
			return -1
		}
		name = version
	}
	if place, ok := c.places[name]; ok {
		return place
	}
	return -1
}

// join tells nodes which channels they are in and which blocks hold edges to them back.
func (c *compiler) join() {
	for _, channel := range c.rules.Channels {
		for _, v := range channel.Versions {
			if place := c.place(v); place >= 0 {
				c.nodes[place].channels = append(c.nodes[place].channels, channel.Name)
			}
		}
	}
	for i, b := range c.rules.Blocks {
		if place := c.place(b.To); place >= 0 {
			c.nodes[place].blocks = append(c.nodes[place].blocks, int32(i))
		}
	}
}

func (c *compiler) declareEdges() {
	add := func(from, to, by int32) {
		if from >= 0 && to >= 0 && from != to {
			c.nodes[to].incoming = append(c.nodes[to].incoming, incoming{from: from, by: by})
		}
	}
	for i, n := range c.nodes {
		at := int32(i)
		for _, v := range append(list(n.Metadata[keyPrevAdd]), n.Previous...) {
			add(c.place(v), at, at)
		}
		for _, v := range append(list(n.Metadata[keyNextAdd]), n.Next...) {
			add(at, c.place(v), at)
		}
	}
	for i := range c.nodes {
		n := &c.nodes[i]
		slices.SortFunc(n.incoming, func(a, b incoming) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.by, b.by)) })
		n.incoming = slices.CompactFunc(n.incoming, func(a, b incoming) bool { return a.from == b.from })
	}
}

func list(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

// applyBlocks takes edges away that are blocked, and writes down the risks of the others.
func (c *compiler) applyBlocks() {
	nothingNext := map[int32]bool{} // places that no edge may come from
	next := map[[2]int32]bool{}
	for i, n := range c.nodes {
		for _, v := range list(n.Metadata[keyNextRemove]) {
			if strings.TrimSpace(v) == "*" {
				nothingNext[int32(i)] = true
			} else if to := c.place(v); to >= 0 {
				next[[2]int32{int32(i), to}] = true
			}
		}
	}
	for i := range c.nodes {
		n := &c.nodes[i]
		remove, err := removals(n.Metadata)
		if err != nil {
			n.out = true
			c.quarantine(n.Release, "its metadata %s is no regular expression: %v", keyPrevRemoveR, err)
			continue
		}
		kept := n.incoming[:0]
		for _, e := range n.incoming {
			from := &c.nodes[e.from]
			if nothingNext[e.from] || next[[2]int32{e.from, int32(i)}] {
				c.block(from, n, "metadata of "+from.Version)
				continue
			}
			if remove.choose(from) {
				c.block(from, n, "metadata of "+n.Version)
				continue
			}
			if c.judge(&e, n) {
				kept = append(kept, e)
			}
		}
		n.incoming = kept
	}
}

func (c *compiler) block(from, to *compiled, reason string) {
	c.blocked = append(c.blocked, Blocked{c.arch, Edge{from.Version, to.Version}, reason})
}

// removal is what a release's own metadata says about edges to it.
type removal struct {
	all      bool
	versions map[string]bool // VERSION or VERSION+ARCH
	pattern  *regexp.Regexp
}

func removals(metadata map[string]string) (r removal, err error) {
	r.versions = map[string]bool{}
	for _, v := range list(metadata[keyPrevRemove]) {
		v = strings.TrimSpace(v)
		r.all = r.all || v == "*"
		r.versions[v] = true
	}
	if pattern := metadata[keyPrevRemoveR]; pattern != "" {
		r.pattern, err = regexp.Compile(pattern)
	}
	return r, err
}

func (r removal) choose(n *compiled) bool {
	return r.all || r.versions[n.Version] || r.versions[n.full] || r.pattern != nil && r.pattern.MatchString(n.full)
}

// judge finds the risks of an edge to a node, and says whether it may be offered.
func (c *compiler) judge(e *incoming, to *compiled) bool {
	for _, b := range to.blocks {
		if !c.matches(c.rules.Blocks[b].From, e.from) {
			continue
		}
		if c.risks[b] < 0 {
			c.block(&c.nodes[e.from], to, c.rules.Blocks[b].Reason)
			return false
		}
		same := func(other int32) bool { return c.risks[other] == c.risks[b] }
		if !slices.ContainsFunc(e.risk, same) {
			e.risk = append(e.risk, b)
		}
	}
	slices.SortFunc(e.risk, func(a, b int32) int { return cmp.Compare(c.risks[a], c.risks[b]) })
	return true
}

func (c *compiler) matches(m Matcher, place int32) bool {
	known := c.matched[m]
	if known == nil {
		known = make([]int8, len(c.nodes))
		c.matched[m] = known
	}
	if known[place] == 0 {
		known[place] = 1
		if m.MatchString(c.nodes[place].full) {
			known[place] = 2
		}
	}
	return known[place] == 2
}

// breakCircles quarantines the releases whose edges close circles, and says whether there
// were any. In every circle an edge leads to a version that is not newer: who declares
// such an edge is taken to be wrong.
func (c *compiler) breakCircles() bool {
	circle := c.circles()
	found := false
	for i := range c.nodes {
		if c.nodes[i].out {
			continue
		}
		for _, e := range c.nodes[i].incoming {
			by := &c.nodes[e.by]
			if e.from < int32(i) || c.nodes[e.from].out || by.out || circle[i] == 0 || circle[i] != circle[e.from] {
				continue
			}
			by.out, found = true, true
			c.quarantine(by.Release, "it declares the edge from %q to %q, which closes a circle", c.nodes[e.from].Version, c.nodes[i].Version)
		}
	}
	return found
}

// circles numbers the nodes by the circles they are in (strongly connected, after Tarjan);
// 0 stands for none. Where all edges lead to newer versions nothing is looked at.
func (c *compiler) circles() []int32 {
	number := make([]int32, len(c.nodes))
	down := false
	for i, n := range c.nodes {
		down = down || slices.ContainsFunc(n.incoming, func(e incoming) bool { return e.from > int32(i) })
	}
	if !down {
		return number
	}
	var (
		seen, low = make([]int32, len(c.nodes)), make([]int32, len(c.nodes))
		on        = make([]bool, len(c.nodes))
		stack     []int32
		clock     int32
		visit     func(v int32)
	)
	visit = func(v int32) {
		clock++
		seen[v], low[v] = clock, clock
		stack, on[v] = append(stack, v), true
		for _, e := range c.nodes[v].incoming {
			switch w := e.from; {
			case c.nodes[w].out:
			case seen[w] == 0:
				visit(w)
				low[v] = min(low[v], low[w])
			case on[w]:
				low[v] = min(low[v], seen[w])
			}
		}
		if low[v] != seen[v] {
			return
		}
		at := slices.Index(stack, v)
		for _, w := range stack[at:] {
			on[w] = false
			if len(stack)-at > 1 {
				number[w] = v + 1
			}
		}
		stack = stack[:at]
	}
	for i, n := range c.nodes {
		if seen[i] == 0 && !n.out {
			visit(int32(i))
		}
	}
	return number
}

// graph is what is left of the releases: nodes by semver, edges by place, groups of
// conditional edges by their first.
func (c *compiler) graph() *Graph {
	g := &Graph{Nodes: []Node{}, Edges: [][2]int{}, ConditionalEdges: []ConditionalEdges{}}
	at := make([]int, len(c.nodes))
	for i, n := range c.nodes {
		if !n.out {
			at[i] = len(g.Nodes)
			g.Nodes = append(g.Nodes, n.node())
		}
	}
	groups := map[string]int{}
	for i, n := range c.nodes {
		for _, e := range n.incoming {
			if n.out || c.nodes[e.from].out {
				continue
			}
			if len(e.risk) == 0 {
				g.Edges = append(g.Edges, [2]int{at[e.from], at[i]})
				continue
			}
			key, risks := c.group(e.risk)
			place, ok := groups[key]
			if !ok {
				place = len(g.ConditionalEdges)
				groups[key] = place
				g.ConditionalEdges = append(g.ConditionalEdges, ConditionalEdges{Risks: risks})
			}
			group := &g.ConditionalEdges[place]
			group.Edges = append(group.Edges, Edge{c.nodes[e.from].Version, n.Version})
		}
	}
	slices.SortFunc(g.Edges, func(a, b [2]int) int { return slices.Compare(a[:], b[:]) })
	return g
}

// group names a list of risks by their numbers.
func (c *compiler) group(blocks []int32) (key string, risks []Risk) {
	numbers := make([]byte, 0, 4*len(blocks))
	for _, b := range blocks {
		n := c.risks[b]
		numbers = append(numbers, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
		risks = append(risks, *c.rules.Blocks[b].Risk)
	}
	return string(numbers), risks
}

// node is a release as clusters see it.
func (n compiled) node() Node {
	node := Node{Version: n.Version, Payload: n.Payload, Metadata: n.Metadata, Channels: n.channels}
	for _, key := range []string{keyRemove, keyArch, keyPrevRemove, keyNextRemove, keyPrevRemoveR} {
		delete(node.Metadata, key)
	}
	slices.SortFunc(node.Channels, CompareChannels)
	node.Channels = slices.Compact(node.Channels)
	delete(node.Metadata, release.MetadataChannels)
	if len(node.Channels) > 0 {
		node.Metadata[release.MetadataChannels] = strings.Join(node.Channels, ",")
	}
	if _, digest, ok := strings.Cut(n.Payload, "@"); ok {
		node.Metadata[keyManifest] = digest
	}
	return node
}

// CompareChannels orders the names of channels as clusters are told of them: by what
// stands behind the first dash, then by the whole.
func CompareChannels(a, b string) int {
	_, ofA, _ := strings.Cut(a, "-")
	_, ofB, _ := strings.Cut(b, "-")
	return cmp.Or(strings.Compare(ofA, ofB), strings.Compare(a, b))
}
