package updates_test

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/internal/golden"
	"github.com/slipway-release/slipway/release/channels/graph"
	"github.com/slipway-release/slipway/release/updates"
)

const channelsKey = "io.openshift.upgrades.graph.release.channels"

func node(version string, channels ...string) graph.Node {
	return graph.Node{
		Version: version, Payload: "registry.example.com/skiff/release@sha256:" + strings.Repeat("0", 64-len(version)) + strings.ReplaceAll(version, ".", "0"),
		Metadata: map[string]string{channelsKey: strings.Join(channels, ","), "url": "https://example.com/?a=1&b=<2>"}, Channels: channels,
	}
}

var bug = graph.Risk{URL: "https://example.com/bug", Name: "EtcdTornWrites", Message: "Small disks <8 GB tear writes.",
	MatchingRules: []graph.MatchingRule{{Type: "PromQL", PromQL: &graph.PromQL{PromQL: "max(disk_bytes) < 8e9"}}, {Type: "Always"}}}

// small is four releases of Skiff in five channels; a conditional group with an edge
// that leaves stable, and one of a single edge that does.
func small() *graph.Snapshot {
	return &graph.Snapshot{ID: "sha256:small", Graphs: map[string]*graph.Graph{
		"amd64": {
			Nodes: []graph.Node{
				node("1.35.9", "candidate", "stable", "stable-1.35", "stable-1.36"),
				node("1.36.1", "candidate", "stable", "stable-1.36"),
				node("1.36.2", "candidate", "stable", "stable-1.36"),
				node("1.36.3", "candidate"),
			},
			Edges: [][2]int{{0, 1}, {1, 2}, {1, 3}},
			ConditionalEdges: []graph.ConditionalEdges{
				{Edges: []graph.Edge{{From: "1.35.9", To: "1.36.2"}, {From: "1.35.9", To: "1.36.3"}}, Risks: []graph.Risk{bug}},
				{Edges: []graph.Edge{{From: "1.36.2", To: "1.36.3"}}, Risks: []graph.Risk{bug, {URL: "https://example.com", Name: "Untested", Message: "m", MatchingRules: []graph.MatchingRule{{Type: "Always"}}}}},
			},
		},
		"arm64": {Nodes: []graph.Node{node("1.36.1", "stable")}},
	}}
}

