package releasetest

import (
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// ForPlatforms has every component be a list of images, one for each architecture, as
// builds for several platforms push them. The images differ in what their configuration
// says.
func (s *Set) ForPlatforms(t testing.TB, architectures ...string) {
	t.Helper()
	for i := range s.Components {
		c := &s.Components[i]
		ref, err := name.NewDigest(c.Reference)
		if err != nil {
			t.Fatal(err)
		}
		img, err := remote.Image(ref, remote.WithContext(t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		list := listOf(t, s.Options, img, architectures)
		if err := remote.WriteIndex(ref.Context().Tag("list-"+c.Digest.Hex[:12]), list, remote.WithContext(t.Context())); err != nil {
			t.Fatal(err)
		}
		if c.Digest, err = list.Digest(); err != nil {
			t.Fatal(err)
		}
		c.Reference = ref.Context().Digest(c.Digest.String()).Name()
	}
}

func listOf(t testing.TB, o Options, img v1.Image, architectures []string) v1.ImageIndex {
	t.Helper()
	listType, imageType := types.OCIImageIndex, types.OCIManifestSchema1
	if o.Docker {
		listType, imageType = types.DockerManifestList, types.DockerManifestSchema2
	}
	list := mutate.IndexMediaType(empty.Index, listType)
	for _, architecture := range architectures {
		config, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		config = config.DeepCopy()
		config.Architecture = architecture
		one, err := mutate.ConfigFile(img, config)
		if err != nil {
			t.Fatal(err)
		}
		list = mutate.AppendManifests(list, mutate.IndexAddendum{Add: one, Descriptor: v1.Descriptor{
			MediaType: imageType, Platform: &v1.Platform{OS: "linux", Architecture: architecture},
		}})
	}
	return list
}
