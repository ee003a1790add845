package git

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/slipway-release/slipway/internal/command"
)

// settings hold for every call, whatever the user or a repository configured.
var settings = []string{
	"core.hooksPath=/dev/null",
	"core.fsmonitor=false",
	"core.askPass=",
	"credential.interactive=false",
	"submodule.recurse=false",
	"fetch.recurseSubmodules=false",
	"gc.auto=0",
	"maintenance.auto=false",
	"log.showSignature=false",
	"http.lowSpeedLimit=1000", // bytes a second …
	"http.lowSpeedTime=60",    // … for so many seconds: then the server is dead
	// Large files in foreign storage would be fetched from wherever the
	// repository says.
	"filter.lfs.smudge=",
	"filter.lfs.process=",
	"filter.lfs.required=false",
	"advice.detachedHead=false",
	"safe.bareRepository=all", // ours are named, never come upon
}

// call is one run of git.
type call struct {
	dir       string // of the repository; "" for none
	args      []string
	protocols string // "https:ssh"; "" for a call that must not reach out
	stdout    io.Writer
}

func (c call) run(ctx context.Context) error {
	args := make([]string, 0, 2*len(settings)+2+len(c.args))
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	if c.dir != "" {
		args = append(args, "-C", c.dir)
	}
	protocols := cmp.Or(c.protocols, noProtocol)
	env := environment(protocols)
	if c.dir != "" {
		// A folder that is no repository must not lead to one around it.
		env = append(env, "GIT_CEILING_DIRECTORIES="+filepath.Dir(c.dir))
	}
	err := command.Run(ctx, command.Cmd{Path: "git", Args: append(args, c.args...), Env: env, OnlyEnv: true, Stdout: c.stdout})
	return explain(err)
}

// output runs git and returns what it printed, without the newline at its end.
func (c call) output(ctx context.Context) (string, error) {
	var out bytes.Buffer
	c.stdout = &out
	err := c.run(ctx)
	return strings.TrimSpace(out.String()), err
}

// noProtocol is a list without any protocol that there is.
const noProtocol = "none"

// kept are git's own variables that say how servers are reached. The others
// point git to a repository, which ours must not inherit.
var kept = []string{"GIT_SSL_", "GIT_SSH", "GIT_HTTP_", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_EXEC_PATH"}

func environment(protocols string) []string {
	var env []string
	ssh := false
	for _, kv := range os.Environ() {
		if strings.HasPrefix(kv, "GIT_") && !slices.ContainsFunc(kept, func(prefix string) bool { return strings.HasPrefix(kv, prefix) }) {
			continue
		}
		ssh = ssh || strings.HasPrefix(kv, "GIT_SSH_COMMAND=") || strings.HasPrefix(kv, "GIT_SSH=")
		env = append(env, kv)
	}
	if !ssh {
		env = append(env, "GIT_SSH_COMMAND=ssh -o BatchMode=yes -o ConnectTimeout=30")
	}
	if protocols == noProtocol {
		env = append(env, "GIT_NO_LAZY_FETCH=1")
	}
	return append(env, "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=", "GCM_INTERACTIVE=never", "LC_ALL=C",
		"GIT_ALLOW_PROTOCOL="+protocols, "GIT_OPTIONAL_LOCKS=0")
}

// explain makes one sentence of git's failure: the last reason it printed.
func explain(err error) error {
	var failed *command.Error
	if !errors.As(err, &failed) || failed.ExitCode < 0 {
		return err
	}
	lines := strings.Split(strings.TrimSpace(failed.Output), "\n")
	reason := ""
	for _, line := range lines {
		for _, prefix := range []string{"fatal: ", "error: ", "remote: "} {
			if text, ok := strings.CutPrefix(line, prefix); ok {
				reason = strings.TrimSpace(text)
			}
		}
	}
	if reason == "" {
		reason = strings.TrimSpace(lines[len(lines)-1])
	}
	return &failure{code: failed.ExitCode, reason: printable(reason), err: err}
}

// failure is a git that ended with an error.
type failure struct {
	code   int
	reason string
	err    error
}

func (f *failure) Error() string {
	if f.reason == "" {
		return fmt.Sprintf("git ended with code %d", f.code)
	}
	return "git: " + f.reason
}

func (f *failure) Unwrap() error { return f.err }

// ended tells whether git ran to its end with an exit code.
func ended(err error, code int) bool {
	var f *failure
	return errors.As(err, &f) && f.code == code
}

// printable drops what could move the cursor of whoever reads it.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) {
			return -1
		}
		return r
	}, s)
}
