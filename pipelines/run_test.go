package pipelines_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"

	"github.com/slipway-release/slipway/pipelines"
)

// inline is a pipeline task with one step of this binary.
func inline(name, args string, more ...string) string {
	out := "  - name: " + name + "\n"
	for _, m := range more {
		out += "    " + m + "\n"
	}
	return out + "    taskSpec: {steps: [{name: do, image: " + selfImage + ", command: [slipway], args: [step, " + args + "]}]}\n"
}

const workHead = head + "  workspaces: [{name: work}]\n  tasks:\n"

func order(name string, more ...string) string {
	return inline(name, "append, $(workspaces.work.path)/order, "+name, more...)
}

func TestRunKeepsOrder(t *testing.T) {
	b := newBench(t, workHead+order("d", "runAfter: [b, c]")+order("b", "runAfter: [a]")+order("c", "runAfter: [a]")+order("a"))
	res := b.run(t)
	if res.Status != pipelines.Succeeded || res.Reason != "Succeeded" {
		t.Errorf("run is %s %s", res.Status, res.Reason)
	}
	got := lines(t, filepath.Join(b.work, "order"))
	if len(got) != 4 || got[0] != "a" || got[3] != "d" {
		t.Errorf("order is %v", got)
	}
	for _, task := range res.Tasks {
		if task.Attempts != 1 || task.Seconds <= 0 || task.Started.IsZero() || task.Finished.Before(task.Started) {
			t.Errorf("task %+v lacks figures", task)
		}
	}
}

func TestRunSideBySideWithinJobs(t *testing.T) {
	// Each of the two waits for the other: they end only side by side.
	meet := workHead + inline("a", "meet, $(workspaces.work.path), a, b") + inline("b", "meet, $(workspaces.work.path), b, a")
	if res := newBench(t, meet).run(t); res.Status != pipelines.Succeeded {
		t.Errorf("run is %s: %v", res.Status, statuses(res))
	}

	yaml := workHead
	for i := range 6 {
		yaml += inline(fmt.Sprintf("t%d", i), "sleep, 60ms")
	}
	b := newBench(t, yaml)
	b.opts.Jobs = 2
	var mu sync.Mutex
	running, most := map[string]bool{}, 0
	b.opts.OnEvent = func(e pipelines.Event) {
		mu.Lock()
		defer mu.Unlock()
		running[e.Task.Name] = e.Task.Status == pipelines.Running
		n := 0
		for _, r := range running {
			if r {
				n++
			}
		}
		most = max(most, n)
	}
	if res := b.run(t); res.Status != pipelines.Succeeded || most != 2 {
		t.Errorf("run is %s with %d tasks at a time, want 2", res.Status, most)
	}
}

