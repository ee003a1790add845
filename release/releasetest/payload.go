package releasetest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/slipway-release/slipway/internal/layer/layertest"
)

// Payload is a release image as `oc adm release new` writes it, byte by byte:
// Docker schema 2 throughout, one gzip layer on those of the base, two labels,
// one history entry with a comment padded to the number of layers. Whatever is
// left empty is left out, however wrong that is.
type Payload struct {
	Version  string
	Images   map[string]string            // component → pull spec
	Labels   map[string]map[string]string // component → annotations of its tag
	Previous []string
	Next     []string
	Metadata map[string]string
	// Manifests follow in this order; oc writes component by component.
	Manifests []File
	Created   time.Time // default 2026-11-20T10:15:00Z

	// Name is that of the ImageStream when it is not the version, as it must be.
	Name string
	// Without names files that are missing: "image-references", "release-metadata".
	Without []string
	// Entries follow in the payload's layer as they are, with full names. Hostile
	// has some.
	Entries []layertest.Entry
	// On is what lies above the payload's layer, where oc finds it no longer.
	On []v1.Layer
	// Architecture is that of the image; default amd64.
	Architecture string
	// Base is the image below; default is one with a small layer.
	Base v1.Image
}

// Payload returns what oc would write for a set: all components pinned and the
// operators' manifests with images and versions in place.
func (s *Set) Payload(version string) Payload {
	p := Payload{Version: version, Images: s.References(), Labels: map[string]map[string]string{}}
	for _, c := range s.Components {
		annotations := maps.Clone(c.Labels)
		maps.DeleteFunc(annotations, func(key, _ string) bool { return !strings.HasPrefix(key, "io.openshift.build.") })
		p.Labels[c.Name] = annotations
		for _, f := range c.Files {
			if f.Name == "image-references" {
				continue
			}
			text := string(f.Data)
			for _, used := range c.Uses {
				text = strings.ReplaceAll(text, "quay.io/upstream/"+used+":dev", p.Images[used])
			}
			text = strings.ReplaceAll(text, "0.0.1-snapshot-kubernetes", Version)
			text = strings.ReplaceAll(text, "0.0.1-snapshot", version)
			name := f.Name
			if !strings.HasPrefix(name, "0000_") {
				name = "0000_50_" + c.Name + "_" + name
			}
			p.Manifests = append(p.Manifests, File{name, []byte(text)})
		}
	}
	return p
}

// Small is a payload of two components that are nowhere and three manifests.
func Small(version string) Payload {
	spec := func(name string) string {
		return "registry.example.com/okd/content@" + sum([]byte(name)).String()
	}
	return Payload{
		Version: version, Previous: []string{}, Metadata: map[string]string{"url": "https://example.com/" + version},
		Images: map[string]string{"cluster-version-operator": spec("cvo"), "etcd": spec("etcd")},
		Labels: map[string]map[string]string{
			"etcd": {"io.openshift.build.commit.id": "0123456789abcdef0123456789abcdef01234567", "io.openshift.build.commit.ref": "",
				"io.openshift.build.source-location": "https://github.com/example/etcd", "io.openshift.build.versions": "kubernetes=1.36.3"},
		},
		Manifests: []File{
			{"0000_10_etcd_00_namespace.yaml", []byte("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: etcd\n  " + included + "\n")},
			{"0000_10_etcd_01_config.yaml", []byte("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: etcd\n  namespace: etcd\n  " + included + "\ndata:\n  image: " + spec("etcd") + "\n")},
			{"0000_10_etcd_02_notes.txt", []byte("not a manifest\n")},
		},
	}
}

// Files returns the files of release-manifests/ in the order of the archive.
func (p Payload) Files() []File {
	var files []File
	for _, f := range []File{{"image-references", p.references()}, {"release-metadata", p.metadata()}} {
		if !slices.Contains(p.Without, f.Name) {
			files = append(files, f)
		}
	}
	return append(files, p.Manifests...)
}

func (p Payload) created() time.Time {
	if p.Created.IsZero() {
		return created
	}
	return p.Created.UTC()
}

