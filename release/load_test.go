package release_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	. "github.com/slipway-release/slipway/internal/layer/layertest"
	"github.com/slipway-release/slipway/release"
)

// okd is a payload written by hand the way oc writes them.
func okd(t testing.TB, change func(files map[string]string)) []Entry {
	t.Helper()
	files := map[string]string{}
	for name, path := range map[string]string{
		release.ReferencesFile:                     "okd/image-references",
		release.MetadataFile:                       "okd/release-metadata",
		"0000_50_console_07-operator.yaml":         "okd/0000_50_console_07-operator.yaml",
		"0000_10_config-operator_01_feature.json":  "okd/0000_10_config-operator_01_feature.json",
		"0000_90_openshift_signature-keyring.asc":  "okd/keyring.asc",
		"0000_03_quota_01_clusterresourcequota.md": "okd/readme.md",
	} {
		data, err := os.ReadFile(filepath.Join("testdata", path))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = string(data)
	}
	if change != nil {
		change(files)
	}
	entries := []Entry{{Header: tar.Header{Typeflag: tar.TypeDir, Name: "release-manifests", Mode: 0o777}}}
	for _, name := range []string{release.ReferencesFile, release.MetadataFile} {
		if data, ok := files[name]; ok {
			entries = append(entries, File("release-manifests/"+name, data))
			delete(files, name)
		}
	}
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	slices.Reverse(names) // tar order is not name order
	for _, name := range names {
		entries = append(entries, File("release-manifests/"+name, files[name]))
	}
	return entries
}

func okdImage(t testing.TB, entries ...Entry) v1.Image {
	base := Layer(t, File("usr/bin/cluster-version-operator", "#!"), File("release-manifests-of-old/image-references", "{}"))
	return Image(t, map[string]string{release.LabelRelease: "4.15.0-0.okd-2024-03-10-010116"}, base, Layer(t, entries...))
}

func TestLoadOKDPayload(t *testing.T) {
	img := okdImage(t, okd(t, nil)...)
	p, err := release.Load(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if p.Digest != digest || p.Version.String() != "4.15.0-0.okd-2024-03-10-010116" || p.Version.Stream() != "okd" {
		t.Errorf("got %s %s", p.Version, p.Digest)
	}
	if got := strings.Join(p.Components(), " "); got != "cli console machine-os-content" {
		t.Errorf("components: %s", got)
	}
	if ref, ok := p.Image("console"); !ok || !p.Contains(ref) || !strings.HasPrefix(ref, "quay.io/openshift/okd-content@sha256:") {
		t.Errorf("console: %q %v", ref, ok)
	}
	if _, ok := p.Image("nonsense"); ok || p.Contains("quay.io/openshift/okd-content") {
		t.Error("an image that the payload does not have was found")
	}
	if v, err := p.KubernetesVersion(); err != nil || v != "1.28.7" {
		t.Errorf("kubernetes: %q %v", v, err)
	}
	if v, ok := p.ComponentVersion("machine-os"); !ok || v != "39.20240210.3" {
		t.Errorf("machine-os: %q %v", v, ok)
	}
	if _, ok := p.ComponentVersion("kubectl"); ok {
		t.Error("components disagree on kubectl, yet a version was given")
	}
	if n := len(p.Metadata.Previous); n != 2 || p.Metadata.Previous[0].String() != "4.14.0-0.okd-2024-01-26-175629" {
		t.Errorf("previous: %v", p.Metadata.Previous)
	}
	names := make([]string, 0, len(p.Manifests))
	for _, f := range p.Manifests {
		names = append(names, f.Name)
	}
	if len(names) != 4 || !slices.IsSorted(names) {
		t.Errorf("manifests: %v", names)
	}
	for _, name := range append(names, release.ReferencesFile, release.MetadataFile) {
		if data, ok := p.File(name); !ok || len(data) == 0 {
			t.Errorf("file %q is missing", name)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(files map[string]string)
		add    []Entry
		want   []string
	}{
		"only manifests":        {change: func(f map[string]string) { delete(f, release.ReferencesFile); delete(f, release.MetadataFile) }, want: []string{`"image-references" is missing`, `"release-metadata" is missing`}},
		"no metadata":           {change: func(f map[string]string) { delete(f, release.MetadataFile) }, want: []string{`"release-metadata" is missing`}},
		"names differ":          {change: replaceIn(release.ReferencesFile, "4.15.0-0.okd-2024-03-10-010116", "4.15.0"), want: []string{`is named "4.15.0"`}},
		"version is none":       {change: replaceIn(release.MetadataFile, "4.15.0-0.okd-2024-03-10-010116", "four"), want: []string{`"four"`}},
		"another label":         {change: both("4.15.0-0.okd-2024-03-10-010116", "4.15.0-0.okd-2024-03-10-010117"), want: []string{"label io.openshift.release says"}},
		"unpinned image":        {change: replaceIn(release.ReferencesFile, "@sha256:"+strings.Repeat("c", 64), ":latest"), want: []string{`"console"`, "not pinned by digest"}},
		"half a digest":         {change: replaceIn(release.ReferencesFile, strings.Repeat("c", 64), "cc"), want: []string{"not pinned by digest"}},
		"versions unreadable":   {change: replaceIn(release.ReferencesFile, "kubernetes=1.28.7", "kubernetes=latest"), want: []string{`"cli"`, "latest"}},
		"two things wrong":      {change: func(f map[string]string) { f[release.ReferencesFile] = "x"; f[release.MetadataFile] = "y" }, want: []string{"parsing image-references", "parsing release-metadata"}},
		"file twice":            {add: []Entry{File("./release-manifests/release-metadata", "{}")}, want: []string{"occurs twice"}},
		"link":                  {add: []Entry{Link("release-manifests/evil.yaml", "/etc/shadow")}, want: []string{"is a link"}},
		"path escape":           {add: []Entry{File("release-manifests/../../etc/evil", "x")}, want: []string{"leaves the root"}},
		"folder in the payload": {add: []Entry{File("release-manifests/sub", "x"), Dir("release-manifests/sub2/")}, want: []string{"must be whole in one layer"}},
		"a whiteout":            {add: []Entry{File("release-manifests/.wh.release-metadata", "")}, want: []string{"must be whole in one layer"}},
		"file too large":        {change: func(f map[string]string) { f["0000_50_a_b.yaml"] = strings.Repeat(" ", 8<<20+1) }, want: []string{"limit exceeded"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := release.Load(t.Context(), okdImage(t, append(okd(t, tc.change), tc.add...)...))
			for _, want := range tc.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q", err, want)
				}
			}
		})
	}
}

