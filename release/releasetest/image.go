package releasetest

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
)

// created is the time of everything that is generated.
var created = time.Date(2026, 11, 20, 10, 15, 0, 0, time.UTC)

// blob is a layer or a configuration.
type blob struct {
	data           []byte // nil once it is forgotten
	digest, diffID v1.Hash
	size           int64
	mediaType      types.MediaType
}

var _ v1.Layer = (*blob)(nil)

func (b *blob) Digest() (v1.Hash, error)             { return b.digest, nil }
func (b *blob) DiffID() (v1.Hash, error)             { return b.diffID, nil }
func (b *blob) Size() (int64, error)                 { return b.size, nil }
func (b *blob) MediaType() (types.MediaType, error)  { return b.mediaType, nil }
func (b *blob) Compressed() (io.ReadCloser, error)   { return io.NopCloser(bytes.NewReader(b.data)), nil }
func (b *blob) Uncompressed() (io.ReadCloser, error) { return gzip.NewReader(bytes.NewReader(b.data)) }

// image is a v1.Image of blobs that are known.
type image struct {
	layers    []*blob
	config    *blob
	manifest  []byte
	digest    v1.Hash
	mediaType types.MediaType
}

var _ v1.Image = (*image)(nil)

func (i *image) Layers() ([]v1.Layer, error) {
	layers := make([]v1.Layer, len(i.layers))
	for n, l := range i.layers {
		layers[n] = l
	}
	return layers, nil
}
func (i *image) MediaType() (types.MediaType, error)       { return i.mediaType, nil }
func (i *image) Size() (int64, error)                      { return int64(len(i.manifest)), nil }
func (i *image) ConfigName() (v1.Hash, error)              { return i.config.digest, nil }
func (i *image) ConfigFile() (*v1.ConfigFile, error)       { return partial.ConfigFile(i) }
func (i *image) RawConfigFile() ([]byte, error)            { return i.config.data, nil }
func (i *image) Digest() (v1.Hash, error)                  { return i.digest, nil }
func (i *image) Manifest() (*v1.Manifest, error)           { return partial.Manifest(i) }
func (i *image) RawManifest() ([]byte, error)              { return i.manifest, nil }
func (i *image) LayerByDiffID(h v1.Hash) (v1.Layer, error) { return i.find(h, (*blob).DiffID) }
func (i *image) LayerByDigest(h v1.Hash) (v1.Layer, error) { return i.find(h, (*blob).Digest) }

func (i *image) find(h v1.Hash, by func(*blob) (v1.Hash, error)) (v1.Layer, error) {
	for _, l := range append(i.layers[:len(i.layers):len(i.layers)], i.config) {
		if got, _ := by(l); got == h {
			return l, nil
		}
	}
	return nil, fmt.Errorf("the image has no layer %s", h)
}

// forget returns the image without its layers' bytes.
func (i *image) forget() *image {
	slim := *i
	slim.layers = nil
	for _, l := range i.layers {
		bare := *l
		bare.data = nil
		slim.layers = append(slim.layers, &bare)
	}
	return &slim
}

// mounting has the registry take the shared layers from the repository that has
// them, in place of sending them again.
type mounting struct {
	*image
	base   name.Repository
	shared []*blob
}

// Layers implements v1.Image.
func (m mounting) Layers() ([]v1.Layer, error) {
	layers, err := m.image.Layers()
	for i, l := range layers {
		if b, ok := l.(*blob); ok && slices.Contains(m.shared, b) {
			layers[i] = &remote.MountableLayer{Layer: l, Reference: m.base.Digest(b.digest.String())}
		}
	}
	return layers, err
}

// newImage writes configuration and manifest by hand.
func newImage(o Options, labels map[string]string, layers ...*blob) *image {
	manifestType, configType := types.OCIManifestSchema1, types.OCIConfigJSON
	if o.Docker {
		manifestType, configType = types.DockerManifestSchema2, types.DockerConfigJSON
	}
	config := v1.ConfigFile{
		Architecture: "amd64", OS: "linux", Created: v1.Time{Time: created}, RootFS: v1.RootFS{Type: "layers"},
		Config: v1.Config{
			Labels: labels, Env: []string{"PATH=/usr/sbin:/usr/bin"}, Entrypoint: []string{"/usr/bin/component"}, User: "1001",
		},
	}
	for _, l := range layers {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, l.diffID)
		config.History = append(config.History, v1.History{Created: v1.Time{Time: created}, CreatedBy: "COPY / /"})
	}
	return assembleImage(manifestType, marshal(config), configType, layers...)
}

