package premerge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/slipway-release/slipway/images"
	"github.com/slipway-release/slipway/internal/progress"
	"github.com/slipway-release/slipway/internal/state"
	"github.com/slipway-release/slipway/pipelines/report"
)

// build makes the images of the changed components, on the inputs that the base was
// built from wherever the change does not ask for others.
func (c *check) build(ctx context.Context, item *progress.Item) (string, error) {
	var names []string
	for _, ch := range c.changes {
		if ch.recipe != nil {
			names = append(names, ch.Component)
		}
	}
	if len(names) > 0 {
		built, err := c.buildImages(ctx, images.WithBases(c.distribution.Components, names...), item)
		if err != nil {
			return "", err
		}
		for _, ch := range c.changes {
			if i := slices.IndexFunc(built, func(r images.Result) bool { return r.Component == ch.Component }); i >= 0 && ch.recipe != nil {
				ch.Image = built[i].Reference
			}
		}
	}
	for _, ch := range c.changes {
		if ch.image != nil {
			item.Update("pushing " + ch.Component)
			if _, err := c.Registry.Push(ctx, ch.Image, ch.image); err != nil {
				return "", err
			}
		}
	}
	c.dropUnchanged()
	if len(c.changes)+len(c.removed) == 0 {
		return "all images are those of the base", nil
	}
	return c.names(), nil
}

func (c *check) buildImages(ctx context.Context, recipes []*images.Recipe, item *progress.Item) ([]images.Result, error) {
	shown := progress.Steps{Item: item}
	lock, err := images.Lock(ctx, recipes, images.LockOptions{
		Cache: c.State.Cache("lock"), Self: c.Self, Platform: c.Distribution.Platform, Progress: shown,
	})
	if errors.Is(err, images.ErrInput) {
		return nil, wrong(err)
	}
	if err != nil {
		return nil, err
	}
	for _, kept := range []*images.Lockfile{c.Base.Lock, c.Lock} {
		if kept != nil {
			lock.KeepPackages(kept)
		}
	}
	data, err := lock.Encode()
	if err != nil {
		return nil, err
	}
	if err := state.WriteFile(c.path("lock.json"), data, 0o644); err != nil {
		return nil, err
	}
	built, err := images.Build(ctx, recipes, lock, images.BuildOptions{
		Registry: c.Registry, Cache: c.State.Cache("images"), Self: c.Self, Progress: shown,
	})
	for _, b := range built {
		c.report.Images = append(c.report.Images, report.Image{Component: b.Component, Digest: b.Digest, Cached: b.Cached, Seconds: b.Seconds})
	}
	var compile *images.CompileError
	if errors.As(err, &compile) || errors.Is(err, images.ErrInput) {
		return nil, wrong(err)
	}
	return built, err
}

// dropUnchanged leaves out what came out the same as in the base. What was named stays.
func (c *check) dropUnchanged() {
	if len(c.Sources) > 0 {
		return
	}
	c.changes = slices.DeleteFunc(c.changes, func(ch *change) bool {
		before, ok := c.Base.Payload.Image(ch.Component)
		return ok && digestOf(before) == digestOf(ch.Image)
	})
}

func digestOf(ref string) string { return ref[strings.LastIndexByte(ref, '@')+1:] }

// assemble lays the images over the base, and signs the payload with the own key. It
// gets no tag: it is found by its digest alone, and belongs to no stream.
func (c *check) assemble(ctx context.Context) (string, error) {
	set := c.baseSet()
	for _, ch := range c.changes {
		replace(set, ch.component())
	}
	made, err := c.make(ctx, set)
	if err != nil {
		return "", err
	}
	c.payload = made.Payload
	c.payload.Reference = c.Distribution.Repository + "/release@" + c.payload.Digest.String()
	if _, err := c.Registry.Push(ctx, c.payload.Reference, made.Image); err != nil {
		return "", err
	}
	if err := c.Sign(ctx, c.payload.Reference, c.version); err != nil {
		return "", err
	}
	where, err := c.Registry.Locate(c.payload.Reference)
	if err != nil {
		return "", err
	}
	c.report.Payload = &report.Payload{
		Version: c.version.String(), Digest: c.payload.Digest.String(), PullSpec: where.String(), Reference: c.payload.Reference,
	}
	return fmt.Sprintf("%s, %s", c.version, c.payload.Digest), nil
}
