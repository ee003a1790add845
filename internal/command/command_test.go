package command_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/slipway-release/slipway/internal/command"
)

func TestFailureShowsCommandAndOutput(t *testing.T) {
	err := command.Run(context.Background(), command.Cmd{Path: "sh", Args: []string{"-c", "echo to-stdout; echo to-stderr >&2; exit 7"}})
	var failure *command.Error
	if !errors.As(err, &failure) {
		t.Fatalf("error is %T, want *command.Error", err)
	}
	if failure.ExitCode != 7 {
		t.Errorf("exit code %d, want 7", failure.ExitCode)
	}
	for _, want := range []string{"to-stdout", "to-stderr", `"sh"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q lacks %q", err, want)
		}
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Error("the cause cannot be unwrapped to *exec.ExitError")
	}
}

func TestMissingProgram(t *testing.T) {
	err := command.Run(context.Background(), command.Cmd{Path: "no-such-program-here"})
	if !errors.Is(err, exec.ErrNotFound) {
		t.Fatalf("error %v, want exec.ErrNotFound", err)
	}
}

func TestOutputKeepsStandardOutputOnly(t *testing.T) {
	var stderr bytes.Buffer
	out, err := command.Output(context.Background(), command.Cmd{
		Path: "sh", Args: []string{"-c", "echo result; echo noise >&2; echo $GREETING"},
		Env: []string{"GREETING=hello"}, Stderr: &stderr,
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(out), "result\nhello\n"; got != want {
		t.Errorf("output %q, want %q", got, want)
	}
	if got, want := stderr.String(), "noise\n"; got != want {
		t.Errorf("standard error %q, want %q", got, want)
	}
}

func TestOnlyEnv(t *testing.T) {
	t.Setenv("LEAK", "yes")
	out, err := command.Output(context.Background(), command.Cmd{Path: "/usr/bin/env", Env: []string{"A=1"}, OnlyEnv: true})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(out), "A=1\n"; got != want {
		t.Errorf("environment %q, want %q", got, want)
	}
	out, err = command.Output(context.Background(), command.Cmd{Path: "/usr/bin/env", OnlyEnv: true})
	if err != nil || len(out) > 0 {
		t.Errorf("an empty environment is %q, %v", out, err)
	}
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "tool"), []byte("#!/bin/sh\necho found\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	out, err = command.Output(context.Background(), command.Cmd{Path: "tool", Env: []string{"PATH=" + bin}, OnlyEnv: true})
	if err != nil || string(out) != "found\n" {
		t.Errorf("a program in the given PATH: %q, %v", out, err)
	}
	if err := command.Run(context.Background(), command.Cmd{Path: "sh", Env: []string{"PATH=" + bin}, OnlyEnv: true}); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("a program outside the given PATH: error %v, want exec.ErrNotFound", err)
	}
}

func TestOutputTailIsBounded(t *testing.T) {
	err := command.Run(context.Background(), command.Cmd{Path: "sh", Args: []string{"-c", "yes | head -c 1000000; echo the-end; exit 1"}})
	if err == nil || !strings.Contains(err.Error(), "the-end") {
		t.Fatal("the end of the output is not in the error")
	}
	if len(err.Error()) > 20<<10 {
		t.Errorf("error of %d bytes", len(err.Error()))
	}
}

// A context that ends takes the program's own children along, not just the
// program.
func TestCancelEndsTheWholeGroup(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- command.Run(ctx, command.Cmd{Path: "sh", Args: []string{"-c", "sleep 300 & echo $! > " + pidFile + ".new; mv " + pidFile + ".new " + pidFile + "; wait"}})
	}()
	var pid int
	for deadline := time.Now().Add(20 * time.Second); pid == 0; {
		if time.Now().After(deadline) {
			t.Fatal("the child never started")
		}
		if data, err := os.ReadFile(pidFile); err == nil {
			pid, _ = strconv.Atoi(strings.TrimSpace(string(data)))
		}
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	for deadline := time.Now().Add(20 * time.Second); alive(pid); {
		if time.Now().After(deadline) {
			t.Fatalf("grandchild %d still runs", pid)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// alive reports whether a process runs; one that only waits to be reaped does
// not.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	return fields[0] != "Z"
}
