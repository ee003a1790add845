package pipelines

import (
	"fmt"
	"slices"
	"strings"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
)

// checkPipeline finds what shows only when the Tasks are known: references that
// lead nowhere, params, workspaces and results that do not fit.
func (s *Set) checkPipeline(p *definition[v1.Pipeline]) Problems {
	c := &pipelineCheck{set: s, def: p, tasks: map[string]*v1.TaskSpec{}}
	for _, sec := range sections(p.value) {
		for i := range sec.tasks {
			c.tasks[sec.tasks[i].Name] = s.taskSpec(&sec.tasks[i])
		}
	}
	for _, sec := range sections(p.value) {
		for i := range sec.tasks {
			c.task(fmt.Sprintf("%s[%d]", sec.path, i), &sec.tasks[i])
		}
	}
	for i, r := range p.value.Spec.Results {
		c.references(fmt.Sprintf("spec.results[%d].value", i), expressions(r.Value))
	}
	c.unused()
	return c.problems
}

type pipelineCheck struct {
	set      *Set
	def      *definition[v1.Pipeline]
	tasks    map[string]*v1.TaskSpec // by pipeline task; nil where unknown
	problems Problems
}

func (c *pipelineCheck) add(field, format string, args ...any) {
	c.problems = append(c.problems, c.def.problem(field, fmt.Sprintf(format, args...)))
}

func (c *pipelineCheck) warn(field, format string, args ...any) {
	p := c.def.problem(field, fmt.Sprintf(format, args...))
	p.Warning = true
	c.problems = append(c.problems, p)
}

func (c *pipelineCheck) task(path string, pt *v1.PipelineTask) {
	if refersToTask(pt) && pt.TaskRef.Name != "" && c.tasks[pt.Name] == nil {
		c.add(path+".taskRef.name", "there is no Task %q in the given files", pt.TaskRef.Name)
	}
	if pt.OnError == v1.PipelineTaskContinue && pt.Retries > 0 {
		c.add(path+".onError", "cannot be %q while retries is %d", pt.OnError, pt.Retries)
	}
	if spec := c.tasks[pt.Name]; spec != nil {
		c.params(path, pt, spec)
		c.workspaces(path, pt, spec)
	}
	for _, p := range pt.Params {
		c.references(fmt.Sprintf("%s.params[%s].value", path, p.Name), expressions(p.Value))
	}
	for i, w := range pt.When {
		e, _ := w.GetVarSubstitutionExpressions()
		c.references(fmt.Sprintf("%s.when[%d]", path, i), e)
	}
	if pt.TaskSpec != nil {
		c.references(path+".taskSpec", taskExpressions(&pt.TaskSpec.TaskSpec))
	}
}

// params compares what a pipeline task gives with what its Task declares.
func (c *pipelineCheck) params(path string, pt *v1.PipelineTask, spec *v1.TaskSpec) {
	given := map[string]bool{}
	for _, p := range pt.Params {
		given[p.Name] = true
		field := fmt.Sprintf("%s.params[%s]", path, p.Name)
		k := slices.IndexFunc(spec.Params, func(d v1.ParamSpec) bool { return d.Name == p.Name })
		if k < 0 {
			c.add(field, "%s does not declare this param; it has %s", taskName(pt), quoted(spec.Params.GetNames()))
			continue
		}
		want, have := paramType(spec.Params[k]), c.valueType(p.Value)
		if have != "" && have != want {
			c.add(field+".value", "is of type %s, but %s declares type %s", have, taskName(pt), want)
		}
		if want == v1.ParamTypeObject && have == want {
			c.objectKeys(field+".value", spec.Params[k], p.Value)
		}
	}
	if pt.Matrix != nil {
		for name := range pt.Matrix.Params.ExtractNames() {
			given[name] = true
		}
		for _, include := range pt.Matrix.Include {
			for name := range include.Params.ExtractNames() {
				given[name] = true
			}
		}
	}
	for _, p := range spec.Params {
		if !given[p.Name] && p.Default == nil && !(pt.TaskSpec != nil && c.declaresParam(p.Name)) {
			c.add(path+".params", "%s requires param %q", taskName(pt), p.Name)
		}
	}
}

// objectKeys names the keys that an object value lacks and no default gives.
func (c *pipelineCheck) objectKeys(field string, spec v1.ParamSpec, value v1.ParamValue) {
	if value.ObjectVal == nil {
		return
	}
	for _, key := range sortedKeys(spec.Properties) {
		_, ok := value.ObjectVal[key]
		if !ok && spec.Default != nil {
			_, ok = spec.Default.ObjectVal[key]
		}
		if !ok {
			c.add(field, "lacks key %q", key)
		}
	}
}

// declaresParam says whether an inline task spec gets a param from the pipeline.
func (c *pipelineCheck) declaresParam(name string) bool {
	return slices.Contains(c.def.value.Spec.Params.GetNames(), name)
}

