package promotion

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// judge applies the rules that concern one release alone.
func (c *checked) judge(ch *channel, from member, a *candidate) {
	if of := c.digests[a.id]; len(of) > 1 {
		a.hold(c, ch, RuleContradiction, fmt.Sprintf("Its version names several payloads, of which one at most is right: %s.", strings.Join(of, ", ")))
	}
	c.open(ch, from, a)
	if names, before := c.risks.forgotten(c.catalog, a.node); len(names) > 0 {
		a.hold(c, ch, RuleRiskExtension, fmt.Sprintf("Of the risks of %s before it, %s must be declared for it too, or be fixed in it or before.",
			c.name(before), strings.Join(names, ", ")))
	}
	c.prove(ch, a)
}

// open finds out since when the feeder lets a release through.
func (c *checked) open(ch *channel, from member, a *candidate) {
	f := ch.Channel.Feeder
	byTime := from.since
	if from.added && f.Delay == 0 {
		byTime = from.opened
	}
	byTime = byTime.Add(f.Delay)
	timed := f.Delay > 0 || f.Approvals == 0
	inTime := timed && !from.since.IsZero() && !byTime.After(c.Now)
	var have []Approval
	if f.Approvals > 0 {
		have = c.approvals(ch, a)
	}
	approved := f.Approvals > 0 && len(have) >= f.Approvals
	switch {
	case approved && (!inTime || have[f.Approvals-1].When.Before(byTime)):
		a.opened, a.approvals = have[f.Approvals-1].When, have
	case inTime:
		a.opened, a.approvals = byTime, have
	default:
		c.close(ch, from, a, have, byTime)
	}
	if a.opened.Before(from.opened) {
		a.opened = from.opened
	}
}

// close says why a release is not let through yet.
func (c *checked) close(ch *channel, from member, a *candidate, have []Approval, opens time.Time) {
	f := ch.Channel.Feeder
	instead := ""
	if f.Approvals > 0 {
		instead = fmt.Sprintf(", or as soon as %d approve it, of whom %s", f.Approvals, havers(have))
	}
	switch {
	case f.Approvals > 0 && f.Delay == 0:
		a.hold(c, ch, RuleApproval, fmt.Sprintf("%d must approve it for the channel, of whom %s.", f.Approvals, havers(have)))
	case from.since.IsZero():
		a.hold(c, ch, RuleUnknownAge, fmt.Sprintf("Channel %q does not say since when it holds it, from which the delay is counted; it goes on once that is recorded%s.",
			ch.feeder.Name, instead))
	default:
		since := "since " + stamp(from.since)
		if from.added {
			since = "with this plan"
		}
		a.hold(c, ch, RuleDelay, fmt.Sprintf("It is in channel %q %s and goes on after %s, at %s%s.", ch.feeder.Name, since, inWords(f.Delay), stamp(opens), instead))
		a.held[len(a.held)-1].Until = opens
	}
}

func havers(have []Approval) string {
	if len(have) == 0 {
		return "none did"
	}
	names := make([]string, len(have))
	for i, a := range have {
		names[i] = a.By
	}
	if len(have) == 1 {
		return names[0] + " did"
	}
	return fmt.Sprintf("%d did (%s)", len(have), strings.Join(names, ", "))
}

// evidence of a version with an architecture is its own, or else that of all.
func (c *checked) evidence(id int32) Evidence {
	if e, ok := c.Evidence[c.name(id)]; ok {
		return e
	}
	return c.Evidence[c.name(c.all[id].node)]
}

// approvals are those that count for a release in a channel: each person's first, by time.
func (c *checked) approvals(ch *channel, a *candidate) []Approval {
	payload := ""
	switch of := c.digests[a.id]; len(of) {
	case 0:
	case 1:
		payload = of[0]
	default:
		return nil // nobody knows what was approved
	}
	var count []Approval
	for _, one := range c.evidence(a.id).Approvals {
		if one.Channel == ch.Name && one.Digest == payload && one.By != "" && !one.When.After(c.Now) {
			count = append(count, one)
		}
	}
	slices.SortFunc(count, func(x, y Approval) int {
		if order := x.When.Compare(y.When); order != 0 {
			return order
		}
		return strings.Compare(x.By, y.By)
	})
	seen := map[string]bool{}
	return slices.DeleteFunc(count, func(one Approval) bool {
		again := seen[one.By]
		seen[one.By] = true
		return again
	})
}

// prove asks for the evidence that the policy and the channel require.
func (c *checked) prove(ch *channel, a *candidate) {
	e := c.evidence(a.id)
	var missing []string
	for _, check := range slices.Concat(c.Policy.RequireEvidence, ch.RequireEvidence) {
		if !slices.Contains(e.Passed, check) {
			missing = append(missing, check)
		}
	}
	slices.Sort(missing)
	if missing = slices.Compact(missing); len(missing) > 0 {
		a.hold(c, ch, RuleEvidenceMissing, fmt.Sprintf("No evidence shows that it passed %s.", strings.Join(missing, ", ")))
	}
	fresh := c.Policy.FreshFor
	if ch.FreshFor > 0 && (fresh == 0 || ch.FreshFor < fresh) {
		fresh = ch.FreshFor
	}
	switch {
	case fresh == 0:
	case e.Newest.IsZero():
		a.hold(c, ch, RuleEvidenceStale, fmt.Sprintf("Its evidence must not be older than %s, and there is none with a time.", inWords(fresh)))
	case c.Now.Sub(e.Newest) > fresh:
		a.hold(c, ch, RuleEvidenceStale, fmt.Sprintf("Its newest evidence is of %s and must not be older than %s: test it again.", stamp(e.Newest), inWords(fresh)))
	}
}

// explain says why versions may not be added as far as ways are concerned.
func (c *checked) explain(ch *channel, w *ways, blocked []*candidate) {
	if len(blocked) == 0 {
		return
	}
	var toOwn []bool
	if ch.hasOwn {
		toOwn = w.toOwn()
	}
	for _, b := range blocked {
		head, newHead := w.replaces(b.node)
		switch {
		case w.older(b.node) && !toOwn[b.node]:
			b.hold(c, ch, RulePathOut, fmt.Sprintf("Clusters on it would have no way to any version of %s in the channel.", ch.own))
		case newHead:
			b.hold(c, ch, RuleStrand, fmt.Sprintf("It would become the newest version of %s, and clusters on %s, and those on their way there, would have no way to it.", w.lane(b.node), c.name(head)))
		default:
			b.hold(c, ch, RuleStrand, fmt.Sprintf("Clusters on it would have no way to %s, the newest version of %s in the channel.", c.name(head), w.lane(b.node)))
		}
	}
}

// stamp writes a time for people.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// inWords writes a duration, in days where it is some.
func inWords(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d == day:
		return "1 day"
	case d > 0 && d%day == 0:
		return fmt.Sprintf("%d days", d/day)
	case d > 0 && d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return d.String()
}
