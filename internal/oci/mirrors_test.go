package oci_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/ocitest"
)

const digestSets = `# printed
imageDigestSources:
- source: quay.io/okd/scos-release
  mirrors: [mirror.example/okd]
---
apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata: {name: example}
spec:
  imageDigestMirrors:
  - source: quay.io/okd
    mirrors: [one.example/okd, two.example:5000/okd/]
  - source: "*.internal.example"
    mirrorSourcePolicy: NeverContactSource
    mirrors: [mirror.example/all]
---
apiVersion: operator.openshift.io/v1alpha1
kind: ImageContentSourcePolicy
spec:
  repositoryDigestMirrors:
  - source: registry.example
    mirrors: [mirror.example/whole]
`

func TestMirrorsAreTriedInOrder(t *testing.T) {
	mirrors, err := oci.ParseMirrors([]byte(digestSets))
	if err != nil {
		t.Fatal(err)
	}
	digest := "@sha256:" + strings.Repeat("a", 64)
	signature := ":sha256-" + strings.Repeat("a", 64) + ".sig"
	for ref, want := range map[string][]string{
		"quay.io/okd/scos-release" + digest:    {"mirror.example/okd" + digest, "one.example/okd/scos-release" + digest, "two.example:5000/okd/scos-release" + digest, "quay.io/okd/scos-release" + digest},
		"quay.io/okd/scos-release" + signature: {"mirror.example/okd" + signature, "one.example/okd/scos-release" + signature, "two.example:5000/okd/scos-release" + signature, "quay.io/okd/scos-release" + signature},
		"quay.io/okd/scos-release:4.19.0":      {"quay.io/okd/scos-release:4.19.0"},
		"quay.io/okdx/a" + digest:              {"quay.io/okdx/a" + digest},
		"a.internal.example/b/c" + digest:      {"mirror.example/all/b/c" + digest},
		"registry.example/a" + digest:          {"mirror.example/whole/a" + digest, "registry.example/a" + digest},
		"registry.example:5000/a" + digest:     {"mirror.example/whole:5000/a" + digest, "registry.example:5000/a" + digest},
	} {
		if diff := cmp.Diff(want, mirrors.Places(ref)); diff != "" {
			t.Errorf("%s: %s", ref, diff)
		}
	}
}

func TestMirrorFilesThatAreWrong(t *testing.T) {
	for name, data := range map[string]string{
		"empty":          "",
		"no mirrors":     "kind: ImageDigestMirrorSet\nspec: {}\n",
		"another kind":   "kind: ImageTagMirrorSet\nspec: {imageTagMirrors: []}\n",
		"no source":      "kind: ImageDigestMirrorSet\nspec: {imageDigestMirrors: [{mirrors: [a.example/b]}]}\n",
		"unknown policy": "kind: ImageDigestMirrorSet\nspec: {imageDigestMirrors: [{source: a.example, mirrorSourcePolicy: Perhaps, mirrors: [a.example/b]}]}\n",
		"bad mirror":     "kind: ImageDigestMirrorSet\nspec: {imageDigestMirrors: [{source: a.example, mirrors: ['a b']}]}\n",
		"no YAML":        "kind: [",
	} {
		if _, err := oci.ParseMirrors([]byte(data)); err == nil {
			t.Errorf("%s: it was read", name)
		}
	}
}

func TestImagesAreReadFromMirrors(t *testing.T) {
	mirror := ocitest.Registry(t)
	at := client(t, mirror.Addr())
	digest, err := at.Push(t.Context(), mirror.Addr()+"/copies/etcd:1", newImage(t, 1000))
	if err != nil {
		t.Fatal(err)
	}
	source := ocitest.Registry(t)
	only, err := client(t, source.Addr()).Push(t.Context(), source.Addr()+"/real/etcd:1", newImage(t, 500))
	if err != nil {
		t.Fatal(err)
	}
	source.Forget()
	broken := ocitest.Registry(t, ocitest.Fault{Do: ocitest.Status(404)})
	r := client(t, source.Addr(), oci.WithMirrors(oci.Mirrors{{Source: source.Addr() + "/real", Mirrors: []string{broken.Addr() + "/x", mirror.Addr() + "/copies"}}}))
	img, err := r.Image(t.Context(), source.Addr()+"/real/etcd@"+digest.String())
	if err != nil {
		t.Fatal(err)
	}
	if err := readAll(img); err != nil {
		t.Error(err)
	}
	if got := source.Requests(ocitest.Match{}); len(got) != 0 {
		t.Errorf("the source was asked %d times", len(got))
	}
	// What no mirror has comes from the source.
	if _, err := r.Image(t.Context(), source.Addr()+"/real/etcd@"+only.String()); err != nil {
		t.Error(err)
	}
}

func FuzzParseMirrors(f *testing.F) {
	f.Add([]byte(digestSets))
	f.Add([]byte(`{"imageContentSources":[{"source":"a/b","mirrors":["c/d"]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		mirrors, err := oci.ParseMirrors(data)
		if err != nil {
			return
		}
		ref := "a/b@sha256:" + strings.Repeat("a", 64)
		if places := mirrors.Places(ref); len(places) == 0 {
			t.Error("there is no place for a reference")
		}
	})
}
