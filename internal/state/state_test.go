package state_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/slipway-release/slipway/internal/state"
)

// TestMain lets the test binary play the second process that wants the lock.
func TestMain(m *testing.M) {
	if root := os.Getenv("STATE_TEST_LOCK"); root != "" {
		d, err := state.Open(root)
		if err == nil {
			_, err = d.Lock()
		}
		if err != nil {
			os.Stderr.WriteString(err.Error())
			os.Exit(3)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestSecondProcessIsRefused(t *testing.T) {
	root := t.TempDir()
	d, err := state.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	unlock, err := d.Lock()
	if err != nil {
		t.Fatal(err)
	}
	other := func() (string, error) {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "STATE_TEST_LOCK="+root)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := other()
	if err == nil {
		t.Fatal("a second process got the lock")
	}
	for _, want := range []string{state.ErrLocked.Error(), strconv.Itoa(os.Getpid()), "--state-dir"} {
		if !strings.Contains(out, want) {
			t.Errorf("message %q lacks %q", out, want)
		}
	}
	unlock()
	if out, err := other(); err != nil {
		t.Errorf("after unlock: %v: %s", err, out)
	}
}

func TestLockedIsASentinel(t *testing.T) {
	d, err := state.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	unlock, err := d.Lock()
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if _, err := d.Lock(); !errors.Is(err, state.ErrLocked) {
		t.Errorf("error %v, want ErrLocked", err)
	}
}

// A program that is just being started has every file open that this process has, until it
// runs. Its share of the lock must not outlast unlock.
func TestUnlockIsForAllThatShareTheFile(t *testing.T) {
	root := t.TempDir()
	d, err := state.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	unlock, err := d.Lock()
	if err != nil {
		t.Fatal(err)
	}
	share(t, filepath.Join(root, "lock"))
	unlock()
	if unlock, err = d.Lock(); err != nil {
		t.Fatal(err)
	}
	unlock()
}

// share keeps what this process has open under a path open, until the test is over.
func share(t *testing.T, path string) {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if to, err := os.Readlink("/proc/self/fd/" + f.Name()); err != nil || to != path {
			continue
		}
		fd, err := strconv.Atoi(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		also, err := syscall.Dup(fd)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = syscall.Close(also) })
		return
	}
	t.Fatalf("%s is not open", path)
}

func TestLatest(t *testing.T) {
	d, err := state.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if id, err := d.Latest(); err != nil || id != "" {
		t.Fatalf("latest of an empty directory: %q, %v", id, err)
	}
	for _, id := range []string{"one", "two"} {
		if err := d.SetLatest(id); err != nil {
			t.Fatal(err)
		}
		if got, err := d.Latest(); err != nil || got != id {
			t.Errorf("latest %q, %v, want %q", got, err, id)
		}
	}
}

func TestWriteFileIsWholeUnderConcurrency(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "file")
	contents := []string{strings.Repeat("a", 1<<16), strings.Repeat("b", 1<<10)}
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := state.WriteFile(path, []byte(contents[i%2]), 0o600); err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if s := string(got); s != contents[0] && s != contents[1] {
		t.Errorf("torn file of %d bytes", len(s))
	}
	entries, _ := os.ReadDir(filepath.Dir(path))
	if len(entries) != 1 {
		t.Errorf("%d files left beside it", len(entries)-1)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
}

func TestWriteFileFailureLeavesTheOld(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := os.MkdirAll(filepath.Join(path, "occupied"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := state.WriteFile(path, []byte("x"), 0o644); err == nil {
		t.Fatal("no error although a folder stands at the path")
	}
	entries, _ := os.ReadDir(dir)
	if len(entries) != 1 {
		t.Errorf("a file was left beside: %v", entries)
	}
}

// Readers share a folder, a writer has it alone, and nothing is left in it.
func TestLockFolder(t *testing.T) {
	dir := t.TempDir()
	var readers []func()
	for range 2 {
		unlock, err := state.LockFolder(dir, true)
		if err != nil {
			t.Fatal(err)
		}
		readers = append(readers, unlock)
	}
	wrote := make(chan error, 1)
	go func() {
		unlock, err := state.LockFolder(dir, false)
		if err == nil {
			defer unlock()
		}
		wrote <- err
	}()
	readers[0]()
	select {
	case err := <-wrote:
		t.Fatalf("the writer did not wait for the second reader: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	readers[1]()
	if err := <-wrote; err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("it left %v, %v", left, err)
	}
	if _, err := state.LockFolder(filepath.Join(dir, "none"), true); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}
