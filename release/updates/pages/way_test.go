package pages_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/slipway-release/slipway/internal/golden"
	"github.com/slipway-release/slipway/release/channels/graph"
)

// TestWay asks for ways with the form on a channel's page.
func TestWay(t *testing.T) {
	p, _ := newPages(t)
	in := func(version string) graph.Node {
		return graph.Node{Version: version, Payload: "p", Channels: []string{"stable-1.36"}}
	}
	snapshot := &graph.Snapshot{
		Graphs: map[string]*graph.Graph{"amd64": {
			Nodes: []graph.Node{in("1.36.0"), in("1.36.1"), in("1.36.2"), in("1.36.3")}, Edges: [][2]int{{0, 1}},
			ConditionalEdges: []graph.ConditionalEdges{{Edges: []graph.Edge{{From: "1.36.1", To: "1.36.2"}},
				Risks: []graph.Risk{{Name: "Slow<b>", Message: "It may be slow.", URL: "https://example.com/slow"}, {Name: "Odd", Message: "A link that is none.", URL: "javascript:alert(1)"}}}},
		}},
		Blocked: []graph.Blocked{{Arch: "amd64", Edge: graph.Edge{From: "1.36.2", To: "1.36.3"}, Reason: "lost-volumes.yaml"}},
	}
	p.Snapshot = func() *graph.Snapshot { return snapshot }
	h := p.Handler()
	ask := func(query string) string {
		t.Helper()
		got := get(t, h, "/channels/stable-1.36?"+query)
		if got.Code != http.StatusOK {
			t.Fatalf("%q is answered %d", query, got.Code)
		}
		body := got.Body.String()
		checkMarkup(t, body)
		start, end := strings.Index(body, `<section aria-labelledby="way">`), strings.Index(body, `<section aria-labelledby="versions">`)
		return body[start:end]
	}
	for name, query := range map[string]string{
		"way-form": "", "way": "from=1.36.0&to=1.36.2&risks=", "way-none": "from=1.36.0&to=1.36.3", "way-safe": "from=1.36.0&to=1.36.2&risks=false", "way-unknown": "from=1.36.0&to=1.36",
	} {
		t.Run(name, func(t *testing.T) { golden.Check(t, "testdata/"+name+".html", ask(query)) })
	}
	for _, query := range []string{
		"from=" + url.QueryEscape(`"><script>alert(1)</script>`) + "&to=x", "from=a&from=b&to=c", "from=1.36.0", "from=1.36.0&to=" + strings.Repeat("9", 1000), "from=1.36.0&to=1.36.1&risks=odd",
		"from=%00&to=%ff", "from=1.36.0&to=1.36.1&arch=sparc",
	} {
		if body := ask(query); !strings.Contains(body, `role="status">✕`) || strings.Contains(body, "<script>") || strings.Contains(body, "ZgotmplZ") {
			t.Errorf("%.60q: %s", query, body)
		}
	}
	p.Snapshot = func() *graph.Snapshot { return nil }
	if body := ask("from=1.36.0&to=1.36.1"); !strings.Contains(body, "read for the first time") {
		t.Errorf("before the first graph: %s", body)
	}
}
