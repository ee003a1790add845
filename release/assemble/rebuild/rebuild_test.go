package rebuild_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	. "github.com/slipway-release/slipway/internal/layer/layertest"
	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/ocitest"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/assemble"
	"github.com/slipway-release/slipway/release/assemble/rebuild"
	"github.com/slipway-release/slipway/release/releasetest"
)

var update = flag.Bool("update", false, "write golden files anew")

func version(t testing.TB, s string) release.Version {
	t.Helper()
	v, err := release.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

type fixture struct {
	registry *oci.Registry
	set      *releasetest.Set
	options  assemble.Options
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	s := ocitest.Registry(t)
	registry, err := oci.NewRegistry(s.Addr()+"/okd", "")
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{registry: registry, set: releasetest.New(t, s.Addr()+"/okd", releasetest.Options{Components: 5, Operators: 2, Manifests: 3})}
	f.options = assemble.Options{Version: version(t, "4.15.0"), Base: releasetest.BaseName, Source: registry}
	for _, c := range f.set.Components {
		f.options.Components = append(f.options.Components, assemble.Component{Name: c.Name, Reference: c.Reference})
	}
	return f
}

func (f *fixture) make(t *testing.T, change func(*assemble.Options)) v1.Image {
	t.Helper()
	o := f.options
	if change != nil {
		change(&o)
	}
	made, err := assemble.Make(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return made.Image
}

func (f *fixture) rebuild(t *testing.T, o rebuild.Original) *rebuild.Report {
	t.Helper()
	report, err := rebuild.Rebuild(t.Context(), o, rebuild.Options{Source: f.registry})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func text(r *rebuild.Report) string {
	var b strings.Builder
	r.Text(&b)
	return b.String()
}

func TestOwnPayloadsAreReproduced(t *testing.T) {
	f := newFixture(t)
	foreign, err := f.registry.Image(t.Context(), f.set.Component(t, releasetest.KubeName).Reference)
	if err != nil {
		t.Fatal(err)
	}
	outside := mutate.Annotations(foreign, map[string]string{"not": "among the components"}).(v1.Image)
	for name, change := range map[string]func(*assemble.Options){
		"as it is": nil,
		"Docker":   func(o *assemble.Options) { o.Docker = true },
		"upgrades": func(o *assemble.Options) { o.Previous = []release.Version{version(t, "4.14.9"), version(t, "4.14.11")} },
		"versions": func(o *assemble.Options) {
			o.ComponentVersions = map[string]string{"kubernetes": "1.30.0"}
			o.DisplayNames = map[string]string{"kubernetes": "Kubernetes"}
		},
		"metadata": func(o *assemble.Options) {
			o.Metadata = map[string]string{"url": "https://example.com"}
			o.MetadataOther = map[string]json.RawMessage{"a": json.RawMessage("[1]")}
		},
		"dated":     func(o *assemble.Options) { o.Version = version(t, "4.15.0-0.okd-2024-03-10-010116") },
		"pruned":    func(o *assemble.Options) { o.Prune = true },
		"canonical": func(o *assemble.Options) { o.Repository = f.registry.Canonical() },
		"annotated": func(o *assemble.Options) {
			o.Annotations = map[string]string{"a": "b"}
			o.StreamAnnotations = map[string]string{"c": "d"}
		},
		"another base": func(o *assemble.Options) { o.Base, o.BaseImage = "", outside },
	} {
		t.Run(name, func(t *testing.T) {
			r := f.rebuild(t, rebuild.Original{Image: f.make(t, change)})
			if !r.Same || !r.Passes() || !r.Own {
				t.Error(text(r))
			}
		})
	}
}

func TestMultiPlatformPayloadsAreReproduced(t *testing.T) {
	f := newFixture(t)
	base, err := f.registry.Image(t.Context(), f.set.Component(t, releasetest.BaseName).Reference)
	if err != nil {
		t.Fatal(err)
	}
	index := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex),
		mutate.IndexAddendum{Add: base, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}})
	made, err := assemble.MakeIndex(t.Context(), f.options, index)
	if err != nil {
		t.Fatal(err)
	}
	if r := f.rebuild(t, rebuild.Original{Index: made.Index}); !r.Same || !r.Passes() {
		t.Error(text(r))
	}
	altered := mutate.Annotations(made.Index, map[string]string{"added": "later"}).(v1.ImageIndex)
	if r := f.rebuild(t, rebuild.Original{Index: altered}); r.Same || r.Passes() || !strings.Contains(text(r), "annotation added") {
		t.Error(text(r))
	}
}

// What oc writes has other times and other compressed bytes, and the same files.
func TestPayloadsOfOcHaveTheSameContent(t *testing.T) {
	f := newFixture(t)
	payload := f.set.Payload("4.15.0")
	base, err := f.registry.Image(t.Context(), f.set.Component(t, releasetest.BaseName).Reference)
	if err != nil {
		t.Fatal(err)
	}
	payload.Base = base
	payload.Previous, payload.Metadata = []string{"4.14.9"}, map[string]string{"url": "https://example.com"}
	r := f.rebuild(t, rebuild.Original{Image: payload.Image(t)})
	if r.Same || !r.SameContent || !r.Passes() || r.Own {
		t.Error(text(r))
	}
	if !strings.Contains(text(r), "same content, other packing") {
		t.Error(text(r))
	}
	payload.Manifests[0].Data = append(payload.Manifests[0].Data, "# altered\n"...)
	if r := f.rebuild(t, rebuild.Original{Image: payload.Image(t)}); r.Passes() || len(r.Parts[0].Files) != 1 {
		t.Error(text(r))
	}
}

