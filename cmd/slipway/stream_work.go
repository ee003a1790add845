package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/pipelines/controller"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/sign"
	"github.com/slipway-release/slipway/release/streams"
	"github.com/slipway-release/slipway/release/streams/journal"
)

// payloads is the releases of a distribution as the controller works on them.
type payloads struct {
	app *app
	*world
	verifier *sign.Verifier
	signer   *sign.Signer
}

var _ controller.Payloads = (*payloads)(nil)

func (a *app) payloads(w *world) (*payloads, error) {
	signer, err := a.keys(w.state)
	if err != nil {
		return nil, err
	}
	verifier, err := a.verifier(w.state)
	return &payloads{app: a, world: w, verifier: verifier, signer: signer}, err
}

// Inputs implements controller.Payloads, as do all that follow.
func (p *payloads) Inputs(ctx context.Context, stream string) ([]streams.Input, error) {
	return p.app.inputs(ctx, p.world, stream)
}

func (p *payloads) Digest(ctx context.Context, v release.Version) (string, error) {
	digest, err := p.registry.Resolve(ctx, p.releases()+":"+v.Tag())
	if errors.Is(err, oci.ErrNotFound) {
		return "", nil
	}
	return digest.String(), err
}

// pinned is the reference of a version's payload, by digest.
func (p *payloads) pinned(ctx context.Context, v release.Version) (string, error) {
	digest, err := p.Digest(ctx, v)
	if err == nil && digest == "" {
		err = usage(fmt.Errorf("reading payload %q: no such payload in registry %s", v, p.registry.Address()))
	}
	return p.releases() + "@" + digest, err
}

func (p *payloads) Results(ctx context.Context, v release.Version, policy streams.Policy) ([]streams.Result, error) {
	payload, err := p.app.payload(ctx, p.world, v.String())
	if errors.Is(err, sign.ErrRefused) {
		return nil, nil // the run ended before it was signed: nothing said of it counts
	}
	if err != nil {
		return nil, err
	}
	return checkResults(ctx, p.world, p.verifier, payload, policy)
}

func (p *payloads) Source(ctx context.Context, s streams.Selector, to release.Version) (streams.Release, string, bool, error) {
	c, err := p.candidates(ctx, s)
	if err != nil {
		return streams.Release{}, "", false, err
	}
	return streams.Source(s, to, c)
}

// candidates reads what a selector selects from.
func (p *payloads) candidates(ctx context.Context, s streams.Selector) (streams.Candidates, error) {
	kind, arg, _ := strings.Cut(string(s), ":")
	arg = strings.TrimSpace(arg)
	switch kind {
	case "channel":
		stored, err := p.channels().Read(ctx, arg)
		if err != nil || len(stored.State.Versions) == 0 {
			return streams.Candidates{}, err
		}
		head := stored.State.Versions[len(stored.State.Versions)-1]
		return streams.Candidates{Heads: map[string]streams.Release{arg: {Version: head.Version, Reference: head.PullSpec}}}, nil
	case "payload":
		given, err := p.app.payload(ctx, p.world, arg)
		if err != nil {
			return streams.Candidates{}, err
		}
		return streams.Candidates{Given: map[string]streams.Release{arg: {Version: given.Version, Digest: given.Digest, Reference: given.Reference}}}, nil
	}
	h := p.history()
	h.Decisions = decisions{p.world, p.verifier}
	var c streams.Candidates
	for _, stream := range p.distro.Streams {
		accepted, err := h.Accepted(ctx, stream.Name, 0, nil)
		if err != nil {
			return c, err
		}
		c.Accepted = append(c.Accepted, accepted...)
	}
	return c, nil
}

func (p *payloads) attest(ctx context.Context, v release.Version, kind string, predicate any) error {
	reference, err := p.pinned(ctx, v)
	if err != nil {
		return err
	}
	_, err = p.signer.Attest(ctx, p.registry, reference, kind, predicate)
	return err
}

func (p *payloads) RecordCut(ctx context.Context, c journal.Cut, d streams.Declaration) error {
	return p.attest(ctx, c.Version, predicateCut, struct {
		Cut         journal.Cut         `json:"cut"`
		Declaration streams.Declaration `json:"declaration"`
	}{c, d})
}

func (p *payloads) RecordCheck(ctx context.Context, v release.Version, e controller.CheckEvidence) error {
	return p.attest(ctx, v, sign.PredicateCheckResult, e)
}

func (p *payloads) RecordVerdict(ctx context.Context, v release.Version, verdict streams.Verdict) error {
	return p.attest(ctx, v, sign.PredicateDecision, verdict)
}

func (p *payloads) Promote(ctx context.Context, v release.Version, policy streams.Policy) error {
	_, err := p.app.promote(ctx, p.world, v.String(), policy, false)
	return err
}

func (p *payloads) Referred(ctx context.Context) (map[release.Version][]string, error) {
	all, err := p.channels().List(ctx)
	if err != nil {
		return nil, err
	}
	out := map[release.Version][]string{}
	add := func(v release.Version, what string) {
		if !slices.Contains(out[v], what) {
			out[v] = append(out[v], what)
		}
	}
	for _, c := range all {
		for _, v := range c.State.Versions {
			add(v.Version, "channel "+c.State.Name)
		}
		for _, e := range c.State.Edges {
			add(e.From, "an edge of channel "+c.State.Name)
			add(e.To, "an edge of channel "+c.State.Name)
		}
	}
	return out, nil
}

func (p *payloads) Delete(ctx context.Context, v release.Version, digest string) error {
	now, err := p.Digest(ctx, v)
	if err != nil || now == "" {
		return err
	}
	if now != digest {
		return fmt.Errorf("deleting payload %q: its tag has come to name %s, not %s; nothing was deleted", v, now, digest)
	}
	all, err := p.imagesOf(ctx, digest)
	if errors.Is(err, oci.ErrNotFound) {
		return nil // somebody else has deleted it
	}
	if err != nil {
		return err
	}
	// The index first: what is there of a payload must be whole. No other payload has its
	// images, for each bears its payload's version.
	for _, d := range slices.Compact(append([]string{digest}, all...)) {
		if err := p.registry.Delete(ctx, p.releases()+"@"+d); err != nil && !errors.Is(err, oci.ErrNotFound) {
			return err
		}
	}
	return nil
}

// imagesOf are the digests of a payload's images: of one for several architectures that of
// each, else its own.
func (w *world) imagesOf(ctx context.Context, digest string) ([]string, error) {
	ref := w.releases() + "@" + digest
	d, err := w.registry.Descriptor(ctx, ref)
	if err != nil {
		return nil, err
	}
	if !d.MediaType.IsIndex() {
		return []string{digest}, nil
	}
	index, err := w.registry.Index(ctx, ref)
	if err != nil {
		return nil, err
	}
	images, err := oci.PlatformsOf(index)
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", ref, err)
	}
	var digests []string
	for _, d := range images {
		digests = append(digests, d.Digest.String())
	}
	return digests, nil
}
