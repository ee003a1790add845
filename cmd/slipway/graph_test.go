package main

import (
	"encoding/json"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/slipway-release/slipway/distros"
	"github.com/slipway-release/slipway/internal/golden"
	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/registryserver"
	"github.com/slipway-release/slipway/internal/state"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/channels"
	updateserver "github.com/slipway-release/slipway/release/updates"
)

// testGraph is a graph in testdata; commands run in another folder.
func testGraph(name string) string {
	path, err := filepath.Abs(filepath.Join("testdata", "graph", name))
	if err != nil {
		panic(err)
	}
	return path
}

var offeredFile = testGraph("offered.json")

func TestGraphFile(t *testing.T) {
	dir := t.TempDir()
	for file, args := range map[string][]string{
		"graph.txt":          {"graph", "--channel", "stable"},
		"graph-all.txt":      {"graph"},
		"graph.dot":          {"graph", "-o", "dot", "--channel", "stable", "--channel", "candidate"},
		"graph-name.txt":     {"graph", "-o", "name", "--channel", "stable"},
		"path.txt":           {"path", "1.35.9", "1.37.0"},
		"path-all.txt":       {"path", "1.36.1", "1.36.3", "--all", "--channel", "candidate"},
		"path-cut.txt":       {"path", "1.36.1", "1.36.3", "--all", "--most", "1"},
		"path-no-risks.json": {"path", "1.35.9", "1.36.2", "--no-risks", "-o", "json"},
		"path-name.txt":      {"path", "1.35.9", "1.37.0", "-o", "name"},
	} {
		t.Run(file, func(t *testing.T) {
			golden.Check(t, "testdata/graph/"+file, mustRun(t, dir, append(args, "--graph-file", "amd64="+offeredFile)...))
		})
	}
	page := mustRun(t, dir, "graph", "-o", "html", "--graph-file", offeredFile)
	if !strings.HasPrefix(page, "<!doctype html>") || strings.Count(page, "<circle") != 6 || strings.Contains(page, "<script") {
		t.Errorf("the page is %.300s", page)
	}
}

