package inspect

import (
	"context"
	"fmt"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"
)

// maxConfig bounds the configuration of an image, in bytes; those of real images
// have a few thousand.
const maxConfig = 4 << 20

// Image is a component's image, with oc's keys.
type Image struct {
	Name          string          `json:"name"`
	Digest        string          `json:"digest"` // of the platform's image
	ContentDigest string          `json:"contentDigest"`
	ListDigest    string          `json:"listDigest"` // of the index, "" for a single image
	MediaType     string          `json:"mediaType"`
	Layers        []v1.Descriptor `json:"layers"`
	Config        rawJSON         `json:"config"`

	created time.Time
}

// ReadImages reads manifest and configuration of every component's image into
// info, jobs of them side by side. Components that share an image cost one read.
// An image that is missing or damaged becomes a warning, so that the others can be
// shown; a source that cannot be reached is an error. done is called after each image.
func ReadImages(ctx context.Context, src Source, info *Info, jobs int, done func()) error {
	work := digests(info.Components)
	read := make([]*Image, len(work))
	failed := make([]error, len(work))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(jobs)
	for n, w := range work {
		group.Go(func() error {
			defer done()
			img, err := readImage(ctx, src, w.pullSpec)
			if err != nil && !isDamage(err) {
				return fmt.Errorf("reading component %q: %w", w.names[0], err)
			}
			read[n], failed[n] = img, err
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	info.Images = map[string]*Image{}
	for n, w := range work {
		for _, component := range w.names {
			if failed[n] != nil {
				info.Warnings = append(info.Warnings, fmt.Sprintf("component %q: %v", component, failed[n]))
				continue
			}
			img := *read[n]
			img.Name = component
			info.Images[component] = &img
		}
	}
	return nil
}

// sharedImage is an image and the components that are made of it.
type sharedImage struct {
	pullSpec string
	names    []string
}

func digests(components []Component) []*sharedImage {
	var work []*sharedImage
	known := map[string]*sharedImage{}
	for _, c := range components {
		w := known[c.PullSpec]
		if w == nil {
			w = &sharedImage{pullSpec: c.PullSpec}
			known[c.PullSpec] = w
			work = append(work, w)
		}
		w.names = append(w.names, c.Name)
	}
	return work
}

func readImage(ctx context.Context, src Source, ref string) (*Image, error) {
	img, err := src.Image(ctx, ref)
	if err != nil {
		return nil, err
	}
	digest, err := img.Digest()
	if err != nil {
		return nil, err
	}
	manifest, err := img.Manifest()
	if err != nil {
		return nil, err
	}
	if manifest.Config.Size > maxConfig {
		return nil, fmt.Errorf("its configuration has %d bytes, more than the %d allowed", manifest.Config.Size, maxConfig)
	}
	config, err := img.RawConfigFile()
	if err != nil {
		return nil, err
	}
	parsed, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	read := &Image{Digest: digest.String(), ContentDigest: digest.String(), MediaType: string(manifest.MediaType), Layers: manifest.Layers,
		Config: config, created: parsed.Created.UTC()}
	if wanted := digestOf(ref); wanted != read.Digest {
		read.ListDigest = wanted
	}
	return read, nil
}
