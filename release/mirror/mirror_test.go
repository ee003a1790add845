package mirror_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/ocitest"
	"github.com/slipway-release/slipway/release/mirror"
	"github.com/slipway-release/slipway/release/releasetest"
)

const version = "4.19.0-0.okd-2026-11-20-101500"

// quick is patience for tests: as many attempts as usual, shorter pauses.
var quick = oci.WithPatience(6, 10*time.Millisecond, 2*time.Second, 20*time.Second)

func client(t testing.TB, addr string) *oci.Registry {
	t.Helper()
	r, err := oci.NewRegistry(addr+"/any", "", quick)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// origin is a release in a registry, with all that is said about it.
type origin struct {
	server    *ocitest.Server
	registry  *oci.Registry
	set       *releasetest.Set
	reference string   // of the payload, by digest
	said      []string // what must come along, by the digests of manifests
}

func newOrigin(t testing.TB, o releasetest.Options) *origin {
	t.Helper()
	s := ocitest.Registry(t)
	w := &origin{server: s, registry: client(t, s.Addr()), set: releasetest.New(t, s.Addr()+"/okd", o)}
	img := w.payload().Image(t)
	digest, err := w.registry.Push(context.Background(), w.repository()+":"+version, img)
	if err != nil {
		t.Fatal(err)
	}
	w.reference = w.repository() + "@" + digest.String()
	return w
}

func (w *origin) repository() string { return w.server.Addr() + "/okd/release" }

func (w *origin) payload() releasetest.Payload {
	p := releasetest.Payload{Version: version, Images: map[string]string{}}
	for _, c := range w.set.Components {
		p.Images[c.Name] = c.Reference
	}
	return p
}

// speak says something about the payload and about a component, in all the ways
// there are, and about what was said.
func (w *origin) speak(t testing.TB) {
	t.Helper()
	component := w.set.Components[3]
	for _, subject := range []string{w.reference, component.Reference} {
		repository, digest, _ := strings.Cut(subject, "@sha256:")
		for _, kind := range []string{"sig", "att", "sbom"} {
			w.push(t, repository+":sha256-"+digest+"."+kind)
		}
		statement, err := w.registry.Attach(context.Background(), subject, oci.Artifact{Type: "application/vnd.example", MediaType: "text/plain", Content: []byte(subject)})
		if err != nil {
			t.Fatal(err)
		}
		above, err := w.registry.Attach(context.Background(), repository+"@"+statement.String(), oci.Artifact{Type: "application/vnd.above", MediaType: "text/plain", Content: []byte("seen")})
		if err != nil {
			t.Fatal(err)
		}
		w.said = append(w.said, statement.String(), above.String())
		w.push(t, repository+":sha256-"+statement.Hex+".sig")
	}
}

func (w *origin) push(t testing.TB, ref string) {
	t.Helper()
	img, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := w.registry.Push(context.Background(), ref, img)
	if err != nil {
		t.Fatal(err)
	}
	w.said = append(w.said, digest.String())
}

// options copy to a place without verifying.
func (w *origin) options(to mirror.Destination) mirror.Options {
	return mirror.Options{Source: w.registry, Reference: w.reference, To: to, Unverified: true}
}

func (w *origin) toRegistry(t testing.TB, registry *oci.Registry, to string) mirror.Destination {
	t.Helper()
	d, err := mirror.ToRegistry(registry, to, "")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func run(t testing.TB, o mirror.Options) *mirror.Result {
	t.Helper()
	r, err := mirror.Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// holds reads everything that must be in a place, to its last byte. in returns
// the repository for a component.
func (w *origin) holds(t testing.TB, place mirror.Source, in func(component string) string) {
	t.Helper()
	_, digest, _ := strings.Cut(w.reference, "@")
	readAll(t, place, in("release")+"@"+digest)
	for _, c := range w.set.Components {
		readAll(t, place, in(c.Name)+"@"+c.Digest.String())
	}
	for _, d := range w.said {
		_, _, err := place.Manifest(t.Context(), in("release")+"@"+d)
		if errors.Is(err, oci.ErrNotFound) {
			_, _, err = place.Manifest(t.Context(), in(w.set.Components[3].Name)+"@"+d)
		}
		if err != nil {
			t.Errorf("what was said, %s: %v", d, err)
		}
	}
	if len(w.said) == 0 {
		return
	}
	for ref, want := range map[string]string{in("release") + "@" + digest: "application/vnd.example", in(w.set.Components[3].Name) + "@" + w.set.Components[3].Digest.String(): "application/vnd.example"} {
		found, err := place.Referrers(t.Context(), ref, "")
		if err != nil || len(found) != 1 || found[0].ArtifactType != want {
			t.Errorf("what refers to %s: %+v, %v", ref, found, err)
		}
		_, hex, _ := strings.Cut(ref, "@sha256:")
		if _, err := place.Descriptor(t.Context(), strings.Replace(ref, "@sha256:"+hex, ":sha256-"+hex+".sig", 1)); err != nil {
			t.Errorf("the signature of %s: %v", ref, err)
		}
	}
}

// readAll reads a manifest and all its blobs.
func readAll(t testing.TB, place mirror.Source, ref string) {
	t.Helper()
	_, d, err := place.Manifest(t.Context(), ref)
	if err != nil {
		t.Error(err)
		return
	}
	if d.MediaType.IsIndex() {
		index, err := place.Index(t.Context(), ref)
		if err != nil {
			t.Error(err)
			return
		}
		manifest, err := index.IndexManifest()
		if err != nil {
			t.Error(err)
			return
		}
		repository, _, _ := strings.Cut(ref, "@")
		for _, child := range manifest.Manifests {
			readAll(t, place, repository+"@"+child.Digest.String())
		}
		return
	}
	img, err := place.Image(t.Context(), ref)
	if err != nil {
		t.Error(err)
		return
	}
	layers, err := img.Layers()
	if err != nil {
		t.Error(err)
		return
	}
	if _, err := img.RawConfigFile(); err != nil {
		t.Error(err)
	}
	for _, l := range layers {
		body, err := l.Compressed()
		if err == nil {
			_, err = io.Copy(io.Discard, body)
		}
		if err != nil {
			t.Errorf("%s: %v", ref, err)
		}
	}
}

func within(repository string) func(string) string {
	return func(string) string { return repository }
}

func TestFromRegistryToRegistry(t *testing.T) {
	w := newOrigin(t, releasetest.Options{})
	w.speak(t)
	target := ocitest.Registry(t)
	registry := client(t, target.Addr())
	repository := target.Addr() + "/mirror/okd"

	r := run(t, w.options(w.toRegistry(t, registry, repository)))
	w.holds(t, registry, within(repository))
	if r.Target != repository+":"+version+"-x86_64" || r.Architecture != "x86_64" || r.Version != version {
		t.Errorf("the result is %+v", r)
	}
	tags, err := registry.Tags(t.Context(), repository)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range w.set.Components {
		if !slices.Contains(tags, version+"-x86_64-"+c.Name) {
			t.Errorf("component %s has no tag; there are %v", c.Name, tags)
		}
	}
	if got := r.Images[len(r.Images)-1]; got.Component != "release" || got.Status != mirror.StatusCopied || got.Companions == 0 || got.Companions != got.CompanionsCopied {
		t.Errorf("the payload is %+v", got)
	}

	// Again: nothing is written.
	target.Forget()
	r = run(t, w.options(w.toRegistry(t, registry, repository)))
	if written := target.Total(ocitest.Match{Method: ocitest.Writes}).Requests; written != 0 {
		t.Errorf("the second run wrote %d times", written)
	}
	for _, i := range r.Images {
		if i.Status != mirror.StatusPresent || i.CompanionsCopied != 0 {
			t.Errorf("the second run says %+v", i)
		}
	}
}

func TestWithinOneRegistryNoByteTravels(t *testing.T) {
	w := newOrigin(t, releasetest.Options{})
	w.speak(t)
	repository := w.server.Addr() + "/mirror/okd"
	w.server.Forget()
	r := run(t, w.options(w.toRegistry(t, w.registry, repository)))
	if r.Blobs.Copied != 0 || r.Bytes != 0 || r.Blobs.Mounted == 0 {
		t.Errorf("blobs: %+v, bytes: %d", r.Blobs, r.Bytes)
	}
	for _, req := range w.server.Requests(ocitest.Match{}) {
		if req.Method == "GET" && req.Kind == ocitest.Blob && !strings.Contains(req.Path, "/okd/release/") {
			t.Errorf("a blob was read: %s", req.Path)
		}
	}
	w.holds(t, w.registry, within(repository))
}

func TestOneRepositoryForEachComponent(t *testing.T) {
	w := newOrigin(t, releasetest.Options{})
	target := ocitest.Registry(t)
	registry := client(t, target.Addr())
	template := target.Addr() + "/m/${component}:${version}"
	r := run(t, w.options(w.toRegistry(t, registry, template)))
	for _, i := range r.Images {
		if want := target.Addr() + "/m/" + i.Component + ":" + version; i.To != want {
			t.Errorf("%s went to %s", i.Component, i.To)
		}
	}
	w.holds(t, registry, func(component string) string { return target.Addr() + "/m/" + component })
	// The layers that images share were sent once.
	sent := map[string]int{}
	for _, req := range target.Requests(ocitest.Match{}) {
		if req.Kind == ocitest.Upload && req.Received > 0 {
			sent[req.Digest]++
		}
	}
	for digest, n := range sent {
		if n > 1 {
			t.Errorf("blob %s was sent %d times", digest, n)
		}
	}
	if len(sent) == 0 {
		t.Error("nothing was seen to be sent")
	}
}

func TestThroughFilesAndBack(t *testing.T) {
	for name, open := range map[string]func(t *testing.T, path string) (mirror.Destination, io.Closer, string){
		"layout": func(t *testing.T, path string) (mirror.Destination, io.Closer, string) {
			l, err := oci.CreateLayout(path)
			if err != nil {
				t.Fatal(err)
			}
			return mirror.ToLayout(l), l, path
		},
		"archive": func(t *testing.T, path string) (mirror.Destination, io.Closer, string) {
			a, err := oci.CreateArchive(t.Context(), path+".tar", 0)
			if err != nil {
				t.Fatal(err)
			}
			return mirror.ToArchive(a), a, path + ".tar"
		},
		"series": func(t *testing.T, path string) (mirror.Destination, io.Closer, string) {
			a, err := oci.CreateArchive(t.Context(), path, 100_000)
			if err != nil {
				t.Fatal(err)
			}
			return mirror.ToArchive(a), a, path
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newOrigin(t, releasetest.Options{})
			w.speak(t)
			path := filepath.Join(t.TempDir(), "there")
			to, files, path := open(t, path)
			r := run(t, w.options(to))
			if err := files.Close(); err != nil {
				t.Fatal(err)
			}
			if r.Bytes < w.set.Bytes() {
				t.Errorf("%d bytes were copied of %d", r.Bytes, w.set.Bytes())
			}
			for _, i := range r.Images {
				if i.Status != mirror.StatusCopied {
					t.Errorf("the first run says %+v", i)
				}
			}
			if name == "series" {
				checkSeries(t, path, 100_000)
			}

			// Again: nothing changes.
			before := fingerprint(t, path)
			to, files, _ = open(t, strings.TrimSuffix(path, ".tar"))
			w.server.Forget()
			r = run(t, w.options(to))
			files.Close()
			if r.Blobs.Copied != 0 || r.Bytes != 0 {
				t.Errorf("the second run copied %+v", r.Blobs)
			}
			for _, i := range r.Images {
				if i.Status != mirror.StatusPresent {
					t.Errorf("the second run says %+v", i)
				}
			}
			if after := fingerprint(t, path); after != before {
				t.Errorf("the second run changed the files:\n%s\n%s", before, after)
			}

			stored, err := oci.OpenLayout(path)
			if err != nil {
				t.Fatal(err)
			}
			defer stored.Close()
			w.holds(t, stored, within("any.example/repository"))
			entries, err := stored.Entries()
			if err != nil {
				t.Fatal(err)
			}
			for _, named := range []string{"", version, version + "-x86_64", w.server.Addr() + "/okd/release:" + version} {
				d, err := mirror.FindPayload(entries, named)
				if err != nil || !strings.HasSuffix(w.reference, d.Digest.String()) {
					t.Errorf("named %q the payload is %s, %v", named, d.Digest, err)
				}
			}

			target := ocitest.Registry(t)
			registry := client(t, target.Addr())
			repository := target.Addr() + "/back"
			d, err := mirror.FindPayload(entries, "")
			if err != nil {
				t.Fatal(err)
			}
			back := mirror.Options{Source: stored, Reference: "oci:" + path + "@" + d.Digest.String(), To: w.toRegistry(t, registry, repository), Unverified: true}
			r = run(t, back)
			w.holds(t, registry, within(repository))
			// What clusters ask for is where the release came from.
			var sources []string
			for _, m := range r.Sources {
				sources = append(sources, m.Source)
			}
			if !slices.Contains(sources, w.repository()) {
				t.Errorf("mirrors are told for %v", sources)
			}
		})
	}
}

func checkSeries(t *testing.T, dir string, limit int64) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 3 {
		t.Errorf("the series has %d files", len(files))
	}
	for i, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		if f.Name() != fmt.Sprintf("mirror_%06d.tar", i+1) || info.Size() > limit {
			t.Errorf("%s has %d bytes", f.Name(), info.Size())
		}
	}
}

