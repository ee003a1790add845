package upgradetest

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPriorityIsOfThisProcessOnly: all threads are raised while a monitor runs,
// what they start is not, and nothing is left behind.
func TestPriorityIsOfThisProcessOnly(t *testing.T) {
	if now, err := unix.SchedGetAttr(0, 0); err != nil || now.Nice != 0 {
		t.Skipf("the tests themselves do not run at nice 0 (%v)", err)
	}
	first, second := raisePriority(false), raisePriority(false)
	if now, err := unix.SchedGetAttr(0, 0); err != nil || now.Nice != raisedNice {
		first()
		second()
		t.Skip("the host does not allow a higher priority")
	}
	out, err := exec.Command("nice").Output()
	if err != nil {
		t.Fatal(err)
	}
	if nice := strings.TrimSpace(string(out)); nice != "0" {
		t.Errorf("a program that was started runs at nice %s", nice)
	}
	first()
	first()
	check(t, raisedNice)
	second()
	check(t, 0)
}

// ownSession is set in a process that has a session, and so a group, of its own: tests
// of other packages raise and lower that of this one meanwhile.
const ownSession = "SLIPWAY_TEST_OWN_SESSION"

func TestPriorityOfTheSession(t *testing.T) {
	if os.Getenv(ownSession) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestPriorityOfTheSession$")
		cmd.Env = append(os.Environ(), ownSession+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	before, ok := autogroupNice()
	if !ok || before != 0 {
		t.Skipf("there is no group of the session, or it is at nice %d", before)
	}
	restore := raisePriority(false)
	if now, err := unix.SchedGetAttr(0, 0); err != nil || now.Nice != raisedNice {
		restore()
		t.Skip("the host does not allow a higher priority")
	}
	if group, _ := autogroupNice(); group != raisedNice {
		t.Errorf("the session's group is at nice %d", group)
	}
	restore()
	if group, _ := autogroupNice(); group != 0 {
		t.Errorf("the session's group is left at nice %d", group)
	}
}

func autogroupNice() (nice int, ok bool) {
	data, err := os.ReadFile(autogroup)
	if err != nil {
		return 0, false
	}
	_, err = fmt.Sscanf(string(data[strings.IndexByte(string(data), ' ')+1:]), "nice %d", &nice)
	return nice, err == nil
}

func check(t *testing.T, want int32) {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		id, err := strconv.Atoi(task.Name())
		if err != nil {
			t.Fatal(err)
		}
		// A thread that was started since is at 0 in any case.
		if now, err := unix.SchedGetAttr(id, 0); err == nil && now.Nice != want && now.Nice != 0 {
			t.Errorf("thread %d runs at nice %d, want %d", id, now.Nice, want)
		}
	}
}
