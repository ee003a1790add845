package mirror

import (
	"context"
	"errors"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/slipway-release/slipway/internal/oci"
)

// cosignTags are where cosign keeps what it says about a digest, besides
// referrers.
var cosignTags = []string{"sig", "att", "sbom"}

// companions is what was said about an image.
type companions struct {
	tagged    map[string]manifest // by tag
	referrers []v1.Hash
}

// findCompanions asks the source what was said about an image.
func (c *copier) findCompanions(ctx context.Context, o origin, subject v1.Hash) (companions, error) {
	found := companions{tagged: map[string]manifest{}}
	var mu sync.Mutex
	group, within := errgroup.WithContext(ctx)
	for _, kind := range cosignTags {
		group.Go(func() error {
			tag := subject.Algorithm + "-" + subject.Hex + "." + kind
			m, err := c.read(within, o.from+":"+tag)
			if errors.Is(err, oci.ErrNotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			found.tagged[tag] = m
			return nil
		})
	}
	group.Go(func() error {
		return c.request(within, func() error {
			referrers, err := c.source.Referrers(within, o.from+"@"+subject.String(), "")
			for _, r := range referrers {
				found.referrers = append(found.referrers, r.Digest)
			}
			return err
		})
	})
	return found, group.Wait()
}

// said copies what was said about an image and about what it holds. It does so
// once for each: nobody waits for another, for what is said may go in circles.
// unput says that the manifest is not there yet, because it will be put under its
// tag; what refers to it must come after it all the same.
func (c *copier) said(ctx context.Context, o origin, m manifest, unput bool, done *copied, depth int) error {
	if !c.ask(imageKey{repository: o.to, digest: m.descriptor.Digest}) {
		return nil
	}
	found, err := c.findCompanions(ctx, o, m.descriptor.Digest)
	if err != nil {
		return err
	}
	if unput && len(found.referrers) > 0 {
		isNew, err := c.put(ctx, o, m)
		if err != nil {
			return err
		}
		done.put = isNew
	}
	if err := c.companions(ctx, o, m.descriptor.Digest, found, done, depth); err != nil {
		return err
	}
	for _, child := range m.children {
		inner := manifest{descriptor: child}
		if child.MediaType.IsIndex() {
			if inner, err = c.read(ctx, o.from+"@"+child.Digest.String()); err != nil {
				return err
			}
		}
		if err := c.said(ctx, o, inner, false, done, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// ask says whether nobody has asked for an image's companions before.
func (c *copier) ask(key imageKey) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked == nil {
		c.asked = map[imageKey]bool{}
	}
	was := c.asked[key]
	c.asked[key] = true
	return !was
}

// companions copies what was said about an image.
func (c *copier) companions(ctx context.Context, o origin, subject v1.Hash, found companions, done *copied, depth int) error {
	var mu sync.Mutex
	count := func(isNew bool, inner copied) {
		mu.Lock()
		defer mu.Unlock()
		done.companions++
		if isNew {
			done.companionsCopied++
		}
		done.add(inner)
	}
	group, within := errgroup.WithContext(ctx)
	for tag, m := range found.tagged {
		group.Go(func() error {
			isNew, inner, err := c.cosignTag(within, o, tag, m, depth)
			count(isNew, inner)
			return err
		})
	}
	var listed map[v1.Hash]bool
	if len(found.referrers) > 0 {
		err := c.request(ctx, func() (err error) {
			listed, err = c.to.listed(ctx, o.to, subject)
			return err
		})
		if err != nil {
			return err
		}
	}
	for _, digest := range found.referrers {
		group.Go(func() error {
			isNew, inner, err := c.referrer(within, o, digest, listed[digest], depth)
			count(isNew, inner)
			return err
		})
	}
	return group.Wait()
}

// cosignTag copies the image under a tag of cosign's. One that the destination
// has with other content is replaced if the source has all that is in it.
func (c *copier) cosignTag(ctx context.Context, o origin, tag string, m manifest, depth int) (isNew bool, inner copied, err error) {
	var there v1.Hash
	free := true
	err = c.request(ctx, func() error {
		if there, err = c.to.tagged(ctx, o.to, tag); err != nil || there == m.descriptor.Digest || there == (v1.Hash{}) || c.overwrite {
			return err
		}
		free, err = c.to.replaceable(ctx, o.to, tag, m)
		return err
	})
	if err != nil {
		return false, inner, err
	}
	if !free {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.kept = append(c.kept, o.to+":"+tag)
		return false, inner, nil
	}
	inner, err = c.image(ctx, o, tag, m, depth+1)
	return inner.new && there != m.descriptor.Digest, inner, err
}

// referrer copies a manifest that refers to an image. A registry that does not
// keep the list of those may have the manifest and not list it.
func (c *copier) referrer(ctx context.Context, o origin, digest v1.Hash, listed bool, depth int) (isNew bool, inner copied, err error) {
	m, err := c.read(ctx, o.from+"@"+digest.String())
	if errors.Is(err, oci.ErrNotFound) {
		return false, inner, nil // lists may name what was deleted since
	}
	if err != nil {
		return false, inner, err
	}
	if inner, err = c.image(ctx, o, "", m, depth+1); err != nil || inner.new || listed {
		return inner.new, inner, err
	}
	isNew, err = c.put(ctx, o, m)
	return isNew, inner, err
}
