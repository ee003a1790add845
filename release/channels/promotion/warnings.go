package promotion

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// warn says what is wrong with what a channel holds once the plan was carried out.
func (c *checked) warn(ch *channel, plan *Plan) {
	for _, id := range slices.Sorted(maps.Keys(ch.members)) {
		if !c.wants(c.name(id)) {
			continue
		}
		about := func(rule, format string, args ...any) {
			plan.Warnings = append(plan.Warnings, Warning{Channel: ch.Name, Version: c.name(id), Rule: rule, Detail: fmt.Sprintf(format, args...)})
		}
		if ch.feeder != nil && !ch.members[id].added {
			c.warnOfFeeder(ch, id, about)
		}
		c.warnOfPatches(ch, id, about)
		if node := c.all[id].node; !ch.ways.has[node] {
			if head, ok := ch.ways.heads[ch.ways.lane(node)]; ok {
				about(WarnStranded, "Clusters on it have no way to %s, the newest version of %s in the channel.", c.name(head), ch.ways.lane(node))
			} else {
				about(WarnStranded, "The channel holds no version of %s that clusters on it could go to.", ch.own)
			}
		}
	}
}

func (c *checked) warnOfFeeder(ch *channel, id int32, about func(rule, format string, args ...any)) {
	_, fed := ch.feeder.members[id]
	_, fedAll := ch.feeder.members[c.all[id].node]
	switch {
	case !fed && !fedAll:
		about(WarnNotInFeeder, "Channel %q, from which the channel is fed, does not hold it.", ch.feeder.Name)
	case ch.feeder.tombstoned(c.name(id)):
		about(WarnTombstoned, "Channel %q has it under its tombstones, and the channel holds it.", ch.feeder.Name)
	}
	if !c.isChosen(ch, id) {
		about(WarnOutsideFilter, "The %s of the channel does not choose it, and the channel holds it.", ch.choice)
	}
}

// warnOfPatches warns where clusters must take a risk to get any newer patch of the
// channel's own minor.
func (c *checked) warnOfPatches(ch *channel, id int32, about func(rule, format string, args ...any)) {
	node := c.all[id].node
	head := ch.ways.heads[ch.own]
	if !ch.hasOwn || c.all[node].minor != ch.own || head <= node {
		return
	}
	var names []string
	for _, h := range c.out[node] {
		if !ch.ways.holds[h.to] || c.all[h.to].minor != ch.own || h.to <= node {
			continue
		}
		if h.group < 0 {
			return
		}
		for _, r := range c.groups[h.group].Risks {
			names = append(names, r.Name)
		}
	}
	slices.Sort(names)
	if names = slices.Compact(names); len(names) == 0 {
		about(WarnPatch, "No update leads from it to a newer patch of %s.", ch.own)
		return
	}
	about(WarnPatch, "Every update from it to a newer patch of %s bears risks: %s.", ch.own, strings.Join(names, ", "))
}
