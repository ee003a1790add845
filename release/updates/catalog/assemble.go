package catalog

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/slipway-release/slipway/release/streams"
)

// fill derives what is told of a payload from what was read about it.
func (p *Payload) fill(d Definition, f *facts) {
	p.Evidence, p.Refused, p.Signatures = f.statements, f.refused, f.signatures
	p.tried, p.results = f.upgrades, f.results
	verdict := streams.Decide(d.Policy, f.latest())
	p.Now = verdict.Verdict
	reasons := verdict.Reasons
	if len(f.decisions) > 0 {
		p.Decision, p.Earlier = &f.decisions[0], f.decisions[1:]
		p.Phase = phaseOf(p.Decision.Outcome)
		p.Reason = whyOf(p.Decision)
		if len(p.Decision.Reasons) > 0 {
			reasons = p.Decision.Reasons
		}
	}
	for _, r := range reasons {
		c := Check{Name: clip(r.Check), Blocking: r.Blocking, State: stateOf(r.Status), Detail: r.Detail}
		c.addEvidence(f)
		p.Checks = append(p.Checks, c)
	}
}

// addEvidence names the statements that a check rests on. What was run again counts as
// a retry; upgrades from different versions are different runs.
func (c *Check) addEvidence(f *facts) {
	var first checkResult
	for _, res := range f.results { // the newest first
		if res.Check != c.Name {
			continue
		}
		switch {
		case len(c.Evidence) == 0:
			first, c.URL = res, res.url
			if at := slices.IndexFunc(f.statements, func(s Statement) bool { return s.Digest == res.evidence }); at >= 0 {
				c.Finished = f.statements[at].Time
			}
		case res.from == first.from:
			c.Retries++
			if res.url != "" {
				c.PreviousURLs = append(c.PreviousURLs, res.url)
			}
		}
		c.Evidence = append(c.Evidence, res.evidence)
	}
}

func phaseOf(o streams.Outcome) Phase {
	switch o {
	case streams.Accepted:
		return Accepted
	case streams.Rejected:
		return Rejected
	}
	return Inconclusive
}

// whyOf is the sentence that explains a decision.
func whyOf(d *Decision) string {
	if d.Manual() {
		by := d.By
		if by == "" {
			by = "a person"
		}
		if d.Why == "" {
			return "decided by " + by
		}
		return fmt.Sprintf("decided by %s: %s", by, d.Why)
	}
	text := streams.Verdict{Verdict: d.Outcome, Reasons: d.Reasons}.String()
	return clip(strings.TrimPrefix(strings.TrimPrefix(text, string(d.Outcome)), ": "))
}

// addProgress tells about payloads without a verdict what no evidence says yet.
func (r *reading) addProgress(ctx context.Context, c *Catalog) error {
	if r.Progress == nil {
		return nil
	}
	unfinished, err := r.Progress.Progress(ctx)
	if err != nil {
		r.problem("what is being built and checked cannot be told: %v", err)
		return ctx.Err()
	}
	for _, u := range unfinished {
		at := slices.IndexFunc(c.Streams, func(s *Stream) bool { return s.Policy.Name == u.Stream })
		if at < 0 || u.Version.IsZero() {
			continue
		}
		s := c.Streams[at]
		place := slices.IndexFunc(s.Payloads, func(p *Payload) bool { return p.Version == u.Version })
		if place < 0 {
			p := &Payload{Stream: u.Stream, Version: u.Version, Created: u.Created.UTC(), Phase: u.Phase, Reason: clip(u.Reason), Checks: u.Checks, Report: u.Report, Timeline: u.Timeline}
			if t, ok := u.Version.Time(); ok {
				p.Created = t
			}
			s.Payloads = append(s.Payloads, p)
			continue
		}
		s.Payloads[place].goOn(u)
	}
	return nil
}

// goOn adds what is known of the run to a payload that exists. A verdict stays.
func (p *Payload) goOn(u Unfinished) {
	if u.Report != "" {
		p.Report = u.Report
	}
	if u.Timeline != "" {
		p.Timeline = u.Timeline
	}
	if p.Decision == nil && u.Phase != "" {
		p.Phase, p.Reason = u.Phase, clip(u.Reason)
	}
	for _, c := range u.Checks {
		at := slices.IndexFunc(p.Checks, func(have Check) bool { return have.Name == c.Name })
		if at < 0 {
			p.Checks = append(p.Checks, c)
			continue
		}
		have := &p.Checks[at]
		if have.State == Missing && p.Decision == nil {
			have.State, have.Detail, have.Finished = c.State, c.Detail, c.Finished
		}
		if have.URL == "" {
			have.URL = c.URL
		}
		have.Retries = max(have.Retries, c.Retries)
		if len(have.PreviousURLs) == 0 {
			have.PreviousURLs = c.PreviousURLs
		}
	}
}

// finish orders everything, joins payloads with each other, and names the content.
func (c *Catalog) finish() {
	c.streams, c.channels, c.payloads = map[string]*Stream{}, map[string]*Channel{}, map[string]*Payload{}
	c.digests, c.pairs = map[string]*Payload{}, map[Pair]*Upgrade{}
	for _, s := range c.Streams {
		slices.SortFunc(s.Payloads, func(a, b *Payload) int { return newestFirst(a.Version, b.Version) })
		s.ordered = slices.SortedFunc(slices.Values(s.Payloads), func(a, b *Payload) int { return b.Version.Compare(a.Version) })
		for i, p := range s.Payloads {
			if i+1 < len(s.Payloads) {
				p.Previous = s.Payloads[i+1]
			}
			c.payloads[p.Version.String()] = p
			if p.Digest != "" {
				c.digests[p.Digest] = p
			}
		}
		c.streams[s.Policy.Name] = s
	}
	for _, ch := range c.Channels {
		c.channels[ch.Name] = ch
		for _, v := range ch.Versions {
			if p := c.payloads[v.Version.String()]; p != nil {
				p.Channels, p.Architectures = append(p.Channels, ch.Name), v.Architectures
			}
		}
	}
	c.joinUpgrades()
	for _, s := range c.Streams {
		s.Stuck = s.stuck(c.Read)
	}
	c.ID = c.identify()
}

// identify sums up the content, without the time at which it was read and what only
// that time makes of it.
func (c *Catalog) identify() string {
	sum := sha256.New()
	enc := json.NewEncoder(sum)
	for _, s := range c.Streams {
		_ = enc.Encode(s.Definition) // a hash takes everything
		for _, p := range s.Payloads {
			_ = enc.Encode(p.plain())
		}
	}
	_ = enc.Encode(c.Channels)
	_ = enc.Encode(c.Problems)
	return fmt.Sprintf("sha256:%x", sum.Sum(nil))
}

// plain is the payload without those that it is joined with, which JSON could not end.
func (p *Payload) plain() Payload {
	alone := *p
	alone.Previous, alone.UpgradesFrom = nil, nil
	return alone
}
