package assemble

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/yaml"

	"github.com/slipway-release/slipway/internal/layer"
	"github.com/slipway-release/slipway/release"
)

// manifestsDir is where a component image keeps what it brings into the release.
const manifestsDir = "manifests"

// harvest is what one component image gives.
type harvest struct {
	labels map[string]string
	files  []layer.File // of /manifests, by name, without image-references
	// sources are the images its manifests name, from its image-references.
	sources []release.ImageTag
}

// harvest reads all components side by side. A component's failure does not stop
// the others, so that one run tells everything.
func (o Options) harvest(ctx context.Context) ([]harvest, error) {
	harvests := make([]harvest, len(o.Components))
	problems := make([]error, len(o.Components))
	shared := layerCache{}
	var group errgroup.Group
	group.SetLimit(o.Jobs)
	for i, c := range o.Components {
		group.Go(func() error {
			var err error
			if harvests[i], err = shared.harvest(ctx, c.Image); err != nil {
				problems[i] = fmt.Errorf("reading component %q: %w", c.Name, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return harvests, errors.Join(problems...)
}

func (s *layerCache) harvest(ctx context.Context, img v1.Image) (harvest, error) {
	if err := ctx.Err(); err != nil {
		return harvest{}, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return harvest{}, fmt.Errorf("reading its configuration: %w", err)
	}
	h := harvest{labels: config.Config.Labels}
	if _, err := release.ParseComponentVersions(h.labels[release.LabelVersions]); err != nil {
		return harvest{}, fmt.Errorf("label %s: %w", release.LabelVersions, err)
	}
	if h.labels[release.LabelOperator] == "" {
		return h, nil
	}
	files, err := s.directory(ctx, img)
	if err != nil {
		return harvest{}, err
	}
	for _, f := range files {
		if f.Name != release.ReferencesFile {
			h.files = append(h.files, f)
			continue
		}
		if h.sources, err = parseSources(f.Data); err != nil {
			return harvest{}, err
		}
	}
	if len(h.files) == 0 {
		return harvest{}, fmt.Errorf("label %s says that it brings manifests, but /%s holds none", release.LabelOperator, manifestsDir)
	}
	return h, nil
}

// parseSources reads a component's image-references, which its author may have
// written as YAML.
func parseSources(data []byte) ([]release.ImageTag, error) {
	asJSON, err := yaml.YAMLToJSON(data)
	if err != nil {
		return nil, fmt.Errorf("reading /%s/%s: %w", manifestsDir, release.ReferencesFile, err)
	}
	refs, err := release.ParseImageReferences(asJSON)
	if err != nil {
		return nil, fmt.Errorf("reading /%s/%s: %w", manifestsDir, release.ReferencesFile, err)
	}
	return refs.Tags, nil
}

// layerCache reads every layer once, however many components share it.
type layerCache struct {
	mu     sync.Mutex
	layers map[v1.Hash]*layerRead
}

type layerRead struct {
	once    sync.Once
	listing layer.Listing
	err     error
}

// directory returns /manifests of the image as a container would see it.
func (s *layerCache) directory(ctx context.Context, img v1.Image) ([]layer.File, error) {
	layers, err := img.Layers()
	if err != nil {
		return nil, fmt.Errorf("reading its layers: %w", err)
	}
	var topDown []layer.Listing
	for _, l := range slices.Backward(layers) {
		listing, err := s.list(ctx, l)
		if err != nil {
			return nil, err
		}
		topDown = append(topDown, listing)
		if listing.Opaque {
			break
		}
	}
	return layer.Merge(topDown), nil
}

func (s *layerCache) list(ctx context.Context, l v1.Layer) (layer.Listing, error) {
	digest, err := l.Digest()
	if err != nil {
		return layer.Listing{}, fmt.Errorf("reading a layer's digest: %w", err)
	}
	s.mu.Lock()
	if s.layers == nil {
		s.layers = map[v1.Hash]*layerRead{}
	}
	read := s.layers[digest]
	if read == nil {
		read = &layerRead{}
		s.layers[digest] = read
	}
	s.mu.Unlock()
	read.once.Do(func() { read.listing, read.err = layer.List(ctx, l, manifestsDir, layer.Limits{}) })
	if read.err != nil {
		return layer.Listing{}, fmt.Errorf("reading layer %s: %w", digest, read.err)
	}
	return read.listing, nil
}
