package pages

import (
	"slices"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/channels/graph/picture"
	"github.com/slipway-release/slipway/release/updates/catalog"
)

type channelView struct {
	*catalog.Channel
	Picture picture.Picture
	Rows    []channelRow // the newest first
	Way     *wayView     // nil when ways cannot be found
}

// channelRow is a version and where clusters can go from it, and come to it from.
type channelRow struct {
	catalog.ChannelVersion
	Payload      *catalog.Payload
	To, Risky    int // edges from it, and how many of them bear a risk
	Newest       string
	From         int
	DeadEnd      bool // it is not the head, and nothing leads on from it
	Unreachable  bool // nothing leads to it, and there are older versions
	RisksFurther []string
}

func (p *Pages) channel(r *request) (page, error) {
	c := r.catalog.Channel(r.PathValue("channel"))
	if c == nil {
		return page{}, missing("There is no such channel.")
	}
	v := channelView{Channel: c, Picture: draw(c, r.catalog)}
	rows := map[string]*channelRow{}
	for i, cv := range c.Versions {
		name := cv.Version.String()
		rows[name] = &channelRow{ChannelVersion: cv, Payload: r.catalog.Payload(name), DeadEnd: i < len(c.Versions)-1, Unreachable: i > 0}
	}
	for _, e := range c.Edges { // in ascending order of their ends
		if from := rows[e.From]; from != nil {
			from.To++
			from.Newest, from.DeadEnd = e.To, false
			if len(e.Risks) > 0 {
				from.Risky++
				for _, risk := range e.Risks {
					if !slices.Contains(from.RisksFurther, risk) {
						from.RisksFurther = append(from.RisksFurther, risk)
					}
				}
			}
		}
		if to := rows[e.To]; to != nil {
			to.From++
			to.Unreachable = false
		}
	}
	for _, cv := range slices.Backward(c.Versions) {
		v.Rows = append(v.Rows, *rows[cv.Version.String()])
	}
	if p.Snapshot != nil {
		v.Way = findWay(p.Snapshot(), c.Name, r)
	}
	return page{template: "channel.html", title: "Channel " + c.Name, content: v}, nil
}

// newestFirst orders the names of versions.
func newestFirst(a, b string) int {
	va, errA := release.Parse(a)
	vb, errB := release.Parse(b)
	if errA != nil || errB != nil {
		return 0
	}
	return vb.Compare(va)
}
