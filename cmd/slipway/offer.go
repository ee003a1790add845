package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"runtime"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/distros"
	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/release/channels"
	"github.com/slipway-release/slipway/release/channels/graph"
	"github.com/slipway-release/slipway/release/channels/graphdata"
)

// offers is what a distribution declares about edges: in distro.yaml, and in the
// graph-data beside it, which is read anew each time.
type offers struct{ distro *distros.Distribution }

// folder is the distribution's graph-data; ok is false when it has none.
func (o offers) folder() (folder fs.FS, ok bool, err error) {
	folder, err = fs.Sub(o.distro.FS, distros.GraphDataDir)
	if err != nil {
		return nil, false, err
	}
	_, err = fs.Stat(folder, ".")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	return folder, err == nil, err
}

func (o offers) data() (*graphdata.Data, error) {
	folder, ok, err := o.folder()
	if err != nil || !ok {
		return nil, err
	}
	return graphdata.LoadFS(folder, path.Join(o.distro.Path, distros.GraphDataDir))
}

// Offer implements updates.Offers.
func (o offers) Offer() (channels.Offer, error) {
	offer := channels.Offer{Untested: o.distro.Graph.Untested, Passes: o.distro.Graph.PassesNeeded()}
	data, err := o.data()
	if err != nil || data == nil {
		return offer, err
	}
	offer.Metadata = data.Metadata
	offer.Blocks = func(versions []string) []graph.Block { return data.Rules(versions).Blocks }
	return offer, nil
}

// Stamp implements updates.Offers.
func (o offers) Stamp() (string, error) {
	folder, ok, err := o.folder()
	if err != nil || !ok {
		return "", err
	}
	return graphdata.Stamp(folder)
}

// arch is the architecture of the distribution's payloads.
func (w *world) arch() string { return w.distro.Architecture() }

// architectures are those of a payload as channels keep them: none where it is for the
// distribution's alone.
func (w *world) architectures(ctx context.Context, reference string) ([]string, error) {
	images, list, err := oci.Architectures(ctx, w.registry, reference)
	if err != nil {
		return nil, fmt.Errorf("reading the architectures of payload %q: %w", reference, err)
	}
	if _, own := images[w.arch()]; own && !list {
		return nil, nil
	}
	return slices.Sorted(maps.Keys(images)), nil
}

// hostPlatform is what is taken of a manifest list for what runs on this host.
func hostPlatform() v1.Platform { return v1.Platform{OS: "linux", Architecture: runtime.GOARCH} }

// snapshot is what the distribution's channels offer.
func (w *world) snapshot(states []channels.State) (*graph.Snapshot, error) {
	offer, err := offers{w.distro}.Offer()
	if err != nil {
		return nil, usage(fmt.Errorf("reading what is declared about upgrades: %w", err))
	}
	return channels.Snapshot(w.arch(), states, offer)
}
