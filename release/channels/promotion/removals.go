package promotion

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// removals are the versions that are to leave one channel, by semver.
type removals struct {
	asked []int32
	done  []int32
}

func (c *checked) checkRemovals() (problems []error) {
	for _, r := range slices.SortedFunc(slices.Values(c.Removals), func(a, b Removal) int {
		return cmp.Or(strings.Compare(a.Channel, b.Channel), strings.Compare(a.Version, b.Version))
	}) {
		ch := c.byName[r.Channel]
		if ch == nil {
			problems = append(problems, fmt.Errorf("version %q is to leave channel %q, which does not exist", r.Version, r.Channel))
			continue
		}
		id, known := c.ids[r.Version]
		if _, held := ch.members[id]; !known || !held {
			problems = append(problems, fmt.Errorf("version %q is to leave channel %q, which does not hold it", r.Version, r.Channel))
		}
	}
	return problems
}

func (c *checked) removals(ch *channel) removals {
	var r removals
	for _, one := range c.Removals {
		if one.Channel == ch.Name && c.wants(one.Version) {
			r.asked = append(r.asked, c.ids[one.Version])
		}
	}
	slices.Sort(r.asked)
	r.asked = slices.Compact(r.asked)
	return r
}

// try removes what can be removed, and says whether that was anything.
func (r *removals) try(c *checked, ch *channel) (some bool) {
	for _, id := range r.asked {
		if slices.Contains(r.done, id) || ch.brings(c, id) {
			continue
		}
		if c.without(ch, id) < 0 {
			r.done = append(r.done, id)
			some = true
		}
	}
	return some
}

// without takes a version out of a channel, and puts it back if some other one is left
// without a way then, the first of which it returns; else -1.
func (c *checked) without(ch *channel, id int32) (left int32) {
	before, was := ch.ways, ch.members[id]
	delete(ch.members, id)
	c.findWays(ch)
	left = -1
	for other := range ch.members {
		if node := c.all[other].node; before.has[node] && !ch.ways.has[node] && (left < 0 || other < left) {
			left = other
		}
	}
	if left >= 0 {
		ch.members[id], ch.ways = was, before
	}
	return left
}

// brings says whether the feeder would add a version again as soon as it is removed.
func (ch *channel) brings(c *checked, id int32) bool {
	if ch.feeder == nil || !c.isChosen(ch, id) || ch.feeder.tombstoned(c.name(id)) {
		return false
	}
	_, fed := ch.feeder.members[id]
	return fed
}

// tell puts removals into the plan, and says why the others are not done.
func (r *removals) tell(c *checked, ch *channel, plan *Plan) {
	slices.Sort(r.done)
	for _, id := range r.asked {
		hold := func(rule, format string, args ...any) {
			plan.Held = append(plan.Held, Held{Channel: ch.Name, Version: c.name(id), Rule: rule, Detail: fmt.Sprintf(format, args...)})
		}
		switch {
		case slices.Contains(r.done, id):
			plan.Removals = append(plan.Removals, Removal{ch.Name, c.name(id)})
			plan.Warnings = append(plan.Warnings, Warning{Channel: ch.Name, Version: c.name(id), Rule: WarnRemoved,
				Detail: "Clusters on it are offered nothing in the channel once it has left."})
		case ch.brings(c, id):
			hold(RuleContradiction, "It is to leave the channel, and channel %q would bring it in again: put it under the tombstones there first.", ch.feeder.Name)
		default:
			left := c.without(ch, id)
			hold(RuleStrand, "Without it clusters on %s would have no way to the newest version of %s in the channel.", c.name(left), ch.ways.lane(c.all[left].node))
		}
	}
}