func assembleImage(manifestType types.MediaType, config []byte, configType types.MediaType, layers ...*blob) *image {
	img := &image{layers: layers, config: newBlob(config, sum(config), configType), mediaType: manifestType}
	manifest := v1.Manifest{SchemaVersion: 2, MediaType: manifestType, Config: img.config.descriptor(), Layers: []v1.Descriptor{}}
	for _, l := range layers {
		manifest.Layers = append(manifest.Layers, l.descriptor())
	}
	img.manifest = marshal(manifest)
	img.digest = sum(img.manifest)
	return img
}

func (b *blob) descriptor() v1.Descriptor {
	return v1.Descriptor{MediaType: b.mediaType, Size: b.size, Digest: b.digest}
}

func newBlob(data []byte, diffID v1.Hash, mediaType types.MediaType) *blob {
	return &blob{data: data, digest: sum(data), diffID: diffID, size: int64(len(data)), mediaType: mediaType}
}

// sharedLayers are the two that components are built on: all on the first,
// operators on both. Their content compresses as a system's does.
func sharedLayers(o Options) []*blob {
	random := newRandom(o, "shared")
	var layers []*blob
	for _, name := range []string{"os", "runtime"} {
		layers = append(layers, newLayer(o, gzip.BestSpeed, func(w *tar.Writer) {
			writeEntry(w, &tar.Header{Typeflag: tar.TypeDir, Name: "usr/", Mode: 0o755}, nil)
			writeEntry(w, &tar.Header{Typeflag: tar.TypeDir, Name: "usr/lib/", Mode: 0o755}, nil)
			for i := range 64 {
				data := make([]byte, o.LayerBytes/64)
				random.Read(data[:len(data)/3])
				writeEntry(w, &tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprintf("usr/lib/%s-%02d.so", name, i), Mode: 0o755}, data)
			}
		}))
	}
	return layers
}

// ownLayer is a component's program, and an operator's manifests.
func ownLayer(o Options, i int, c *Component) *blob {
	// Random bytes cannot be compressed, and trying takes most of the time.
	return newLayer(o, gzip.NoCompression, func(w *tar.Writer) {
		if c.Operator {
			writeEntry(w, &tar.Header{Typeflag: tar.TypeDir, Name: "manifests/", Mode: 0o755}, nil)
			for _, f := range c.Files {
				writeEntry(w, &tar.Header{Typeflag: tar.TypeReg, Name: "manifests/" + f.Name, Mode: 0o644}, f.Data)
			}
		}
		writeEntry(w, &tar.Header{Typeflag: tar.TypeDir, Name: "usr/", Mode: 0o755}, nil)
		writeEntry(w, &tar.Header{Typeflag: tar.TypeDir, Name: "usr/bin/", Mode: 0o755}, nil)
		program := make([]byte, o.LayerBytes)
		newRandom(o, c.Name).Read(program)
		writeEntry(w, &tar.Header{Typeflag: tar.TypeReg, Name: "usr/bin/" + c.Name, Mode: 0o755}, program)
	})
}

func newRandom(o Options, purpose string) *rand.ChaCha8 {
	seed := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(purpose), o.Seed))
	return rand.NewChaCha8(seed)
}

// newLayer packs an archive while it is written.
func newLayer(o Options, level int, write func(*tar.Writer)) *blob {
	var packed bytes.Buffer
	zw, err := gzip.NewWriterLevel(&packed, level)
	if err != nil {
		panic(err) // the levels are constants
	}
	unpacked := sha256.New()
	tw := tar.NewWriter(io.MultiWriter(zw, unpacked))
	write(tw)
	// Writing to memory does not fail.
	_ = tw.Close()
	_ = zw.Close()
	mediaType := types.OCILayer
	if o.Docker {
		mediaType = types.DockerLayer
	}
	return newBlob(packed.Bytes(), v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", unpacked.Sum(nil))}, mediaType)
}

func writeEntry(w *tar.Writer, header *tar.Header, data []byte) {
	header.Size, header.ModTime = int64(len(data)), created
	if err := w.WriteHeader(header); err != nil {
		panic(err) // a header this package made up
	}
	_, _ = w.Write(data)
}

func marshal(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // a structure this package made up
	}
	return data
}

func sum(data []byte) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", sha256.Sum256(data))}
}
