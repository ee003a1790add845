package promotion

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/blang/semver/v4"
)

// ofMinor finds the minor that a channel's name ends in.
var ofMinor = regexp.MustCompile(`(?:^|-)(\d+)\.(\d+)$`)

// channel is a channel whose versions are numbered.
type channel struct {
	Channel
	own     minor // the minor its name ends in
	hasOwn  bool
	feeder  *channel
	depth   int // how many feeders are behind it
	members map[int32]member
	// tombstones are those of the channel, and without architecture those that have one.
	tombstones, partly map[string]bool
	chooses            func(version string) bool
	choice             string // what chooses, for people
	chosen             []int8 // by version: 0 not asked yet, 1 no, 2 yes; shared by equal choices
	ways               *ways
}

// member is a version in a channel.
type member struct {
	since time.Time // zero when unknown
	// opened is when a version that the plan adds could have been added first; else zero.
	opened time.Time
	added  bool // by the plan
}

// checked is an input without mistakes.
type checked struct {
	*Input
	*catalog
	*edges
	channels []*channel // feeders before those that they feed
	byName   map[string]*channel
	digests  map[int32][]string // payloads of each version
	risks    riskIndex
	only     map[string]bool
}

// check reads an input, and reports all that is wrong with it.
func check(in *Input) (*checked, error) {
	c := &checked{Input: in, byName: map[string]*channel{}, only: map[string]bool{}, digests: map[int32][]string{}}
	var problems []error
	wrong := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if in.Now.IsZero() {
		wrong("the time that the plan is for is not given")
	}
	for _, given := range slices.SortedFunc(slices.Values(in.Channels), func(a, b Channel) int { return strings.Compare(a.Name, b.Name) }) {
		if given.Name == "" || c.byName[given.Name] != nil {
			wrong("channel %q stands there twice, or has no name", given.Name)
			continue
		}
		made, err := newChannel(given)
		if err != nil {
			problems = append(problems, err)
		}
		c.byName[given.Name] = made
		c.channels = append(c.channels, made)
	}
	problems = append(problems, c.feed()...)
	problems = append(problems, c.checkPolicy()...)
	names := c.names()
	var err error
	if c.catalog, err = newCatalog(names); err != nil {
		problems = append(problems, err)
	}
	if c.risks, err = newRiskIndex(in.Risks, c.catalog); err != nil {
		problems = append(problems, err)
	}
	if len(problems) == 0 {
		c.number()
		problems = append(c.checkOnly(), c.checkRemovals()...)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("planning promotions: %w", err)
	}
	return c, nil
}

// newChannel reads what chooses versions for a channel; it is of use for finding further
// mistakes even with an error.
func newChannel(given Channel) (*channel, error) {
	ch := &channel{Channel: given, members: map[int32]member{}, tombstones: map[string]bool{}, partly: map[string]bool{}}
	if m := ofMinor.FindStringSubmatch(given.Name); m != nil {
		major, errMajor := strconv.ParseUint(m[1], 10, 64)
		of, errMinor := strconv.ParseUint(m[2], 10, 64)
		ch.own, ch.hasOwn = minor{major, of}, errMajor == nil && errMinor == nil
	}
	for _, t := range given.Tombstones {
		ch.tombstones[t] = true
		if b := bare(t); b != t {
			ch.partly[b] = true
		}
	}
	var problems []error
	if given.FreshFor < 0 {
		problems = append(problems, fmt.Errorf("channel %q wants evidence fresh for %s, which must not be negative", given.Name, given.FreshFor))
	}
	seen := map[string]bool{}
	for _, m := range given.Members {
		if seen[m.Version] {
			problems = append(problems, fmt.Errorf("channel %q holds version %q twice", given.Name, m.Version))
		}
		seen[m.Version] = true
	}
	if given.Feeder != nil {
		problems = append(problems, ch.choose(*given.Feeder)...)
	}
	return ch, errors.Join(problems...)
}

func (ch *channel) choose(f Feeder) (problems []error) {
	wrong := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("the feeder of channel %q %w", ch.Name, fmt.Errorf(format, args...)))
	}
	if f.Delay < 0 || f.Approvals < 0 {
		wrong("has delay %s and asks for %d approvals, which must not be negative", f.Delay, f.Approvals)
	}
	ch.chooses = func(string) bool { return true }
	switch {
	case f.Filter != "" && f.Range != "":
		wrong("has both a filter and a range, of which it may have one")
	case f.Filter != "":
		// Read by itself first: "a)(b" is a mistake and would be none inside the anchors.
		if _, err := regexp.Compile(f.Filter); err != nil {
			wrong("has a filter that is no regular expression: %w", err)
			return problems
		}
		ch.choice = fmt.Sprintf("filter %q", f.Filter)
		ch.chooses = regexp.MustCompile("^(?:" + f.Filter + ")$").MatchString
	case f.Range != "":
		within, err := semver.ParseRange(f.Range)
		if err != nil {
			wrong("has range %q, which is none of semver: %w", f.Range, err)
			return problems
		}
		ch.choice = fmt.Sprintf("range %q", f.Range)
		ch.chooses = func(version string) bool {
			v, err := semver.Parse(bare(version))
			return err == nil && within(v)
		}
	}
	return problems
}

