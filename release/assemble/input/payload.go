package input

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/assemble"
)

// FromPayload takes components, version, upgrades and metadata from a payload
// that exists, and records it as the origin.
func FromPayload(p *release.Payload) *Set {
	s := Recorded(p)
	if s.Annotations == nil {
		s.Annotations = map[string]string{}
	}
	s.Annotations[AnnotationFromRelease] = p.Reference
	return s
}

// Recorded is what a payload says it was made of.
func Recorded(p *release.Payload) *Set {
	s := &Set{
		Version: p.Version, Annotations: maps.Clone(p.References.Annotations),
		Previous: p.Metadata.Previous, Next: p.Metadata.Next,
		Metadata: maps.Clone(p.Metadata.Values), MetadataOther: maps.Clone(p.Metadata.Other), Created: p.Created,
	}
	for _, t := range p.References.Tags {
		s.Components = append(s.Components, assemble.Component{Name: t.Name, Reference: t.Image, Tag: t})
	}
	s.sort()
	return s
}

// ErrNoBase says that no component is the image a payload stands on.
var ErrNoBase = errors.New("none of its components is the image it stands on")

// FindBase returns the component that a payload image stands on, by the label
// that its maker left. A component may be an index of which the base is one image; likely
// names are looked at first. The error wraps ErrNoBase when there is none.
func FindBase(ctx context.Context, source assemble.Source, img v1.Image, components []assemble.Component, likely ...string) (string, error) {
	config, err := img.ConfigFile()
	if err != nil {
		return "", fmt.Errorf("reading the payload's configuration: %w", err)
	}
	digest := config.Config.Labels[release.LabelBaseDigest]
	if digest == "" {
		return "", fmt.Errorf("finding the base: label %s is missing: %w", release.LabelBaseDigest, ErrNoBase)
	}
	for _, c := range components {
		if ref, err := name.NewDigest(c.Reference); err == nil && ref.DigestStr() == digest {
			return c.Name, nil
		}
	}
	ordered := slices.Clone(components)
	slices.SortStableFunc(ordered, func(a, b assemble.Component) int {
		return rank(likely, a.Name) - rank(likely, b.Name)
	})
	for _, c := range ordered {
		holds, err := indexHolds(ctx, source, c.Reference, digest)
		if err != nil {
			return "", fmt.Errorf("finding the base: %w", err)
		}
		if holds {
			return c.Name, nil
		}
	}
	return "", fmt.Errorf("finding the base %s: %w", digest, ErrNoBase)
}

func rank(likely []string, name string) int {
	if i := slices.Index(likely, name); i >= 0 {
		return i
	}
	return len(likely)
}

func indexHolds(ctx context.Context, source assemble.Source, ref, digest string) (bool, error) {
	d, err := source.Descriptor(ctx, ref)
	if err != nil || !d.MediaType.IsIndex() {
		return false, err
	}
	index, err := source.Index(ctx, ref)
	if err != nil {
		return false, err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(manifest.Manifests, func(d v1.Descriptor) bool { return d.Digest.String() == digest }), nil
}