const valuesYAML = head + `  params:
  - {name: word, default: $(params.greeting) all}
  - {name: greeting, default: hello}
  - {name: list, type: array, default: [x, y z]}
  - {name: pair, type: object, properties: {a: {}, b: {}}, default: {a: "1", b: "2"}}
  workspaces: [{name: work}, {name: spare, optional: true}]
  results:
  - {name: out, value: "$(tasks.make.results.word) and $(tasks.make.results.words[1])"}
  - {name: all, value: "$(tasks.make.results.words[*])"}
  tasks:
  - name: use
    taskRef: {name: show}
    params:
    - {name: args, value: "$(tasks.make.results.words[*])"}
    - {name: key, value: $(tasks.make.results.object.k)}
    - {name: who, value: $(context.pipeline.name) $(context.pipelineRun.name)}
    workspaces: [{name: in, workspace: work, subPath: "sub/$(params.greeting)"}]
  - name: make
    params: [{name: pair, value: {a: given}}]
    taskSpec:
      params: [{name: pair, type: object, properties: {a: {}, b: {}}, default: {a: "1", b: two}}]
      results: [{name: word}, {name: words, type: array}, {name: object, type: object, properties: {k: {}}}]
      steps:
      - image: ` + selfImage + `:latest
        script: |
          printf '%s' '$(params.word) $(params.pair.a) $(params.pair.b)' > $(results.word.path)
          printf '["one", "two $(params["list"][1])"]' > $(results.words.path)
          printf '{"k": "v"}' > $(results.object.path)
---
apiVersion: tekton.dev/v1
kind: Task
metadata: {name: show}
spec:
  params: [{name: args, type: array}, {name: key}, {name: who}]
  workspaces: [{name: in}, {name: none, optional: true}]
  stepTemplate:
    image: ` + selfImage + `@sha256:00
    env: [{name: KEY, value: $(params.key)}]
  steps:
  - name: first
    script: |
      #!/bin/sh -e
      for a in "$@"; do echo "<$a>"; done > $(workspaces.in.path)/args
      echo "$KEY bound=$(workspaces.none.bound) path=[$(workspaces.none.path)]" >> $(workspaces.in.path)/args
      echo "$(params.who) $(context.task.name) $(context.taskRun.name)" >> $(workspaces.in.path)/args
      command -v slipway >> $(workspaces.in.path)/args
      exit 7
    args: ["$(params.args[*])", last]
    onError: continue
  - name: second
    command: [slipway]
    args: [step, append, $(workspaces.in.path)/args, done]
    when: [{input: $(params.key), operator: in, values: [v]}]
  - name: third
    command: [slipway]
    args: [step, exit, "1"]
    when: [{input: $(params.key), operator: notin, values: [v]}]
  - name: fourth
    command: [cp, $(steps.step-first.exitCode.path), code]
    workingDir: $(workspaces.in.path)
`

func TestRunValues(t *testing.T) {
	b := newBench(t, valuesYAML)
	res := b.run(t)
	if res.Status != pipelines.Succeeded {
		t.Fatalf("run is %s: %v\n%s", res.Status, statuses(res), readFile(t, filepath.Join(b.opts.Dir, "logs/use.log")))
	}
	want := map[string]v1.ParamValue{
		"out": {Type: "string", StringVal: "hello all given two and two y z"},
		"all": {Type: "array", ArrayVal: []string{"one", "two y z"}},
	}
	if diff := cmp.Diff(want, res.Results); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	wantArgs := strings.Join([]string{"<one>", "<two y z>", "<last>", "v bound=false path=[]", "p run-1 show run-1-use", filepath.Join(b.opts.Dir, "bin/slipway"), "done", ""}, "\n")
	if got := readFile(t, filepath.Join(b.work, "sub/hello/args")); got != wantArgs {
		t.Errorf("args are:\n%swant:\n%s", got, wantArgs)
	}
	if got := readFile(t, filepath.Join(b.work, "sub/hello/code")); got != "7" {
		t.Errorf("exit code file holds %q, want 7", got)
	}
	if _, err := os.Stat(filepath.Join(b.opts.Dir, "state.json")); err != nil {
		t.Error(err)
	}
}

