package pages_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/slipway-release/slipway/internal/golden"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/inspect"
	"github.com/slipway-release/slipway/release/updates/catalog"
	"github.com/slipway-release/slipway/release/updates/catalog/catalogtest"
	"github.com/slipway-release/slipway/release/updates/pages"
)

func newPages(t testing.TB) (*pages.Pages, *catalogtest.World) {
	w := catalogtest.New(t)
	return &pages.Pages{Name: "Skiff", Catalog: w.Keeper(t).Catalog, Details: w.Details(t), Now: func() time.Time { return catalogtest.Now }}, w
}

func get(t testing.TB, h http.Handler, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

// addresses are one page of every kind.
func addresses(t testing.TB, w *catalogtest.World) map[string]string {
	n := catalogtest.Nightly
	keeper := w.Keeper(t).Catalog()
	decision := keeper.Payload("1.37.0-rc.1").Decision.Evidence
	return map[string]string{
		"overview": "/", "stream": "/releasestream/nightly", "stable": "/releasestream/stable", "matrix": "/releasestream/nightly/upgrades",
		"payload-accepted": "/releasetag/" + n(20), "payload-rejected": "/releasestream/nightly/release/" + n(21), "payload-pending": "/releasetag/" + n(24),
		"payload-manual": "/releasetag/1.37.0-rc.1", "evidence": "/releasetag/1.37.0-rc.1/evidence/" + decision,
		"compare": "/dashboards/compare?from=" + n(19) + "&to=" + n(20), "compare-none": "/dashboards/compare", "channel": "/channels/candidate", "channel-risk": "/channels/stable-1.36",
	}
}

func TestPages(t *testing.T) {
	p, w := newPages(t)
	h := p.Handler()
	for name, path := range addresses(t, w) {
		t.Run(name, func(t *testing.T) {
			got := get(t, h, path)
			if got.Code != http.StatusOK || got.Header().Get("Content-Type") != "text/html; charset=utf-8" {
				t.Fatalf("%s is answered %d %s", path, got.Code, got.Body)
			}
			body := got.Body.String()
			start, end := strings.Index(body, "<style>"), strings.Index(body, "</style>")
			golden.Check(t, "testdata/"+name+".html", body[:start]+body[end+len("</style>"):])
			policy := got.Header().Get("Content-Security-Policy")
			if !strings.HasPrefix(policy, "default-src 'none'; style-src 'sha256-") {
				t.Errorf("the policy is %q", policy)
			}
			checkMarkup(t, body)
		})
	}
}

// checkMarkup sees to what people who do not see the page need, and that it loads nothing.
func checkMarkup(t *testing.T, body string) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	ids, headings, refs := map[string]int{}, []string{}, []string{}
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		attrs := map[string]string{}
		for _, a := range n.Attr {
			attrs[a.Key] = a.Val
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" {
				t.Errorf("<%s> has %s, which the policy forbids", n.Data, a.Key)
			}
		}
		if id := attrs["id"]; id != "" {
			ids[id]++
		}
		refs = append(refs, strings.Fields(attrs["aria-labelledby"])...)
		switch n.Data {
		case "script", "img", "link", "iframe", "object", "embed":
			t.Errorf("there is a <%s>", n.Data)
		case "h1", "h2", "h3":
			headings = append(headings, n.Data)
		case "svg":
			if attrs["role"] != "img" || attrs["aria-labelledby"] == "" {
				t.Errorf("an svg has no name: %v", attrs)
			}
		case "html":
			if attrs["lang"] == "" {
				t.Error("the language is not told")
			}
		case "section", "nav", "th", "a":
			checkName(t, n.Data, attrs)
		}
	}
	if len(headings) == 0 || headings[0] != "h1" || slices.Contains(headings[1:], "h1") {
		t.Errorf("the headings are %v; the first one and no other must be h1", headings)
	}
	for i := 1; i < len(headings); i++ {
		if headings[i] == "h3" && headings[i-1] == "h1" {
			t.Error("a heading is left out")
		}
	}
	for _, ref := range refs {
		if ids[ref] != 1 {
			t.Errorf("%d elements have the id %q that names another one", ids[ref], ref)
		}
	}
}

