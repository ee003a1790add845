package pages

import (
	"net/url"

	"github.com/slipway-release/slipway/release/channels/graph"
	"github.com/slipway-release/slipway/release/updates/catalog"
)

// wayView is the form that asks for a way within a channel, and the answer.
type wayView struct {
	From, To string
	NoRisks  bool
	Found    *catalog.APIPath // nil when nothing was asked for, or there is a problem
	Problem  string
}

func findWay(s *graph.Snapshot, channel string, r *request) *wayView {
	v := &wayView{From: r.query.Get("from"), To: r.query.Get("to"), NoRisks: r.query.Get("risks") == "false"}
	if v.From == "" && v.To == "" {
		return v
	}
	query := url.Values{"channel": {channel}}
	for _, name := range []string{"from", "to", "arch", "risks"} {
		query[name] = r.query[name]
	}
	found, err := catalog.FindPath(s, query, r.now)
	if err != nil {
		v.Problem = err.Error()
		return v
	}
	v.Found = &found
	return v
}
