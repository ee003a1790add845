// Package command starts other programs. It is the only place in Slipway that
// does, so that every one of them ends with its context, together with the
// processes it started, and every failure shows what the program printed.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// gracePeriod is how long a program may take to end after SIGTERM.
const gracePeriod = 10 * time.Second

// tailSize bounds the output kept for an error message, in bytes.
const tailSize = 16 << 10

// Cmd says what to run. Path is looked up in PATH when it has no slash.
type Cmd struct {
	Path string
	Args []string // without the program's own name
	Dir  string
	// Env is added to the environment of this process; later entries win.
	Env []string
	// OnlyEnv makes Env the whole environment; Path is looked up in its PATH.
	OnlyEnv bool
	Stdin   io.Reader
	// Stdout and Stderr receive the output as it comes; nil drops it. The end
	// of both is kept for the error in any case.
	Stdout io.Writer
	Stderr io.Writer
}

// String returns the command line, for messages. Arguments are no place for
// secrets, so nothing is hidden here.
func (c Cmd) String() string {
	return strings.Join(append([]string{c.Path}, c.Args...), " ")
}

// Error is the failure of a program that was started, or could not be.
type Error struct {
	Argv     []string
	ExitCode int    // -1 when it was not started or a signal ended it
	Output   string // the end of what it printed, at most 16 KiB
	Err      error
}

// Error gives the command, how it ended and the last lines it printed.
func (e *Error) Error() string {
	msg := fmt.Sprintf("running %q: %v", e.Argv[0], e.Err)
	if out := strings.TrimSpace(e.Output); out != "" {
		msg += ": " + out
	}
	return msg
}

// Unwrap returns the cause: an *exec.ExitError, exec.ErrNotFound, or the
// context's error when that ended the program.
func (e *Error) Unwrap() error { return e.Err }

// Run runs c and waits for it. When ctx ends, c and all it started get SIGTERM,
// and SIGKILL ten seconds later. They die with this process as well. The error
// is an *Error.
func Run(ctx context.Context, c Cmd) error {
	tail := &tailBuffer{}
	path, err := c.lookup()
	if err != nil {
		return &Error{Argv: append([]string{c.Path}, c.Args...), ExitCode: -1, Err: err}
	}
	cmd := exec.CommandContext(ctx, path, c.Args...)
	cmd.Args[0] = c.Path
	cmd.Dir = c.Dir
	switch {
	case c.OnlyEnv:
		cmd.Env = append([]string{}, c.Env...) // nil would mean this process's
	case len(c.Env) > 0:
		cmd.Env = append(os.Environ(), c.Env...)
	}
	cmd.Stdin = c.Stdin
	cmd.Stdout = both(c.Stdout, tail)
	cmd.Stderr = both(c.Stderr, tail)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = gracePeriod

	err = cmd.Run()
	if err == nil {
		return nil
	}
	if cmd.Process != nil {
		// The leader is gone; what it left behind in its group must go too.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return &Error{Argv: append([]string{c.Path}, c.Args...), ExitCode: exitCode(err), Output: tail.String(), Err: err}
}

// lookup finds the program where whoever gave the environment would.
func (c Cmd) lookup() (string, error) {
	if !c.OnlyEnv || strings.Contains(c.Path, "/") {
		return c.Path, nil
	}
	for _, kv := range c.Env {
		dirs, ok := strings.CutPrefix(kv, "PATH=")
		if !ok {
			continue
		}
		for _, dir := range filepath.SplitList(dirs) {
			if path, err := exec.LookPath(filepath.Join(dir, c.Path)); err == nil {
				return path, nil
			}
		}
	}
	return "", &exec.Error{Name: c.Path, Err: exec.ErrNotFound}
}

// Output runs c and returns what it wrote to standard output.
func Output(ctx context.Context, c Cmd) ([]byte, error) {
	var out strings.Builder
	c.Stdout = both(c.Stdout, &out)
	err := Run(ctx, c)
	return []byte(out.String()), err
}

// Find returns the path of a program in PATH, or an error that names it.
func Find(name string) (string, error) {
	return exec.LookPath(name)
}

func exitCode(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return -1
}

func both(w io.Writer, tail io.Writer) io.Writer {
	if w == nil {
		return tail
	}
	return io.MultiWriter(w, tail)
}

// tailBuffer keeps the last tailSize bytes written to it. Standard output and
// standard error are copied by two goroutines, hence the lock.
type tailBuffer struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tailBuffer) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - tailSize; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

func (t *tailBuffer) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}
