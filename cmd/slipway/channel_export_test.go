package main

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/ocitest"
	"github.com/slipway-release/slipway/release/releasetest"
)

// pushMirrored pushes two payloads, of which the second may follow the first.
func pushMirrored(t *testing.T, repository string) *oci.Registry {
	t.Helper()
	client, err := oci.NewRegistry(repository, "")
	if err != nil {
		t.Fatal(err)
	}
	for version, previous := range map[string][]string{"4.15.9": nil, "4.16.3": {"4.15.9"}} {
		p := releasetest.Small(version)
		p.Previous = previous
		if _, err := client.Push(t.Context(), repository+":"+version, p.Image(t)); err != nil {
			t.Fatal(err)
		}
	}
	return client
}

// A server follows a layout that is written again, and one image goes into another.
func TestGraphDataOfALayout(t *testing.T) {
	t.Parallel()
	registry := ocitest.Registry(t)
	repository := registry.Addr() + "/mirror/release"
	pushMirrored(t, repository)
	layout, again := filepath.Join(t.TempDir(), "layout"), filepath.Join(t.TempDir(), "again")
	data := graphDataIn(t, t.TempDir(), "version", "1.1.0\n", "channels/stable-4.16.yaml", "name: stable-4.16\nversions: [4.15.9, 4.16.3]\n")
	mustRun(t, t.TempDir(), "channel", "export", data, "--to-layout", layout)
	s := startServe(t, "--graph-data", "oci:"+layout, "--releases", repository, "--state-dir", t.TempDir(), "--watch", "20ms", "--drain", "10ms")
	const asked = "/api/upgrades_info/v1/graph?channel=stable-4.16&arch=amd64"
	s.until(t, asked, http.StatusOK, `"edges":[[0,1]]`)
	graphDataIn(t, data, "blocked-edges/4.16.3-bug.yaml", "to: 4.16.3\nfrom: 4[.]15[.].*\n")
	mustRun(t, t.TempDir(), "channel", "export", data, "--to-layout", layout)
	s.until(t, asked, http.StatusOK, `"edges":[]`)

	// An image is written as it was made of the folder.
	of := func(from, to string) string {
		t.Helper()
		return mustRun(t, t.TempDir(), "channel", "export", from, "--to-layout", to, "-o", "jsonpath={.digest}")
	}
	if folder, image := of(data, again), of("oci:"+layout, again); folder != image {
		t.Errorf("the folder is exported as %s, its image as %s", folder, image)
	}
}

// Graph-data goes into a mirror as an image, and a server that has the mirror alone
// offers its payloads and follows the tag.
func TestChannelExport(t *testing.T) {
	t.Parallel()
	registry := ocitest.Registry(t)
	repository, image := registry.Addr()+"/mirror/release", registry.Addr()+"/mirror/graph-data:latest"
	client := pushMirrored(t, repository)
	out := t.TempDir()
	data := graphDataIn(t, t.TempDir(), "version", "1.1.0\n", "channels/stable-4.16.yaml", "name: stable-4.16\nversions: [4.15.9, 4.16.3]\n")
	export := func(args ...string) exportedImage {
		t.Helper()
		var made exportedImage
		printed := mustRun(t, t.TempDir(), append([]string{"channel", "export", data, "-o", "json"}, args...)...)
		if err := json.Unmarshal([]byte(printed), &made); err != nil {
			t.Fatal(err)
		}
		return made
	}
	layout, archive := filepath.Join(out, "layout"), filepath.Join(out, "graph-data.tar")
	tried := export("--to-image", image, "--to-layout", layout, "--dry-run")
	if _, errs, code := slipway(t, t.TempDir(), "channel", "lint", image); code == exitDone {
		t.Errorf("a dry run has pushed the image: %s", errs)
	}
	made := export("--to-image", image, "--to-layout", layout, "--to-archive", archive)
	if made.Digest != tried.Digest || made.Layer != tried.Layer {
		t.Errorf("a dry run gives %+v, the run %+v", tried, made)
	}
	for _, named := range []string{image, "oci:" + layout, "oci-archive:" + archive} {
		if out, errs, code := slipway(t, t.TempDir(), "channel", "lint", named); code != exitDone || !strings.Contains(out, "in 2 files that name 2 versions") {
			t.Errorf("%s: exit %d: %s%s", named, code, out, errs)
		}
	}

	stateDir := t.TempDir()
	s := startServe(t, "--graph-data", image, "--releases", repository, "--state-dir", stateDir, "--watch", "20ms", "--drain", "10ms")
	const asked = "/api/upgrades_info/v1/graph?channel=stable-4.16&arch=amd64"
	s.until(t, asked, http.StatusOK, `"edges":[[0,1]]`)
	s.until(t, asked, http.StatusOK, `"payload":"`+repository+`@sha256:`)
	graphDataIn(t, data, "blocked-edges/4.16.3-bug.yaml", "to: 4.16.3\nfrom: 4[.]15[.].*\n")
	export("--to-image", image)
	s.until(t, asked, http.StatusOK, `"edges":[]`)
	if names := archived(t, s); !strings.Contains(names, "blocked-edges/4.16.3-bug.yaml") {
		t.Errorf("the archive has %s", names)
	}
	if _, err := client.Push(t.Context(), image, releasetest.Small("4.16.4").Image(t)); err != nil {
		t.Fatal(err)
	}
	s.until(t, "/readyz", http.StatusOK, `"degraded":true`)
	s.until(t, asked, http.StatusOK, `"edges":[]`)
}

func TestChannelExportUsage(t *testing.T) {
	t.Parallel()
	data := graphDataIn(t, t.TempDir(), "version", "1.1.0\n", "channels/a.yaml", "name: a\nversions: [4.15.9]\n")
	broken := graphDataIn(t, t.TempDir(), "version", "1.1.0\n", "channels/a.yaml", "name: a\nversions: 1\n")
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"nowhere":   {[]string{data}, "--to-image"},
		"no tag":    {[]string{data, "--to-image", "registry.example.com/graph-data"}, "must end in a tag"},
		"no folder": {[]string{"/nonexistent", "--dry-run"}, "/nonexistent"},
		"broken":    {[]string{broken, "--dry-run"}, "a.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if out, errs, code := slipway(t, t.TempDir(), append([]string{"channel", "export"}, c.args...)...); code != exitUsage || !strings.Contains(errs, c.want) {
				t.Errorf("exit %d: %s%s", code, out, errs)
			}
		})
	}
}
