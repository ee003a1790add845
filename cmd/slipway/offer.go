package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/slipway-release/slipway/distros"
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
	offer := channels.Offer{Untested: o.distro.Graph.Untested}
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
func (w *world) arch() string {
	_, arch, _ := strings.Cut(w.distro.Platform, "/")
	return arch
}

// snapshot is what the distribution's channels offer.
func (w *world) snapshot(states []channels.State) (*graph.Snapshot, error) {
	offer, err := offers{w.distro}.Offer()
	if err != nil {
		return nil, usage(fmt.Errorf("reading what is declared about upgrades: %w", err))
	}
	return channels.Snapshot(w.arch(), states, offer)
}
