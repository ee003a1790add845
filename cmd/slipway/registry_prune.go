package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/images"
	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/registryserver"
	"github.com/slipway-release/slipway/release"
)

// pruned says what slipway registry prune removes, or would.
type pruned struct {
	DryRun bool          `json:"dryRun,omitempty"`
	Images []prunedImage `json:"images"`
	// Kept is how many images of builds stay.
	Kept int `json:"kept"`
	// Bytes are those that only the removed images hold: compressed, shared layers once.
	Bytes int64 `json:"bytes"`
	// Swept are the blobs that nothing names, of the embedded registry; nil of another. Those
	// of images that are removed now follow when they are old enough.
	Swept *registryserver.Swept `json:"swept,omitempty"`
}

type prunedImage struct {
	Component string     `json:"component"`
	Digest    string     `json:"digest"`
	Built     *time.Time `json:"built,omitempty"`
}

func newRegistryPrune(a *app) *cobra.Command {
	var apply bool
	var grace time.Duration
	var out output
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Remove component images and blobs that no payload needs any more",
		Long: `Remove the component images that were built here and that no payload in the registry
consists of any more, and from the embedded registry the blobs that no manifest names.
Payloads themselves go by the retention of their streams: see slipway stream prune.

Nothing is removed without --apply: what would be is shown. Whatever was built or asked
for within --grace stays, since a payload may be about to be made of it. While a payload
is being made, or one cannot be read, nothing is removed at all.`,
		Example: "  slipway registry prune\n  slipway registry prune --apply\n  slipway registry prune --grace 168h -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			if grace < registryserver.MinSweepAge {
				return usage(fmt.Errorf("reading --grace: it must be %s or more, not %s", registryserver.MinSweepAge, grace))
			}
			p, err := a.pruneRegistry(cmd.Context(), grace, apply)
			if err != nil {
				return err
			}
			return out.print(a.Out, prunedResult(p))
		},
	}
	f := cmd.Flags()
	f.BoolVar(&apply, "apply", false, "remove what may go")
	f.DurationVar(&grace, "grace", 24*time.Hour, "how long what nothing refers to stays all the same")
	out.addFlag(cmd)
	return cmd
}

func prunedResult(p *pruned) result {
	r := result{value: p}
	for _, i := range p.Images {
		r.names = append(r.names, i.Component+"@"+i.Digest)
	}
	r.text = func(w io.Writer) {
		removed := "removed"
		if p.DryRun {
			removed = "would be removed"
		}
		for _, i := range p.Images {
			built := "before there was a record of it"
			if i.Built != nil {
				built = i.Built.Format(time.RFC3339)
			}
			fmt.Fprintf(w, "%s %s, built %s\n", i.Component, i.Digest, built)
		}
		fmt.Fprintf(w, "images: %d %s, %s; %d stay\n", len(p.Images), removed, bytesOf(p.Bytes), p.Kept)
		if p.Swept != nil {
			fmt.Fprintf(w, "blobs that nothing names: %d %s, %s\n", p.Swept.Blobs, removed, bytesOf(p.Swept.Bytes))
		}
	}
	return r
}

