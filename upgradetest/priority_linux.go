package upgradetest

import (
	"os"
	"strconv"
	"strings"

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
	setAutogroup(raise)
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

// autogroup is where Linux says, and takes, the nice value of this session's processes
// as a group: "/autogroup-17 nice 0".
const autogroup = "/proc/self/autogroup"

// setAutogroup changes the nice value of the session's autogroup (sched(7)). Where there
// are such groups, the nice values of threads count only among processes of one session:
// against the containers of a cluster the group counts as one, and a monitor in it waited
// ten times as long for a processor as it ran. Without autogroups, and in a control group
// of its own, this does nothing.
func setAutogroup(raise bool) {
	from, to := 0, raisedNice
	if !raise {
		from, to = to, from
	}
	data, err := os.ReadFile(autogroup)
	if err != nil {
		return
	}
	// One that somebody else has set stays as it is.
	if fields := strings.Fields(string(data)); len(fields) == 3 && fields[2] == strconv.Itoa(from) {
		_ = os.WriteFile(autogroup, []byte(strconv.Itoa(to)), 0) // without the right to, lateness shows what it costs
	}
}
