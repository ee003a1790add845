package pipelines

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
)

// taskVariable finds results and workspaces that a task's steps use.
var taskVariable = regexp.MustCompile(`\$\((results|workspaces)(?:\.([A-Za-z0-9_-]+)|\[['"]([^'"]+)['"]\])\.(?:path|bound)\)`)

// pipelineVariable finds what only a pipeline, or a task written into one, has:
// in a Task of its own Tekton leaves it as it is written.
var pipelineVariable = regexp.MustCompile(`\$\((?:context\.pipeline(?:Run|Task)?\.[A-Za-z-]+|tasks\.[A-Za-z0-9_.-]+)\)`)

// checkTask finds what a Task uses but does not declare, and the other way
// round.
func checkTask(t *definition[v1.Task]) Problems {
	var ps Problems
	spec := &t.value.Spec
	declared := map[string][]string{"results": resultNames(spec), "workspaces": nil}
	for _, w := range spec.Workspaces {
		declared["workspaces"] = append(declared["workspaces"], w.Name)
	}
	for i := range spec.Steps {
		for _, m := range taskVariable.FindAllStringSubmatch(textOf(spec.Steps[i]), -1) {
			if name := orName(m[2], m[3]); !slices.Contains(declared[m[1]], name) {
				ps = append(ps, t.problem(fmt.Sprintf("spec.steps[%d]", i), fmt.Sprintf("%s names one that the task does not declare; it has %s", m[0], quoted(declared[m[1]]))))
			}
		}
	}
	for i := range spec.Steps {
		for _, m := range pipelineVariable.FindAllString(textOf(spec.Steps[i]), -1) {
			ps = append(ps, t.problem(fmt.Sprintf("spec.steps[%d]", i), m+" is known in a pipeline only; hand it over as a param"))
		}
	}
	text := textOf(spec)
	warn := func(list, name string, used bool) {
		if !used {
			p := t.problem(fmt.Sprintf("spec.%s[%s]", list, name), "is declared but not used")
			p.Warning = true
			ps = append(ps, p)
		}
	}
	for _, p := range spec.Params {
		warn("params", p.Name, mentions(text, "params", p.Name))
	}
	for _, r := range spec.Results {
		warn("results", r.Name, r.Value != nil || mentions(text, "results", r.Name) || strings.Contains(text, "/tekton/results/"+r.Name))
	}
	for _, w := range spec.Workspaces {
		warn("workspaces", w.Name, mentions(text, "workspaces", w.Name) || strings.Contains(text, w.GetMountPath()))
	}
	return ps
}

// mentions says whether a text has the variable $(kind.name…) in any spelling.
func mentions(text, kind, name string) bool {
	for _, form := range []string{"$(%s.%s)", "$(%s.%s.", "$(%s.%s[", `$(%s["%s"]`, "$(%s['%s']"} {
		if strings.Contains(text, fmt.Sprintf(form, kind, name)) {
			return true
		}
	}
	return false
}

// textOf is the JSON of a value with its strings as they are, to look for
// variables in it.
func textOf(v any) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return ""
	}
	return strings.ReplaceAll(b.String(), `\"`, `"`)
}

func taskExpressions(spec *v1.TaskSpec) []string {
	var out []string
	for i := range spec.Steps {
		out = append(out, spec.Steps[i].GetVarSubstitutionExpressions()...)
	}
	return out
}
