package inspect_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/ocitest"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/inspect"
	"github.com/slipway-release/slipway/release/inspect/forge"
	"github.com/slipway-release/slipway/release/releasetest"
)

var update = flag.Bool("update", false, "write what the golden files should hold")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// canonical is the name under which tests store payloads, so that no port gets
// into a digest.
const canonical = "registry.example.com/okd"

// world is a registry with a set of components and a payload of them in the format
// that oc writes.
type world struct {
	server   *ocitest.Server
	registry *oci.Registry
	set      *releasetest.Set
	payload  releasetest.Payload
}

func newWorld(t *testing.T, o releasetest.Options) *world {
	t.Helper()
	w := &world{server: ocitest.Registry(t)}
	address := w.server.Addr() + "/okd"
	w.set = releasetest.New(t, address, o)
	var err error
	if w.registry, err = oci.NewRegistry(canonical, address, oci.WithPatience(2, time.Millisecond, time.Millisecond, time.Minute)); err != nil {
		t.Fatal(err)
	}
	w.payload = w.set.Payload("4.15.0")
	w.payload.Previous = []string{"4.14.11", "4.14.2", "4.14.9"}
	w.payload.Metadata = map[string]string{"url": "https://example.com/advisory/1"}
	for name, ref := range w.payload.Images {
		w.payload.Images[name] = strings.Replace(ref, address, canonical, 1)
	}
	for i, f := range w.payload.Manifests {
		w.payload.Manifests[i].Data = bytes.ReplaceAll(f.Data, []byte(address), []byte(canonical))
	}
	sources := []string{"https://github.com/okd/%s", "https://gitlab.com/okd/%s.git", "git@codeberg.org:okd/%s.git", "https://git.example.com/okd/%s"}
	n := 0
	for _, c := range w.set.Components {
		labels := w.payload.Labels[c.Name]
		labels[release.LabelSource] = strings.Replace(sources[n%4], "%s", c.Name, 1)
		labels[release.LabelCommit] = strings.Repeat(string("0123456789abcdef"[n%16]), 40)
		n++
	}
	w.payload.Manifests = append(w.payload.Manifests, releasetest.File{Name: "readme.md", Data: []byte("not a manifest\n")})
	return w
}

// open pushes the payload and reads it as a command does.
func (w *world) open(t *testing.T) inspect.Subject {
	t.Helper()
	digest, err := w.registry.Push(t.Context(), canonical+"/release:4.15.0", w.payload.Image(t))
	if err != nil {
		t.Fatal(err)
	}
	return w.read(t, canonical+"/release@"+digest.String(), v1.Hash{})
}

