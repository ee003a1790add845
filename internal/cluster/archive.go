package cluster

import (
	"archive/tar"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// nameAnnotation tells containerd under which name to keep an image of an archive.
const nameAnnotation = "io.containerd.image.name"

// writeArchive streams images as one OCI archive. Blobs in have are left out:
// the reader holds them already. Nothing is kept in memory but manifests.
func writeArchive(ctx context.Context, w io.Writer, images []NodeImage, have map[string]bool) error {
	a := &archive{w: tar.NewWriter(w), done: map[string]bool{}}
	for digest := range have {
		a.done[digest] = true
	}
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex}
	for _, img := range images {
		desc, err := describe(img)
		if err != nil {
			return fmt.Errorf("sending image %q: %w", img.Reference, err)
		}
		index.Manifests = append(index.Manifests, desc)
	}
	data, err := json.Marshal(index)
	if err != nil {
		return err
	}
	if err := a.write("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)); err != nil {
		return err
	}
	if err := a.write("index.json", data); err != nil {
		return err
	}
	for _, img := range images {
		if err := a.image(ctx, img.Image); err != nil {
			return fmt.Errorf("sending image %q: %w", img.Reference, err)
		}
	}
	return a.w.Close()
}

// describe returns the descriptor of an image in the archive's index, and
// refuses an image that is not what its reference says.
func describe(img NodeImage) (v1.Descriptor, error) {
	digest, err := img.Image.Digest()
	if err != nil {
		return v1.Descriptor{}, err
	}
	if _, want, _ := strings.Cut(img.Reference, "@"); want != digest.String() {
		return v1.Descriptor{}, fmt.Errorf("the image's digest is %s", digest)
	}
	size, err := img.Image.Size()
	if err != nil {
		return v1.Descriptor{}, err
	}
	mediaType, err := img.Image.MediaType()
	if err != nil {
		return v1.Descriptor{}, err
	}
	return v1.Descriptor{
		MediaType: mediaType, Digest: digest, Size: size,
		Annotations: map[string]string{nameAnnotation: img.Reference},
	}, nil
}

type archive struct {
	w    *tar.Writer
	done map[string]bool // blobs that need not be sent (again)
}

func (a *archive) image(ctx context.Context, img v1.Image) error {
	digest, err := img.Digest()
	if err != nil {
		return err
	}
	manifest, err := img.RawManifest()
	if err != nil {
		return err
	}
	// The manifest is always sent: the reader looks it up in the archive's index.
	if err := a.write(blobPath(digest), manifest); err != nil {
		return err
	}
	config, err := img.ConfigName()
	if err != nil {
		return err
	}
	if !a.done[config.String()] {
		data, err := img.RawConfigFile()
		if err != nil {
			return err
		}
		if err := a.write(blobPath(config), data); err != nil {
			return err
		}
		a.done[config.String()] = true
	}
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	for _, layer := range layers {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if err := a.layer(layer); err != nil {
			return err
		}
	}
	return nil
}

func (a *archive) layer(layer v1.Layer) error {
	digest, err := layer.Digest()
	if err != nil {
		return err
	}
	if a.done[digest.String()] {
		return nil
	}
	size, err := layer.Size()
	if err != nil {
		return err
	}
	rc, err := layer.Compressed()
	if err != nil {
		return err
	}
	defer rc.Close()
	if err := a.w.WriteHeader(header(blobPath(digest), size)); err != nil {
		return err
	}
	if _, err := io.Copy(a.w, rc); err != nil {
		return fmt.Errorf("reading layer %s: %w", digest, err)
	}
	a.done[digest.String()] = true
	return nil
}

func (a *archive) write(name string, data []byte) error {
	if err := a.w.WriteHeader(header(name, int64(len(data)))); err != nil {
		return err
	}
	_, err := a.w.Write(data)
	return err
}

func header(name string, size int64) *tar.Header {
	return &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: size}
}

func blobPath(h v1.Hash) string { return "blobs/" + h.Algorithm + "/" + h.Hex }