// fingerprint tells whether files below a path changed.
func fingerprint(t *testing.T, path string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(path, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			fmt.Fprintln(&all, p, info.Size(), info.ModTime().UnixNano())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

func TestEveryPlatform(t *testing.T) {
	w := newOrigin(t, releasetest.Options{})
	arm := w.payload()
	arm.Architecture = "arm64"
	other := w.set.Components[0]
	arm.Images[w.set.Components[1].Name] = other.Reference // differs between platforms
	amd := w.payload()
	index := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: amd.Image(t), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}},
		mutate.IndexAddendum{Add: arm.Image(t), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64"}}},
	)
	digest, err := w.registry.PushIndex(t.Context(), w.repository()+":multi", index)
	if err != nil {
		t.Fatal(err)
	}
	w.reference = w.repository() + "@" + digest.String()
	w.speak(t)
	target := ocitest.Registry(t)
	registry := client(t, target.Addr())
	repository := target.Addr() + "/multi"
	r := run(t, w.options(w.toRegistry(t, registry, repository)))
	w.holds(t, registry, within(repository))
	if r.Target != repository+":"+version+"-multi" {
		t.Errorf("the payload went to %s", r.Target)
	}
	tags, err := registry.Tags(t.Context(), repository)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"multi-" + w.set.Components[0].Name, "x86_64-" + w.set.Components[1].Name, "aarch64-" + w.set.Components[1].Name} {
		if !slices.Contains(tags, version+"-"+want) {
			t.Errorf("there is no tag %s", want)
		}
	}

	o := w.options(w.toRegistry(t, registry, target.Addr()+"/one"))
	o.Platform = &v1.Platform{OS: "linux", Architecture: "arm64"}
	if r := run(t, o); r.Architecture != "aarch64" || r.Target != target.Addr()+"/one:"+version+"-aarch64" {
		t.Errorf("one platform: %+v", r)
	}
}

