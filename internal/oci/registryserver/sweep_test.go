package registryserver_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/slipway-release/slipway/internal/oci/ocitest"
	"github.com/slipway-release/slipway/internal/oci/registryserver"
)

// agedBlobs are the files of a registry's blobs, by digest; each is made to look as if it was
// asked for last at a time.
func agedBlobs(t *testing.T, root string, at time.Time) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(filepath.Join(root, "docker/registry/v2/blobs/sha256"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		all["sha256:"+filepath.Base(filepath.Dir(path))] = path
		return os.Chtimes(path, at, at)
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func layerOf(t *testing.T, img v1.Image) string {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest.String()
}

func TestSweep(t *testing.T) {
	root := t.TempDir()
	ctx := t.Context()
	now := time.Now()
	sweep := registryserver.SweepOptions{Before: now.Add(-2 * time.Hour)}
	if swept, err := registryserver.Sweep(ctx, root, sweep); err != nil || swept.Blobs != 0 {
		t.Fatalf("an empty registry: %+v, %v", swept, err)
	}
	s := serve(t, root)
	tagged, untagged, gone, asked := image(t, 1<<20), image(t, 1<<10), image(t, 1<<20), image(t, 1<<10)
	for name, img := range map[string]v1.Image{"a:kept": tagged, "b:gone": gone, "b:asked": asked} {
		if err := remote.Write(reference(t, s.Addr()+"/"+name), img); err != nil {
			t.Fatal(err)
		}
	}
	digest, err := untagged.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(reference(t, s.Addr()+"/b@"+digest.String()), untagged); err != nil {
		t.Fatal(err)
	}
	for _, img := range []v1.Image{gone, asked} {
		digest, err := img.Digest()
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Delete(reference(t, s.Addr()+"/b@"+digest.String())); err != nil {
			t.Fatal(err)
		}
	}

	if swept, err := registryserver.Sweep(ctx, root, sweep); err != nil || swept.Blobs != 0 {
		t.Errorf("young blobs: %+v, %v", swept, err)
	}
	agedBlobs(t, root, now.Add(-3*time.Hour))
	layers, err := asked.Layers()
	if err != nil {
		t.Fatal(err)
	}
	// Whoever hears that the layer is there will not upload it.
	if err := remote.WriteLayer(reference(t, s.Addr()+"/b").Context(), layers[0]); err != nil {
		t.Fatal(err)
	}
	// The manifests of both, their configurations, and the layer that nobody asked for.
	dry := sweep
	dry.DryRun = true
	if swept, err := registryserver.Sweep(ctx, root, dry); err != nil || swept.Blobs != 5 || swept.Bytes < 1<<20 {
		t.Errorf("a dry run: %+v, %v", swept, err)
	}
	if swept, err := registryserver.Sweep(ctx, root, sweep); err != nil || swept.Blobs != 5 || swept.Bytes < 1<<20 {
		t.Errorf("%+v, %v", swept, err)
	}
	left := agedBlobs(t, root, now.Add(-3*time.Hour))
	if _, there := left[layerOf(t, gone)]; there {
		t.Error("a layer that nothing names is still there")
	}
	if _, there := left[layerOf(t, asked)]; !there {
		t.Error("a layer was removed that somebody had asked for")
	}
	for _, ref := range []string{"/a:kept", "/b@" + digest.String()} {
		img, err := remote.Image(reference(t, s.Addr()+ref))
		if err == nil {
			err = ocitest.ReadAll(img)
		}
		if err != nil {
			t.Errorf("%s: %v", ref, err)
		}
	}
	// What was removed can be pushed again.
	if err := remote.Write(reference(t, s.Addr()+"/b:gone"), gone); err != nil {
		t.Error(err)
	}

	if _, err := registryserver.Sweep(ctx, root, registryserver.SweepOptions{Before: now}); err == nil || !strings.Contains(err.Error(), "must be left alone for 1h0m0s") {
		t.Errorf("without a grace: %v", err)
	}
}

// What a manifest names cannot be known when it cannot be read.
func TestSweepFailsClosed(t *testing.T) {
	root := t.TempDir()
	s := serve(t, root)
	img := image(t, 1<<10)
	if err := remote.Write(reference(t, s.Addr()+"/a:kept"), img); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-3 * time.Hour)
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(agedBlobs(t, root, old)[digest.String()], []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	layer := agedBlobs(t, root, old)[layerOf(t, img)]
	if swept, err := registryserver.Sweep(t.Context(), root, registryserver.SweepOptions{Before: time.Now().Add(-2 * time.Hour)}); err == nil {
		t.Errorf("swept %+v", swept)
	}
	if _, err := os.Stat(layer); err != nil {
		t.Error(err)
	}
}
