// Package bench measures whole processes of the payload toolchain on a generated
// set of component images: what a user waits for and what the host must hold.
//
//	go test -run '^$' -bench . -benchtime 1x ./bench
//
// Every figure comes from a run whose results were checked. -short takes a small
// set, to see that the commands work at all. SLIPWAY_BIN names a program that is
// built already.
package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// launchKey in the environment makes this program a launcher. The kernel counts
// the memory of whoever starts a process to the process, and this one holds
// layers; so a small copy of it starts what is measured.
const launchKey = "SLIPWAY_BENCH_LAUNCH"

func TestMain(m *testing.M) {
	if report := os.Getenv(launchKey); report != "" {
		os.Exit(launch(report, os.Args[1:]))
	}
	os.Exit(m.Run())
}

// usage is what one process took.
type usage struct {
	Wall   time.Duration
	CPU    time.Duration
	MaxRSS int64 // bytes
}

// launch runs a program and writes its usage to a file.
func launch(report string, args []string) int {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, launchKey+"=") })
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	begun := time.Now()
	err := cmd.Run()
	u := usage{Wall: time.Since(begun)}
	if cmd.ProcessState == nil {
		fmt.Fprintln(os.Stderr, err)
		return 127
	}
	u.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if r, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		u.MaxRSS = r.Maxrss
		if runtime.GOOS == "linux" {
			u.MaxRSS *= 1024
		}
	}
	data, err := json.Marshal(u)
	if err == nil {
		err = os.WriteFile(report, data, 0o600)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 127
	}
	return cmd.ProcessState.ExitCode()
}

// program runs one slipway in an environment of its own.
type program struct {
	path string
	home string // no configuration of the person who runs this is read
}

func newProgram(b *testing.B) program {
	b.Helper()
	if path := os.Getenv("SLIPWAY_BIN"); path != "" {
		return program{path, b.TempDir()}
	}
	path := filepath.Join(b.TempDir(), "slipway")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", path, "../cmd/slipway")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("building slipway: %v\n%s", err, out)
	}
	return program{path, b.TempDir()}
}

// start runs the program to its end and returns what it printed.
func (p program) start(b *testing.B, args ...string) (string, usage, error) {
	b.Helper()
	report := filepath.Join(b.TempDir(), "usage")
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.CommandContext(b.Context(), self, append([]string{p.path}, args...)...)
	cmd.Dir = p.home
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.home, launchKey + "=" + report}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", usage{}, fmt.Errorf("slipway %s: %w\n%s", strings.Join(args, " "), err, errs.Bytes())
	}
	data, err := os.ReadFile(report)
	if err != nil {
		b.Fatal(err)
	}
	var u usage
	if err := json.Unmarshal(data, &u); err != nil {
		b.Fatal(err)
	}
	return out.String(), u, nil
}

// run is start for what must succeed.
func (p program) run(b *testing.B, args ...string) (string, usage) {
	b.Helper()
	out, u, err := p.start(b, args...)
	if err != nil {
		b.Fatal(err)
	}
	return out, u
}

// has skips a benchmark whose command this slipway does not have.
func (p program) has(b *testing.B, command ...string) {
	b.Helper()
	help, _ := p.run(b, append(command, "--help")...)
	if !strings.Contains(help, "slipway "+strings.Join(command, " ")) {
		b.Skipf("there is no command %q", strings.Join(command, " "))
	}
}

// measured are the runs of one command.
type measured []usage

// typical returns the medians of the times and the peak of the memory.
func (m measured) typical() usage {
	var wall, cpu []time.Duration
	var rss int64
	for _, u := range m {
		wall, cpu, rss = append(wall, u.Wall), append(cpu, u.CPU), max(rss, u.MaxRSS)
	}
	slices.Sort(wall)
	slices.Sort(cpu)
	return usage{wall[len(wall)/2], cpu[len(cpu)/2], rss}
}

// report writes what is typical, and the time as a multiple of a yardstick that
// the same benchmark measured. Peak memory counts those pages of the program's
// file that the system keeps at hand, by turns 60 to 90 MB; what a command needs
// of its own is what it has more than a slipway that does nothing.
func (m measured) report(b *testing.B, idle usage, yardstick time.Duration, unit string) {
	b.Helper()
	u := m.typical()
	b.ReportMetric(0, "ns/op") // it counts the checks as well
	b.ReportMetric(u.Wall.Seconds(), "wall-s")
	b.ReportMetric(u.CPU.Seconds(), "cpu-s")
	b.ReportMetric(float64(u.MaxRSS)/(1<<20), "peak-MB")
	b.ReportMetric(float64(u.MaxRSS-idle.MaxRSS)/(1<<20), "own-MB")
	if yardstick > 0 {
		b.ReportMetric(float64(u.Wall)/float64(yardstick), "x-"+unit)
	}
}
