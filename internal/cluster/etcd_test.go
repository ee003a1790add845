package cluster

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Control planes are taken away in their order: the leadership is to go where it can
// stay longest.
func TestSuccessor(t *testing.T) {
	nodes := testNodes()[:3]
	var all []memberStatus
	for i, n := range nodes {
		var s memberStatus
		s.Endpoint = "https://" + n.address + ":2379"
		s.Status.Header.MemberID = uint64(i + 1)
		all = append(all, s)
	}
	for _, tc := range []struct {
		name     string
		from     int
		statuses []memberStatus
		want     uint64
	}{
		{"from the first", 0, all, 3},
		{"from the second", 1, all, 3},
		{"from the last", 2, all, 2},
		{"the last is away", 0, all[:2], 2},
		{"alone", 0, all[:1], 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got, ok := successor(nodes, nodes[tc.from], tc.statuses); got != tc.want || ok != (tc.want != 0) {
				t.Errorf("%d, %v; want %d", got, ok, tc.want)
			}
		})
	}
}

// hold runs holdScript for a process that takes the place of the API server, and returns
// when the script has come to its end, which it keeps until stdin is closed.
func hold(t *testing.T, server *exec.Cmd, at time.Time) (script *exec.Cmd, stdin io.Closer) {
	t.Helper()
	bin := t.TempDir()
	pidof := fmt.Sprintf("#!/bin/sh\necho %d\n", server.Process.Pid)
	if err := os.WriteFile(filepath.Join(bin, "pidof"), []byte(pidof), 0o755); err != nil {
		t.Fatal(err)
	}
	script = exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", holdScript+"echo end; read -r line || true", "slipway", strconv.FormatInt(at.UnixMicro(), 10))
	script.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	script.Stderr = os.Stderr
	in, err := script.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := script.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := script.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "end\n" {
		t.Fatalf("the script said %q: %v", line, err)
	}
	return script, in
}

// stopped tells whether a process is stopped by a signal.
func stopped(t *testing.T, c *exec.Cmd) bool {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(after, "T")
}

// goesOn waits until the process is not stopped any more.
func goesOn(t *testing.T, c *exec.Cmd) {
	t.Helper()
	for end := time.Now().Add(time.Minute); stopped(t, c); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the server was never let go on")
		}
	}
}

// TestHold stops a process as the API servers are while etcd's leadership moves: whatever
// becomes of the script, the process must go on.
func TestHold(t *testing.T) {
	server := exec.CommandContext(t.Context(), "sleep", "600")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })

	// A script that starts too late stops nothing, and a busy host may make it late.
	held := func() (*exec.Cmd, io.Closer) {
		for ahead := 500 * time.Millisecond; ahead < time.Minute; ahead *= 2 {
			script, stdin := hold(t, server, time.Now().Add(ahead))
			for range 50 { // the signal takes its time
				if stopped(t, server) {
					return script, stdin
				}
				time.Sleep(20 * time.Millisecond)
			}
			stdin.Close()
			_ = script.Wait()
		}
		t.Fatal("the server was never stopped")
		return nil, nil
	}

	script, stdin := held()
	stdin.Close()
	if err := script.Wait(); err != nil {
		t.Error(err)
	}
	goesOn(t, server)

	script, _ = held()
	if err := script.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = script.Wait()
	goesOn(t, server)

	script, stdin = hold(t, server, time.Now().Add(-time.Second))
	if stopped(t, server) {
		t.Error("the server was stopped after the time agreed on")
	}
	stdin.Close()
	if err := script.Wait(); err != nil {
		t.Error(err)
	}
}
