package updates_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/slipway-release/slipway/release/channels/graph"
	"github.com/slipway-release/slipway/release/updates"
)

var began = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// offered are the edges of an answer, as "from to".
func offered(t *testing.T, body string) (edges map[string]bool, nodes int) {
	t.Helper()
	var got struct {
		Nodes            []graph.Node
		Edges            [][2]int
		ConditionalEdges []graph.ConditionalEdges
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	edges = map[string]bool{}
	for _, e := range got.Edges {
		edges[got.Nodes[e[0]].Version+" "+got.Nodes[e[1]].Version] = true
	}
	for _, group := range got.ConditionalEdges {
		for _, e := range group.Edges {
			edges[e.From+" "+e.To] = true
		}
	}
	return edges, len(got.Nodes)
}

// rolling serves small() with rollouts, at a time that the test sets.
func rolling(t *testing.T, now *time.Time, rollouts ...graph.Rollout) *updates.Handler {
	s := small()
	s.Rollouts = rollouts
	e, err := updates.NewEdition(s, nil, *now)
	if err != nil {
		t.Fatal(err)
	}
	return &updates.Handler{Current: func() *updates.Edition { return e }, Now: func() time.Time { return *now }}
}

// Each cluster is offered the edges exactly when the rollout is open to it, from one
// edition made before it began, and always finds its own version.
func TestRolloutOpensEdges(t *testing.T) {
	r := graph.Rollout{Channel: "candidate", Version: "1.36.3", Start: began, Duration: 10 * time.Hour}
	now := began.Add(-time.Minute)
	h := rolling(t, &now, r)
	tags := map[string]bool{}
	for hour := -1; hour <= 11; hour++ {
		now = began.Add(time.Duration(hour) * time.Hour)
		for i := range 40 {
			id := fmt.Sprint("cluster-", i)
			resp := ask(h, "/graph?channel=candidate&id="+id)
			tags[resp.Header.Get("ETag")] = true
			edges, nodes := offered(t, content(t, resp))
			open := r.Open(id, now)
			for _, e := range []string{"1.35.9 1.36.3", "1.36.1 1.36.3", "1.36.2 1.36.3"} {
				if edges[e] != open {
					t.Fatalf("hour %d, %s: edge %s offered: %v, want %v", hour, id, e, edges[e], open)
				}
			}
			if !edges["1.36.1 1.36.2"] || nodes != 4 {
				t.Fatalf("hour %d: edges %v, %d nodes; only those to 1.36.3 may be missing", hour, edges, nodes)
			}
		}
	}
	if len(tags) != 2 {
		t.Errorf("%d different answers, want one open and one closed", len(tags))
	}
	now = began.Add(5 * time.Hour)
	if edges, _ := offered(t, content(t, ask(h, "/graph?channel=candidate"))); edges["1.36.1 1.36.3"] {
		t.Error("a cluster without id does not come last")
	}
}

// A closed answer must not be taken for an open one, nor be known by its tag.
func TestRolloutAndCaching(t *testing.T) {
	r := graph.Rollout{Version: "1.36.2", Start: began, Duration: 10 * time.Hour}
	now := began.Add(5 * time.Hour)
	h := rolling(t, &now, r)
	var open, closed string
	for i := 0; open == "" || closed == ""; i++ {
		if id := fmt.Sprint(i); r.Open(id, now) {
			open = id
		} else {
			closed = id
		}
	}
	openTag := ask(h, "/graph?channel=stable&id="+open).Header.Get("ETag")
	if resp := ask(h, "/graph?channel=stable&id="+closed, "If-None-Match", openTag); resp.StatusCode != 200 {
		t.Errorf("%s for the answer of another cluster", resp.Status)
	}
	closedTag := ask(h, "/graph?channel=stable&id="+closed).Header.Get("ETag")
	if resp := ask(h, "/graph?channel=stable&id="+closed, "If-None-Match", closedTag); resp.StatusCode != 304 {
		t.Errorf("%s for the same answer", resp.Status)
	}
	now = began.Add(11 * time.Hour)
	if resp := ask(h, "/graph?channel=stable&id="+closed, "If-None-Match", closedTag); resp.StatusCode != 200 || resp.Header.Get("ETag") != openTag {
		t.Errorf("%s after it opened to all", resp.Status)
	}
	if resp := ask(h, "/graph?channel=stable-1&id="+closed); resp.StatusCode != 200 {
		t.Error(resp.Status)
	}
}

func TestRolloutsConcernTheirChannels(t *testing.T) {
	now := began
	h := rolling(t, &now,
		graph.Rollout{Channel: "stable", Version: "1.36.2", Start: began.Add(time.Hour), Duration: time.Hour},
		graph.Rollout{Version: "1.36.1", Start: began.Add(-time.Hour), Duration: 10 * time.Hour, Halted: began.Add(-time.Hour)},
		graph.Rollout{Channel: "candidate", Version: "9.9.9", Start: began.Add(time.Hour)},
		graph.Rollout{Channel: "candidate", Version: "1.36.3", Start: began.Add(-2 * time.Hour), Duration: time.Hour})
	for target, want := range map[string]int{ // edges that are left
		"/graph?channel=stable&id=a":                            0,
		"/graph?channel=stable-1.36&id=a":                       2,
		"/graph?channel=candidate&id=a":                         5,
		"/graph?channel=candidate&id=a&narrow=1&version=1.35.9": 2,
		"/graph?channel=stable&id=a&narrow=1&version=1.36.1":    0,
		"/graph?channel=candidate-1&id=a":                       5,
	} {
		if edges, _ := offered(t, content(t, ask(h, target))); len(edges) != want {
			t.Errorf("%s: edges %v, want %d", target, edges, want)
		}
	}
}

// More versions than can open independently: the last open together, and none before
// its time.
func TestManyRollouts(t *testing.T) {
	s := &graph.Snapshot{ID: "many", Graphs: map[string]*graph.Graph{"amd64": {}}}
	g := s.Graphs["amd64"]
	g.Nodes = append(g.Nodes, node("1.0.0", "c"))
	for i := 1; i <= 12; i++ {
		v := fmt.Sprintf("1.0.%d", i)
		g.Nodes = append(g.Nodes, node(v, "c"))
		g.Edges = append(g.Edges, [2]int{0, i})
		s.Rollouts = append(s.Rollouts, graph.Rollout{Version: v, Start: began, Duration: 10 * time.Hour})
	}
	now := began
	e, err := updates.NewEdition(s, nil, now)
	if err != nil {
		t.Fatal(err)
	}
	h := &updates.Handler{Current: func() *updates.Edition { return e }, Now: func() time.Time { return now }}
	for hour := range 11 {
		now = began.Add(time.Duration(hour) * time.Hour)
		for i := range 20 {
			id := fmt.Sprint(i)
			edges, _ := offered(t, content(t, ask(h, "/graph?channel=c&id="+id)))
			for n, r := range s.Rollouts {
				is := edges["1.0.0 "+r.Version]
				if is && !r.Open(id, now) || n < 6 && is != r.Open(id, now) {
					t.Fatalf("hour %d, cluster %s, version %s: offered %v", hour, id, r.Version, is)
				}
			}
			if hour == 10 && len(edges) != 12 {
				t.Errorf("%d edges at the end", len(edges))
			}
		}
	}
}
