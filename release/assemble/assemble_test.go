package assemble_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	. "github.com/slipway-release/slipway/internal/layer/layertest"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/assemble"
	"github.com/slipway-release/slipway/release/manifests"
)

const repository = "registry.example/skiff"

func component(t testing.TB, name string, labels map[string]string, layers ...v1.Layer) assemble.Component {
	t.Helper()
	img := Image(t, labels, layers...)
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return assemble.Component{Name: name, Image: img, Reference: repository + "/" + name + "@" + digest.String()}
}

func operator(more ...string) map[string]string {
	labels := map[string]string{
		release.LabelOperator: "true", release.LabelCommit: "abc123", release.LabelSource: "https://example.com/src",
		"other": "label",
	}
	for i := 0; i < len(more); i += 2 {
		labels[more[i]] = more[i+1]
	}
	return labels
}

func version(t testing.TB, s string) release.Version {
	t.Helper()
	v, err := release.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

const deployment = `# Kept: registry.example/skiff/etcd
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: kube-system
  annotations: {kubernetes: 0.0.1-snapshot-kubernetes, release: 0.0.1-snapshot}
spec:
  template:
    spec:
      containers:
      - {name: etcd, image: registry.example/skiff/etcd}
      - {name: web, image: quay.io/upstream/web:dev, args: [--proxy=registry.example/skiff/proxy:1]}
`

const webSources = `kind: ImageStream
apiVersion: image.openshift.io/v1
spec:
  tags:
  - name: web
    from: {kind: DockerImage, name: "quay.io/upstream/web:latest"}
`

func namespace(name string) string {
	return "apiVersion: v1\nkind: Namespace\nmetadata: {name: " + name + "}\n"
}

func options(t testing.TB) assemble.Options {
	shared := Layer(t, File("usr/bin/sh", "#!"))
	return assemble.Options{
		Version:    version(t, "1.36.3-0.nightly-2026-11-20-101500"),
		Repository: repository,
		Base:       "slipway",
		Previous:   []release.Version{version(t, "1.36.3-0.nightly-2026-11-19-101500"), version(t, "1.36.3-0.nightly-2026-11-18-101500")},
		Metadata:   map[string]string{"slipway.dev/lock": "sha256:abc"},
		Components: []assemble.Component{
			component(t, "slipway", map[string]string{"base": "label"}, Layer(t, File("usr/bin/slipway", "ELF"))),
			component(t, "proxy", nil, shared, Layer(t, File("proxy", "x"))),
			component(t, "etcd", map[string]string{release.LabelVersions: "kubernetes=1.36.3"}, shared),
			component(t, "web", operator(), shared,
				Layer(t, Dir("manifests/"), File("manifests/10.yaml", namespace("old")), File("manifests/deployment.yaml", deployment), File("manifests/image-references", webSources)),
				Layer(t, File("manifests/.wh.10.yaml", ""), File("manifests/0000_10_web_ns.yaml", namespace("new")), File("manifests/notes.txt", "registry.example/skiff/etcd"))),
		},
	}
}

func TestAssemble(t *testing.T) {
	o := options(t)
	img, p, err := assemble.Assemble(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if p.Reference != repository+"/release@"+p.Digest.String() {
		t.Errorf("reference %q", p.Reference)
	}
	checkLayer(t, img)
	checkConfig(t, img, o)
	checkManifest(t, img, types.OCIManifestSchema1, types.OCIConfigJSON, types.OCILayer)

	etcd, _ := p.Image("etcd")
	web, _ := p.Image("web")
	proxy, _ := p.Image("proxy")
	want := strings.NewReplacer(
		"image: registry.example/skiff/etcd", "image: "+etcd, "quay.io/upstream/web:dev", web, "registry.example/skiff/proxy:1", proxy,
		"0.0.1-snapshot-kubernetes", "1.36.3", "0.0.1-snapshot", "1.36.3-0.nightly-2026-11-20-101500").Replace(deployment)
	got, _ := p.File("0000_50_web_deployment.yaml")
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
	if notes, _ := p.File("0000_50_web_notes.txt"); string(notes) != "registry.example/skiff/etcd" {
		t.Errorf("a file that is no manifest was changed: %q", notes)
	}
	if got := p.Metadata.Previous[0].String(); got != "1.36.3-0.nightly-2026-11-18-101500" || p.Metadata.Values["slipway.dev/lock"] != "sha256:abc" {
		t.Errorf("metadata: %+v", p.Metadata)
	}
	for _, tag := range p.References.Tags {
		if tag.Name == "web" {
			if diff := cmp.Diff(map[string]string{release.LabelCommit: "abc123", release.LabelSource: "https://example.com/src"}, tag.Annotations); diff != "" {
				t.Error(diff)
			}
		}
	}
	if v, err := p.KubernetesVersion(); err != nil || v != "1.36.3" {
		t.Errorf("kubernetes %q, %v", v, err)
	}
}

// checkLayer reads the last layer with the standard library, as any other reader would.
func checkLayer(t *testing.T, img v1.Image) {
	t.Helper()
	layers, err := img.Layers()
	if err != nil || len(layers) != 2 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	rc, err := layers[1].Compressed()
	if err != nil {
		t.Fatal(err)
	}
	zr, err := gzip.NewReader(rc)
	if err != nil {
		t.Fatal(err)
	}
	if zr.Name != "" || !zr.ModTime.IsZero() && zr.ModTime.Unix() != 0 {
		t.Errorf("the gzip header tells %q and %v", zr.Name, zr.ModTime)
	}
	var got []string
	epoch := time.Date(2026, 11, 20, 10, 15, 0, 0, time.UTC)
	for tr := tar.NewReader(zr); ; {
		hdr, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, hdr.FileInfo().Mode().String()+" "+hdr.Name)
		if hdr.Uid != 0 || hdr.Gid != 0 || hdr.Uname != "" || !hdr.ModTime.Equal(epoch) {
			t.Errorf("%s: owner %d:%d, time %s", hdr.Name, hdr.Uid, hdr.Gid, hdr.ModTime)
		}
	}
	want := []string{
		"drwxrwxrwx release-manifests",
		"-r--r--r-- release-manifests/image-references",
		"-r--r--r-- release-manifests/release-metadata",
		"-r--r--r-- release-manifests/0000_10_web_ns.yaml",
		"-r--r--r-- release-manifests/0000_50_web_deployment.yaml",
		"-r--r--r-- release-manifests/0000_50_web_notes.txt",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func checkConfig(t *testing.T, img v1.Image, o assemble.Options) {
	t.Helper()
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	_, baseDigest, _ := strings.Cut(o.Components[0].Reference, "@")
	labels := map[string]string{release.LabelRelease: o.Version.String(), release.LabelBaseDigest: baseDigest}
	if diff := cmp.Diff(labels, config.Config.Labels); diff != "" {
		t.Error(diff)
	}
	if len(config.History) != 2 || len(config.RootFS.DiffIDs) != 2 || config.History[1].Comment == "" {
		t.Errorf("history %+v, layers %v", config.History, config.RootFS.DiffIDs)
	}
	if strings.Join(config.Config.Entrypoint, " ") != "/usr/bin/slipway" || config.Config.Env[0] != "A=b" || config.OS != "linux" {
		t.Errorf("the base's configuration is lost: %+v", config.Config)
	}
	if got := config.Created.Format(time.RFC3339); got != "2026-11-20T10:15:00Z" {
		t.Errorf("created %s", got)
	}
}

func checkManifest(t *testing.T, img v1.Image, manifest, config, layer types.MediaType) {
	t.Helper()
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if m.MediaType != manifest || m.Config.MediaType != config {
		t.Errorf("media types %s, %s", m.MediaType, m.Config.MediaType)
	}
	for _, l := range m.Layers {
		if l.MediaType != layer {
			t.Errorf("layer of %s", l.MediaType)
		}
	}
	if m.Annotations["org.opencontainers.image.version"] == "" {
		t.Errorf("annotations: %v", m.Annotations)
	}
}

func TestDockerMediaTypes(t *testing.T) {
	o := options(t)
	o.Docker = true
	img, _, err := assemble.Assemble(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	checkManifest(t, img, types.DockerManifestSchema2, types.DockerConfigJSON, types.DockerLayer)
}

func TestSameInputsSameDigest(t *testing.T) {
	digest := func(change func(*assemble.Options)) v1.Hash {
		o := options(t)
		if change != nil {
			change(&o)
		}
		_, p, err := assemble.Assemble(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		return p.Digest
	}
	first := digest(nil)
	same := map[string]func(*assemble.Options){
		"again":                       nil,
		"components in another order": func(o *assemble.Options) { o.Components[0], o.Components[3] = o.Components[3], o.Components[0] },
		"previous in another order":   func(o *assemble.Options) { o.Previous[0], o.Previous[1] = o.Previous[1], o.Previous[0] },
		"one at a time":               func(o *assemble.Options) { o.Jobs = 1 },
		"another clock's zone":        func(o *assemble.Options) { o.Epoch = time.Date(2026, 11, 20, 11, 15, 0, 5, time.FixedZone("", 3600)) },
	}
	for name, change := range same {
		if got := digest(change); got != first {
			t.Errorf("%s: %s, not %s", name, got, first)
		}
	}
	different := map[string]func(*assemble.Options){
		"version":  func(o *assemble.Options) { o.Version = version(t, "1.36.3-0.nightly-2026-11-20-101501") },
		"metadata": func(o *assemble.Options) { o.Metadata = nil },
		"previous": func(o *assemble.Options) { o.Previous = nil },
		"epoch":    func(o *assemble.Options) { o.Epoch = time.Unix(0, 0) },
		"base":     func(o *assemble.Options) { o.Base = "etcd" },
	}
	for name, change := range different {
		if got := digest(change); got == first {
			t.Errorf("another %s gives the same digest", name)
		}
	}
}

// Whoever changes this has changed the compressor or the format, and with it the
// digest of every payload that is rebuilt.
func TestDigestIsPinned(t *testing.T) {
	_, p, err := assemble.Assemble(t.Context(), assemble.Options{
		Version: version(t, "1.36.3-0.nightly-2026-11-20-101500"), Repository: repository, Base: "slipway",
		Components: []assemble.Component{
			component(t, "slipway", operator(), Plain(t, File("manifests/ns.yaml", namespace("a")))),
			component(t, "etcd", nil, Plain(t, File("etcd", "x"))),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	const pinned = "sha256:01cc9f1d40aa664fb172e84b420a803ee3fbf76352c25e478c13dcefd9819cc4"
	if p.Digest.String() != pinned {
		t.Errorf("the payload's digest is %s, it was %s", p.Digest, pinned)
	}
}

func TestAssembleReportsEverything(t *testing.T) {
	o := options(t)
	manifest := func(name, data string) v1.Layer { return Layer(t, File("manifests/"+name, data)) }
	o.Components = append(o.Components,
		component(t, "empty", operator()),
		component(t, "linked", operator(), Layer(t, Link("manifests/a.yaml", "/etc/passwd"))),
		component(t, "climbing", operator(), Layer(t, File("manifests/../../a.yaml", ""))),
		component(t, "versions", operator(release.LabelVersions, "kubernetes=new"), manifest("a.yaml", namespace("v"))),
		component(t, "sources", operator(), Layer(t, File("manifests/a.yaml", namespace("s")), File("manifests/image-references", "kind: Pod"))),
	)
	_, _, err := assemble.Assemble(t.Context(), o)
	for _, want := range []string{
		`assembling release "1.36.3-0.nightly-2026-11-20-101500"`,
		`reading component "empty": label io.openshift.release.operator says that it brings manifests, but /manifests holds none`,
		`reading component "linked"`, `reading component "climbing"`, `reading component "versions"`, `reading component "sources"`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got\n%v\nwant %q", err, want)
		}
	}
}

func TestAssembleReportsManifests(t *testing.T) {
	unlisted := strings.Replace(webSources, "name: web", "name: nowhere", 1)
	for name, tc := range map[string]struct {
		files []Entry
		want  []string
	}{
		"substitution": {
			files: []Entry{File("manifests/a.yaml", "a: registry.example/skiff/nothing\nb: 0.0.1-snapshot-nothing\n"), File("manifests/b.yaml", "a: [\n"), File("manifests/image-references", unlisted)},
			want:  []string{"extra/a.yaml:1: image", "extra/a.yaml:2: 0.0.1-snapshot-nothing", "extra/b.yaml:1: reading YAML", `extra/image-references: component "nowhere" is not in the payload`},
		},
		"foreign images": {
			files: []Entry{File("manifests/pod.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: b}\nspec:\n  containers:\n  - {name: c, image: docker.io/library/nginx}\n")},
			want:  []string{`extra/pod.yaml:6: Pod b/a: image "docker.io/library/nginx" of container "c" is not pinned by digest`},
		},
		"duplicate objects": {
			files: []Entry{File("manifests/ns.yaml", namespace("new"))},
			want:  []string{"extra/ns.yaml:1: Namespace new stands in 0000_10_web_ns.yaml:1 as well"},
		},
		"clashing files": {
			files: []Entry{File("manifests/0000_10_web_ns.yaml", namespace("other"))},
			want:  []string{`web/0000_10_web_ns.yaml: extra/0000_10_web_ns.yaml has the same name in the payload`},
		},
		"names": {
			files: []Entry{File("manifests/0000_1_a.yaml", namespace("one")), File("manifests/release-metadata", "x")},
			want:  []string{`extra/0000_1_a.yaml: in the payload the file would be called "0000_1_a.yaml"`},
		},
		"one source for two": {
			files: []Entry{File("manifests/a.yaml", namespace("a")), File("manifests/image-references", strings.Replace(webSources, "  tags:\n", "  tags:\n  - name: etcd\n    from: {kind: DockerImage, name: quay.io/upstream/web}\n", 1))},
			want:  []string{`extra/image-references: image "quay.io/upstream/web" is listed for "etcd" and for "web"`},
		},
		"a source that is another component's": {
			files: []Entry{File("manifests/a.yaml", namespace("a")), File("manifests/image-references", strings.Replace(webSources, "quay.io/upstream/web", "registry.example/skiff/etcd", 1))},
			want:  []string{`extra/image-references: image "registry.example/skiff/etcd" is listed for "web", but it is that of another component`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t)
			o.Components = append(o.Components, component(t, "extra", operator(), Layer(t, tc.files...)))
			_, _, err := assemble.Assemble(t.Context(), o)
			var problems manifests.Problems
			if !errors.As(err, &problems) || len(problems) != len(tc.want) {
				t.Errorf("got %d problems, want %d", len(problems), len(tc.want))
			}
			for _, want := range tc.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got\n%v\nwant %q", err, want)
				}
			}
		})
	}
}

func TestAssembleChecksItsOptions(t *testing.T) {
	o := options(t)
	o.Version = release.Version{}
	o.Base = "nothing"
	o.Components = append(o.Components, o.Components[1], assemble.Component{Name: "bare", Reference: "x"})
	o.Components[0].Reference = repository + "/slipway:latest"
	o.Components[2].Reference = o.Components[3].Reference
	_, _, err := assemble.Assemble(t.Context(), o)
	for _, want := range []string{
		"the version is missing", `base "nothing" is not among the components`, `component "proxy" is given twice`, `component "bare": there is no image`,
		`component "slipway": reference "registry.example/skiff/slipway:latest" is not pinned`, `component "etcd": reference`, "does not name the image given",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got\n%v\nwant %q", err, want)
		}
	}
}

func TestAssembleEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := assemble.Assemble(ctx, options(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// Layers that components share are read once.
func TestSharedLayersAreReadOnce(t *testing.T) {
	reads := &counting{Layer: Layer(t, File("usr/bin/bash", "not in any other image"))}
	o := options(t)
	for _, name := range []string{"one", "two", "three"} {
		img, err := mutate.Append(Image(t, operator()), mutate.Addendum{Layer: reads, MediaType: types.OCILayer})
		if err != nil {
			t.Fatal(err)
		}
		if img, err = mutate.Append(img, mutate.Addendum{Layer: Layer(t, File("manifests/a.yaml", namespace(name))), MediaType: types.OCILayer}); err != nil {
			t.Fatal(err)
		}
		digest, err := img.Digest()
		if err != nil {
			t.Fatal(err)
		}
		o.Components = append(o.Components, assemble.Component{Name: name, Image: img, Reference: repository + "/" + name + "@" + digest.String()})
	}
	if _, _, err := assemble.Assemble(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if reads.n != 1 {
		t.Errorf("read %d times", reads.n)
	}
}

type counting struct {
	v1.Layer
	n int // the race detector tells whether it is read at the same time twice
}

func (c *counting) Uncompressed() (io.ReadCloser, error) {
	c.n++
	return c.Layer.Uncompressed()
}

func (c *counting) Compressed() (io.ReadCloser, error) {
	c.n++
	return c.Layer.Compressed()
}

// Components that come from a registry make the same payload, which can be
// pushed, read back and validated as any image.
func TestAssembleFromARegistry(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	o := options(t)
	_, local, err := assemble.Assemble(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range o.Components {
		ref, err := name.ParseReference(host + "/" + c.Name + ":x")
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Write(ref, c.Image); err != nil {
			t.Fatal(err)
		}
		if o.Components[i].Image, err = remote.Image(ref); err != nil {
			t.Fatal(err)
		}
	}
	img, p, err := assemble.Assemble(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if p.Digest != local.Digest {
		t.Errorf("digest %s, from memory %s", p.Digest, local.Digest)
	}
	ref, err := name.ParseReference(host + "/release:" + o.Version.Tag())
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	stored, err := remote.Image(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(stored); err != nil {
		t.Error(err)
	}
	loaded, err := release.Load(t.Context(), stored)
	if err != nil || loaded.Digest != p.Digest || loaded.Version != o.Version {
		t.Errorf("loaded %+v, %v", loaded, err)
	}
}

// The manifests of the reference distribution, as they stand in the repository,
// make a payload with nothing left to complain about.
func TestReferenceDistribution(t *testing.T) {
	const canonical = "registry.slipway.internal/skiff"
	dirs, err := filepath.Glob("../../distros/skiff/components/*")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no components: %v", err)
	}
	o := assemble.Options{Version: version(t, "1.36.3-0.nightly-2026-11-20-101500"), Repository: canonical, Base: "slipway"}
	operators := 0
	for _, dir := range dirs {
		labels := map[string]string{}
		var entries []Entry
		files, err := filepath.Glob(filepath.Join(dir, "manifests", "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			entries = append(entries, File("manifests/"+filepath.Base(f), string(data)))
			labels[release.LabelOperator] = "true"
		}
		operators += len(labels)
		c := component(t, filepath.Base(dir), labels, Layer(t, append(entries, File("name", dir))...))
		c.Reference = strings.Replace(c.Reference, repository, canonical, 1)
		o.Components = append(o.Components, c)
	}
	has := func(name string) bool {
		for _, c := range o.Components {
			if c.Name == name {
				return true
			}
		}
		return false
	}
	for _, name := range []string{"slipway", "agnhost", "debian-base", "pause"} {
		if !has(name) {
			c := component(t, name, nil, Layer(t, File("name", name)))
			c.Reference = strings.Replace(c.Reference, repository, canonical, 1)
			o.Components = append(o.Components, c)
		}
	}
	_, p, err := assemble.Assemble(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	levels, err := manifests.Plan(p.Manifests)
	if err != nil || len(levels) < 2 || operators == 0 {
		t.Errorf("%d levels of %d operators, %v", len(levels), operators, err)
	}
	for _, f := range p.Manifests {
		if bytes.Contains(f.Data, []byte("0.0.1-snapshot")) {
			t.Errorf("%s holds a placeholder", f.Name)
		}
	}
}
