package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"maps"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// composedPaths are what composing changes in the operating system's files.
var composedPaths = []string{"etc/containerd", "etc/slipway", "kind/version", "var/lib/containerd"}

// tarLayer is an image layer that lies uncompressed in a file: it goes from
// there into the engine of this host and nowhere else.
type tarLayer struct {
	path      string
	digest    v1.Hash
	size      int64
	mediaType types.MediaType
}

var _ v1.Layer = (*tarLayer)(nil)

func (l *tarLayer) Digest() (v1.Hash, error)             { return l.digest, nil }
func (l *tarLayer) DiffID() (v1.Hash, error)             { return l.digest, nil }
func (l *tarLayer) Compressed() (io.ReadCloser, error)   { return os.Open(l.path) }
func (l *tarLayer) Uncompressed() (io.ReadCloser, error) { return os.Open(l.path) }
func (l *tarLayer) Size() (int64, error)                 { return l.size, nil }
func (l *tarLayer) MediaType() (types.MediaType, error)  { return l.mediaType, nil }

// saveLayer writes what composing changed on n into a file that the caller removes.
func (m *Manager) saveLayer(ctx context.Context, n *Node) (_ *tarLayer, err error) {
	dir := m.state.Cache("node-images")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.Create(filepath.Join(dir, n.name+".tar"))
	if err != nil {
		return nil, err
	}
	defer func() {
		f.Close()
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	sum := sha256.New()
	argv := append([]string{"tar", "--create", "--file=-", "--directory=/", "--sort=name", "--numeric-owner"}, composedPaths...)
	if err := n.Stream(ctx, nil, io.MultiWriter(f, sum), nil, argv...); err != nil {
		return nil, err
	}
	size, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, err
	}
	return &tarLayer{path: f.Name(), size: size, digest: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum.Sum(nil))}}, nil
}

// on returns the image of base with the layer on top and labels added.
func (l *tarLayer) on(base v1.Image, labels map[string]string) (v1.Image, error) {
	mediaType, err := base.MediaType()
	if err != nil {
		return nil, err
	}
	l.mediaType = types.OCIUncompressedLayer
	if mediaType == types.DockerManifestSchema2 {
		l.mediaType = types.DockerUncompressedLayer
	}
	img, err := mutate.AppendLayers(base, l)
	if err != nil {
		return nil, err
	}
	return labelled(img, labels)
}

// labelled returns an image with labels added and this moment as its time: that
// of a payload's image is fixed, and says nothing of when it came here.
func labelled(img v1.Image, labels map[string]string) (v1.Image, error) {
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.Created = v1.Time{Time: time.Now().UTC()}
	if config.Config.Labels == nil {
		config.Config.Labels = map[string]string{}
	}
	maps.Copy(config.Config.Labels, labels)
	return mutate.ConfigFile(img, config)
}
