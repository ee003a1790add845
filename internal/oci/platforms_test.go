package oci_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/ocitest"
)

// imageFor is an image whose configuration names an architecture; "" for none.
func imageFor(t *testing.T, arch string) v1.Image {
	t.Helper()
	img, err := mutate.ConfigFile(mutate.MediaType(empty.Image, types.OCIManifestSchema1), &v1.ConfigFile{
		OS: "linux", Architecture: arch, RootFS: v1.RootFS{Type: "layers"}, Config: v1.Config{Labels: map[string]string{"for": arch}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestArchitectures(t *testing.T) {
	r, err := oci.NewRegistry(ocitest.Registry(t).Addr()+"/ci", "")
	if err != nil {
		t.Fatal(err)
	}
	list := func(platforms ...string) v1.ImageIndex {
		var index v1.ImageIndex = mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
		for _, text := range platforms {
			platform, err := v1.ParsePlatform(text)
			if err != nil {
				t.Fatal(err)
			}
			index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: imageFor(t, text), Descriptor: v1.Descriptor{Platform: platform}})
		}
		return index
	}
	for name, tc := range map[string]struct {
		index v1.ImageIndex
		image v1.Image
		want  string
		any   string // what is taken for linux/amd64
	}{
		"list":            {index: list("linux/arm64", "linux/amd64", "unknown/unknown"), want: "amd64 arm64", any: "linux/amd64"},
		"without amd64":   {index: list("linux/s390x", "linux/arm64"), want: "arm64 s390x", any: "linux/s390x"},
		"variants":        {index: list("linux/arm/v7", "linux/arm/v6", "windows/amd64"), want: "arm", any: "linux/arm/v7"},
		"image":           {image: imageFor(t, "arm64"), want: "arm64", any: "arm64"},
		"no architecture": {image: imageFor(t, ""), want: "amd64", any: ""},
	} {
		t.Run(name, func(t *testing.T) {
			ref := r.Canonical() + "/" + strings.ReplaceAll(name, " ", "-") + ":x"
			var err error
			if tc.index != nil {
				_, err = r.PushIndex(t.Context(), ref, tc.index)
			} else {
				_, err = r.Push(t.Context(), ref, tc.image)
			}
			if err != nil {
				t.Fatal(err)
			}
			images, isList, err := oci.Architectures(t.Context(), r, ref)
			if got := strings.Join(slices.Sorted(maps.Keys(images)), " "); err != nil || got != tc.want || isList != (tc.index != nil) {
				t.Errorf("architectures %q, list %v, %v; want %q", got, isList, err, tc.want)
			}
			img, err := oci.AnyImage(t.Context(), r, ref, v1.Platform{OS: "linux", Architecture: "amd64"})
			if err != nil {
				t.Fatal(err)
			}
			config, err := img.ConfigFile()
			if err != nil || config.Config.Labels["for"] != tc.any {
				t.Errorf("taken is that for %q, %v; want %q", config.Config.Labels["for"], err, tc.any)
			}
		})
	}
	if _, _, err := oci.Architectures(t.Context(), r, r.Canonical()+"/none:x"); err == nil {
		t.Error("there is an image under a name that there is not")
	}
}