// What a new release may be upgraded from, as release new takes it, and why.
func TestGraphPrevious(t *testing.T) {
	state, dir := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{
		"version": "1.1.0\n", "channels/stable-4.16.yaml": "name: stable-4.16\nversions: [4.16.1, 4.16.2, 4.16.3]\n", "build-suggestions/4.16.yaml": "default: {z_min: 4.16.2}\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"graph", "previous", "4.16.4", "--graph-data", dir}
	if got, want := mustRun(t, state, args...), "- 4.16.1  it is older than z_min, 4.16.2\n+ 4.16.2  it is not older than z_min, 4.16.2\n+ 4.16.3  it is not older than z_min, 4.16.2\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := mustRun(t, state, append(args, "-o", "name")...); got != "4.16.2\n4.16.3\n" {
		t.Errorf("got %q", got)
	}
	if _, errs, code := slipway(t, state, "graph", "previous", "4.17.0", "--graph-data", dir); code != exitUsage || !strings.Contains(errs, "build-suggestions/4.17.yaml") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

// A channel is printed byte for byte as a server answers.
func TestGraphAsServed(t *testing.T) {
	snapshot, err := updateserver.FileSource{"amd64": offeredFile}.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	edition, err := updateserver.NewEdition(snapshot, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	h := &updateserver.Handler{Current: func() *updateserver.Edition { return edition }}
	server := httptest.NewServer(h)
	defer server.Close()
	answer, err := server.Client().Get(server.URL + "/graph?channel=candidate&arch=amd64")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	want, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got := mustRun(t, t.TempDir(), "graph", "--channel", "candidate", "-o", "json", "--graph-file", offeredFile); got != string(want) {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestNoPath(t *testing.T) {
	dir := t.TempDir()
	out, errs, code := slipway(t, dir, "path", "1.36.1", "1.35.9", "--graph-file", offeredFile)
	if code != exitRejected || out != "" || !strings.Contains(errs, `"1.35.9" is the older of the two`) {
		t.Errorf("exit code %d, %q, %s", code, out, errs)
	}
	out, errs, code = slipway(t, dir, "path", "1.36.1", "1.36.33", "-o", "json", "--graph-file", offeredFile)
	var why struct{ Reasons []struct{ Cause string } }
	if err := json.Unmarshal([]byte(out), &why); err != nil || code != exitRejected || why.Reasons[0].Cause != "UnknownVersion" || !strings.Contains(errs, "did you mean 1.36.3?") {
		t.Errorf("exit code %d, %v, %q, %s", code, err, out, errs)
	}
}

func TestGraphBadInput(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "broken.json")
	if err := os.WriteFile(broken, []byte(`{"version":1,"nodes":[],"edges":[[0,1]]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"a broken file":        {[]string{"graph", "--graph-file", broken}, "broken.json"},
		"no file":              {[]string{"path", "a", "b", "--graph-file", "/nonexistent"}, "/nonexistent"},
		"an unknown channel":   {[]string{"graph", "--graph-file", offeredFile, "--channel", "stables"}, "did you mean stable?"},
		"two unknown channels": {[]string{"path", "a", "b", "--graph-file", offeredFile, "--channel", "x", "--channel", "y"}, `channel "y"`},
		"two architectures":    {[]string{"graph", "--graph-file", offeredFile, "--graph-file", "arm64=" + offeredFile}, "amd64, arm64; say which with --arch"},
		"another architecture": {[]string{"graph", "--graph-file", offeredFile, "--arch", "s390x"}, `"s390x"`},
		"a date and a file":    {[]string{"graph", "--graph-file", offeredFile, "--at", "2026-01-01"}, "leave out the date"},
		"no date":              {[]string{"graph", "--at", "yesterday"}, `"yesterday"`},
		"the future":           {[]string{"graph", "--at", time.Now().AddDate(0, 0, 2).Format(time.DateOnly)}, "in the future"},
		"one file":             {[]string{"graph", "diff", offeredFile}, "give two files"},
		"files and dates":      {[]string{"graph", "diff", offeredFile, offeredFile, "--from", "2026-01-01"}, "give two files"},
		"the end alone":        {[]string{"graph", "diff", "--to", "2026-01-01"}, "--from"},
		"no ways":              {[]string{"path", "a", "b", "--most", "0"}, "--most"},
	} {
		t.Run(name, func(t *testing.T) {
			out, errs, code := slipway(t, t.TempDir(), tc.args...)
			if code != exitUsage || out != "" || !strings.Contains(errs, tc.want) {
				t.Errorf("exit code %d, %q, %s", code, out, errs)
			}
		})
	}
}

func TestGraphDiffOfFiles(t *testing.T) {
	dir := t.TempDir()
	args := []string{"graph", "diff", offeredFile, testGraph("later.json")}
	golden.Check(t, "testdata/graph/diff.txt", mustRun(t, dir, args...))
	golden.Check(t, "testdata/graph/diff.json", mustRun(t, dir, append(args, "-o", "json")...))
	if _, errs, code := slipway(t, dir, append(args, "--exit-code")...); code != exitRejected || !strings.Contains(errs, "they differ") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if out := mustRun(t, dir, "graph", "diff", offeredFile, offeredFile, "--exit-code"); out != "Nothing differs.\n" {
		t.Errorf("of itself a graph differs by %q", out)
	}
}

// The channels of a registry are shown as they were.
func TestGraphAt(t *testing.T) {
	dir := t.TempDir()
	day := func(n int) time.Time { return time.Date(2026, 1, n, 12, 0, 0, 0, time.UTC) }
	fillChannel(t, dir, []promoted{{"1.36.1", nil, day(1)}, {"1.36.2", []string{"1.36.1"}, day(2)}, {"1.36.3", []string{"1.36.1", "1.36.2"}, day(3)}})
	for at, want := range map[string]string{
		"2025-12-31": "", "2026-01-01": "1.36.1\n", "2026-01-02T11:59:59Z": "1.36.1\n", "2026-01-02T13:00:00+01:00": "1.36.1\n1.36.2\n", "2026-01-03": "1.36.1\n1.36.2\n1.36.3\n",
	} {
		if got := mustRun(t, dir, "graph", "--at", at, "-o", "name"); got != want {
			t.Errorf("at %s there was %q, want %q", at, got, want)
		}
	}
	if got := mustRun(t, dir, "graph", "--at", "2026-01-02", "--channel", "candidate"); strings.Count(got, " -> ") != 1 {
		t.Errorf("on the second day there was\n%s", got)
	}
	golden.Check(t, "testdata/graph/diff-dates.txt", mustRun(t, dir, "graph", "diff", "--from", "2026-01-02"))
	golden.Check(t, "testdata/graph/diff-days.txt", mustRun(t, dir, "graph", "diff", "--from", "2026-01-01", "--to", "2026-01-02T12:00:00Z", "--channel", "candidate"))
	if got := mustRun(t, dir, "path", "1.36.1", "1.36.3", "-o", "name"); got != "1.36.1\n1.36.3\n" {
		t.Errorf("the way is %q", got)
	}
}

type promoted struct {
	version string
	from    []string
	when    time.Time
}

// fillChannel promotes versions into the candidate channel of a state directory.
func fillChannel(t *testing.T, dir string, all []promoted) {
	t.Helper()
	d, err := distros.LoadFS(distros.Embedded(), "skiff")
	if err != nil {
		t.Fatal(err)
	}
	st, err := state.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	server, err := registryserver.Serve(t.Context(), registryserver.Options{Root: st.Registry(), Addr: "127.0.0.1:0", Log: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	registry, err := oci.NewRegistry(d.Repository, server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	parse := func(s string) release.Version {
		v, err := release.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	store := channels.Store{Registry: registry, Repository: d.Repository}
	for _, p := range all {
		add := channels.Addition{Version: parse(p.version), PullSpec: d.Repository + "/release@sha256:" + strings.Repeat(p.version[len(p.version)-1:], 64)}
		for _, from := range p.from {
			add.Edges = append(add.Edges, channels.Source{From: parse(from), Evidence: "sha256:1"})
		}
		if _, err := store.Promote(t.Context(), "candidate", add, p.when); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCompleteGraph(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"channels of a file":        {[]string{"path", "--graph-file", offeredFile, "--channel", ""}, "candidate\nstable\n"},
		"versions of a channel":     {[]string{"path", "--graph-file", offeredFile, "--channel", "stable", ""}, "1.35.9\n1.36.1\n1.36.2\n"},
		"channels of a distro.yaml": {[]string{"graph", "--channel", ""}, "candidate\n"},
	} {
		var out strings.Builder
		root := newRoot(&app{stdio: stdio{Out: &out, Err: io.Discard}, getenv: func(string) string { return "" }})
		root.SetArgs(append([]string{"__complete"}, tc.args...))
		if err := root.Execute(); err != nil || !strings.HasPrefix(out.String(), tc.want) {
			t.Errorf("%s: %q, %v", name, out.String(), err)
		}
	}
}
