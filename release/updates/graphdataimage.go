package updates

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/slipway-release/slipway/internal/layer"
	"github.com/slipway-release/slipway/internal/state"
	"github.com/slipway-release/slipway/release/channels/graphdata"
	"github.com/slipway-release/slipway/release/manifests"
)

// GraphDataPath is where the images that OpenShift Update Service reads have graph-data.
const GraphDataPath = "var/lib/cincinnati-graph-data"

// graphDataCommand is what the update service's operator relies on: it runs the image
// beside the graph builder, to copy the files into a volume that both have.
var graphDataCommand = []string{"/bin/bash", "-c", "exec cp -rp /" + GraphDataPath + "/* /var/lib/cincinnati/graph-data"}

// graphDataLimits bound what an image of graph-data may bring; the folder as a whole is
// bounded again when it is read.
var graphDataLimits = layer.Limits{File: 4 << 20, Total: 64 << 20, Archive: 4 << 30, Files: 50_000}

// GraphDataImage is the folder that PackGraphData packs, as the image that OpenShift
// Update Service reads: one layer with the files below GraphDataPath. The same files give
// the same layer to the byte, and on the same base the same image. The operator runs the
// command of the image, for which the base has to have bash and cp; nil is none.
func GraphDataImage(dir string, versions []string, base v1.Image) (v1.Image, error) {
	img, err := graphDataImage(dir, versions, base)
	if err != nil {
		return nil, fmt.Errorf("packing graph-data %q: %w", dir, err)
	}
	return img, nil
}

func graphDataImage(dir string, versions []string, base v1.Image) (v1.Image, error) {
	files, err := exported(dir, versions)
	if err != nil {
		return nil, err
	}
	placed := map[string][]byte{}
	for name, data := range files {
		placed[path.Join(GraphDataPath, name)] = data
	}
	var out bytes.Buffer
	if err := writeAncestors(&out); err != nil {
		return nil, err
	}
	if err := writeTar(&out, placed, GraphDataPath); err != nil {
		return nil, err
	}
	kind := types.OCILayer
	if base == nil {
		base = mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
		base, err = mutate.ConfigFile(base, &v1.ConfigFile{OS: "linux", Architecture: "amd64", RootFS: v1.RootFS{Type: "layers"}})
		if err != nil {
			return nil, err
		}
	} else if mediaType, err := base.MediaType(); err != nil {
		return nil, err
	} else if mediaType == types.DockerManifestSchema2 {
		kind = types.DockerLayer
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(out.Bytes())), nil }
	packed, err := tarball.LayerFromOpener(open, tarball.WithMediaType(kind))
	if err != nil {
		return nil, err
	}
	img, err := mutate.Append(base, mutate.Addendum{Layer: packed, History: v1.History{CreatedBy: "slipway channel export"}})
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.Config.Entrypoint, config.Config.Cmd = nil, graphDataCommand
	return mutate.ConfigFile(img, config)
}

// writeAncestors writes the entries of the folders down to GraphDataPath, without the end
// of an archive.
func writeAncestors(out io.Writer) error {
	archive := tar.NewWriter(out)
	parts := strings.Split(GraphDataPath, "/")
	for i := range parts {
		if err := archive.WriteHeader(&tar.Header{Name: path.Join(parts[:i+1]...) + "/", Typeflag: tar.TypeDir, Mode: 0o755}); err != nil {
			return err
		}
	}
	return archive.Flush()
}

// readGraphDataImage is the graph-data in an image, by path: below GraphDataPath, or in
// the image's root, where the images of Cincinnati's own repository have it. An archive
// with links or entries that leave the root, or of more than any graph-data has, is an
// error, so that nothing of it is used.
func readGraphDataImage(ctx context.Context, img v1.Image) (map[string][]byte, error) {
	files, err := readGraphDataAt(ctx, img, GraphDataPath)
	if err != nil || len(files) > 0 {
		return files, err
	}
	files, err = readGraphDataAt(ctx, img, ".")
	if err != nil {
		return nil, fmt.Errorf("it has none in /%s, and its root cannot be read: %w", GraphDataPath, err)
	}
	maps.DeleteFunc(files, func(name string, _ []byte) bool { return path.Dir(name) == "." && name != "version" })
	if len(files) == 0 {
		return nil, fmt.Errorf("it has none, neither in /%s nor in its root", GraphDataPath)
	}
	return files, nil
}

