package assemble_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/ocitest"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/assemble"
	"github.com/slipway-release/slipway/release/manifests"
	"github.com/slipway-release/slipway/release/releasetest"

	. "github.com/slipway-release/slipway/internal/layer/layertest"
)

func client(t testing.TB, s *ocitest.Server) *oci.Registry {
	t.Helper()
	r, err := oci.NewRegistry(s.Addr()+"/okd", "", oci.WithPatience(6, time.Millisecond, 20*time.Millisecond, time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// ofSet are the options that assemble a generated set.
func ofSet(t testing.TB, set *releasetest.Set, source assemble.Source) assemble.Options {
	t.Helper()
	o := assemble.Options{Version: version(t, "4.15.0"), Base: releasetest.BaseName, Source: source, Jobs: 4}
	for _, c := range set.Components {
		o.Components = append(o.Components, assemble.Component{Name: c.Name, Reference: c.Reference})
	}
	return o
}

// The files of the generated set's payload are those that oc would have written,
// which the set's own package says without any of the code under test.
func TestGeneratedSetGivesWhatOcWrites(t *testing.T) {
	for _, o := range []releasetest.Options{{}, {OneRepository: true, Docker: true}} {
		s := ocitest.Registry(t)
		set := releasetest.New(t, s.Addr()+"/okd", o)
		s.Forget()
		_, p, err := assemble.Assemble(t.Context(), ofSet(t, set, client(t, s)))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range set.Payload("4.15.0").Manifests {
			if got, ok := p.File(f.Name); !ok || string(got) != string(f.Data) {
				t.Errorf("%s differs", f.Name)
			}
		}
		if len(p.Manifests) != len(set.Payload("4.15.0").Manifests) {
			t.Errorf("%d manifests", len(p.Manifests))
		}
		if twice := s.Twice(); len(twice) > 0 {
			t.Errorf("read more than once: %v", twice)
		}
	}
}

func TestWarmCacheReadsNothingTwice(t *testing.T) {
	s := ocitest.Registry(t)
	set := releasetest.New(t, s.Addr()+"/okd", releasetest.Options{})
	dir := t.TempDir()
	digest := func(cache *assemble.Cache) v1.Hash {
		t.Helper()
		s.Forget()
		o := ofSet(t, set, client(t, s))
		o.Cache = cache
		_, p, err := assemble.Assemble(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		return p.Digest
	}
	blobs := func() int { return s.Total(ocitest.Match{Method: "GET", Kind: ocitest.Blob}).Requests }
	cold := digest(assemble.OpenCache(dir))
	if blobs() == 0 {
		t.Fatal("the first run read no blob")
	}
	if warm := digest(assemble.OpenCache(dir)); warm != cold {
		t.Errorf("warm %s, cold %s", warm, cold)
	}
	// The base is opened for its layers: its manifest and configuration, no more.
	if got := s.Total(ocitest.Match{Method: "GET", Kind: ocitest.Blob}); got.Requests > 1 {
		t.Errorf("%d blobs were read although they were known", got.Requests)
	}
	if got := s.Total(ocitest.Match{Method: "GET", Kind: ocitest.Manifest}).Requests; got > 1 {
		t.Errorf("%d manifests were read although they were known", got)
	}
	if got := s.Total(ocitest.Match{Method: "HEAD", Kind: ocitest.Manifest}).Requests; got != len(set.Components) {
		t.Errorf("%d images were looked for, there are %d", got, len(set.Components))
	}

	entries, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil || len(entries) == 0 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	for i, path := range entries {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		switch i % 3 {
		case 0:
			data = data[:len(data)/2]
		case 1:
			data[len(data)-2] ^= 1
		default:
			data = nil
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if damaged := digest(assemble.OpenCache(dir)); damaged != cold || blobs() == 0 {
		t.Errorf("with a damaged cache %s after %d blobs, not %s", damaged, blobs(), cold)
	}
}

func TestReadOnlyCacheIsNotWritten(t *testing.T) {
	s := ocitest.Registry(t)
	o := ofSet(t, releasetest.New(t, s.Addr()+"/okd", releasetest.Options{}), client(t, s))
	dir := filepath.Join(t.TempDir(), "cache")
	o.Cache = assemble.OpenCache(dir).ReadOnly()
	if _, _, err := assemble.Assemble(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	o.Cache.Trim()
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the folder of the cache: %v", err)
	}
}

func TestCacheIsSharedByManyAtOnce(t *testing.T) {
	s := ocitest.Registry(t)
	set := releasetest.New(t, s.Addr()+"/okd", releasetest.Options{})
	dir := t.TempDir()
	digests := make([]v1.Hash, 4)
	var wg sync.WaitGroup
	for i := range digests {
		o := ofSet(t, set, client(t, s))
		o.Cache = assemble.OpenCache(dir)
		wg.Go(func() {
			_, p, err := assemble.Assemble(t.Context(), o)
			if err != nil {
				t.Error(err)
				return
			}
			digests[i] = p.Digest
			o.Cache.Trim()
		})
	}
	wg.Wait()
	if slices.ContainsFunc(digests, func(d v1.Hash) bool { return d != digests[0] }) {
		t.Errorf("%v", digests)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*", ".new-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// An image that is gone is an error, whatever the cache still knows of it.
func TestCacheDoesNotHideThatAnImageIsGone(t *testing.T) {
	s := ocitest.Registry(t)
	set := releasetest.New(t, s.Addr()+"/okd", releasetest.Options{})
	o := ofSet(t, set, client(t, s))
	o.Cache = assemble.OpenCache(t.TempDir())
	if _, _, err := assemble.Assemble(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	gone := set.Components[len(set.Components)-1]
	s.Inject(ocitest.Fault{On: ocitest.Match{Path: gone.Digest.String()}, Do: ocitest.Status(404)})
	o.Source = client(t, s)
	_, _, err := assemble.Assemble(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), gone.Name) {
		t.Errorf("got %v", err)
	}
}

func TestFaultsOfRegistries(t *testing.T) {
	root := t.TempDir()
	sound := ocitest.Serve(t, root)
	set := releasetest.New(t, sound.Addr()+"/okd", releasetest.Options{Components: 6, Operators: 3, LayerBytes: 200 << 10})
	_, want, err := assemble.Assemble(t.Context(), ofSet(t, set, client(t, sound)))
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		fault ocitest.Fault
		fails string
	}{
		"429 with Retry-After":  {fault: ocitest.Fault{Times: 3, Do: ocitest.RetryAfter(429, 1)}},
		"500 once each":         {fault: ocitest.Fault{Each: true, Times: 1, Do: ocitest.Status(500)}},
		"503 for ever":          {fault: ocitest.Fault{On: ocitest.Match{Kind: ocitest.Blob}, Do: ocitest.Status(503)}, fails: "out of order"},
		"cut in mid-blob":       {fault: ocitest.Fault{On: ocitest.Match{Kind: ocitest.Blob}, Each: true, Times: 2, Do: ocitest.CutAfter(1000)}},
		"cut for ever":          {fault: ocitest.Fault{On: ocitest.Match{Kind: ocitest.Blob}, Do: ocitest.CutAfter(0)}, fails: "tried"},
		"wrong bytes of blobs":  {fault: ocitest.Fault{On: ocitest.Match{Kind: ocitest.Blob}, Do: ocitest.WrongBytes()}, fails: "reading component"},
		"wrong bytes of images": {fault: ocitest.Fault{On: ocitest.Match{Method: "GET", Kind: ocitest.Manifest}, Do: ocitest.WrongBytes()}, fails: "reading component"},
		"expired tokens":        {fault: ocitest.Fault{Do: ocitest.Expire(5)}},
		"refused for a while":   {fault: ocitest.Fault{Skip: 5, Times: 1, Do: ocitest.Refuse(30 * time.Millisecond)}},
		"an image is missing":   {fault: ocitest.Fault{On: ocitest.Match{Path: set.Components[1].Digest.String()}, Do: ocitest.Status(404)}, fails: set.Components[1].Name},
	} {
		t.Run(name, func(t *testing.T) {
			s := ocitest.Serve(t, root)
			r, err := oci.NewRegistry(sound.Addr()+"/okd", s.Addr()+"/okd", oci.WithPatience(6, 50*time.Millisecond, 2*time.Second, time.Minute))
			if err != nil {
				t.Fatal(err)
			}
			s.Inject(tc.fault)
			_, p, err := assemble.Assemble(t.Context(), ofSet(t, set, r))
			switch {
			case tc.fails == "" && err != nil:
				t.Error(err)
			case tc.fails == "" && p.Digest != want.Digest:
				t.Errorf("digest %s, want %s", p.Digest, want.Digest)
			case tc.fails != "" && (err == nil || !strings.Contains(err.Error(), tc.fails)):
				t.Errorf("got %v, want %q", err, tc.fails)
			}
			if n := s.Total(ocitest.Match{}).Requests; n > 1000 {
				t.Errorf("%d requests for %d components", n, len(set.Components))
			}
		})
	}
}

func TestPrune(t *testing.T) {
	o := options(t)
	o.Components = append(o.Components,
		component(t, "unused", nil, Layer(t, File("x", "unused"))),
		component(t, "kept", nil, Layer(t, File("x", "kept"))),
		component(t, "dropped", operator(), Layer(t, File("manifests/a.yaml", namespace("dropped")))))
	o.Prune, o.Include, o.Exclude = true, []string{"kept"}, []string{"dropped"}
	_, p, err := assemble.Assemble(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	// slipway is the base, web brings manifests, which name etcd and proxy.
	if got := strings.Join(p.Components(), " "); got != "etcd kept proxy slipway web" {
		t.Errorf("components: %s", got)
	}
	if _, ok := p.File("0000_50_dropped_a.yaml"); ok {
		t.Error("a manifest of a component that was excluded is there")
	}
	o.Exclude = []string{"slipway"}
	if _, _, err := assemble.Assemble(t.Context(), o); err == nil || !strings.Contains(err.Error(), `base "slipway" is excluded`) {
		t.Errorf("got %v", err)
	}
	if got := assemble.Unknown([]string{"web", "no", "ah", "no"}, o.Components); !slices.Equal(got, []string{"ah", "no"}) {
		t.Errorf("unknown: %v", got)
	}
}

// versioned is a component whose manifest wants a version, and which lists others.
func versioned(t *testing.T, name, key string, lists ...string) assemble.Component {
	refs := "kind: ImageStream\napiVersion: image.openshift.io/v1\nspec:\n  tags:\n"
	for _, l := range lists {
		refs += fmt.Sprintf("  - {name: %s, from: {kind: DockerImage, name: quay.io/upstream/%s}}\n", l, l)
	}
	return component(t, name, operator(), Layer(t,
		File("manifests/v.yaml", namespace(name)+"data: 0.0.1-snapshot-"+key+"\n"), File("manifests/image-references", refs)))
}

func TestComponentVersionsAreUsed(t *testing.T) {
	announce := func(name, versions string) assemble.Component {
		return component(t, name, map[string]string{release.LabelVersions: versions}, Layer(t, File("x", name)))
	}
	for name, tc := range map[string]struct {
		components []assemble.Component
		versions   map[string]string
		want       string // in the manifest, or in the error
		fails      bool
	}{
		"equal values":                  {components: []assemble.Component{announce("a", "some-key=1.0.0"), announce("b", "some-key=1.0.0")}, want: "1.0.0"},
		"values that disagree":          {components: []assemble.Component{announce("a", "some-key=1.0.0"), announce("b", "some-key=2.0.0")}, want: "different versions", fails: true},
		"a value that settles it":       {components: []assemble.Component{announce("a", "some-key=1.0.0"), announce("b", "some-key=2.0.0")}, versions: map[string]string{"some-key": "3.0.0"}, want: "3.0.0"},
		"a value that nobody announces": {versions: map[string]string{"some-key": "4.0.0"}, want: "4.0.0"},
		"no value":                      {want: "no component announces", fails: true},
		"disagreement that nobody uses": {components: []assemble.Component{announce("a", "other=1.0.0"), announce("b", "other=2.0.0")}, versions: map[string]string{"some-key": "4.0.0"}, want: "4.0.0"},
		"the value of the one it lists": {components: []assemble.Component{announce("a", "some-key=1.0.0"), announce("listed", "some-key=2.0.0")}, want: "2.0.0"},
		"a key that cannot be":          {versions: map[string]string{"K": "1.0.0"}, want: "component version K=1.0.0", fails: true},
		"a version that cannot be":      {versions: map[string]string{"some-key": "new"}, want: "some-key", fails: true},
		"a version with build metadata": {versions: map[string]string{"some-key": "1.2.3+abc"}, want: "1.2.3\n"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t)
			lists := []string{}
			for _, c := range tc.components {
				if c.Name == "listed" {
					lists = append(lists, c.Name)
				}
			}
			o.Components = append(append(o.Components, tc.components...), versioned(t, "user", "some-key", lists...))
			o.ComponentVersions = tc.versions
			_, p, err := assemble.Assemble(t.Context(), o)
			if tc.fails {
				if err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("got %v, want %q", err, tc.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if data, _ := p.File("0000_50_user_v.yaml"); !strings.Contains(string(data), "data: "+tc.want) {
				t.Errorf("got %s", data)
			}
			for key, value := range tc.versions {
				if got, ok := p.ComponentVersion(key); !ok || !strings.HasPrefix(value, got) {
					t.Errorf("the payload says %q of %s", got, key)
				}
			}
		})
	}
	o := options(t)
	o.DisplayNames = map[string]string{"machine-os": "CentOS Stream CoreOS", "kubernetes": "bad\x00name"}
	if _, _, err := assemble.Assemble(t.Context(), o); err == nil || !strings.Contains(err.Error(), "kubernetes") || strings.Contains(err.Error(), "machine-os") {
		t.Errorf("got %v", err)
	}
}

func TestAllowMissingImages(t *testing.T) {
	pod := "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: b}\nspec:\n  containers:\n  - {name: c, image: quay.io/upstream/nowhere:1}\n  - {name: d, image: \"FOREIGN\"}\n"
	refs := strings.NewReplacer("name: web", "name: nowhere", "upstream/web", "upstream/nowhere").Replace(webSources)
	with := func(foreign string) assemble.Options {
		o := options(t)
		text := strings.Replace(pod, "FOREIGN", foreign, 1)
		o.Components = append(o.Components, component(t, "extra", operator(), Layer(t, File("manifests/pod.yaml", text), File("manifests/image-references", refs))))
		o.AllowMissing = true
		return o
	}
	r, err := assemble.Make(t.Context(), with("quay.io/upstream/nowhere"))
	if err != nil || len(r.Warnings) == 0 || !strings.Contains(r.Warnings[0], "nowhere") {
		t.Fatalf("%+v, %v", r, err)
	}
	if data, _ := r.Payload.File("0000_50_extra_pod.yaml"); !strings.Contains(string(data), "quay.io/upstream/nowhere:1") {
		t.Errorf("got %s", data)
	}
	if _, err := assemble.Make(t.Context(), with("docker.io/library/nginx")); err == nil || !strings.Contains(err.Error(), "nginx") || strings.Contains(err.Error(), "nowhere:1") {
		t.Errorf("got %v", err)
	}
}

func TestSkipChecks(t *testing.T) {
	o := options(t)
	o.Components = append(o.Components, component(t, "extra", operator(), Layer(t,
		File("manifests/0000_10_web_ns.yaml", namespace("new")), File("manifests/broken.yaml", "a: ["),
		File("manifests/pod.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: b}\nspec: {containers: [{name: c, image: nginx}]}\n"))))
	if _, err := assemble.Make(t.Context(), o); err == nil {
		t.Fatal("everything was let pass")
	}
	o.SkipChecks = true
	wrong := o
	wrong.Components = append(slices.Clone(o.Components), versioned(t, "user", "some-key"))
	if _, err := assemble.Make(t.Context(), wrong); err == nil || !strings.Contains(err.Error(), "some-key") {
		t.Errorf("a version that nobody announces was let pass: %v", err)
	}
	r, err := assemble.Make(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	warnings := strings.Join(r.Warnings, "\n")
	for _, want := range []string{"extra/broken.yaml:1", "has the same name in the payload", "Namespace new stands in", `image "nginx"`} {
		if !strings.Contains(warnings, want) {
			t.Errorf("warnings lack %q:\n%s", want, warnings)
		}
	}
	for _, name := range []string{"0000_10_web_ns.yaml", "0000_10_web_ns_2.yaml", "0000_50_extra_broken.yaml"} {
		if _, ok := r.Payload.File(name); !ok {
			t.Errorf("%s is missing", name)
		}
	}
}

// What cannot be read does not hide what is wrong with the rest.
func TestUnreadableComponentsDoNotHideManifests(t *testing.T) {
	o := options(t)
	o.Components = append(o.Components, component(t, "empty", operator(release.LabelVersions, "lost-key=1.0.0")),
		component(t, "extra", operator(), Layer(t, File("manifests/a.yaml", "a: registry.example/skiff/nothing\n"), File("manifests/b.yaml", namespace("b")+"x: 0.0.1-snapshot-lost-key\n"))))
	_, _, err := assemble.Assemble(t.Context(), o)
	for _, want := range []string{`reading component "empty"`, "extra/a.yaml:1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got\n%v\nwant %q", err, want)
		}
	}
	if err != nil && strings.Contains(err.Error(), "lost-key") {
		t.Errorf("a version is missed that the unreadable component may announce: %v", err)
	}
}

func TestExtractedComponents(t *testing.T) {
	o := options(t)
	image := strings.TrimSuffix(o.Components[1].Reference, "")
	o.Components = append(o.Components, assemble.Component{Name: "dir", Reference: image, Files: []release.File{
		{Name: "z.yaml", Data: []byte(namespace("z"))}, {Name: "image-references", Data: []byte(webSources)},
		{Name: "0000_20_dir_a.yaml", Data: []byte(namespace("a") + "image: quay.io/upstream/web\n")},
	}})
	r, err := assemble.Make(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	web, _ := r.Payload.Image("web")
	if data, _ := r.Payload.File("0000_20_dir_a.yaml"); !strings.Contains(string(data), "image: "+web) {
		t.Errorf("got %s", data)
	}
	for _, c := range r.Components {
		if c.Name == "web" && len(c.Files) != 4 {
			t.Errorf("web's files are %d", len(c.Files))
		}
	}
}

// perPlatform is an index whose images bring a manifest of their own.
func perPlatform(t *testing.T, name string, operators bool, docker bool, architectures ...string) v1.ImageIndex {
	t.Helper()
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arch := range architectures {
		labels := map[string]string{}
		files := []Entry{File("name", name+arch)}
		if operators {
			labels[release.LabelOperator] = "true"
			files = append(files, File("manifests/a.yaml", namespace(name+"-"+arch)))
		}
		img := Image(t, labels, Layer(t, files...))
		config, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		config = config.DeepCopy()
		config.Architecture = arch
		if img, err = mutate.ConfigFile(img, config); err != nil {
			t.Fatal(err)
		}
		if docker {
			img = mutate.ConfigMediaType(mutate.MediaType(img, types.DockerManifestSchema2), types.DockerConfigJSON)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}})
	}
	return index
}

func pushIndex(t *testing.T, r *oci.Registry, ref string, index v1.ImageIndex) string {
	t.Helper()
	digest, err := r.PushIndex(t.Context(), ref+":x", index)
	if err != nil {
		t.Fatal(err)
	}
	return ref + "@" + digest.String()
}

func TestEveryPlatformGetsItsOwnManifests(t *testing.T) {
	s := ocitest.Registry(t)
	r := client(t, s)
	at := s.Addr() + "/okd/"
	single := Image(t, nil, Layer(t, File("x", "only amd64")))
	digest, err := r.Push(t.Context(), at+"tool:x", single)
	if err != nil {
		t.Fatal(err)
	}
	o := assemble.Options{Version: version(t, "4.15.0"), Base: "base", Source: r, Cache: assemble.OpenCache(t.TempDir()), Metadata: map[string]string{"a": "b"},
		Components: []assemble.Component{
			{Name: "base", Reference: pushIndex(t, r, at+"base", perPlatform(t, "base", false, false, "arm64", "amd64"))},
			{Name: "op", Reference: pushIndex(t, r, at+"op", perPlatform(t, "op", true, true, "amd64", "arm64", "s390x"))},
			{Name: "tool", Reference: at + "tool@" + digest.String()},
		}}
	for _, docker := range []bool{false, true} {
		o.Docker = docker
		var first v1.Hash
		for range 2 { // cold and warm
			made, err := assemble.MakeIndex(t.Context(), o, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := validate.Index(made.Index); err != nil {
				t.Error(err)
			}
			checkIndex(t, made, docker)
			digest, err := made.Index.Digest()
			if err != nil || (first != v1.Hash{} && digest != first) {
				t.Errorf("digest %s, first %s, %v", digest, first, err)
			}
			first = digest
		}
	}
	if o.Metadata["a"] != "b" || len(o.Metadata) != 1 {
		t.Errorf("the caller's metadata was changed: %v", o.Metadata)
	}
	// Of architectures that are asked for, no component may lack one; others do not count.
	asked := o
	asked.Architectures = []string{"arm64", "riscv64"}
	if _, err := assemble.MakeIndex(t.Context(), asked, nil); err == nil || !strings.Contains(err.Error(), "the base: its index has no image for linux/riscv64") {
		t.Errorf("got %v", err)
	}
	asked.Architectures = []string{"arm64"}
	if _, err := assemble.MakeIndex(t.Context(), asked, nil); err == nil || !strings.Contains(err.Error(), `component "tool": it has no image for linux/arm64`) {
		t.Errorf("got %v", err)
	}
	asked.Exclude = []string{"tool"}
	if made, err := assemble.MakeIndex(t.Context(), asked, nil); err != nil || len(made.Platforms) != 1 || made.Platforms[0].Architecture != "arm64" {
		t.Errorf("got %v, %v", made, err)
	}
	// An operator that lacks a platform would silently have no manifests there.
	o.Components[1].Reference = pushIndex(t, r, at+"op", perPlatform(t, "op", true, false, "amd64"))
	if _, err := assemble.MakeIndex(t.Context(), o, nil); err == nil || !strings.Contains(err.Error(), "no image for linux/arm64") {
		t.Errorf("got %v", err)
	}
	o.Components[0].Reference = at + "tool@" + digest.String()
	if _, err := assemble.MakeIndex(t.Context(), o, nil); err == nil || !strings.Contains(err.Error(), `base "base"`) {
		t.Errorf("got %v", err)
	}
}

func checkIndex(t *testing.T, made *assemble.IndexResult, docker bool) {
	t.Helper()
	manifest, err := made.Index.IndexManifest()
	if err != nil || len(manifest.Manifests) != 2 || len(made.Results) != 2 {
		t.Fatalf("%+v, %v", manifest, err)
	}
	wantIndex, wantImage := types.OCIImageIndex, types.OCIManifestSchema1
	if docker {
		wantIndex, wantImage = types.DockerManifestList, types.DockerManifestSchema2
	}
	if manifest.MediaType != wantIndex {
		t.Errorf("media type %s", manifest.MediaType)
	}
	for i, arch := range []string{"amd64", "arm64"} {
		d, p := manifest.Manifests[i], made.Results[i].Payload
		if d.Platform.Architecture != arch || d.MediaType != wantImage {
			t.Errorf("%d. image: %+v of %s", i, d.Platform, d.MediaType)
		}
		if data, _ := p.File("0000_50_op_a.yaml"); string(data) != namespace("op-"+arch) {
			t.Errorf("%s has %s", arch, data)
		}
		if p.Metadata.Values[release.MetadataArchitecture] != "multi" || p.Metadata.Values["a"] != "b" {
			t.Errorf("metadata: %v", p.Metadata.Values)
		}
		config, err := made.Results[i].Image.ConfigFile()
		if err != nil || config.Architecture != arch {
			t.Errorf("configuration of %s: %+v, %v", arch, config, err)
		}
		if ref, _ := p.Image("op"); manifests.RepositoryOf(ref) == ref {
			t.Errorf("op is %q", ref)
		}
	}
}