func edition(t testing.TB, s *graph.Snapshot) *updates.Edition {
	t.Helper()
	e, err := updates.NewEdition(s, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func handler(t testing.TB, s *graph.Snapshot) *updates.Handler {
	e := edition(t, s)
	return &updates.Handler{Current: func() *updates.Edition { return e }}
}

func ask(h http.Handler, target string, headers ...string) *http.Response {
	method := http.MethodGet
	if m, rest, ok := strings.Cut(target, " "); ok {
		method, target = m, rest
	}
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func content(t testing.TB, resp *http.Response) string {
	t.Helper()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

const (
	jsonType = "application/json"
	v1Type   = "application/vnd.redhat.cincinnati.v1+json"
	okdType  = "application/vnd.redhat.cincinnati.graph+json"
)

// Every error of the protocol, with its code, kind and value.
func TestErrors(t *testing.T) {
	h := handler(t, small())
	invalid := "invalid client parameters: "
	for _, tc := range []struct {
		name, target string
		accept       []string
		code         int
		kind, value  string
	}{
		{"no channel", "/graph", nil, 400, "missing_params", "mandatory client parameters missing: channel"},
		{"no channel, but others", "/graph?arch=amd64&version=1.0.0&id=x", nil, 400, "missing_params", "mandatory client parameters missing: channel"},
		{"empty channel", "/graph?channel=", nil, 400, "invalid_params", invalid + `channel "" does not match ^[0-9a-z\-\.]+$`},
		{"channel without a value", "/graph?channel", nil, 400, "invalid_params", invalid + `channel "" does not match ^[0-9a-z\-\.]+$`},
		{"colon in the channel", "/graph?channel=invalid:channel", nil, 400, "invalid_params", invalid + `channel "invalid:channel" does not match ^[0-9a-z\-\.]+$`},
		{"equals sign in the channel", "/graph?channel=a=b", nil, 400, "invalid_params", invalid + `channel "a=b" does not match ^[0-9a-z\-\.]+$`},
		{"plus is a space", "/graph?channel=fast-4+9", nil, 400, "invalid_params", invalid + `channel "fast-4 9" does not match ^[0-9a-z\-\.]+$`},
		{"capitals in the channel", "/graph?channel=Stable", nil, 400, "invalid_params", invalid + `channel "Stable" does not match ^[0-9a-z\-\.]+$`},
		{"a path in the channel", "/graph?channel=..%2f..%2fetc", nil, 400, "invalid_params", invalid + `channel "../../etc" does not match ^[0-9a-z\-\.]+$`},
		{"line end in the channel", "/graph?channel=stable%0a", nil, 400, "invalid_params", invalid + `channel "stable\n" does not match ^[0-9a-z\-\.]+$`},
		{"dash in the architecture", "/graph?channel=stable&arch=amd-64", nil, 400, "invalid_params", invalid + `arch "amd-64" does not match ^[0-9a-z]+$`},
		{"empty architecture", "/graph?channel=stable&arch=", nil, 400, "invalid_params", invalid + `arch "" does not match ^[0-9a-z]+$`},
		{"undecodable", "/graph?channel=stable&x=%zz", nil, 400, "invalid_params", invalid + `the query cannot be decoded: invalid URL escape "%zz"`},
		{"the last one counts", "/graph?channel=stable&channel=A", nil, 400, "invalid_params", invalid + `channel "A" does not match ^[0-9a-z\-\.]+$`},
		{"long channel", "/graph?channel=" + strings.Repeat("A", 100), nil, 400, "invalid_params", invalid + `channel "` + strings.Repeat("A", 64) + `… (100 bytes)" does not match ^[0-9a-z\-\.]+$`},
		{"narrow to what", "/graph?channel=stable&narrow=1", nil, 400, "invalid_params", invalid + "narrow=1 needs the version to narrow to"},
		{"narrow how", "/graph?channel=stable&narrow=yes", nil, 400, "invalid_params", invalid + `narrow is "yes"; it can be 1 or 0`},
		{"text", "/graph?channel=stable", []string{"text/html"}, 406, "invalid_content_type", "invalid Content-Type requested"},
		{"other version", "/graph?channel=stable", []string{"application/vnd.redhat.cincinnati.v2+json"}, 406, "invalid_content_type", "invalid Content-Type requested"},
		{"no JSON", "/graph?channel=stable", []string{"application/json;q=0, text/*"}, 406, "invalid_content_type", "invalid Content-Type requested"},
		{"no sense", "/graph?channel=stable", []string{";;;"}, 406, "invalid_content_type", "invalid Content-Type requested"},
		{"the type comes before the parameters", "/graph", []string{"text/html"}, 406, "invalid_content_type", "invalid Content-Type requested"},
		{"unknown path", "/graphs", nil, 404, "does_not_exist", "does not exist: /graphs"},
		{"path below", "/v1/graph/x", nil, 404, "does_not_exist", "does not exist: /v1/graph/x"},
		{"twice the version", "/v1/v1/graph?channel=stable", nil, 404, "does_not_exist", "does not exist: /v1/v1/graph"},
		{"POST", "POST /graph?channel=stable", nil, 405, "method_not_allowed", "method POST is not allowed; use GET or HEAD"},
		{"DELETE", "DELETE /openapi", nil, 405, "method_not_allowed", "method DELETE is not allowed; use GET or HEAD"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var headers []string
			for _, a := range tc.accept {
				headers = append(headers, "Accept", a)
			}
			resp := ask(h, tc.target, headers...)
			var got struct{ Kind, Value string }
			if err := json.Unmarshal([]byte(content(t, resp)), &got); err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tc.code || got.Kind != tc.kind || got.Value != tc.value {
				t.Errorf("got %d %s %q, want %d %s %q", resp.StatusCode, got.Kind, got.Value, tc.code, tc.kind, tc.value)
			}
			if ct := resp.Header.Get("Content-Type"); ct != jsonType {
				t.Errorf("Content-Type %q", ct)
			}
			if tc.code == 405 && resp.Header.Get("Allow") == "" {
				t.Error("no Allow")
			}
		})
	}
}

func TestMandatoryParameters(t *testing.T) {
	h := handler(t, small())
	h.Mandatory = []string{"version", "channel", "id"}
	if got, want := content(t, ask(h, "/graph?channel=stable")), `{"kind":"missing_params","value":"mandatory client parameters missing: id, version"}`; got != want {
		t.Errorf("got %s", got)
	}
	if resp := ask(h, "/graph?channel=stable&id=&version=&id=1"); resp.StatusCode != 200 {
		t.Errorf("got %s; only the key must be there", resp.Status)
	}
}

func TestNoGraphYet(t *testing.T) {
	h := &updates.Handler{Current: func() *updates.Edition { return nil }}
	resp := ask(h, "/graph?channel=stable")
	if body := content(t, resp); resp.StatusCode != 503 || !strings.Contains(body, "failed_upstream_fetch") || resp.Header.Get("Retry-After") == "" {
		t.Errorf("got %s %s", resp.Status, body)
	}
}

func TestAccept(t *testing.T) {
	h := handler(t, small())
	okd := okdType + "; version=1.0"
	for _, tc := range []struct {
		accept []string
		want   string
	}{
		{nil, v1Type},
		{[]string{""}, v1Type},
		{[]string{"*"}, jsonType},
		{[]string{"*/*"}, jsonType},
		{[]string{"application/*"}, jsonType},
		{[]string{jsonType}, jsonType},
		{[]string{v1Type}, v1Type},
		{[]string{okdType}, okd},
		{[]string{okdType + "; version=1.0"}, okd},
		{[]string{"Application/JSON"}, jsonType},
		{[]string{"text/html,application/xhtml+xml,*/*;q=0.8"}, jsonType},
		{[]string{v1Type + ", " + jsonType}, v1Type},
		{[]string{jsonType + ", " + v1Type}, jsonType},
		{[]string{jsonType + ";q=0.5, " + v1Type}, v1Type},
		{[]string{"*/*;q=0.1, " + v1Type + ";q=0.2"}, v1Type},
		{[]string{jsonType + ";q=0, */*"}, v1Type},
		{[]string{"text/html", v1Type}, v1Type},
		{[]string{`text/html;x="a,*/*;q=1", ` + v1Type + ";q=0.3"}, v1Type},
		{[]string{jsonType + "; charset=utf-8"}, jsonType},
	} {
		var headers []string
		for _, a := range tc.accept {
			headers = append(headers, "Accept", a)
		}
		resp := ask(h, "/graph?channel=stable", headers...)
		if got := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || got != tc.want {
			t.Errorf("Accept %q: got %d %q, want %q", tc.accept, resp.StatusCode, got, tc.want)
		}
	}
}

func TestPaths(t *testing.T) {
	h := handler(t, small())
	want := content(t, ask(h, "/graph?channel=stable"))
	for _, prefix := range []string{"", "/v1", "/api/upgrades_info", "/api/upgrades_info/v1"} {
		if got := content(t, ask(h, prefix+"/graph?channel=stable")); got != want {
			t.Errorf("%s/graph: %s", prefix, got)
		}
		var doc struct {
			OpenAPI string `json:"openapi"`
		}
		if err := json.Unmarshal([]byte(content(t, ask(h, prefix+"/openapi"))), &doc); err != nil || doc.OpenAPI != "3.0.3" {
			t.Errorf("%s/openapi: %v", prefix, err)
		}
	}
}

// What is answered, to the byte: node order kept, edges counted anew, conditional edges
// only between nodes that are there.
func TestGraph(t *testing.T) {
	h := handler(t, small())
	for name, target := range map[string]string{
		"stable":           "/graph?channel=stable",
		"candidate":        "/graph?channel=candidate&arch=amd64&version=1.36.1&id=4d9a&unknown=x",
		"stable-arm64":     "/graph?channel=stable&arch=arm64",
		"narrow":           "/graph?channel=candidate&version=1.35.9&narrow=1",
		"okd-stable-1":     "/graph?channel=stable-1",
		"okd-stable-1.36":  "/graph?channel=stable-1.36",
		"okd-candidate-1":  "/graph?channel=candidate-1",
		"okd-candidate-35": "/graph?channel=candidate-1.35",
	} {
		golden.Check(t, "testdata/"+name+".json", content(t, ask(h, target))+"\n")
	}
	const empty = `{"version":1,"nodes":[],"edges":[],"conditionalEdges":[]}`
	for _, target := range []string{
		"/graph?channel=unknown", "/graph?channel=stable&arch=s390x", "/graph?channel=stable-2", "/graph?channel=stable-1.99",
		"/graph?channel=candidate&arch=4", "/graph?channel=candidate&version=9.9.9&narrow=1", "/graph?channel=-", "/graph?channel=stable-",
		"/graph?channel=stable-99999999999999999999",
	} {
		if resp := ask(h, target); resp.StatusCode != 200 {
			t.Errorf("%s: %s", target, resp.Status)
		} else if got := content(t, resp); got != empty {
			t.Errorf("%s: %s", target, got)
		}
	}
}

func TestCompressionAndCaching(t *testing.T) {
	h := handler(t, small())
	plain := ask(h, "/graph?channel=stable")
	body := content(t, plain)
	packed := ask(h, "/graph?channel=stable", "Accept-Encoding", "br, gzip;q=0.5")
	unzip, err := gzip.NewReader(packed.Body)
	if err != nil {
		t.Fatal(err)
	}
	if unpacked, err := io.ReadAll(unzip); err != nil || string(unpacked) != body {
		t.Errorf("unpacked %q, %v", unpacked, err)
	}
	if packed.Header.Get("Content-Encoding") != "gzip" || packed.ContentLength <= 0 || plain.ContentLength != int64(len(body)) {
		t.Errorf("headers %v, %v", packed.Header, plain.Header)
	}
	tag, packedTag := plain.Header.Get("ETag"), packed.Header.Get("ETag")
	if tag == "" || tag == packedTag || strings.HasPrefix(tag, "W/") {
		t.Errorf("ETags %q and %q", tag, packedTag)
	}
	for _, tc := range []struct {
		known, coding string
		code          int
	}{
		{tag, "", 304}, {packedTag, "gzip", 304}, {"*", "", 304}, {"W/" + tag, "", 304}, {`"x", ` + tag + ` , "y"`, "", 304},
		{packedTag, "", 200}, {tag, "gzip", 200}, {`"x"`, "", 200}, {"", "", 200}, {tag, "gzip;q=0, identity", 304}, {packedTag, "*", 304},
	} {
		resp := ask(h, "/graph?channel=stable", "If-None-Match", tc.known, "Accept-Encoding", tc.coding)
		if got := content(t, resp); resp.StatusCode != tc.code || (tc.code == 304) != (got == "") {
			t.Errorf("If-None-Match %q, Accept-Encoding %q: %s, %d bytes", tc.known, tc.coding, resp.Status, len(got))
		}
		if resp.Header.Get("ETag") == "" || resp.Header.Get("Vary") != "Accept, Accept-Encoding, Origin" || resp.Header.Get("Cache-Control") == "" {
			t.Errorf("headers %v", resp.Header)
		}
	}
}

func TestHeadAndCORS(t *testing.T) {
	h := handler(t, small())
	head := ask(h, "HEAD /graph?channel=stable", "Origin", "https://console.example.com")
	if got := content(t, head); got != "" || head.StatusCode != 200 || head.Header.Get("Content-Length") == "" {
		t.Errorf("HEAD: %s %q %v", head.Status, got, head.Header)
	}
	if got := head.Header.Get("Access-Control-Allow-Origin"); got != "https://console.example.com" {
		t.Errorf("allowed origin %q", got)
	}
	if got := ask(h, "/graph?channel=stable").Header.Get("Access-Control-Allow-Origin"); got != "" {
		t.Errorf("without Origin: allowed %q", got)
	}
	if got := ask(h, "/graph", "Origin", "https://a.example"); got.StatusCode != 400 || got.Header.Get("Access-Control-Allow-Origin") != "https://a.example" {
		t.Errorf("an error: %v", got.Header)
	}
	pre := ask(h, "OPTIONS /graph", "Origin", "https://a.example", "Access-Control-Request-Method", "GET")
	if pre.StatusCode != 204 || pre.Header.Get("Access-Control-Allow-Methods") != "GET, HEAD" {
		t.Errorf("OPTIONS: %s %v", pre.Status, pre.Header)
	}
}

// The same snapshot gives the same answers on every replica, and an edition takes over
// what did not change.
func TestAnswersAreTheSameEverywhere(t *testing.T) {
	one, other := edition(t, small()), edition(t, small())
	next, err := updates.NewEdition(small(), one, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []*updates.Edition{one, other, next} {
		if err := e.Warm(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	tags := map[string]bool{}
	for _, e := range []*updates.Edition{one, other, next} {
		h := &updates.Handler{Current: func() *updates.Edition { return e }}
		resp := ask(h, "/graph?channel=candidate", "Accept-Encoding", "gzip")
		tags[resp.Header.Get("ETag")+content(t, resp)] = true
	}
	if len(tags) != 1 {
		t.Errorf("%d different answers", len(tags))
	}
	want := []updates.Size{
		{Arch: "amd64", Channel: "candidate", Nodes: 4, Edges: 3, Conditional: 3}, {Arch: "amd64", Channel: "stable", Nodes: 3, Edges: 2, Conditional: 1},
		{Arch: "amd64", Channel: "stable-1.35", Nodes: 1}, {Arch: "amd64", Channel: "stable-1.36", Nodes: 3, Edges: 2, Conditional: 1},
		{Arch: "arm64", Channel: "stable", Nodes: 1},
	}
	if diff := cmp.Diff(want, next.Sizes()); diff != "" {
		t.Error(diff)
	}
}

// A graph that would make an answer wrong is refused.
func TestContradictoryGraph(t *testing.T) {
	for name, change := range map[string]func(*graph.Graph){
		"version twice":         func(g *graph.Graph) { g.Nodes[1].Version = g.Nodes[0].Version },
		"no version":            func(g *graph.Graph) { g.Nodes[0].Version = "" },
		"edge to nowhere":       func(g *graph.Graph) { g.Edges[0][1] = 4 },
		"edge from nowhere":     func(g *graph.Graph) { g.Edges[0][0] = -1 },
		"edge to itself":        func(g *graph.Graph) { g.Edges[0][1] = 0 },
		"edge twice":            func(g *graph.Graph) { g.Edges[1] = g.Edges[0] },
		"edge with and without": func(g *graph.Graph) { g.ConditionalEdges[0].Edges[0] = graph.Edge{From: "1.35.9", To: "1.36.1"} },
	} {
		s := small()
		change(s.Graphs["amd64"])
		if _, err := updates.NewEdition(s, nil, time.Now()); err == nil || !strings.Contains(err.Error(), "amd64") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzQuery(f *testing.F) {
	for _, q := range []string{"channel=stable", "channel=stable-1&arch=amd64&version=1.36.1&id=x&narrow=1", "channel=%73table", "a;b=%zz&&=&channel", "channel=a&channel=%00"} {
		f.Add(q, "application/json;q=0.5", "gzip", `W/"x",*`)
	}
	h := handler(f, small())
	f.Fuzz(func(t *testing.T, query, accept, coding, known string) {
		r := httptest.NewRequest(http.MethodGet, "/graph", nil)
		r.URL.RawQuery = query
		r.Header = http.Header{"Accept": {accept}, "Accept-Encoding": {coding}, "If-None-Match": {known}}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		switch w.Code {
		case 200:
			if w.Header().Get("Content-Encoding") == "" && !json.Valid(w.Body.Bytes()) {
				t.Errorf("no JSON: %s", w.Body)
			}
		case 304:
		case 400, 406:
			if !json.Valid(w.Body.Bytes()) || w.Body.Len() > 1000 {
				t.Errorf("error %s", w.Body)
			}
		default:
			t.Errorf("code %d", w.Code)
		}
	})
}
