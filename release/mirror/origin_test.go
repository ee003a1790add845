package mirror_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/ocitest"
	"github.com/slipway-release/slipway/release/mirror"
	"github.com/slipway-release/slipway/release/releasetest"
)

const version = "4.19.0-0.okd-2026-11-20-101500"

// quick is patience for tests: as many attempts as usual, shorter pauses, but far longer
// than what a test has a registry refuse.
var quick = oci.WithPatience(6, 30*time.Millisecond, 2*time.Second, time.Minute)

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
