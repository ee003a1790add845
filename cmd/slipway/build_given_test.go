package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/slipway-release/slipway/images"
	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/ocitest"
	"github.com/slipway-release/slipway/release"
)

// What a stream's inputs name by pull spec goes into the payload as it is, whatever the
// distribution has come to build, from the own registry or from another one.
func TestBuildTakesInputs(t *testing.T) {
	t.Parallel()
	distro, state := tinyDistribution(t), t.TempDir()
	built := filepath.Join(state, "images.json")
	build := func(inputs string) map[string]images.Result {
		t.Helper()
		mustRun(t, state, "build", "--images-file", built, "--inputs", inputs, "--distro", distro)
		data, err := os.ReadFile(built)
		if err != nil {
			t.Fatal(err)
		}
		var all []images.Result
		if err := json.Unmarshal(data, &all); err != nil {
			t.Fatal(err)
		}
		byName := map[string]images.Result{}
		for _, r := range all {
			byName[r.Component] = r
		}
		if len(all) != 2 || len(byName) != 2 || all[0].Component != "base" {
			t.Errorf("built are %+v, want base and op", all)
		}
		return byName
	}
	mustRun(t, state, "lock", "--distro", distro)
	first := build("{}")
	if err := os.WriteFile(filepath.Join(distro, "components/op/rootfs/op"), []byte("another program\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(distro, "distro.lock")); err != nil {
		t.Fatal(err)
	}
	mustRun(t, state, "lock", "--distro", distro)
	if again := build(`{"distro.yaml": "sha256:12"}`); again["op"].Digest == first["op"].Digest {
		t.Error("a changed component has the digest that it had")
	}
	own := build(`{"op": "` + first["op"].Reference + `"}`)
	if own["op"].Digest != first["op"].Digest || own["op"].Reference != first["op"].Reference || own["base"].Digest != first["base"].Digest {
		t.Errorf("taken is %+v, want %+v", own["op"], first["op"])
	}

	elsewhere := ocitest.Registry(t).Addr()
	foreign, err := oci.NewRegistry(elsewhere+"/ci", "")
	if err != nil {
		t.Fatal(err)
	}
	img, err := random.Image(100, 1)
	if err == nil {
		img, err = mutate.Config(img, v1.Config{Labels: map[string]string{release.LabelCommit: "0123abc"}})
	}
	if err != nil {
		t.Fatal(err)
	}
	digest, err := foreign.Push(t.Context(), elsewhere+"/ci/op:main", img)
	if err != nil {
		t.Fatal(err)
	}
	taken := build(`{"op": "` + elsewhere + "/ci/op@" + digest.String() + `"}`)["op"]
	if taken.Digest != digest.String() || !strings.HasSuffix(taken.Reference, "/op@"+digest.String()) || strings.HasPrefix(taken.Reference, elsewhere) {
		t.Errorf("taken is %+v, want the foreign image under the distribution's own name", taken)
	}
	if len(taken.Materials) == 0 || !strings.Contains(taken.Materials[0].URI, elsewhere) {
		t.Errorf("its provenance does not say where it is from: %+v", taken.Materials)
	}
	version := "1.2.3-0.nightly-2026-11-20-101500"
	mustRun(t, state, "release", "new", "--images", built, "--name", version, "--distro", distro)
	if out := mustRun(t, state, "release", "info", version, "--pullspecs", "--distro", distro); !strings.Contains(out, taken.Reference) {
		t.Errorf("the payload does not name it:\n%s", out)
	}

	for inputs, want := range map[string]string{
		`{"ops": "` + first["op"].Reference + `"}`: `no component "ops"`,
		`["op"]`: "no JSON object",
		`{"op": "` + elsewhere + "/ci/op@sha256:" + strings.Repeat("0", 64) + `"}`: `taking the image of component "op"`,
	} {
		if _, errs, code := slipway(t, state, "build", "--inputs", inputs, "--distro", distro); code == exitDone || !strings.Contains(errs, want) {
			t.Errorf("--inputs %s: exit %d: %s", inputs, code, errs)
		}
	}
}
