package pages

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/slipway-release/slipway/release/channels/graph"
	"github.com/slipway-release/slipway/release/inspect"
	"github.com/slipway-release/slipway/release/inspect/changelog"
	"github.com/slipway-release/slipway/release/inspect/compare"
	"github.com/slipway-release/slipway/release/updates/catalog"
)

// Details reads what is not kept of every payload; *catalog.Details does. An error
// that wraps catalog.ErrNotYet or catalog.ErrBusy says that it makes sense to ask again.
type Details interface {
	Info(ctx context.Context, p *catalog.Payload) (*inspect.Info, error)
	Changelog(ctx context.Context, from, to *catalog.Payload) (*changelog.Changelog, error)
	Diff(ctx context.Context, from, to *catalog.Payload) (*compare.Diff, error)
	Statement(ctx context.Context, p *catalog.Payload, s catalog.Statement) ([]byte, error)
}

var _ Details = (*catalog.Details)(nil)

// Pages shows a catalog.
type Pages struct {
	// Name is the distribution's, for titles.
	Name string
	// Catalog returns the one to show, or nil while there is none.
	Catalog func() *catalog.Catalog
	// Snapshot is what clusters are offered; the page of a channel finds ways in it. It
	// may be nil.
	Snapshot func() *graph.Snapshot
	// Failure tells why the catalog is not fresh, nil when it is. It may be nil.
	Failure func() (time.Time, error)
	Details Details
	// Now is the clock; time.Now when nil.
	Now func() time.Time
	// PerPage is how many payloads one page lists; 50 when zero.
	PerPage int
}

// Patterns are the paths that Handler answers, for a mux that others share.
func Patterns() []string {
	return []string{"/{$}", "/releasestream/", "/releasetag/", "/channels/", "/dashboards/"}
}

// Handler returns the handler for all of Patterns.
func (p *Pages) Handler() http.Handler {
	mux := http.NewServeMux()
	for path, show := range map[string]func(*request) (page, error){
		"/{$}":                                  p.overview,
		"/releasestream/{stream}":               p.stream,
		"/releasestream/{stream}/upgrades":      p.matrix,
		"/releasestream/{stream}/latest":        p.latest,
		"/releasestream/{stream}/release/{tag}": p.payload,
		"/releasetag/{tag}":                     p.payload,
		"/releasetag/{tag}/evidence/{digest}":   p.evidence,
		"/channels/{channel}":                   p.channel,
		"/dashboards/compare":                   p.compare,
		"/dashboards/overview":                  func(*request) (page, error) { return page{redirect: "/"}, nil },
		"/":                                     func(*request) (page, error) { return page{}, missing("There is nothing under this address.") },
	} {
		mux.HandleFunc(path, p.serve(show))
	}
	return mux
}

// request is one request, and the catalog that answers it.
type request struct {
	*http.Request
	catalog *catalog.Catalog
	query   url.Values
	now     time.Time
}

// page is what a template is filled with, or where the reader is sent.
type page struct {
	template string
	title    string
	content  any
	redirect string
	// again says that something is being read: the page comes back by itself.
	again bool
}

// problem is a page that cannot be shown.
type problem struct {
	code int
	text string
}

func (e *problem) Error() string { return e.text }

func missing(format string, args ...any) error {
	return &problem{http.StatusNotFound, fmt.Sprintf(format, args...)}
}

// maxQuery bounds what follows the ? of a request, in bytes.
const maxQuery = 2048

func (p *Pages) serve(show func(*request) (page, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		got, err := p.page(r, show)
		switch {
		case err != nil:
			p.sendProblem(w, r, err)
		case got.redirect != "":
			http.Redirect(w, r, got.redirect, http.StatusFound)
		default:
			p.send(w, r, http.StatusOK, got)
		}
	}
}

func (p *Pages) page(r *http.Request, show func(*request) (page, error)) (page, error) {
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		return page{}, &problem{http.StatusMethodNotAllowed, "Pages can only be read."}
	case len(r.URL.RawQuery) > maxQuery:
		return page{}, &problem{http.StatusRequestURITooLong, "The address is too long."}
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return page{}, &problem{http.StatusBadRequest, "The address cannot be read."}
	}
	c := p.Catalog()
	if c == nil {
		return page{}, &problem{http.StatusServiceUnavailable, "The releases are being read for the first time. Come back in a moment."}
	}
	now := time.Now
	if p.Now != nil {
		now = p.Now
	}
	return show(&request{r, c, query, now()})
}

func (r *request) streamOf() (*catalog.Stream, error) {
	if s := r.catalog.Stream(r.PathValue("stream")); s != nil {
		return s, nil
	}
	return nil, missing("There is no such stream.")
}

func (r *request) payloadOf() (*catalog.Payload, error) {
	found := r.catalog.Payload(r.PathValue("tag"))
	if found == nil {
		return nil, missing("There is no such payload; it may have been deleted.")
	}
	if stream := r.PathValue("stream"); stream != "" && stream != found.Stream {
		return nil, missing("This payload is not of that stream.")
	}
	return found, nil
}

// part is one page of a list that is shown in parts.
type part struct {
	From, To, Total int // first and last that are shown, counted from 1
	Newer, Older    int // numbers of the pages beside it, 0 when there is none
}

// partOf reads which page of a list is wanted. One beyond the end is the last one.
func (r *request) partOf(total, size int) (part, error) {
	number := 1
	if text := r.query.Get("page"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return part{}, &problem{http.StatusBadRequest, "Pages are numbered from 1."}
		}
		number = n
	}
	last := max(1, (total+size-1)/size)
	number = min(number, last)
	at := part{From: min(total, (number-1)*size+1), To: min(total, number*size), Total: total}
	if number > 1 {
		at.Newer = number - 1
	}
	if number < last {
		at.Older = number + 1
	}
	return at, nil
}

func (p *Pages) perPage() int {
	if p.PerPage > 0 {
		return p.PerPage
	}
	return 50
}
