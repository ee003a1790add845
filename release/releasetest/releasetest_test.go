package releasetest_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/ocitest"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/assemble"
	"github.com/slipway-release/slipway/release/releasetest"
)

const version = "4.15.0"

func registry(t *testing.T, address string) *oci.Registry {
	t.Helper()
	r, err := oci.NewRegistry(address, "")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSet(t *testing.T) {
	for name, test := range map[string]struct {
		options      releasetest.Options
		components   int
		operators    int
		repositories int
	}{
		"small":          {releasetest.Options{}, 12, 6, 12},
		"one repository": {releasetest.Options{OneRepository: true, Docker: true}, 12, 6, 1},
		"many manifests": {releasetest.Options{Components: 5, Operators: 1, Manifests: 20, LayerBytes: 100}, 5, 1, 5},
	} {
		t.Run(name, func(t *testing.T) {
			s := ocitest.Registry(t)
			address := s.Addr() + "/okd"
			set := releasetest.New(t, address, test.options)
			r := registry(t, address)
			repositories := map[string]bool{}
			operators := 0
			for _, c := range set.Components {
				repository, _, _ := strings.Cut(c.Reference, "@")
				repositories[repository] = true
				img, err := r.Image(t.Context(), c.Reference)
				if err == nil {
					err = validate.Image(img)
				}
				if err != nil {
					t.Fatalf("%s: %v", c.Name, err)
				}
				config, err := img.ConfigFile()
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(c.Labels, config.Config.Labels); diff != "" {
					t.Error(diff)
				}
				if c.Operator {
					operators++
					if len(c.Files) != set.Options.Manifests+1 || len(c.Layers) != 3 {
						t.Errorf("%s: %d files, %d layers", c.Name, len(c.Files), len(c.Layers))
					}
				}
				if size := set.Blobs[c.Layers[len(c.Layers)-1]]; size < set.Options.LayerBytes {
					t.Errorf("%s: its own layer has %d bytes", c.Name, size)
				}
			}
			if len(set.Components) != test.components || operators != test.operators || len(repositories) != test.repositories {
				t.Errorf("%d components, %d operators, %d repositories", len(set.Components), operators, len(repositories))
			}
			checkFiles(t, set)
		})
	}
}

// checkFiles parses what is written for other tools.
func checkFiles(t *testing.T, set *releasetest.Set) {
	t.Helper()
	references, err := release.ParseImageReferences(set.ImageStream())
	if err != nil {
		t.Error(err)
	}
	for _, tag := range references.Tags {
		if tag.Image != set.References()[tag.Name] {
			t.Errorf("image stream: %s is %s", tag.Name, tag.Image)
		}
	}
	if got := strings.Count(string(set.Mapping()), "="); len(references.Tags) != got || got != len(set.Components) {
		t.Errorf("%d tags, %d lines of mapping", len(references.Tags), got)
	}
}

// The same options must give the same digests, another seed others, and a
// second time must send no layer again.
func TestDeterministic(t *testing.T) {
	s := ocitest.Registry(t)
	address := s.Addr() + "/okd"
	first := releasetest.New(t, address, releasetest.Options{})
	s.Forget()
	if diff := cmp.Diff(first, releasetest.New(t, address, releasetest.Options{})); diff != "" {
		t.Error(diff)
	}
	if got := s.Total(ocitest.Match{Kind: ocitest.Upload}); got.Requests > 0 {
		t.Errorf("uploaded again: %+v", got)
	}
	other := releasetest.New(t, address, releasetest.Options{Seed: 1})
	if other.Components[0].Digest == first.Components[0].Digest {
		t.Error("the seed changes nothing")
	}
}

// The product itself must accept the set.
func TestAssembles(t *testing.T) {
	s := ocitest.Registry(t)
	address := s.Addr() + "/okd"
	set := releasetest.New(t, address, releasetest.Options{})
	r := registry(t, address)
	v, err := release.Parse("1.36.3-0.nightly-2026-11-20-101500")
	if err != nil {
		t.Fatal(err)
	}
	o := assemble.Options{Version: v, Base: releasetest.BaseName}
	for _, c := range set.Components {
		img, err := r.Image(t.Context(), c.Reference)
		if err != nil {
			t.Fatal(err)
		}
		o.Components = append(o.Components, assemble.Component{Name: c.Name, Image: img, Reference: c.Reference})
	}
	_, p, err := assemble.Assemble(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	// And it must put in place exactly what the payload written by hand has.
	want := set.Payload(v.String())
	if len(p.Manifests) != len(want.Manifests) {
		t.Errorf("%d manifests, want %d", len(p.Manifests), len(want.Manifests))
	}
	for _, f := range want.Manifests {
		got, _ := p.File(f.Name)
		if diff := cmp.Diff(string(f.Data), string(got)); diff != "" {
			t.Errorf("%s: %s", f.Name, diff)
		}
	}
}

func TestPayload(t *testing.T) {
	set := releasetest.New(t, ocitest.Registry(t).Addr()+"/okd", releasetest.Options{})
	for name, p := range map[string]releasetest.Payload{"small": releasetest.Small(version), "of a set": set.Payload(version)} {
		t.Run(name, func(t *testing.T) {
			img := p.Image(t)
			if err := validate.Image(img); err != nil {
				t.Fatal(err)
			}
			checkFormat(t, img)
			got, err := release.Load(t.Context(), img)
			if err != nil {
				t.Fatal(err)
			}
			if got.Version.String() != version || len(got.Components()) != len(p.Images) || len(got.Manifests) != len(p.Manifests) {
				t.Errorf("%s, %d components, %d manifests", got.Version, len(got.Components()), len(got.Manifests))
			}
			// Slipway writes the file as oc does, so the hand-written one must agree.
			data, err := got.References.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			was, _ := got.File("image-references")
			if diff := cmp.Diff(string(data), string(was)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// checkFormat compares with part 1.1 of what is known of oc.
func checkFormat(t *testing.T, img v1.Image) {
	t.Helper()
	manifest, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range manifest.Layers {
		if l.MediaType != types.DockerLayer {
			t.Errorf("a layer is %s", l.MediaType)
		}
	}
	if manifest.MediaType != types.DockerManifestSchema2 || manifest.Config.MediaType != types.DockerConfigJSON {
		t.Errorf("%s, %s", manifest.MediaType, manifest.Config.MediaType)
	}
	if len(config.Config.Labels) != 2 || config.Config.Labels["io.openshift.release"] != version {
		t.Errorf("labels %v", config.Config.Labels)
	}
	if last := config.History[len(config.History)-1]; last.Comment != "Release image for OpenShift" || len(config.History) != len(manifest.Layers) {
		t.Errorf("history %+v", config.History)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	rc, err := layers[len(layers)-1].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	var begin []string
	tr := tar.NewReader(rc)
	for {
		header, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		begin = append(begin, header.FileInfo().Mode().String()+" "+header.Name)
	}
	want := []string{"drwxrwxrwx release-manifests", "-r--r--r-- release-manifests/image-references", "-r--r--r-- release-manifests/release-metadata"}
	if diff := cmp.Diff(want, begin[:3]); diff != "" {
		t.Error(diff)
	}
}

func TestIndex(t *testing.T) {
	index := releasetest.Small(version).Index(t, "amd64", "arm64")
	if err := validate.Index(index); err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if manifest.MediaType != types.DockerManifestList || len(manifest.Manifests) != 2 {
		t.Errorf("%+v", manifest)
	}
	for i, want := range []string{"amd64", "arm64"} {
		img, err := index.Image(manifest.Manifests[i].Digest)
		if err != nil {
			t.Fatal(err)
		}
		config, err := img.ConfigFile()
		if err != nil || config.Architecture != want || manifest.Manifests[i].Platform.Architecture != want {
			t.Errorf("%v %v", config, err)
		}
		p, err := release.Load(t.Context(), img)
		if err != nil || p.Metadata.Values["release.openshift.io/architecture"] != "multi" {
			t.Errorf("%+v %v", p, err)
		}
	}
}

// Every way to break a payload must break it.
func TestBroken(t *testing.T) {
	small := func(change func(*releasetest.Payload)) releasetest.Payload {
		p := releasetest.Small(version)
		change(&p)
		return p
	}
	broken := map[string]releasetest.Payload{
		"no metadata":   small(func(p *releasetest.Payload) { p.Without = []string{"release-metadata"} }),
		"no references": small(func(p *releasetest.Payload) { p.Without = []string{"image-references"} }),
		"another name":  small(func(p *releasetest.Payload) { p.Name = "4.15.1" }),
	}
	for name, entries := range releasetest.Hostile() {
		broken[name] = small(func(p *releasetest.Payload) { p.Entries = entries })
	}
	for name, p := range broken {
		t.Run(name, func(t *testing.T) {
			loaded, err := release.Load(t.Context(), p.Image(t))
			if err == nil {
				t.Errorf("it was loaded: %d manifests", len(loaded.Manifests))
			}
		})
	}
}

// JSON that is written must be what others read.
func TestFiles(t *testing.T) {
	for _, f := range releasetest.Small(version).Files()[:2] {
		if !json.Valid(f.Data) || bytes.HasSuffix(f.Data, []byte("\n")) {
			t.Errorf("%s: %s", f.Name, f.Data)
		}
	}
}
