package catalog

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/slipway-release/slipway/release/channels/graph"
)

// addChannels reads what clusters are offered. Not to be able to is a problem, and
// nothing that would make payloads unknown.
func (r *reading) addChannels(ctx context.Context, c *Catalog) error {
	if r.Channels != nil {
		found, err := r.Channels.Channels(ctx)
		if err != nil {
			r.problem("channels cannot be read: %v", err)
		}
		for _, ch := range found {
			sortChannel(&ch)
			c.Channels = append(c.Channels, &ch)
		}
		slices.SortFunc(c.Channels, func(a, b *Channel) int { return cmp.Compare(a.Name, b.Name) })
	}
	return ctx.Err()
}

// joinUpgrades brings together what was tried and what is offered. Edges between
// versions that are no payloads of a stream stay with their channels.
func (c *Catalog) joinUpgrades() {
	for _, s := range c.Streams {
		for _, p := range s.Payloads {
			for _, t := range p.tried {
				u := c.pair(Pair{t.from, p.Version.String()})
				u.Runs = append(u.Runs, t.run)
				switch t.run.State {
				case Passed:
					u.Success++
				case CheckFailed:
					u.Failure++
				}
			}
		}
	}
	for _, ch := range c.Channels {
		for _, e := range ch.Edges {
			if c.payloads[e.From] == nil && c.payloads[e.To] == nil {
				continue
			}
			u := c.pair(e.Pair)
			u.Channels, u.Trials = append(u.Channels, ch.Name), e.Trials
			for _, risk := range e.Risks {
				if !slices.Contains(u.Risks, risk) {
					u.Risks = append(u.Risks, risk)
				}
			}
		}
	}
	for pair, u := range c.pairs {
		if to := c.payloads[pair.To]; to != nil {
			to.UpgradesTo = append(to.UpgradesTo, u)
		}
		if from := c.payloads[pair.From]; from != nil {
			from.UpgradesFrom = append(from.UpgradesFrom, u)
		}
	}
	for _, p := range c.payloads {
		slices.SortFunc(p.UpgradesTo, func(a, b *Upgrade) int { return cmp.Compare(b.From, a.From) })
		slices.SortFunc(p.UpgradesFrom, func(a, b *Upgrade) int { return cmp.Compare(b.To, a.To) })
	}
}

func (c *Catalog) pair(p Pair) *Upgrade {
	u := c.pairs[p]
	if u == nil {
		u = &Upgrade{Pair: p}
		c.pairs[p] = u
	}
	return u
}

// Tried counts the runs of an upgrade in words, and the passes that it needs.
func (u *Upgrade) Tried() string {
	if u.Trials != (graph.Trials{}) {
		return u.ran() + ", " + u.Trials.String() + " passes"
	}
	return u.ran()
}

func (u *Upgrade) ran() string {
	switch total := len(u.Runs); {
	case total == 0:
		return "never tested"
	case u.Success+u.Failure == 0:
		return fmt.Sprintf("%d inconclusive", total)
	default:
		return fmt.Sprintf("%d of %d passed", u.Success, u.Success+u.Failure)
	}
}
