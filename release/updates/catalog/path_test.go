package catalog_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/slipway-release/slipway/internal/golden"
	"github.com/slipway-release/slipway/release/channels/graph"
	"github.com/slipway-release/slipway/release/updates/catalog"
)

// offering is a graph of two architectures, with a risk, a blocked edge and a rollout
// that never begins.
func offering() *graph.Snapshot {
	node := func(version string, channels ...string) graph.Node {
		return graph.Node{Version: version, Payload: "registry.example.com/skiff/release@sha256:0", Channels: channels}
	}
	risk := graph.Risk{Name: "Slow", URL: "https://example.com/slow", Message: "It may be <slow>.", MatchingRules: []graph.MatchingRule{{Type: "Always"}}}
	g := &graph.Graph{
		Nodes: []graph.Node{node("1.36.0", "stable-1.36"), node("1.36.1", "stable-1.36", "candidate"), node("1.36.2", "stable-1.36", "candidate"), node("1.37.0", "candidate"), node("1.38.0", "candidate")},
		Edges: [][2]int{{0, 1}, {1, 2}},
		ConditionalEdges: []graph.ConditionalEdges{
			{Edges: []graph.Edge{{From: "1.36.0", To: "1.36.2"}, {From: "1.36.2", To: "1.37.0"}}, Risks: []graph.Risk{risk}},
		},
	}
	return &graph.Snapshot{
		ID: "sha256:1", Graphs: map[string]*graph.Graph{"amd64": g, "arm64": {}},
		Rollouts: []graph.Rollout{{Channel: "candidate", Version: "1.37.0", Start: time.Date(9000, 1, 1, 0, 0, 0, 0, time.UTC), Duration: time.Hour}},
		Blocked:  []graph.Blocked{{Arch: "amd64", Edge: graph.Edge{From: "1.37.0", To: "1.38.0"}, Reason: "lost-volumes.yaml"}},
	}
}

func TestPath(t *testing.T) {
	h := (&catalog.API{Snapshot: offering}).Handler()
	for file, tc := range map[string]struct {
		query string
		code  int
	}{
		"path.json":         {"from=1.36.0&to=1.37.0", http.StatusOK},
		"path-all.json":     {"from=1.36.0&to=1.36.2&all=true&channel=stable-1.36&arch=amd64", http.StatusOK},
		"path-blocked.json": {"from=1.36.0&to=1.38.0", http.StatusOK},
		"path-safe.json":    {"from=1.36.1&to=1.37.0&risks=false&channel=candidate&channel=", http.StatusOK},
		"path-unknown.json": {"from=1.36.0&to=1.36.20", http.StatusNotFound},
		"path-wrong.json":   {"to=1&to=2&all=maybe&arch=" + strings.Repeat("a", 200), http.StatusBadRequest},
	} {
		t.Run(file, func(t *testing.T) {
			w := get(t, h, "/api/v1/path?"+tc.query)
			golden.Check(t, "testdata/"+file, w.Body.String())
			if w.Code != tc.code || w.Header().Get("Content-Type") != "application/json" {
				t.Errorf("got %d %s", w.Code, w.Header().Get("Content-Type"))
			}
		})
	}
}

func TestPathRefuses(t *testing.T) {
	h := (&catalog.API{Snapshot: offering}).Handler()
	for query, want := range map[string]int{
		"":                     http.StatusBadRequest,
		"from=1.36.0":          http.StatusBadRequest,
		"from=1.36.0&to=%zz":   http.StatusBadRequest,
		"from=1.36.0&to=a%00b": http.StatusNotFound,
		"from=1.36.0&to=" + strings.Repeat("9", 129):                                            http.StatusBadRequest,
		"from=1.36.0&to=1.36.1" + strings.Repeat("&channel=candidate", 17):                      http.StatusBadRequest,
		"from=1.36.0&to=1.36.1&channel=" + url.QueryEscape("<script>"):                          http.StatusNotFound,
		"from=1.36.0&to=1.36.1&arch=" + url.QueryEscape("../amd64"):                             http.StatusNotFound,
		"from=1.36.0&to=1.36.1&arch=arm64":                                                      http.StatusNotFound,
		"from=1.36.0&to=1.36.1&x=" + strings.Repeat("x", 5000):                                  http.StatusRequestURITooLong,
		"from=" + url.QueryEscape("\xff\xfe") + "&to=" + url.QueryEscape("'\"><img onerror=1>"): http.StatusNotFound,
	} {
		w := get(t, h, "/api/v1/path?"+query)
		var problem struct{ Kind, Value string }
		if err := json.Unmarshal(w.Body.Bytes(), &problem); w.Code != want || err != nil || problem.Kind == "" || len(problem.Value) > 1000 {
			t.Errorf("%.80s: got %d %s, %v", query, w.Code, w.Body, err)
		}
		if strings.Contains(w.Body.String(), "<") {
			t.Errorf("%.80s: what was sent comes back as markup: %s", query, w.Body)
		}
	}
	if w := get(t, h, "/api/v1/releasestreams/all"); w.Code != http.StatusNotFound {
		t.Errorf("without a catalog releases are answered %d", w.Code)
	}
	for want, snapshot := range map[int]func() *graph.Snapshot{http.StatusNotFound: nil, http.StatusServiceUnavailable: func() *graph.Snapshot { return nil }} {
		if w := get(t, (&catalog.API{Snapshot: snapshot}).Handler(), "/api/v1/path?from=1&to=2"); w.Code != want {
			t.Errorf("without a graph: %d, want %d", w.Code, want)
		}
	}
}

func FuzzPath(f *testing.F) {
	for _, seed := range []string{"from=1.36.0&to=1.37.0&all=true", "from=1.36.0&to=1.36.2&channel=stable-1.36&channel=candidate&risks=false", "from=%00&to=%ff&arch=arm64"} {
		f.Add(seed)
	}
	h := (&catalog.API{Snapshot: offering}).Handler()
	f.Fuzz(func(t *testing.T, query string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL = &url.URL{Path: "/api/v1/path", RawQuery: query}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code == http.StatusInternalServerError || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%q is answered %d: %s", query, w.Code, w.Body)
		}
	})
}
