package catalog_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/slipway-release/slipway/internal/golden"
	"github.com/slipway-release/slipway/release/inspect"
	"github.com/slipway-release/slipway/release/inspect/changelog"
	"github.com/slipway-release/slipway/release/updates/catalog"
	"github.com/slipway-release/slipway/release/updates/catalog/catalogtest"
)

func api(t testing.TB) *catalog.API {
	w := catalogtest.New(t)
	return &catalog.API{
		Catalog: w.Keeper(t).Catalog, Details: w.Details(t),
		Download: func(p *catalog.Payload) string { return "https://tools.example.com/" + p.Version.String() },
	}
}

func get(t testing.TB, h http.Handler, path string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TestShapes compares every shape with what was looked at beside the release controller's types.
func TestShapes(t *testing.T) {
	h := api(t).Handler()
	n20 := catalogtest.Nightly(20)
	for file, path := range map[string]string{
		"streams-accepted.json":   "/api/v1/releasestreams/accepted",
		"streams-rejected.json":   "/api/v1/releasestreams/rejected",
		"streams-ready.json":      "/api/v1/releasestreams/ready",
		"streams-all.json":        "/api/v1/releasestreams/all",
		"tags.json":               "/api/v1/releasestream/nightly/tags",
		"tags-phases.json":        "/api/v1/releasestream/nightly/tags?phase=Accepted&phase=Ready",
		"tags-none.json":          "/api/v1/releasestream/nightly/tags?phase=Strange",
		"tags-page.json":          "/api/v1/releasestream/nightly/tags?limit=2&offset=3",
		"latest.json":             "/api/v1/releasestream/nightly/latest",
		"latest-rel.json":         "/api/v1/releasestream/nightly/latest?rel=1&prefix=1.36",
		"latest-in.json":          "/api/v1/releasestream/stable/latest?in=" + url.QueryEscape(">1.36.0-0 <1.36.2"),
		"latest-name.txt":         "/api/v1/releasestream/nightly/latest?format=name",
		"latest-pullspec.txt":     "/api/v1/releasestream/nightly/latest?format=pullSpec",
		"latest-downloadurl.txt":  "/api/v1/releasestream/nightly/latest?format=downloadURL",
		"candidate.json":          "/api/v1/releasestream/nightly/candidate",
		"release.json":            "/api/v1/releasestream/nightly/release/" + n20 + "?format=short",
		"release-rejected.json":   "/api/v1/releasestream/nightly/release/" + catalogtest.Nightly(21) + "?format=short",
		"release-ready.json":      "/api/v1/releasestream/nightly/release/" + catalogtest.Nightly(23) + "?format=short",
		"config.json":             "/api/v1/releasestream/nightly/config",
		"config-blocking.json":    "/api/v1/releasestream/nightly/config?jobType=blocking",
		"config-informing.json":   "/api/v1/releasestream/nightly/config?jobType=informing",
		"config-disabled.json":    "/api/v1/releasestream/nightly/config?jobType=disabled",
		"config-periodic.json":    "/api/v1/releasestream/nightly/config?jobType=periodic",
		"changelog.json":          "/changelog?from=" + catalogtest.Nightly(19) + "&to=" + n20 + "&format=json",
		"changelog.md":            "/changelog?from=" + catalogtest.Nightly(19) + "&to=" + n20,
		"error-stream.json":       "/api/v1/releasestream/none/tags",
		"error-range.json":        "/api/v1/releasestream/nightly/latest?in=nonsense",
		"error-path.json":         "/api/v1/releasestream/nightly/nothing",
		"error-other-stream.json": "/api/v1/releasestream/stable/release/" + n20,
	} {
		t.Run(file, func(t *testing.T) {
			w := get(t, h, path)
			golden.Check(t, "testdata/"+file, w.Body.String())
			wantCode := map[bool]int{false: http.StatusOK, true: http.StatusNotFound}[strings.HasPrefix(file, "error-")]
			if file == "error-range.json" {
				wantCode = http.StatusBadRequest
			}
			if w.Code != wantCode {
				t.Errorf("got %d", w.Code)
			}
			if strings.HasSuffix(file, ".json") && (w.Header().Get("Content-Type") != "application/json" || !json.Valid(w.Body.Bytes())) {
				t.Errorf("it is no JSON, or not said to be: %s", w.Header().Get("Content-Type"))
			}
			if wantCode == http.StatusOK {
				again := get(t, h, path, "If-None-Match", `"x", W/`+w.Header().Get("ETag"))
				if again.Code != http.StatusNotModified || again.Body.Len() != 0 {
					t.Errorf("what is known already is answered %d with %d bytes", again.Code, again.Body.Len())
				}
			}
		})
	}
}

func TestReleaseWithChangelog(t *testing.T) {
	w := get(t, api(t).Handler(), "/api/v1/releasestream/nightly/release/"+catalogtest.Nightly(20))
	var info catalog.APIReleaseInfo
	if err := json.Unmarshal(w.Body.Bytes(), &info); err != nil {
		t.Fatal(err)
	}
	if info.ChangeLogJSON == nil || info.ChangeLogJSON.From.Name != catalogtest.Nightly(19) || !strings.Contains(string(info.ChangeLog), "<h1") {
		t.Errorf("got %.300s", w.Body)
	}
	w = get(t, api(t).Handler(), "/releasetag/"+catalogtest.Nightly(20)+"/json")
	var described inspect.Info
	if err := json.Unmarshal(w.Body.Bytes(), &described); err != nil || described.Version != catalogtest.Nightly(20) || len(described.Components) != 5 || described.Sizes == nil {
		t.Errorf("got %v: %.300s", err, w.Body)
	}
}

func TestPaging(t *testing.T) {
	h := api(t).Handler()
	path := "/api/v1/releasestream/nightly/tags?limit=3"
	seen := map[string]bool{}
	for pages := 0; path != ""; pages++ {
		if pages == 4 {
			t.Fatal("there is no end of it")
		}
		w := get(t, h, path)
		var list catalog.APIRelease
		if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil || w.Header().Get("X-Total-Count") != "8" {
			t.Fatal(err, w.Header())
		}
		for _, tag := range list.Tags {
			seen[tag.Name] = true
		}
		path = ""
		if link := w.Header().Get("Link"); link != "" {
			query, _, _ := strings.Cut(strings.TrimPrefix(link, "<"), ">")
			path = "/api/v1/releasestream/nightly/tags" + query
		}
	}
	if len(seen) != 8 {
		t.Errorf("%d of 8 were seen", len(seen))
	}
}

func TestRefused(t *testing.T) {
	a := api(t)
	h := a.Handler()
	post := httptest.NewRecorder()
	h.ServeHTTP(post, httptest.NewRequest(http.MethodPost, "/api/v1/releasestreams/all", nil))
	if post.Code != http.StatusMethodNotAllowed || post.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST is answered %d", post.Code)
	}
	for path, want := range map[string]int{
		"/api/v1/releasestream/nightly/latest?in=" + strings.Repeat("%3E1.0.0+", 300): http.StatusBadRequest,
		"/api/v1/releasestream/nightly/latest?in=" + strings.Repeat("x", 5000):        http.StatusRequestURITooLong,
		"/api/v1/releasestream/nightly/latest?rel=-1":                                 http.StatusBadRequest,
		"/api/v1/releasestream/nightly/latest?rel=99":                                 http.StatusNotFound,
		"/api/v1/releasestream/nightly/latest?format=xml":                             http.StatusBadRequest,
		"/api/v1/releasestream/nightly/tags?limit=1e9":                                http.StatusBadRequest,
		"/api/v1/releasestream/nightly/config?jobType=odd":                            http.StatusBadRequest,
		"/api/v1/releasestreams/odd":                                                  http.StatusNotFound,
		"/changelog?from=" + catalogtest.Nightly(19):                                  http.StatusBadRequest,
		"/changelog?from=a&to=b":                                                      http.StatusNotFound,
		"/changelog?from=a&to=b&format=pdf":                                           http.StatusBadRequest,
		"/releasetag/none/json":                                                       http.StatusNotFound,
		"/releasetag/" + catalogtest.Nightly(24) + "/json":                            http.StatusNotFound,
		"/changelog?%zz": http.StatusBadRequest,
	} {
		if w := get(t, h, path); w.Code != want || w.Header().Get("ETag") != "" {
			t.Errorf("%.80s: got %d, want %d", path, w.Code, want)
		}
	}
	a.Catalog = func() *catalog.Catalog { return nil }
	if w := get(t, h, "/api/v1/releasestreams/all"); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("without a catalog: %d", w.Code)
	}
}

