package cluster

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// orphanWait is how long an engine's command is waited for whose caller is gone.
const orphanWait = 30 * time.Second

// waitOrphans waits until no command goes on that starts a container of the
// cluster. When Slipway is killed, commands that kind had started live on for a
// moment, and would make a container after all had been removed.
func waitOrphans(ctx context.Context, cluster string) error {
	end := time.Now().Add(orphanWait)
	for time.Now().Before(end) {
		if !startsContainer("/proc", cluster) {
			return nil
		}
		if err := pause(ctx, pollInterval); err != nil {
			return err
		}
	}
	return nil // it hangs; what it makes is found by the next removal
}

// startsContainer says whether a process below proc runs a command of the engine
// with the label that kind gives the cluster's containers.
func startsContainer(proc, cluster string) bool {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return false
	}
	label := []byte(kindClusterLabel + "=" + cluster)
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		data, err := os.ReadFile(filepath.Join(proc, e.Name(), "cmdline"))
		if err != nil {
			continue // ended meanwhile
		}
		args := bytes.Split(data, []byte{0})
		if slices.ContainsFunc(args, func(a []byte) bool { return bytes.Equal(a, label) }) &&
			slices.ContainsFunc(args, func(a []byte) bool { return string(a) == "run" }) {
			return true
		}
	}
	return false
}
