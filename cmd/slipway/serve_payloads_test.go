package main

import (
	"archive/tar"
	"compress/gzip"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/ocitest"
	"github.com/slipway-release/slipway/release/releasetest"
)

// A server of an OKD-like distribution: payloads from a registry, channels and blocked
// edges from a folder, asked as a cluster does.
func TestServePayloads(t *testing.T) {
	t.Parallel()
	registry := ocitest.Registry(t)
	repository := registry.Addr() + "/okd/release"
	client, err := oci.NewRegistry(repository, "")
	if err != nil {
		t.Fatal(err)
	}
	push := func(version string, previous ...string) {
		t.Helper()
		p := releasetest.Small(version)
		p.Previous = previous
		if _, err := client.Push(t.Context(), repository+":"+version, p.Image(t)); err != nil {
			t.Fatal(err)
		}
	}
	push("4.15.9")
	push("4.16.3", "4.15.9")
	data, stateDir := t.TempDir(), t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(data, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("version", "1.1.0\n")
	write("channels/stable-4.16.yaml", "name: stable-4.16\nversions: [4.15.9, 4.16.3, 4.16.4]\n")
	write("risks/SlowEtcd.yaml", "apiVersion: slipway.dev/v1alpha1\nkind: Risk\nmetadata:\n  name: SlowEtcd\nto: '>=4.16.0'\nfrom: '<4.16.0'\nurl: https://example.com/1\nmessage: etcd is slow.\nmatchingRules:\n- type: Always\n")

	args := []string{"--graph-data", data, "--releases", repository, "--state-dir", stateDir, "--watch", "20ms", "--drain", "10ms"}
	s := startServe(t, args...)
	const asked = "/api/upgrades_info/v1/graph?channel=stable-4.16&arch=amd64&version=4.15.9&id=7"
	s.until(t, asked, http.StatusOK, `"conditionalEdges":[{"edges":[{"from":"4.15.9","to":"4.16.3"}]`)
	s.until(t, asked, http.StatusOK, `"payload":"`+repository+`@sha256:`)

	push("4.16.4", "4.16.3")
	s.until(t, asked, http.StatusOK, `"edges":[[1,2]]`)
	write("blocked-edges/4.16.4-bug.yaml", "to: 4.16.4\nfrom: 4[.]16[.].*\n")
	s.until(t, asked, http.StatusOK, `"edges":[]`)
	if names := archived(t, s); !strings.Contains(names, "blocked-edges/4.16.4-bug.yaml") || !strings.Contains(names, "blocked-edges/4.16.3-SlowEtcd.yaml") {
		t.Errorf("the archive has %s", names)
	}
	write("blocked-edges/4.16.4-bug.yaml", "to: 4.16.4\n")
	s.until(t, "/readyz", http.StatusOK, `"degraded":true`)
	s.until(t, asked, http.StatusOK, `"edges":[]`)

	// Over a restart, with the file still broken, what was good last is served on.
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = s.cmd.Wait()
	s = startServe(t, args...)
	s.until(t, asked, http.StatusOK, `"edges":[]`)
	if err := os.Remove(filepath.Join(data, "blocked-edges/4.16.4-bug.yaml")); err != nil {
		t.Fatal(err)
	}
	s.until(t, asked, http.StatusOK, `"edges":[[1,2]]`)

	out, errs, code := slipway(t, stateDir, "path", "4.15.9", "4.16.4", "--graph-data", data, "--releases", repository, "--channel", "stable-4.16")
	if code != 0 || !strings.Contains(out, "4.16.3 -> 4.16.4") || !strings.Contains(out, "SlowEtcd") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}

// archived are the names of the files in the archive of graph-data, one a line.
func archived(t *testing.T, s *serving) string {
	t.Helper()
	code, body := s.get(t, "/api/upgrades_info/graph-data")
	unzipped, err := gzip.NewReader(strings.NewReader(body))
	if code != http.StatusOK || err != nil {
		t.Fatalf("%d %v", code, err)
	}
	var names strings.Builder
	for files := tar.NewReader(unzipped); ; {
		h, err := files.Next()
		if err == io.EOF {
			return names.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		names.WriteString(h.Name + "\n")
	}
}
