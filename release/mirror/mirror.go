package mirror

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/slipway-release/slipway/internal/oci"
)

const defaultJobs = 8

// Run copies a release. The payload is verified before anything is copied, and
// gets its tag when everything else is there. Images that the source does not
// have, or has damaged, do not keep the others from being copied; they are told
// all at once at the end, and the payload then gets no tag.
func Run(ctx context.Context, o Options) (*Result, error) {
	begun := time.Now()
	if o.Progress == nil {
		o.Progress = &Progress{}
	}
	p, err := newPlan(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := verify(ctx, o, p); err != nil {
		return nil, err
	}
	c := newCopier(o)
	result := &Result{Version: p.version, Digest: p.root.Digest.String(), Architecture: p.arch, Source: p.reference, DryRun: o.DryRun, Payload: p.payloads[0]}
	if err := c.release(ctx, o, p, result); err != nil {
		return nil, fmt.Errorf("mirroring payload %q: %w", p.reference, err)
	}
	if !o.DryRun {
		if err := o.To.finish(ctx); err != nil {
			return nil, err
		}
	}
	result.Blobs = Blobs{Copied: c.stored[oci.Copied].Load(), Mounted: c.stored[oci.Mounted].Load(), Present: c.stored[oci.Present].Load()}
	result.Bytes = c.bytes.Load()
	result.Seconds = elapsed(begun)
	slices.Sort(c.kept)
	result.Kept = c.kept
	result.Sources = p.sources(o.SkipRelease)
	return result, nil
}

func verify(ctx context.Context, o Options, p *plan) error {
	if o.Unverified {
		return nil
	}
	if o.Verify == nil {
		return fmt.Errorf("mirroring payload %q: nobody is there to verify its signature; name keys, or say that it is not to be verified", o.Reference)
	}
	return o.Verify(ctx, Subject{Reference: o.Reference, Version: p.payloads[0].Version, Architecture: p.signedArch})
}

// release copies the components side by side, and the payload after them.
func (c *copier) release(ctx context.Context, o Options, p *plan, result *Result) error {
	o.Progress.Images.Store(int64(len(p.components)))
	if !o.SkipRelease {
		o.Progress.Images.Add(1)
	}
	finder := &finder{copier: c, payload: repositoryOf(p.reference)}
	var err error
	if result.Images, err = c.components(ctx, p.components, finder.find); err != nil {
		return err
	}
	if o.SkipRelease {
		return nil
	}
	image, err := c.component(ctx, p.payload, finder.find)
	if err != nil {
		return err
	}
	result.Images = append(result.Images, image)
	result.Target = image.To
	return nil
}

// components copies images side by side. What is missing of one does not keep the
// others from being copied.
func (c *copier) components(ctx context.Context, items []*item, find findImage) ([]Image, error) {
	images := make([]Image, len(items))
	var mu sync.Mutex
	var missing []error
	group, within := errgroup.WithContext(ctx)
	// Each waits for its requests' turn; together they keep all slots busy.
	group.SetLimit(4 * cap(c.slots))
	for n, i := range items {
		group.Go(func() error {
			image, err := c.component(within, i, find)
			if err != nil {
				err = fmt.Errorf("component %s: %w", i.component, err)
			}
			if missingError(err) {
				mu.Lock()
				defer mu.Unlock()
				missing = append(missing, err)
				return nil
			}
			images[n] = image
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if len(missing) > 0 {
		return nil, several(missing)
	}
	return images, nil
}

// findImage reads an image's manifest and says in which repository it is.
type findImage func(ctx context.Context, i *item) (repository string, m manifest, err error)

// component copies one image of the release.
func (c *copier) component(ctx context.Context, i *item, find findImage) (Image, error) {
	from, m, err := find(ctx, i)
	if err != nil {
		return Image{}, err
	}
	m.version, m.from = i.version, i.name
	o := origin{from: from, to: i.repository}
	done, err := c.image(ctx, o, i.tag, m, 0)
	if err != nil {
		return Image{}, err
	}
	c.progress.ImagesDone.Add(1)
	target := i.repository + ":" + i.tag
	if i.repository == "" {
		target = i.tag
	}
	image := Image{Component: i.component, From: from + "@" + i.digest.String(), To: target, Digest: i.digest.String(), Status: StatusPresent,
		Companions: done.companions, CompanionsCopied: done.companionsCopied}
	if done.new {
		image.Status = StatusCopied
	}
	return image, nil
}

// several joins errors, the first ones of many.
func several(errs []error) error {
	const shown = 10
	slices.SortFunc(errs, func(x, y error) int { return strings.Compare(x.Error(), y.Error()) })
	if more := len(errs) - shown; more > 0 {
		errs = append(errs[:shown:shown], fmt.Errorf("and %d more", more))
	}
	return errors.Join(errs...)
}
