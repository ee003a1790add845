package path

import (
	"fmt"
	"slices"
	"strings"

	"github.com/slipway-release/slipway/release/channels/graph"
)

// Cause is the kind of a reason why there is no way.
type Cause string

// The causes. Of the first three nothing is offered at all; the others tell what would
// have to be different.
const (
	UnknownChannel Cause = "UnknownChannel"
	UnknownVersion Cause = "UnknownVersion"
	NotInChannel   Cause = "NotInChannel"
	Quarantined    Cause = "Quarantined"
	Older          Cause = "Older"        // it would lead to an older version
	Risks          Cause = "Risks"        // there is a way, and it bears risks
	OtherChannel   Cause = "OtherChannel" // other channels offer a way
	Blocked        Cause = "Blocked"      // a blocked edge would open a way
	DeadEnd        Cause = "DeadEnd"      // nothing leads on, or to it
)

// Reason is one reason why there is no way.
type Reason struct {
	Cause Cause `json:"cause"`
	// Text is a sentence without its full stop.
	Text string `json:"text"`
}

// NoWay says why one version does not lead to another.
type NoWay struct {
	From     string   `json:"from"`
	To       string   `json:"to"`
	Channels []string `json:"channels,omitempty"` // that were asked for
	Reasons  []Reason `json:"reasons"`
	// Reachable are a few versions that From leads to, the nearest to To first, and
	// Entries a few that lead to To in one hop, the newest first.
	Reachable []string `json:"reachable,omitempty"`
	Entries   []string `json:"entries,omitempty"`
}

// Unknown says that there is no such version, or no such channel.
func (e *NoWay) Unknown() bool {
	return slices.ContainsFunc(e.Reasons, func(r Reason) bool { return r.Cause == UnknownVersion || r.Cause == UnknownChannel })
}

// Error implements error.
func (e *NoWay) Error() string {
	text := fmt.Sprintf("finding a way from %q to %q", e.From, e.To)
	if len(e.Channels) > 0 {
		text += " in " + inWords("channel", e.Channels, "and")
	}
	text += ": there is none"
	for i, r := range e.Reasons {
		text += []string{": ", "; "}[min(i, 1)] + r.Text
	}
	if len(e.Reachable) > 0 {
		text += fmt.Sprintf("; %q leads to %s", e.From, join(e.Reachable, "and"))
	}
	if len(e.Entries) > 0 {
		text += fmt.Sprintf("; %q is reached from %s", e.To, join(e.Entries, "and"))
	}
	return text
}

// few is how many names a sentence has.
const few = 3

// unknown explains what is wrong with the names themselves; nil when nothing is.
func (o Options) unknown(g *graph.Graph, from, to string) *NoWay {
	why := &NoWay{From: from, To: to, Channels: o.Channels}
	known := g.Channels()
	for _, c := range o.Channels {
		if !slices.Contains(known, c) {
			why.add(UnknownChannel, "there is no channel %q%s", c, didYouMean(c, known))
		}
	}
	if len(why.Reasons) == 0 {
		o.checkVersion(why, g, from)
		if from != to {
			o.checkVersion(why, g, to)
		}
	}
	if len(why.Reasons) == 0 {
		return nil
	}
	return why
}

func (e *NoWay) add(cause Cause, format string, args ...any) {
	e.Reasons = append(e.Reasons, Reason{cause, fmt.Sprintf(format, args...)})
}

func (o Options) checkVersion(why *NoWay, g *graph.Graph, version string) {
	at := slices.IndexFunc(g.Nodes, func(n graph.Node) bool { return n.Version == version })
	if at < 0 {
		for _, q := range o.Quarantined {
			if q.Version == version {
				why.add(Quarantined, "version %q is quarantined because %s", version, q.Reason)
				return
			}
		}
		names := make([]string, len(g.Nodes))
		for i, n := range g.Nodes {
			names[i] = n.Version
		}
		why.add(UnknownVersion, "there is no version %q%s", version, didYouMean(version, names))
		return
	}
	in := g.Nodes[at].Channels
	if len(o.Channels) == 0 || slices.ContainsFunc(o.Channels, func(c string) bool { return slices.Contains(in, c) }) {
		return
	}
	where := "no channel"
	if len(in) > 0 {
		where = join(in, "and")
	}
	why.add(NotInChannel, "version %q is not in %s, but in %s", version, inWords("channel", o.Channels, "or"), where)
}

// explain tells what would have to be different for there to be a way in a graph; n is
// the part of it that was looked at.
func (o Options) explain(g *graph.Graph, n *net, from, to string) *NoWay {
	why := &NoWay{From: from, To: to, Channels: o.Channels}
	start, end := n.places[from], n.places[to]
	forth := n.reached(start)
	if end < start {
		why.add(Older, "%q is the older of the two", to)
	}
	if o.NoRisks {
		if found, ok := newNet(g, o.Channels).find(from, to, Options{}); ok {
			best := found.Ways[0]
			var names []string
			for _, h := range best.Hops {
				for _, r := range h.Risks {
					names = append(names, r.Name)
				}
			}
			why.add(Risks, "every way bears risks, the best one, of %s, %s", count(len(best.Hops), "hop"), join(compact(names), "and"))
		}
	}
	if len(o.Channels) > 0 {
		all := newNet(g, nil)
		if o.NoRisks {
			all = all.withoutRisks()
		}
		if found, ok := all.find(from, to, Options{}); ok {
			var names []string
			for _, h := range found.Ways[0].Hops {
				names = append(names, h.Channels[0])
			}
			why.add(OtherChannel, "there is one of %s through %s", count(len(found.Ways[0].Hops), "hop"), inWords("channel", compact(names), "and"))
		}
	}
	o.explainBlocked(why, n, forth, end)
	nothing := "nothing"
	if o.NoRisks {
		nothing = "nothing without a risk"
	}
	if len(n.out[start]) == 0 {
		why.add(DeadEnd, "%s leads on from %q", nothing, from)
	}
	for i := end; i >= 0 && len(why.Reachable) < few; i-- {
		if forth[i] && i != start {
			why.Reachable = append(why.Reachable, n.nodes[i].Version)
		}
	}
	entries := n.incoming()[end]
	if len(entries) == 0 {
		why.add(DeadEnd, "%s leads to %q", nothing, to)
	}
	slices.Sort(entries)
	for i, at := range slices.Backward(entries) {
		if len(entries)-i <= few {
			why.Entries = append(why.Entries, n.nodes[at].Version)
		}
	}
	return why
}

// explainBlocked names the blocked edges each of which alone would open a way.
func (o Options) explainBlocked(why *NoWay, n *net, forth []bool, end int32) {
	ahead := n.outlooks(end)
	more := 0
	for _, b := range o.Blocked {
		from, ok := n.places[b.From]
		to, good := n.places[b.To]
		if !ok || !good || !forth[from] || ahead[to].hops < 0 {
			continue
		}
		if more++; more <= few {
			why.add(Blocked, "the edge from %q to %q is blocked (%s)", b.From, b.To, b.Reason)
		}
	}
	if more > few {
		why.add(Blocked, "%d more edges are blocked that would open one", more-few)
	}
}

func compact(names []string) []string {
	var out []string
	for _, n := range names {
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

func count(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// inWords names things of one kind.
func inWords(one string, names []string, word string) string {
	if len(names) > 1 {
		one += "s"
	}
	return one + " " + join(names, word)
}

// join lists names as a sentence does.
func join(names []string, word string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " " + word + " " + names[last]
}
