package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slipway-release/slipway/pipelines/report"
)

// testServed asks a server, as a cluster does, as a person and as a program, for what
// the releases of testNext came to, and then accepts one of them over the network.
func testServed(t *testing.T, stateDir string, before *report.Report) {
	const accepted, refused = "1.36.3-0.nightly-2099-01-01-000003", "1.36.3-0.nightly-2099-01-01-000001"
	var made tokenMade
	if err := json.Unmarshal([]byte(mustRun(t, stateDir, "serve", "token", "releng", "--roles", "accept,promote", "-o", "json")), &made); err != nil {
		t.Fatal(err)
	}
	tokens := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(tokens, []byte(made.Line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startServe(t, "--state-dir", stateDir, "--tokens", tokens, "--watch", "200ms", "--drain", "100ms")

	s.until(t, "/api/upgrades_info/v1/graph?channel=candidate&arch=amd64&version="+before.Payload.Version, http.StatusOK, `"edges":[[0,1]]`)
	s.until(t, "/api/v1/releasestream/nightly/latest?format=name", http.StatusOK, accepted)
	for path, holds := range map[string][]string{
		"/":                       {"nightly", "candidate", accepted, refused},
		"/releasetag/" + accepted: {"Accepted", "conformance", "upgrade", before.Payload.Version, "slipway verify "},
		"/releasetag/" + refused:  {"Rejected", "7 of "},
		"/channels/candidate":     {"<svg", accepted},
	} {
		code, body := s.get(t, path)
		for _, want := range holds {
			if code != http.StatusOK || !strings.Contains(body, want) {
				t.Errorf("%s: %d without %q", path, code, want)
			}
		}
	}

	promote := "/api/v1/releasestream/nightly/release/" + refused + "/promote"
	if code, body := s.post(t, promote, made.Token, `{"reason":"try"}`); code != http.StatusUnprocessableEntity || !strings.Contains(body, "Rejected") {
		t.Errorf("promoting what was rejected: %d %s", code, body)
	}
	accept := "/api/v1/releasestream/nightly/release/" + refused + "/accept"
	if code, body := s.post(t, accept, "slipway_another", `{"reason":"try"}`); code != http.StatusUnauthorized {
		t.Errorf("a stranger: %d %s", code, body)
	}
	for _, changed := range []string{`"changed":true`, `"changed":false`} {
		if code, body := s.post(t, accept, made.Token, `{"reason":"the gap was the test's"}`); code != http.StatusOK || !strings.Contains(body, changed) {
			t.Errorf("accepting by hand: %d %s, want %s", code, body, changed)
		}
	}
	if decision := mustRun(t, stateDir, "evidence", "show", refused, "decision"); !strings.Contains(decision, `"releng"`) || !strings.Contains(decision, "the gap was the test's") {
		t.Errorf("the decision does not say who and why: %s", decision)
	}
	if code, body := s.post(t, promote, made.Token, `{}`); code != http.StatusOK || !strings.Contains(body, refused) {
		t.Errorf("promoting what was accepted: %d %s", code, body)
	}
	s.until(t, "/graph?channel=candidate", http.StatusOK, refused)
	if code, body := s.post(t, "/api/v1/releasestream/weekly/cut", made.Token, `{}`); code != http.StatusForbidden {
		t.Errorf("a cut without the role: %d %s", code, body)
	}
}

func (s *serving) post(t *testing.T, path, token, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.address+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}
