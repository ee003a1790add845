package mirror

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/slipway-release/slipway/internal/oci"
)

// maxDepth bounds how deep indexes, and things said about things said, may go.
const maxDepth = 8

// copier copies images with all that belongs to them.
type copier struct {
	source    Source
	to        Destination
	progress  *Progress
	dryRun    bool
	overwrite bool
	slots     chan struct{} // one for each request that may be under way

	images flights[imageKey, bool]
	blobs  flights[imageKey, struct{}]
	first  flights[v1.Hash, struct{}]

	stored [3]atomic.Int64 // blobs by oci.Stored
	bytes  atomic.Int64    // of blobs that were copied
	mu     sync.Mutex
	kept   []string
	asked  map[imageKey]bool // whose companions are looked after
}

func newCopier(o Options) *copier {
	slots := make(chan struct{}, max(cmp.Or(o.Jobs, defaultJobs), 1))
	return &copier{source: o.Source, to: o.To, progress: o.Progress, dryRun: o.DryRun, overwrite: o.Overwrite, slots: slots}
}

// imageKey is something in a repository of the destination.
type imageKey struct {
	repository string
	digest     v1.Hash
	named      bool // a manifest that gets no more than a tag
}

// copied says what became of an image.
type copied struct {
	new              bool // it was not there before
	put              bool // its manifest was stored ahead of its tag
	companions       int
	companionsCopied int
}

func (c *copied) add(other copied) {
	c.companions += other.companions
	c.companionsCopied += other.companionsCopied
}

// request runs something that keeps a connection busy.
func (c *copier) request(ctx context.Context, do func() error) error {
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-c.slots }()
	return do()
}

// origin is where an image is read and where it goes.
type origin struct {
	from string // repository at the source
	to   string // repository at the destination
}

// image copies a manifest or index with all it names and all that was said about
// it, and gives it a tag, if it is to have one, last.
func (c *copier) image(ctx context.Context, o origin, tag string, m manifest, depth int) (copied, error) {
	if depth > maxDepth {
		return copied{}, fmt.Errorf("image %s: what belongs to it lies more than %d deep", m.descriptor.Digest, maxDepth)
	}
	isNew, err := c.content(ctx, o, m, tag != "", depth)
	if err != nil {
		return copied{}, err
	}
	done := copied{new: isNew}
	if err := c.said(ctx, o, m, tag != "" && isNew, &done, depth); err != nil || tag == "" {
		return done, err
	}
	how, err := c.name(ctx, o, tag, m, isNew)
	done.new = isNew && (done.put || how != oci.Present)
	return done, err
}

// name gives an image a tag, unless it has it. A manifest that is new cannot have
// one.
func (c *copier) name(ctx context.Context, o origin, tag string, m manifest, isNew bool) (how oci.Stored, err error) {
	if c.dryRun {
		if c.to.has(m.descriptor) {
			return oci.Present, nil
		}
		return oci.Copied, nil
	}
	err = c.request(ctx, func() error {
		if !isNew {
			there, err := c.to.tagged(ctx, o.to, tag)
			if err != nil || there == m.descriptor.Digest {
				return err
			}
		}
		how, err = c.to.putManifest(ctx, o.to, tag, m)
		return err
	})
	return how, err
}

// content copies what a manifest names, and the manifest itself unless it is to
// be put under a tag. Each is copied once, and those who want it wait for it:
// that can be no circle, for a manifest names what it holds by digest. It says
// whether the manifest was not there before.
func (c *copier) content(ctx context.Context, o origin, m manifest, named bool, depth int) (isNew bool, err error) {
	return c.images.do(ctx, imageKey{o.to, m.descriptor.Digest, named}, func() (bool, error) {
		present := false
		err := c.request(ctx, func() (err error) {
			present, err = c.to.present(ctx, o.to, m.descriptor)
			return err
		})
		if err != nil || present {
			return false, err
		}
		group, within := errgroup.WithContext(ctx)
		for _, b := range m.blobs {
			group.Go(func() error { return c.blob(within, o, b) })
		}
		for _, child := range m.children {
			group.Go(func() error {
				if depth == maxDepth {
					return fmt.Errorf("image %s lies more than %d deep", child.Digest, maxDepth)
				}
				inner, err := c.read(within, o.from+"@"+child.Digest.String())
				if err != nil {
					return err
				}
				_, err = c.content(within, o, inner, false, depth+1)
				return err
			})
		}
		if err := group.Wait(); err != nil || named {
			return true, err
		}
		return c.put(ctx, o, m)
	})
}

