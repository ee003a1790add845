package deliver_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/ocitest"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/assemble"
	"github.com/slipway-release/slipway/release/assemble/deliver"
	"github.com/slipway-release/slipway/release/releasetest"
	"github.com/slipway-release/slipway/release/sign/openpgp"
)

var epoch = time.Date(2026, 11, 20, 10, 15, 0, 0, time.UTC)

func patient(t *testing.T, canonical, address string) *oci.Registry {
	t.Helper()
	r, err := oci.NewRegistry(canonical, address, oci.WithPatience(6, 30*time.Millisecond, 2*time.Second, time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// payload assembles a generated set whose components stay in the registry.
func payload(t *testing.T, s *ocitest.Server) *deliver.Payload {
	t.Helper()
	set := releasetest.New(t, s.Addr()+"/okd", releasetest.Options{Components: 4, Operators: 2, Manifests: 3})
	v, err := release.Parse("4.15.0")
	if err != nil {
		t.Fatal(err)
	}
	o := assemble.Options{Version: v, Base: releasetest.BaseName, Source: patient(t, s.Addr()+"/okd", "")}
	for _, c := range set.Components {
		o.Components = append(o.Components, assemble.Component{Name: c.Name, Reference: c.Reference})
	}
	made, err := assemble.Make(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return &deliver.Payload{Image: made.Image, Parts: []deliver.Part{{Platform: v1.Platform{OS: "linux", Architecture: "amd64"}, Image: made.Image, Payload: made.Payload}}}
}

// multi is a payload for two platforms.
func multi(t *testing.T) *deliver.Payload {
	t.Helper()
	p := &deliver.Payload{Index: releasetest.Small("4.15.0").Index(t, "amd64", "arm64")}
	manifest, err := p.Index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range manifest.Manifests {
		img, err := p.Index.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		loaded, err := release.Load(t.Context(), img)
		if err != nil {
			t.Fatal(err)
		}
		p.Parts = append(p.Parts, deliver.Part{Platform: *d.Platform, Image: img, Payload: loaded})
	}
	return p
}

func TestArchiveAndLayoutHoldTheWholePayload(t *testing.T) {
	s := ocitest.Registry(t)
	for name, p := range map[string]*deliver.Payload{"image": payload(t, s), "index": multi(t)} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			archive, layout := filepath.Join(dir, "p.tar"), filepath.Join(dir, "layout")
			if err := p.WriteArchive(t.Context(), archive, "4.15.0", epoch); err != nil {
				t.Fatal(err)
			}
			if err := p.WriteLayout(t.Context(), layout, "4.15.0"); err != nil {
				t.Fatal(err)
			}
			want, err := p.Digest()
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range []string{archive, layout} {
				l, err := oci.OpenLayout(path)
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				got, err := l.Resolve(t.Context(), "quay.io/any/release:4.15.0")
				if err != nil || got != want {
					t.Errorf("%s: %s, %v, want %s", path, got, err, want)
				}
				img, err := l.Image(t.Context(), "4.15.0")
				if err != nil {
					t.Fatal(err)
				}
				if err := validate.Image(img); err != nil {
					t.Errorf("%s: %v", path, err)
				}
				if _, err := release.Load(t.Context(), img); err != nil {
					t.Errorf("%s: %v", path, err)
				}
			}
			first, err := os.ReadFile(archive)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.WriteArchive(t.Context(), archive, "4.15.0", epoch); err != nil {
				t.Fatal(err)
			}
			if second, _ := os.ReadFile(archive); !bytes.Equal(first, second) {
				t.Error("the same payload gives another archive")
			}
		})
	}
}

// Whatever goes wrong while an archive is written, nothing stands under its name.
func TestUnfinishedFilesAreNotSeen(t *testing.T) {
	s := ocitest.Registry(t)
	p := payload(t, s)
	s.Inject(ocitest.Fault{On: ocitest.Match{Kind: ocitest.Blob}, Do: ocitest.WrongBytes()})
	dir := t.TempDir()
	if err := p.WriteArchive(t.Context(), filepath.Join(dir, "p.tar"), "4.15.0", epoch); err == nil {
		t.Error("wrong bytes were written")
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestPushUnderFaults(t *testing.T) {
	root := t.TempDir()
	sound := ocitest.Serve(t, root)
	p := payload(t, sound)
	uploads := ocitest.Match{Method: ocitest.Writes, Kind: ocitest.Upload}
	for name, tc := range map[string]struct {
		fault ocitest.Fault
		fails bool
	}{
		"429":             {fault: ocitest.Fault{Times: 2, Do: ocitest.RetryAfter(429, 1)}},
		"cut uploads":     {fault: ocitest.Fault{On: uploads, Times: 2, Do: ocitest.CutUpload(100)}},
		"500 for a while": {fault: ocitest.Fault{On: ocitest.Match{Method: ocitest.Writes}, Each: true, Times: 1, Do: ocitest.Status(500)}},
		"expired tokens":  {fault: ocitest.Fault{Do: ocitest.Expire(4)}},
		"refused":         {fault: ocitest.Fault{Skip: 3, Times: 1, Do: ocitest.Refuse(10 * time.Millisecond)}},
		"no uploads":      {fault: ocitest.Fault{On: uploads, Do: ocitest.Status(500)}, fails: true},
		"forbidden":       {fault: ocitest.Fault{On: ocitest.Match{Method: "PUT", Kind: ocitest.Manifest}, Do: ocitest.Status(403)}, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			repository := "out-" + strings.ReplaceAll(name, " ", "-")
			s := ocitest.Serve(t, root, tc.fault)
			err := p.Push(t.Context(), patient(t, s.Addr()+"/okd", ""), s.Addr()+"/"+repository+"/release:4.15.0")
			if tc.fails != (err != nil) {
				t.Fatalf("got %v", err)
			}
			healthy := patient(t, sound.Addr()+"/okd", "")
			tags, err := healthy.Tags(t.Context(), sound.Addr()+"/"+repository+"/release")
			if err != nil {
				t.Fatal(err)
			}
			if tc.fails {
				if len(tags) > 0 {
					t.Errorf("tags %v on an incomplete payload", tags)
				}
				return
			}
			img, err := healthy.Image(t.Context(), sound.Addr()+"/"+repository+"/release:4.15.0")
			if err != nil {
				t.Fatal(err)
			}
			if err := validate.Image(img); err != nil || !slices.Equal(tags, []string{"4.15.0"}) {
				t.Errorf("tags %v, %v", tags, err)
			}
		})
	}
}

func TestDirectory(t *testing.T) {
	s := ocitest.Registry(t)
	p := payload(t, s)
	dir := filepath.Join(t.TempDir(), "a", "out")
	for range 2 { // the second takes the place of the first
		if err := p.WriteDirectory(dir); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var files []release.File
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, release.File{Name: e.Name(), Data: data})
	}
	read, err := release.FromFiles(files)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p.Parts[0].Payload.Manifests, read.Manifests); diff != "" {
		t.Error(diff)
	}
	if left, _ := os.ReadDir(filepath.Dir(dir)); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
	precious := t.TempDir()
	if err := os.WriteFile(filepath.Join(precious, "thesis.tex"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := p.WriteDirectory(precious); err == nil {
		t.Error("somebody's files were replaced")
	}
	if _, err := os.Stat(filepath.Join(precious, "thesis.tex")); err != nil {
		t.Error(err)
	}
	both := filepath.Join(t.TempDir(), "multi")
	if err := multi(t).WriteDirectory(both); err != nil {
		t.Fatal(err)
	}
	for _, platform := range []string{"linux-amd64", "linux-arm64"} {
		if _, err := os.Stat(filepath.Join(both, platform, release.MetadataFile)); err != nil {
			t.Error(err)
		}
	}
}

func TestBareLayer(t *testing.T) {
	s := ocitest.Registry(t)
	p := payload(t, s)
	path := filepath.Join(t.TempDir(), "layer.tgz")
	var out bytes.Buffer
	for _, to := range []string{path, "-"} {
		if err := p.WriteLayer(to, &out); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(data, out.Bytes()) {
		t.Errorf("the file has %d bytes, standard output %d, %v", len(data), out.Len(), err)
	}
	layers, err := p.Image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	want, err := layers[len(layers)-1].Digest()
	if err != nil {
		t.Fatal(err)
	}
	if got, _, err := v1.SHA256(bytes.NewReader(data)); err != nil || got != want {
		t.Errorf("digest %s, %v", got, err)
	}
	if err := multi(t).WriteLayer(path, nil); err == nil || !strings.Contains(err.Error(), "2 platforms") {
		t.Errorf("got %v", err)
	}
}

func TestClaim(t *testing.T) {
	s := ocitest.Registry(t)
	p := payload(t, s)
	path := filepath.Join(t.TempDir(), "claim.json")
	if err := p.WriteClaim(path, "quay.io/me/release", epoch); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := p.Digest()
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"critical":{"type":"atomic container signature","image":{"docker-manifest-digest":"DIGEST"},"identity":{"docker-reference":"quay.io/me/release:4.15.0"}},"optional":{"creator":"slipway (stream=; architecture=amd64)","timestamp":1795169700}}`
	if diff := cmp.Diff(strings.Replace(want, "DIGEST", digest.String(), 1), string(data)); diff != "" {
		t.Error(diff)
	}
	claim, err := openpgp.ParseClaim(data)
	if err != nil || claim.Digest != digest {
		t.Errorf("%+v, %v", claim, err)
	}
}
