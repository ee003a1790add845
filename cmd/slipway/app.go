package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/slipway-release/slipway/distros"
	"github.com/slipway-release/slipway/internal/engine"
	"github.com/slipway-release/slipway/internal/host"
	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/registryserver"
	"github.com/slipway-release/slipway/internal/progress"
	"github.com/slipway-release/slipway/internal/state"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/sign"
)

// app is what the commands share: the global flags, and how to open what they
// name. It opens nothing before a command asks.
type app struct {
	stdio
	getenv func(string) string

	distroDir string
	stateDir  string
	registry  string
	insecure  bool
	engine    string
	noInstall bool

	registries registryFlags

	// address is where the registry that was opened is reached.
	address string
	closers []func()
}

func (a *app) addFlags(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVar(&a.distroDir, "distro", "", "folder of the distribution's distro.yaml (default: here or above, else the built-in Skiff)")
	f.StringVar(&a.stateDir, "state-dir", "", "where everything is kept (default: .slipway beside distro.yaml)")
	f.StringVar(&a.registry, "registry", "", "registry to use, HOST[:PORT][/REPOSITORY] (default: one of its own, kept in the state directory)")
	f.BoolVar(&a.insecure, "insecure", false, "reach the registry by plain HTTP or with a certificate nobody vouches for")
	f.StringVar(&a.engine, "engine", "", "container engine, podman or docker (default: whichever can start a privileged container)")
	f.BoolVar(&a.noInstall, "no-install", false, "never install Debian packages on this host")
	_ = root.RegisterFlagCompletionFunc("engine", cobra.FixedCompletions([]string{engine.Podman, engine.Docker}, cobra.ShellCompDirectiveNoFileComp))
}

// close ends what was opened, the last first. It may be called twice.
func (a *app) close() {
	for i := len(a.closers) - 1; i >= 0; i-- {
		a.closers[i]()
	}
	a.closers = nil
}

// flagOrEnv is a flag's value, or that of its variable.
func (a *app) flagOrEnv(flag, variable string) string {
	if flag != "" {
		return flag
	}
	return a.getenv(variable)
}

// distroPath is the folder of distro.yaml, or "" for the built-in Skiff.
func (a *app) distroPath() (string, error) {
	if dir := a.flagOrEnv(a.distroDir, "SLIPWAY_DISTRO"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "distro.yaml")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", nil
		}
		dir = up
	}
}

// statePath is where the state directory is, whether or not there is one yet.
func (a *app) statePath() (string, error) {
	if dir := a.flagOrEnv(a.stateDir, "SLIPWAY_STATE_DIR"); dir != "" {
		return dir, nil
	}
	distro, err := a.distroPath()
	return filepath.Join(distro, ".slipway"), err
}

// state opens the state directory.
func (a *app) state() (*state.Dir, error) {
	dir, err := a.statePath()
	if err != nil {
		return nil, err
	}
	return state.Open(dir)
}

// distribution loads distro.yaml and its recipes, strictly.
func (a *app) distribution() (*distros.Distribution, error) {
	dir, err := a.distroPath()
	if err != nil {
		return nil, err
	}
	if dir == "" {
		d, err := distros.LoadFS(distros.Embedded(), "skiff")
		return d, usage(err)
	}
	d, err := distros.Load(dir)
	return d, usage(err)
}