func TestNothingIsCopiedThatIsRefused(t *testing.T) {
	w := newOrigin(t, releasetest.Options{})
	target := ocitest.Registry(t)
	o := w.options(w.toRegistry(t, client(t, target.Addr()), target.Addr()+"/mirror"))
	o.Unverified = false
	if _, err := mirror.Run(t.Context(), o); err == nil {
		t.Error("without anybody to verify it, the payload was copied")
	}
	refused := errors.New("signed by somebody else")
	o.Verify = func(_ context.Context, s mirror.Subject) error {
		if s.Reference != w.reference || s.Version.String() != version || s.Architecture != "amd64" {
			t.Errorf("asked about %+v", s)
		}
		return refused
	}
	if _, err := mirror.Run(t.Context(), o); !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
	if got := target.Requests(ocitest.Match{}); len(got) != 0 {
		t.Errorf("the target saw %v", got)
	}
}

func TestDryRunWritesNothing(t *testing.T) {
	w := newOrigin(t, releasetest.Options{})
	w.speak(t)
	target := ocitest.Registry(t)
	for _, to := range []mirror.Destination{w.toRegistry(t, client(t, target.Addr()), target.Addr()+"/mirror"), mirror.ToNothing()} {
		o := w.options(to)
		o.DryRun = true
		r := run(t, o)
		if len(r.Images) != len(w.set.Components)+1 || r.Bytes < w.set.Bytes() || r.Images[0].Status != mirror.StatusCopied {
			t.Errorf("the result is %+v", r)
		}
	}
	if n := target.Total(ocitest.Match{Method: ocitest.Writes}).Requests; n != 0 {
		t.Errorf("%d requests wrote", n)
	}
}

