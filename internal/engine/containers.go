package engine

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/slipway-release/slipway/internal/command"
)

// cleanupTimeout bounds what is tidied up after the caller's context ended.
const cleanupTimeout = 60 * time.Second

// Mount shows a folder of the host in a container.
type Mount struct {
	Source, Target string
	ReadOnly       bool
}

// Container says how to start a container.
type Container struct {
	Name  string // made up when empty
	Image string
	// Entrypoint replaces the image's; nil keeps it.
	Entrypoint []string
	Args       []string
	Env        map[string]string
	Labels     map[string]string // besides StateLabel
	Mounts     []Mount
	Tmpfs      []string
	Network    string // empty: the engine's default
	Hostname   string
	User       string
	WorkDir    string
	Privileged bool
	// Extra are further options of the engine's run command.
	Extra []string
}

// Streams are what a process in a container is connected to. Nil ones are closed or dropped.
type Streams struct {
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
}

// Run starts a container, waits for its end and removes it. A failure of the
// program in it is a *command.Error with its exit code. When ctx ends, the
// container is gone before Run returns.
func (e *Engine) Run(ctx context.Context, c Container, s Streams) error {
	if c.Name == "" {
		c.Name = "slipway-run-" + randomName()
	}
	args := append([]string{"run", "--rm"}, e.runArgs(c, s.Stdin != nil)...)
	err := command.Run(ctx, command.Cmd{Path: e.path, Args: args, Env: e.env, Stdin: s.Stdin, Stdout: s.Stdout, Stderr: s.Stderr})
	if err != nil {
		// The engine's client may be gone while the container lives on.
		after, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
		defer cancel()
		if gone := e.Remove(after, c.Name); gone != nil {
			err = errors.Join(err, gone)
		}
	}
	return shorten(err)
}

// Start starts a container that keeps running, and returns its name.
func (e *Engine) Start(ctx context.Context, c Container) (string, error) {
	if c.Name == "" {
		c.Name = "slipway-run-" + randomName()
	}
	args := append([]string{"run", "--detach"}, e.runArgs(c, false)...)
	if _, err := e.output(ctx, args...); err != nil {
		return "", fmt.Errorf("starting container %q: %w", c.Name, err)
	}
	return c.Name, nil
}

func (e *Engine) runArgs(c Container, stdin bool) []string {
	args := []string{"--name", c.Name, "--label", StateLabel + "=" + e.state, "--pull=never"}
	if stdin {
		args = append(args, "--interactive")
	}
	for _, k := range slices.Sorted(maps.Keys(c.Labels)) {
		args = append(args, "--label", k+"="+c.Labels[k])
	}
	for _, k := range slices.Sorted(maps.Keys(c.Env)) {
		args = append(args, "--env", k+"="+c.Env[k])
	}
	for _, m := range c.Mounts {
		volume := m.Source + ":" + m.Target
		if m.ReadOnly {
			volume += ":ro"
		}
		args = append(args, "--volume", volume)
	}
	for _, t := range c.Tmpfs {
		args = append(args, "--tmpfs", t)
	}
	for _, option := range [][2]string{{"--network", c.Network}, {"--hostname", c.Hostname}, {"--user", c.User}, {"--workdir", c.WorkDir}} {
		if option[1] != "" {
			args = append(args, option[0], option[1])
		}
	}
	if c.Privileged {
		args = append(args, "--privileged")
	}
	var rest []string
	if len(c.Entrypoint) > 0 {
		// Docker's option takes one word only.
		args = append(args, "--entrypoint", c.Entrypoint[0])
		rest = c.Entrypoint[1:]
	}
	args = append(args, c.Extra...)
	args = append(args, c.Image)
	args = append(args, rest...)
	return append(args, c.Args...)
}

