package pipelines_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/pipelines"
)

// waitFor waits until something is so.
func waitFor(t *testing.T, what string, so func() bool) {
	t.Helper()
	for range 6000 {
		if so() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("waited in vain for %s", what)
}

// markedProcesses lists the processes that carry a run's mark: the steps of the
// run and all that they started.
func markedProcesses(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, f := range files {
		if env, err := os.ReadFile(f); err == nil && bytes.Contains(env, []byte("SLIPWAY_STEP="+dir+"#")) {
			found = append(found, filepath.Base(filepath.Dir(f)))
		}
	}
	return found
}

// The second task tells that it runs, then waits in a grandchild: killing the
// runner must take that along too.
const killYAML = workHead + `  - name: first
    taskSpec: {results: [{name: r}], steps: [{image: ` + selfImage + `, script: "echo first >> $(workspaces.work.path)/order; printf made > $(results.r.path)"}]}
  - name: second
    taskSpec:
      steps:
      - name: direct
        image: ` + selfImage + `
        command: [slipway]
        args: [step, append, $(workspaces.work.path)/order, "second:$(tasks.first.results.r)"]
      - name: wait
        image: ` + selfImage + `
        script: |
          test -e $(workspaces.work.path)/go && exit 0
          (trap '' TERM; sleep 300; true)
  - name: beside
    runAfter: [first]
    taskSpec: {steps: [{image: ` + selfImage + `, script: "test -e $(workspaces.work.path)/go || sleep 300"}]}
  finally:
` + "  - name: last\n    taskSpec: {steps: [{image: " + selfImage + ", command: [slipway], args: [step, append, $(workspaces.work.path)/order, last]}]}\n"

func TestKilledRunGoesOn(t *testing.T) {
	if testing.Short() {
		t.Skip("kills a runner and waits for what it leaves")
	}
	work, dir := t.TempDir(), filepath.Join(t.TempDir(), "run-1")
	file := filepath.Join(t.TempDir(), "p.yaml")
	if err := os.WriteFile(file, []byte(killYAML), 0o644); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	start := func() (*exec.Cmd, *bytes.Buffer) {
		var out bytes.Buffer
		cmd := exec.Command(self, "runner", file, "p", dir, "work="+work)
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd, &out
	}
	runner, _ := start()
	waitFor(t, "the second task", func() bool {
		res, err := pipelines.ReadResult(dir)
		if err != nil {
			return false
		}
		second, _ := res.Task("second")
		return second.Status == pipelines.Running && slices.Contains(lines(t, filepath.Join(work, "order")), "second:made")
	})
	waitFor(t, "its script", func() bool {
		log, err := os.ReadFile(filepath.Join(dir, "logs/second.log"))
		return err == nil && bytes.Contains(log, []byte("--- step wait")) && len(markedProcesses(t, dir)) >= 4
	})
	if err := runner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = runner.Wait()
	if err := os.WriteFile(filepath.Join(work, "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}

	again, out := start()
	if err := again.Wait(); err != nil {
		t.Fatalf("the second start ends with %v: %s", err, out)
	}
	if left := markedProcesses(t, dir); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
	want := []string{"first", "second:made", "second:made", "last"}
	if diff := cmp.Diff(want, lines(t, filepath.Join(work, "order"))); diff != "" {
		t.Errorf("steps that ran in both starts (-want +got):\n%s", diff)
	}
	var res pipelines.Result
	if err := json.Unmarshal(out.Bytes(), &res); err != nil {
		t.Fatal(err)
	}
	if res.Status != pipelines.Succeeded || !res.Resumed {
		t.Errorf("result is %+v", res)
	}
}

func TestDeathOfTheRunnerEndsItsSteps(t *testing.T) {
	for name, stepYAML := range map[string]string{
		"slipway":     "command: [slipway], args: [step, sleep, 300s]",
		"grandchild":  `script: "sleep 300; true"`,
		"background":  `script: "sleep 300 & wait"`,
		"interpreter": `script: "#!/bin/sh -e\n(sleep 300; true)"`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "run-1")
			file := filepath.Join(t.TempDir(), "p.yaml")
			if err := os.WriteFile(file, []byte(head+"  tasks: [{name: a, taskSpec: {steps: [{image: "+selfImage+", "+stepYAML+"}]}}]\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			runner := exec.Command(self, "runner", file, "p", dir, "")
			if err := runner.Start(); err != nil {
				t.Fatal(err)
			}
			want := 2 // the interpreter and sleep
			if name == "slipway" {
				want = 1
			}
			waitFor(t, "the step", func() bool { return len(markedProcesses(t, dir)) >= want })
			if err := runner.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = runner.Wait()
			began := time.Now()
			for len(markedProcesses(t, dir)) > 0 {
				if time.Since(began) > 30*time.Second {
					t.Fatalf("processes %v outlive the runner", markedProcesses(t, dir))
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
}

func TestRunRefusesToGoOnAsAnother(t *testing.T) {
	yaml := head + "  params: [{name: a, default: x}, {name: b, default: y}]\n  tasks:\n" + inline("t", "exit, \"1\", $(params.a), $(params.b)")
	b := newBench(t, yaml)
	var err error
	p, _ := b.opts.Set.Pipeline("p")
	if b.opts.Params, err = pipelines.ParseParams(p, []string{"a=1", "b=2"}); err != nil {
		t.Fatal(err)
	}
	b.run(t)
	if b.opts.Params, err = pipelines.ParseParams(p, []string{"a=3"}); err != nil {
		t.Fatal(err)
	}
	_, err = pipelines.Run(t.Context(), b.opts)
	want := `going on with run "run-1": a run cannot go on as another one: param "a" was "1" and is now "3"
going on with run "run-1": a run cannot go on as another one: param "b" was "2" and is now not given`
	if !errors.Is(err, pipelines.ErrOtherRun) || err.Error() != want {
		t.Errorf("error is:\n%v\nwant:\n%s", err, want)
	}

	b.opts.Set = parse(t, strings.Replace(yaml, `exit, "1"`, `exit, "0"`, 1))
	if b.opts.Params, err = pipelines.ParseParams(p, []string{"a=1", "b=2"}); err != nil {
		t.Fatal(err)
	}
	_, err = pipelines.Run(t.Context(), b.opts)
	want = `going on with run "run-1": a run cannot go on as another one: pipeline "p" or one of its tasks has changed since; start a new run`
	if !errors.Is(err, pipelines.ErrOtherRun) || err.Error() != want {
		t.Errorf("error is:\n%v\nwant:\n%s", err, want)
	}

	if err := os.WriteFile(filepath.Join(b.opts.Dir, "state.json"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err = pipelines.Run(t.Context(), b.opts); err == nil || !strings.Contains(err.Error(), "delete the folder to start afresh") {
		t.Errorf("error is %v", err)
	}
}

func TestFinishedRunIsOver(t *testing.T) {
	b := newBench(t, workHead+order("a")+inline("bad", "until, $(workspaces.work.path)/been, \"1\"", "runAfter: [a]")+order("z", "runAfter: [bad]")+"  finally:\n"+order("f"))
	first := b.run(t)
	if first.Status != pipelines.Failed {
		t.Fatalf("run is %s", first.Status)
	}
	second := b.run(t)
	if second.Status != pipelines.Failed || !second.Resumed || !second.Finished.Equal(first.Finished) {
		t.Errorf("a run that failed is run again: %+v", second)
	}
	b.opts.RetryFailed = true
	third := b.run(t)
	if third.Status != pipelines.Succeeded {
		t.Errorf("run is %s: %v", third.Status, statuses(third))
	}
	want := []string{"a", "f", "z", "f"}
	if diff := cmp.Diff(want, lines(t, filepath.Join(b.work, "order"))); diff != "" {
		t.Errorf("steps of all starts (-want +got):\n%s", diff)
	}
}

func TestCancelledRunStillRunsFinallyAndGoesOn(t *testing.T) {
	b := newBench(t, workHead+order("a")+inline("slow", "until, $(workspaces.work.path)/been, \"0\"", "runAfter: [a]")+
		"  - name: wait\n    runAfter: [slow]\n    taskSpec: {steps: [{image: "+selfImage+", script: \"test -e $(workspaces.work.path)/twice || { touch $(workspaces.work.path)/twice; sleep 300; }\"}]}\n"+
		order("z", "runAfter: [wait]")+"  finally:\n"+order("f"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for {
			if _, err := os.Stat(filepath.Join(b.work, "twice")); err == nil {
				cancel()
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	res, err := pipelines.Run(ctx, b.opts)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"a": "Succeeded Succeeded", "slow": "Succeeded Succeeded", "wait": "Cancelled TaskRunCancelled",
		"z": "Skipped PipelineRun was gracefully cancelled", "f": "Succeeded Succeeded",
	}
	if diff := cmp.Diff(want, statuses(res)); diff != "" || res.Status != pipelines.Cancelled {
		t.Errorf("run is %s; tasks (-want +got):\n%s", res.Status, diff)
	}
	if res = b.run(t); res.Status != pipelines.Succeeded {
		t.Errorf("going on: run is %s: %v", res.Status, statuses(res))
	}
	if diff := cmp.Diff([]string{"a", "f", "z", "f"}, lines(t, filepath.Join(b.work, "order"))); diff != "" {
		t.Errorf("steps of both starts (-want +got):\n%s", diff)
	}
}

func TestAbortCutsFinallyShort(t *testing.T) {
	b := newBench(t, workHead+order("a")+"  finally:\n"+inline("f", "sleep, 300s"))
	abort := make(chan struct{})
	b.opts.Abort = abort
	b.opts.OnEvent = func(e pipelines.Event) {
		if e.Task.Name == "f" && e.Task.Attempts == 1 && e.Task.Status == pipelines.Running {
			select {
			case <-abort:
			default:
				close(abort)
			}
		}
	}
	began := time.Now()
	res := b.run(t)
	if f, _ := res.Task("f"); f.Status != pipelines.Cancelled || res.Status != pipelines.Cancelled {
		t.Errorf("run is %s with %+v", res.Status, f)
	}
	if took := time.Since(began); took > 2*time.Minute { // the task sleeps for five
		t.Errorf("the abort took %s", took)
	}
}

func TestStateThatCannotBeKeptStopsTheRun(t *testing.T) {
	b := newBench(t, workHead+inline("a", "say, x")+order("b", "runAfter: [a]"))
	b.opts.OnEvent = func(e pipelines.Event) {
		if e.Task.Name == "a" && e.Task.Status == pipelines.Succeeded {
			// A directory in its place: the rename of the new state must fail.
			_ = os.Remove(filepath.Join(b.opts.Dir, "state.json"))
			_ = os.MkdirAll(filepath.Join(b.opts.Dir, "state.json", "x"), 0o755)
		}
	}
	_, err := pipelines.Run(t.Context(), b.opts)
	if err == nil || !strings.HasPrefix(err.Error(), `keeping the state of run "run-1": `) {
		t.Errorf("error is %v", err)
	}
}

func TestReadResultOfNoRun(t *testing.T) {
	if _, err := pipelines.ReadResult(t.TempDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error is %v", err)
	}
}