func TestRunWhenSkips(t *testing.T) {
	result := func(name, more string) string {
		return "  - name: " + name + "\n    " + more + "\n    taskSpec: {results: [{name: r}], steps: [{image: " + selfImage + ", command: [slipway], args: [step, write, $(results.r.path), x]}]}\n"
	}
	never := "when: [{input: a, operator: in, values: [b]}]"
	//	skipped ─(runs after)─► ordered
	//	   └──(uses result)──► resource ─(runs after)─► below
	//	written ─(when its result is x)─► chosen; (is not x)─► unchosen
	b := newBench(t, workHead+result("skipped", never)+
		order("ordered", "runAfter: [skipped]")+
		inline("resource", "say, $(tasks.skipped.results.r)")+
		order("below", "runAfter: [resource]")+
		result("written", "retries: 0")+
		order("chosen", "when: [{input: $(tasks.written.results.r), operator: in, values: [w, x]}]")+
		order("unchosen", "when: [{input: $(tasks.written.results.r), operator: notin, values: [x]}]"))
	res := b.run(t)
	want := map[string]string{
		"skipped": "Skipped When Expressions evaluated to false", "ordered": "Succeeded Succeeded",
		"resource": "Skipped Results were missing", "below": "Skipped Parent Tasks were skipped",
		"written": "Succeeded Succeeded", "chosen": "Succeeded Succeeded", "unchosen": "Skipped When Expressions evaluated to false",
	}
	if diff := cmp.Diff(want, statuses(res)); diff != "" {
		t.Errorf("tasks (-want +got):\n%s", diff)
	}
	if res.Status != pipelines.Succeeded || res.Reason != "Completed" {
		t.Errorf("run is %s %s, want Succeeded Completed", res.Status, res.Reason)
	}
	got := lines(t, filepath.Join(b.work, "order"))
	slices.Sort(got)
	if diff := cmp.Diff([]string{"chosen", "ordered"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestRunRetries(t *testing.T) {
	yaml := workHead + inline("flaky", "until, $(workspaces.work.path)/been, \"3\"", "retries: 2")
	b := newBench(t, yaml)
	res := b.run(t)
	task, _ := res.Task("flaky")
	if task.Status != pipelines.Succeeded || task.Attempts != 2 || task.ExitCode != 0 {
		t.Errorf("task is %+v, want it to succeed at the second attempt", task)
	}
	if log := readFile(t, filepath.Join(b.opts.Dir, task.Log)); strings.Count(log, "--- step do, attempt") != 2 {
		t.Errorf("log lacks the attempts:\n%s", log)
	}

	for code, attempts := range map[string]int{"1": 1, "3": 3} {
		b := newBench(t, workHead+inline("t", "exit, \""+code+"\", no such host", "retries: 2"))
		b.opts.Retryable = func(exit int) bool { return exit == 3 }
		res := b.run(t)
		task, _ := res.Task("t")
		if task.Attempts != attempts || fmt.Sprint(task.ExitCode) != code || task.Status != pipelines.Failed || task.Step != "do" {
			t.Errorf("exit code %s: task is %+v, want %d attempts", code, task, attempts)
		}
		if want := `step "do" ended with exit code ` + code + ": no such host"; task.Message != want {
			t.Errorf("message is %q, want %q", task.Message, want)
		}
	}
}

func TestRunFailureStopsAndFinallyRuns(t *testing.T) {
	final := func(name, args string) string {
		return "  - name: " + name + "\n    params: [{name: s, value: \"" + args + "\"}]\n    taskSpec: {params: [{name: s}], steps: [{image: " + selfImage + ", command: [slipway], args: [step, write, $(workspaces.work.path)/" + name + ", $(params.s)]}]}\n"
	}
	tail := "  finally:\n" + final("f", "$(tasks.status) $(tasks.bad.status)/$(tasks.bad.reason) $(tasks.after.status)/$(tasks.after.reason) $(tasks.ok.status)")
	for _, tc := range []struct {
		name, onError string
		tasks         map[string]string
		status        pipelines.Status
		final         string
	}{
		{
			name: "stops", onError: "retries: 0",
			tasks: map[string]string{
				"bad": "Failed Failed", "slow": "Succeeded Succeeded", "after": "Skipped PipelineRun was stopping",
				"ok": "Succeeded Succeeded", "f": "Succeeded Succeeded",
			},
			status: pipelines.Failed, final: "Failed Failed/Failed None/ Succeeded",
		},
		{
			name: "may fail", onError: "onError: continue",
			tasks: map[string]string{
				"bad": "Failed FailureIgnored", "slow": "Succeeded Succeeded", "after": "Succeeded Succeeded",
				"ok": "Succeeded Succeeded", "f": "Succeeded Succeeded",
			},
			status: pipelines.Succeeded, final: "Failed Failed/FailureIgnored Succeeded/Succeeded Succeeded",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, workHead+order("ok")+inline("bad", "exit, \"1\"", "runAfter: [ok]", tc.onError)+inline("slow", "sleep, 200ms", "runAfter: [ok]")+
				order("after", "runAfter: [bad]")+tail)
			res := b.run(t)
			if diff := cmp.Diff(tc.tasks, statuses(res)); diff != "" {
				t.Errorf("tasks (-want +got):\n%s", diff)
			}
			if res.Status != tc.status {
				t.Errorf("run is %s, want %s", res.Status, tc.status)
			}
			if got := readFile(t, filepath.Join(b.work, "f")); got != tc.final {
				t.Errorf("finally saw %q, want %q", got, tc.final)
			}
			first, failed := res.FirstFailure()
			if failed != (tc.status == pipelines.Failed) || (failed && first.Name != "bad") {
				t.Errorf("first failure is %+v, %v", first, failed)
			}
		})
	}
}

func TestRunFinallySkipsOnMissingResultAndFailsTheRun(t *testing.T) {
	b := newBench(t, workHead+
		"  - name: t\n    taskSpec: {results: [{name: r}], steps: [{image: "+selfImage+", command: [slipway], args: [step, say, $(results.r.path)]}]}\n"+
		inline("user", "say, $(tasks.t.results.r)")+
		"  finally:\n"+inline("needs", "say, $(tasks.t.results.r)")+
		order("only", "when: [{input: $(tasks.status), operator: in, values: [Failed]}]")+
		inline("broken", "exit, \"3\""))
	res := b.run(t)
	want := map[string]string{
		"t": "Succeeded Succeeded", "user": "Failed InvalidTaskResultReference", "needs": "Skipped Results were missing",
		"only": "Succeeded Succeeded", "broken": "Failed Failed",
	}
	if diff := cmp.Diff(want, statuses(res)); diff != "" {
		t.Errorf("tasks (-want +got):\n%s", diff)
	}
	user, _ := res.Task("user")
	if want := `task "t" has not written result "r", which this task uses`; user.Message != want {
		t.Errorf("message is %q, want %q", user.Message, want)
	}
}

func TestRunTimeouts(t *testing.T) {
	const limit = 5 * time.Second // enough for a process to start on a busy host
	t.Run("task", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, workHead+inline("slow", "sleep, 1m", "timeout: "+limit.String())+"  finally:\n"+order("f"))
		res := b.run(t)
		task, _ := res.Task("slow")
		if task.Status != pipelines.Failed || task.Reason != "TaskRunTimeout" || task.Message != `task "slow" did not end within `+limit.String()+`; step "do" was running` {
			t.Errorf("task is %+v", task)
		}
		if got := lines(t, filepath.Join(b.work, "order")); len(got) != 1 {
			t.Errorf("finally ran %v", got)
		}
	})
	t.Run("step", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, workHead+"  - name: slow\n    taskSpec: {steps: [{name: do, timeout: "+limit.String()+", image: "+selfImage+", command: [sleep], args: [\"60\"]}]}\n")
		task, _ := b.run(t).Task("slow")
		if task.Reason != "TaskRunTimeout" || task.Message != `step "do" did not end within `+limit.String() {
			t.Errorf("task is %+v", task)
		}
	})
	t.Run("tasks", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, workHead+inline("slow", "sleep, 1m")+order("after", "runAfter: [slow]")+"  finally:\n"+order("f"))
		b.opts.Timeouts.Tasks = limit
		res := b.run(t)
		want := map[string]string{"slow": "Failed TaskRunTimeout", "after": "Skipped PipelineRun Tasks timeout has been reached", "f": "Succeeded Succeeded"}
		if diff := cmp.Diff(want, statuses(res)); diff != "" || res.Status != pipelines.Failed || res.Reason != "PipelineRunTimeout" {
			t.Errorf("run is %s %s; tasks (-want +got):\n%s", res.Status, res.Reason, diff)
		}
	})
	t.Run("pipeline", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, workHead+inline("slow", "sleep, 1m")+"  finally:\n"+order("f"))
		b.opts.Timeouts.Pipeline = limit
		res := b.run(t)
		want := map[string]string{"slow": "Failed TaskRunTimeout", "f": "Skipped PipelineRun timeout has been reached"}
		if diff := cmp.Diff(want, statuses(res)); diff != "" || res.Reason != "PipelineRunTimeout" {
			t.Errorf("run is %s %s; tasks (-want +got):\n%s", res.Status, res.Reason, diff)
		}
	})
	t.Run("finally", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, workHead+order("a")+"  finally:\n"+inline("f", "sleep, 1m"))
		b.opts.Timeouts.Finally = limit
		res := b.run(t)
		want := map[string]string{"a": "Succeeded Succeeded", "f": "Failed TaskRunTimeout"}
		if diff := cmp.Diff(want, statuses(res)); diff != "" || res.Reason != "PipelineRunTimeout" {
			t.Errorf("run is %s %s; tasks (-want +got):\n%s", res.Status, res.Reason, diff)
		}
	})
	t.Run("parts longer than the whole", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, workHead+order("a"))
		b.opts.Timeouts = pipelines.Timeouts{Pipeline: time.Hour, Tasks: time.Hour, Finally: time.Minute}
		_, err := pipelines.Run(t.Context(), b.opts)
		if want := `starting pipeline "p": the timeouts of tasks and finally make 1h1m0s together, more than the 1h0m0s of the whole`; err == nil || err.Error() != want {
			t.Errorf("error is %v, want %s", err, want)
		}
	})
}

