package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/release/manifests"
	"github.com/slipway-release/slipway/release/mirror"
)

// sources reads and stores images wherever their references say, with one
// client for each registry. The distribution's own registry is opened when the
// first of its images is asked for.
type sources struct {
	app *app
	// first is asked before any registry, for images by digest; may be nil. It is
	// the layout that a payload was read from.
	first *oci.Layout

	// moved are references that --mirror gives to images which are copied later, and
	// where they are until then.
	moved map[string]string

	mu    sync.Mutex
	own   *world
	hosts map[string]*oci.Registry // of others, by HOST[:PORT]
	// canonical begins the distribution's own references; empty until it was asked for.
	canonical string
}

// of returns the client for a reference.
func (s *sources) of(ctx context.Context, ref string) (*oci.Registry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	host, _, _ := strings.Cut(ref, "/")
	// Reading the distribution takes longer than asking a registry, so it is not
	// done for every image.
	if s.own != nil && strings.HasPrefix(ref, s.own.distro.Repository+"/") {
		return s.own.registry, nil
	}
	if r := s.hosts[host]; r != nil && !strings.HasPrefix(ref, s.canonical) {
		return r, nil
	}
	foreign, err := s.app.isForeign(ref)
	if err != nil {
		return nil, err
	}
	if !foreign {
		if s.own == nil {
			if s.own, err = s.app.open(ctx); err != nil {
				return nil, err
			}
		}
		return s.own.registry, nil
	}
	opts, err := s.app.registryOptions()
	if err != nil {
		return nil, err
	}
	r, err := oci.NewRegistry(manifests.RepositoryOf(ref), "", opts...)
	if err != nil {
		return nil, usage(err)
	}
	if s.hosts == nil {
		d, err := s.app.distribution()
		if err != nil {
			return nil, err
		}
		s.hosts, s.canonical = map[string]*oci.Registry{}, d.Repository+"/"
	}
	s.hosts[host] = r
	return r, nil
}

// reader returns what to read an image from, and its reference there.
func (s *sources) reader(ctx context.Context, ref string) (mirror.Source, string, error) {
	if from, ok := s.moved[ref]; ok {
		ref = from
	}
	r, err := s.readerOf(ctx, ref)
	return r, ref, err
}

func (s *sources) readerOf(ctx context.Context, ref string) (mirror.Source, error) {
	if s.first != nil && strings.Contains(ref, "@") {
		_, err := s.first.Descriptor(ctx, ref)
		if err == nil {
			return s.first, nil
		}
		if !errors.Is(err, oci.ErrNotFound) {
			return nil, err
		}
	}
	return s.of(ctx, ref)
}

// Descriptor resolves a reference.
func (s *sources) Descriptor(ctx context.Context, ref string) (v1.Descriptor, error) {
	r, ref, err := s.reader(ctx, ref)
	if err != nil {
		return v1.Descriptor{}, err
	}
	return r.Descriptor(ctx, ref)
}

// Image reads an image.
func (s *sources) Image(ctx context.Context, ref string) (v1.Image, error) {
	r, ref, err := s.reader(ctx, ref)
	if err != nil {
		return nil, err
	}
	return r.Image(ctx, ref)
}

// Index reads a multi-platform index.
func (s *sources) Index(ctx context.Context, ref string) (v1.ImageIndex, error) {
	r, ref, err := s.reader(ctx, ref)
	if err != nil {
		return nil, err
	}
	return r.Index(ctx, ref)
}

// Push stores an image.
func (s *sources) Push(ctx context.Context, ref string, img v1.Image) (v1.Hash, error) {
	r, err := s.of(ctx, ref)
	if err != nil {
		return v1.Hash{}, err
	}
	return r.Push(ctx, ref, img)
}

// PushIndex stores a multi-platform index.
func (s *sources) PushIndex(ctx context.Context, ref string, index v1.ImageIndex) (v1.Hash, error) {
	r, err := s.of(ctx, ref)
	if err != nil {
		return v1.Hash{}, err
	}
	return r.PushIndex(ctx, ref, index)
}

// classifyAssembly tells what is wrong with components and flags, which the
// caller must mend, from what a registry or the network did.
func classifyAssembly(err error) error {
	var network net.Error
	var status *transport.Error
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, oci.ErrNotFound):
		return usage(err)
	case errors.As(err, &network), errors.As(err, &status), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, oci.ErrDamaged):
		return err
	}
	return usage(err)
}

// platform is --filter-by-os.
func (a *app) platform() (v1.Platform, error) {
	p, err := v1.ParsePlatform(a.registries.platform)
	if err != nil {
		return v1.Platform{}, usage(fmt.Errorf("reading --filter-by-os: %w", err))
	}
	return *p, nil
}
