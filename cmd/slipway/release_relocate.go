package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/assemble"
	"github.com/slipway-release/slipway/release/assemble/input"
	"github.com/slipway-release/slipway/release/mirror"
)

func (o *releaseNewOptions) checkMirror() error {
	switch {
	case o.mirror == "":
		return nil
	case o.inputs.images != "" || o.inputs.lock != "":
		return errors.New("reading --mirror: the components of a distribution keep its canonical names, wherever they are; copy the payload with slipway release mirror")
	case o.inputs.referenceMode != input.ReferencePublic:
		return fmt.Errorf("reading --mirror: it says where components are, and --reference-mode %s does so too; give one", o.inputs.referenceMode)
	}
	return nil
}

// relocate has the payload name its components where --mirror copies them. They are
// read where they are until it is known that the payload is good.
func (o *releaseNewOptions) relocate(ctx context.Context, a *app, in *gathered, opts *assemble.Options) error {
	if o.mirror == "" {
		return nil
	}
	registry, err := a.targetRegistry(ctx, o.mirror)
	if err != nil {
		return err
	}
	to, err := mirror.ToRegistry(registry, o.mirror, "")
	if err != nil {
		return usage(fmt.Errorf("reading --mirror: %w", err))
	}
	pullspecs := map[string]string{}
	for _, c := range in.set.Components {
		if !slices.Contains(o.exclude, c.Name) {
			pullspecs[c.Name] = c.Reference
		}
	}
	architecture := opts.Platform.Architecture
	if o.keepList {
		architecture = release.ArchitectureMulti
	}
	copies := mirror.Options{Source: in.sources, To: to, Jobs: a.registries.jobs, Progress: &mirror.Progress{}}
	if in.relocation, err = mirror.Relocate(copies, opts.Version.Tag(), architecture, pullspecs); err != nil {
		return usage(err)
	}
	in.sources.moved = map[string]string{}
	opts.Components = slices.Clone(opts.Components)
	for i, c := range opts.Components {
		if ref := in.relocation.Reference(c.Name); ref != "" {
			in.sources.moved[ref] = c.Reference
			opts.Components[i].Reference = ref
		}
	}
	// Components that need a canonical name to be known by have none at the new place.
	opts.Repository = ""
	return nil
}

// mirror copies the components that are in the payload, before it names them anywhere.
func (n *assembled) mirror(ctx context.Context, progress *slowProgress) error {
	if n.gathered.relocation == nil {
		return nil
	}
	progress.say("copying components")
	kept := map[string]bool{}
	for _, part := range n.Parts {
		for _, name := range part.Payload.Components() {
			kept[name] = true
		}
	}
	_, err := n.gathered.relocation.Run(ctx, slices.Sorted(maps.Keys(kept)))
	return err
}

var _ mirror.Source = (*sources)(nil)

// Manifest reads the bytes of a manifest.
func (s *sources) Manifest(ctx context.Context, ref string) ([]byte, v1.Descriptor, error) {
	r, err := s.readerOf(ctx, ref)
	if err != nil {
		return nil, v1.Descriptor{}, err
	}
	return r.Manifest(ctx, ref)
}

// Blob reads a blob, from a layout that has it or else from the registry.
func (s *sources) Blob(ctx context.Context, repository string, d v1.Descriptor) (io.ReadCloser, error) {
	if s.first != nil {
		body, err := s.first.Blob(ctx, repository, d)
		if !errors.Is(err, oci.ErrNotFound) {
			return body, err
		}
	}
	r, err := s.of(ctx, repository)
	if err != nil {
		return nil, err
	}
	return r.Blob(ctx, repository, d)
}

// Referrers lists what was said about an image.
func (s *sources) Referrers(ctx context.Context, subject, artifactType string) ([]oci.Referrer, error) {
	r, err := s.readerOf(ctx, subject)
	if err != nil {
		return nil, err
	}
	return r.Referrers(ctx, subject, artifactType)
}

// Locate says where an image is stored. Whoever asks has read its manifest, so that its
// registry's client is there already.
func (s *sources) Locate(ref string) (name.Reference, error) {
	r, err := s.of(context.Background(), ref)
	if err != nil {
		return nil, err
	}
	return r.Locate(ref)
}