func TestRunResultsTooLarge(t *testing.T) {
	b := newBench(t, workHead+"  - name: t\n    taskSpec: {results: [{name: small}, {name: big}], steps: [{image: "+selfImage+", script: \"printf x > $(results.small.path); head -c 4096 /dev/zero > $(results.big.path)\"}]}\n")
	task, _ := b.run(t).Task("t")
	want := `reading results: results are too large: 4097 bytes together, and Tekton carries 4096; the largest is "big" with 4096 bytes: write it to a workspace and hand on its digest or file name`
	if task.Message != want || task.Reason != "TaskRunResultLargerThanAllowedLimit" {
		t.Errorf("task is %+v, want message %q", task, want)
	}
	b = newBench(t, workHead+"  - name: t\n    taskSpec: {results: [{name: big}], steps: [{image: "+selfImage+", script: \"head -c 4096 /dev/zero > $(results.big.path)\"}]}\n")
	if task, _ = b.run(t).Task("t"); task.Status != pipelines.Succeeded {
		t.Errorf("task is %+v, want 4096 bytes to be allowed", task)
	}
	b = newBench(t, workHead+"  - name: t\n    taskSpec: {results: [{name: a, type: array}], steps: [{image: "+selfImage+", script: \"printf word > $(results.a.path)\"}]}\n")
	if task, _ = b.run(t).Task("t"); !strings.HasPrefix(task.Message, `reading result "a": an array must be written as a JSON list of strings`) {
		t.Errorf("message is %q", task.Message)
	}
}

