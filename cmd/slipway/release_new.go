package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/slipway-release/slipway/images"
	"github.com/slipway-release/slipway/internal/state"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/assemble"
)

type releaseNewOptions struct {
	images        string
	stream        string
	name          string
	previous      []string
	referenceFile string
	versionFile   string
	dryRun        bool
	out           output
}

func newReleaseNew(a *app) *cobra.Command {
	var o releaseNewOptions
	cmd := &cobra.Command{
		Use:   "new",
		Short: "Assemble component images into a payload",
		Long: `Assemble component images into a payload: the manifests of all components by run
level, with every image pinned by digest, in one layer on the image that
distro.yaml names as the payload's base. The same images under the same name give
the same digest.`,
		Example: "  slipway release new --images images.json --stream nightly\n  slipway release new --images images.json --name 1.36.3-0.nightly-2026-11-20-101500 --dry-run",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runReleaseNew(cmd.Context(), a, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.images, "images", "", "file that slipway build wrote")
	f.StringVar(&o.stream, "stream", "nightly", "stream the version is named for")
	f.StringVar(&o.name, "name", "", "version (default: <base>-0.<stream>-<now>)")
	f.StringSliceVar(&o.previous, "previous", nil, "versions that may upgrade to this one")
	f.StringVar(&o.referenceFile, "reference-file", "", "write the payload's reference by digest to this file")
	f.StringVar(&o.versionFile, "version-file", "", "write the version to this file")
	f.BoolVar(&o.dryRun, "dry-run", false, "assemble and check, but push nothing")
	_ = cmd.MarkFlagRequired("images")
	o.out.addFlag(cmd)
	return cmd
}

// newPayload is what `release new` prints.
type newPayload struct {
	Version   string `json:"version"`
	Digest    string `json:"digest"`
	Reference string `json:"reference"`
	PullSpec  string `json:"pullSpec"`
	Manifests int    `json:"manifests"`
	Images    int    `json:"images"`
	DryRun    bool   `json:"dryRun,omitempty"`
}

func runReleaseNew(ctx context.Context, a *app, o releaseNewOptions) error {
	if err := o.out.check(); err != nil {
		return err
	}
	built, err := readResults(o.images)
	if err != nil {
		return err
	}
	w, err := a.open(ctx)
	if err != nil {
		return err
	}
	version, err := chooseVersion(ctx, w, o)
	if err != nil {
		return err
	}
	previous, err := parseVersions(o.previous)
	if err != nil {
		return err
	}
	img, payload, err := w.assemble(ctx, version, built, previous)
	if err != nil {
		return err
	}
	digest, err := img.Digest()
	if err != nil {
		return err
	}
	reference := w.releases() + "@" + digest.String()
	if !o.dryRun {
		if _, err := w.registry.Push(ctx, w.releases()+":"+version.Tag(), img); err != nil {
			return err
		}
	}
	for path, content := range map[string]string{o.referenceFile: reference, o.versionFile: version.String()} {
		if path == "" {
			continue
		}
		if err := state.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	where, err := w.registry.Locate(reference)
	if err != nil {
		return err
	}
	value := newPayload{version.String(), digest.String(), reference, where.String(), len(payload.Manifests), len(payload.Components()), o.dryRun}
	return o.out.print(a.Out, result{value: value, names: []string{reference}, text: func(out io.Writer) {
		fmt.Fprintf(out, "%s %s %s\n", value.Digest, value.Version, payload.Created.UTC().Format(time.RFC3339))
	}})
}

// assemble makes a payload image of built components.
func (w *world) assemble(ctx context.Context, version release.Version, built []images.Result, previous []release.Version) (v1.Image, *release.Payload, error) {
	opts := assemble.Options{
		Version: version, Base: w.distro.PayloadBase, Repository: w.distro.Repository, Previous: previous,
		Components: make([]assemble.Component, len(built)),
	}
	// Images are read later, so they must not get a context that ends here.
	var g errgroup.Group
	for i, b := range built {
		g.Go(func() error {
			img, err := w.registry.Image(ctx, b.Reference)
			opts.Components[i] = assemble.Component{Name: b.Component, Image: img, Reference: b.Reference}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	img, payload, err := assemble.Assemble(ctx, opts)
	return img, payload, usage(err)
}

func parseVersions(names []string) ([]release.Version, error) {
	var versions []release.Version
	for _, name := range names {
		v, err := release.Parse(name)
		if err != nil {
			return nil, usage(fmt.Errorf("reading --previous: %w", err))
		}
		versions = append(versions, v)
	}
	return versions, nil
}

// chooseVersion is the version asked for, or a new one for this second.
func chooseVersion(ctx context.Context, w *world, o releaseNewOptions) (release.Version, error) {
	if o.name != "" {
		v, err := release.Parse(o.name)
		if err != nil {
			return v, usage(fmt.Errorf("reading --name: %w", err))
		}
		return v, nil
	}
	taken, err := w.history().Versions(ctx, o.stream)
	if err != nil {
		return release.Version{}, err
	}
	v, err := release.New(w.distro.Version, o.stream, time.Now(), taken)
	return v, usage(err)
}

// readResults reads what `slipway build` wrote.
func readResults(path string) ([]images.Result, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, usage(fmt.Errorf("reading built images: %w", err))
	}
	var built []images.Result
	if err := json.Unmarshal(data, &built); err != nil {
		return nil, usage(fmt.Errorf("reading built images %q: %w", path, err))
	}
	if len(built) == 0 {
		return nil, usage(fmt.Errorf("reading built images %q: there are none", path))
	}
	slices.SortFunc(built, func(x, y images.Result) int { return strings.Compare(x.Component, y.Component) })
	return built, nil
}