func checkName(t *testing.T, element string, attrs map[string]string) {
	switch {
	case element == "nav" && attrs["aria-label"] == "":
		t.Error("a nav has no name")
	case element == "th" && attrs["scope"] == "":
		t.Error("a th does not say what it is the head of")
	case element == "a":
		u, err := url.Parse(attrs["href"])
		if err != nil || u.Scheme != "" && u.Scheme != "https" && u.Scheme != "http" {
			t.Errorf("a link leads to %q", attrs["href"])
		}
	}
}

func TestEscaped(t *testing.T) {
	p, w := newPages(t)
	for _, name := range []string{"stable", "payload-manual", "evidence"} {
		body := get(t, p.Handler(), addresses(t, w)[name]).Body.String()
		if strings.Contains(body, "<script>") || !strings.Contains(body, "alert(1)") {
			t.Errorf("%s: what a registry says is not escaped, or not shown", name)
		}
	}
}

func TestMissing(t *testing.T) {
	p, _ := newPages(t)
	h := p.Handler()
	for path, want := range map[string]int{
		"/nothing": 404, "/releasestream/none": 404, "/releasestream/stable/release/" + catalogtest.Nightly(20): 404, "/releasetag/none": 404,
		"/releasetag/1.36.1/evidence/sha256:0": 404, "/channels/none": 404, "/dashboards/compare?from=none": 404, "/releasestream/nightly?page=x": 400,
		"/releasestream/nightly?page=0": 400, "/?" + strings.Repeat("x", 3000): 414, "/?%zz": 400, "/releasetag/1.36.1?from=none": 404,
		"/releasestream/nightly/latest": 302, "/dashboards/overview": 302, "/releasestream/nightly?page=99": 200,
	} {
		got := get(t, h, path)
		if got.Code != want {
			t.Errorf("%.60s is answered %d, want %d", path, got.Code, want)
		}
		if want >= 400 {
			checkMarkup(t, got.Body.String())
		}
	}
	if got := get(t, h, "/releasestream/nightly/latest"); got.Header().Get("Location") != "/releasetag/"+catalogtest.Nightly(20) {
		t.Errorf("the latest one is %s", got.Header().Get("Location"))
	}
	post := httptest.NewRecorder()
	h.ServeHTTP(post, httptest.NewRequest(http.MethodPost, "/", nil))
	if post.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST is answered %d", post.Code)
	}
	p.Catalog = func() *catalog.Catalog { return nil }
	if got := get(t, p.Handler(), "/"); got.Code != http.StatusServiceUnavailable || !strings.Contains(got.Body.String(), `http-equiv="refresh"`) {
		t.Errorf("before the first catalog: %d", got.Code)
	}
}

func TestPaging(t *testing.T) {
	p, _ := newPages(t)
	p.PerPage = 3
	body := get(t, p.Handler(), "/releasestream/nightly?page=2").Body.String()
	for _, want := range []string{`href="?page=1"`, `href="?page=3"`, "4 to 6 of 8", catalogtest.Nightly(20)} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is not on the second page", want)
		}
	}
}

func TestStale(t *testing.T) {
	p, _ := newPages(t)
	p.Failure = func() (time.Time, error) { return catalogtest.Now, io.ErrUnexpectedEOF }
	if body := get(t, p.Handler(), "/").Body.String(); !strings.Contains(body, "could not be read at 2026-11-24 12:00 UTC") || strings.Contains(body, "EOF") {
		t.Error("it is not told that the registry cannot be read, or told too much")
	}
}

// notYet is being read.
type notYet struct{ *catalog.Details }