func TestRunRefusesBeforeItStarts(t *testing.T) {
	yaml := head + "  params: [{name: must}, {name: list, type: array, default: []}]\n  workspaces: [{name: work}]\n  tasks:\n" +
		inline("a", "say, $(params.must), \"$(params.list[*])\", $(workspaces.work.path)")
	b := newBench(t, yaml)
	b.opts.Workspaces = map[string]string{"other": t.TempDir()}
	b.opts.Params = map[string]v1.ParamValue{"list": {Type: "string", StringVal: "x"}, "nope": {Type: "string"}}
	_, err := pipelines.Run(t.Context(), b.opts)
	want := `giving param "list" to pipeline "p": it must be of type array, not string
giving param "nope" to pipeline "p": it declares only "must", "list"
starting pipeline "p": param "must" is required
starting pipeline "p": workspace "work" is required; bind it to a directory
binding workspace "other": pipeline "p" declares only "work"`
	if err == nil || err.Error() != want {
		t.Errorf("error is:\n%v\nwant:\n%s", err, want)
	}

	b = newBench(t, workHead+"  - name: a\n    taskSpec: {steps: [{name: s, image: example.com/other}]}\n")
	_, err = pipelines.Run(t.Context(), b.opts)
	if want := `starting pipeline "p": step "s" of task "a" needs a container engine for image "example.com/other"`; err == nil || err.Error() != want {
		t.Errorf("error is %v, want %s", err, want)
	}
}

