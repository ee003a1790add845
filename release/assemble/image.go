package assemble

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"

	"github.com/slipway-release/slipway/release"
)

// gzipLevel is fixed, like the version of the compressor in go.mod: both decide
// the digest of the payload's layer.
const gzipLevel = 6

// mediaTypes are those of one image format.
type mediaTypes struct{ manifest, config, layer types.MediaType }

var (
	ociTypes    = mediaTypes{types.OCIManifestSchema1, types.OCIConfigJSON, types.OCILayer}
	dockerTypes = mediaTypes{types.DockerManifestSchema2, types.DockerConfigJSON, types.DockerLayer}
)

// image puts the payload's files on the base, in the order given.
func (o Options) image(base v1.Image, files []release.File) (v1.Image, error) {
	formats := ociTypes
	if o.Docker {
		formats = dockerTypes
	}
	additions, err := baseLayers(base, formats)
	if err != nil {
		return nil, fmt.Errorf("reading base %q: %w", o.Base, err)
	}
	payload, err := newLayer(files, o.Epoch, formats.layer)
	if err != nil {
		return nil, err
	}
	additions = append(additions, mutate.Addendum{Layer: payload, MediaType: formats.layer})
	for i := range additions {
		additions[i].History = v1.History{Created: v1.Time{Time: o.Epoch}}
	}
	additions[len(additions)-1].History.Comment = "Release image"
	additions[len(additions)-1].History.CreatedBy = MadeBy

	config, digest, err := o.config(base)
	if err != nil {
		return nil, fmt.Errorf("reading base %q: %w", o.Base, err)
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, formats.manifest), formats.config)
	if img, err = mutate.ConfigFile(img, config); err != nil {
		return nil, fmt.Errorf("writing the image's configuration: %w", err)
	}
	if img, err = mutate.Append(img, additions...); err != nil {
		return nil, fmt.Errorf("appending layers: %w", err)
	}
	annotated, ok := mutate.Annotations(img, o.annotations(digest)).(v1.Image)
	if !ok {
		return nil, fmt.Errorf("annotating the image: it is a %T no longer", img)
	}
	return annotated, nil
}

// baseLayers returns the layers of the base under the media types of the payload
// image, so that it does not mix two formats.
func baseLayers(base v1.Image, formats mediaTypes) ([]mutate.Addendum, error) {
	layers, err := base.Layers()
	if err != nil {
		return nil, err
	}
	additions := make([]mutate.Addendum, 0, len(layers)+1)
	for _, l := range layers {
		mt, err := l.MediaType()
		if err != nil {
			return nil, err
		}
		switch mt {
		case types.OCILayer, types.DockerLayer:
			mt = formats.layer
		case types.OCILayerZStd, types.OCIUncompressedLayer:
			if formats == dockerTypes {
				return nil, fmt.Errorf("a layer of media type %q cannot stand in a Docker image", mt)
			}
		default:
			return nil, fmt.Errorf("a layer has media type %q, which a payload cannot carry", mt)
		}
		additions = append(additions, mutate.Addendum{Layer: retype(l, mt), MediaType: mt})
	}
	return additions, nil
}

// retype gives a layer another media type. One that a registry can take from a
// repository of its own stays so.
func retype(l v1.Layer, mediaType types.MediaType) v1.Layer {
	if m, ok := l.(*remote.MountableLayer); ok {
		return &remote.MountableLayer{Layer: retyped{m.Layer, mediaType}, Reference: m.Reference}
	}
	return retyped{l, mediaType}
}

type retyped struct {
	v1.Layer
	mediaType types.MediaType
}

// MediaType implements v1.Layer.
func (l retyped) MediaType() (types.MediaType, error) { return l.mediaType, nil }

// config is that of the base with the labels of a payload in place of its own.
func (o Options) config(base v1.Image) (*v1.ConfigFile, v1.Hash, error) {
	digest := o.BaseDigest
	if digest == (v1.Hash{}) {
		var err error
		if digest, err = base.Digest(); err != nil {
			return nil, v1.Hash{}, err
		}
	}
	from, err := base.ConfigFile()
	if err != nil {
		return nil, v1.Hash{}, err
	}
	config := &v1.ConfigFile{
		Architecture: from.Architecture, OS: from.OS, OSVersion: from.OSVersion, Variant: from.Variant,
		Created: v1.Time{Time: o.Epoch},
		Config:  *from.Config.DeepCopy(),
		RootFS:  v1.RootFS{Type: "layers"},
	}
	if config.OS == "" {
		config.OS = "linux"
	}
	if config.Architecture == "" {
		config.Architecture = "amd64"
	}
	config.Config.Image = ""
	config.Config.Labels = map[string]string{
		release.LabelRelease:    o.Version.String(),
		release.LabelBaseDigest: digest.String(),
	}
	return config, digest, nil
}

const annotationBaseDigest = "org.opencontainers.image.base.digest"

func (o Options) annotations(base v1.Hash) map[string]string {
	annotations := map[string]string{
		"org.opencontainers.image.created": o.Epoch.Format(time.RFC3339),
		"org.opencontainers.image.version": o.Version.String(),
		"org.opencontainers.image.title":   "release",
		annotationBaseDigest:               base.String(),
	}
	maps.Copy(annotations, o.Annotations)
	return annotations
}

// newLayer writes the folder release-manifests as a layer: the folder, then the
// files in the order given, all of one time and owner.
func newLayer(files []release.File, epoch time.Time, mediaType types.MediaType) (*memoryLayer, error) {
	var unpacked bytes.Buffer
	tw := tar.NewWriter(&unpacked)
	err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: release.Directory, Mode: 0o777, ModTime: epoch})
	for _, f := range files {
		if err != nil {
			break
		}
		err = tw.WriteHeader(&tar.Header{
			Typeflag: tar.TypeReg, Name: release.Directory + "/" + f.Name, Mode: 0o444, Size: int64(len(f.Data)), ModTime: epoch,
		})
		if err == nil {
			_, err = tw.Write(f.Data)
		}
	}
	if err == nil {
		err = tw.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("writing layer: %w", err)
	}
	var packed bytes.Buffer
	zw, err := gzip.NewWriterLevel(&packed, gzipLevel)
	if err == nil {
		zw.ModTime = time.Unix(0, 0) // "no time"; the zero Time would be written as one
		_, err = zw.Write(unpacked.Bytes())
	}
	if err == nil {
		err = zw.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("compressing layer: %w", err)
	}
	return &memoryLayer{packed: packed.Bytes(), unpacked: unpacked.Bytes(), mediaType: mediaType}, nil
}

// memoryLayer is a layer that is small enough to be held.
type memoryLayer struct {
	packed, unpacked []byte
	mediaType        types.MediaType
}

var _ v1.Layer = (*memoryLayer)(nil)

func (l *memoryLayer) Digest() (v1.Hash, error) { return sha256Of(l.packed), nil }
func (l *memoryLayer) DiffID() (v1.Hash, error) { return sha256Of(l.unpacked), nil }
func (l *memoryLayer) Compressed() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(l.packed)), nil
}
func (l *memoryLayer) Uncompressed() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(l.unpacked)), nil
}
func (l *memoryLayer) Size() (int64, error)                { return int64(len(l.packed)), nil }
func (l *memoryLayer) MediaType() (types.MediaType, error) { return l.mediaType, nil }

func sha256Of(data []byte) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", sha256.Sum256(data))}
}
