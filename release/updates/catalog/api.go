package catalog

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/blang/semver/v4"

	"github.com/slipway-release/slipway/release/channels/graph"
)

// API answers the release controller's read API. It only reads: methods other than
// GET and HEAD are refused.
type API struct {
	// Catalog returns the one to answer from, or nil while there is none. Without the
	// function only ways through what is offered are found.
	Catalog func() *Catalog
	// Snapshot is what clusters are offered, nil while nothing was read. Without the
	// function no ways are found.
	Snapshot func() *graph.Snapshot
	// Details are what changelogs and descriptions are read with; nil when there are none.
	Details *Details
	// Download tells where the tools of a payload are; it may be nil.
	Download func(*Payload) string
}

// request is one request that has passed the bounds.
type request struct {
	ctx     context.Context
	catalog *Catalog
	path    func(string) string
	query   url.Values
}

// Patterns are the paths that Handler answers, for a mux that others share.
func Patterns() []string {
	return []string{"/api/v1/releasestreams/", "/api/v1/releasestream/", "/api/v1/path", "/releasetag/{tag}/json", "/changelog"}
}

// Handler returns the handler for all of Patterns.
func (a *API) Handler() http.Handler {
	mux := http.NewServeMux()
	for path, answer := range map[string]func(request) (answer, error){
		"/api/v1/releasestreams/{phase}":               a.streams,
		"/api/v1/releasestream/{stream}/tags":          a.tags,
		"/api/v1/releasestream/{stream}/latest":        a.latest,
		"/api/v1/releasestream/{stream}/candidate":     a.candidate,
		"/api/v1/releasestream/{stream}/release/{tag}": a.release,
		"/api/v1/releasestream/{stream}/config":        a.config,
		"/releasetag/{tag}/json":                       a.info,
		"/changelog":                                   a.changes,
		"/":                                            func(request) (answer, error) { return answer{}, notFound("there is nothing under this path") },
	} {
		mux.HandleFunc(path, a.serve(answer))
	}
	mux.HandleFunc("/api/v1/path", a.way)
	return bounded(mux)
}

// bounded refuses what costs more to read than to refuse, before a mux sees it.
func bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			sendError(w, &apiError{code: http.StatusMethodNotAllowed, Kind: KindNotAllowed, Value: "only GET and HEAD are answered"})
		case len(r.URL.RawQuery) > maxQuery || len(r.URL.Path) > maxQuery:
			sendError(w, &apiError{code: http.StatusRequestURITooLong, Kind: KindInvalid, Value: fmt.Sprintf("path and query may have %d bytes each", maxQuery)})
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func (a *API) serve(handle func(request) (answer, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if a.Catalog == nil {
			sendError(w, notFound("this server offers a graph and knows no releases"))
			return
		}
		query, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil {
			sendError(w, invalid("the query cannot be read: %v", err))
			return
		}
		c := a.Catalog()
		if c == nil {
			sendError(w, &apiError{code: http.StatusServiceUnavailable, Kind: KindNotReady, Value: "the catalog is being read for the first time", retry: 3})
			return
		}
		got, err := handle(request{r.Context(), c, r.PathValue, query})
		if err != nil {
			sendError(w, err)
			return
		}
		send(w, r, got)
	}
}

func (r request) stream() (*Stream, error) {
	name := r.path("stream")
	if s := r.catalog.Stream(name); s != nil {
		return s, nil
	}
	return nil, notFound("there is no stream %q", clipName(name))
}

// clipName bounds a name that a client sent, for it is sent back.
func clipName(name string) string {
	if len(name) > 128 {
		return strings.ToValidUTF8(name[:128], "") + "…"
	}
	return name
}

// streams lists the payloads of all streams in one phase.
func (a *API) streams(r request) (answer, error) {
	var want func(Phase) bool
	switch name := r.path("phase"); name {
	case "accepted":
		want = func(p Phase) bool { return p == Accepted }
	case "rejected":
		want = func(p Phase) bool { return p == Rejected }
	case "ready":
		want = func(p Phase) bool { return p == Ready }
	case "all":
		want = func(Phase) bool { return true }
	default:
		return answer{}, notFound("streams can be listed as accepted, rejected, ready or all")
	}
	all := map[string][]string{}
	for _, s := range r.catalog.Streams {
		if s.EndOfLife {
			continue
		}
		var names []string // null when empty, as it is there
		for _, p := range s.Ordered() {
			if want(p.Phase) {
				names = append(names, p.Version.String())
			}
		}
		all[s.Policy.Name] = names
	}
	return jsonAnswer(all)
}

