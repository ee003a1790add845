package pipelines

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/slipway-release/slipway/internal/command"
)

// stepVariable is in the environment of every step that runs on the host, and
// through it in that of all it starts: the run's folder and the task. By it a
// run that goes on finds what its predecessor left running.
const stepVariable = "SLIPWAY_STEP"

// defaultShebang is Tekton's.
const defaultShebang = "#!/bin/sh\nset -e\n"

// guard runs a program of the step and, beside it, waits on a pipe whose other
// end the runner holds. When the runner dies, however it dies, the pipe closes
// and the whole process group goes; when it says that the step is over, what
// the step left in the background goes. The parent death signal alone would
// reach the program but not what it started. Only the program gets the step's
// mark, so that the guard itself is not taken for something left behind.
const guard = `exec 3<&0 </dev/null
(trap '' TERM INT HUP; exec >/dev/null 2>&1
read -r end <&3 && kill -KILL 0
kill -TERM 0; sleep 10; kill -KILL 0) &
exec 3<&-
export ` + stepVariable + `="$1"
shift
exec "$@"`

// runHere runs a step of Slipway's own image on the host.
func (s *stepRun) runHere(ctx context.Context, at places, stdout, stderr io.Writer) error {
	argv, err := s.argv(at)
	if err != nil {
		return err
	}
	cmd := command.Cmd{Path: argv[0], Args: argv[1:], Dir: s.workDir(), Env: s.environment(), Stdout: stdout, Stderr: stderr}
	mark := stepMark(s.opts.Dir, s.task.pt.Name)
	if argv[0] == s.opts.Self {
		cmd.Env = append(cmd.Env, stepVariable+"="+mark)
		return command.Run(ctx, cmd)
	}
	read, write, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("starting step %q: %w", s.name(), err)
	}
	defer read.Close()
	defer write.Close()
	cmd.Path, cmd.Args, cmd.Stdin = "/bin/sh", append([]string{"-c", guard, "sh", mark}, argv...), read
	err = command.Run(ctx, cmd)
	_, _ = io.WriteString(write, "end\n")
	return err
}

// argv is the command line of a step on the host, where `slipway` and an image
// without a command are this program.
func (s *stepRun) argv(at places) ([]string, error) {
	if s.step.Script != "" {
		script, interpreter, err := s.writeScript()
		if err != nil {
			return nil, err
		}
		return append(append(interpreter, filepath.Join(at.scripts, script)), s.step.Args...), nil
	}
	argv := append(append([]string{}, s.step.Command...), s.step.Args...)
	if len(s.step.Command) == 0 {
		return append([]string{s.opts.Self}, argv...), nil
	}
	if path.Base(argv[0]) == "slipway" {
		argv[0] = s.opts.Self
	}
	return argv, nil
}

// writeScript writes the step's script beside the task's other files and
// returns its name and the interpreter of its first line. The interpreter is
// started with the script, as the kernel would, since a file that was written a
// moment ago may still be held open by a process that is just being started.
func (s *stepRun) writeScript() (name string, interpreter []string, err error) {
	text := s.step.Script
	if !strings.HasPrefix(text, "#!") {
		text = defaultShebang + text
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(text, "#!"), "\n")
	program, argument, has := strings.Cut(strings.TrimSpace(first), " ")
	interpreter = []string{program}
	if argument = strings.TrimSpace(argument); has && argument != "" {
		interpreter = append(interpreter, argument)
	}
	name = fmt.Sprintf("script-%d", s.index)
	if err := os.WriteFile(filepath.Join(s.taskDir(s.task), "scripts", name), []byte(text), 0o755); err != nil {
		return "", nil, fmt.Errorf("writing the script of step %q: %w", s.name(), err)
	}
	return name, interpreter, nil
}

func (s *stepRun) workDir() string {
	if s.step.WorkingDir == "" || filepath.IsAbs(s.step.WorkingDir) {
		return orName(s.step.WorkingDir, s.opts.WorkDir)
	}
	return filepath.Join(s.opts.WorkDir, s.step.WorkingDir)
}

func (s *stepRun) environment() []string {
	var env []string
	for _, e := range s.opts.Env {
		if value, ok := strings.CutPrefix(e, "PATH="); ok {
			e = "PATH=" + filepath.Join(s.opts.Dir, "bin") + string(filepath.ListSeparator) + value
		}
		env = append(env, e)
	}
	return append(env, s.stepEnv()...)
}

func (s *stepRun) stepEnv() []string {
	var env []string
	for _, e := range s.step.Env {
		env = append(env, e.Name+"="+e.Value)
	}
	return env
}

func stepMark(dir, task string) string { return dir + "#" + task }

// runInContainer runs a step of any other image.
func (s *stepRun) runInContainer(ctx context.Context, at places, stdout, stderr io.Writer) error {
	c := Container{
		Name:  fmt.Sprintf("%s-%s-%s", filepath.Base(s.opts.Dir), s.task.pt.Name, s.name()),
		Image: s.step.Image, Command: s.step.Command, Args: s.step.Args, Env: s.stepEnv(), WorkDir: s.step.WorkingDir,
		Mounts: at.mounts, PullPolicy: string(s.step.ImagePullPolicy), Stdout: stdout, Stderr: stderr,
	}
	if sc := s.step.SecurityContext; sc != nil && sc.Privileged != nil {
		c.Privileged = *sc.Privileged
	}
	if s.step.Script != "" {
		name, _, err := s.writeScript()
		if err != nil {
			return err
		}
		c.Command = []string{path.Join(at.scripts, name)}
	}
	return s.opts.Engine.RunContainer(ctx, c)
}