func readGraphDataAt(ctx context.Context, img v1.Image, root string) (map[string][]byte, error) {
	parts := append([]string{"."}, graphdata.Folders()...)
	dirs := make([]string, len(parts))
	for i, part := range parts {
		dirs[i] = path.Join(root, part)
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	topDown := make([][]layer.Listing, len(dirs))
	for _, l := range slices.Backward(layers) {
		listings, err := layer.ListAll(ctx, l, dirs, graphDataLimits)
		if err != nil {
			return nil, err
		}
		for i, listing := range listings {
			topDown[i] = append(topDown[i], listing)
		}
	}
	files := map[string][]byte{}
	for i, part := range parts {
		for _, f := range layer.Merge(topDown[i]) {
			files[path.Join(part, f.Name)] = f.Data
		}
	}
	return files, nil
}

// GraphDataImages opens images of graph-data.
type GraphDataImages interface {
	Descriptor(ctx context.Context, reference string) (v1.Descriptor, error)
	Image(ctx context.Context, reference string) (v1.Image, error)
}

// GraphDataPuller keeps a folder as an image of graph-data has it. An image that cannot
// be had, or whose graph-data cannot be understood whole, leaves the folder as it was.
type GraphDataPuller struct {
	Images    GraphDataImages
	Reference string
	// Root is a folder of its own, made where it is missing. Below it is one for each
	// image, under its digest, and Dir, which leads to the one that counts.
	Root string

	mu sync.Mutex
}

// Dir is the folder with the graph-data, once Fetch has succeeded.
func (p *GraphDataPuller) Dir() string { return filepath.Join(p.Root, "current") }

// Fetch brings the folder up to what the reference names now.
func (p *GraphDataPuller) Fetch(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.fetch(ctx); err != nil {
		return fmt.Errorf("reading graph-data of image %q: %w", p.Reference, err)
	}
	return nil
}

func (p *GraphDataPuller) fetch(ctx context.Context) error {
	named, err := p.Images.Descriptor(ctx, p.Reference)
	if err != nil {
		return err
	}
	digest := named.Digest
	before, err := os.Readlink(p.Dir())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if before == digest.Hex {
		return nil
	}
	if err := os.MkdirAll(p.Root, 0o755); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(p.Root, digest.Hex)); errors.Is(err, os.ErrNotExist) {
		if err := p.unpack(ctx, digest); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	beside := filepath.Join(p.Root, ".current")
	if err := os.Remove(beside); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Symlink(digest.Hex, beside); err != nil {
		return err
	}
	if err := os.Rename(beside, p.Dir()); err != nil {
		return err
	}
	return p.sweep(digest.Hex, before)
}

// unpack writes the files beside, judges them, and gives the folder its name last.
func (p *GraphDataPuller) unpack(ctx context.Context, digest v1.Hash) error {
	img, err := p.Images.Image(ctx, manifests.RepositoryOf(p.Reference)+"@"+digest.String())
	if err != nil {
		return err
	}
	files, err := readGraphDataImage(ctx, img)
	if err != nil {
		return err
	}
	beside, err := os.MkdirTemp(p.Root, ".unpacking-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(beside)
	for name, data := range files {
		file := filepath.Join(beside, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := state.WriteFile(file, data, 0o644); err != nil {
			return err
		}
	}
	if _, err := graphdata.Load(beside); err != nil {
		return err
	}
	return os.Rename(beside, filepath.Join(p.Root, digest.Hex))
}

// sweep removes what is left of other images, but for the one before: somebody may be
// reading it.
func (p *GraphDataPuller) sweep(keep ...string) error {
	entries, err := os.ReadDir(p.Root)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() && !slices.Contains(keep, e.Name()) {
			if err := os.RemoveAll(filepath.Join(p.Root, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