// tags lists a stream's payloads. limit and offset are ours; left out, all are listed.
func (a *API) tags(r request) (answer, error) {
	s, err := r.stream()
	if err != nil {
		return answer{}, err
	}
	if f := r.query.Get("format"); f != "" && f != "json" {
		return answer{}, invalid("?format must be json")
	}
	limit, err := r.number("limit")
	if err != nil {
		return answer{}, err
	}
	offset, err := r.number("offset")
	if err != nil {
		return answer{}, err
	}
	phases := r.query["phase"]
	list := APIRelease{Name: s.Policy.Name}
	for _, p := range s.Ordered() {
		if len(phases) == 0 || slices.Contains(phases, string(p.Phase)) {
			list.Tags = append(list.Tags, a.tag(p))
		}
	}
	total := len(list.Tags)
	list.Tags = list.Tags[min(offset, total):]
	next := ""
	if limit > 0 && len(list.Tags) > limit {
		list.Tags = list.Tags[:limit]
		following := url.Values{"limit": {strconv.Itoa(limit)}, "offset": {strconv.Itoa(offset + limit)}}
		if len(phases) > 0 {
			following["phase"] = phases
		}
		next = fmt.Sprintf("<?%s>; rel=\"next\"", following.Encode())
	}
	got, err := jsonAnswer(list)
	got.header = map[string]string{"X-Total-Count": strconv.Itoa(total)}
	if next != "" {
		got.header["Link"] = next
	}
	return got, err
}

// number reads a parameter that must not be negative; 0 when it is not given.
func (r request) number(name string) (int, error) {
	text := r.query.Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > 1<<30 {
		return 0, invalid("?%s must be a number that is not negative", name)
	}
	return n, nil
}

// latest is the newest accepted payload that the query lets through.
func (a *API) latest(r request) (answer, error) {
	s, err := r.stream()
	if err != nil {
		return answer{}, err
	}
	in := func(semver.Version) bool { return true }
	if text := r.query.Get("in"); text != "" {
		if in, err = parseRange(text); err != nil {
			return answer{}, err
		}
	}
	rel, err := r.number("rel")
	if err != nil {
		return answer{}, err
	}
	prefix := r.query.Get("prefix")
	for _, p := range s.Ordered() {
		if p.Phase != Accepted || !strings.HasPrefix(p.Version.String(), prefix) || !in(p.Version.Semver()) {
			continue
		}
		if rel--; rel >= 0 {
			continue
		}
		return a.format(p, r.query.Get("format"))
	}
	return answer{}, notFound("no accepted payload of stream %q is what was asked for", s.Policy.Name)
}

func (a *API) format(p *Payload, format string) (answer, error) {
	t := a.tag(p)
	switch format {
	case "", "json":
		return jsonAnswer(t)
	case "pullSpec":
		return textAnswer(t.PullSpec)
	case "downloadURL":
		return textAnswer(t.DownloadURL)
	case "name":
		return textAnswer(t.Name)
	}
	return answer{}, invalid("?format must be json, pullSpec, name or downloadURL")
}

// maxRange bounds a semver range, in bytes; that of a release has some thirty.
const maxRange = 512

func parseRange(text string) (in semver.Range, err error) {
	if len(text) > maxRange {
		return nil, invalid("?in may have %d characters", maxRange)
	}
	defer func() { // the parser does not promise to bear everything
		if recover() != nil {
			err = invalid("?in must be a range of semantic versions, such as >4.18.0-0 <4.19.0-0")
		}
	}()
	in, err = semver.ParseRange(text)
	if err != nil {
		return nil, invalid("?in must be a range of semantic versions, such as >4.18.0-0 <4.19.0-0: %v", err)
	}
	return in, nil
}
