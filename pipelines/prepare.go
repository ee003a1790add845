package pipelines

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"github.com/tektoncd/pipeline/pkg/reconciler/pipeline/dag"

	"github.com/slipway-release/slipway/internal/progress"
)

// defaultTaskTimeout is Tekton's.
const defaultTaskTimeout = time.Hour

// task is one task of the pipeline that runs.
type task struct {
	pt      *v1.PipelineTask
	spec    *v1.TaskSpec // with the step template merged in
	finally bool
	item    *progress.Item
}

// runner is one run of a pipeline.
type runner struct {
	opts       RunOptions
	pipeline   *v1.Pipeline
	tasks      []*task // in the order of the pipeline, finally last
	graph      *dag.Graph
	vars       variables         // params, context and workspaces of the pipeline
	workspaces map[string]string // bound ones: name to directory
	timeouts   v1.PipelineRun    // only its timeouts, for Tekton's own reading of them
	resumed    bool

	mu      sync.Mutex
	state   *runState
	saveErr error
	stop    context.CancelCauseFunc // set while the run goes on
}

// ErrRefused says that what was asked for cannot be run: the pipeline, its params
// or workspaces are not right, or the run's folder holds another run. Nothing was
// started. Other errors are the host's.
var ErrRefused = errors.New("refused")

// refusal is an ErrRefused with a sentence of its own.
type refusal struct{ error }

// Unwrap returns the problems themselves.
func (r refusal) Unwrap() error { return r.error }

// Is makes it an ErrRefused.
func (r refusal) Is(target error) bool { return target == ErrRefused }

// prepare checks everything that can be known before the first step starts.
func prepare(ctx context.Context, opts RunOptions) (*runner, error) {
	r, given, err := configure(ctx, opts)
	if err != nil {
		return nil, refusal{err}
	}
	return r, r.openState(given)
}

// configure finds all that the run is made of.
func configure(ctx context.Context, opts RunOptions) (*runner, map[string]v1.ParamValue, error) {
	if opts.Jobs <= 0 {
		opts.Jobs = 4
	}
	dir, err := filepath.Abs(opts.Dir)
	if err != nil {
		return nil, nil, fmt.Errorf("starting pipeline %q: %w", opts.Pipeline, err)
	}
	opts.Dir = dir
	r := &runner{opts: opts, vars: newVariables(), workspaces: map[string]string{}}
	if r.pipeline, err = opts.Set.Pipeline(opts.Pipeline); err != nil {
		return nil, nil, err
	}
	if err := opts.Set.CheckLocal(opts.Pipeline).Err(); err != nil {
		return nil, nil, err
	}
	if err := r.planTasks(); err != nil {
		return nil, nil, err
	}
	run, err := r.pipelineRun()
	if err != nil {
		return nil, nil, err
	}
	given := map[string]v1.ParamValue{}
	for _, p := range run.Params {
		given[p.Name] = p.Value
	}
	maps.Copy(given, opts.Params)
	if err := errors.Join(checkParams(r.pipeline, given), r.bindWorkspaces(run), r.setTimeouts(ctx, run)); err != nil {
		return nil, nil, err
	}
	r.setVariables(given)
	if err := r.checkImages(); err != nil {
		return nil, nil, err
	}
	return r, given, nil
}

func (r *runner) planTasks() error {
	p := r.pipeline
	graph, err := dag.Build(v1.PipelineTaskList(p.Spec.Tasks), v1.PipelineTaskList(p.Spec.Tasks).Deps())
	if err != nil {
		return fmt.Errorf("ordering the tasks of pipeline %q: %w", p.Name, err)
	}
	r.graph = graph
	for k, sec := range sections(p) {
		for i := range sec.tasks {
			pt := &sec.tasks[i]
			spec := r.opts.Set.taskSpec(pt)
			if spec == nil {
				return fmt.Errorf("starting pipeline %q: task %q refers to a Task that is not in the given files", p.Name, pt.Name)
			}
			spec = spec.DeepCopy()
			steps, err := v1.MergeStepsWithStepTemplate(spec.StepTemplate, spec.Steps)
			if err != nil {
				return fmt.Errorf("merging the step template of task %q: %w", pt.Name, err)
			}
			spec.Steps = steps
			r.tasks = append(r.tasks, &task{pt: pt, spec: spec, finally: k == 1})
		}
	}
	return nil
}

// pipelineRun returns the spec of the chosen PipelineRun, or an empty one.
func (r *runner) pipelineRun() (*v1.PipelineRunSpec, error) {
	if r.opts.PipelineRun == "" {
		return &v1.PipelineRunSpec{}, nil
	}
	d := find(r.opts.Set.runs, r.opts.PipelineRun)
	if d == nil {
		return nil, fmt.Errorf("finding PipelineRun %q: the given files have none of this name", r.opts.PipelineRun)
	}
	ref := d.value.Spec.PipelineRef
	if ref == nil || ref.Name != r.opts.Pipeline {
		return nil, fmt.Errorf("starting PipelineRun %q: its pipelineRef does not name pipeline %q", r.opts.PipelineRun, r.opts.Pipeline)
	}
	return &d.value.Spec, nil
}

