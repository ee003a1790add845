package pipelines

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"

	"github.com/slipway-release/slipway/internal/progress"
)

// makeRunDir makes the folders of the run and writes its state for the first
// time.
func (r *runner) makeRunDir() error {
	for _, dir := range []string{"logs", "tasks", "bin"} {
		if err := os.MkdirAll(filepath.Join(r.opts.Dir, dir), 0o755); err != nil {
			return err
		}
	}
	for _, name := range sortedKeys(r.workspaces) {
		if err := os.MkdirAll(r.workspaces[name], 0o755); err != nil {
			return err
		}
	}
	link := filepath.Join(r.opts.Dir, "bin", "slipway")
	if err := os.Remove(link); err != nil && !os.IsNotExist(err) {
		return err
	}
	self, err := filepath.Abs(r.opts.Self)
	if err != nil {
		return err
	}
	if err := os.Symlink(self, link); err != nil {
		return err
	}
	r.mu.Lock()
	r.state.Session = sessionID()
	r.saveLocked()
	r.mu.Unlock()
	return r.saved()
}

// listItems puts the tasks on the display, those that have ended as they did.
func (r *runner) listItems() {
	for _, t := range r.tasks {
		t.item = r.opts.Display.Add(t.pt.Name)
	}
	for _, t := range r.tasks {
		switch s := r.get(t); s.Status {
		case Succeeded:
			t.item.Done(progress.Succeeded, "in an earlier start of this run")
		case Failed:
			t.item.Done(progress.Failed, "in an earlier start of this run: "+s.Message)
		case Skipped:
			t.item.Done(progress.Skipped, whySkipped(s.Reason))
		}
	}
}

func (r *runner) task(name string) *task {
	for _, t := range r.tasks {
		if t.pt.Name == name {
			return t
		}
	}
	return nil
}

// get returns a copy of what is known of a task.
func (r *runner) get(t *task) TaskResult {
	r.mu.Lock()
	defer r.mu.Unlock()
	return *r.entryLocked(t)
}

func (r *runner) entryLocked(t *task) *TaskResult {
	for _, s := range r.state.Tasks {
		if s.Name == t.pt.Name {
			return s
		}
	}
	return &TaskResult{}
}

// update changes what is known of a task, writes it down and tells the caller.
func (r *runner) update(t *task, change func(*TaskResult)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.entryLocked(t)
	change(s)
	r.saveLocked()
	if r.opts.OnEvent != nil {
		r.opts.OnEvent(Event{Time: time.Now(), Task: *s})
	}
}

func (r *runner) saveLocked() {
	if err := r.state.write(r.opts.Dir); err != nil && r.saveErr == nil {
		// Going on without knowing what was done would do it twice.
		r.saveErr = fmt.Errorf("keeping the state of run %q: %w", r.state.Run, err)
		r.stop(r.saveErr)
	}
}

func (r *runner) saved() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.saveErr
}

func (r *runner) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.saveErr == nil {
		r.saveErr = err
	}
	r.stop(err)
}

// endTask settles a task.
func (r *runner) endTask(t *task, status Status, reason, message string) {
	if status == Failed && t.pt.OnError == v1.PipelineTaskContinue && !t.finally {
		reason = v1.TaskRunReasonFailureIgnored.String()
	}
	r.update(t, func(s *TaskResult) {
		s.Status, s.Reason, s.Message = status, reason, message
		s.Finished = time.Now().UTC()
	})
	shown := map[Status]progress.Status{Succeeded: progress.Succeeded, Failed: progress.Failed, Cancelled: progress.Cancelled}
	t.item.Done(shown[status], message)
}

// variablesNow are the variables of the pipeline together with the results that
// there are, and for a task of finally with how the other tasks ended.
func (r *runner) variablesNow(t *task) variables {
	vars := r.vars.clone()
	vars.strings["context.pipelineTask.retries"] = fmt.Sprint(t.pt.Retries)
	r.addResults(vars)
	if t.finally {
		r.addStatuses(vars)
	}
	return vars
}

func (r *runner) addResults(vars variables) {
	for _, t := range r.tasks {
		for name, value := range r.get(t).Results {
			vars.setResult(t.pt.Name, name, value)
		}
	}
}

// addStatuses sets $(tasks.NAME.status), $(tasks.NAME.reason) and
// $(tasks.status) as Tekton does: there a cancelled task has Failed, and a
// failure that is ignored still makes the whole Failed.
func (r *runner) addStatuses(vars variables) {
	all := v1.PipelineRunReasonSuccessful.String()
	for _, t := range r.tasks {
		if t.finally {
			continue
		}
		s := r.get(t)
		status, reason := "None", ""
		switch s.Status {
		case Succeeded, Failed:
			status, reason = string(s.Status), s.Reason
		case Cancelled:
			status, reason = string(Failed), s.Reason
		}
		if status == string(Failed) {
			all = status
		} else if s.Status == Skipped && all != string(Failed) {
			all = v1.PipelineRunReasonCompleted.String()
		}
		vars.strings["tasks."+t.pt.Name+".status"] = status
		vars.strings["tasks."+t.pt.Name+".reason"] = reason
	}
	vars.strings[v1.PipelineTasksAggregateStatus] = all
}
