package pipelines

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// How long the steps of an interrupted run may take to end: first by
// themselves, since the death of the runner told them to, then after SIGTERM.
const (
	leftoverPatience = 15 * time.Second
	leftoverGrace    = 10 * time.Second
)

// ClearLeftovers waits until nothing of the tasks that were running when the run
// in dir was interrupted runs any more, and ends what does not end by itself:
// two attempts at a task must never run at once. Processes that have left the
// session of the old runner are daemons on purpose, such as the monitor of a
// container, and are left alone. Run begins with it; call it before, when
// something else must not happen beside those processes either.
func ClearLeftovers(ctx context.Context, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	s, err := readState(dir)
	if err != nil || s == nil {
		return err
	}
	for _, t := range s.Tasks {
		if t.Status != Running {
			continue
		}
		if err := clearTask(ctx, stepMark(dir, t.Name), s.Session); err != nil {
			return fmt.Errorf("going on with run %q: waiting for what task %q had started: %w", s.Run, t.Name, err)
		}
	}
	return nil
}

func clearTask(ctx context.Context, mark string, session int) error {
	for _, patience := range []struct {
		signal syscall.Signal // sent first, 0 for none
		wait   time.Duration
	}{{0, leftoverPatience}, {syscall.SIGTERM, leftoverGrace}, {syscall.SIGKILL, time.Second}} {
		for _, pid := range leftovers(mark, session) {
			_ = syscall.Kill(pid, patience.signal) // it may have ended: the wait tells
		}
		gone, err := waitForLeftovers(ctx, mark, session, patience.wait)
		if gone || err != nil {
			return err
		}
	}
	return fmt.Errorf("processes %v do not end", leftovers(mark, session))
}

func waitForLeftovers(ctx context.Context, mark string, session int, patience time.Duration) (gone bool, err error) {
	deadline := time.Now().Add(patience)
	for {
		if len(leftovers(mark, session)) == 0 {
			return true, nil
		}
		if time.Now().After(deadline) {
			return false, nil
		}
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// leftovers lists the processes of a session that carry a task's mark in their
// environment.
func leftovers(mark string, session int) []int {
	entry := []byte(stepVariable + "=" + mark)
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil
	}
	var pids []int
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == os.Getpid() || sessionOf(dir) != session {
			continue
		}
		environ, err := os.ReadFile(filepath.Join(dir, "environ"))
		if err != nil {
			continue // it has ended meanwhile, or is somebody else's
		}
		for _, e := range bytes.Split(environ, []byte{0}) {
			if bytes.Equal(e, entry) {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// sessionOf reads the session of a process from /proc/PID/stat: the fourth
// field after the name in parentheses, which may hold anything. A process that
// only waits for its parent to notice its end counts as gone.
func sessionOf(dir string) int {
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return -1
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 4 || fields[0][0] == 'Z' {
		return -1
	}
	sid, err := strconv.Atoi(string(fields[3]))
	if err != nil {
		return -1
	}
	return sid
}
