package pipelines

import (
	"context"
	"time"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"

	"github.com/slipway-release/slipway/internal/progress"
)

// RunOptions say what to run and how. Set, Pipeline, Dir and Self are required.
type RunOptions struct {
	Set      *Set
	Pipeline string
	// PipelineRun names a PipelineRun of the set whose params, timeouts and
	// workspaces hold where these options give none.
	PipelineRun string
	Params      map[string]v1.ParamValue
	// Workspaces binds workspaces of the pipeline to directories of the host,
	// which are made where they are missing.
	Workspaces map[string]string

	// Dir is the run's folder; its base name is the name of the run. When it
	// holds the state of a run, that run goes on.
	Dir string
	// Self is the path of the slipway program, and SelfImages are the images
	// it stands for, with or without tag and digest.
	Self       string
	SelfImages []string
	// Engine runs the steps of all other images; without one they are refused.
	Engine Engine

	// Jobs is how many tasks run at a time; 0 means 4.
	Jobs     int
	Timeouts Timeouts
	// Env is added to the environment of every step, as NAME=VALUE. Give PATH
	// for scripts to find `slipway`: the run's bin directory is put before it.
	Env []string
	// WorkDir is where steps without a workingDir run; empty means here.
	WorkDir string
	// Retryable says whether a failed attempt is worth another, by its exit
	// code; nil means that any is, as on Tekton.
	Retryable func(exit int) bool
	// RetryFailed makes a run that ended in failure go on with the tasks that
	// failed and those skipped because of it. Without it, such a run is over
	// and its result is returned again.
	RetryFailed bool
	// Abort cuts finally short when closed: the second Ctrl-C.
	Abort <-chan struct{}

	Display *progress.Display
	// OnEvent is told of every change of a task, one call at a time.
	OnEvent func(Event)
}

// Timeouts bound a run as the fields of the same names in a PipelineRun do.
// Zero is Tekton's default, negative is none. They count from the start of the
// process that runs, not from that of the run, when a run goes on.
type Timeouts struct{ Pipeline, Tasks, Finally time.Duration }

// Status is how a task or a run stands.
type Status string

// The states. A run is Pending, Running, Succeeded, Failed or Cancelled.
const (
	Pending   Status = "Pending"
	Running   Status = "Running"
	Succeeded Status = "Succeeded"
	Failed    Status = "Failed"
	Skipped   Status = "Skipped"
	Cancelled Status = "Cancelled"
)

func (s Status) ended() bool { return s != Pending && s != Running && s != "" }

// Event tells that a task has changed.
type Event struct {
	Time time.Time
	Task TaskResult
}

// Result is what came of a run.
type Result struct {
	Run      string `json:"run"`
	Pipeline string `json:"pipeline"`
	Status   Status `json:"status"`
	// Reason is Tekton's: Succeeded, Completed (something was skipped),
	// Failed, Cancelled or PipelineRunTimeout.
	Reason   string                   `json:"reason"`
	Started  time.Time                `json:"started"`
	Finished time.Time                `json:"finished"`
	Resumed  bool                     `json:"resumed,omitempty"` // the run had been begun before
	Results  map[string]v1.ParamValue `json:"results,omitempty"`
	// Tasks are in the order of the pipeline, those of finally last.
	Tasks []TaskResult `json:"tasks"`
}

// TaskResult is what came of a task.
type TaskResult struct {
	Name        string `json:"name"`
	DisplayName string `json:"displayName,omitempty"`
	Finally     bool   `json:"finally,omitempty"`
	Status      Status `json:"status"`
	// Reason is Tekton's, e.g. Succeeded, Failed, FailureIgnored,
	// TaskRunTimeout, or why the task was skipped.
	Reason string `json:"reason,omitempty"`
	// Message is one sentence for a person, of a task that failed.
	Message string `json:"message,omitempty"`
	// Step is the name of the step that failed and ExitCode how it ended: -1
	// for a signal or a step that could not be started.
	Step     string                   `json:"step,omitempty"`
	ExitCode int                      `json:"exitCode"`
	Attempts int                      `json:"attempts"`
	Started  time.Time                `json:"started,omitzero"`
	Finished time.Time                `json:"finished,omitzero"`
	Seconds  float64                  `json:"seconds"` // of all attempts together
	Results  map[string]v1.ParamValue `json:"results,omitempty"`
	Log      string                   `json:"log,omitempty"` // path below the run's folder
}

// Task returns the result of a task by name.
func (r *Result) Task(name string) (TaskResult, bool) {
	for _, t := range r.Tasks {
		if t.Name == name {
			return t, true
		}
	}
	return TaskResult{}, false
}

// FirstFailure returns the task that decided that the run failed: the first one
// to fail whose failure is not ignored, one of tasks before one of finally.
func (r *Result) FirstFailure() (TaskResult, bool) {
	var first TaskResult
	found := false
	for _, t := range r.Tasks {
		if t.Status != Failed || t.Reason == v1.TaskRunReasonFailureIgnored.String() {
			continue
		}
		if !found || (first.Finally && !t.Finally) || (first.Finally == t.Finally && t.Finished.Before(first.Finished)) {
			first, found = t, true
		}
	}
	return first, found
}

// Run runs a pipeline, or goes on with one, and returns what came of it. A task
// that fails is part of the Result, not an error: an error says that nothing
// was started, because it could not be (ErrRefused), or that the run's state could
// not be kept. When ctx ends, the
// tasks that run are stopped, the others are skipped, and finally still runs.
func Run(ctx context.Context, opts RunOptions) (*Result, error) {
	r, err := prepare(ctx, opts)
	if err != nil {
		return nil, err
	}
	if r.over() {
		return r.result(), nil
	}
	if err := ClearLeftovers(ctx, r.opts.Dir); err != nil {
		return nil, err
	}
	return r.run(ctx)
}
