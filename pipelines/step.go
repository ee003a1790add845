package pipelines

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"github.com/tektoncd/pipeline/pkg/container"

	"github.com/slipway-release/slipway/internal/progress"
)

var errStepTimeout = errors.New("the timeout of the step has been reached")

// stepRun is one step of an attempt at a task.
type stepRun struct {
	*runner
	task    *task
	index   int
	attempt int
	step    v1.Step
	vars    variables
	log     *os.File
}

// places are the paths that a step sees: those of the host, or those that are
// mounted into its container.
type places struct {
	results, steps, scripts string
	workspaces              map[string]string
	mounts                  []Mount
}

// run runs the step, unless its conditions do not hold. A failure that the step
// says to ignore is written to its exit code file only.
func (s *stepRun) run(ctx context.Context) error {
	image := s.vars.apply(stringValue(s.step.Image)).StringVal
	self := s.isSelf(image)
	at, err := s.places(self)
	if err != nil {
		return err
	}
	container.ApplyStepReplacements(&s.step, s.variables(at).strings, s.vars.arrays)
	if !s.step.When.AllowsExecution(nil) {
		fmt.Fprintf(s.log, "--- step %s skipped: its conditions do not hold\n", s.name())
		return nil
	}
	if s.step.Timeout != nil {
		var cancel context.CancelFunc
		ctx, cancel = withTimeout(ctx, s.step.Timeout.Duration, errStepTimeout)
		defer cancel()
	}
	fmt.Fprintf(s.log, "--- step %s, attempt %d\n", s.name(), s.attempt)
	item := s.task.item
	if len(s.task.spec.Steps) > 1 {
		item = item.Start(s.name())
	}
	err = s.execute(ctx, self, at, item)
	s.showEnd(item, err)
	if code := s.writeExitCode(err); code != nil {
		return code
	}
	if err != nil && s.step.OnError == v1.Continue && ctx.Err() == nil && exitCode(err) > 0 {
		return nil
	}
	return err
}

func (s *stepRun) execute(ctx context.Context, self bool, at places, item *progress.Item) error {
	stdout, stderr := s.output(item), s.output(item)
	switch {
	case self:
		return s.runHere(ctx, at, stdout, stderr)
	case s.opts.Engine == nil:
		return fmt.Errorf("starting step %q: image %q needs a container engine, and there is none", s.name(), s.step.Image)
	}
	return s.runInContainer(ctx, at, stdout, stderr)
}

func (s *stepRun) showEnd(item *progress.Item, err error) {
	switch {
	case item == s.task.item:
	case err != nil:
		item.Done(progress.Failed, "exit code "+strconv.Itoa(exitCode(err)))
	default:
		item.Done(progress.Succeeded, "")
	}
}

// name is the step's name, or Tekton's for one without.
func (s *stepRun) name() string { return stepName(s.step, s.index) }

func stepName(s v1.Step, index int) string {
	if s.Name != "" {
		return s.Name
	}
	return "unnamed-" + strconv.Itoa(index)
}

// isSelf says whether an image is Slipway's own, whatever its tag or digest.
func (r *runner) isSelf(image string) bool {
	for _, own := range r.opts.SelfImages {
		if image == own || repository(image) == own {
			return true
		}
	}
	return false
}

// repository is an image reference without tag and digest.
func repository(image string) string {
	image, _, _ = strings.Cut(image, "@")
	if k := strings.LastIndexByte(image, ':'); k > strings.LastIndexByte(image, '/') {
		image = image[:k]
	}
	return image
}

