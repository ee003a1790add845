package engine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/slipway-release/slipway/internal/command"
)

// capSysResource is the number of CAP_SYS_RESOURCE in a capability mask.
const capSysResource = 24

// Host is what a container engine's settings depend on.
type Host struct {
	// CgroupV2 says that /sys/fs/cgroup is the unified hierarchy. Hybrid hosts count as v1.
	CgroupV2 bool
	// SysResource says that this process may raise limits (CAP_SYS_RESOURCE).
	SysResource bool
	// OpenFiles and Processes are the most that a container can be given; 0 means no limit.
	OpenFiles, Processes uint64
	// Runc says that runc is installed.
	Runc bool
	// Root says that this process runs as root.
	Root bool
}

// InspectHost looks at the host this process runs on.
func InspectHost() (Host, error) {
	h := Host{Root: os.Geteuid() == 0}
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		h.CgroupV2 = true
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return h, fmt.Errorf("reading this process's capabilities: %w", err)
	}
	h.SysResource = hasCapability(string(status), capSysResource)
	if h.OpenFiles, err = hardLimit(unix.RLIMIT_NOFILE); err != nil {
		return h, err
	}
	if h.Processes, err = hardLimit(unix.RLIMIT_NPROC); err != nil {
		return h, err
	}
	// Podman lowers its own limit of processes to the number of process IDs.
	if pids := readNumber("/proc/sys/kernel/pid_max"); pids > 0 && (h.Processes == 0 || pids < h.Processes) {
		h.Processes = pids
	}
	_, err = command.Find("runc")
	h.Runc = err == nil
	return h, nil
}

// readNumber returns the number in a file, or 0.
func readNumber(path string) uint64 {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// hasCapability reads the effective set in the content of /proc/<pid>/status.
func hasCapability(status string, number uint) bool {
	for line := range strings.Lines(status) {
		if value, found := strings.CutPrefix(line, "CapEff:"); found {
			mask, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
			return err == nil && mask&(1<<number) != 0
		}
	}
	return false
}

func hardLimit(resource int) (uint64, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(resource, &limit); err != nil {
		return 0, fmt.Errorf("reading this process's limits: %w", err)
	}
	if limit.Max == unix.RLIM_INFINITY {
		return 0, nil
	}
	return limit.Max, nil
}

// prepare makes what node containers take for granted: a folder to mount as
// /lib/modules, and on cgroup v1 a hierarchy for systemd. Only root can, and
// only root's engine needs it.
func (h Host) prepare(ctx context.Context) error {
	if !h.Root {
		return nil
	}
	if err := os.MkdirAll("/lib/modules", 0o755); err != nil {
		return fmt.Errorf("making the folder that nodes mount: %w", err)
	}
	if err := raise("/proc/sys/fs/inotify/max_user_instances", inotifyInstances); err != nil {
		return err
	}
	if h.CgroupV2 {
		return nil
	}
	const hierarchy = "/sys/fs/cgroup/systemd"
	if entries, err := os.ReadDir(hierarchy); err == nil && len(entries) > 0 {
		return nil
	}
	if _, err := os.Stat(filepath.Dir(hierarchy)); err != nil {
		return fmt.Errorf("looking for control groups: %w", err)
	}
	if err := os.MkdirAll(hierarchy, 0o755); err != nil {
		return fmt.Errorf("making the control group hierarchy of systemd: %w", err)
	}
	err := command.Run(ctx, command.Cmd{Path: "mount", Args: []string{"-t", "cgroup", "-o", "none,name=systemd", "cgroup", hierarchy}})
	if err != nil {
		return fmt.Errorf("mounting the control group hierarchy of systemd: %w", err)
	}
	return nil
}

// inotifyInstances is room for some twenty nodes. Each systemd, kubelet and
// containerd takes several, all of them count for one user, and a node that gets
// none ends without a word.
const inotifyInstances = 1024

// raise sets a kernel setting that is lower than want. A host that does not let
// it is left as it is: it may be enough for what is asked of it.
func raise(path string, want int) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	have, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return fmt.Errorf("reading kernel setting %q: %w", path, err)
	}
	if have < want {
		_ = os.WriteFile(path, []byte(strconv.Itoa(want)), 0o644)
	}
	return nil
}
