package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The page of a payload leads to what its run has reported.
func TestServeReports(t *testing.T) {
	t.Parallel()
	distro, state, version := signedTiny(t)
	var list []streamRelease
	if err := json.Unmarshal([]byte(mustRun(t, state, "stream", "list", "nightly", "-o", "json", "--distro", distro)), &list); err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	_, digest, _ := strings.Cut(list[0].Reference, "@")
	run := filepath.Join(state, "runs", "nightly-2026-11-20-101500")
	for name, text := range map[string]string{
		"report.json":                fmt.Sprintf(`{"kind":"RunReport","run":{"finished":"2026-11-20T11:00:00Z"},"payload":{"version":%q,"digest":%q}}`, version, digest),
		"report.html":                "<p>the report",
		"work/upgrade/timeline.html": "<p>the time line",
		"state.json":                 "secret",
	} {
		path := filepath.Join(run, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"--state-dir", state, "--distro", distro, "--drain", "10ms"}
	s := startServe(t, args...)
	const below = "/runs/nightly-2026-11-20-101500/"
	s.until(t, "/releasetag/"+version, http.StatusOK, `<a href="`+below+`report.html">Run report</a>`)
	s.until(t, "/releasetag/"+version, http.StatusOK, `<a href="`+below+`work/upgrade/timeline.html">Time line</a>`)
	for path, want := range map[string]struct {
		code int
		body string
	}{
		below + "report.html":                {http.StatusOK, "the report"},
		below + "work/upgrade/timeline.html": {http.StatusOK, "the time line"},
		below + "report.json":                {http.StatusOK, digest},
		below + "state.json":                 {http.StatusNotFound, ""},
		below + "..%2f..%2fkeys/cosign.key":  {http.StatusNotFound, ""},
	} {
		if code, body := s.get(t, path); code != want.code || !strings.Contains(body, want.body) {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	without := startServe(t, append(args, "--no-reports")...)
	without.until(t, "/releasetag/"+version, http.StatusOK, version)
	if _, body := without.get(t, "/releasetag/"+version); strings.Contains(body, "/runs/") {
		t.Error("without reports, the page leads to them")
	}
	if code, _ := without.get(t, below+"report.html"); code != http.StatusNotFound {
		t.Errorf("without reports, one is served: %d", code)
	}
}