func (w *world) read(t *testing.T, ref string, list v1.Hash) inspect.Subject {
	t.Helper()
	img, err := w.registry.Image(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	p, err := release.Load(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	return inspect.Subject{Named: "4.15.0", Reference: ref, List: list, Image: img, Payload: p}
}

func describe(t *testing.T, s inspect.Subject) *inspect.Info {
	t.Helper()
	hosts, err := forge.ParseHosts([]string{"git.example.com=gitea"})
	if err != nil {
		t.Fatal(err)
	}
	info, err := inspect.Describe(s, hosts)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

var now = time.Date(2026, 11, 22, 10, 15, 0, 0, time.UTC)

func text(t *testing.T, info *inspect.Info, column inspect.Column) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := info.WriteText(&b, column, now); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestText(t *testing.T) {
	w := newWorld(t, releasetest.Options{})
	w.payload.Labels[w.set.Components[0].Name][release.LabelVersionDisplayNames] = "kubernetes=Kubernetes"
	w.payload.Labels[w.set.Components[0].Name][release.LabelVersions] = "kubernetes=1.36.3,machine-os=412.86.1"
	w.payload.Labels[w.set.Components[1].Name][release.LabelVersions] = "kubernetes=1.36.4"
	info := describe(t, w.open(t))
	if err := inspect.ReadImages(t.Context(), w.registry, info, 4, func() {}); err != nil {
		t.Fatal(err)
	}
	info.AddSizes()
	for name, column := range map[string]inspect.Column{
		"digests": inspect.ColumnDigest, "commits": inspect.ColumnCommit, "commit-urls": inspect.ColumnCommitURL,
		"pullspecs": inspect.ColumnPullSpec, "size": inspect.ColumnSize,
	} {
		t.Run(name, func(t *testing.T) { golden(t, "text/"+name+".txt", text(t, info, column)) })
	}
}

// Scripts written for oc find their keys, with values of the same shapes.
func TestKeysOfOC(t *testing.T) {
	w := newWorld(t, releasetest.Options{Components: 3, Operators: 1, Manifests: 1, LayerBytes: 100})
	info := describe(t, w.open(t))
	if err := inspect.ReadImages(t.Context(), w.registry, info, 4, func() {}); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(info)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Image, Digest, ContentDigest, ListDigest string
		Config                                   struct{ Architecture, Created string }
		Metadata                                 struct {
			Kind, Version string
			Previous      []string
			Metadata      map[string]string
		}
		References struct {
			Kind string
			Spec struct {
				Tags []struct {
					Name string
					From struct{ Kind, Name string }
				}
			}
		}
		DisplayVersions map[string]struct{ Version, DisplayName string }
		Images          map[string]struct {
			Name, Digest, ListDigest, MediaType string
			Layers                              []struct{ Digest string }
			Config                              struct{ Architecture string }
		}
	}
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(data, &keys); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"image", "digest", "contentDigest", "listDigest", "config", "metadata", "references", "versions", "displayVersions", "versionsTags", "images", "warnings"} {
		if _, ok := keys[key]; !ok {
			t.Errorf("key %q is missing", key)
		}
	}
	component := w.set.Components[0]
	switch img := got.Images[component.Name]; {
	case got.Image != "4.15.0" || got.Digest != info.Digest || got.ListDigest != "":
		t.Errorf("image %q, digest %q, listDigest %q", got.Image, got.Digest, got.ListDigest)
	case got.Config.Architecture != "amd64" || got.Metadata.Kind != "cincinnati-metadata-v0" || len(got.Metadata.Previous) != 3:
		t.Errorf("config %+v, metadata %+v", got.Config, got.Metadata)
	case len(got.References.Spec.Tags) != 3 || got.References.Spec.Tags[0].From.Name != info.Components[0].PullSpec:
		t.Errorf("references %+v", got.References)
	case got.DisplayVersions["kubernetes"].Version != releasetest.Version:
		t.Errorf("displayVersions %+v", got.DisplayVersions)
	case img.Digest != component.Digest.String() || len(img.Layers) != len(component.Layers) || img.Config.Architecture != "amd64":
		t.Errorf("images[%q] = %+v", component.Name, img)
	}
}

func TestMultiArchitecture(t *testing.T) {
	w := newWorld(t, releasetest.Options{Components: 3, Operators: 1, Manifests: 1, LayerBytes: 100})
	digest, err := w.registry.PushIndex(t.Context(), canonical+"/release:4.15.0", w.payload.Index(t, "amd64", "arm64"))
	if err != nil {
		t.Fatal(err)
	}
	info := describe(t, w.read(t, canonical+"/release@"+digest.String(), digest))
	if info.OSArch() != "multi (linux/amd64)" || info.Identity() != digest.String() || info.Digest == digest.String() {
		t.Errorf("OS/Arch %q, identity %s, digest %s", info.OSArch(), info.Identity(), info.Digest)
	}
	if got := string(text(t, info, inspect.ColumnDigest)); !strings.Contains(got, "Pull From: "+canonical+"/release@"+digest.String()) {
		t.Errorf("the index is not what is to be pulled:\n%s", got)
	}
	other, err := oci.NewRegistry(canonical, w.server.Addr()+"/okd", oci.WithPlatform(v1.Platform{OS: "linux", Architecture: "arm64"}))
	if err != nil {
		t.Fatal(err)
	}
	w.registry = other
	arm := describe(t, w.read(t, canonical+"/release@"+digest.String(), digest))
	if arm.Platform != "linux/arm64" || arm.Digest == info.Digest || arm.ListDigest != info.ListDigest {
		t.Errorf("arm64: platform %q, digest %s, list %s", arm.Platform, arm.Digest, arm.ListDigest)
	}
	found, err := inspect.Verify(t.Context(), w.registry, w.read(t, canonical+"/release@"+digest.String(), digest), inspect.VerifyOptions{Layers: true, Jobs: 4})
	if err != nil || found.Indexes != 1 || found.Images != 5 {
		t.Errorf("verified %+v, error %v; want 1 index and 2 + 3 images", found, err)
	}
}

func TestSizesCountSharedLayersOnce(t *testing.T) {
	w := newWorld(t, releasetest.Options{})
	// Two components of one image.
	w.payload.Images["twin"] = w.payload.Images[w.set.Components[3].Name]
	info := describe(t, w.open(t))
	if err := inspect.ReadImages(t.Context(), w.registry, info, 4, func() {}); err != nil {
		t.Fatal(err)
	}
	info.AddSizes()
	// Blobs of the set are its layers and its configurations.
	var want int64
	layers := map[v1.Hash]bool{}
	for _, c := range w.set.Components {
		for _, l := range c.Layers {
			if !layers[l] {
				layers[l] = true
				want += w.set.Blobs[l]
			}
		}
	}
	if info.Sizes.Total != want || info.Sizes.Layers != len(layers) {
		t.Errorf("total %d of %d layers, want %d of %d", info.Sizes.Total, info.Sizes.Layers, want, len(layers))
	}
	at := slices.IndexFunc(info.Sizes.Images, func(s inspect.ImageSize) bool { return s.Name == "twin" })
	if twin := info.Sizes.Images[at]; twin.SameAs != w.set.Components[3].Name || twin.Unique == 0 {
		t.Errorf("twin: %+v", twin)
	}
	for _, s := range info.Sizes.Images {
		if s.Unique > s.Bytes || s.Bytes == 0 || s.Base == "" {
			t.Errorf("%+v", s)
		}
	}
}

// A component that is not there is told, and the others are shown.
func TestMissingImage(t *testing.T) {
	w := newWorld(t, releasetest.Options{})
	gone := w.set.Components[2]
	if err := w.registry.Delete(t.Context(), w.payload.Images[gone.Name]); err != nil {
		t.Fatal(err)
	}
	info := describe(t, w.open(t))
	if err := inspect.ReadImages(t.Context(), w.registry, info, 4, func() {}); err != nil {
		t.Fatal(err)
	}
	if len(info.Images) != len(w.set.Components)-1 || len(info.Warnings) != 1 || !strings.Contains(info.Warnings[0], gone.Name) {
		t.Errorf("%d images, warnings %q", len(info.Images), info.Warnings)
	}
}

func TestVerify(t *testing.T) {
	t.Run("good", func(t *testing.T) {
		w := newWorld(t, releasetest.Options{})
		s := w.open(t)
		w.server.Forget()
		found, err := inspect.Verify(t.Context(), w.registry, s, inspect.VerifyOptions{Jobs: 4})
		if err != nil || found.Images != 13 || found.Layers != 0 {
			t.Fatalf("%+v, %v", found, err)
		}
		layers := map[v1.Hash]bool{}
		for _, c := range w.set.Components {
			for _, l := range c.Layers {
				layers[l] = true
			}
		}
		found, err = inspect.Verify(t.Context(), w.registry, s, inspect.VerifyOptions{Jobs: 4, Layers: true})
		// The payload has its base and its own.
		if err != nil || found.Layers < len(layers)+1 || found.Bytes == 0 {
			t.Fatalf("%+v, %v; the components have %d layers", found, err, len(layers))
		}
	})
	t.Run("all that is wrong", func(t *testing.T) {
		w := newWorld(t, releasetest.Options{})
		s := w.open(t)
		missing, altered := w.set.Components[1], w.set.Components[4]
		if err := w.registry.Delete(t.Context(), w.payload.Images[missing.Name]); err != nil {
			t.Fatal(err)
		}
		own := altered.Layers[len(altered.Layers)-1]
		w.server.Inject(ocitest.Fault{On: ocitest.Match{Method: "GET", Kind: ocitest.Blob, Path: own.Hex}, Do: ocitest.WrongBytes()})
		if _, err := inspect.Verify(t.Context(), w.registry, s, inspect.VerifyOptions{Jobs: 4}); !errors.Is(err, inspect.ErrDamaged) || strings.Contains(err.Error(), own.Hex) {
			t.Errorf("without layers: %v", err)
		}
		hollow := w.set.Components[6]
		w.server.Inject(ocitest.Fault{On: ocitest.Match{Method: "GET", Kind: ocitest.Blob, Path: hollow.Layers[len(hollow.Layers)-1].Hex}, Do: ocitest.Status(404)})
		_, err := inspect.Verify(t.Context(), w.registry, s, inspect.VerifyOptions{Jobs: 4, Layers: true})
		if !errors.Is(err, inspect.ErrDamaged) {
			t.Fatal(err)
		}
		for _, want := range []string{missing.Digest.String(), altered.Digest.String(), hollow.Digest.String()} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%v\nlacks %s", err, want)
			}
		}
	})
	t.Run("altered manifest", func(t *testing.T) {
		w := newWorld(t, releasetest.Options{})
		s := w.open(t)
		w.server.Inject(ocitest.Fault{On: ocitest.Match{Method: "GET", Kind: ocitest.Digest, Path: w.set.Components[0].Digest.Hex}, Do: ocitest.WrongBytes()})
		if _, err := inspect.Verify(t.Context(), w.registry, s, inspect.VerifyOptions{Jobs: 4}); !errors.Is(err, inspect.ErrDamaged) {
			t.Error(err)
		}
	})
	// A registry that does not answer says nothing about the release.
	t.Run("unreachable", func(t *testing.T) {
		w := newWorld(t, releasetest.Options{Components: 3, Operators: 1, LayerBytes: 100})
		s := w.open(t)
		w.server.Inject(ocitest.Fault{On: ocitest.Match{Kind: ocitest.Manifest}, Do: ocitest.Status(503)})
		if _, err := inspect.Verify(t.Context(), w.registry, s, inspect.VerifyOptions{Jobs: 4}); err == nil || errors.Is(err, inspect.ErrDamaged) {
			t.Error(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := inspect.Verify(ctx, w.registry, s, inspect.VerifyOptions{Jobs: 4}); err == nil || errors.Is(err, inspect.ErrDamaged) {
			t.Error(err)
		}
	})
}

// Only the layer with the manifests is downloaded, and nothing is asked twice.
func TestReadsLittle(t *testing.T) {
	w := newWorld(t, releasetest.Options{})
	s := w.open(t)
	w.server.Forget()
	describe(t, w.read(t, s.Reference, v1.Hash{}))
	blobs := w.server.Requests(ocitest.Match{Method: "GET", Kind: ocitest.Blob})
	if len(blobs) != 2 {
		t.Errorf("%d blobs were read, want the configuration and one layer: %v", len(blobs), blobs)
	}
	if all := w.server.Requests(ocitest.Match{}); len(all) > 4 {
		t.Errorf("%d requests: %v", len(all), all)
	}
}

// Labels are written by others, and end up on terminals.
func TestHostileLabels(t *testing.T) {
	w := newWorld(t, releasetest.Options{Components: 3, Operators: 1, LayerBytes: 100})
	labels := w.payload.Labels[w.set.Components[0].Name]
	labels[release.LabelSource] = "https://github.com/o/r\x1b[2J\nImages: none"
	w.payload.Metadata["url"] = "\x1b]0;title\x07"
	info := describe(t, w.open(t))
	for _, column := range []inspect.Column{inspect.ColumnCommit, inspect.ColumnCommitURL} {
		if got := text(t, info, column); bytes.ContainsAny(got, "\x1b\x07") || bytes.Contains(got, []byte("\nImages: none")) {
			t.Errorf("%q", got)
		}
	}
}

func TestContentsAreOneStream(t *testing.T) {
	w := newWorld(t, releasetest.Options{Components: 3, Operators: 2, Manifests: 3, LayerBytes: 100})
	s := w.open(t)
	var b bytes.Buffer
	if err := inspect.WriteContents(&b, s.Payload); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "not a manifest") {
		t.Error("a file that is no manifest is in the stream")
	}
	for _, f := range s.Payload.Manifests {
		if strings.HasSuffix(f.Name, ".yaml") && !bytes.Contains(b.Bytes(), append([]byte("---\n# "+f.Name+"\n"), f.Data...)) {
			t.Errorf("%s is not in the stream as it is", f.Name)
		}
	}
}

