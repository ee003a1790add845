package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/images"
	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/registryserver"
	"github.com/slipway-release/slipway/internal/progress"
	"github.com/slipway-release/slipway/release/assemble/rebuild"
	"github.com/slipway-release/slipway/release/sign"
)

func newReleaseRebuild(a *app) *cobra.Command {
	var out output
	var components bool
	cmd := &cobra.Command{
		Use:   "rebuild PAYLOAD",
		Short: "Assemble a payload again and show what differs; exit 1 when something does",
		Long: `Assemble a payload again from the components that its signed provenance names or,
where no key is known or nothing is signed, those in its own image-references, and
compare the two: digests first, then file by file, the headers of the layer's entries,
the layers, the configuration and the annotations.

A payload that Slipway made must come out the same to the byte. One that oc made passes
when all its files have the same bytes, for its compressor and its times are others.

--components builds the component images as well, from the lock in the provenance and
the recipes of the distribution, with empty caches and into a registry of its own, and
compares their digests.`,
		Example: `  slipway release rebuild 1.36.3-0.nightly-2026-11-20-101500
  slipway release rebuild quay.io/okd/scos-release:4.19.0-okd-scos.16 -o json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			report, err := a.rebuild(cmd.Context(), args[0], components)
			if err != nil {
				return err
			}
			if err := out.print(a.Out, result{value: report, names: []string{report.Rebuilt}, text: report.Text}); err != nil {
				return err
			}
			if !report.Passes() {
				return rejected(fmt.Errorf("rebuilding payload %q: %s", args[0], report.Summary()))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&components, "components", false, "build the component images again as well")
	out.addFlag(cmd)
	return cmd
}

func (a *app) rebuild(ctx context.Context, named string, components bool) (*rebuild.Report, error) {
	opened, err := a.openPayload(ctx, named)
	if err != nil {
		return nil, err
	}
	from := &sources{app: a}
	if layout, ok := opened.source.(*oci.Layout); ok {
		from.first = layout
	}
	original := rebuild.Original{Image: opened.image}
	if opened.list.Hex != "" {
		if original.Index, err = opened.source.Index(ctx, opened.reference); err != nil {
			return nil, err
		}
	}
	provenance, err := a.provenanceOf(ctx, opened)
	if err != nil {
		return nil, err
	}
	origin := "its own image-references, as no signed provenance was found"
	if provenance != nil {
		original.Components, origin = provenance.Components, "its signed provenance"
	}
	cache, err := a.harvestCache(false)
	if err != nil {
		return nil, err
	}
	progress := a.slowProgress("release rebuild")
	report, err := rebuild.Rebuild(ctx, original, rebuild.Options{Source: from, Cache: cache, Jobs: a.harvestJobs(false), Progress: progress.read})
	progress.done(err)
	if err != nil {
		return nil, classifyAssembly(fmt.Errorf("rebuilding payload %q: %w", named, err))
	}
	cache.Trim()
	report.From = origin
	if components {
		if provenance == nil || len(provenance.Lock) == 0 {
			return nil, usage(fmt.Errorf("building the components of payload %q again: it has no signed provenance with a lock", named))
		}
		built, err := a.buildAgain(ctx, provenance.Lock)
		if err != nil {
			return nil, err
		}
		report.CompareComponents(provenance.Components, built)
	}
	return report, nil
}

// buildAgain builds the distribution from a lock, with empty caches and into a
// registry that is gone afterwards, and returns the images by component.
func (a *app) buildAgain(ctx context.Context, locked []byte) (map[string]string, error) {
	lock, err := images.ParseLock(locked)
	if err != nil {
		return nil, usage(fmt.Errorf("reading the lock in the provenance: %w", err))
	}
	d, err := a.distribution()
	if err != nil {
		return nil, err
	}
	st, err := a.state()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(st.Cache(""), "rebuild-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	server, err := registryserver.Serve(ctx, registryserver.Options{Root: filepath.Join(dir, "registry"), Addr: "127.0.0.1:0", Log: io.Discard})
	if err != nil {
		return nil, err
	}
	defer server.Close()
	registry, err := oci.NewRegistry(d.Repository, server.Addr())
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	display := a.newDisplay()
	item := display.Start("build")
	results, err := images.Build(ctx, d.Components, lock, images.BuildOptions{
		Registry: registry, Cache: filepath.Join(dir, "images"), Self: self, Progress: progress.Steps{Item: item},
	})
	finish(item, err)
	display.Close()
	if err != nil {
		return nil, classifyBuild(err)
	}
	built := map[string]string{}
	for _, r := range results {
		built[r.Component] = r.Reference
	}
	return built, nil
}

// provenanceOf returns what a trusted key signed about how a payload was made;
// nil when no key is trusted or nothing was signed.
func (a *app) provenanceOf(ctx context.Context, p *payloadImage) (*rebuild.Provenance, error) {
	verifier, err := a.verifierIfAny()
	if verifier == nil || err != nil {
		return nil, err
	}
	found, err := verifier.Evidence(ctx, p.source, p.reference, sign.PredicateProvenance)
	if err != nil && !errors.Is(err, oci.ErrNotFound) {
		return nil, err
	}
	if len(found.Statements) == 0 {
		return nil, nil
	}
	provenance, err := rebuild.ParseProvenance(found.Statements[0].Predicate)
	return provenance, usage(err)
}
