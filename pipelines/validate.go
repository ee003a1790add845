package pipelines

import (
	"context"
	"strings"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"knative.dev/pkg/apis"
)

// validate fills in Tekton's defaults and runs its validation on every object,
// then checks the objects against each other.
func (s *Set) validate(ctx context.Context) Problems {
	var ps Problems
	for _, t := range s.tasks {
		t.value.SetDefaults(ctx)
		ps = append(ps, t.fieldErrors(t.value.Validate(ctx))...)
	}
	for _, p := range s.pipelines {
		p.value.SetDefaults(ctx)
		ps = append(ps, p.fieldErrors(p.value.Validate(ctx))...)
	}
	for _, r := range s.runs {
		r.value.SetDefaults(ctx)
		named := r.value.DeepCopy()
		if named.Name == "" && named.GenerateName != "" {
			named.Name = named.GenerateName + "0" // as the API server would
		}
		ps = append(ps, r.fieldErrors(named.Validate(ctx))...)
	}
	for _, t := range s.tasks {
		ps = append(ps, checkTask(t)...)
	}
	for _, p := range s.pipelines {
		ps = append(ps, s.checkPipeline(p)...)
	}
	for _, r := range s.runs {
		ps = append(ps, s.checkRun(r)...)
	}
	return ps
}

// pathlessOnError is a message of Tekton's that does not say where; the check
// across files reports the same with the field.
const pathlessOnError = `PipelineTask OnError cannot be set to "continue" when Retries is greater than 0`

// fieldErrors turns Tekton's errors into problems, one for each path.
func (d *document) fieldErrors(err *apis.FieldError) Problems {
	var ps Problems
	for _, e := range err.WrappedErrors() {
		message := e.Message
		if e.Details != "" {
			message += ": " + strings.TrimSpace(e.Details)
		}
		paths := e.Paths
		if len(paths) == 0 {
			if e.Message == pathlessOnError {
				continue
			}
			paths = []string{""}
		}
		for _, path := range paths {
			p := d.problem(strings.Trim(path, "."), message)
			p.Warning = e.Level == apis.WarningLevel
			ps = append(ps, p)
		}
	}
	return ps
}

// taskSpec returns what a pipeline task runs: its own spec, or that of the Task
// it refers to; nil when the reference leads nowhere or out of the set.
func (s *Set) taskSpec(pt *v1.PipelineTask) *v1.TaskSpec {
	if pt.TaskSpec != nil {
		return &pt.TaskSpec.TaskSpec
	}
	if !refersToTask(pt) {
		return nil
	}
	if t := find(s.tasks, pt.TaskRef.Name); t != nil {
		return &t.value.Spec
	}
	return nil
}

// refersToTask says whether a pipeline task names a Task of the set, and not a
// custom task or one to be fetched by a resolver.
func refersToTask(pt *v1.PipelineTask) bool {
	ref := pt.TaskRef
	return ref != nil && ref.Resolver == "" && ref.APIVersion == "" && (ref.Kind == "" || ref.Kind == v1.NamespacedTaskKind)
}

// section is one of the two lists of pipeline tasks.
type section struct {
	path  string // spec.tasks or spec.finally
	tasks []v1.PipelineTask
}

func sections(p *v1.Pipeline) []section {
	return []section{{"spec.tasks", p.Spec.Tasks}, {"spec.finally", p.Spec.Finally}}
}
