package pipelines_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/slipway-release/slipway/pipelines"
)

// selfImage is the image that stands for this test binary.
const selfImage = "slipway.test/self"

// TestMain makes the test binary the slipway program of the pipelines that the
// tests run: `slipway step …` in a task is a process of this binary.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 {
		switch os.Args[1] {
		case "step":
			os.Exit(step(os.Args[2], os.Args[3:]))
		case "runner":
			os.Exit(runnerProcess(os.Args[2:]))
		case "nightly":
			os.Exit(fakeSlipway(os.Args[2:]))
		}
	}
	os.Exit(m.Run())
}

// step is what tasks of the tests do.
func step(name string, args []string) int {
	switch name {
	case "write": // FILE TEXT
		if err := os.WriteFile(args[0], []byte(args[1]), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 3
		}
	case "append": // FILE TEXT: one line, to see what ran and in which order
		f, err := os.OpenFile(args[0], os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 3
		}
		defer f.Close()
		fmt.Fprintln(f, strings.Join(args[1:], " "))
	case "say":
		fmt.Fprintln(os.Stderr, strings.Join(args, " "))
	case "exit": // CODE [WORDS]
		if len(args) > 1 {
			fmt.Fprintln(os.Stderr, "Error: "+strings.Join(args[1:], " "))
		}
		code, _ := strconv.Atoi(args[0])
		return code
	case "sleep": // DURATION
		d, _ := time.ParseDuration(args[0])
		time.Sleep(d)
	case "meet": // DIR NAME OTHER: ends when another step has come too
		_ = os.WriteFile(filepath.Join(args[0], args[1]), nil, 0o644)
		for range 6000 {
			if _, err := os.Stat(filepath.Join(args[0], args[2])); err == nil {
				return 0
			}
			time.Sleep(10 * time.Millisecond)
		}
		return 1
	case "until": // FILE: fails until it is there, and makes it
		if _, err := os.Stat(args[0]); err == nil {
			return 0
		}
		_ = os.WriteFile(args[0], nil, 0o644)
		code, _ := strconv.Atoi(args[1])
		return code
	case "env":
		fmt.Fprintln(os.Stderr, os.Getenv(args[0]))
	}
	return 0
}

// runnerProcess is a slipway that runs a pipeline and can be killed:
// FILE PIPELINE DIR [WORKSPACE=DIR] [NAME=VALUE…].
func runnerProcess(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	set, problems := pipelines.Load(ctx, args[0])
	if err := problems.Err(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	p, err := set.Pipeline(args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	self, _ := os.Executable()
	opts := pipelines.RunOptions{
		Set: set, Pipeline: args[1], Dir: args[2], Self: self, SelfImages: []string{selfImage},
		Env: []string{"PATH=" + os.Getenv("PATH")},
	}
	if name, dir, ok := strings.Cut(args[3], "="); ok {
		opts.Workspaces = map[string]string{name: dir}
	}
	if opts.Params, err = pipelines.ParseParams(p, args[4:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	res, err := pipelines.Run(ctx, opts)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 3
	}
	_ = json.NewEncoder(os.Stdout).Encode(res)
	if res.Status != pipelines.Succeeded {
		return 1
	}
	return 0
}

// lines reads a file of one entry per line; a missing file is empty.
func lines(t *testing.T, path string) []string {
	t.Helper()
	data, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(data))
}

// parse loads YAML, which must be right.
func parse(t *testing.T, yaml string) *pipelines.Set {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pipeline.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o644); err != nil {
		t.Fatal(err)
	}
	set, problems := pipelines.Load(t.Context(), file)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return set
}

// bench is a place to run the pipeline "p" of some YAML, whose workspace
// "work", when it has one, is a directory of the test.
type bench struct {
	opts pipelines.RunOptions
	work string
}

func newBench(t *testing.T, yaml string) *bench {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{work: t.TempDir()}
	b.opts = pipelines.RunOptions{
		Set: parse(t, yaml), Pipeline: "p", Dir: filepath.Join(t.TempDir(), "run-1"), Self: self, SelfImages: []string{selfImage},
		Env: []string{"PATH=" + os.Getenv("PATH")},
	}
	if strings.Contains(yaml, "workspaces:") {
		b.opts.Workspaces = map[string]string{"work": b.work}
	}
	return b
}

func (b *bench) run(t *testing.T) *pipelines.Result {
	t.Helper()
	res, err := pipelines.Run(t.Context(), b.opts)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// statuses is what a test says about tasks: "Status Reason" by name.
func statuses(res *pipelines.Result) map[string]string {
	out := map[string]string{}
	for _, t := range res.Tasks {
		out[t.Name] = string(t.Status) + " " + t.Reason
	}
	return out
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
