package main

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/ocitest"
)

// age makes all blobs of a registry's folder look as if nobody had asked for them for long.
func age(t *testing.T, root string) {
	t.Helper()
	old := time.Now().Add(-48 * time.Hour)
	err := filepath.WalkDir(filepath.Join(root, "docker/registry/v2/blobs"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return os.Chtimes(path, old, old)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestRegistryPrune(t *testing.T) {
	t.Parallel()
	distro, state, version := signedTiny(t)
	root := filepath.Join(state, "store/registry")
	server := ocitest.Serve(t, root)
	registry, err := oci.NewRegistry(server.Addr()+"/tiny", "")
	if err != nil {
		t.Fatal(err)
	}
	orphan, err := random.Image(100<<10, 2)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := registry.Push(t.Context(), server.Addr()+"/tiny/op:cache-00ff", orphan)
	if err != nil {
		t.Fatal(err)
	}
	// What somebody tagged otherwise is nobody's to remove.
	if err := registry.Tag(t.Context(), server.Addr()+"/tiny/op@"+digest.String(), "cache-11ff"); err != nil {
		t.Fatal(err)
	}
	mine, err := random.Image(100, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := registry.Push(t.Context(), server.Addr()+"/tiny/op:mine", mine); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) pruned {
		t.Helper()
		var p pruned
		out := mustRun(t, state, append(args, "-o", "json", "--distro", distro)...)
		if err := json.Unmarshal([]byte(out), &p); err != nil {
			t.Fatal(err)
		}
		if info := mustRun(t, state, "release", "info", version, "--verify=layers", "--distro", distro); !strings.Contains(info, version) {
			t.Fatal(info)
		}
		if _, err := registry.Image(t.Context(), server.Addr()+"/tiny/op:mine"); err != nil {
			t.Fatal(err)
		}
		return p
	}
	for range 2 {
		p := run("registry", "prune")
		if !p.DryRun || len(p.Images) != 1 || p.Images[0].Component != "op" || p.Images[0].Digest != digest.String() || p.Kept != 2 || p.Bytes < 200<<10 || p.Swept.Blobs != 0 {
			t.Fatalf("a dry run says %+v", p)
		}
	}
	if p := run("registry", "prune", "--apply"); p.DryRun || len(p.Images) != 1 || p.Swept.Blobs != 0 {
		t.Errorf("removed was %+v", p)
	}
	if _, err := registry.Resolve(t.Context(), server.Addr()+"/tiny/op:cache-11ff"); err == nil {
		t.Error("the image is still there, by another tag")
	}
	// Its blobs go when nobody has asked for them for long.
	age(t, root)
	if p := run("registry", "prune"); len(p.Images) != 0 || p.Swept.Blobs < 3 || p.Swept.Bytes < 200<<10 {
		t.Errorf("a dry run says %+v, %+v", p, p.Swept)
	}
	age(t, root)
	if p := run("registry", "prune", "--apply"); len(p.Images) != 0 || p.Swept.Blobs < 3 || p.Swept.Bytes < 200<<10 {
		t.Errorf("removed was %+v, %+v", p, p.Swept)
	}
	age(t, root)
	if p := run("registry", "prune", "--apply"); len(p.Images) != 0 || p.Swept.Blobs != 0 {
		t.Errorf("removed again was %+v, %+v", p, p.Swept)
	}

	for name, step := range map[string]struct {
		args []string
		code int
		want string
	}{
		"too short a grace": {[]string{"registry", "prune", "--grace", "10m"}, exitUsage, "--grace: it must be 1h0m0s or more"},
		"text":              {[]string{"registry", "prune"}, exitDone, "images: 0 would be removed, 0 B; 2 stay\nblobs that nothing names: 0 would be removed, 0 B"},
	} {
		out, errs, code := slipway(t, state, append(step.args, "--distro", distro)...)
		if code != step.code || !strings.Contains(out+errs, step.want) {
			t.Errorf("%s: exit %d\n%s%s", name, code, out, errs)
		}
	}
}

// While one payload cannot be read, it cannot be known what it needs.
func TestRegistryPruneFailsClosed(t *testing.T) {
	t.Parallel()
	distro, state, _ := signedTiny(t)
	server := ocitest.Serve(t, filepath.Join(state, "store/registry"))
	registry, err := oci.NewRegistry(server.Addr()+"/tiny", "")
	if err != nil {
		t.Fatal(err)
	}
	img, err := random.Image(100, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"/tiny/op:cache-00ff", "/tiny/release:1.2.3-0.nightly-2026-11-21-000000"} {
		if _, err := registry.Push(t.Context(), server.Addr()+ref, img); err != nil {
			t.Fatal(err)
		}
	}
	out, errs, code := slipway(t, state, "registry", "prune", "--apply", "--distro", distro)
	if code == exitDone || !strings.Contains(errs, "1.2.3-0.nightly-2026-11-21-000000") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	if _, err := registry.Resolve(t.Context(), server.Addr()+"/tiny/op:cache-00ff"); err != nil {
		t.Error(err)
	}
}
