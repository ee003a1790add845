package pipelines

import (
	"fmt"
	"slices"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
)

// checkRun compares a PipelineRun with the pipeline it names.
func (s *Set) checkRun(r *definition[v1.PipelineRun]) Problems {
	var ps Problems
	add := func(field, format string, args ...any) {
		ps = append(ps, r.problem(field, fmt.Sprintf(format, args...)))
	}
	if r.value.Spec.PipelineRef == nil || r.value.Spec.PipelineRef.Resolver != "" {
		return nil
	}
	name := r.value.Spec.PipelineRef.Name
	p := find(s.pipelines, name)
	if p == nil {
		add("spec.pipelineRef.name", "there is no Pipeline %q in the given files", name)
		return ps
	}
	given := r.value.Spec.Params.ExtractNames()
	declared := p.value.Spec.Params.GetNames()
	for _, v := range r.value.Spec.Params {
		if !slices.Contains(declared, v.Name) {
			add(fmt.Sprintf("spec.params[%s]", v.Name), "Pipeline %q does not declare this param; it has %s", name, quoted(declared))
		}
	}
	for _, d := range p.value.Spec.Params {
		if d.Default == nil && !given.Has(d.Name) {
			add("spec.params", "Pipeline %q requires param %q", name, d.Name)
		}
	}
	for _, w := range p.value.Spec.Workspaces {
		bound := slices.ContainsFunc(r.value.Spec.Workspaces, func(b v1.WorkspaceBinding) bool { return b.Name == w.Name })
		if !w.Optional && !bound {
			add("spec.workspaces", "Pipeline %q requires workspace %q", name, w.Name)
		}
	}
	return ps
}