// valueType is the type of a param's value; that of a reference to a whole
// array or object is what it refers to, and "" when that is not known.
func (c *pipelineCheck) valueType(v v1.ParamValue) v1.ParamType {
	if v.Type != v1.ParamTypeString {
		return v.Type
	}
	inner, ok := strings.CutSuffix(v.StringVal, "[*])")
	inner, whole := strings.CutPrefix(inner, "$(")
	if !ok || !whole || strings.Contains(inner, "$(") {
		return v1.ParamTypeString
	}
	if name, isParam := strings.CutPrefix(inner, "params."); isParam {
		for _, p := range c.def.value.Spec.Params {
			if p.Name == name {
				return paramType(p)
			}
		}
		return ""
	}
	for _, ref := range v1.NewResultRefs([]string{inner}) {
		if r := c.result(ref); r != nil {
			return v1.ParamType(resultType(r.Type))
		}
	}
	return ""
}

func (c *pipelineCheck) result(ref *v1.ResultRef) *v1.TaskResult {
	spec := c.tasks[ref.PipelineTask]
	if spec == nil {
		return nil
	}
	k := slices.IndexFunc(spec.Results, func(r v1.TaskResult) bool { return r.Name == ref.Result })
	if k < 0 {
		return nil
	}
	return &spec.Results[k]
}

// references checks that results which are used are declared, by their type.
func (c *pipelineCheck) references(field string, exprs []string) {
	for _, e := range exprs {
		for _, ref := range v1.NewResultRefs([]string{e}) {
			spec, known := c.tasks[ref.PipelineTask]
			if !known {
				c.add(field, "$(%s) refers to task %q, which the pipeline does not have", e, ref.PipelineTask)
				continue
			}
			if spec == nil {
				continue
			}
			r := c.result(ref)
			if r == nil {
				c.add(field, "$(%s) refers to result %q, but task %q declares %s", e, ref.Result, ref.PipelineTask, quoted(resultNames(spec)))
				continue
			}
			if t := resultType(r.Type); ref.ResultsIndex != nil && t != v1.ResultsTypeArray {
				c.add(field, "$(%s) takes an element of result %q, which is of type %s", e, ref.Result, t)
			} else if ref.Property != "" && t != v1.ResultsTypeObject {
				c.add(field, "$(%s) takes a key of result %q, which is of type %s", e, ref.Result, t)
			}
		}
	}
}

// workspaces compares what a pipeline task binds with what its Task declares.
func (c *pipelineCheck) workspaces(path string, pt *v1.PipelineTask, spec *v1.TaskSpec) {
	declared := map[string]bool{} // optional?
	for _, w := range spec.Workspaces {
		declared[w.Name] = w.Optional
	}
	bound := map[string]bool{}
	for _, w := range pt.Workspaces {
		bound[w.Name] = true
		field := fmt.Sprintf("%s.workspaces[%s]", path, w.Name)
		optional, ok := declared[w.Name]
		if !ok {
			c.add(field, "%s does not declare this workspace; it has %s", taskName(pt), quoted(sortedKeys(declared)))
			continue
		}
		if !optional && c.isOptional(orName(w.Workspace, w.Name)) {
			c.add(field, "%s requires this workspace, but the pipeline declares %q optional", taskName(pt), orName(w.Workspace, w.Name))
		}
	}
	for _, w := range spec.Workspaces {
		if !w.Optional && !bound[w.Name] && !(pt.TaskSpec != nil && c.declaresWorkspace(w.Name)) {
			c.add(path+".workspaces", "%s requires workspace %q", taskName(pt), w.Name)
		}
	}
}

func (c *pipelineCheck) isOptional(name string) bool {
	return slices.ContainsFunc(c.def.value.Spec.Workspaces, func(w v1.PipelineWorkspaceDeclaration) bool { return w.Name == name && w.Optional })
}

func (c *pipelineCheck) declaresWorkspace(name string) bool {
	return slices.ContainsFunc(c.def.value.Spec.Workspaces, func(w v1.PipelineWorkspaceDeclaration) bool { return w.Name == name })
}

// unused warns of params and workspaces that the pipeline declares in vain.
func (c *pipelineCheck) unused() {
	spec := c.def.value.Spec
	text := textOf(spec)
	for _, p := range spec.Params {
		if !mentions(text, "params", p.Name) {
			c.warn(fmt.Sprintf("spec.params[%s]", p.Name), "is declared but not used")
		}
	}
	for _, w := range spec.Workspaces {
		used := mentions(text, "workspaces", w.Name)
		for _, sec := range sections(c.def.value) {
			for _, pt := range sec.tasks {
				used = used || slices.ContainsFunc(pt.Workspaces, func(b v1.WorkspacePipelineTaskBinding) bool {
					return orName(b.Workspace, b.Name) == w.Name
				})
			}
		}
		if !used {
			c.warn(fmt.Sprintf("spec.workspaces[%s]", w.Name), "is declared but not used")
		}
	}
}

func expressions(v v1.ParamValue) []string {
	e, _ := v1.Param{Value: v}.GetVarSubstitutionExpressions()
	return e
}

func taskName(pt *v1.PipelineTask) string {
	if pt.TaskRef != nil {
		return fmt.Sprintf("Task %q", pt.TaskRef.Name)
	}
	return "its task"
}

func resultNames(spec *v1.TaskSpec) []string {
	var names []string
	for _, r := range spec.Results {
		names = append(names, r.Name)
	}
	return names
}

func resultType(t v1.ResultsType) v1.ResultsType {
	if t == "" {
		return v1.ResultsTypeString
	}
	return t
}

func paramType(p v1.ParamSpec) v1.ParamType {
	if p.Type == "" {
		return v1.ParamTypeString
	}
	return p.Type
}

func orName(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
