package images

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// run builds the jobs: compilations one after the other, and beside them all
// else, within the limit of slots.
func (b *builder) run(ctx context.Context, todo []*job) error {
	if len(todo) == 0 {
		return nil
	}
	var rootfs []string
	for _, j := range todo {
		b.wantPrograms(j)
		for _, l := range j.Layers {
			if l.debian != nil && b.store.layer(l.Key) == nil {
				rootfs = append(rootfs, l.Key)
			}
		}
	}
	b.rootfsTurns = newTurns(rootfs, b.opts.Jobs)
	var wg sync.WaitGroup
	if len(b.lock.Modules) > 0 {
		var err error
		if b.goTool, err = b.goTools(); err != nil {
			return err
		}
		if b.goTool.version != b.lock.Toolchain.Go {
			return &InputError{Input: "the Go toolchain", Locked: b.lock.Toolchain.Go, Found: b.goTool.version}
		}
		wg.Go(func() { b.compileAll(ctx) })
	}
	for _, j := range todo {
		wg.Go(func() {
			defer close(j.done)
			b.opts.Progress.Start(j.Name())
			j.err = b.component(ctx, j)
			b.opts.Progress.Done(j.Name(), j.err)
		})
	}
	wg.Wait()
	return nil
}

// wantPrograms notes what of a job must be compiled.
func (b *builder) wantPrograms(j *job) {
	for _, l := range j.Layers {
		if l.build == nil || b.store.layer(l.Key) != nil {
			continue
		}
		g := newGroup(l.build)
		if known := b.groups[g.key]; known != nil {
			g = known
		} else {
			b.groups[g.key] = g
			b.order = append(b.order, g)
		}
		g.want(j.Name(), loadOf(l.layer.Go).Packages)
	}
}

// compileAll compiles the groups in turn, the one most components wait for first.
func (b *builder) compileAll(ctx context.Context) {
	slices.SortStableFunc(b.order, func(x, y *group) int { return len(y.packages) - len(x.packages) })
	for _, g := range b.order {
		b.opts.Progress.Start(g.name())
		g.err = b.compile(ctx, g)
		b.opts.Progress.Done(g.name(), errors.Join(append(slices.Collect(maps.Values(g.failed)), g.err)...))
		close(g.done)
	}
}

// component makes one image and pushes it.
func (b *builder) component(ctx context.Context, j *job) error {
	began := time.Now()
	layers, err := b.layers(ctx, j)
	if err != nil {
		return err
	}
	if j.base != nil {
		select {
		case <-j.base.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if j.base.err != nil {
			return fmt.Errorf("its base %q could not be built", j.base.Name())
		}
		// The base came out after all; perhaps this image on it is there already.
		if j.result, err = b.cached(ctx, j); err != nil {
			return err
		}
	}
	if j.result == nil {
		if j.result, err = b.publish(ctx, j, layers); err != nil {
			return err
		}
	}
	j.result.Seconds = time.Since(began).Seconds()
	return nil
}

// layers makes a job's layers side by side. They do not depend on the base.
func (b *builder) layers(ctx context.Context, j *job) ([]*storedLayer, error) {
	out := make([]*storedLayer, len(j.Layers))
	errs := make([]error, len(j.Layers))
	var wg sync.WaitGroup
	for i := range j.Layers {
		wg.Go(func() { out[i], errs[i] = b.layer(ctx, j, &j.Layers[i]) })
	}
	wg.Wait()
	return out, errors.Join(errs...)
}

func (b *builder) layer(ctx context.Context, j *job, l *PlannedLayer) (*storedLayer, error) {
	made, err, _ := b.flights.Do(l.Key, func() (any, error) {
		if have := b.store.layer(l.Key); have != nil {
			return have, nil
		}
		return b.makeLayer(ctx, j, l)
	})
	if err != nil {
		return nil, err
	}
	return made.(*storedLayer), nil
}

// ready waits for what a layer needs and for room to make it, and returns what to
// call at the end. Root file systems take long, so they have turns of their own
// and what is quick does not wait for them.
func (b *builder) ready(ctx context.Context, l *PlannedLayer) (func(), error) {
	if l.debian != nil {
		return b.rootfsTurns.wait(ctx, l.Key)
	}
	if l.build != nil {
		g := b.groups[cacheKey(l.build)]
		if g == nil {
			return nil, errors.New("its layer vanished from the cache while this build went on; build again")
		}
		select {
		case <-g.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	select {
	case b.slots <- struct{}{}:
		return func() { <-b.slots }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// makeLayer makes what goes into a layer and writes it.
func (b *builder) makeLayer(ctx context.Context, j *job, l *PlannedLayer) (*storedLayer, error) {
	done, err := b.ready(ctx, l)
	if err != nil {
		return nil, err
	}
	defer done()
	content, err := b.content(ctx, j, l)
	if err != nil {
		return nil, err
	}
	if content.close != nil {
		defer content.close()
	}
	b.opts.Progress.Log(j.Name(), "writing layer "+l.Kind)
	return b.store.write(ctx, l.Key, b.plan.Epoch, content)
}

// publish puts the layers on the base and stores the image: the image itself,
// what is known of it, and last the tag by which the next build finds it.
func (b *builder) publish(ctx context.Context, j *job, layers []*storedLayer) (*Result, error) {
	b.opts.Progress.Log(j.Name(), "pushing")
	img, err := b.assemble(ctx, j, layers)
	if err != nil {
		return nil, err
	}
	digest, err := img.Digest()
	if err != nil {
		return nil, err
	}
	rec := b.describe(j, digest, layers)
	result := b.result(j, digest, rec, false)
	if _, err := b.opts.Registry.Push(ctx, result.Reference, img); err != nil {
		return nil, err
	}
	key := b.key(j)
	described, err := rec.image()
	if err != nil {
		return nil, err
	}
	if _, err := b.opts.Registry.Push(ctx, b.repository(j.Name())+":"+recordTag(key), described); err != nil {
		return nil, err
	}
	if err := b.store.putRecord(digest, rec); err != nil {
		return nil, err
	}
	return result, b.opts.Registry.Tag(ctx, result.Reference, cacheTag(key))
}

// describe collects what the image is made of, and of what.
func (b *builder) describe(j *job, digest v1.Hash, layers []*storedLayer) *record {
	lists := make([][]Package, len(layers))
	for i, l := range layers {
		lists[i] = l.Packages
	}
	rec := &record{Image: digest.String(), Built: time.Now().UTC().Truncate(time.Second), Packages: mergePackages(lists...)}
	rec.Materials = append(rec.Materials, j.files...)
	for _, p := range rec.Packages {
		rec.Materials = append(rec.Materials, Material{Name: p.Name, URI: p.PURL, Digest: p.Digest})
	}
	if j.base != nil {
		base := j.base.result
		rec.Materials = append(rec.Materials, Material{Name: j.base.Name(), URI: base.Reference, Digest: map[string]string{"sha256": hexOf(base.Digest)}})
		rec.Packages = mergePackages(rec.Packages, base.Packages)
	}
	return rec
}