// altered replaces the payload's layer.
func altered(t *testing.T, img v1.Image, entries ...Entry) v1.Image {
	t.Helper()
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	out := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	bare := config.DeepCopy()
	bare.RootFS, bare.History = v1.RootFS{Type: "layers"}, nil
	if out, err = mutate.ConfigFile(out, bare); err != nil {
		t.Fatal(err)
	}
	layers[len(layers)-1] = Layer(t, entries...)
	for i, l := range layers {
		if out, err = mutate.Append(out, mutate.Addendum{Layer: l, History: config.History[i], MediaType: types.OCILayer}); err != nil {
			t.Fatal(err)
		}
	}
	manifest, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	return mutate.Annotations(out, manifest.Annotations).(v1.Image)
}

func TestAlteredPayloadsAreShownFileByFile(t *testing.T) {
	f := newFixture(t)
	img := f.make(t, nil)
	p, err := release.Load(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	var entries []Entry
	for i, file := range append([]release.File{raw(t, p, release.ReferencesFile), raw(t, p, release.MetadataFile)}, p.Manifests...) {
		data := string(file.Data)
		switch i {
		case 2:
			data = strings.Replace(data, "metadata:", "metadata: # altered", 1)
		case 3:
			continue
		}
		entries = append(entries, File("release-manifests/"+file.Name, data))
	}
	entries = append(entries, File("release-manifests/smuggled.txt", "x"))
	r := f.rebuild(t, rebuild.Original{Image: altered(t, img, entries...)})
	if r.Same || r.SameContent || r.Passes() {
		t.Error("the change was not seen")
	}
	changes := map[string]string{}
	for _, file := range r.Parts[0].Files {
		changes[file.Name] = file.Change
		if file.Change == "changed" && (!strings.Contains(file.Diff, "-metadata: # altered\n+metadata:") || !strings.Contains(file.Diff, "--- payload/")) {
			t.Errorf("diff: %s", file.Diff)
		}
	}
	want := map[string]string{p.Manifests[0].Name: "changed", p.Manifests[1].Name: "added by the rebuild", "smuggled.txt": "missing from the rebuild"}
	if diff := cmp.Diff(want, changes); diff != "" {
		t.Error(diff)
	}
	if len(r.Parts[0].Headers) == 0 {
		t.Error("modes and times that differ are not shown")
	}
}

func raw(t *testing.T, p *release.Payload, name string) release.File {
	t.Helper()
	data, ok := p.File(name)
	if !ok {
		t.Fatal(name)
	}
	return release.File{Name: name, Data: data}
}

// A payload that names other images than its signed provenance is not what was built.
func TestProvenanceIsBelieved(t *testing.T) {
	f := newFixture(t)
	img := f.make(t, nil)
	if r := f.rebuild(t, rebuild.Original{Image: img, Components: f.set.References()}); !r.Same {
		t.Error(text(r))
	}
	signed := f.set.References()
	a, b := f.set.Components[2].Name, f.set.Components[3].Name
	signed[a] = signed[b]
	r := f.rebuild(t, rebuild.Original{Image: img, Components: signed})
	if r.Passes() || !strings.Contains(text(r), "in its provenance") || !strings.Contains(text(r), "image-references: changed") {
		t.Error(text(r))
	}
	p, err := rebuild.ParseProvenance([]byte(`{"buildDefinition":{"internalParameters":{"components":{"a":"b"},"lock":{"kind":"Lock"}}}}`))
	if err != nil || p.Components["a"] != "b" || string(p.Lock) != `{"kind":"Lock"}` {
		t.Errorf("%+v, %v", p, err)
	}
	for _, bad := range []string{`{}`, `[`, `{"buildDefinition":{"internalParameters":{"components":[]}}}`} {
		if _, err := rebuild.ParseProvenance([]byte(bad)); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
}

func TestReportForPeople(t *testing.T) {
	r := &rebuild.Report{Payload: "sha256:a", Rebuilt: "sha256:b", Own: true, From: "its signed provenance", Parts: []rebuild.Part{{
		Notes:    []string{"component \"x\" is not in the provenance"},
		Files:    []rebuild.File{{Name: "a.yaml", Change: "changed", Diff: "--- payload/a.yaml\n+++ rebuilt/a.yaml\n@@ -1 +1 @@\n-a\n+b\n"}, {Name: "b.yaml", Change: "missing from the rebuild"}},
		Headers:  []rebuild.Difference{{What: "release-manifests/a.yaml", Payload: "-rw-r--r-- 0:0", Rebuilt: "-r--r--r-- 0:0"}},
		Layers:   []rebuild.Difference{{What: "base layer 1", Payload: "sha256:c", Rebuilt: "sha256:d"}},
		Config:   []rebuild.Difference{{What: "created", Payload: "1970", Rebuilt: "2026"}},
		Manifest: []rebuild.Difference{{What: "annotation a", Payload: "(nothing)", Rebuilt: "b"}},
	}}}
	path := filepath.Join("testdata", "report.txt")
	got := text(r)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error(diff)
	}
}
