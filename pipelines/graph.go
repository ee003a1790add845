package pipelines

import (
	"fmt"
	"slices"
	"strings"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
)

// Graph is a pipeline's order, as data: what `pipeline graph -o json` prints.
type Graph struct {
	Pipeline string `json:"pipeline"`
	// Tasks are in an order in which they could run one after another, those
	// of finally last.
	Tasks []GraphTask `json:"tasks"`
}

// GraphTask is a task and what it waits for.
type GraphTask struct {
	Name        string `json:"name"`
	DisplayName string `json:"displayName,omitempty"`
	Task        string `json:"task,omitempty"` // the Task it refers to
	Finally     bool   `json:"finally,omitempty"`
	Conditional bool   `json:"conditional,omitempty"` // it has `when`
	OnError     string `json:"onError,omitempty"`
	Retries     int    `json:"retries,omitempty"`
	// Uses are the tasks whose results it uses, After those that it only has
	// to wait for. Tasks of finally wait for all others.
	Uses  []string `json:"uses,omitempty"`
	After []string `json:"after,omitempty"`

	beside []string // what it waits for besides those above it in the tree
}

// GraphOf returns the order of a pipeline that has been validated.
func GraphOf(p *v1.Pipeline) Graph {
	g := Graph{Pipeline: p.Name}
	for k, sec := range sections(p) {
		open := make([]GraphTask, 0, len(sec.tasks))
		for i := range sec.tasks {
			open = append(open, graphTask(&sec.tasks[i], k == 1))
		}
		g.Tasks = append(g.Tasks, sortTasks(open)...)
	}
	return g
}

func graphTask(pt *v1.PipelineTask, finally bool) GraphTask {
	t := GraphTask{Name: pt.Name, DisplayName: pt.DisplayName, Finally: finally, Conditional: len(pt.When) > 0, OnError: string(pt.OnError), Retries: pt.Retries}
	if pt.TaskRef != nil {
		t.Task = pt.TaskRef.Name
	}
	for _, ref := range v1.PipelineTaskResultRefs(pt) {
		t.Uses = append(t.Uses, ref.PipelineTask)
	}
	slices.Sort(t.Uses)
	t.Uses = slices.Compact(t.Uses)
	for _, name := range pt.RunAfter {
		if !slices.Contains(t.Uses, name) {
			t.After = append(t.After, name)
		}
	}
	slices.Sort(t.After)
	return t
}

// sortTasks puts every task behind those it waits for, keeping the given order
// otherwise. Tasks of finally wait for none of each other.
func sortTasks(open []GraphTask) []GraphTask {
	var out []GraphTask
	done := map[string]bool{}
	in := map[string]bool{}
	for _, t := range open {
		in[t.Name] = true
	}
	ready := func(t GraphTask) bool {
		return !slices.ContainsFunc(t.waits(), func(n string) bool { return in[n] && !done[n] })
	}
	for len(open) > 0 {
		k := slices.IndexFunc(open, ready)
		if k < 0 {
			return append(out, open...) // a circle, which validation has reported
		}
		done[open[k].Name] = true
		out = append(out, open[k])
		open = slices.Delete(open, k, k+1)
	}
	return out
}

func (t GraphTask) waits() []string {
	all := append(slices.Clone(t.Uses), t.After...)
	slices.Sort(all)
	return all
}

// Text draws the graph as a tree: each task stands below the one that it waits
// for longest, and names the others it waits for that are not above it.
func (g Graph) Text() string {
	var b strings.Builder
	b.WriteString(g.Pipeline + "\n")
	depth := map[string]int{}
	children := map[string][]GraphTask{}
	above := map[string][]string{}
	var finally []GraphTask
	for _, t := range g.Tasks {
		if t.Finally {
			finally = append(finally, t)
			continue
		}
		parent := ""
		for _, n := range t.waits() {
			if parent == "" || depth[n] > depth[parent] {
				parent = n
			}
		}
		depth[t.Name] = depth[parent] + 1
		above[t.Name] = append(slices.Clone(above[parent]), parent)
		t.beside = slices.DeleteFunc(t.waits(), func(n string) bool { return slices.Contains(above[t.Name], n) })
		children[parent] = append(children[parent], t)
	}
	drawTree(&b, children, "", "")
	if len(finally) > 0 {
		b.WriteString("finally\n")
		drawTree(&b, map[string][]GraphTask{"": finally}, "", "")
	}
	return b.String()
}

func drawTree(b *strings.Builder, children map[string][]GraphTask, parent, indent string) {
	for i, t := range children[parent] {
		branch, next := "├── ", "│   "
		if i == len(children[parent])-1 {
			branch, next = "└── ", "    "
		}
		b.WriteString(indent + branch + t.label() + "\n")
		if !t.Finally {
			drawTree(b, children, t.Name, indent+next)
		}
	}
}

func (t GraphTask) label() string {
	label := t.Name
	if len(t.beside) > 0 {
		label += " (also after " + strings.Join(t.beside, ", ") + ")"
	}
	if t.Conditional {
		label += " (when its conditions hold)"
	}
	if t.OnError == string(v1.PipelineTaskContinue) {
		label += " (may fail)"
	}
	return label
}

// DOT draws the graph for Graphviz: results go along solid lines, mere order
// along dashed ones.
func (g Graph) DOT() string {
	var b strings.Builder
	fmt.Fprintf(&b, "digraph %q {\n  rankdir=LR;\n  node [shape=box];\n", g.Pipeline)
	finally := ""
	for _, t := range g.Tasks {
		attrs := ""
		if t.Conditional {
			attrs = " [style=dashed]"
		}
		if t.Finally {
			finally += fmt.Sprintf("    %q%s;\n", t.Name, attrs)
			continue
		}
		fmt.Fprintf(&b, "  %q%s;\n", t.Name, attrs)
	}
	if finally != "" {
		b.WriteString("  subgraph cluster_finally {\n    label=finally;\n" + finally + "  }\n")
	}
	for _, t := range g.Tasks {
		for _, n := range t.Uses {
			fmt.Fprintf(&b, "  %q -> %q;\n", n, t.Name)
		}
		for _, n := range t.After {
			fmt.Fprintf(&b, "  %q -> %q [style=dashed];\n", n, t.Name)
		}
	}
	b.WriteString("}\n")
	return b.String()
}

// Entry is one pipeline of a set.
type Entry struct {
	Name        string   `json:"name"`
	DisplayName string   `json:"displayName,omitempty"`
	Description string   `json:"description,omitempty"`
	File        string   `json:"file"`
	Tasks       int      `json:"tasks"` // those of finally included
	Params      []string `json:"params,omitempty"`
	// Runs are the names of the PipelineRuns that the set has for it.
	Runs []string `json:"runs,omitempty"`
}

// List describes the pipelines of the set, sorted by name.
func (s *Set) List() []Entry {
	var out []Entry
	for _, name := range s.Pipelines() {
		d := find(s.pipelines, name)
		spec := d.value.Spec
		e := Entry{Name: name, DisplayName: spec.DisplayName, Description: spec.Description, File: d.file, Tasks: len(spec.Tasks) + len(spec.Finally), Params: spec.Params.GetNames()}
		for _, r := range s.runs {
			if ref := r.value.Spec.PipelineRef; ref != nil && ref.Name == name {
				e.Runs = append(e.Runs, r.name)
			}
		}
		out = append(out, e)
	}
	return out
}