// places finds the directories of the step, and makes those of its workspaces.
func (s *stepRun) places(self bool) (places, error) {
	dir := s.taskDir(s.task)
	at := places{filepath.Join(dir, "results"), filepath.Join(dir, "steps"), filepath.Join(dir, "scripts"), map[string]string{}, nil}
	if !self {
		at.mounts = []Mount{{at.results, "/tekton/results", false}, {at.steps, "/tekton/steps", false}, {at.scripts, "/tekton/scripts", true}}
		at.results, at.steps, at.scripts = "/tekton/results", "/tekton/steps", "/tekton/scripts"
	}
	bind := func(name, dir, target string, readOnly bool) error {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("making workspace %q: %w", name, err)
		}
		if !self {
			at.mounts = append(at.mounts, Mount{dir, target, readOnly})
			dir = target
		}
		at.workspaces[name] = dir
		return nil
	}
	declared := map[string]v1.WorkspaceDeclaration{}
	for _, w := range s.task.spec.Workspaces {
		declared[w.Name] = w
	}
	for _, b := range s.task.pt.Workspaces {
		root, bound := s.workspaces[orName(b.Workspace, b.Name)]
		if !bound {
			continue
		}
		sub := s.vars.apply(s.runner.vars.apply(stringValue(b.SubPath))).StringVal
		if sub != "" && !filepath.IsLocal(sub) {
			return at, fmt.Errorf("binding workspace %q: subPath %q leads out of it", b.Name, sub)
		}
		w := declared[b.Name]
		w.Name = b.Name
		if err := bind(b.Name, filepath.Join(root, sub), w.GetMountPath(), w.ReadOnly); err != nil {
			return at, err
		}
	}
	if s.task.pt.TaskSpec != nil {
		// An inline task sees the workspaces of its pipeline without binding them.
		for _, name := range sortedKeys(s.workspaces) {
			if _, ok := at.workspaces[name]; ok {
				continue
			}
			if err := bind(name, s.workspaces[name], path.Join("/workspace", name), false); err != nil {
				return at, err
			}
		}
	}
	return at, nil
}

// variables adds what depends on where the step runs.
func (s *stepRun) variables(at places) variables {
	vars := s.vars.clone()
	for _, r := range s.task.spec.Results {
		p := path.Join(at.results, r.Name)
		vars.strings["results."+r.Name+".path"] = p
		vars.strings[fmt.Sprintf("results[%q].path", r.Name)] = p
		vars.strings[fmt.Sprintf("results['%s'].path", r.Name)] = p
	}
	for _, w := range s.task.spec.Workspaces {
		vars.strings["workspaces."+w.Name+".path"] = ""
		vars.strings["workspaces."+w.Name+".bound"] = "false"
		vars.strings["workspaces."+w.Name+".claim"] = ""
		vars.strings["workspaces."+w.Name+".volume"] = ""
	}
	for name, dir := range at.workspaces {
		vars.strings["workspaces."+name+".path"] = dir
		vars.strings["workspaces."+name+".bound"] = "true"
	}
	for i, other := range s.task.spec.Steps {
		name := "step-" + stepName(other, i)
		vars.strings["steps."+name+".exitCode.path"] = path.Join(at.steps, name, "exitCode")
	}
	return vars
}

// writeExitCode leaves the step's exit code where later steps look for it.
func (s *stepRun) writeExitCode(err error) error {
	dir := filepath.Join(s.taskDir(s.task), "steps", "step-"+s.name())
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("keeping the exit code of step %q: %w", s.name(), err)
	}
	if err := os.WriteFile(filepath.Join(dir, "exitCode"), []byte(strconv.Itoa(exitCode(err))), 0o644); err != nil {
		return fmt.Errorf("keeping the exit code of step %q: %w", s.name(), err)
	}
	return nil
}

// output is where the step's output goes: to the task's log, and line by line
// to the display. Standard output and error get one each, for they are copied
// side by side.
func (s *stepRun) output(item *progress.Item) io.Writer {
	return io.MultiWriter(s.log, &lineWriter{line: item.Update})
}

// maxLine bounds what is kept of a line for the display, in bytes.
const maxLine = 4096

// lineWriter hands on whole lines; a carriage return ends one too, as programs
// use it to draw over their last.
type lineWriter struct {
	line func(string)
	buf  []byte
}

func (w *lineWriter) Write(p []byte) (int, error) {
	for _, c := range p {
		switch {
		case c == '\n' || c == '\r':
			if len(w.buf) > 0 {
				w.line(string(w.buf))
			}
			w.buf = w.buf[:0]
		case len(w.buf) < maxLine:
			w.buf = append(w.buf, c)
		}
	}
	return len(p), nil
}
