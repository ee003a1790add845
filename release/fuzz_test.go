package release_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/releasetest"
)

// FuzzComponentVersions reads any label; what it accepts must mean the same when
// it is written again.
func FuzzComponentVersions(f *testing.F) {
	for _, seed := range []string{"", "kubernetes=1.36.3,kubectl=1.36.3", "machine-os=415.92.202402201450-0+x", "a=1.0.0", "kubernetes=1.36.3, kubernetes=1.36.4", "k=v=w", ",", "ab=1.2.3-0.x+y.z"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, label string) {
		versions, err := release.ParseComponentVersions(label)
		if err != nil {
			return
		}
		var pairs []string
		for _, key := range slices.Sorted(maps.Keys(versions)) {
			if strings.ContainsAny(versions[key], "+,= \n") {
				t.Errorf("version %q of %q", versions[key], key)
			}
			pairs = append(pairs, key+"="+versions[key])
		}
		again, err := release.ParseComponentVersions(strings.Join(pairs, ","))
		if diff := cmp.Diff(versions, again); err != nil || diff != "" {
			t.Errorf("read again: %v %s", err, diff)
		}
	})
}

// FuzzFromFiles reads the files of a payload with the bytes of one changed. What
// is accepted must be consistent.
func FuzzFromFiles(f *testing.F) {
	small := releasetest.Small("4.15.0")
	for _, file := range small.Files() {
		f.Add(file.Name, file.Data)
	}
	f.Add("image-references", []byte(`{"kind":"ImageStream","apiVersion":"image.openshift.io/v1","metadata":{"name":"4.15.0"},"spec":{"tags":[{"name":"a","from":{"kind":"DockerImage","name":"b"}}]}}`))
	f.Add("release-metadata", []byte(`{"kind":"cincinnati-metadata-v0","version":"4.15.0","previous":["4.14.0",null]}`))
	f.Add("../../etc/passwd", []byte("x"))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		files := []release.File{{Name: name, Data: data}}
		for _, file := range small.Files() {
			if file.Name != name {
				files = append(files, release.File(file))
			}
		}
		p, err := release.FromFiles(files)
		if err != nil {
			return
		}
		if p.Version.IsZero() || p.Version != p.Metadata.Version || p.References.Name != p.Version.String() {
			t.Errorf("versions %q, %q, %q", p.Version, p.Metadata.Version, p.References.Name)
		}
		for _, c := range p.Components() {
			if image, ok := p.Image(c); !ok || !strings.Contains(image, "@sha256:") {
				t.Errorf("component %q is %q", c, image)
			}
		}
	})
}
