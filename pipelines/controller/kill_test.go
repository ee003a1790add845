package controller_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/slipway-release/slipway/release/streams"
)

// Two controllers run at once, each is killed again and again, wherever it is, and goes
// on with an empty disk: no cut is made twice, none is lost, and each has a verdict.
func TestTwoControllersKilled(t *testing.T) {
	t.Parallel()
	c := newConfig(t, declaration())
	c.Once = false
	const wanted = 2
	finished := func() int {
		n := 0
		for _, cut := range read(t, c).Cuts {
			if cut.End != nil {
				n++
			}
		}
		return n
	}
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	begin := func(i int) *exec.Cmd {
		mine := c
		mine.Holder, mine.Dir, mine.Lease = fmt.Sprint("holder-", i), t.TempDir(), 3*time.Second
		data, err := json.Marshal(mine)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(os.Args[0], "controller", string(data))
		cmd.Stderr = log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	running := []*exec.Cmd{begin(0), begin(1)}
	kills := 0
	// Each kill ends the one that leads. It comes later every time, so that on the slowest
	// host somebody is left alone for long enough in the end.
	for deadline := time.Now().Add(10 * time.Minute); finished() < wanted && time.Now().Before(deadline); kills++ {
		time.Sleep(time.Duration(3000+kills*1370) * time.Millisecond)
		victim := kills % 2
		_ = running[victim].Process.Signal(syscall.SIGKILL)
		_ = running[victim].Wait()
		running[victim] = begin(kills + 2)
	}
	for _, cmd := range running {
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait()
	}
	state := read(t, c)
	if n := finished(); n < wanted {
		said, _ := os.ReadFile(log.Name())
		t.Fatalf("%d of %d were finished after %d kills\n%s", n, wanted, kills, said)
	}
	var versions []string
	for i, cut := range state.Cuts {
		versions = append(versions, cut.Version.String())
		if cut.End == nil && i < len(state.Cuts)-1 {
			t.Errorf("%s was left, though newer ones were cut", cut.Version)
		}
		if cut.End != nil && cut.End.Phase != streams.PhaseAccepted {
			t.Errorf("%s ended as %+v", cut.Version, *cut.End)
		}
	}
	if len(slices.Compact(slices.Sorted(slices.Values(versions)))) != len(versions) {
		t.Errorf("a version was cut twice: %v", versions)
	}
	made, err := os.ReadFile(filepath.Join(c.Shared, "made"))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range strings.Fields(string(made)) {
		if !slices.Contains(versions, v) {
			t.Errorf("%s was made, and the journal does not know of it", v)
		}
	}
	t.Logf("%d cuts, %d kills", len(versions), kills)
}
