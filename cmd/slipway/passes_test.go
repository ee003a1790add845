package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slipway-release/slipway/release/streams"
)

// passedUpgrade is the result of an upgrade that went well; sent tells one from another.
func passedUpgrade(from string, sent int64) streams.Upgrade {
	return streams.Upgrade{
		From: streams.Endpoint{Version: from, Digest: "sha256:a"}, To: streams.Endpoint{Digest: "sha256:b"}, TesterHealthy: true,
		Backends: []streams.Backend{{Name: "kube-api", Connection: "new", Intended: sent, Sent: sent}},
		SelfTest: &streams.SelfTest{Injections: []streams.Injection{{Name: "api", Found: true}}},
	}
}

// An edge counts as tested after as many passes as are demanded. A result that is attached
// twice, in whatever form, is one pass; commands and pages say how many there are.
func TestPasses(t *testing.T) {
	t.Parallel()
	distro, state, first := signedTiny(t)
	const second = "1.2.3-0.nightly-2026-11-21-101500"
	run := func(args ...string) string {
		t.Helper()
		return mustRun(t, state, append(args, "--distro", distro)...)
	}
	attest := func(predicate []byte) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "predicate.json")
		if err := os.WriteFile(file, predicate, 0o644); err != nil {
			t.Fatal(err)
		}
		run("attest", second, "--type", "upgrade-result", "--predicate", file)
	}
	result := func(sent int64, indent string) []byte {
		t.Helper()
		data, err := json.MarshalIndent(passedUpgrade(first, sent), "", indent)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	plain, err := os.ReadFile(filepath.Join(distro, "distro.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	declare := func(graph string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(distro, "distro.yaml"), []byte(string(plain)+"graph: "+graph+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}

	declare("{passes: 2}")
	run("release", "new", "--from-release", first, "--name", second, "--to-image", "registry.example.com/tiny/release")
	run("sign", second)
	attest(result(100, ""))
	attest(result(100, "   "))
	for _, version := range []string{first, second} {
		run("stream", "accept", version, "--by", "ann", "--reason", "for this test")
		run("channel", "promote", version, "--stream", "nightly")
	}
	contains(t, run("channel", "show", "candidate"), "conditional: UntestedUpgrade, 1 of 2 passes")
	contains(t, run("path", first, second), "  1 of 2 passes\n", "risk UntestedUpgrade")
	if got := run("path", first, second, "-o", "jsonpath={.ways[0].hops[0].passes}"); strings.TrimSpace(got) != "1 of 2" {
		t.Errorf("passes of the hop are %q", got)
	}
	contains(t, run("graph"), "conditional: UntestedUpgrade  1 of 2 passes")
	contains(t, run("graph", "-o", "html"), ", 1 of 2 passes</li>")

	declare("{passes: 2, untested: offer}")
	contains(t, run("channel", "show", "candidate"), "offered", ", 1 of 2 passes")
	contains(t, run("graph"), first+" -> "+second+"  1 of 2 passes")
	contains(t, run("graph", "-o", "html"), "offered, 1 of 2 passes")
	attest(result(200, ""))
	run("channel", "promote", second, "--stream", "nightly")
	contains(t, run("path", first, second), "  2 of 2 passes\n")
	declare("{passes: 1}")
	if got := run("path", first, second); strings.Contains(got, "passes") {
		t.Errorf("where one pass is enough: %s", got)
	}

	declare("{passes: 3, untested: offer}")
	s := startServe(t, "--state-dir", state, "--distro", distro, "--drain", "10ms")
	s.until(t, "/channels/candidate?from="+first+"&to="+second, http.StatusOK, "2 of 3 passes")
	s.until(t, "/releasetag/"+second, http.StatusOK, "2 of 3 passes")
	s.until(t, "/releasetag/"+second, http.StatusOK, "Untested")
	s.until(t, "/api/v1/path?from="+first+"&to="+second, http.StatusOK, `"passes": "2 of 3"`)
}
