package deliver

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/state"
)

// WriteArchive writes the payload as a tar file of an OCI layout, in which it is
// found by name. The same payload gives the same bytes. Layers are streamed.
func (p *Payload) WriteArchive(ctx context.Context, path, name string, epoch time.Time) error {
	err := state.WriteStream(path, 0o644, func(w io.Writer) error {
		a := &archive{ctx: ctx, tar: tar.NewWriter(w), epoch: epoch, written: map[v1.Hash]bool{}}
		if err := a.payload(p, name); err != nil {
			return err
		}
		return a.tar.Close()
	})
	if err != nil {
		return fmt.Errorf("writing archive %q: %w", path, err)
	}
	return nil
}

type archive struct {
	ctx     context.Context
	tar     *tar.Writer
	epoch   time.Time
	written map[v1.Hash]bool
}

func (a *archive) payload(p *Payload, name string) error {
	d, raw, err := p.descriptor()
	if err != nil {
		return err
	}
	d.Annotations = map[string]string{oci.AnnotationRefName: name}
	list, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{d}})
	if err != nil {
		return err
	}
	if err := a.file("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)); err != nil {
		return err
	}
	if err := a.file("index.json", list); err != nil {
		return err
	}
	for _, part := range p.Parts {
		if err := a.image(part.Image); err != nil {
			return err
		}
	}
	return a.small(d.Digest, raw)
}

func (a *archive) image(img v1.Image) error {
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	config, err := partial.ConfigLayer(img)
	if err != nil {
		return err
	}
	for _, l := range append(layers, config) {
		if err := a.layer(l); err != nil {
			return err
		}
	}
	digest, err := img.Digest()
	if err != nil {
		return err
	}
	raw, err := img.RawManifest()
	if err != nil {
		return err
	}
	return a.small(digest, raw)
}

func (a *archive) small(digest v1.Hash, data []byte) error {
	return a.blob(digest, int64(len(data)), bytes.NewReader(data))
}

func (a *archive) layer(l v1.Layer) error {
	digest, err := l.Digest()
	if err != nil || a.written[digest] {
		return err
	}
	size, err := l.Size()
	if err != nil {
		return err
	}
	rc, err := l.Compressed()
	if err != nil {
		return fmt.Errorf("reading layer %s: %w", digest, err)
	}
	defer rc.Close()
	return a.blob(digest, size, rc)
}

func (a *archive) blob(digest v1.Hash, size int64, r io.Reader) error {
	if a.written[digest] {
		return nil
	}
	if err := a.ctx.Err(); err != nil {
		return err
	}
	a.written[digest] = true
	if err := a.header("blobs/"+digest.Algorithm+"/"+digest.Hex, size); err != nil {
		return err
	}
	// The reader checks the digest behind the last byte, so it is asked for one more.
	n, err := io.Copy(a.tar, r)
	if err != nil {
		return fmt.Errorf("copying blob %s: %w", digest, err)
	}
	if n != size {
		return fmt.Errorf("copying blob %s: it has %d bytes, not the %d that its manifest says", digest, n, size)
	}
	return nil
}

func (a *archive) file(name string, data []byte) error {
	if err := a.header(name, int64(len(data))); err != nil {
		return err
	}
	_, err := a.tar.Write(data)
	return err
}

func (a *archive) header(name string, size int64) error {
	return a.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: size, ModTime: a.epoch.UTC()})
}
