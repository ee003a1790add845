package upgradetest

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
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