// Exec runs a program in a running container and waits for its end. When ctx
// ends, the program itself may live on; it ends with its container.
func (e *Engine) Exec(ctx context.Context, container string, s Streams, argv ...string) error {
	args := []string{"exec"}
	if s.Stdin != nil {
		args = append(args, "--interactive")
	}
	args = append(append(args, container), argv...)
	return command.Run(ctx, command.Cmd{Path: e.path, Args: args, Env: e.env, Stdin: s.Stdin, Stdout: s.Stdout, Stderr: s.Stderr})
}

// Remove removes containers with their anonymous volumes, running or not. One
// that does not exist is no error.
func (e *Engine) Remove(ctx context.Context, names ...string) error {
	args := []string{"rm", "--force", "--volumes"}
	if e.kind == Podman && atLeast(e.version, 4, 0) {
		// Docker kills at once; Podman would wait for what does not heed SIGTERM.
		args = append(args, "--time=0")
	}
	var errs []error
	for _, name := range names {
		if _, err := e.output(ctx, append(slices.Clone(args), name)...); err != nil && !isAbsent(err) {
			errs = append(errs, fmt.Errorf("removing container %q: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// Info is what is known of one container.
type Info struct {
	Name    string
	Labels  map[string]string
	Running bool
	// Addresses are its IPv4 addresses by network.
	Addresses map[string]string
}

// Containers lists the containers, running or not, that have every one of the
// labels; an empty value asks for the label's presence only.
func (e *Engine) Containers(ctx context.Context, labels map[string]string) ([]Info, error) {
	args := append([]string{"ps", "--all", "--quiet", "--no-trunc"}, labelFilters(labels)...)
	ids, err := e.lines(ctx, args...)
	if err != nil {
		return nil, fmt.Errorf("listing containers: %w", err)
	}
	if len(ids) == 0 {
		return nil, nil
	}
	return e.inspect(ctx, ids...)
}

// Inspect describes one container.
func (e *Engine) Inspect(ctx context.Context, name string) (Info, error) {
	infos, err := e.inspect(ctx, name)
	if err != nil {
		return Info{}, err
	}
	return infos[0], nil
}

func (e *Engine) inspect(ctx context.Context, names ...string) ([]Info, error) {
	out, err := e.output(ctx, append([]string{"inspect", "--type", "container"}, names...)...)
	if err != nil {
		return nil, fmt.Errorf("inspecting containers: %w", err)
	}
	return parseInspect(out)
}

func parseInspect(data []byte) ([]Info, error) {
	var raw []struct {
		Name   string
		Config struct{ Labels map[string]string }
		State  struct{ Running bool }

		NetworkSettings struct {
			Networks map[string]struct{ IPAddress string }
		}
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, fmt.Errorf("reading what the engine says of its containers: %w", err)
	}
	infos := make([]Info, 0, len(raw))
	for _, r := range raw {
		info := Info{Name: strings.TrimPrefix(r.Name, "/"), Labels: r.Config.Labels, Running: r.State.Running, Addresses: map[string]string{}}
		for network, n := range r.NetworkSettings.Networks {
			info.Addresses[network] = n.IPAddress
		}
		infos = append(infos, info)
	}
	if len(infos) == 0 {
		return nil, errors.New("reading what the engine says of its containers: nothing in it")
	}
	slices.SortFunc(infos, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
	return infos, nil
}

// Logs writes what a container printed.
func (e *Engine) Logs(ctx context.Context, container string, w io.Writer) error {
	return shorten(command.Run(ctx, command.Cmd{Path: e.path, Args: []string{"logs", container}, Env: e.env, Stdout: w, Stderr: w}))
}

func labelFilters(labels map[string]string) []string {
	var args []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		filter := "label=" + k
		if v := labels[k]; v != "" {
			filter += "=" + v
		}
		args = append(args, "--filter", filter)
	}
	return args
}

// isAbsent tells a failure because something does not exist from others.
func isAbsent(err error) bool {
	var failed *command.Error
	if !errors.As(err, &failed) {
		return false
	}
	out := strings.ToLower(failed.Output)
	return strings.Contains(out, "no such") || strings.Contains(out, "not found") || strings.Contains(out, "image not known") || strings.Contains(out, "no container with")
}

func randomName() string {
	var b [5]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