func TestParseParams(t *testing.T) {
	set := parse(t, head+"  params: [{name: s}, {name: a, type: array}, {name: o, type: object, properties: {k: {}}}]\n  tasks: [{name: t, params: [{name: s, value: $(params.s)}, {name: a, value: \"$(params.a[*])\"}, {name: k, value: $(params.o.k)}], taskSpec: {params: [{name: s}, {name: a, type: array}, {name: k}], steps: [{image: i, args: [$(params.s), \"$(params.a[*])\", $(params.k)]}]}}]\n")
	p, err := set.Pipeline("p")
	if err != nil {
		t.Fatal(err)
	}
	got, err := pipelines.ParseParams(p, []string{"s=a=b", "a=x", `a=["y","z"]`, `o={"k":"v"}`})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]v1.ParamValue{
		"s": {Type: "string", StringVal: "a=b"}, "a": {Type: "array", ArrayVal: []string{"x", "y", "z"}}, "o": {Type: "object", ObjectVal: map[string]string{"k": "v"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	_, err = pipelines.ParseParams(p, []string{"x=1", "s", "o=v"})
	wantErr := `reading param "x=1": it must be NAME=VALUE with a NAME of "s", "a", "o"
reading param "s": it must be NAME=VALUE with a NAME of "s", "a", "o"
reading param "o": an object must be a JSON object of strings: invalid character 'v' looking for beginning of value`
	if err == nil || err.Error() != wantErr {
		t.Errorf("error is:\n%v\nwant:\n%s", err, wantErr)
	}
}

// fakeEngine records containers and acts for one of them.
type fakeEngine struct {
	mu  sync.Mutex
	got []pipelines.Container
}

type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit %d", int(e)) }
func (e exitError) ExitCode() int { return int(e) }

func (e *fakeEngine) RunContainer(_ context.Context, c pipelines.Container) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.got = append(e.got, c)
	fmt.Fprintln(c.Stdout, "hello from", c.Image)
	for _, m := range c.Mounts {
		if m.Target == "/tekton/results" {
			return errors.Join(os.WriteFile(filepath.Join(m.Source, "r"), []byte("made"), 0o644), exitError(5))
		}
	}
	return exitError(9)
}

func TestRunOtherImagesInTheEngine(t *testing.T) {
	b := newBench(t, workHead+`  - name: a
    taskRef: {name: t}
    workspaces: [{name: in, workspace: work, subPath: x}]
---
apiVersion: tekton.dev/v1
kind: Task
metadata: {name: t}
spec:
  workspaces: [{name: in, readOnly: true}]
  results: [{name: r}]
  steps:
  - name: s
    image: example.com/tool:1
    imagePullPolicy: Never
    securityContext: {privileged: true}
    env: [{name: A, value: $(workspaces.in.path)}]
    workingDir: /w
    script: echo $(results.r.path)
    args: [x]
    onError: continue
`)
	engine := &fakeEngine{}
	b.opts.Engine = engine
	res := b.run(t)
	task, _ := res.Task("a")
	if task.Status != pipelines.Succeeded || task.Results["r"].StringVal != "made" {
		t.Fatalf("task is %+v", task)
	}
	dir := filepath.Join(b.opts.Dir, "tasks/a")
	c := engine.got[0]
	c.Stdout, c.Stderr = nil, nil
	want := pipelines.Container{
		Name: "run-1-a-s", Image: "example.com/tool:1", Command: []string{"/tekton/scripts/script-0"}, Args: []string{"x"}, Env: []string{"A=/workspace/in"},
		WorkDir: "/w", Privileged: true, PullPolicy: "Never",
		Mounts: []pipelines.Mount{
			{Source: dir + "/results", Target: "/tekton/results"}, {Source: dir + "/steps", Target: "/tekton/steps"},
			{Source: dir + "/scripts", Target: "/tekton/scripts", ReadOnly: true}, {Source: b.work + "/x", Target: "/workspace/in", ReadOnly: true},
		},
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("container (-want +got):\n%s", diff)
	}
	if got := readFile(t, dir+"/scripts/script-0"); got != "#!/bin/sh\nset -e\necho /tekton/results/r" {
		t.Errorf("script is %q", got)
	}
	if got := readFile(t, filepath.Join(b.opts.Dir, task.Log)); !strings.Contains(got, "hello from example.com/tool:1") {
		t.Errorf("log is %q", got)
	}
}