// references writes image-references as oc does, field by field.
func (p Payload) references() []byte {
	type from struct {
		Kind string `json:"kind"`
		Name string `json:"name"`
	}
	type tag struct {
		Name            string            `json:"name"`
		Annotations     map[string]string `json:"annotations"`
		From            from              `json:"from"`
		Generation      *int              `json:"generation"`
		ImportPolicy    struct{}          `json:"importPolicy"`
		ReferencePolicy struct {
			Type string `json:"type"`
		} `json:"referencePolicy"`
	}
	var is struct {
		Kind       string `json:"kind"`
		APIVersion string `json:"apiVersion"`
		Metadata   struct {
			Name              string    `json:"name"`
			CreationTimestamp time.Time `json:"creationTimestamp"`
		} `json:"metadata"`
		Spec struct {
			LookupPolicy struct {
				Local bool `json:"local"`
			} `json:"lookupPolicy"`
			Tags []tag `json:"tags"`
		} `json:"spec"`
		Status struct {
			DockerImageRepository string `json:"dockerImageRepository"`
		} `json:"status"`
	}
	is.Kind, is.APIVersion = "ImageStream", "image.openshift.io/v1"
	is.Metadata.Name, is.Metadata.CreationTimestamp = p.Version, p.created()
	if p.Name != "" {
		is.Metadata.Name = p.Name
	}
	for _, name := range slices.Sorted(maps.Keys(p.Images)) {
		is.Spec.Tags = append(is.Spec.Tags, tag{Name: name, Annotations: p.Labels[name], From: from{"DockerImage", p.Images[name]}})
	}
	return indented(is)
}

func (p Payload) metadata() []byte {
	return indented(struct {
		Kind     string            `json:"kind"`
		Version  string            `json:"version"`
		Previous []string          `json:"previous"`
		Next     []string          `json:"next,omitempty"`
		Metadata map[string]string `json:"metadata,omitempty"`
	}{"cincinnati-metadata-v0", p.Version, append([]string{}, p.Previous...), p.Next, p.Metadata})
}

func indented(v any) []byte {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic(err) // structures of strings
	}
	return data
}

// Archive returns the unpacked layer: the folder, the two files, the manifests
// and whatever else was asked for.
func (p Payload) Archive() []byte {
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	mtime := p.created().Truncate(time.Second)
	write := func(header tar.Header, data string) {
		if header.Size == 0 {
			header.Size = int64(len(data))
		}
		if header.ModTime.IsZero() {
			header.ModTime = mtime
		}
		if err := tw.WriteHeader(&header); err != nil {
			panic(err) // an entry that no archive can hold is the test's mistake
		}
		_, _ = io.WriteString(tw, data)
	}
	write(tar.Header{Typeflag: tar.TypeDir, Name: "release-manifests", Mode: 0o777}, "")
	for _, f := range p.Files() {
		write(tar.Header{Typeflag: tar.TypeReg, Name: "release-manifests/" + f.Name, Mode: 0o444}, string(f.Data))
	}
	for _, e := range p.Entries {
		write(e.Header, e.Data)
	}
	// An entry may promise more bytes than it has; then there is no proper end.
	_ = tw.Close()
	return buf.Bytes()
}

// layer packs an archive the way oc does: the standard library's default level.
func dockerLayer(archive []byte) *blob {
	var packed bytes.Buffer
	zw := gzip.NewWriter(&packed)
	_, _ = zw.Write(archive)
	_ = zw.Close()
	return newBlob(packed.Bytes(), sum(archive), types.DockerLayer)
}

