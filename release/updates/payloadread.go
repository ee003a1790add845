package updates

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/release"
)

// readPayload reads what a payload says. An error is one of the registry; what is wrong
// with the payload itself is in the entry. Architectures are worked out as Cincinnati
// does: those of a manifest list, several of which are multi and described by the first
// child; the children alone are no payloads.
func readPayload(ctx context.Context, registry PayloadRegistry, repository string, d v1.Descriptor) (payloadEntry, error) {
	reference := repository + "@" + d.Digest.String()
	switch {
	case d.MediaType.IsIndex():
		index, err := registry.Index(ctx, reference)
		if err != nil {
			return payloadEntry{}, err
		}
		manifest, err := index.IndexManifest()
		if err != nil {
			return payloadEntry{Broken: fmt.Sprintf("reading its manifest list: %v", err)}, nil
		}
		child, arch, ok := firstImage(manifest)
		if !ok {
			return payloadEntry{Not: "a manifest list without images"}, nil
		}
		return readImage(ctx, registry, repository+"@"+child.String(), arch)
	case d.MediaType.IsImage():
		return readImage(ctx, registry, reference, "")
	}
	return payloadEntry{Not: fmt.Sprintf("of media type %s", d.MediaType)}, nil
}

// firstImage is the image that speaks for a manifest list, and the list's architecture;
// that is "" when the list does not tell. What is attached to images, which is for no
// platform that there is, does not count.
func firstImage(list *v1.IndexManifest) (digest v1.Hash, arch string, ok bool) {
	var archs []string
	for _, m := range list.Manifests {
		if !m.MediaType.IsImage() || m.Platform != nil && m.Platform.Architecture == "unknown" {
			continue
		}
		if !ok {
			digest, ok = m.Digest, true
		}
		if m.Platform != nil && m.Platform.Architecture != "" {
			archs = append(archs, m.Platform.Architecture)
		}
	}
	slices.Sort(archs)
	switch archs = slices.Compact(archs); len(archs) {
	case 0:
		return digest, "", ok
	case 1:
		return digest, archs[0], ok
	}
	return digest, release.ArchitectureMulti, ok
}

// readImage reads what a payload's image says. arch is that of its manifest list, "" for
// that of the image.
func readImage(ctx context.Context, registry PayloadRegistry, reference, arch string) (payloadEntry, error) {
	img, err := registry.Image(ctx, reference)
	if errors.Is(err, oci.ErrNotFound) {
		return payloadEntry{Arch: arch, Broken: err.Error(), again: true}, nil
	}
	if err != nil {
		return payloadEntry{}, err
	}
	wire := &wired{Image: img}
	entry, err := describe(ctx, wire, arch)
	if err == nil {
		return entry, nil
	}
	var status *transport.Error
	switch {
	case ctx.Err() != nil:
		return payloadEntry{}, ctx.Err()
	case errors.As(wire.failed, &status) && status.StatusCode == http.StatusNotFound:
		return payloadEntry{Arch: arch, Broken: err.Error(), again: true}, nil
	case wire.failed != nil:
		return payloadEntry{}, wire.failed
	}
	if errors.Is(err, release.ErrNoPayload) {
		return payloadEntry{Not: err.Error()}, nil
	}
	return payloadEntry{Arch: arch, Broken: err.Error()}, nil
}

func describe(ctx context.Context, core partial.CompressedImageCore, arch string) (payloadEntry, error) {
	img, err := partial.CompressedToImage(core)
	if err != nil {
		return payloadEntry{}, err
	}
	manifest, err := img.Manifest()
	if err != nil {
		return payloadEntry{}, err
	}
	if t := manifest.Config.MediaType; t != types.DockerConfigJSON && t != types.OCIConfigJSON {
		return payloadEntry{Not: fmt.Sprintf("an artifact of type %s", t)}, nil
	}
	payload, err := release.Load(ctx, img)
	if err != nil {
		return payloadEntry{}, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return payloadEntry{}, err
	}
	if arch == "" {
		arch = config.Architecture
	}
	switch {
	case arch == "":
		return payloadEntry{}, errors.New("its configuration does not say for which architecture it is")
	case arch != release.ArchitectureMulti && payload.Metadata.Values[release.MetadataArchitecture] == release.ArchitectureMulti:
		return payloadEntry{Not: "one architecture of a payload of several"}, nil
	}
	e := payloadEntry{Version: payload.Version.String(), Arch: arch, Metadata: payload.Metadata.Values}
	for _, v := range payload.Metadata.Previous {
		e.Previous = append(e.Previous, v.String())
	}
	for _, v := range payload.Metadata.Next {
		e.Next = append(e.Next, v.String())
	}
	if !payload.Created.IsZero() {
		e.Created = payload.Created
	}
	return e, nil
}

// wired is an image that remembers what failed while its bytes were read, which tells a
// registry that fails from bytes that are no payload.
type wired struct {
	v1.Image
	failed error
}

var _ partial.CompressedImageCore = (*wired)(nil)

func (w *wired) note(err error) error {
	if err != nil && !errors.Is(err, io.EOF) && w.failed == nil {
		w.failed = err
	}
	return err
}

// RawConfigFile implements partial.CompressedImageCore.
func (w *wired) RawConfigFile() ([]byte, error) {
	data, err := w.Image.RawConfigFile()
	return data, w.note(err)
}

// RawManifest implements partial.CompressedImageCore.
func (w *wired) RawManifest() ([]byte, error) {
	data, err := w.Image.RawManifest()
	return data, w.note(err)
}

// LayerByDigest implements partial.CompressedImageCore.
func (w *wired) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	l, err := w.Image.LayerByDigest(h)
	if err != nil {
		return nil, err // the manifest has none, whatever the wire says
	}
	return wiredLayer{l, w}, nil
}

type wiredLayer struct {
	partial.CompressedLayer
	of *wired
}

// Compressed implements partial.CompressedLayer.
func (l wiredLayer) Compressed() (io.ReadCloser, error) {
	rc, err := l.CompressedLayer.Compressed()
	if err != nil {
		return nil, l.of.note(err)
	}
	return &wiredBlob{rc, l.of}, nil
}

type wiredBlob struct {
	io.ReadCloser
	of *wired
}

// Read implements io.Reader.
func (b *wiredBlob) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	return n, b.of.note(err)
}