// slow is a registry of payloads that takes its time.
type slow struct{ release chan struct{} }

func (s slow) Open(ctx context.Context, _ string) (inspect.Subject, error) {
	select {
	case <-s.release:
	case <-ctx.Done():
	}
	return inspect.Subject{}, context.Canceled
}

func TestSlowChangelog(t *testing.T) {
	w := catalogtest.New(t)
	opener := slow{make(chan struct{})}
	defer close(opener.release)
	limits := catalog.Limits{Wait: 20 * time.Millisecond, Jobs: 1, Queue: 1}
	a := &catalog.API{Catalog: w.Keeper(t).Catalog, Details: catalog.NewDetails(w.Sources(), opener, nil, changelog.Options{}, limits)}
	h := a.Handler()
	ask := func(from, to int) *httptest.ResponseRecorder {
		return get(t, h, "/changelog?from="+catalogtest.Nightly(from)+"&to="+catalogtest.Nightly(to))
	}
	for range 3 { // the same one is made once
		if w := ask(19, 20); w.Code != http.StatusAccepted || w.Header().Get("Retry-After") == "" {
			t.Errorf("what is being made is answered %d", w.Code)
		}
	}
	if w := ask(18, 20); w.Code != http.StatusAccepted {
		t.Errorf("what waits for its turn is answered %d", w.Code)
	}
	if w := ask(17, 20); w.Code != http.StatusServiceUnavailable {
		t.Errorf("what is too much is answered %d", w.Code)
	}
	if w := get(t, h, "/api/v1/releasestream/nightly/release/"+catalogtest.Nightly(20)); w.Code != http.StatusOK || w.Header().Get("X-Changelog") != "incomplete" {
		t.Errorf("a payload whose changelog is being made is answered %d", w.Code)
	}
}

func FuzzAPI(f *testing.F) {
	for _, seed := range [][2]string{
		{"/api/v1/releasestream/nightly/latest", "in=>1.0.0 <2.0.0 || !=1.x&rel=1&prefix=1&format=name"}, {"/changelog", "from=a&to=b&format=json"},
		{"/api/v1/releasestream/nightly/tags", "phase=Accepted&limit=2&offset=7"}, {"/api/v1/releasestreams/all", ""}, {"/releasetag/%2e%2e%2fx/json", "%00"},
		{"/api/v1/releasestream/stable/release/1.36.2", "from=1.36.1&format=short"}, {"//api/v1/../x", "in=^1.2"},
	} {
		f.Add(seed[0], seed[1])
	}
	h := api(f).Handler()
	f.Fuzz(func(t *testing.T, path, query string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL = &url.URL{Path: path, RawQuery: query}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		switch {
		case w.Code == http.StatusInternalServerError:
			t.Errorf("%q ? %q is answered %d %s", path, query, w.Code, w.Body)
		case w.Header().Get("Content-Type") == "application/json" && !json.Valid(w.Body.Bytes()):
			t.Errorf("%q ? %q gives broken JSON: %s", path, query, w.Body)
		}
	})
}
