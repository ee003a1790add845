package input_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/ocitest"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/assemble"
	"github.com/slipway-release/slipway/release/assemble/input"
	"github.com/slipway-release/slipway/release/releasetest"
)

const (
	digestA = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	digestB = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

func references(components []assemble.Component) map[string]string {
	all := map[string]string{}
	for _, c := range components {
		all[c.Name] = c.Reference
	}
	return all
}

func TestParseMapping(t *testing.T) {
	got, err := input.ParseMapping("m.txt", []byte("# all of them\ncli=quay.io/x/cli:1 etcd=quay.io/x/etcd@"+digestA+" # two\n\n\tweb=localhost:5000/web:dev#1\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []input.Override{
		{Name: "cli", Image: "quay.io/x/cli:1", From: `line 2 of "m.txt"`},
		{Name: "etcd", Image: "quay.io/x/etcd@" + digestA, From: `line 2 of "m.txt"`},
		{Name: "web", Image: "localhost:5000/web:dev#1", From: `line 4 of "m.txt"`},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	_, err = input.ParseMapping("m.txt", []byte("cli\nok=a\n=b\nx=\na/b=c\nd=e=f\n"))
	for _, line := range []string{"line 1", "line 3", "line 4", "line 5", "line 6"} {
		if err == nil || !strings.Contains(err.Error(), line) {
			t.Errorf("got %v, want %s", err, line)
		}
	}
	if err != nil && strings.Contains(err.Error(), "line 2") {
		t.Errorf("a good line is refused: %v", err)
	}
}

func TestSourcesNamedTwiceAreRefused(t *testing.T) {
	a, err := input.ParseMapping("a.txt", []byte("cli=x/y:1\netcd=x/y:2\n"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := input.ParseOverrides([]string{"cli=x/y:1", "web=x/y:1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := input.CheckDuplicates(append(a, b...)); err == nil || !strings.Contains(err.Error(), `"cli" is given an image twice: line 1 of "a.txt" and argument "cli=x/y:1"`) {
		t.Errorf("got %v", err)
	}
	// Two components may well be one image.
	if err := input.CheckDuplicates(append(a, b[1])); err != nil {
		t.Error(err)
	}
}

func stream(status, spec string) string {
	return fmt.Sprintf(`{"kind":"ImageStream","apiVersion":"image.openshift.io/v1","metadata":{"name":"4.19","namespace":"origin"},"spec":{"tags":[%s]},"status":{%s}}`, spec, status)
}

func TestFromImageStream(t *testing.T) {
	const (
		public   = `"publicDockerImageRepository":"registry.ci/origin/4.19",`
		byTag    = `{"name":"cli","from":{"kind":"DockerImage","name":"quay.io/src/cli:latest"}}`
		pinned   = `{"name":"cli","from":{"kind":"DockerImage","name":"quay.io/src/cli@` + digestA + `"}}`
		imported = `"tags":[{"tag":"cli","items":[{"image":"` + digestA + `","dockerImageReference":"quay.io/mirror/cli@` + digestA + `"},{"image":"` + digestB + `"}]}]`
		failed   = `"tags":[{"tag":"cli","items":[],"conditions":[{"type":"ImportSuccess","status":"False","message":"no such image"}]}]`
	)
	for name, tc := range map[string]struct {
		data, mode, want, fails string
	}{
		"public repository":                   {data: stream(public+imported, byTag), want: "registry.ci/origin/4.19@" + digestA},
		"source":                              {data: stream(public+imported, byTag), mode: "source", want: "quay.io/src/cli@" + digestA},
		"no public repository":                {data: stream(imported, byTag), want: "quay.io/src/cli@" + digestA},
		"pinned without status":               {data: stream(``, pinned), want: "quay.io/src/cli@" + digestA},
		"pinned with a public repository":     {data: stream(strings.TrimSuffix(public, ","), pinned), want: "quay.io/src/cli@" + digestA},
		"a tag without status":                {data: stream(``, byTag), want: "quay.io/src/cli:latest"},
		"status only":                         {data: stream(imported, ``), want: "quay.io/mirror/cli@" + digestA},
		"status only, internal repository":    {data: stream(`"dockerImageRepository":"internal/x","tags":[{"tag":"cli","items":[{"image":"`+digestA+`"}]}]`, ``), want: "internal/x@" + digestA},
		"status that is older than spec":      {data: stream(imported, strings.Replace(pinned, digestA, digestB, 1)), fails: "since it was changed"},
		"an older generation":                 {data: stream(strings.Replace(imported, `"image":"`+digestA, `"generation":1,"image":"`+digestA, 1), strings.Replace(byTag, `"name":"cli",`, `"name":"cli","generation":2,`, 1)), fails: "generation 2"},
		"import failed":                       {data: stream(failed, byTag), fails: "no such image"},
		"from a tag of another stream":        {data: stream(``, `{"name":"cli","from":{"kind":"ImageStreamTag","name":"x:y"}}`), fails: "has not been imported"},
		"no from":                             {data: stream(``, `{"name":"cli"}`), fails: "has not been imported"},
		"twice":                               {data: stream(``, pinned+","+pinned), fails: "occurs twice"},
		"no tags":                             {data: stream(``, ``), fails: "no tags"},
		"a name that is none":                 {data: stream(``, strings.Replace(pinned, `"cli"`, `"../cli"`, 1)), fails: "not the name of a component"},
		"another kind":                        {data: `{"kind":"Pod","apiVersion":"v1"}`, fails: "kind is"},
		"no YAML":                             {data: "\x00", fails: "reading ImageStream"},
		"another mode":                        {data: stream(``, pinned), mode: "private", fails: `"private"`},
		"YAML":                                {data: "kind: ImageStream\napiVersion: v1\nmetadata: {name: x}\nspec:\n  tags:\n  - {name: cli, from: {kind: DockerImage, name: 'quay.io/src/cli@" + digestA + "'}}\n", want: "quay.io/src/cli@" + digestA},
		"null in place of a digest in status": {data: stream(`"tags":[{"tag":"cli","items":[{"image":"x"}]}]`, ``), fails: "is not a digest"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := input.FromImageStream([]byte(tc.data), tc.mode)
			if tc.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tc.fails) {
					t.Errorf("got %v, want %q", err, tc.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(map[string]string{"cli": tc.want}, references(s.Components)); diff != "" {
				t.Error(diff)
			}
		})
	}
	s, err := input.FromImageStream([]byte(stream(``, pinned)), "")
	if err != nil || s.Annotations[input.AnnotationFromImageStream] != "origin/4.19" {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := input.FromImageStream([]byte(stream(failed, byTag+","+strings.Replace(pinned, `"cli"`, `"web"`, 1))), "", "cli"); err != nil || len(s.Components) != 1 {
		t.Errorf("a tag that is left out stands in the way: %+v, %v", s, err)
	}
	_, err = input.FromImageStream([]byte(stream(failed, byTag+`,{"name":"other"}`)), "")
	if err == nil || !strings.Contains(err.Error(), `"cli"`) || !strings.Contains(err.Error(), `"other"`) {
		t.Errorf("not everything is reported: %v", err)
	}
}

func TestGeneratedStreamAndMapping(t *testing.T) {
	server := ocitest.Registry(t)
	for _, o := range []releasetest.Options{{}, {OneRepository: true}} {
		set := releasetest.New(t, server.Addr()+"/okd", o)
		s, err := input.FromImageStream(set.ImageStream(), "")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(set.References(), references(s.Components)); diff != "" {
			t.Error(diff)
		}
		overrides, err := input.ParseMapping("m", set.Mapping())
		if err != nil {
			t.Fatal(err)
		}
		empty := &input.Set{}
		empty.Override(overrides)
		if diff := cmp.Diff(set.References(), references(empty.Components)); diff != "" {
			t.Error(diff)
		}
	}
}

type resolver map[string]string

func (r resolver) Descriptor(_ context.Context, ref string) (v1.Descriptor, error) {
	digest, ok := r[ref]
	if !ok {
		return v1.Descriptor{}, fmt.Errorf("resolving %q: %w", ref, oci.ErrNotFound)
	}
	h, err := v1.NewHash(digest)
	return v1.Descriptor{Digest: h}, err
}

func TestOverridesAreAlwaysPinned(t *testing.T) {
	s := &input.Set{Components: []assemble.Component{
		{Name: "cli", Reference: "quay.io/a/cli@" + digestA, Tag: release.ImageTag{Name: "cli", Annotations: map[string]string{"commit": "x"}}},
		{Name: "old", Reference: "quay.io/a/old@" + digestA},
		{Name: "left", Reference: "quay.io/a/left:gone"},
	}}
	overrides, err := input.ParseOverrides([]string{"cli=quay.io/b/cli:fix", "new=quay.io/b/new:1@" + digestA})
	if err != nil {
		t.Fatal(err)
	}
	s.Override(overrides)
	if err := s.Pin(t.Context(), resolver{"quay.io/b/cli:fix": digestB}, 2, []string{"left"}); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"cli": "quay.io/b/cli@" + digestB, "old": "quay.io/a/old@" + digestA, "new": "quay.io/b/new@" + digestA, "left": "quay.io/a/left:gone"}
	if diff := cmp.Diff(want, references(s.Components)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{input.AnnotationOverride: "true"}, s.Components[0].Tag.Annotations); diff != "" {
		t.Error(diff)
	}
	bad := &input.Set{Components: []assemble.Component{{Name: "a", Reference: "quay.io/a:1"}, {Name: "b"}, {Name: "c", Reference: "quay.io/a@sha256:short"}}}
	err = bad.Pin(t.Context(), resolver{}, 8, nil)
	for _, want := range []string{`"a"`, `"b": no image is known`, `"c"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFromDirectory(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"web/a.yaml": "a: 1", "web/sub/b.yaml": "b: 1", "zoo/z.yaml": "z: 1", "readme.md": "x",
		"image-references": stream(``, `{"name":"web","from":{"kind":"DockerImage","name":"quay.io/x/web@`+digestA+`"}},{"name":"cli","from":{"kind":"DockerImage","name":"quay.io/x/cli:1"}}`),
	})
	s, err := input.FromDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"web": "quay.io/x/web@" + digestA, "cli": "quay.io/x/cli:1", "zoo": ""}
	if diff := cmp.Diff(want, references(s.Components)); diff != "" {
		t.Error(diff)
	}
	for _, c := range s.Components {
		if c.Name == "web" {
			if diff := cmp.Diff([]release.File{{Name: "a.yaml", Data: []byte("a: 1")}}, c.Files); diff != "" {
				t.Error(diff)
			}
		}
		if c.Files == nil {
			t.Errorf("the image of %s would be read", c.Name)
		}
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "web", "link.yaml")); err != nil {
		t.Fatal(err)
	}
	write(t, dir, map[string]string{"bad name/a.yaml": ""})
	_, err = input.FromDirectory(dir)
	for _, want := range []string{"web/link.yaml", "bad name"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	for _, empty := range []string{t.TempDir(), filepath.Join(dir, "none")} {
		if _, err := input.FromDirectory(empty); err == nil {
			t.Errorf("%s was accepted", empty)
		}
	}
}

func TestFromPayload(t *testing.T) {
	made := releasetest.Small("4.15.0")
	made.Previous, made.Metadata = []string{"4.14.9", "4.14.11"}, map[string]string{"url": "https://example.com"}
	p, err := release.Load(t.Context(), made.Image(t))
	if err != nil {
		t.Fatal(err)
	}
	p.Reference = "quay.io/okd/release@" + digestA
	s := input.FromPayload(p)
	if diff := cmp.Diff(made.Images, references(s.Components)); diff != "" {
		t.Error(diff)
	}
	if s.Version.String() != "4.15.0" || len(s.Previous) != 2 || s.Metadata["url"] == "" || s.Annotations[input.AnnotationFromRelease] != p.Reference {
		t.Errorf("%+v", s)
	}
	if p.References.Annotations[input.AnnotationFromRelease] != "" {
		t.Error("the payload's own annotations were changed")
	}
}

func TestFindBase(t *testing.T) {
	server := ocitest.Registry(t)
	registry, err := oci.NewRegistry(server.Addr()+"/x", "")
	if err != nil {
		t.Fatal(err)
	}
	set := releasetest.New(t, server.Addr()+"/x", releasetest.Options{})
	var components []assemble.Component
	for _, c := range set.Components {
		components = append(components, assemble.Component{Name: c.Name, Reference: c.Reference})
	}
	base, err := registry.Image(t.Context(), set.Component(t, releasetest.KubeName).Reference)
	if err != nil {
		t.Fatal(err)
	}
	payload := set.Payload("4.15.0")
	payload.Base = base
	found, err := input.FindBase(t.Context(), registry, payload.Image(t), components)
	if err != nil || found != releasetest.KubeName {
		t.Errorf("found %q, %v", found, err)
	}
	index := releasetest.Small("4.15.0").Index(t, "amd64", "arm64")
	digest, err := registry.PushIndex(t.Context(), server.Addr()+"/x/multi:1", index)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	child, err := index.Image(manifest.Manifests[1].Digest)
	if err != nil {
		t.Fatal(err)
	}
	payload.Base = child
	_, err = input.FindBase(t.Context(), registry, payload.Image(t), components)
	if err == nil || !strings.Contains(err.Error(), input.ErrNoBase.Error()) {
		t.Errorf("got %v", err)
	}
	components = append(components, assemble.Component{Name: "multi", Reference: server.Addr() + "/x/multi@" + digest.String()})
	if found, err = input.FindBase(t.Context(), registry, payload.Image(t), components, "multi"); err != nil || found != "multi" {
		t.Errorf("found %q, %v", found, err)
	}
}

func TestFetch(t *testing.T) {
	var asked int
	mux := http.NewServeMux()
	mux.HandleFunc("/later", func(w http.ResponseWriter, _ *http.Request) {
		if asked++; asked < 3 {
			http.Error(w, "", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, "content")
	})
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) {
		for range 100 {
			fmt.Fprint(w, "0123456789")
			w.(http.Flusher).Flush()
		}
	})
	mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	mux.HandleFunc("/broken", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	server := httptest.NewServer(mux)
	defer server.Close()
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("from a file"), 0o644); err != nil {
		t.Fatal(err)
	}
	f := input.Fetcher{Stdin: strings.NewReader("from stdin"), Attempts: 3, Pause: time.Millisecond}
	secret := strings.Replace(server.URL, "http://", "http://user:topsecret@", 1)
	for location, want := range map[string]string{
		server.URL + "/later": "content", "-": "from stdin", file: "from a file",
		server.URL + "/large": "error: larger than 500", server.URL + "/none": "error: 404", server.URL + "/loop": "error: redirect",
		secret + "/broken": "error: EOF", file + "x": "error: no such file", "http://\x7f": "error: not a valid",
	} {
		data, err := f.Read(t.Context(), location, 500)
		if message, fails := strings.CutPrefix(want, "error: "); fails {
			if err == nil || !strings.Contains(err.Error(), message) || strings.Contains(err.Error(), "topsecret") {
				t.Errorf("%s: got %v, want %q", location, err, message)
			}
			continue
		}
		if err != nil || string(data) != want {
			t.Errorf("%s: %q, %v", location, data, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Read(ctx, server.URL+"/later", 500); err == nil {
		t.Error("a cancelled read succeeded")
	}
}

// Whatever a mapping file holds, every component in it can be named and no image is empty.
func FuzzMapping(f *testing.F) {
	f.Add([]byte("cli=quay.io/x/cli:1 etcd=quay.io/x/etcd@" + digestA + " # two\n"))
	f.Add([]byte("a=b=c\n=\x00\n#"))
	f.Fuzz(func(t *testing.T, data []byte) {
		overrides, err := input.ParseMapping("m", data)
		for _, o := range overrides {
			if o.Name == "" || o.Image == "" || strings.ContainsAny(o.Name, " =/#\n") || strings.ContainsAny(o.Image, " =\n\x00") {
				t.Errorf("%+v came through", o)
			}
		}
		if err == nil && len(data) > 0 && strings.Count(string(data), "=") < len(overrides) {
			t.Errorf("%d overrides of %q", len(overrides), data)
		}
	})
}

// Components of a stream are named once and in order, and have an image each.
func FuzzImageStream(f *testing.F) {
	f.Add([]byte(stream(`"tags":[{"tag":"cli","items":[{"image":"`+digestA+`"}]}]`, `{"name":"cli","from":{"kind":"DockerImage","name":"quay.io/a:b"}}`)), true)
	f.Add([]byte("kind: ImageStream\napiVersion: v1\nspec: {tags: [{name: a, from: null}]}\n"), false)
	f.Fuzz(func(t *testing.T, data []byte, public bool) {
		mode := input.ReferenceSource
		if public {
			mode = input.ReferencePublic
		}
		s, err := input.FromImageStream(data, mode)
		if err != nil {
			return
		}
		last := ""
		for _, c := range s.Components {
			if c.Name <= last || c.Reference == "" {
				t.Errorf("component %q after %q is %q", c.Name, last, c.Reference)
			}
			last = c.Name
		}
	})
}