func (a *app) pruneRegistry(ctx context.Context, grace time.Duration, apply bool) (*pruned, error) {
	w, err := a.open(ctx)
	if err != nil {
		return nil, err
	}
	if apply {
		unlock, err := w.state.Lock()
		if err != nil {
			return nil, err
		}
		defer unlock()
	}
	if err := w.nothingUnderWay(ctx); err != nil {
		return nil, err
	}
	needed, err := w.neededImages(ctx)
	if err != nil {
		return nil, err
	}
	before := time.Now().Add(-grace)
	done := &pruned{DryRun: !apply, Images: []prunedImage{}}
	var gone []images.Entry
	keep, drop := map[v1.Hash]int64{}, map[v1.Hash]int64{}
	for _, component := range slices.Sorted(maps.Keys(needed.components)) {
		entries, err := images.Entries(ctx, w.registry, w.distro.Repository+"/"+component)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			of := drop
			if needed.digests[e.Digest.String()] || e.Built.After(before) {
				done.Kept++
				of = keep
			} else {
				gone = append(gone, e)
				i := prunedImage{Component: component, Digest: e.Digest.String()}
				if !e.Built.IsZero() {
					i.Built = &e.Built
				}
				done.Images = append(done.Images, i)
			}
			if err := addBlobs(ctx, w.registry, e, of); err != nil {
				return nil, err
			}
		}
	}
	for digest, size := range drop {
		if _, stays := keep[digest]; !stays {
			done.Bytes += size
		}
	}
	if apply {
		for _, e := range gone {
			if err := e.Remove(ctx, w.registry); err != nil {
				return nil, err
			}
		}
	}
	if a.flagOrEnv(a.registry, "SLIPWAY_REGISTRY") == "" {
		swept, err := registryserver.Sweep(ctx, w.state.Registry(), registryserver.SweepOptions{Before: before, DryRun: !apply})
		if err != nil {
			return nil, err
		}
		done.Swept = &swept
	}
	return done, nil
}

// addBlobs adds the blobs of an image, with their sizes in bytes.
func addBlobs(ctx context.Context, registry *oci.Registry, e images.Entry, to map[v1.Hash]int64) error {
	img, err := registry.Image(ctx, e.Repository+"@"+e.Digest.String())
	if err != nil {
		return err
	}
	m, err := img.Manifest()
	if err != nil {
		return fmt.Errorf("reading the image %s@%s: %w", e.Repository, e.Digest, err)
	}
	for _, d := range append(slices.Clone(m.Layers), m.Config) {
		to[d.Digest] = d.Size
	}
	return nil
}

// nothingUnderWay refuses while a stream makes a payload: its images are built, and no
// payload consists of them yet.
func (w *world) nothingUnderWay(ctx context.Context) error {
	for _, s := range w.distro.Streams {
		state, err := w.journal().Read(ctx, s.Name)
		if err != nil {
			return err
		}
		for _, c := range state.Cuts {
			if !c.Phase().Final() {
				return fmt.Errorf("pruning the registry: stream %q is making %q; wait until it has a verdict", s.Name, c.Version)
			}
		}
	}
	return nil
}

// needed is what the payloads in the registry consist of.
type needed struct {
	components map[string]bool // by name: of the payloads, and of the distribution
	digests    map[string]bool
}

// neededImages reads all payloads, those of each architecture.
func (w *world) neededImages(ctx context.Context) (needed, error) {
	n := needed{map[string]bool{}, map[string]bool{}}
	for _, c := range w.distro.Components {
		n.components[c.Metadata.Name] = true
	}
	tags, err := w.registry.Tags(ctx, w.releases())
	if err != nil && !errors.Is(err, oci.ErrNotFound) {
		return n, err
	}
	for _, tag := range tags {
		if strings.HasPrefix(tag, "sha256-") {
			continue // signatures, and lists of what refers to a digest
		}
		if err := w.needs(ctx, w.releases()+":"+tag, n); err != nil {
			return n, fmt.Errorf("finding out what %s:%s consists of: %w", w.releases(), tag, err)
		}
	}
	return n, nil
}

func (w *world) needs(ctx context.Context, ref string, n needed) error {
	digest, err := w.registry.Resolve(ctx, ref)
	if errors.Is(err, oci.ErrNotFound) {
		return nil // it was deleted meanwhile
	}
	if err != nil {
		return err
	}
	all, err := w.imagesOf(ctx, digest.String())
	if err != nil {
		return err
	}
	for _, digest := range all {
		img, err := w.registry.Image(ctx, w.releases()+"@"+digest)
		if err != nil {
			return err
		}
		p, err := release.Load(ctx, img)
		if err != nil {
			return err
		}
		for _, name := range p.Components() {
			image, _ := p.Image(name)
			n.components[name] = true
			n.digests[pullDigest(image)] = true
		}
	}
	return nil
}
