package premerge_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/distros"
	"github.com/slipway-release/slipway/images"
	"github.com/slipway-release/slipway/internal/layer/layertest"
	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/ocitest"
	"github.com/slipway-release/slipway/internal/state"
	"github.com/slipway-release/slipway/pipelines/premerge"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/assemble"
)

// bench is Skiff in a folder that tests may change, and a release of it as it was: real
// manifests, in images that hold nothing else.
type bench struct {
	dir      string // of distro.yaml
	registry *oci.Registry
	base     premerge.Base
	state    *state.Dir
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{dir: filepath.Join(t.TempDir(), "skiff")}
	if err := distros.Unpack(distros.Embedded(), b.dir); err != nil {
		t.Fatal(err)
	}
	d := b.load(t)
	var err error
	if b.registry, err = oci.NewRegistry(d.Repository, ocitest.Registry(t).Addr()+"/skiff"); err != nil {
		t.Fatal(err)
	}
	if b.state, err = state.Open(filepath.Join(t.TempDir(), "state")); err != nil {
		t.Fatal(err)
	}
	version, err := release.Parse(d.Version + "-0.nightly-2026-11-20-101500")
	if err != nil {
		t.Fatal(err)
	}
	opts := assemble.Options{Version: version, Source: b.registry, Repository: d.Repository, Base: d.PayloadBase}
	for _, r := range d.Components {
		opts.Components = append(opts.Components, assemble.Component{Name: r.Metadata.Name, Reference: b.push(t, r)})
	}
	img, payload, err := assemble.Assemble(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.registry.Push(t.Context(), payload.Reference, img); err != nil {
		t.Fatal(err)
	}
	b.base = premerge.Base{Payload: payload, Image: img}
	return b
}

func (b *bench) load(t *testing.T) *distros.Distribution {
	t.Helper()
	d, err := distros.Load(b.dir)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// imageOf is an image of a component with its manifests and nothing else.
func imageOf(t *testing.T, r *images.Recipe) v1.Image {
	t.Helper()
	labels := map[string]string{release.LabelVersions: r.Announces()}
	entries := []layertest.Entry{layertest.File("name", r.Metadata.Name)}
	files, err := fs.Glob(r.Files, "manifests/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := fs.ReadFile(r.Files, file)
		if err != nil {
			t.Fatal(err)
		}
		labels[release.LabelOperator] = "true"
		entries = append(entries, layertest.File(file, string(data)))
	}
	return layertest.Image(t, labels, layertest.Layer(t, entries...))
}

// push stores a component's image and returns its reference by digest.
func (b *bench) push(t *testing.T, r *images.Recipe) string {
	t.Helper()
	repository := b.registry.Canonical() + "/" + r.Metadata.Name
	digest, err := b.registry.Push(t.Context(), repository+":base", imageOf(t, r))
	if err != nil {
		t.Fatal(err)
	}
	return repository + "@" + digest.String()
}

// copyOf is a copy of a component's folder that a test may change.
func (b *bench) copyOf(t *testing.T, component string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), component)
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(b.dir, "components", component))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// edit replaces text in a file, where it must stand.
func edit(t *testing.T, file, before, after string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), before) {
		t.Fatalf("%s does not hold %q", file, before)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(data), before, after, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// today is when all tests check.
var today = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)

// options check some sources against the release, without a cluster.
func (b *bench) options(t *testing.T, sources ...string) premerge.Options {
	t.Helper()
	parsed, err := premerge.ParseSources(sources)
	if err != nil {
		t.Fatal(err)
	}
	return premerge.Options{
		State: b.state, Distribution: b.load(t), Checkout: b.dir, Base: b.base, Sources: parsed,
		Registry: b.registry, Images: b.registry, StaticOnly: true,
		Open: func(ctx context.Context, named string) (v1.Image, string, error) {
			digest, err := b.registry.Resolve(ctx, named)
			repository, _, _ := strings.Cut(named, ":")
			return nil, repository + "@" + digest.String(), err
		},
		Command: "slipway upgrade-check", Now: func() time.Time { return today },
	}
}