// Image makes the image.
func (p Payload) Image(t testing.TB) v1.Image {
	t.Helper()
	base := p.Base
	if base == nil {
		base = layertest.Image(t, map[string]string{"vendor": "dropped"}, layertest.Layer(t, layertest.File("usr/bin/cluster-version-operator", "ELF")))
	}
	baseDigest, err := base.Digest()
	if err != nil {
		t.Fatal(err)
	}
	from, err := base.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	layers, err := base.Layers()
	if err != nil {
		t.Fatal(err)
	}
	config := *from.DeepCopy()
	config.Created = v1.Time{Time: p.created()}
	config.OS = "linux"
	config.Architecture = "amd64"
	if p.Architecture != "" {
		config.Architecture = p.Architecture
	}
	config.Config.Labels = map[string]string{
		"io.openshift.release": p.Version, "io.openshift.release.base-image-digest": baseDigest.String(),
	}
	config.RootFS = v1.RootFS{Type: "layers"}
	config.History = nil
	var all []*blob
	for _, l := range append(append(layers, dockerLayer(p.Archive())), p.On...) {
		all = append(all, copied(t, l))
	}
	for _, l := range all {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, l.diffID)
		config.History = append(config.History, v1.History{})
	}
	last := len(layers)
	config.History[last] = v1.History{Created: v1.Time{Time: p.created()}, Comment: "Release image for OpenShift"}
	return assembleImage(types.DockerManifestSchema2, marshal(config), types.DockerConfigJSON, all...)
}

// copied holds a layer of any format as one of Docker's.
func copied(t testing.TB, l v1.Layer) *blob {
	t.Helper()
	rc, err := l.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	unpacked := sha256.New()
	if _, err := io.Copy(unpacked, rc); err != nil {
		t.Fatal(err)
	}
	packed, err := l.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	data, err := io.ReadAll(packed)
	if err != nil {
		t.Fatal(err)
	}
	return newBlob(data, v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", unpacked.Sum(nil))}, types.DockerLayer)
}

// Index makes a manifest list with the payload for every architecture, as
// `oc adm release new --keep-manifest-list` does: the same files in each.
func (p Payload) Index(t testing.TB, architectures ...string) v1.ImageIndex {
	t.Helper()
	index := mutate.IndexMediaType(empty.Index, types.DockerManifestList)
	p.Metadata = maps.Clone(p.Metadata)
	if p.Metadata == nil {
		p.Metadata = map[string]string{}
	}
	p.Metadata["release.openshift.io/architecture"] = "multi"
	for _, architecture := range architectures {
		p.Architecture = architecture
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: p.Image(t),
			Descriptor: v1.Descriptor{
				MediaType: types.DockerManifestSchema2, Platform: &v1.Platform{OS: "linux", Architecture: architecture},
			},
		})
	}
	return index
}

// Hostile returns entries that no payload may bring, each under what it tries.
// Give them to Payload.Entries.
func Hostile() map[string][]layertest.Entry {
	const dir = "release-manifests/"
	link := func(flag byte, name, target string) layertest.Entry {
		return layertest.Entry{Header: tar.Header{Typeflag: flag, Name: name, Linkname: target, Mode: 0o777}}
	}
	return map[string][]layertest.Entry{
		"a path out of the folder":       {layertest.File(dir+"../../etc/cron.d/x", "x")},
		"a path out of the root":         {layertest.File("../../etc/cron.d/x", "x")},
		"a link out":                     {link(tar.TypeSymlink, dir+"0000_10_x.yaml", "/etc/passwd")},
		"a hard link out":                {link(tar.TypeLink, dir+"0000_10_x.yaml", "../../etc/passwd")},
		"a device":                       {link(tar.TypeChar, dir+"0000_10_x.yaml", "")},
		"a folder that is a link":        {link(tar.TypeSymlink, strings.TrimSuffix(dir, "/"), "/etc")},
		"a file twice":                   {layertest.File(dir+"0000_10_x.yaml", "kind: A"), layertest.File(dir+"0000_10_x.yaml", "kind: B")},
		"image-references twice":         {layertest.File(dir+"image-references", "{}")},
		"a file larger than any":         {layertest.File(dir+"0000_10_x.yaml", strings.Repeat("#", 64<<20))},
		"a size that is not there":       {{Header: tar.Header{Typeflag: tar.TypeReg, Name: dir + "0000_10_x.yaml", Mode: 0o444, Size: 1 << 40}, Data: "short"}},
		"a name with a control in it":    {layertest.File(dir+"0000_10_x\x1b[2J\n.yaml", "kind: A")},
		"a name too long for any system": {layertest.File(dir+strings.Repeat("x", 5000)+".yaml", "kind: A")},
	}
}