// bindWorkspaces finds a directory for each workspace of the pipeline: the one
// given for it, or one of the run's own where a PipelineRun asks for fresh
// storage.
func (r *runner) bindWorkspaces(run *v1.PipelineRunSpec) error {
	var errs []error
	names := map[string]bool{}
	for _, w := range r.pipeline.Spec.Workspaces {
		names[w.Name] = true
		if dir, ok := r.opts.Workspaces[w.Name]; ok {
			abs, err := filepath.Abs(dir)
			errs = append(errs, err)
			r.workspaces[w.Name] = abs
			continue
		}
		k := slices.IndexFunc(run.Workspaces, func(b v1.WorkspaceBinding) bool { return b.Name == w.Name })
		if k >= 0 && (run.Workspaces[k].EmptyDir != nil || run.Workspaces[k].VolumeClaimTemplate != nil) {
			r.workspaces[w.Name] = filepath.Join(r.opts.Dir, "workspaces", w.Name, run.Workspaces[k].SubPath)
			continue
		}
		if k >= 0 {
			errs = append(errs, fmt.Errorf("starting pipeline %q: workspace %q is bound to what only a cluster has; bind it to a directory", r.pipeline.Name, w.Name))
		} else if !w.Optional {
			errs = append(errs, fmt.Errorf("starting pipeline %q: workspace %q is required; bind it to a directory", r.pipeline.Name, w.Name))
		}
	}
	for _, name := range sortedKeys(r.opts.Workspaces) {
		if !names[name] {
			errs = append(errs, fmt.Errorf("binding workspace %q: pipeline %q declares only %s", name, r.pipeline.Name, quoted(sortedKeys(names))))
		}
	}
	return errors.Join(errs...)
}

// setTimeouts merges the timeouts of the options and of a PipelineRun.
func (r *runner) setTimeouts(ctx context.Context, run *v1.PipelineRunSpec) error {
	t := &v1.TimeoutFields{}
	if run.Timeouts != nil {
		t = run.Timeouts.DeepCopy()
	}
	pick := func(into **durationField, d time.Duration) {
		switch {
		case d < 0:
			*into = &durationField{}
		case d > 0:
			*into = &durationField{Duration: d}
		}
	}
	pick(&t.Pipeline, r.opts.Timeouts.Pipeline)
	pick(&t.Tasks, r.opts.Timeouts.Tasks)
	pick(&t.Finally, r.opts.Timeouts.Finally)
	r.timeouts.Spec.Timeouts = t
	if t.Pipeline == nil {
		t.Pipeline = &durationField{Duration: r.timeouts.PipelineTimeout(ctx)}
	}
	if parts := optional(t.Tasks) + optional(t.Finally); t.Pipeline.Duration > 0 && parts > t.Pipeline.Duration {
		return fmt.Errorf("starting pipeline %q: the timeouts of tasks and finally make %s together, more than the %s of the whole", r.pipeline.Name, parts, t.Pipeline.Duration)
	}
	return nil
}

func (r *runner) setVariables(given map[string]v1.ParamValue) {
	run := filepath.Base(r.opts.Dir)
	text := func(name, value string) { r.vars.strings[name] = value }
	text("context.pipelineRun.name", run)
	text("context.pipelineRun.namespace", "default")
	text("context.pipelineRun.uid", run)
	text("context.pipeline.name", r.pipeline.Name)
	for _, w := range r.pipeline.Spec.Workspaces {
		_, bound := r.workspaces[w.Name]
		text("workspaces."+w.Name+".bound", fmt.Sprint(bound))
	}
	r.vars.withParams(r.pipeline.Spec.Params, given)
}

// checkImages refuses a step that needs a container engine when there is none.
// An image that depends on a result is looked at when it is known.
func (r *runner) checkImages() error {
	if r.opts.Engine != nil {
		return nil
	}
	var errs []error
	for _, t := range r.tasks {
		vars := r.taskVariables(t, r.vars)
		for i, s := range t.spec.Steps {
			image := vars.apply(stringValue(s.Image)).StringVal
			if !strings.Contains(image, "$(") && !r.isSelf(image) {
				errs = append(errs, fmt.Errorf("starting pipeline %q: step %q of task %q needs a container engine for image %q", r.pipeline.Name, stepName(s, i), t.pt.Name, image))
			}
		}
	}
	return errors.Join(errs...)
}

// openState reads the state of a run that goes on, or begins one.
func (r *runner) openState(given map[string]v1.ParamValue) error {
	definition, err := definitionOf(r.pipeline, r.tasks)
	if err != nil {
		return fmt.Errorf("starting pipeline %q: %w", r.pipeline.Name, err)
	}
	fresh := &runState{
		APIVersion: stateVersion, Kind: "PipelineRunState", Run: filepath.Base(r.opts.Dir), Pipeline: r.pipeline.Name,
		Definition: definition, Params: given, Status: Running, Started: time.Now().UTC(),
	}
	for _, t := range r.tasks {
		name := t.pt.DisplayName
		if name != "" {
			name = r.vars.apply(stringValue(name)).StringVal
		}
		fresh.Tasks = append(fresh.Tasks, &TaskResult{Name: t.pt.Name, DisplayName: name, Finally: t.finally, Status: Pending})
	}
	old, err := readState(r.opts.Dir)
	if err != nil {
		return err
	}
	if old == nil {
		r.state = fresh
		return nil
	}
	if err := old.sameRun(fresh); err != nil {
		return refusal{err}
	}
	r.state, r.resumed = old, true
	if r.over() {
		return nil
	}
	after := map[string][]string{}
	for name, node := range r.graph.Nodes {
		for _, next := range node.Next {
			after[name] = append(after[name], next.Key)
		}
	}
	r.state.reopen(r.opts.RetryFailed, after)
	return nil
}

// over says that there is nothing left to do in the run.
func (r *runner) over() bool {
	return r.state.Status == Succeeded || (r.state.Status == Failed && !r.opts.RetryFailed)
}

func (r *runner) result() *Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	res := r.state.result()
	res.Resumed = r.resumed
	return res
}

func stringValue(s string) v1.ParamValue {
	return v1.ParamValue{Type: v1.ParamTypeString, StringVal: s}
}

// sessionID is the session of this process.
func sessionID() int {
	sid, _, errno := syscall.Syscall(syscall.SYS_GETSID, 0, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(sid)
}