func TestMissingImagesAreToldAtOnce(t *testing.T) {
	w := newOrigin(t, releasetest.Options{})
	p := w.payload()
	for _, c := range []string{w.set.Components[0].Name, w.set.Components[1].Name} {
		p.Images[c] = w.server.Addr() + "/okd/gone@sha256:" + strings.Repeat("1", 64)
	}
	digest, err := w.registry.Push(t.Context(), w.repository()+":broken", p.Image(t))
	if err != nil {
		t.Fatal(err)
	}
	w.reference = w.repository() + "@" + digest.String()
	target := ocitest.Registry(t)
	registry := client(t, target.Addr())
	_, err = mirror.Run(t.Context(), w.options(w.toRegistry(t, registry, target.Addr()+"/mirror")))
	if err == nil || !strings.Contains(err.Error(), w.set.Components[0].Name) || !strings.Contains(err.Error(), w.set.Components[1].Name) {
		t.Errorf("got %v", err)
	}
	if _, err := registry.Resolve(t.Context(), target.Addr()+"/mirror:"+version+"-x86_64"); !errors.Is(err, oci.ErrNotFound) {
		t.Errorf("an incomplete payload has a tag: %v", err)
	}
}

func TestSignaturesOfTheTargetAreNotLost(t *testing.T) {
	w := newOrigin(t, few)
	w.speak(t)
	target := ocitest.Registry(t)
	registry := client(t, target.Addr())
	repository := target.Addr() + "/mirror"
	_, hex, _ := strings.Cut(w.reference, "@sha256:")
	tag := ":sha256-" + hex + ".sig"
	own, err := random.Image(50, 1)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := registry.Push(t.Context(), repository+tag, own)
	if err != nil {
		t.Fatal(err)
	}
	r := run(t, w.options(w.toRegistry(t, registry, repository)))
	if got, err := registry.Resolve(t.Context(), repository+tag); err != nil || got != digest {
		t.Errorf("the target's own signature became %s, %v", got, err)
	}
	if len(r.Kept) != 1 || r.Kept[0] != repository+tag {
		t.Errorf("kept: %v", r.Kept)
	}
	o := w.options(w.toRegistry(t, registry, repository))
	o.Overwrite = true
	run(t, o)
	w.holds(t, registry, within(repository))

	// One that has all that was there and more takes its place unasked.
	more, err := w.registry.Image(t.Context(), w.repository()+tag)
	if err != nil {
		t.Fatal(err)
	}
	layer, err := random.Layer(40, "application/vnd.dev.cosign.simplesigning.v1+json")
	if err != nil {
		t.Fatal(err)
	}
	if more, err = mutate.AppendLayers(more, layer); err != nil {
		t.Fatal(err)
	}
	if digest, err = w.registry.Push(t.Context(), w.repository()+tag, more); err != nil {
		t.Fatal(err)
	}
	run(t, w.options(w.toRegistry(t, registry, repository)))
	if got, err := registry.Resolve(t.Context(), repository+tag); err != nil || got != digest {
		t.Errorf("the signature that was added to is %s, %v", got, err)
	}
}