func (notYet) Info(context.Context, *catalog.Payload) (*inspect.Info, error) {
	return nil, catalog.ErrNotYet
}

func TestNotYet(t *testing.T) {
	p, w := newPages(t)
	p.Details = notYet{w.Details(t)}
	got := get(t, p.Handler(), "/releasetag/"+catalogtest.Nightly(20))
	if got.Code != http.StatusOK || !strings.Contains(got.Body.String(), `http-equiv="refresh"`) || !strings.Contains(got.Body.String(), "It is being read.") {
		t.Errorf("a page of which a part is being read is answered %d", got.Code)
	}
}

// TestManyVersions draws a channel of 200 versions with 9,950 edges.
func TestManyVersions(t *testing.T) {
	w := catalogtest.New(t)
	big := catalog.Channel{Name: "big"}
	for i := range 200 {
		v, err := release.Parse(fmt.Sprintf("1.%d.%d", 30+i/40, i%40))
		if err != nil {
			t.Fatal(err)
		}
		big.Versions = append(big.Versions, catalog.ChannelVersion{Version: v})
		for j := max(0, i-60); j < i; j++ {
			e := catalog.ChannelEdge{Pair: catalog.Pair{From: big.Versions[j].Version.String(), To: v.String()}}
			if i%7 == 0 {
				e.Risks = []string{"Slow"}
			}
			big.Edges = append(big.Edges, e)
		}
	}
	w.Offered = append(w.Offered, big)
	p := &pages.Pages{Name: "Skiff", Catalog: w.Keeper(t).Catalog, Now: func() time.Time { return catalogtest.Now }}
	start := time.Now()
	body := get(t, p.Handler(), "/channels/big").Body.String()
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("it took %v", took)
	}
	checkMarkup(t, body)
	if n := strings.Count(body, "<circle"); n != 200 {
		t.Errorf("%d versions are drawn", n)
	}
	if n := strings.Count(body, "<path"); n < 200 || n > 1200 || !strings.Contains(body, "make up for are left out") {
		t.Errorf("%d edges are drawn", n)
	}
	if len(body) > 1<<20 {
		t.Errorf("the page has %d bytes", len(body))
	}
}

func FuzzPages(f *testing.F) {
	for _, seed := range [][2]string{{"/releasestream/nightly", "page=2"}, {"/dashboards/compare", "from=1.36.1&to=1.36.2"}, {"/releasetag/1.36.1", "from=1.36.2"}, {"/channels/candidate", "%00"}, {"/releasetag/1.36.1/evidence/x", ""}} {
		f.Add(seed[0], seed[1])
	}
	p, _ := newPages(f)
	h := p.Handler()
	f.Fuzz(func(t *testing.T, path, query string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL = &url.URL{Path: path, RawQuery: query}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code >= 500 || strings.Contains(w.Body.String(), "ZgotmplZ") {
			t.Errorf("%q ? %q is answered %d", path, query, w.Code)
		}
	})
}

// TestMounted puts pages and API onto one mux, as a server does.
func TestMounted(t *testing.T) {
	p, w := newPages(t)
	api := &catalog.API{Catalog: p.Catalog, Details: w.Details(t)}
	mux := http.NewServeMux()
	for _, pattern := range catalog.Patterns() {
		mux.Handle(pattern, api.Handler())
	}
	for _, pattern := range pages.Patterns() {
		mux.Handle(pattern, p.Handler())
	}
	for path, want := range map[string]string{
		"/": "text/html; charset=utf-8", "/releasetag/1.36.2": "text/html; charset=utf-8", "/releasetag/1.36.2/json": "application/json",
		"/api/v1/releasestream/stable/latest": "application/json", "/channels/candidate": "text/html; charset=utf-8",
	} {
		if got := get(t, mux, path); got.Code != http.StatusOK || got.Header().Get("Content-Type") != want {
			t.Errorf("%s is answered %d %s", path, got.Code, got.Header().Get("Content-Type"))
		}
	}
}
