package pipelines

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"

	"github.com/slipway-release/slipway/internal/command"
)

// outcome is what came of one attempt at a task.
type outcome struct {
	step    string // that failed
	exit    int
	err     error
	reason  v1.TaskRunReason
	results map[string]v1.ParamValue
}

// runTask runs a task with its retries and settles it.
func (r *runner) runTask(ctx context.Context, t *task, vars variables) {
	t.item.Begin()
	began := time.Now()
	log := filepath.Join("logs", t.pt.Name+".log")
	for attempt := 1; ; attempt++ {
		r.update(t, func(s *TaskResult) {
			s.Attempts, s.Log = attempt, log
			if attempt == 1 {
				s.Started = began.UTC()
			}
		})
		out := r.attempt(ctx, t, vars, attempt)
		r.update(t, func(s *TaskResult) {
			s.Step, s.ExitCode, s.Results = out.step, out.exit, out.results
			s.Seconds = float64(time.Since(began).Round(time.Millisecond)) / float64(time.Second)
		})
		if out.err == nil {
			r.endTask(t, Succeeded, v1.TaskRunReasonSuccessful.String(), summary(t, out.results))
			return
		}
		if cause := context.Cause(ctx); cause != nil {
			r.endStopped(t, cause)
			return
		}
		if attempt > t.pt.Retries || (r.opts.Retryable != nil && !r.opts.Retryable(out.exit)) {
			r.endTask(t, Failed, out.reason.String(), out.err.Error())
			return
		}
		t.item.Update(fmt.Sprintf("attempt %d of %d failed: %v", attempt, t.pt.Retries+1, out.err))
	}
}

// endStopped settles a task that ended because the run did.
func (r *runner) endStopped(t *task, cause error) {
	for _, timeout := range []error{errPipelineTimeout, errTasksTimeout, errFinallyTimeout} {
		if errors.Is(cause, timeout) {
			r.endTask(t, Failed, v1.TaskRunReasonTimedOut.String(), timeout.Error())
			return
		}
	}
	r.endTask(t, Cancelled, v1.TaskRunReasonCancelled.String(), "the run was cancelled")
}

// summary shows the results of a task that are short enough to be read.
func summary(t *task, results map[string]v1.ParamValue) string {
	var parts []string
	for _, spec := range t.spec.Results {
		v := results[spec.Name]
		if v.Type == v1.ParamTypeString && v.StringVal != "" && len(v.StringVal) <= 80 {
			parts = append(parts, spec.Name+" "+strings.TrimSpace(v.StringVal))
		}
	}
	return strings.Join(parts, ", ")
}

func (r *runner) taskDir(t *task) string { return filepath.Join(r.opts.Dir, "tasks", t.pt.Name) }

// attempt runs the steps of a task one after another and reads its results.
func (r *runner) attempt(ctx context.Context, t *task, vars variables, n int) outcome {
	timeout := defaultTaskTimeout
	if t.pt.Timeout != nil {
		timeout = t.pt.Timeout.Duration
	}
	ctx, cancel := withTimeout(ctx, timeout, errTaskTimeout)
	defer cancel()
	broken := func(err error) outcome {
		return outcome{exit: -1, reason: v1.TaskRunReasonFailed, err: fmt.Errorf("preparing task %q: %w", t.pt.Name, err)}
	}
	dir := r.taskDir(t)
	if err := freshTaskDir(dir); err != nil {
		return broken(err)
	}
	log, err := os.OpenFile(filepath.Join(r.opts.Dir, "logs", t.pt.Name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return broken(err)
	}
	defer log.Close()
	own := r.taskVariables(t, vars)
	own.strings["context.task.retry-count"] = strconv.Itoa(n - 1)
	out := outcome{}
	for i, s := range t.spec.Steps {
		env := &stepRun{runner: r, task: t, index: i, attempt: n, step: *s.DeepCopy(), vars: own, log: log}
		if err := env.run(ctx); err != nil {
			out = r.stepFailed(ctx, t, env, err, timeout)
			break
		}
	}
	results, err := readResults(dir, t.spec.Results)
	out.results = results
	if err != nil && out.err == nil {
		out.err, out.exit, out.reason = err, -1, v1.TaskRunReasonFailed
		if errors.Is(err, errResultsTooLarge) {
			out.reason = v1.TaskRunReasonResultLargerThanAllowedLimit
		}
	}
	return out
}

func (r *runner) stepFailed(ctx context.Context, t *task, s *stepRun, err error, timeout time.Duration) outcome {
	out := outcome{step: s.name(), exit: exitCode(err), reason: v1.TaskRunReasonFailed, err: err}
	switch {
	case errors.Is(context.Cause(ctx), errTaskTimeout):
		out.reason = v1.TaskRunReasonTimedOut
		out.err = fmt.Errorf("task %q did not end within %s; step %q was running", t.pt.Name, timeout, s.name())
	case errors.Is(err, errStepTimeout):
		out.reason = v1.TaskRunReasonTimedOut
		out.err = fmt.Errorf("step %q did not end within %s", s.name(), s.step.Timeout.Duration)
	case out.exit > 0:
		out.err = fmt.Errorf("step %q ended with exit code %d%s", s.name(), out.exit, lastWords(err))
	}
	return out
}

// lastWords is the error that a program printed last: the line that begins with
// "Error: ", or else the last one.
func lastWords(err error) string {
	var failed *command.Error
	if !errors.As(err, &failed) {
		return ""
	}
	last := ""
	for line := range strings.Lines(failed.Output) {
		line = strings.TrimSpace(line)
		if text, ok := strings.CutPrefix(line, "Error: "); ok {
			return ": " + text
		}
		if line != "" {
			last = ": " + line
		}
	}
	return last
}

func freshTaskDir(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	for _, sub := range []string{"results", "steps", "scripts"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// taskVariables are the params of a task and what else its steps may refer to
// wherever they run. An inline task sees the params and results of its pipeline
// too.
func (r *runner) taskVariables(t *task, vars variables) variables {
	own := newVariables()
	name := t.pt.Name
	if t.pt.TaskSpec != nil {
		own = vars.clone()
	} else {
		name = t.pt.TaskRef.Name
	}
	given := map[string]v1.ParamValue{}
	for _, p := range t.pt.Params {
		given[p.Name] = vars.apply(p.Value)
	}
	own.withParams(t.spec.Params, given)
	run := filepath.Base(r.opts.Dir)
	own.strings["context.task.name"] = name
	own.strings["context.taskRun.name"] = run + "-" + t.pt.Name
	own.strings["context.taskRun.namespace"] = "default"
	own.strings["context.taskRun.uid"] = run + "-" + t.pt.Name
	own.strings["credentials.path"] = ""
	return own
}