// feed joins channels with their feeders and puts feeders first.
func (c *checked) feed() (problems []error) {
	for _, ch := range c.channels {
		if ch.Feeder == nil {
			continue
		}
		if ch.feeder = c.byName[ch.Channel.Feeder.Name]; ch.feeder == nil {
			problems = append(problems, fmt.Errorf("channel %q is fed by channel %q, which does not exist", ch.Name, ch.Channel.Feeder.Name))
		}
	}
	for _, ch := range c.channels {
		circle := []string{ch.Name}
		for at := ch.feeder; at != nil && ch.depth <= len(c.channels); at = at.feeder {
			ch.depth++
			circle = append(circle, at.Name)
			if at == ch && slices.Min(circle) == ch.Name {
				problems = append(problems, fmt.Errorf("channels feed each other in a circle: %s", strings.Join(circle, " ← ")))
			}
			if at == ch {
				break
			}
		}
	}
	slices.SortStableFunc(c.channels, func(a, b *channel) int { return cmp.Compare(a.depth, b.depth) })
	return problems
}

func (c *checked) checkPolicy() (problems []error) {
	if c.Policy.FreshFor < 0 {
		problems = append(problems, fmt.Errorf("the policy wants evidence fresh for %s, which must not be negative", c.Policy.FreshFor))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Policy.Rollouts)) {
		switch d := c.Policy.Rollouts[name]; {
		case c.byName[name] == nil:
			problems = append(problems, fmt.Errorf("the policy has a rollout for channel %q, which does not exist", name))
		case d < 0:
			problems = append(problems, fmt.Errorf("the policy's rollout for channel %q takes %s, which must not be negative", name, d))
		}
	}
	return problems
}

// names are the versions that the input names, and where.
func (c *checked) names() map[string]string {
	names := map[string]string{}
	add := func(version, where string) {
		if names[version] == "" {
			names[version] = where
		}
	}
	for _, ch := range c.channels {
		for _, m := range ch.Members {
			add(m.Version, fmt.Sprintf("channel %q", ch.Name))
		}
	}
	if c.Graph != nil {
		for _, n := range c.Graph.Nodes {
			add(n.Version, "the graph")
		}
	}
	for _, r := range slices.SortedFunc(slices.Values(c.Risks), func(a, b Risk) int { return strings.Compare(a.Name, b.Name) }) {
		for _, to := range r.To {
			add(to, fmt.Sprintf("risk %q", r.Name))
		}
	}
	return names
}

// number fills in what needs the versions' numbers.
func (c *checked) number() {
	c.edges = newEdges(c.Graph, c.catalog)
	choices := map[string][]int8{}
	for _, ch := range c.channels {
		if choices[ch.choice] == nil {
			choices[ch.choice] = make([]int8, len(c.all))
		}
		ch.chosen = choices[ch.choice]
		for _, m := range ch.Members {
			id := c.ids[m.Version]
			ch.members[id] = member{since: m.Since}
			if m.Digest != "" && !slices.Contains(c.digests[id], m.Digest) {
				c.digests[id] = append(c.digests[id], m.Digest)
			}
		}
		c.findWays(ch)
	}
	for version, e := range c.Evidence {
		id, known := c.ids[version]
		for _, d := range e.Digests {
			if known && !slices.Contains(c.digests[id], d) {
				c.digests[id] = append(c.digests[id], d)
			}
		}
	}
	for _, of := range c.digests {
		slices.Sort(of)
	}
}

// findWays finds the ways within what a channel holds.
func (c *checked) findWays(ch *channel) {
	nodes := make([]int32, 0, len(ch.members))
	for id := range ch.members {
		nodes = append(nodes, c.all[id].node)
	}
	ch.ways = newWays(c.catalog, c.edges, ch.own, ch.hasOwn)
	ch.ways.start(nodes)
}

func (c *checked) checkOnly() (problems []error) {
	held := map[string]bool{}
	for _, ch := range c.channels {
		for _, m := range ch.Members {
			held[m.Version], held[bare(m.Version)] = true, true
		}
	}
	for _, v := range slices.Compact(slices.Sorted(slices.Values(c.Only))) {
		c.only[v] = true
		if !held[v] {
			problems = append(problems, fmt.Errorf("release %q is to be planned for, and no channel holds it", v))
		}
	}
	return problems
}

// wants says whether the plan is about a version.
func (c *checked) wants(version string) bool {
	return len(c.only) == 0 || c.only[version] || c.only[bare(version)]
}
