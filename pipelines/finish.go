package pipelines

import (
	"context"
	"errors"
	"time"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
)

// runFinally runs the tasks of finally side by side.
func (r *runner) runFinally(whole context.Context) error {
	ctx, cancel := withTimeout(whole, optional(r.timeouts.FinallyTimeout()), errFinallyTimeout)
	defer cancel()
	ended := make(chan *task)
	running := 0
	for _, t := range r.tasks {
		if !t.finally || r.get(t).Status != Pending {
			continue
		}
		vars := r.variablesNow(t)
		if r.settleWithoutRunning(t, vars) {
			continue
		}
		for running >= r.opts.Jobs {
			<-ended
			running--
		}
		if ctx.Err() != nil {
			r.skip(t, lateReason(context.Cause(ctx)))
			continue
		}
		running++
		r.launch(ctx, t, vars, ended)
	}
	for ; running > 0; running-- {
		<-ended
	}
	return context.Cause(ctx)
}

func lateReason(why error) v1.SkippingReason {
	switch {
	case errors.Is(why, errPipelineTimeout):
		return v1.PipelineTimedOutSkip
	case errors.Is(why, errFinallyTimeout):
		return v1.FinallyTimedOutSkip
	}
	return v1.GracefullyCancelledSkip
}

// settle says how the run ended.
func (r *runner) settle(why, late error) {
	failed, skipped, cancelled := false, false, false
	for _, t := range r.tasks {
		switch s := r.get(t); s.Status {
		case Failed:
			failed = failed || s.Reason != v1.TaskRunReasonFailureIgnored.String()
		case Skipped:
			skipped = true
		case Cancelled:
			cancelled = true
		}
	}
	timedOut := false
	for _, err := range []error{why, late} {
		timedOut = timedOut || errors.Is(err, errPipelineTimeout) || errors.Is(err, errTasksTimeout) || errors.Is(err, errFinallyTimeout)
	}
	status, reason := Succeeded, v1.PipelineRunReasonSuccessful
	switch {
	case timedOut:
		status, reason = Failed, v1.PipelineRunReasonTimedOut
	case why != nil || cancelled || errors.Is(late, errAborted):
		status, reason = Cancelled, v1.PipelineRunReasonCancelled
	case failed:
		status, reason = Failed, v1.PipelineRunReasonFailed
	case skipped:
		reason = v1.PipelineRunReasonCompleted
	}
	results := r.pipelineResults()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state.Status, r.state.Reason, r.state.Results = status, reason.String(), results
	r.state.Finished = time.Now().UTC()
	r.saveLocked()
}

// pipelineResults gives those results of the pipeline whose tasks wrote theirs.
func (r *runner) pipelineResults() map[string]v1.ParamValue {
	vars := r.vars.clone()
	r.addResults(vars)
	out := map[string]v1.ParamValue{}
	for _, res := range r.pipeline.Spec.Results {
		have := true
		for _, ref := range v1.NewResultRefs(expressions(res.Value)) {
			from := r.task(ref.PipelineTask)
			if from == nil || r.get(from).Status != Succeeded {
				have = false
				continue
			}
			_, ok := r.get(from).Results[ref.Result]
			have = have && ok
		}
		if have {
			out[res.Name] = vars.apply(res.Value)
		}
	}
	return out
}