// put stores a manifest under its digest, and says whether it is new there.
func (c *copier) put(ctx context.Context, o origin, m manifest) (isNew bool, err error) {
	if c.dryRun {
		return !c.to.has(m.descriptor), nil
	}
	err = c.request(ctx, func() error {
		how, err := c.to.putManifest(ctx, o.to, "", m)
		isNew = how != oci.Present
		return err
	})
	return isNew, err
}

// read reads a manifest from the source.
func (c *copier) read(ctx context.Context, ref string) (manifest, error) {
	var m manifest
	err := c.request(ctx, func() error {
		raw, d, err := c.source.Manifest(ctx, ref)
		if err != nil {
			return err
		}
		m, err = parseManifest(d, raw)
		return err
	})
	return m, err
}

// blob makes a repository of the destination have a blob. Of several that want
// one blob, the first goes alone: a registry can then mount it for the others,
// and files need it once.
func (c *copier) blob(ctx context.Context, o origin, d v1.Descriptor) error {
	_, err := c.blobs.do(ctx, imageKey{repository: o.to, digest: d.Digest}, func() (struct{}, error) {
		mine := false
		_, err := c.first.do(ctx, d.Digest, func() (struct{}, error) {
			mine = true
			return struct{}{}, c.putBlob(ctx, o, d)
		})
		if err == nil && !mine {
			err = c.putBlob(ctx, o, d)
		}
		return struct{}{}, err
	})
	return err
}

func (c *copier) putBlob(ctx context.Context, o origin, d v1.Descriptor) error {
	if c.dryRun {
		if c.to.has(d) {
			c.stored[oci.Present].Add(1)
			return nil
		}
		c.stored[oci.Copied].Add(1)
		c.bytes.Add(d.Size)
		return nil
	}
	return c.request(ctx, func() error {
		how, err := c.to.putBlob(ctx, o.to, d, oci.BlobSource{
			Repository: located(c.source, o.from, d),
			Open: func() (io.ReadCloser, error) {
				body, err := c.source.Blob(ctx, o.from, d)
				if err != nil {
					return nil, err
				}
				return oci.Watched(body, &c.progress.Bytes), nil
			},
		})
		if err != nil {
			return err
		}
		c.stored[how].Add(1)
		if how == oci.Copied {
			c.bytes.Add(d.Size)
		}
		return nil
	})
}

// flights lets many ask for a piece of work that is done once. What failed may be
// tried again.
type flights[K comparable, V any] struct {
	mu    sync.Mutex
	known map[K]*flight[V]
}

type flight[V any] struct {
	landed chan struct{}
	value  V
	err    error
}

func (f *flights[K, V]) do(ctx context.Context, key K, work func() (V, error)) (V, error) {
	f.mu.Lock()
	if f.known == nil {
		f.known = map[K]*flight[V]{}
	}
	if one, ok := f.known[key]; ok {
		f.mu.Unlock()
		select {
		case <-one.landed:
			return one.value, one.err
		case <-ctx.Done():
			var none V
			return none, context.Cause(ctx)
		}
	}
	one := &flight[V]{landed: make(chan struct{})}
	f.known[key] = one
	f.mu.Unlock()
	one.value, one.err = work()
	if one.err != nil {
		f.mu.Lock()
		delete(f.known, key)
		f.mu.Unlock()
	}
	close(one.landed)
	return one.value, one.err
}

// missingError says whether an error is about a single image. The others are
// copied all the same, so that everything that is missing is told at once.
func missingError(err error) bool {
	return errors.Is(err, oci.ErrNotFound) || errors.Is(err, oci.ErrDamaged)
}
