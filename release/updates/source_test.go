package updates_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/channels"
	"github.com/slipway-release/slipway/release/channels/graph"
	"github.com/slipway-release/slipway/release/updates"
)

func version(t *testing.T, s string) release.Version {
	t.Helper()
	v, err := release.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func pullSpec(digit string) string {
	return "registry.example.com/skiff/release@sha256:" + strings.Repeat(digit, 64)
}

// The channels of a registry are offered as `slipway graph` prints them, and a version
// that means two payloads means the one that was there first.
func TestSnapshotOfChannels(t *testing.T) {
	one, two, three := version(t, "1.36.1"), version(t, "1.36.2"), version(t, "1.36.10")
	add := func(v release.Version, digit string, hour int) channels.Version {
		return channels.Version{Version: v, PullSpec: pullSpec(digit), Added: began.Add(time.Duration(hour) * time.Hour), Metadata: map[string]string{"url": "https://example.com"}}
	}
	states := []channels.State{
		{Name: "stable", Versions: []channels.Version{add(one, "1", 5)}},
		{Name: "candidate", Versions: []channels.Version{add(three, "3", 2), add(one, "1", 0), add(two, "2", 1)},
			Edges: []channels.Edge{{From: two, To: three}, {From: one, To: two}}},
	}
	s, err := channels.Snapshot("arm64", states, channels.Offer{})
	if err != nil {
		t.Fatal(err)
	}
	h := handler(t, s)
	for _, channel := range []string{"stable", "candidate"} {
		want, err := s.Graphs["arm64"].Channel(channel).Encode()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), content(t, ask(h, "/graph?arch=arm64&channel="+channel))); diff != "" {
			t.Errorf("%s: %s", channel, diff)
		}
	}
	again, err := channels.Snapshot("arm64", []channels.State{states[1], states[0]}, channels.Offer{})
	if err != nil || again.ID != s.ID || len(s.ID) != 71 {
		t.Errorf("IDs %q and %q, %v", s.ID, again.ID, err)
	}
	states[0].Versions = append(states[0].Versions, add(two, "9", 3))
	s, err = channels.Snapshot("arm64", states, channels.Offer{})
	if err != nil {
		t.Fatal(err)
	}
	want := []graph.Quarantined{{Arch: "arm64", Version: "1.36.2", Payload: pullSpec("9"), Reason: "its version is " + pullSpec("2") + " already"}}
	if diff := cmp.Diff(want, s.Quarantined); diff != "" {
		t.Error(diff)
	}
	if n := s.Graphs["arm64"].Nodes[1]; n.Payload != pullSpec("2") || !cmp.Equal(n.Channels, []string{"candidate"}) {
		t.Errorf("node %+v", n)
	}
}

func TestFileSource(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path+".new", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	want := content(t, ask(handler(t, small()), "/graph?channel=candidate"))
	source := updates.FileSource{"amd64": write("a.json", want), "s390x": write("b.json", `{"version":1,"nodes":[{"version":"1.10.0","payload":"p","metadata":{"io.openshift.upgrades.graph.release.channels":"c"}},{"version":"1.9.0","payload":"q","metadata":{"io.openshift.upgrades.graph.release.channels":" c, d"}}],"edges":[[1,0]],"conditionalEdges":[]}`)}
	s, err := source.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h := handler(t, s)
	if got := content(t, ask(h, "/graph?channel=candidate")); got != want {
		t.Error(cmp.Diff(want, got))
	}
	if got := content(t, ask(h, "/graph?channel=c&arch=s390x")); !strings.Contains(got, `"edges":[[0,1]]`) || strings.Index(got, "1.9.0") > strings.Index(got, "1.10.0") {
		t.Errorf("not in order: %s", got)
	}
	before, err := source.Stamp(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	write("a.json", want)
	if after, err := source.Stamp(context.Background()); err != nil || after == before {
		t.Errorf("a new file has the stamp %q of the old one, %v", after, err)
	}
	for text, why := range map[string]string{
		"":                         "no update graph",
		"{}":                       "version 1",
		`{"version":2}`:            "version 1",
		`{"version":1,"nodez":[]}`: "nodez",
		`{"version":1} {}`:         "behind",
		`{"version":1,"nodes":[{"version":"1.0.0","payload":"p"}],"edges":[[0]]}`:                     "no pair",
		`{"version":1,"nodes":[{"version":"1.0.0","payload":"p"}],"edges":[[0,1]]}`:                   "does not join",
		`{"version":1,"nodes":[{"version":"one","payload":"p"}]}`:                                     `"one"`,
		`{"version":1,"nodes":[{"version":"1.0.0"}]}`:                                                 "no payload",
		`{"version":1,"nodes":[{"version":"1.0.0","payload":"p"},{"version":"1.0.0","payload":"q"}]}`: "twice",
	} {
		write("a.json", text)
		if _, err := source.Snapshot(t.Context()); err == nil || !strings.Contains(err.Error(), why) || !strings.Contains(err.Error(), "a.json") {
			t.Errorf("%s: %v, want %q", text, err, why)
		}
	}
}

func FuzzParseGraph(f *testing.F) {
	f.Add([]byte(content(f, ask(handler(f, small()), "/graph?channel=candidate"))))
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := graph.Parse(data)
		if err != nil {
			return
		}
		s := &graph.Snapshot{Graphs: map[string]*graph.Graph{"amd64": g}}
		if _, err := updates.NewEdition(s, nil, time.Now()); err != nil {
			t.Errorf("it was read and cannot be served: %v", err)
		}
	})
}
