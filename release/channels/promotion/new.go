package promotion

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// New makes a plan. Channels are gone through from feeders to those that they feed, so
// that a release goes through several without delay at once; carrying the plan out and
// planning again gives nothing more. Of two releases of which one leaves no way for the
// other, that goes in which could have gone in first.
//
// More time, evidence or approvals never take an addition away, with two exceptions:
// evidence grows stale, and evidence that arrives for a release which was let through
// otherwise before another can make it the first of two such.
//
// The error lists everything that is wrong with the input: circles of feeders and feeders
// that do not exist, filters and versions that cannot be read, releases in Only that no
// channel holds.
func New(in Input) (Plan, error) {
	c, err := check(&in)
	if err != nil {
		return Plan{}, err
	}
	plan := Plan{Additions: []Addition{}, Held: []Held{}, Warnings: []Warning{}}
	for _, ch := range c.channels {
		c.plan(ch, &plan)
	}
	for _, ch := range c.channels {
		c.warn(ch, &plan)
	}
	// What one channel says is in order already.
	slices.SortStableFunc(plan.Additions, func(a, b Addition) int { return strings.Compare(a.Channel, b.Channel) })
	slices.SortStableFunc(plan.Removals, func(a, b Removal) int { return strings.Compare(a.Channel, b.Channel) })
	slices.SortStableFunc(plan.Held, func(a, b Held) int { return strings.Compare(a.Channel, b.Channel) })
	slices.SortStableFunc(plan.Warnings, func(a, b Warning) int { return strings.Compare(a.Channel, b.Channel) })
	return plan, nil
}

// candidate is a version that a channel might take from its feeder.
type candidate struct {
	id, node  int32
	since     time.Time
	opened    time.Time // when it could have gone in first
	approvals []Approval
	held      []Held
	unfit     bool // not meant for the channel at all
	turn      int
}

// plan decides about the candidates and removals of one channel.
func (c *checked) plan(ch *channel, plan *Plan) {
	removals := c.removals(ch)
	removals.try(c, ch)
	var all []candidate
	if ch.feeder != nil {
		all = c.candidates(ch, removals)
	}
	var waiting []*candidate
	for i := range all {
		if len(all[i].held) == 0 {
			waiting = append(waiting, &all[i])
		}
	}
	slices.SortFunc(waiting, func(a, b *candidate) int { return cmp.Or(a.opened.Compare(b.opened), cmp.Compare(a.id, b.id)) })
	turn := 0
	for again := true; again; {
		var added []*candidate
		added, waiting = admit(ch.ways, waiting)
		for _, a := range added {
			a.turn = turn
			turn++
			ch.members[a.id] = member{since: c.Now, opened: a.opened, added: true}
		}
		// What was added may give those a way that a removal takes theirs from, and
		// without the head that was removed more may be added.
		again = removals.try(c, ch)
	}
	c.explain(ch, ch.ways, waiting)
	c.foresee(ch, all, waiting)
	for _, a := range all {
		if _, in := ch.members[a.id]; in {
			plan.Additions = append(plan.Additions, c.addition(ch, a))
		}
		plan.Held = append(plan.Held, a.held...)
	}
	removals.tell(c, ch, plan)
}

// admit adds versions in turn where no version is left without a way; whoever is held
// is asked again after each that goes in.
func admit(w *ways, inTurn []*candidate) (added, blocked []*candidate) {
	for _, next := range inTurn {
		if !w.add(next.node) {
			blocked = append(blocked, next)
			continue
		}
		added = append(added, next)
		for again := true; again; {
			again = false
			for i, b := range blocked {
				if w.add(b.node) {
					b.opened = next.opened // not before what it waited for
					added, again = append(added, b), true
					blocked = slices.Delete(blocked, i, i+1)
					break
				}
			}
		}
	}
	return added, blocked
}

// foresee says of those that other rules hold which would have no way even if all
// that may ever come from the feeder came.
func (c *checked) foresee(ch *channel, all []candidate, blocked []*candidate) {
	waiting := slices.Clone(blocked)
	for i := range all {
		if _, in := ch.members[all[i].id]; !in && !all[i].unfit && !slices.Contains(blocked, &all[i]) {
			waiting = append(waiting, &all[i])
		}
	}
	if len(waiting) == len(blocked) {
		return
	}
	w := ch.ways.clone()
	_, never := admit(w, waiting)
	never = slices.DeleteFunc(never, func(n *candidate) bool { return slices.Contains(blocked, n) })
	c.explain(ch, w, never)
}

func (c *checked) addition(ch *channel, a candidate) Addition {
	added := Addition{Channel: ch.Name, Version: c.name(a.id), turn: a.turn, depth: ch.depth,
		Because: Because{Feeder: ch.feeder.Name, Since: a.since, Approvals: a.approvals}}
	if d := c.Policy.Rollouts[ch.Name]; d > 0 {
		added.Rollout = &Rollout{Start: c.Now, Duration: d.String()}
	}
	return added
}

// candidates are what the feeder holds and the channel does not, by semver, with the
// rules that hold each but for those about ways.
func (c *checked) candidates(ch *channel, leaving removals) []candidate {
	ids := make([]int32, 0, len(ch.feeder.members))
	for id := range ch.feeder.members {
		_, has := ch.members[id]
		_, hasAll := ch.members[c.all[id].node]
		if !has && !hasAll && c.wants(c.name(id)) && !slices.Contains(leaving.done, id) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	all := make([]candidate, len(ids))
	unchosen := fmt.Sprintf("The %s of the channel does not choose it.", ch.choice)
	for i, id := range ids {
		from := ch.feeder.members[id]
		all[i] = candidate{id: id, node: c.all[id].node, since: from.since}
		switch a := &all[i]; {
		case !c.isChosen(ch, id):
			a.unfit = true
			a.hold(c, ch, RuleFilter, unchosen)
		case ch.feeder.tombstoned(c.name(id)):
			a.unfit = true
			a.hold(c, ch, RuleTombstone, fmt.Sprintf("Channel %q has it under its tombstones: it stays there and goes no further.", ch.feeder.Name))
		default:
			c.judge(ch, from, a)
		}
	}
	return all
}

func (a *candidate) hold(c *checked, ch *channel, rule, detail string) {
	a.held = append(a.held, Held{Channel: ch.Name, Version: c.name(a.id), Rule: rule, Detail: detail})
}

func (c *checked) isChosen(ch *channel, id int32) bool {
	if ch.chosen[id] == 0 {
		ch.chosen[id] = 1
		if ch.chooses(c.name(id)) {
			ch.chosen[id] = 2
		}
	}
	return ch.chosen[id] == 2
}

// tombstoned says whether a version goes no further. A tombstone without architecture is
// one for all of them; a version without is not promoted where that of one of its
// architectures must not be.
func (ch *channel) tombstoned(version string) bool {
	return ch.tombstones[version] || ch.tombstones[bare(version)] || ch.partly[version]
}
