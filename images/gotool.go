package images

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/slipway-release/slipway/internal/clock"
	"github.com/slipway-release/slipway/internal/command"
)

// passed are the variables of the environment that reach a build: where
// programs are, where temporary files go, and how to reach the network.
var passed = []string{
	"PATH", "HOME", "USER", "TMPDIR", "NETRC", "SSH_AUTH_SOCK", "SSL_CERT_FILE", "SSL_CERT_DIR",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
}

// goSettings are the settings of Go that decide where modules come from and
// where caches lie, and cannot change what is compiled.
var goSettings = []string{
	"GOPROXY", "GONOPROXY", "GOSUMDB", "GONOSUMDB", "GOPRIVATE", "GOINSECURE", "GOAUTH", "GOVCS",
	"GOCACHE", "GOMODCACHE", "GOPATH",
}

// hostEnvironment keeps of an environment what a build may see.
func hostEnvironment(environ []string) []string {
	var env []string
	for _, kv := range environ {
		name, _, _ := strings.Cut(kv, "=")
		if slices.Contains(passed, name) || strings.HasPrefix(name, "GIT_") {
			env = append(env, kv)
		}
	}
	return append(env, "LC_ALL=C", "TZ=UTC")
}

// clean returns a command that runs with exactly this environment.
func clean(env []string, path string, args ...string) command.Cmd {
	return command.Cmd{Path: path, Args: args, Env: env, OnlyEnv: true}
}

// goTool runs the go command so that nothing of the user's settings can change
// the programs it makes.
type goTool struct {
	env     []string
	version string // go1.26.8
}

func newGoTool(ctx context.Context, environ []string) (*goTool, error) {
	ask := clean(append(slices.Clone(environ), "GOTOOLCHAIN=local", "GOWORK=off"), "go", append([]string{"env", "-json", "GOVERSION"}, goSettings...)...)
	ask.Dir = os.TempDir() // a go.mod around here may ask for another toolchain
	out, err := command.Output(ctx, ask)
	if err != nil {
		return nil, fmt.Errorf("asking the go command for its settings: %s", said(err))
	}
	var settings map[string]string
	if err := json.Unmarshal(out, &settings); err != nil {
		return nil, fmt.Errorf("asking the go command for its settings: %w", err)
	}
	t := &goTool{version: settings["GOVERSION"], env: hostEnvironment(environ)}
	for _, name := range goSettings {
		if v := settings[name]; v != "" {
			t.env = append(t.env, name+"="+v)
		}
	}
	// An empty GOFLAGS would fall back to the user's configuration file.
	t.env = append(t.env, "GOENV=off", "GOWORK=off", "GO111MODULE=on", "GOTOOLCHAIN=local", "GOTELEMETRY=off")
	return t, nil
}

// environment for one platform, with or without C.
func (t *goTool) target(platform string, cgo bool) []string {
	goos, _, _ := strings.Cut(platform, "/")
	enabled := "0"
	if cgo {
		enabled = "1"
	}
	return []string{"GOOS=" + goos, "GOARCH=" + architecture(platform), "CGO_ENABLED=" + enabled, "CC=gcc", "CXX=g++"}
}

// run runs the go command in dir and returns its standard output. Failures of
// the network are tried again.
func (t *goTool) run(ctx context.Context, dir string, env []string, args ...string) ([]byte, error) {
	const attempts = 4
	for attempt := 1; ; attempt++ {
		cmd := clean(slices.Concat(t.env, env), "go", args...)
		cmd.Dir = dir
		out, err := command.Output(ctx, cmd)
		if err == nil || attempt == attempts || ctx.Err() != nil || !transient(err) {
			return out, err
		}
		if err := clock.Sleep(ctx, time.Duration(attempt)*2*time.Second); err != nil {
			return nil, err
		}
	}
}

// networkTroubles are what the go command prints when a module proxy could not
// be reached, as opposed to answering that it has no such version.
var networkTroubles = []string{
	"connection reset by peer", "connection refused", "i/o timeout", "TLS handshake timeout", "unexpected EOF",
	"no such host", "Temporary failure in name resolution", "429 Too Many Requests", "500 Internal Server Error",
	"502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout", "Client.Timeout exceeded", "network is unreachable",
}

func transient(err error) bool {
	var failed *command.Error
	if !errors.As(err, &failed) {
		return false
	}
	return slices.ContainsFunc(networkTroubles, func(s string) bool { return strings.Contains(failed.Output, s) })
}

// said returns what a failed program printed, or the error when it said nothing.
func said(err error) string {
	var failed *command.Error
	if errors.As(err, &failed) && strings.TrimSpace(failed.Output) != "" {
		return strings.TrimSpace(failed.Output)
	}
	return err.Error()
}

// goModule is what `go mod download -json` says of a module.
type goModule struct {
	Path, Version, Error string
	Sum, GoModSum        string
	GoMod, Dir           string
	Origin               *struct{ URL, Hash string }
}

// download fetches modules ("path@version") into the module cache and describes
// them, in the order asked for.
func (t *goTool) download(ctx context.Context, modules []string) ([]goModule, error) {
	if len(modules) == 0 {
		return nil, nil
	}
	dir, err := os.MkdirTemp("", "slipway-modules-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	// Without a go.mod of its own, the command would look for one in the parents.
	if err := os.WriteFile(dir+"/go.mod", []byte("module slipway.dev/build\n"), 0o644); err != nil {
		return nil, err
	}
	out, err := t.run(ctx, dir, nil, append([]string{"mod", "download", "-json"}, modules...)...)
	if ctx.Err() != nil {
		return nil, err
	}
	found, decodeErr := decodeModules(out)
	var problems []error
	for _, m := range found {
		if m.Error != "" {
			problems = append(problems, notThere(moduleInput(m.Path, m.Version), m.Error))
		}
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	if err == nil {
		err = decodeErr
	}
	if err == nil && len(found) != len(modules) {
		err = fmt.Errorf("the go command described %d of %d modules", len(found), len(modules))
	}
	if err != nil {
		return nil, fmt.Errorf("downloading go modules: %s", said(err))
	}
	return found, nil
}

func decodeModules(out []byte) ([]goModule, error) {
	var found []goModule
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var m goModule
		if err := dec.Decode(&m); err == io.EOF {
			return found, nil
		} else if err != nil {
			return found, err
		}
		found = append(found, m)
	}
}

// notThere is the failure to get an input. It counts as a wrong input unless the
// network is to blame.
func notThere(input, message string) error {
	if slices.ContainsFunc(networkTroubles, func(s string) bool { return strings.Contains(message, s) }) {
		return fmt.Errorf("resolving %s: %s", input, message)
	}
	return fmt.Errorf("resolving %s: %w: %s", input, ErrInput, message)
}
