package pages

import (
	"fmt"

	"github.com/slipway-release/slipway/release/channels/graph"
	"github.com/slipway-release/slipway/release/channels/graph/picture"
	"github.com/slipway-release/slipway/release/updates/catalog"
)

// draw draws a channel's graph, with what was decided about versions and tried of edges.
func draw(c *catalog.Channel, about *catalog.Catalog) picture.Picture {
	var nodes []picture.Node
	for _, v := range c.Versions {
		name := v.Version.String()
		n := picture.Node{Version: name, Label: brief(name), Tone: picture.Soft}
		if payload := about.Payload(name); payload != nil {
			n.Link, n.Tone = "/releasetag/"+name, picture.Tone(tone(payload.Phase))
		}
		nodes = append(nodes, n)
	}
	var edges []picture.Edge
	for _, e := range c.Edges {
		edges = append(edges, picture.Edge{From: e.From, To: e.To, Tone: edgeTone(e, about), Note: edgeNote(e, about), Risks: e.Risks})
	}
	p := picture.Draw(nodes, edges)
	p.Title = "Update graph of channel " + c.Name
	p.Desc = fmt.Sprintf("%s in %s, one for each minor version, the newest on top, and %s. The table below says the same in words.",
		count(len(nodes), "version"), count(len(p.Columns), "column"), count(p.All, "edge"))
	return p
}

func edgeTone(e catalog.ChannelEdge, about *catalog.Catalog) picture.Tone {
	u := about.Upgrade(e.From, e.To)
	switch {
	case len(e.Risks) > 0:
		return picture.Doubt
	case e.Trials.Short():
		return picture.Busy
	case u != nil && u.Success > 0 || e.Evidence != "":
		return picture.Good
	case u != nil && u.Failure > 0:
		return picture.Bad
	}
	return picture.Busy
}

// edgeNote adds the passes to edgeWord where several are needed.
func edgeNote(e catalog.ChannelEdge, about *catalog.Catalog) string {
	note := edgeWord(e, about)
	if e.Trials != (graph.Trials{}) {
		note += ", " + e.Trials.String() + " passes"
	}
	return note
}

func edgeWord(e catalog.ChannelEdge, about *catalog.Catalog) string {
	switch edgeTone(e, about) {
	case picture.Good:
		return "tested"
	case picture.Bad:
		return "tested, and failed"
	case picture.Doubt:
		return fmt.Sprintf("conditional, %v", e.Risks)
	}
	return "not tested"
}
