package pipelines

import (
	"context"
	"errors"
	"fmt"
	"time"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"github.com/tektoncd/pipeline/pkg/reconciler/pipeline/dag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-release/slipway/internal/progress"
)

type durationField = metav1.Duration

// Why a context of the run ended. A context that ended without one of these was
// cancelled by the caller.
var (
	errPipelineTimeout = errors.New("the timeout of the pipeline has been reached")
	errTasksTimeout    = errors.New("the timeout of the pipeline's tasks has been reached")
	errFinallyTimeout  = errors.New("the timeout of the pipeline's finally tasks has been reached")
	errTaskTimeout     = errors.New("the timeout of the task has been reached")
	errAborted         = errors.New("the run was aborted")
)

// reasonMissingResult is Tekton's reason for a task that uses a result which the task
// it comes from has not written.
const reasonMissingResult = "InvalidTaskResultReference"

// run runs the graph, then finally, and settles how the run ended.
func (r *runner) run(ctx context.Context) (*Result, error) {
	ctx, r.stop = context.WithCancelCause(ctx)
	defer r.stop(nil)
	if err := r.makeRunDir(); err != nil {
		return nil, fmt.Errorf("starting pipeline %q: %w", r.pipeline.Name, err)
	}
	r.listItems()

	// A run that is cancelled still runs finally, so the timeout of the whole
	// run hangs on a context that the caller cannot end.
	whole, cancel := withTimeout(context.WithoutCancel(ctx), r.timeouts.PipelineTimeout(ctx), errPipelineTimeout)
	defer cancel()
	whole, abort := context.WithCancelCause(whole)
	defer abort(nil)
	if r.opts.Abort != nil {
		finished := make(chan struct{})
		defer close(finished)
		go func() {
			select {
			case <-r.opts.Abort:
				abort(errAborted)
			case <-finished:
			}
		}()
	}
	why := r.runGraph(ctx, whole)
	if err := r.saved(); err != nil {
		return r.result(), err
	}
	late := r.runFinally(whole)
	r.settle(why, late)
	return r.result(), r.saved()
}

// withTimeout is context.WithTimeoutCause, where zero means no timeout.
func withTimeout(ctx context.Context, d time.Duration, cause error) (context.Context, context.CancelFunc) {
	if d <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, d, cause)
}

func optional(d *durationField) time.Duration {
	if d == nil {
		return 0
	}
	return d.Duration
}

// runGraph runs the tasks that are not finally's, as soon as what they depend
// on has ended and a place is free. It returns why it stopped early, or nil.
func (r *runner) runGraph(ctx, whole context.Context) error {
	tctx, cancel := withTimeout(ctx, optional(r.timeouts.TasksTimeout()), errTasksTimeout)
	defer cancel()
	tctx, stop := context.WithCancelCause(tctx)
	defer stop(nil)
	defer context.AfterFunc(whole, func() { stop(context.Cause(whole)) })()

	ended := make(chan *task)
	running := 0
	for {
		if tctx.Err() == nil && !r.stopping() {
			running += r.startCandidates(tctx, r.opts.Jobs-running, ended)
		}
		if running == 0 {
			break
		}
		select {
		case <-ended:
			running--
		case <-tctx.Done():
			// The tasks that run end with the context; there are no others.
			for ; running > 0; running-- {
				<-ended
			}
		}
	}
	why := context.Cause(tctx)
	if cut := r.skipRest(why); !cut {
		return nil
	}
	return why
}

// skipRest settles the tasks that will not be started. It says whether the end
// of the context kept any task from ending by itself.
func (r *runner) skipRest(why error) (cut bool) {
	reason := v1.StoppingSkip
	switch {
	case errors.Is(why, errPipelineTimeout):
		reason = v1.PipelineTimedOutSkip
	case errors.Is(why, errTasksTimeout):
		reason = v1.TasksTimedOutSkip
	case why != nil:
		reason = v1.GracefullyCancelledSkip
	}
	for _, t := range r.tasks {
		switch s := r.get(t); {
		case t.finally:
		case s.Status == Pending:
			cut = true
			r.skip(t, reason)
		case s.Status == Cancelled || s.Reason == v1.TaskRunReasonTimedOut.String():
			cut = true
		}
	}
	return cut
}

