package catalog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/inspect"
	"github.com/slipway-release/slipway/release/inspect/changelog"
	"github.com/slipway-release/slipway/release/inspect/compare"
	"github.com/slipway-release/slipway/release/inspect/features"
)

// maxPredicate bounds a statement that is shown, in bytes.
const maxPredicate = 4 << 20

// ErrTooLarge says that a statement is too large for a page.
var ErrTooLarge = errors.New("it is too large to be shown")

// Opener opens a payload by its reference, which ends in a digest.
type Opener interface {
	Open(ctx context.Context, reference string) (inspect.Subject, error)
}

// Details reads what is not kept of every payload. Each result is made once, in the
// background, and kept while there is room. While it is being made the error wraps
// ErrNotYet, when too much is being made ErrBusy.
type Details struct {
	sources   Sources
	opener    Opener
	images    inspect.Source
	changelog changelog.Options
	maker     *maker
}

// NewDetails returns Details that read payloads by opener, their component images from
// images, which may be nil when sizes are not wanted, and histories as options say.
func NewDetails(s Sources, opener Opener, images inspect.Source, options changelog.Options, limits Limits) *Details {
	return &Details{sources: s, opener: opener, images: images, changelog: options, maker: newMaker(limits)}
}

// opened is a payload that was read, and all that is told of it.
type opened struct {
	info    *inspect.Info
	payload *release.Payload
}

// Info describes a payload, with the sizes of its component images where they can be read.
func (d *Details) Info(ctx context.Context, p *Payload) (*inspect.Info, error) {
	o, err := get(ctx, d.maker, "info "+p.Digest, func(ctx context.Context) (*opened, int64, error) { return d.open(ctx, p) })
	if err != nil {
		return nil, err
	}
	return o.info, nil
}

// open reads a payload and the sizes of its images.
func (d *Details) open(ctx context.Context, p *Payload) (*opened, int64, error) {
	o, err := d.read(ctx, p)
	if err != nil {
		return nil, 0, err
	}
	if d.images != nil {
		if err := inspect.ReadImages(ctx, d.images, o.info, 4, func() {}); err != nil {
			o.info.Warnings = append(o.info.Warnings, "sizes are not known: "+err.Error())
		} else {
			o.info.AddSizes()
		}
		o.info.Images = nil // large, and shown nowhere
	}
	data, err := json.Marshal(o.info)
	if err != nil {
		return nil, 0, err
	}
	o.payload = nil // the manifests, which only comparisons need
	return o, int64(len(data)), nil
}

func (d *Details) read(ctx context.Context, p *Payload) (*opened, error) {
	subject, err := d.opener.Open(ctx, d.sources.Repository+"@"+p.Digest)
	if err != nil {
		return nil, err
	}
	info, err := inspect.Describe(subject, d.changelog.Hosts)
	if err != nil {
		return nil, err
	}
	return &opened{info, subject.Payload}, nil
}

// Changelog tells what came into a payload since another.
func (d *Details) Changelog(ctx context.Context, from, to *Payload) (*changelog.Changelog, error) {
	return get(ctx, d.maker, "changelog "+from.Digest+" "+to.Digest, func(ctx context.Context) (*changelog.Changelog, int64, error) {
		older, newer, err := d.both(ctx, from, to)
		if err != nil {
			return nil, 0, err
		}
		options := d.changelog
		gates, newGates := features.Read(older.payload), features.Read(newer.payload)
		options.FeatureGates = features.Compare(gates, newGates)
		c, err := changelog.Make(ctx, older.info, newer.info, options)
		if err != nil {
			return nil, 0, fmt.Errorf("telling what changed from %s to %s: %w", from.Version, to.Version, err)
		}
		data, err := json.Marshal(c)
		return c, int64(len(data)), err
	})
}

// Diff compares two payloads.
func (d *Details) Diff(ctx context.Context, from, to *Payload) (*compare.Diff, error) {
	return get(ctx, d.maker, "diff "+from.Digest+" "+to.Digest, func(ctx context.Context) (*compare.Diff, int64, error) {
		older, newer, err := d.both(ctx, from, to)
		if err != nil {
			return nil, 0, err
		}
		diff := compare.Payloads(compare.Side{Info: older.info, Payload: older.payload}, compare.Side{Info: newer.info, Payload: newer.payload}, d.changelog.Hosts)
		data, err := json.Marshal(diff)
		diff.ChangedManifests, diff.ChangedImages = nil, nil // bytes that no page shows
		return diff, int64(len(data)), err
	})
}

// both opens two payloads.
func (d *Details) both(ctx context.Context, from, to *Payload) (older, newer *opened, err error) {
	if older, err = d.read(ctx, from); err != nil {
		return nil, nil, err
	}
	newer, err = d.read(ctx, to)
	return older, newer, err
}

// Statement returns what a signed statement about a payload says, as indented JSON.
// The signature is verified again.
func (d *Details) Statement(ctx context.Context, p *Payload, s Statement) ([]byte, error) {
	return get(ctx, d.maker, "statement "+p.Digest+" "+s.Digest, func(ctx context.Context) ([]byte, int64, error) {
		found, err := d.sources.Verifier.Evidence(ctx, d.sources.Registry, d.sources.Repository+"@"+p.Digest, s.PredicateType)
		if err != nil {
			return nil, 0, err
		}
		for _, have := range found.Statements {
			if have.Digest.String() != s.Digest {
				continue
			}
			if len(have.Predicate) > maxPredicate {
				return nil, 0, ErrTooLarge
			}
			var out bytes.Buffer
			if err := json.Indent(&out, have.Predicate, "", "  "); err != nil {
				return nil, 0, fmt.Errorf("reading statement %q: %w", s.Digest, err)
			}
			return out.Bytes(), int64(out.Len()), nil
		}
		return nil, 0, fmt.Errorf("reading statement %q: it is no longer there, or no longer trusted: %w", s.Digest, oci.ErrNotFound)
	})
}

func get[T any](ctx context.Context, m *maker, key string, work func(context.Context) (T, int64, error)) (T, error) {
	value, err := m.get(ctx, key, func(ctx context.Context) (any, int64, error) { return work(ctx) })
	if err != nil {
		var none T
		return none, err
	}
	return value.(T), nil
}

// RegistryOpener opens payloads of a registry; of a payload for several platforms, the
// one that the registry's client chooses.
type RegistryOpener struct {
	Registry interface {
		Image(ctx context.Context, ref string) (v1.Image, error)
	}
}

// Open implements Opener.
func (o RegistryOpener) Open(ctx context.Context, reference string) (inspect.Subject, error) {
	img, err := o.Registry.Image(ctx, reference)
	if err != nil {
		return inspect.Subject{}, fmt.Errorf("opening payload %q: %w", reference, err)
	}
	p, err := release.Load(ctx, img)
	if err != nil {
		return inspect.Subject{}, err
	}
	p.Reference = reference
	s := inspect.Subject{Named: reference, Reference: reference, Image: img, Payload: p}
	if _, digest, _ := strings.Cut(reference, "@"); digest != p.Digest.String() {
		if s.List, err = v1.NewHash(digest); err != nil {
			return inspect.Subject{}, fmt.Errorf("opening payload %q: %w", reference, err)
		}
	}
	return s, nil
}
