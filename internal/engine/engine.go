// Package engine drives the container engine of this host: Podman or Docker,
// whichever can start a privileged container. It knows images, containers,
// volumes and networks, and labels all it makes, so that what a killed run left
// behind can be found. It knows nothing of Kubernetes.
package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/slipway-release/slipway/internal/command"
)

// ErrNone says that no container engine on this host can do the work.
var ErrNone = errors.New("no container engine can start a privileged container")

// StateLabel is on everything this package makes; its value is Engine.State.
const StateLabel = "slipway.dev/state"

// Kinds of engines.
const (
	Podman = "podman"
	Docker = "docker"
)

// infoTimeout bounds a question to an engine that may hang (a dead daemon's socket).
const infoTimeout = 30 * time.Second

// Options say where the engine's settings lie and which one is wanted.
type Options struct {
	// StateDir is the state directory. Settings are written to it, and a hash
	// of its path marks what belongs to it.
	StateDir string
	// Want names the engine to use, podman or docker; empty tries both in this order.
	Want string
	// Log receives what the engine prints; nil drops it.
	Log io.Writer
}

// Engine is one container engine. It is safe for concurrent use.
type Engine struct {
	kind     string
	path     string
	version  string
	env      []string
	stateDir string
	state    string
	log      io.Writer
	host     Host
}

// Detect returns the first engine that can start a privileged container, which
// is tried with a real one. Where none can, the error wraps ErrNone and says
// for each engine why not, and what to do.
func Detect(ctx context.Context, o Options) (*Engine, error) {
	kinds := []string{Podman, Docker}
	if o.Want != "" {
		if o.Want != Podman && o.Want != Docker {
			return nil, fmt.Errorf("choosing container engine %q: known are podman and docker", o.Want)
		}
		kinds = []string{o.Want}
	}
	host, err := InspectHost()
	if err != nil {
		return nil, err
	}
	var reasons []string
	for _, kind := range kinds {
		e, err := open(ctx, kind, host, o)
		if err == nil {
			return e, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		reasons = append(reasons, fmt.Sprintf("%s: %v", kind, err))
	}
	return nil, fmt.Errorf("looking for a container engine: %w (%s); install Podman with `apt-get install podman netavark aardvark-dns runc`, or start Docker",
		ErrNone, strings.Join(reasons, "; "))
}

func open(ctx context.Context, kind string, host Host, o Options) (*Engine, error) {
	path, err := command.Find(kind)
	if err != nil {
		return nil, errors.New("not installed")
	}
	e := &Engine{kind: kind, path: path, stateDir: o.StateDir, state: StateID(o.StateDir), log: o.Log, host: host}
	if err := e.readVersion(ctx); err != nil {
		return nil, err
	}
	if err := host.prepare(ctx); err != nil {
		return nil, err
	}
	if kind == Podman {
		if err := e.writeConf(); err != nil {
			return nil, err
		}
	}
	if err := e.probe(ctx); err != nil {
		return nil, err
	}
	return e, nil
}

func (e *Engine) readVersion(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, infoTimeout)
	defer cancel()
	format := "{{.Version.Version}}"
	if e.kind == Docker {
		format = "{{.ServerVersion}}"
	}
	out, err := command.Output(ctx, command.Cmd{Path: e.path, Args: []string{"info", "--format", format}, Env: e.env})
	if err != nil {
		return fmt.Errorf("asking it for information: %w", shorten(err))
	}
	e.version = strings.TrimSpace(string(out))
	return nil
}

// Kind is podman or docker.
func (e *Engine) Kind() string { return e.kind }

// Version is the engine's version, such as 4.3.1.
func (e *Engine) Version() string { return e.version }

// State is what StateLabel holds on things that belong to this state directory.
func (e *Engine) State() string { return e.state }

// Host is what is known of the host the engine runs on.
func (e *Engine) Host() Host { return e.host }

// Environ is the environment, as NAME=value, that any program needs which
// starts this engine itself.
func (e *Engine) Environ() []string { return append([]string(nil), e.env...) }

// StateID is the value of StateLabel for a state directory.
func StateID(stateDir string) string {
	abs, err := filepath.Abs(stateDir)
	if err != nil {
		abs = stateDir
	}
	sum := sha256.Sum256([]byte(abs))
	return hex.EncodeToString(sum[:6])
}

// output runs one subcommand and returns its standard output.
func (e *Engine) output(ctx context.Context, args ...string) ([]byte, error) {
	out, err := command.Output(ctx, command.Cmd{Path: e.path, Args: args, Env: e.env})
	return out, shorten(err)
}

func (e *Engine) lines(ctx context.Context, args ...string) ([]string, error) {
	out, err := e.output(ctx, args...)
	if err != nil {
		return nil, err
	}
	return strings.Fields(string(out)), nil
}

// shorten keeps of an engine's failure the line that tells the reason; around it
// are warnings and empty results.
func shorten(err error) error {
	var failed *command.Error
	if !errors.As(err, &failed) {
		return err
	}
	reason := ""
	for line := range strings.Lines(failed.Output) {
		line = strings.TrimSpace(line)
		if line != "" && line != "[]" && !strings.HasPrefix(reason, "Error") || strings.HasPrefix(line, "Error") {
			reason = line
		}
	}
	short := *failed
	short.Output = reason
	short.Argv = append([]string{filepath.Base(failed.Argv[0])}, failed.Argv[1:]...)
	return &short
}
