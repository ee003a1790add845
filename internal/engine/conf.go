package engine

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/slipway-release/slipway/internal/state"
)

// writeConf writes Podman's settings into the state directory and makes every
// command of this engine read them. The host's own files stay untouched.
func (e *Engine) writeConf() error {
	path := filepath.Join(e.stateDir, "engine", "containers.conf")
	abs, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	if err := state.WriteFile(abs, []byte(containersConf(e.host)), 0o644); err != nil {
		return fmt.Errorf("writing the engine's settings: %w", err)
	}
	name := "CONTAINERS_CONF"
	if atLeast(e.version, 4, 6) {
		// Read on top of the host's own settings instead of in their place.
		name = "CONTAINERS_CONF_OVERRIDE"
	}
	e.env = []string{name + "=" + abs}
	return nil
}

// containersConf is the content of a containers.conf(5) under which a node
// container starts on the host.
func containersConf(h Host) string {
	var b strings.Builder
	b.WriteString("[containers]\n")
	// A node takes nothing from the network, and a proxy that only the host reaches breaks calls inside the cluster.
	b.WriteString("http_proxy = false\n")
	// A node holds hundreds of pods' processes.
	b.WriteString("pids_limit = 0\n")
	if !h.SysResource {
		// Podman asks for a million open files, which a process that may not raise its own limits cannot give.
		var limits []string
		for _, l := range []struct {
			name  string
			limit uint64
		}{{"nofile", h.OpenFiles}, {"nproc", h.Processes}} {
			if l.limit > 0 {
				limits = append(limits, fmt.Sprintf("%q", fmt.Sprintf("%s=%d:%d", l.name, l.limit, l.limit)))
			}
		}
		if len(limits) > 0 {
			fmt.Fprintf(&b, "default_ulimits = [%s]\n", strings.Join(limits, ", "))
		}
	}
	if !h.CgroupV2 && h.Runc {
		// crun refuses hosts where cgroup v1 and v2 are mounted side by side.
		b.WriteString("\n[engine]\nruntime = \"runc\"\n")
	}
	return b.String()
}

// atLeast compares the first two numbers of a version.
func atLeast(version string, major, minor int) bool {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return false
	}
	gotMajor, err1 := strconv.Atoi(parts[0])
	gotMinor, err2 := strconv.Atoi(parts[1])
	if err1 != nil || err2 != nil {
		return false
	}
	return gotMajor > major || gotMajor == major && gotMinor >= minor
}
