package catalog

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/slipway-release/slipway/release/channels/graph"
	"github.com/slipway-release/slipway/release/channels/graph/path"
)

const (
	maxName     = 128 // of a version, a channel or an architecture, in bytes
	maxChannels = 16  // that a way may lead through
)

// APIPath answers ?from=&to=: the ways, or why there is none. It is ours; the release
// controller has nothing like it.
type APIPath struct {
	Arch string `json:"arch"`
	path.Found
	Why *path.NoWay `json:"why,omitempty"`
}

// way answers from what is offered, which is there before the catalog is.
func (a *API) way(w http.ResponseWriter, r *http.Request) {
	got, err := a.findWay(r)
	if err != nil {
		sendError(w, err)
		return
	}
	send(w, r, got)
}

func (a *API) findWay(r *http.Request) (answer, error) {
	if a.Snapshot == nil {
		return answer{}, notFound("there is nothing under this path")
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return answer{}, invalid("the query cannot be read: %v", err)
	}
	found, err := FindPath(a.Snapshot(), query, time.Now())
	if err != nil {
		return answer{}, err
	}
	return jsonAnswer(found)
}

// FindPath reads from, to, channel (any number of them), arch, all and risks from a query,
// and finds the way in what is offered, nil while nothing was read. Problem knows how its
// errors are answered; that there is no way between two versions is none.
func FindPath(s *graph.Snapshot, query url.Values, now time.Time) (APIPath, error) {
	if s == nil {
		return APIPath{}, &apiError{code: http.StatusServiceUnavailable, Kind: KindNotReady, Value: "the update graph is being read for the first time", retry: 3}
	}
	from, to, o, err := pathQuery(query)
	if err != nil {
		return APIPath{}, err
	}
	found := APIPath{}
	if found.Arch, err = chooseArch(s, query.Get("arch")); err != nil {
		return APIPath{}, err
	}
	o.Now = now
	found.Found, err = path.Find(s.Graphs[found.Arch], from, to, o.For(s, found.Arch))
	switch {
	case errors.As(err, &found.Why) && found.Why.Unknown():
		return APIPath{}, notFound("%v", err)
	case found.Why != nil:
		found.Found = path.Found{From: from, To: to, Ways: []path.Path{}}
		return found, nil
	}
	return found, err
}

// pathQuery checks all parameters, and tells of all that are wrong.
func pathQuery(query url.Values) (from, to string, o path.Options, err error) {
	var problems []string
	for name, values := range query {
		if !slices.Contains([]string{"from", "to", "channel", "arch", "all", "risks"}, name) {
			continue // left to others, as the rest of the API does
		}
		if len(values) > 1 && name != "channel" {
			problems = append(problems, "?"+name+" may be given once")
		}
		if slices.ContainsFunc(values, func(v string) bool { return len(v) > maxName }) {
			problems = append(problems, "?"+name+" is longer than 128 bytes")
		}
	}
	from, to = query.Get("from"), query.Get("to")
	if from == "" || to == "" {
		problems = append(problems, "?from and ?to must be versions")
	}
	o.Channels = slices.DeleteFunc(slices.Clone(query["channel"]), func(c string) bool { return c == "" })
	if len(o.Channels) > maxChannels {
		problems = append(problems, "?channel may be given 16 times")
	}
	for name, into := range map[string]*bool{"all": &o.All, "risks": &o.NoRisks} {
		switch v := query.Get(name); v {
		case "":
		case "true", "false":
			*into = (v == "true") == (name == "all") // no risks where they are not wanted
		default:
			problems = append(problems, "?"+name+" must be true or false")
		}
	}
	if len(problems) > 0 {
		slices.Sort(problems)
		return "", "", o, invalid("%s", strings.Join(problems, "; "))
	}
	return from, to, o, nil
}

// chooseArch takes the architecture that is asked for, the only one, or that which the
// update service answers for when it is not told: amd64.
func chooseArch(s *graph.Snapshot, asked string) (string, error) {
	have := s.Architectures()
	switch {
	case asked == "" && len(have) == 1:
		return have[0], nil
	case asked == "":
		asked = "amd64"
	}
	if !slices.Contains(have, asked) {
		return "", notFound("nothing is offered to architecture %q", asked)
	}
	return asked, nil
}