func replaceIn(file, old, with string) func(map[string]string) {
	return func(files map[string]string) { files[file] = strings.ReplaceAll(files[file], old, with) }
}

func both(old, with string) func(map[string]string) {
	return func(files map[string]string) {
		replaceIn(release.ReferencesFile, old, with)(files)
		replaceIn(release.MetadataFile, old, with)(files)
	}
}

func TestLoadImageWithoutPayload(t *testing.T) {
	for name, img := range map[string]v1.Image{
		"empty folder": okdImage(t, Dir("release-manifests")),
		"no layers":    Image(t, nil),
	} {
		if _, err := release.Load(t.Context(), img); !errors.Is(err, release.ErrNoPayload) {
			t.Errorf("%s: got %v, want ErrNoPayload", name, err)
		}
	}
}

func TestLoadTakesTheTopmostPayload(t *testing.T) {
	old := okd(t, func(f map[string]string) { f["0000_50_old_file.yaml"] = "old" })
	img := Image(t, nil, Layer(t, old...), Layer(t, okd(t, nil)...), Layer(t, File("etc/later", "x")))
	p, err := release.Load(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := p.File("0000_50_old_file.yaml"); ok {
		t.Error("a file of the lower payload was read")
	}
}

// A layer whose bytes are not those its digest names is refused although its
// archive can be read.
func TestLoadChecksTheBytes(t *testing.T) {
	l := tampered{Layer(t, okd(t, nil)...)}
	img, err := mutate.Append(Image(t, nil), mutate.Addendum{Layer: l, MediaType: types.OCILayer})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := release.Load(t.Context(), img); !errors.Is(err, errTampered) {
		t.Errorf("got %v, want the reader's verdict on the digest", err)
	}
}

var errTampered = errors.New("digest mismatch")

type tampered struct{ v1.Layer }

func (l tampered) Uncompressed() (io.ReadCloser, error) {
	rc, err := l.Layer.Uncompressed()
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(rc)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(io.MultiReader(bytes.NewReader(data), badEnd{})), rc.Close()
}

type badEnd struct{}

func (badEnd) Read([]byte) (int, error) { return 0, errTampered }

func FuzzLoad(f *testing.F) {
	f.Add(Archive(f, okd(f, nil)...))
	f.Add(Archive(f, File("release-manifests/image-references", "{}"), Link("release-manifests/x", "y")))
	f.Fuzz(func(t *testing.T, archive []byte) {
		p, err := release.Load(t.Context(), Image(t, nil, FromArchive(t, archive)))
		if err != nil {
			return
		}
		if p.Version.IsZero() || p.References.Name != p.Version.String() || len(p.Components()) == 0 {
			t.Errorf("an inconsistent payload came through: %+v", p)
		}
	})
}