// stopping says that a task has failed and that its failure counts: what runs
// may end, nothing new starts.
func (r *runner) stopping() bool {
	for _, t := range r.tasks {
		s := r.get(t)
		if t.finally || s.Status == Cancelled {
			continue
		}
		if s.Status == Failed && t.pt.OnError != v1.PipelineTaskContinue {
			return true
		}
	}
	return false
}

// startCandidates starts up to free tasks whose turn it is, settles those that
// are to be skipped, and returns how many it started.
func (r *runner) startCandidates(ctx context.Context, free int, ended chan<- *task) int {
	started := 0
	for again := true; again; {
		again = false
		candidates, err := dag.GetCandidateTasks(r.graph, r.endedTasks()...)
		if err != nil {
			r.fail(fmt.Errorf("ordering the tasks of pipeline %q: %w", r.pipeline.Name, err))
			return started
		}
		for _, t := range r.tasks {
			if t.finally || !candidates.Has(t.pt.Name) || r.get(t).Status != Pending {
				continue
			}
			vars := r.variablesNow(t)
			if skipped := r.settleWithoutRunning(t, vars); skipped {
				again = true
				continue
			}
			if started < free {
				started++
				r.launch(ctx, t, vars, ended)
			}
		}
		if again && r.stopping() {
			return started
		}
	}
	return started
}

func (r *runner) launch(ctx context.Context, t *task, vars variables, ended chan<- *task) {
	r.update(t, func(s *TaskResult) { s.Status = Running })
	go func() {
		defer func() { ended <- t }()
		r.runTask(ctx, t, vars)
	}()
}

func (r *runner) endedTasks() []string {
	var names []string
	for _, t := range r.tasks {
		if !t.finally && r.get(t).Status.ended() {
			names = append(names, t.pt.Name)
		}
	}
	return names
}

// settleWithoutRunning skips a task whose turn it is, or fails it because what
// it needs is not there; it returns false when the task is to run. The order
// of the questions is Tekton's, and matters: a task skipped by its own `when`
// does not take those that only run after it along.
func (r *runner) settleWithoutRunning(t *task, vars variables) bool {
	when := t.pt.When.DeepCopy().ReplaceVariables(vars.strings, vars.arrays)
	if !when.AllowsExecution(nil) {
		r.skip(t, v1.WhenExpressionsSkip)
		return true
	}
	if !t.finally {
		for _, parent := range r.graph.Nodes[t.pt.Name].Prev {
			if p := r.get(r.task(parent.Key)); p.Status == Skipped && p.Reason != string(v1.WhenExpressionsSkip) {
				r.skip(t, v1.ParentTasksSkip)
				return true
			}
		}
	}
	ref := r.missingResult(t)
	if ref == nil {
		return false
	}
	from := r.get(r.task(ref.PipelineTask))
	if t.finally || t.pt.OnError == v1.PipelineTaskContinue || from.Reason == string(v1.WhenExpressionsSkip) {
		r.skip(t, v1.MissingResultsSkip)
		return true
	}
	r.endTask(t, Failed, reasonMissingResult, fmt.Sprintf("task %q has not written result %q, which this task uses", ref.PipelineTask, ref.Result))
	return true
}

// missingResult returns a reference of the task to a result that is not there.
func (r *runner) missingResult(t *task) *v1.ResultRef {
	for _, ref := range v1.PipelineTaskResultRefs(t.pt) {
		from := r.task(ref.PipelineTask)
		if from == nil {
			continue
		}
		value, ok := r.get(from).Results[ref.Result]
		if ok && ref.ResultsIndex != nil {
			ok = *ref.ResultsIndex < len(value.ArrayVal)
		}
		if ok && ref.Property != "" {
			_, ok = value.ObjectVal[ref.Property]
		}
		if !ok {
			return ref
		}
	}
	return nil
}

// skip settles a task that does not run.
func (r *runner) skip(t *task, reason v1.SkippingReason) {
	r.update(t, func(s *TaskResult) { s.Status, s.Reason = Skipped, string(reason) })
	t.item.Done(progress.Skipped, whySkipped(string(reason)))
}

// whySkipped says Tekton's reason in plain words.
func whySkipped(reason string) string {
	switch v1.SkippingReason(reason) {
	case v1.WhenExpressionsSkip:
		return "its conditions do not hold"
	case v1.ParentTasksSkip:
		return "a task before it was skipped"
	case v1.StoppingSkip:
		return "another task failed"
	case v1.MissingResultsSkip:
		return "a result that it uses was not written"
	case v1.GracefullyCancelledSkip:
		return "the run was cancelled"
	}
	return reason
}
