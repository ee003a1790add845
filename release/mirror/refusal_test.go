package mirror_test

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/ocitest"
	"github.com/slipway-release/slipway/release/mirror"
	"github.com/slipway-release/slipway/release/releasetest"
)

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