// openRegistry returns the registry of a distribution: the one that was named,
// or Slipway's own, served until close.
func (a *app) openRegistry(ctx context.Context, st *state.Dir, canonical string) (*oci.Registry, error) {
	address := a.flagOrEnv(a.registry, "SLIPWAY_REGISTRY")
	if address == "" {
		server, err := a.serveRegistry(ctx, st, "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		address = server.Addr()
	}
	a.address = address
	opts, err := a.registryOptions()
	if err != nil {
		return nil, err
	}
	reg, err := oci.NewRegistry(canonical, address, opts...)
	return reg, usage(err)
}

func (a *app) serveRegistry(ctx context.Context, st *state.Dir, addr string) (*registryserver.Server, error) {
	server, err := registryserver.Serve(ctx, registryserver.Options{Root: st.Registry(), Addr: addr, Log: io.Discard})
	if err != nil {
		return nil, err
	}
	a.closers = append(a.closers, func() { server.Close() })
	return server, nil
}

// keys returns the signing key pair of the state directory, made on first use.
func (a *app) keys(st *state.Dir) (*sign.Signer, error) {
	return sign.LoadOrCreateKey(st.Keys(), a.getenv("COSIGN_PASSWORD"))
}

// world is what most commands open.
type world struct {
	state    *state.Dir
	distro   *distros.Distribution
	registry *oci.Registry
}

func (a *app) open(ctx context.Context) (*world, error) {
	st, err := a.state()
	if err != nil {
		return nil, err
	}
	d, err := a.distribution()
	if err != nil {
		return nil, err
	}
	reg, err := a.openRegistry(ctx, st, d.Repository)
	if err != nil {
		return nil, err
	}
	return &world{state: st, distro: d, registry: reg}, nil
}

// releases is the repository that holds the payloads.
func (w *world) releases() string { return w.distro.Repository + "/release" }

// payload reads a payload after its signature has been verified; one that is
// unsigned or signed by somebody else is refused.
func (a *app) payload(ctx context.Context, w *world, reference string) (*release.Payload, error) {
	verifier, err := a.verifier(w.state)
	if err != nil {
		return nil, err
	}
	// A copy elsewhere has the same digest: it would be taken for the one here, and what is
	// then said about it would be stored here.
	named, err := w.registry.Locate(w.reference(reference))
	if err != nil {
		return nil, usage(err)
	}
	own, err := w.registry.Locate(w.releases() + ":latest")
	if err != nil {
		return nil, err
	}
	if own.Context().Name() != named.Context().Name() {
		return nil, usage(fmt.Errorf("reading payload %q: it must be in %s, or be named by its version or digest alone; slipway release mirror copies it there", reference, w.releases()))
	}
	digest, err := w.registry.Resolve(ctx, w.reference(reference))
	if errors.Is(err, oci.ErrNotFound) {
		return nil, usage(fmt.Errorf("reading payload %q: no such payload in registry %s", reference, w.registry.Address()))
	}
	if err != nil {
		return nil, err
	}
	pinned := w.releases() + "@" + digest.String()
	claim, err := verifier.Verify(ctx, w.registry, pinned)
	if errors.Is(err, sign.ErrRefused) {
		return nil, rejected(err)
	}
	if err != nil {
		return nil, err
	}
	img, err := oci.AnyImage(ctx, w.registry, pinned, hostPlatform())
	if err != nil {
		return nil, err
	}
	p, err := release.Load(ctx, img)
	if err != nil {
		return nil, rejected(fmt.Errorf("reading payload %q: %w", reference, err))
	}
	p.Reference = pinned
	if err := claim.Matches(p.Version.String()); err != nil {
		return nil, rejected(err)
	}
	return p, nil
}

// reference completes what a person types for a payload: a version or a digest
// means one of the distribution's own releases.
func (w *world) reference(s string) string {
	if _, err := release.Parse(s); err == nil {
		return w.releases() + ":" + s
	}
	if len(s) == len("sha256:")+64 && s[:7] == "sha256:" {
		return w.releases() + "@" + s
	}
	return s
}

// prepareHost installs what is missing, and a container engine where none works;
// with tests also what the tests of Slipway itself need.
func (a *app) prepareHost(ctx context.Context, tests bool) error {
	st, err := a.state()
	if err != nil {
		return err
	}
	needEngine := false
	if _, err := engine.Detect(ctx, engine.Options{StateDir: st.Root(), Want: a.engine}); errors.Is(err, engine.ErrNone) {
		needEngine = a.engine != engine.Docker
	}
	return host.Prepare(ctx, host.Options{Needs: host.Needs{Engine: needEngine, Tests: tests}, MayInstall: !a.noInstall, Log: a.Err})
}

// openEngine finds the container engine.
func (a *app) openEngine(ctx context.Context, st *state.Dir, log io.Writer) (*engine.Engine, error) {
	return engine.Detect(ctx, engine.Options{StateDir: st.Root(), Want: a.flagOrEnv(a.engine, "SLIPWAY_ENGINE"), Log: log})
}

// secondInterrupt is closed when, after ctx has ended, the user asks again: then
// nothing is waited for any more.
func (a *app) secondInterrupt(ctx context.Context) <-chan struct{} {
	again := make(chan struct{})
	context.AfterFunc(ctx, func() {
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
		<-signals
		close(again)
	})
	return again
}

// newDisplay shows progress on standard error: a live tree on a terminal, lines
// elsewhere.
func (a *app) newDisplay() *progress.Display {
	opts := progress.Options{}
	if f, ok := a.Err.(*os.File); ok && isatty.IsTerminal(f.Fd()) && a.getenv("TERM") != "dumb" {
		opts.Terminal = true
		opts.Color = a.getenv("NO_COLOR") == ""
		opts.Size = func() (int, int) {
			columns, rows, err := term.GetSize(int(f.Fd()))
			if err != nil {
				return 0, 0
			}
			return columns, rows
		}
	}
	opts.Bare = a.getenv("SLIPWAY_STEP") != ""
	d := progress.New(a.Err, opts)
	a.closers = append(a.closers, d.Close)
	return d
}

// defaultLockFile is distro.lock beside distro.yaml, or here for the built-in
// Skiff.
func (a *app) defaultLockFile() (string, error) {
	distro, err := a.distroPath()
	if err != nil {
		return "", err
	}
	return filepath.Abs(filepath.Join(distro, "distro.lock"))
}
