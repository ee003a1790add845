package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/internal/state"
	"github.com/slipway-release/slipway/release/sign"
	"github.com/slipway-release/slipway/release/streams"
	updateserver "github.com/slipway-release/slipway/release/updates"
	"github.com/slipway-release/slipway/release/updates/catalog"
	"github.com/slipway-release/slipway/release/updates/pages"
	"github.com/slipway-release/slipway/release/updates/runs"
)

// catalogFlags say how pages and the read API are made.
type catalogFlags struct {
	off        bool
	noReports  bool
	pullFrom   string
	repository repositoryFlags
}

func (f *catalogFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&f.off, "no-pages", false, "serve the update graph alone, without pages and the API that reads releases")
	flags.BoolVar(&f.noReports, "no-reports", false, "do not serve what runs in the state directory have reported about payloads")
	flags.StringVar(&f.pullFrom, "pull-from", "", "repository that people pull payloads from, for the commands that pages show (default: the distribution's)")
	f.repository.add(cmd)
}

// addCatalog puts onto a server what the distribution's registry knows about releases. It
// returns who keeps that up to date, to be run as long as the server is.
func (a *app) addCatalog(w *world, f *catalogFlags, log *slog.Logger, s *updateserver.Server) (*catalog.Keeper, error) {
	verifier, err := a.reader(w.state, log)
	if err != nil {
		return nil, err
	}
	histories, err := a.changelogOptions(releaseChangelogOptions{limit: 200, repository: f.repository})
	if err != nil {
		return nil, err
	}
	sources := catalog.Sources{
		Registry: w.registry, Verifier: verifier, Repository: w.releases(), PullFrom: f.pullFrom,
		Streams: definitions{w}, Progress: definitions{w}, Channels: catalog.ChannelStore{Store: w.channels(), Offer: w.snapshot, Architecture: w.arch()},
	}
	if !f.noReports {
		found := &runs.Folder{Dir: w.state.Runs(), Problem: func(err error) { log.Warn("a run's report could not be read", "error", err) }}
		sources.Reports, s.Runs = found, found
	}
	keeper := catalog.NewKeeper(sources, catalog.Options{
		Report: func(err error) { log.Error("releases could not be read; pages show what was read last", "error", err) },
	})
	if s.Write != nil { // whoever changed something finds it on the pages
		refresh := s.Write.Refresh
		s.Write.Refresh = func(ctx context.Context) error {
			defer keeper.Trigger()
			return refresh(ctx)
		}
	}
	if err := s.Metrics.Add(catalog.Metrics{Catalog: keeper.Catalog}); err != nil {
		return nil, err
	}
	details := catalog.NewDetails(sources, catalog.RegistryOpener{Registry: w.registry}, w.registry, histories, catalog.Limits{})
	s.API = (&catalog.API{Catalog: keeper.Catalog, Snapshot: s.Refresher.Snapshot, Details: details}).Handler()
	s.Pages = (&pages.Pages{Name: w.distro.Name, Catalog: keeper.Catalog, Snapshot: s.Refresher.Snapshot, Failure: keeper.Failure, Details: details}).Handler()
	return keeper, nil
}

// reader tells what was said about payloads. A state directory without a key believes
// nobody yet: what clusters are offered can be served all the same.
func (a *app) reader(st *state.Dir, log *slog.Logger) (catalog.Verifier, error) {
	verifier, err := a.verifier(st)
	if errors.Is(err, errNoKey) {
		log.Warn("pages take no statement for true until there is a key to verify it with", "error", err)
		return &lateVerifier{find: func() (*sign.Verifier, error) { return a.verifier(st) }}, nil
	}
	return verifier, err
}

// lateVerifier trusts nobody until there is somebody to trust.
type lateVerifier struct {
	find func() (*sign.Verifier, error)

	mu    sync.Mutex
	found *sign.Verifier
}

func (l *lateVerifier) verifier() (*sign.Verifier, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.found != nil {
		return l.found, nil
	}
	v, err := l.find()
	if errors.Is(err, errNoKey) {
		return sign.AnyOf(), nil
	}
	l.found = v
	return v, err
}

// Evidence implements catalog.Verifier.
func (l *lateVerifier) Evidence(ctx context.Context, from sign.Source, ref, predicateType string) (sign.Evidence, error) {
	v, err := l.verifier()
	if err != nil {
		return sign.Evidence{}, err
	}
	return v.Evidence(ctx, from, ref, predicateType)
}

// Signatures implements catalog.Verifier.
func (l *lateVerifier) Signatures(ctx context.Context, from sign.Source, ref string, want sign.Claim) ([]sign.Signature, error) {
	v, err := l.verifier()
	if err != nil {
		return nil, err
	}
	return v.Signatures(ctx, from, ref, want)
}

// definitions are the streams of distro.yaml, and what their journals say of them.
type definitions struct{ w *world }

// Streams implements catalog.Streams.
func (d definitions) Streams(ctx context.Context) ([]catalog.Definition, error) {
	var all []catalog.Definition
	for _, s := range d.w.distro.Streams {
		declared, err := d.w.declaration(s.Name)
		if err != nil {
			return nil, err
		}
		state, err := d.w.journal().Read(ctx, s.Name)
		if err != nil {
			return nil, err
		}
		config, err := json.Marshal(declared)
		if err != nil {
			return nil, fmt.Errorf("writing down stream %q: %w", s.Name, err)
		}
		definition := catalog.Definition{Policy: declared.Policy, Frozen: declared.Frozen, Stable: s.Stable, Config: config}
		if s.Stable {
			definition.Frozen = "" // it never stands still
		}
		if state.Frozen != nil {
			definition.Frozen = fmt.Sprintf("%s, by %s", state.Frozen.Why, state.Frozen.By)
		}
		for _, c := range declared.Checks {
			definition.Checks = append(definition.Checks, catalog.CheckDefinition{
				Name: c.Name, Pipeline: c.Pipeline, Upgrade: c.From != "", UpgradeFrom: string(c.From), MaxRetries: declared.Retry.Limit,
			})
		}
		all = append(all, definition)
	}
	return all, nil
}

// Progress implements catalog.Progress: what the controller works on, and what it could
// not make.
func (d definitions) Progress(ctx context.Context) ([]catalog.Unfinished, error) {
	var all []catalog.Unfinished
	for _, s := range d.w.distro.Streams {
		state, err := d.w.journal().Read(ctx, s.Name)
		if err != nil {
			return nil, err
		}
		for _, c := range state.Cuts {
			u := catalog.Unfinished{Stream: s.Name, Version: c.Version, Created: c.At, Phase: catalog.Pending}
			switch {
			case c.Deleted != nil:
				continue
			case c.End != nil && c.End.Phase == streams.PhaseFailed:
				u.Phase, u.Reason = catalog.Failed, c.End.Reason
			case c.End != nil:
				continue
			case c.Payload != "":
				u.Phase = catalog.Ready
			}
			if n := len(c.Failures); n > 0 && u.Reason == "" {
				u.Reason = fmt.Sprintf("tried %d times, last: %s", n, c.Failures[n-1].Reason)
			}
			all = append(all, u)
		}
	}
	return all, nil
}
