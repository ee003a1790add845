package pipelines_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/pipelines"
)

const head = `apiVersion: tekton.dev/v1
kind: Pipeline
metadata: {name: p}
spec:
`

const taskT = `---
apiVersion: tekton.dev/v1
kind: Task
metadata: {name: t}
spec:
  params:
  - {name: text}
  - {name: list, type: array, default: []}
  - {name: pair, type: object, properties: {a: {}, b: {}}, default: {a: "1", b: "2"}}
  workspaces:
  - {name: in}
  - {name: out, optional: true}
  results:
  - {name: word}
  - {name: words, type: array}
  steps:
  - image: i
    args: [$(params.text), "$(params.list[*])", $(params.pair.a), $(workspaces.in.path), $(workspaces.out.path), $(results.word.path), $(results.words.path)]
`

func TestLoadReportsEveryProblem(t *testing.T) {
	for _, tc := range []struct {
		name, yaml string
		want       []string
	}{
		{
			name: "unknown fields in several places",
			yaml: head + `  taks: []
  tasks:
  - name: a
    taskRef: {name: t}
    runafter: [b]
  finally:
  - name: z
    taskSpec:
      steps:
      - image: i
        cmd: [x]
`,
			want: []string{
				`f.yaml:5: spec.taks: unknown field`,
				`f.yaml:9: spec.tasks[0].runafter: unknown field`,
				`f.yaml:15: spec.finally[0].taskSpec.steps[0].cmd: unknown field`,
			},
		},
		{
			name: "wrong type",
			yaml: head + "  tasks:\n  - name: a\n    taskRef: {name: t}\n  - name: b\n    retries: often\n    taskRef: {name: t}\n",
			want: []string{`f.yaml:9: spec.tasks[1].retries: cannot be string, must be a whole number`},
		},
		{
			name: "a list where a mapping belongs",
			yaml: head + "  tasks:\n  - name: a\n    taskRef: [t]\n",
			want: []string{`f.yaml:7: spec.tasks[0].taskRef: cannot be array, must be a mapping`},
		},
		{
			name: "duplicate key, in the second document",
			yaml: taskT[4:] + "---\n" + head + "  tasks: []\n  tasks: []\n",
			want: []string{`f.yaml:24: key "tasks" already set in map`},
		},
		{
			name: "not YAML",
			yaml: head + "  tasks: [\n",
			want: []string{`f.yaml:5: did not find expected node content`},
		},
		{
			name: "no objects of ours",
			yaml: "- 1\n---\napiVersion: v1\nkind: ConfigMap\n---\napiVersion: tekton.dev/v1\nkind: StepAction\nmetadata: {name: x}\n---\napiVersion: tekton.dev/v1beta1\nkind: Task\n",
			want: []string{
				`f.yaml:1: is not an object with apiVersion, kind and metadata.name`,
				`f.yaml:3: apiVersion: cannot be "v1", must be "tekton.dev/v1"`,
				`f.yaml:7: kind: cannot be "StepAction", must be Pipeline, Task or PipelineRun`,
				`f.yaml:10: apiVersion: cannot be "tekton.dev/v1beta1", must be "tekton.dev/v1"`,
			},
		},
		{
			name: "the same name twice",
			yaml: head + "  tasks: [{name: a, taskSpec: {steps: [{image: i}]}}]\n---\n" + head + "  tasks: [{name: a, taskSpec: {steps: [{image: i}]}}]\n",
			want: []string{`f.yaml:9: metadata.name: Pipeline "p" is defined a second time; the first is in f.yaml:3`},
		},
		{
			name: "Tekton's own validation, all at once",
			yaml: head + `  tasks:
  - name: Bad_Name
    taskSpec: {steps: [{image: i}]}
  - name: b
    runAfter: [c]
    taskSpec: {steps: [{image: i, script: "echo $(params.none)"}]}
  - name: c
    runAfter: [b]
    retries: 1
    onError: continue
    taskSpec: {steps: [{image: i}]}
`,
			want: []string{
				`f.yaml:5: spec.tasks: invalid value: cycle detected; task "b" depends on "c"`,
				`f.yaml:6: spec.tasks[0].name: invalid value "Bad_Name": Pipeline Task name must be a valid DNS Label.For more info refer to https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#names`,
				`f.yaml:10: spec.tasks[1].steps[0].script: non-existent variable in "echo $(params.none)"`,
				`f.yaml:14: spec.tasks[2].onError: cannot be "continue" while retries is 1`,
			},
		},
		{
			name: "params across files",
			yaml: head + `  params:
  - {name: arr, type: array, default: [x]}
  tasks:
  - name: a
    taskRef: {name: t}
    params:
    - {name: nope, value: x}
    - {name: list, value: not-a-list}
    - {name: pair, value: {a: x, c: z}}
    workspaces: [{name: in, workspace: w}]
  - name: b
    taskRef: {name: t}
    params:
    - {name: text, value: "$(params.arr[*])"}
    - {name: list, value: "$(params.arr[*])"}
    workspaces: [{name: in, workspace: w}]
  - name: c
    taskRef: {name: missing}
  workspaces: [{name: w}]
` + taskT,
			want: []string{
				`f.yaml:10: spec.tasks[0].params: Task "t" requires param "text"`,
				`f.yaml:11: spec.tasks[0].params[nope]: Task "t" does not declare this param; it has "text", "list", "pair"`,
				`f.yaml:12: spec.tasks[0].params[list].value: is of type string, but Task "t" declares type array`,
				`f.yaml:18: spec.tasks[1].params[text].value: is of type array, but Task "t" declares type string`,
				`f.yaml:22: spec.tasks[2].taskRef.name: there is no Task "missing" in the given files`,
			},
		},
		{
			name: "results across files",
			yaml: head + `  tasks:
  - name: a
    taskRef: {name: t}
    params: [{name: text, value: x}]
    workspaces: [{name: in, workspace: w}]
  - name: b
    taskRef: {name: t}
    params:
    - {name: text, value: $(tasks.a.results.wrod)}
    - {name: list, value: "$(tasks.a.results.word[*])"}
    workspaces: [{name: in, workspace: w}]
    when: [{input: "$(tasks.a.results.word[0])", operator: in, values: [x]}]
  workspaces: [{name: w}]
  results: [{name: r, value: $(tasks.a.results.nothing)}]
` + taskT,
			want: []string{
				`f.yaml:13: spec.tasks[1].params[text].value: $(tasks.a.results.wrod) refers to result "wrod", but task "a" declares "word", "words"`,
				`f.yaml:14: spec.tasks[1].params[list].value: is of type string, but Task "t" declares type array`,
				`f.yaml:16: spec.tasks[1].when[0]: $(tasks.a.results.word[0]) takes an element of result "word", which is of type string`,
				`f.yaml:18: spec.results[0].value: $(tasks.a.results.nothing) refers to result "nothing", but task "a" declares "word", "words"`,
			},
		},
		{
			name: "workspaces across files, and what is declared in vain",
			yaml: head + `  params: [{name: idle, default: x}]
  workspaces: [{name: w, optional: true}, {name: spare}]
  tasks:
  - name: a
    taskRef: {name: t}
    params: [{name: text, value: x}]
    workspaces: [{name: in, workspace: w}, {name: elsewhere, workspace: w}]
  - name: b
    taskRef: {name: t}
    params: [{name: text, value: x}]
` + taskT,
			want: []string{
				`f.yaml:5: warning: spec.params[idle]: is declared but not used`,
				`f.yaml:6: warning: spec.workspaces[spare]: is declared but not used`,
				`f.yaml:11: spec.tasks[0].workspaces[elsewhere]: Task "t" does not declare this workspace; it has "in", "out"`,
				`f.yaml:11: spec.tasks[0].workspaces[in]: Task "t" requires this workspace, but the pipeline declares "w" optional`,
				`f.yaml:12: spec.tasks[1].workspaces: Task "t" requires workspace "in"`,
			},
		},
		{
			name: "a task that uses what it does not declare",
			yaml: `apiVersion: tekton.dev/v1
kind: Task
metadata: {name: t}
spec:
  params: [{name: idle}]
  results: [{name: unwritten}]
  steps:
  - image: i
    command: [cp, $(workspaces.gone.path)/x, $(results.gone.path)]
    args: [$(context.pipelineRun.name), $(tasks.a.results.b), $(context.taskRun.name)]
`,
			want: []string{
				`f.yaml:5: warning: spec.params[idle]: is declared but not used`,
				`f.yaml:6: warning: spec.results[unwritten]: is declared but not used`,
				`f.yaml:8: spec.steps[0]: $(context.pipelineRun.name) is known in a pipeline only; hand it over as a param`,
				`f.yaml:8: spec.steps[0]: $(results.gone.path) names one that the task does not declare; it has "unwritten"`,
				`f.yaml:8: spec.steps[0]: $(tasks.a.results.b) is known in a pipeline only; hand it over as a param`,
				`f.yaml:8: spec.steps[0]: $(workspaces.gone.path) names one that the task does not declare; it has none`,
			},
		},
		{
			name: "finally may not be waited for",
			yaml: head + `  tasks:
  - name: a
    params: [{name: x, value: $(tasks.z.results.r)}]
    taskSpec: {params: [{name: x}], steps: [{image: i, args: [$(params.x)]}]}
  finally:
  - name: z
    runAfter: [a]
    taskSpec: {results: [{name: r}], steps: [{image: i, args: [$(results.r.path)]}]}
`,
			want: []string{
				`f.yaml:5: spec.tasks: invalid value: couldn't add link between a and z: task a depends on z but z wasn't present in Pipeline`,
				`f.yaml:10: spec.finally[0]: invalid value: no runAfter allowed under spec.finally, final task z has runAfter specified`,
			},
		},
		{
			name: "a PipelineRun that does not fit",
			yaml: head + "  params: [{name: must}]\n  workspaces: [{name: w}]\n  tasks: [{name: a, params: [{name: x, value: $(params.must)}], workspaces: [{name: w}], taskSpec: {params: [{name: x}], workspaces: [{name: w}], steps: [{image: i, args: [$(params.x), $(workspaces.w.path)]}]}}]\n" + `---
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata: {generateName: r-}
spec:
  pipelineRef: {name: p}
  params: [{name: other, value: x}]
  timeouts: {pipeline: 1h0m0s, tasks: 2h0m0s}
---
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata: {name: lost}
spec:
  pipelineRef: {name: q}
`,
			want: []string{
				`f.yaml:12: spec.workspaces: Pipeline "p" requires workspace "w"`,
				`f.yaml:14: spec.params: Pipeline "p" requires param "must"`,
				`f.yaml:14: spec.params[other]: Pipeline "p" does not declare this param; it has "must"`,
				`f.yaml:15: spec.timeouts.tasks: invalid value: 2h0m0s should be <= pipeline duration`,
				`f.yaml:21: spec.pipelineRef.name: there is no Pipeline "q" in the given files`,
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "f.yaml")
			if err := os.WriteFile(file, []byte(tc.yaml), 0o644); err != nil {
				t.Fatal(err)
			}
			_, problems := pipelines.Load(t.Context(), file)
			got := strings.Split(strings.ReplaceAll(problems.Error(), dir+"/", ""), "\n")
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoadDirectory(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("p.yaml", "# a comment\n---\n"+head+"  workspaces: [{name: w}]\n  tasks: [{name: a, taskRef: {name: t}, params: [{name: text, value: x}], workspaces: [{name: in, workspace: w}]}]\n---\n# nothing here\n")
	write("tasks/t.yml", taskT)
	write("README.md", "not YAML: [")
	set, problems := pipelines.Load(t.Context(), dir)
	if len(problems) != 0 {
		t.Fatal(problems)
	}
	if diff := cmp.Diff([]string{"p"}, set.Pipelines()); diff != "" {
		t.Error(diff)
	}

	_, problems = pipelines.Load(t.Context(), filepath.Join(dir, "gone.yaml"), t.TempDir())
	got := problems.Error()
	for _, want := range []string{"gone.yaml: cannot be read: no such file or directory", ": holds no YAML file"} {
		if !strings.Contains(got, want) {
			t.Errorf("problems %q lack %q", got, want)
		}
	}

	write("big.yaml", strings.Repeat("#", 1<<20+1))
	_, problems = pipelines.Load(t.Context(), dir)
	if want := filepath.Join(dir, "big.yaml") + ": is 1048577 bytes; at most 1048576 are read"; problems.Error() != want {
		t.Errorf("problems are %q, want %q", problems.Error(), want)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(head + "  tasks: [{name: a, taskRef: {name: t}}]\n" + taskT))
	f.Add([]byte("--- x\n---\n...\n- a: [b\n"))
	f.Add([]byte(head + "  tasks:\n  - name: a\n    retries: {}\n    matrix: {params: [{name: x, value: [a]}]}\n    when: [{cel: \"1\"}]\n"))
	entries, err := os.ReadDir("tasks")
	if err != nil {
		f.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join("tasks", e.Name()))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		file := filepath.Join(dir, "f.yaml")
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
		set, problems := pipelines.Load(t.Context(), file)
		lines := 1
		for _, brk := range []string{"\n", "\r", "\u0085", "\u2028", "\u2029"} { // YAML 1.1's
			lines += strings.Count(string(data), brk)
		}
		for _, p := range problems {
			if p.Line < 0 || p.Line > lines {
				t.Errorf("problem %q is in line %d of %d", p, p.Line, lines)
			}
		}
		if problems.Err() != nil {
			return
		}
		for _, name := range set.Pipelines() {
			p, err := set.Pipeline(name)
			if err != nil {
				t.Fatal(err)
			}
			set.CheckLocal(name)
			g := pipelines.GraphOf(p)
			if len(g.Tasks) != len(p.Spec.Tasks)+len(p.Spec.Finally) {
				t.Errorf("the graph has %d tasks, the pipeline %d", len(g.Tasks), len(p.Spec.Tasks)+len(p.Spec.Finally))
			}
			_, _ = g.Text(), g.DOT()
		}
	})
}
