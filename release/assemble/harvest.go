package assemble

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"

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
	raw     []release.File // all of /manifests
	// image opens the image with its layers; nil when it was not read.
	image func(context.Context) (v1.Image, error)
}

func parallelism() int { return max(runtime.GOMAXPROCS(0), 1) }

// harvest reads all components side by side. A component's failure does not stop
// the others, so that one run tells everything: failed joins these failures.
func (o Options) harvest(ctx context.Context) (harvests []harvest, failed, err error) {
	harvests = make([]harvest, len(o.Components))
	problems := make([]error, len(o.Components))
	reader := &layerReader{cache: o.Cache, turns: make(chan struct{}, min(o.Jobs, maxLayersAtOnce))}
	var done atomic.Int64
	var group errgroup.Group
	group.SetLimit(o.Jobs)
	for i, c := range o.Components {
		group.Go(func() error {
			var err error
			if harvests[i], err = o.harvestOne(ctx, reader, c); err != nil {
				problems[i] = fmt.Errorf("reading component %q: %w", c.Name, err)
			}
			if o.Progress != nil {
				o.Progress(int(done.Add(1)), len(o.Components))
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	return harvests, errors.Join(problems...), nil
}

func (o Options) harvestOne(ctx context.Context, reader *layerReader, c Component) (harvest, error) {
	if err := ctx.Err(); err != nil {
		return harvest{}, err
	}
	if c.Files != nil {
		h := harvest{}
		files := make([]layer.File, 0, len(c.Files))
		for _, f := range c.Files {
			files = append(files, layer.File(f))
		}
		return h, h.take(files)
	}
	img, fits, err := o.open(ctx, c)
	if err != nil {
		return harvest{}, err
	}
	if !fits && len(o.Architectures) > 0 {
		return harvest{}, fmt.Errorf("it has no image for %s", o.Platform.String())
	}
	h := harvest{labels: img.config.Config.Labels, image: img.open}
	if _, err := release.ParseComponentVersions(h.labels[release.LabelVersions]); err != nil {
		return harvest{}, fmt.Errorf("label %s: %w", release.LabelVersions, err)
	}
	if h.labels[release.LabelOperator] == "" {
		return h, nil
	}
	if !fits {
		return harvest{}, fmt.Errorf("it brings manifests, but has no image for %s", o.Platform.String())
	}
	files, err := reader.directory(ctx, img)
	if err != nil {
		return harvest{}, err
	}
	if err := h.take(files); err != nil {
		return harvest{}, err
	}
	if len(h.files) == 0 {
		return harvest{}, fmt.Errorf("label %s says that it brings manifests, but /%s holds none", release.LabelOperator, manifestsDir)
	}
	return h, nil
}

// take sorts the files of /manifests into manifests and the list of images.
func (h *harvest) take(files []layer.File) error {
	slices.SortFunc(files, func(a, b layer.File) int { return compareNames(a.Name, b.Name) })
	for _, f := range files {
		h.raw = append(h.raw, release.File(f))
		if f.Name != release.ReferencesFile {
			h.files = append(h.files, f)
			continue
		}
		var err error
		if h.sources, err = parseSources(f.Data); err != nil {
			return err
		}
	}
	return nil
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
