package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/release/sign/openpgp"
	updateserver "github.com/slipway-release/slipway/release/updates"
	"github.com/slipway-release/slipway/release/updates/catalog"
)

// serveFlags are those of `slipway serve`.
type serveFlags struct {
	listen               string
	graphFiles           []string
	payloads             payloadFlags
	signatures           []string
	tlsCert, tlsKey      string
	tokens               string
	poll, watch          time.Duration
	drain, grace         time.Duration
	registryAddress      string
	withRegistry, behind bool
	catalog              catalogFlags
}

func newServe(a *app) *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the update graph to clusters",
		Long: `Serve the update graph to clusters: the update service's protocol, version 1, under
/graph, /v1/graph and /api/upgrades_info/v1/graph, and OKD's /graph?channel=stable-4.

What is offered are the channels in the distribution's registry, as promotions left
them, graphs in files, or the payloads of a repository, --releases, in the channels of
--graph-data and without the edges that are blocked there. That is a folder or an image,
as slipway channel export makes it; a tag that moves is followed. The source is read at the
start, when it changed, every --poll and on POST /-/refresh. While it cannot be read, the
last good graph is served on; it is kept in the state directory, so that a restart serves
it at once.

Pages at / and the API below /api/v1/ tell of streams, payloads, why each was accepted
or not, and channels: what the registry's signed evidence says. --no-pages leaves them out.

/livez, /readyz and /healthz say how it is, /metrics has what Prometheus reads.
On SIGTERM readiness fails first; requests are answered for --drain longer.

Nothing can be changed over the network unless --tokens names a file; every change is
recorded in updates/audit.jsonl in the state directory. Make tokens with slipway serve token.`,
		Example: `  slipway serve
  slipway serve --listen :8443 --tls-cert tls.crt --tls-key tls.key --tokens tokens
  slipway serve --graph-file amd64=graph.json --graph-file arm64=graph-arm64.json
  slipway serve --graph-data ./cincinnati-graph-data --signature-store ./signatures
  slipway serve --graph-data ./cincinnati-graph-data --releases quay.io/openshift-release-dev/ocp-release
  slipway serve --graph-data registry.example.com/mirror/graph-data:latest --releases registry.example.com/mirror/release
  curl 'http://127.0.0.1:8080/graph?channel=stable&arch=amd64'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.serve(cmd.Context(), &f)
		},
	}
	f.add(cmd)
	cmd.AddCommand(newServeToken(a))
	return cmd
}

func (f *serveFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.listen, "listen", "127.0.0.1:8080", "address to listen on")
	flags.StringArrayVar(&f.graphFiles, "graph-file", nil, "serve this graph in place of the registry's channels, [ARCH=]FILE (default ARCH: amd64); may be given more than once")
	f.payloads.add(cmd, "folder or image of graph-data to serve as an archive at /graph-data")
	flags.StringArrayVar(&f.signatures, "signature-store", nil, "directory or URL with OpenPGP signatures to serve at /signatures/; may be given more than once")
	flags.StringVar(&f.tlsCert, "tls-cert", "", "certificate with its chain, PEM; read anew when it changes")
	flags.StringVar(&f.tlsKey, "tls-key", "", "key of the certificate, PEM")
	flags.StringVar(&f.tokens, "tokens", "", "file of those who may change something; without it nobody may")
	flags.BoolVar(&f.behind, "behind-proxy", false, "allow --tokens without TLS because a proxy in front of this has it")
	flags.DurationVar(&f.poll, "poll", 5*time.Minute, "how often the source is read whether or not it changed")
	flags.DurationVar(&f.watch, "watch", 5*time.Second, "how often to look whether the source changed")
	flags.DurationVar(&f.drain, "drain", 5*time.Second, "how long requests are still answered after readiness has failed")
	flags.DurationVar(&f.grace, "grace", 30*time.Second, "how long requests that are being answered then have")
	flags.BoolVar(&f.withRegistry, "with-registry", false, "serve the state directory's registry as well")
	flags.StringVar(&f.registryAddress, "registry-address", "127.0.0.1:5000", "address of --with-registry")
	for flag, endings := range map[string][]string{"graph-file": {"json"}, "tls-cert": {"crt", "pem"}, "tls-key": {"key", "pem"}} {
		_ = cmd.MarkFlagFilename(flag, endings...)
	}
	f.catalog.add(cmd)
	cmd.MarkFlagsRequiredTogether("tls-cert", "tls-key")
}

// serve listens before it reads its source, so that probes are answered from the first
// moment.
func (a *app) serve(ctx context.Context, f *serveFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	if address := a.flagOrEnv(a.registry, "SLIPWAY_REGISTRY"); f.withRegistry && address != "" {
		return usage(fmt.Errorf("serving with --with-registry: the registry to use is %q; leave out one of them", address))
	}
	st, err := a.state()
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(a.Err, nil))
	open := context.WithoutCancel(ctx) // the registry is needed until the last request
	if f.withRegistry {
		server, err := a.serveRegistry(open, st, f.registryAddress)
		if err != nil {
			return err
		}
		a.registry = server.Addr()
		log.Info("serving the registry of the state directory", "address", server.Addr())
	}
	if err := f.payloads.openData(open, a, log); err != nil {
		return err
	}
	s, err := f.server(log, filepath.Join(st.Root(), "updates"))
	if err != nil {
		return err
	}
	keeper, err := a.addSources(open, f, log, s)
	if err != nil {
		return err
	}
	return a.listenAndServe(ctx, f, s, keeper)
}

// listenAndServe serves, and keeps the graph and, unless it is nil, the catalog fresh.
func (a *app) listenAndServe(ctx context.Context, f *serveFlags, s *updateserver.Server, keeper *catalog.Keeper) error {
	listener, err := net.Listen("tcp", f.listen)
	if err != nil {
		return fmt.Errorf("listening on %q: %w; stop who has the address, or give another --listen", f.listen, err)
	}
	s.Refresher.Restore()
	refreshing, stop := context.WithCancel(context.WithoutCancel(ctx)) // until the last request
	defer stop()
	var background sync.WaitGroup
	background.Go(func() { s.Refresher.Run(refreshing) })
	if keeper != nil {
		background.Go(func() { keeper.Run(refreshing) })
	}
	fmt.Fprintln(a.Out, f.url(listener.Addr()))
	err = s.Serve(ctx, listener)
	stop()
	background.Wait()
	return err
}

func (f *serveFlags) url(at net.Addr) string {
	if f.tlsCert != "" {
		return "https://" + at.String()
	}
	return "http://" + at.String()
}

// check refuses flags that contradict each other, before anything is opened.
func (f *serveFlags) check() error {
	if f.poll <= 0 || f.watch <= 0 || f.drain <= 0 || f.grace <= 0 {
		return usage(errors.New("reading --poll, --watch, --drain and --grace: they must be longer than nothing"))
	}
	if err := f.payloads.check(f.graphFiles); err != nil {
		return err
	}
	if f.tokens != "" && f.tlsCert == "" && !f.behind && !loopback(f.listen) {
		return usage(fmt.Errorf("serving on %q with --tokens and without TLS: tokens could be read on the way; give --tls-cert and --tls-key, listen on 127.0.0.1, or say --behind-proxy", f.listen))
	}
	return nil
}

func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// server is everything but the source.
func (f *serveFlags) server(log *slog.Logger, dir string) (*updateserver.Server, error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	metrics := updateserver.NewMetrics(registry)
	refresher := &updateserver.Refresher{File: filepath.Join(dir, "graph"), Poll: f.poll, Watch: f.watch, Log: log, Metrics: metrics}
	s := &updateserver.Server{
		Graph:     &updateserver.Handler{Current: refresher.Current, Metrics: metrics},
		Refresher: refresher, Metrics: metrics, Log: log, Drain: f.drain, Grace: f.grace,
	}
	if len(f.signatures) > 0 {
		signatures := &updateserver.Signatures{Log: log}
		for _, location := range f.signatures {
			store, err := openpgp.OpenStore(location, signatureClient)
			if err != nil {
				return nil, usage(err)
			}
			signatures.Stores = append(signatures.Stores, store)
		}
		s.Signatures = signatures
	}
	if f.payloads.data != "" {
		s.GraphData = &updateserver.GraphData{Dir: f.payloads.folder, Fetch: f.payloads.fetch, Current: refresher.Current, Watch: f.watch, Log: log}
	}
	if f.tlsCert != "" {
		config, err := updateserver.LoadTLS(f.tlsCert, f.tlsKey)
		if err != nil {
			return nil, usage(err)
		}
		s.TLS = config
	}
	if f.tokens != "" {
		file := updateserver.TokenFile(f.tokens)
		if _, err := file.Load(); err != nil {
			return nil, usage(err)
		}
		s.Write = &updateserver.WriteAPI{Identify: file.Identify, Audit: &updateserver.AuditFile{Path: filepath.Join(dir, "audit.jsonl")},
			Refresh: refresher.Refresh, Metrics: metrics, Log: log}
	}
	return s, nil
}

// addSources tells a server where the graph comes from: files, payloads with graph-data,
// or else the distribution's registry, which also knows what pages show.
func (a *app) addSources(ctx context.Context, f *serveFlags, log *slog.Logger, s *updateserver.Server) (*catalog.Keeper, error) {
	if len(f.graphFiles) > 0 {
		source, err := graphFiles("--graph-file", f.graphFiles)
		s.Refresher.Source = source
		s.API = (&catalog.API{Snapshot: s.Refresher.Snapshot}).Handler()
		return nil, err
	}
	if f.payloads.repository != "" {
		source, err := f.payloads.source(ctx, a, log)
		s.Refresher.Source = source
		s.API = (&catalog.API{Snapshot: s.Refresher.Snapshot}).Handler()
		return nil, err
	}
	w, err := a.open(ctx)
	if err != nil {
		return nil, err
	}
	s.Refresher.Source = updateserver.ChannelSource{Store: w.channels(), Arch: w.arch(), Offers: offers{w.distro}}
	if s.Write != nil {
		s.Write.Actions = actions{a, w}
	}
	if f.catalog.off {
		return nil, nil
	}
	return a.addCatalog(w, &f.catalog, log, s)
}
