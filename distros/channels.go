package distros

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/blang/semver/v4"
)

// Channel is a set of releases that clusters are offered.
type Channel struct {
	// Name is what clusters ask for: candidate, stable, stable-1.36.
	Name string `json:"name"`
	// Feeder is the channel whose releases go on into this one; without one they come from
	// streams, and by hand.
	Feeder *Feeder `json:"feeder,omitempty"`
	// Tombstones are versions that stay in this channel and feed no other.
	Tombstones []string `json:"tombstones,omitempty"`
	// Evidence are checks that must have passed before a release enters the channel, by
	// their names in streams.
	Evidence []string `json:"evidence,omitempty"`
	// FreshFor is how old that evidence may be, 720h; empty means any age.
	FreshFor string `json:"freshFor,omitempty"`
	// Rollout is how long a release takes to open to all clusters, 48h; empty means that
	// it is open to all at once.
	Rollout string `json:"rollout,omitempty"`
}

// Feeder says when a release goes on from one channel into the next.
type Feeder struct {
	Channel string `json:"channel"`
	// Delay is how long it must have been in the feeder, 168h; 0s for at once.
	Delay string `json:"delay,omitempty"`
	// Approvals are how many people can let it go on before the delay is over; without a
	// delay nothing else does.
	Approvals int `json:"approvals,omitempty"`
	// Versions is a range of those that may go on: ">=1.36.0 <1.37.0". Empty lets all pass.
	Versions string `json:"versions,omitempty"`
}

// untested are the values of Graph.Untested.
var untested = []string{"conditional", "offer", "omit"}

// Graph says what clusters are offered beyond what channels hold.
type Graph struct {
	// Untested says what becomes of edges that a payload declares and nobody tried:
	// conditional, which is the default, offer or omit.
	Untested string `json:"untested,omitempty"`
	// Passes is how many upgrade tests must have passed for an edge to count as tested: 1,
	// which is the default, or more.
	Passes *int `json:"passes,omitempty"`
}

// PassesNeeded is Passes, or its default.
func (g Graph) PassesNeeded() int {
	if g.Passes == nil {
		return 1
	}
	return *g.Passes
}

// GraphDataDir is the folder beside distro.yaml in which risks and blocked edges are
// declared, in the form of package graphdata.
const GraphDataDir = "channels"

// channelName is what the update service lets clusters ask for, and a registry's tag.
var channelName = regexp.MustCompile(`^[0-9a-z][0-9a-z.-]{0,127}$`)

func (l *loader) channel(name string) *Channel {
	i := slices.IndexFunc(l.doc.Channels, func(c Channel) bool { return c.Name == name })
	if i < 0 {
		return nil
	}
	return &l.doc.Channels[i]
}

func (l *loader) checkChannels() {
	seen := map[string]bool{}
	for i, c := range l.doc.Channels {
		field := fmt.Sprintf("channels[%d]", i)
		if !channelName.MatchString(c.Name) {
			l.bad(field+".name", "must be lower case letters, digits, dots and dashes such as stable-1.36, not %q", c.Name)
		} else if seen[c.Name] {
			l.bad(field+".name", "channel %q stands here twice", c.Name)
		}
		seen[c.Name] = true
		l.checkChannel(field, c)
	}
	if u := l.doc.Graph.Untested; u != "" && !slices.Contains(untested, u) {
		l.bad("graph.untested", "must be one of %s, not %q", strings.Join(untested, ", "), u)
	}
	if n := l.doc.Graph.Passes; n != nil && *n < 1 {
		l.bad("graph.passes", "must be at least 1, not %d", *n)
	}
}

func (l *loader) checkChannel(field string, c Channel) {
	for k, v := range c.Tombstones {
		if _, err := semver.Parse(v); err != nil {
			l.bad(fmt.Sprintf("%s.tombstones[%d]", field, k), "must be a version, not %q", v)
		}
	}
	for k, e := range c.Evidence {
		known := slices.Contains(checks, e) || slices.ContainsFunc(l.doc.Streams, func(s Stream) bool { return hasPipeline(&s, e) })
		if !known {
			l.bad(fmt.Sprintf("%s.evidence[%d]", field, k), "no stream has a check %q", e)
		}
	}
	l.checkDuration(field+".freshFor", c.FreshFor)
	l.checkDuration(field+".rollout", c.Rollout)
	f := c.Feeder
	if f == nil {
		return
	}
	l.checkDuration(field+".feeder.delay", f.Delay)
	l.checkCount(field+".feeder.approvals", f.Approvals)
	if f.Delay == "" && f.Approvals == 0 {
		l.bad(field+".feeder", "needs a delay or approvals; delay: 0s lets releases go on at once")
	}
	if f.Versions != "" {
		if _, err := semver.ParseRange(f.Versions); err != nil {
			l.bad(field+".feeder.versions", "must be a range such as \">=1.36.0 <1.37.0\", not %q: %v", f.Versions, err)
		}
	}
	if l.channel(f.Channel) == nil {
		l.bad(field+".feeder.channel", "there is no channel %q", f.Channel)
		return
	}
	for way := []string{c.Name}; ; {
		last := l.channel(way[len(way)-1])
		if last == nil || last.Feeder == nil {
			return
		}
		next := last.Feeder.Channel
		if slices.Contains(way, next) {
			if next == c.Name {
				l.bad(field+".feeder.channel", "channels feed each other in a circle: %s", strings.Join(append(way, next), " ← "))
			}
			return
		}
		way = append(way, next)
	}
}