// TestSayingsInACircle has tags that name one another's images, which only a
// hostile registry can have.
func TestSayingsInACircle(t *testing.T) {
	w := newOrigin(t, few)
	a, err := random.Image(30, 1)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := a.Digest()
	if err != nil {
		t.Fatal(err)
	}
	_, payload, _ := strings.Cut(w.reference, "@sha256:")
	if _, err := w.registry.Push(t.Context(), w.repository()+":sha256-"+payload+".sig", a); err != nil {
		t.Fatal(err)
	}
	if err := w.registry.Tag(t.Context(), w.reference, "sha256-"+digest.Hex+".sig"); err != nil {
		t.Fatal(err)
	}
	target := ocitest.Registry(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := mirror.Run(ctx, w.options(w.toRegistry(t, client(t, target.Addr()), target.Addr()+"/mirror"))); err != nil {
		t.Error(err)
	}
}

// TestRegistriesThatListNoReferrers uses registries of before OCI 1.1, whose
// clients keep the lists.
func TestRegistriesThatListNoReferrers(t *testing.T) {
	w := newOrigin(t, few)
	w.speak(t)
	target := ocitest.Registry(t, ocitest.Fault{On: ocitest.Match{Kind: ocitest.Referrers}, Do: ocitest.Status(404)},
		ocitest.Fault{On: ocitest.Match{Method: "PUT", Kind: ocitest.Manifest}, Do: withoutSubject})
	registry := client(t, target.Addr())
	repository := target.Addr() + "/mirror"
	run(t, w.options(w.toRegistry(t, registry, repository)))
	w.holds(t, registry, within(repository))
}

// withoutSubject hides that the registry behind knows referrers.
func withoutSubject(rw http.ResponseWriter, r *http.Request, next http.Handler) {
	next.ServeHTTP(&hidingWriter{ResponseWriter: rw}, r)
}

type hidingWriter struct{ http.ResponseWriter }

func (h *hidingWriter) WriteHeader(code int) {
	h.Header().Del("OCI-Subject")
	h.ResponseWriter.WriteHeader(code)
}

func TestInstructionsFitWhatReadsThem(t *testing.T) {
	mirrors := []oci.Mirror{{Source: "quay.io/okd/a", Mirrors: []string{"m.example/a"}}, {Source: "quay.io/okd/b", Mirrors: []string{"m.example/a", "m.example/b"}}}
	for kind, want := range map[string]string{mirror.InstructionsIDMS: "imageDigestMirrors:", mirror.InstructionsICSP: "repositoryDigestMirrors:"} {
		text, err := mirror.Instructions(kind, mirrors)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), want) {
			t.Errorf("%s:\n%s", kind, text)
		}
		read, err := oci.ParseMirrors(text)
		if err != nil || !reflect.DeepEqual(read, append(oci.Mirrors(mirrors), mirrors...)) {
			t.Errorf("%s is read as %v, %v", kind, read, err)
		}
	}
	if text, err := mirror.Instructions(mirror.InstructionsIDMS, nil); err != nil || text != nil {
		t.Errorf("of nothing: %q, %v", text, err)
	}
}

func TestTargetsThatAreWrong(t *testing.T) {
	registry := client(t, "127.0.0.1:1")
	for to, release := range map[string]string{
		"a.example/b:tag":            "",
		"a.example/b@sha256:11":      "",
		"a.example/${version}":       "",
		"a.example/${componenn}":     "",
		"b":                          "",
		"a.example/b":                "a.example/c",
		"a.example/B/${component}":   "",
		"a.example/b/${component}:/": "",
	} {
		if _, err := mirror.ToRegistry(registry, to, release); err == nil {
			t.Errorf("%q with release %q was taken", to, release)
		}
	}
}
