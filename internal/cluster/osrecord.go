package cluster

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// osRecord is what a node knows of its operating system: which layers of
// machine-os it consists of, in order. It is written last, so a node that was
// being changed when it was interrupted still says what it was before.
type osRecord struct {
	Layers            []string `json:"layers"` // diff IDs
	KubernetesVersion string   `json:"kubernetesVersion"`
	Pause             string   `json:"pause"`
}

func newOSRecord(b Bits) (osRecord, error) {
	// A layer itself would have to be read to know its diff ID.
	config, err := b.MachineOS.ConfigFile()
	if err != nil {
		return osRecord{}, fmt.Errorf("reading the machine-os image: %w", err)
	}
	r := osRecord{KubernetesVersion: b.version(), Pause: b.ControlPlane[pauseImage]}
	for _, id := range config.RootFS.DiffIDs {
		r.Layers = append(r.Layers, id.String())
	}
	return r, nil
}

// files are the record itself, the list of files of each layer that is not in
// have, by which a later version knows what to remove, and the version kind
// asks for.
func (r osRecord) files(b Bits, have []string) ([]file, error) {
	layers, err := b.MachineOS.Layers()
	if err != nil {
		return nil, err
	}
	var files []file
	if len(layers) != len(r.Layers) {
		return nil, fmt.Errorf("reading the machine-os image: %d layers but %d diff IDs", len(layers), len(r.Layers))
	}
	for i, layer := range layers {
		if slices.Contains(have, r.Layers[i]) {
			continue // its list is on the node, and reading a layer takes long
		}
		paths, err := layerPaths(layer)
		if err != nil {
			return nil, fmt.Errorf("reading layer %s of machine-os: %w", r.Layers[i], err)
		}
		files = append(files, file{path: layerListPath(r.Layers[i]), data: []byte(strings.Join(paths, "\n") + "\n")})
	}
	data, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	return append(files,
		file{path: osRecordPath, data: append(data, '\n')},
		file{path: "/kind/version", data: []byte(r.KubernetesVersion + "\n")},
	), nil
}

func layerListPath(diffID string) string {
	return layerListDir + "/" + strings.TrimPrefix(diffID, "sha256:")
}

// layerPaths lists what a layer holds but directories, without leading slash, sorted.
func layerPaths(layer v1.Layer) ([]string, error) {
	var paths []string
	err := eachEntry(layer, func(h *tar.Header, _ io.Reader) error {
		if h.Typeflag != tar.TypeDir {
			paths = append(paths, cleanPath(h.Name))
		}
		return nil
	})
	slices.Sort(paths)
	return paths, err
}

// eachEntry reads a layer's archive from begin to end.
func eachEntry(layer v1.Layer, visit func(*tar.Header, io.Reader) error) error {
	rc, err := layer.Uncompressed()
	if err != nil {
		return err
	}
	defer rc.Close()
	r := tar.NewReader(rc)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := visit(h, r); err != nil {
			return err
		}
	}
}

func cleanPath(name string) string { return strings.TrimPrefix(path.Clean("/"+name), "/") }
