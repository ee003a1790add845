package mirror_test

import (
	"strings"
	"testing"

	"github.com/slipway-release/slipway/internal/oci/ocitest"
	"github.com/slipway-release/slipway/release/mirror"
	"github.com/slipway-release/slipway/release/releasetest"
)

func (w *origin) relocation(t *testing.T, to string, change func(images map[string]string)) (*mirror.Relocation, error) {
	t.Helper()
	images := w.set.References()
	if change != nil {
		change(images)
	}
	return mirror.Relocate(mirror.Options{Source: w.registry, To: w.toRegistry(t, w.registry, to)}, "4.15.0", "amd64", images)
}

func TestRelocate(t *testing.T) {
	w := newOrigin(t, releasetest.Options{Components: 5, Operators: 1, Manifests: 1})
	w.speak(t)
	target := ocitest.Registry(t)
	r, err := w.relocation(t, target.Addr()+"/content", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := target.Total(ocitest.Match{}).Requests; got != 0 {
		t.Errorf("planning asked the target %d times", got)
	}
	names := []string{w.set.Components[0].Name, w.set.Components[3].Name}
	images, err := r.Run(t.Context(), names)
	if err != nil || len(images) != 2 {
		t.Fatalf("%+v, %v", images, err)
	}
	place := client(t, target.Addr())
	for i, name := range names {
		c := w.set.Component(t, name)
		if want := target.Addr() + "/content@" + c.Digest.String(); r.Reference(name) != want {
			t.Errorf("%s is %q, want %q", name, r.Reference(name), want)
		}
		if want := target.Addr() + "/content:4.15.0-x86_64-" + name; images[i].To != want {
			t.Errorf("%s has the tag %q, want %q", name, images[i].To, want)
		}
		readAll(t, place, r.Reference(name))
	}
	if found, err := place.Referrers(t.Context(), r.Reference(names[1]), ""); err != nil || len(found) != 1 {
		t.Errorf("what was said about %s is %+v, %v", names[1], found, err)
	}
	if _, err := place.Descriptor(t.Context(), r.Reference(w.set.Components[1].Name)); err == nil {
		t.Error("an image was copied that nobody asked for")
	}
	if r.Reference("nobody") != "" {
		t.Error("a component that there is not has a place")
	}
}

func TestRelocateRefuses(t *testing.T) {
	w := newOrigin(t, releasetest.Options{Components: 3, Operators: 1, Manifests: 1})
	a, b := w.set.Components[0].Name, w.set.Components[1].Name
	_, err := w.relocation(t, w.server.Addr()+"/content", func(images map[string]string) {
		images[a] = strings.Replace(images[a], "@sha256:", ":", 1)
		images[b] = ""
	})
	if err == nil || !strings.Contains(err.Error(), a) || !strings.Contains(err.Error(), b) {
		t.Errorf("not everything is reported: %v", err)
	}
	r, err := w.relocation(t, w.server.Addr()+"/content", func(images map[string]string) {
		images[a] = w.server.Addr() + "/okd/none@sha256:" + strings.Repeat("0", 64)
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Run(t.Context(), []string{a, b}); err == nil || !strings.Contains(err.Error(), a) {
		t.Errorf("got %v", err)
	}
	readAll(t, w.registry, r.Reference(b)) // the other is there all the same
}
