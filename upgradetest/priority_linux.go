package upgradetest

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

const (
	raisedNice = -15
	// resetOnFork is SCHED_FLAG_RESET_ON_FORK (sched_setattr(2)): what is started
	// by a thread with it begins at nice 0.
	resetOnFork = 1
)

// setPriority changes all threads of this process: a nice value belongs to a
// thread, and a goroutine may run on any. Threads that were given a nice value by
// someone else keep it.
func setPriority(raise bool) {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return
	}
	from, to := &unix.SchedAttr{}, &unix.SchedAttr{Nice: raisedNice, Flags: resetOnFork}
	if !raise {
		from, to = to, from
	}
	for _, task := range tasks {
		id, err := strconv.Atoi(task.Name())
		if err != nil {
			continue
		}
		// Without the right to, or for a thread that has just ended: it stays as it is.
		if now, err := unix.SchedGetAttr(id, 0); err == nil && now.Policy == from.Policy && now.Nice == from.Nice {
			_ = unix.SchedSetAttr(id, to, 0)
		}
	}
}
