package assemble

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/internal/oci"
)

func compareNames(a, b string) int { return strings.Compare(a, b) }

// opened is a component's image as far as its layers.
type opened struct {
	manifest *v1.Manifest
	config   *v1.ConfigFile
	// open returns the image itself. It may ask the source for it, once.
	open func(context.Context) (v1.Image, error)
}

// layer returns one of the image's layers.
func (i opened) layer(ctx context.Context, digest v1.Hash) (v1.Layer, error) {
	img, err := i.open(ctx)
	if err != nil {
		return nil, err
	}
	return img.LayerByDigest(digest)
}

// imageRecord is what the cache keeps of an image.
type imageRecord struct {
	Manifest []byte `json:"manifest"`
	Config   []byte `json:"config"`
	// Fits is false for an image of another platform than the one asked for, which stands
	// for an index that has none.
	Fits bool `json:"fits"`
}

// open reads a component's manifest and configuration. Of a multi-platform index
// it takes the image for the platform; when there is none, it takes any other and fits is
// false.
func (o Options) open(ctx context.Context, c Component) (img opened, fits bool, err error) {
	if c.Image != nil {
		img, err = openedOf(c.Image)
		return img, true, err
	}
	// What an image under a digest says never changes; whether the source still
	// has it is asked every time.
	key := c.Reference[strings.LastIndexByte(c.Reference, '@')+1:] + " " + o.Platform.String()
	var record imageRecord
	if o.Cache.get(imageEntry, key, &record) {
		if cached, err := o.fromRecord(c, record); err == nil {
			if _, err := o.Source.Descriptor(ctx, c.Reference); err != nil {
				return opened{}, false, err
			}
			return cached, record.Fits, nil
		}
	}
	live, fits, err := o.fetch(ctx, c.Reference)
	if err != nil {
		return opened{}, false, err
	}
	if img, err = openedOf(live); err != nil {
		return opened{}, false, err
	}
	manifest, err := live.RawManifest()
	if err != nil {
		return opened{}, false, err
	}
	config, err := live.RawConfigFile()
	if err != nil {
		return opened{}, false, err
	}
	o.Cache.put(imageEntry, key, imageRecord{Manifest: manifest, Config: config, Fits: fits})
	return img, fits, nil
}

func openedOf(img v1.Image) (opened, error) {
	manifest, err := img.Manifest()
	if err != nil {
		return opened{}, fmt.Errorf("reading its manifest: %w", err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		return opened{}, fmt.Errorf("reading its configuration: %w", err)
	}
	return opened{manifest: manifest, config: config, open: func(context.Context) (v1.Image, error) { return img, nil }}, nil
}

func (o Options) fromRecord(c Component, r imageRecord) (opened, error) {
	var img opened
	if err := json.Unmarshal(r.Manifest, &img.manifest); err != nil {
		return opened{}, err
	}
	if err := json.Unmarshal(r.Config, &img.config); err != nil {
		return opened{}, err
	}
	if img.manifest == nil || img.config == nil {
		return opened{}, errors.New("the entry is empty")
	}
	var once sync.Once
	var live v1.Image
	var failure error
	img.open = func(ctx context.Context) (v1.Image, error) {
		once.Do(func() { live, _, failure = o.fetch(ctx, c.Reference) })
		return live, failure
	}
	return img, nil
}

// fetch asks the source for an image.
func (o Options) fetch(ctx context.Context, ref string) (img v1.Image, fits bool, err error) {
	if !o.MultiPlatform {
		img, err = o.Source.Image(ctx, ref)
		return img, true, err
	}
	d, err := o.Source.Descriptor(ctx, ref)
	if err != nil {
		return nil, false, err
	}
	if !d.MediaType.IsIndex() {
		if img, err = o.Source.Image(ctx, ref); err != nil {
			return nil, false, err
		}
		config, err := img.ConfigFile()
		if err != nil {
			return nil, false, fmt.Errorf("reading its configuration: %w", err)
		}
		return img, matches(config.Platform(), o.Platform), nil
	}
	index, err := o.Source.Index(ctx, ref)
	if err != nil {
		return nil, false, err
	}
	return imageFor(index, o.Platform)
}

// imageFor returns the index's image for a platform, or else its first.
func imageFor(index v1.ImageIndex, platform v1.Platform) (img v1.Image, fits bool, err error) {
	images, err := oci.PlatformsOf(index)
	if err != nil {
		return nil, false, err
	}
	if len(images) == 0 {
		return nil, false, errors.New("its index lists no image of any platform")
	}
	chosen := images[0]
	for _, d := range images {
		if matches(d.Platform, platform) {
			chosen, fits = d, true
			break
		}
	}
	img, err = index.Image(chosen.Digest)
	return img, fits, err
}

// matches reports whether an image of one platform serves another. A variant
// counts only where both name one.
func matches(have *v1.Platform, want v1.Platform) bool {
	if have == nil {
		return true
	}
	return have.OS == want.OS && have.Architecture == want.Architecture &&
		(have.Variant == "" || want.Variant == "" || have.Variant == want.Variant)
}