func BenchmarkDescribe(b *testing.B) {
	server := ocitest.Registry(b)
	set := releasetest.New(b, server.Addr()+"/okd", releasetest.Options{Components: 190, Operators: 90, Manifests: 12, LayerBytes: 1000})
	registry, err := oci.NewRegistry(server.Addr()+"/okd", "")
	if err != nil {
		b.Fatal(err)
	}
	digest, err := registry.Push(b.Context(), server.Addr()+"/okd/release:1", set.Payload("4.15.0").Image(b))
	if err != nil {
		b.Fatal(err)
	}
	ref := server.Addr() + "/okd/release@" + digest.String()
	for b.Loop() {
		// A new client each time, as in a process of its own.
		registry, err := oci.NewRegistry(server.Addr()+"/okd", "")
		if err != nil {
			b.Fatal(err)
		}
		img, err := registry.Image(b.Context(), ref)
		if err != nil {
			b.Fatal(err)
		}
		p, err := release.Load(b.Context(), img)
		if err != nil {
			b.Fatal(err)
		}
		info, err := inspect.Describe(inspect.Subject{Named: ref, Reference: ref, Image: img, Payload: p}, nil)
		if err != nil {
			b.Fatal(err)
		}
		var out bytes.Buffer
		if err := info.WriteText(&out, inspect.ColumnDigest, now); err != nil {
			b.Fatal(err)
		}
	}
}
