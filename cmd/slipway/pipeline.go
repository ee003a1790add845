package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/internal/engine"
	"github.com/slipway-release/slipway/internal/state"
	"github.com/slipway-release/slipway/pipelines"
)

func newPipeline(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pipeline",
		Short: "Validate, draw and run Tekton pipelines on this host",
	}
	cmd.AddCommand(newPipelineValidate(a), newPipelineGraph(a), newPipelineList(a), newPipelineRun(a))
	return cmd
}

// loadPipelines reads the named files, or the built-in pipelines when none is
// named. Warnings go to standard error.
func (a *app) loadPipelines(ctx context.Context, files []string) (*pipelines.Set, error) {
	var set *pipelines.Set
	var problems pipelines.Problems
	if len(files) == 0 {
		set, problems = pipelines.LoadFS(ctx, pipelines.Embedded(), "pipelines")
	} else {
		set, problems = pipelines.Load(ctx, files...)
	}
	for _, p := range problems.Warnings() {
		fmt.Fprintln(a.Err, p)
	}
	return set, usage(problems.Err())
}

func newPipelineValidate(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "validate [FILE ...]",
		Short: "Check pipelines and tasks as Tekton would, and across files",
		Long: `Check pipelines and tasks: strictly parsed, validated by Tekton's own packages, and
checked across files: tasks that do not exist, params that do not fit, results that
nobody declares. Without files the built-in pipelines are checked.`,
		Example: "  slipway pipeline validate pipelines/",
		RunE: func(cmd *cobra.Command, files []string) error {
			set, err := a.loadPipelines(cmd.Context(), files)
			if err != nil {
				return err
			}
			for _, e := range set.List() {
				fmt.Fprintf(a.Out, "%s: pipeline %s is valid (%d tasks)\n", e.File, e.Name, e.Tasks)
			}
			return nil
		},
	}
}

func newPipelineList(a *app) *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use:     "list [FILE ...]",
		Short:   "List pipelines with their params",
		Example: "  slipway pipeline list -o json",
		RunE: func(cmd *cobra.Command, files []string) error {
			if err := out.check(); err != nil {
				return err
			}
			set, err := a.loadPipelines(cmd.Context(), files)
			if err != nil {
				return err
			}
			r := result{value: set.List(), text: func(w io.Writer) {
				for _, e := range set.List() {
					fmt.Fprintf(w, "%-20s %2d tasks  %s\n", e.Name, e.Tasks, e.Description)
					if len(e.Params) > 0 {
						fmt.Fprintf(w, "%-20s params: %s\n", "", strings.Join(e.Params, ", "))
					}
				}
			}}
			for _, e := range set.List() {
				r.names = append(r.names, e.Name)
			}
			return out.print(a.Out, r)
		},
	}
	out.addFlag(cmd)
	return cmd
}

func newPipelineGraph(a *app) *cobra.Command {
	var format string
	var files []string
	cmd := &cobra.Command{
		Use:     "graph NAME",
		Short:   "Draw what waits for what",
		Example: "  slipway pipeline graph nightly\n  slipway pipeline graph nightly -o dot | dot -Tsvg > nightly.svg",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			set, err := a.loadPipelines(cmd.Context(), files)
			if err != nil {
				return err
			}
			p, err := set.Pipeline(args[0])
			if err != nil {
				return usage(err)
			}
			g := pipelines.GraphOf(p)
			if format == "dot" {
				fmt.Fprint(a.Out, g.DOT())
				return nil
			}
			o := output{format: format}
			if err := o.check(); err != nil {
				return err
			}
			r := result{value: g, text: func(w io.Writer) { fmt.Fprint(w, g.Text()) }}
			for _, t := range g.Tasks {
				r.names = append(r.names, t.Name)
			}
			return o.print(a.Out, r)
		},
	}
	cmd.Flags().StringVarP(&format, "output", "o", "text", "text, dot, json, yaml or name")
	cmd.Flags().StringSliceVarP(&files, "file", "f", nil, "files or folders to read (default: the built-in pipelines)")
	return cmd
}

type pipelineRunOptions struct {
	files, params, workspaces []string
	dir                       string
}

func newPipelineRun(a *app) *cobra.Command {
	var o pipelineRunOptions
	cmd := &cobra.Command{
		Use:   "run NAME",
		Short: "Run a pipeline on this host",
		Long: `Run a pipeline on this host: tasks that do not wait for each other side by side.
A step whose image is Slipway's own runs as this program, any other in the
container engine. Called again with the same --dir, an interrupted run goes on.`,
		Example: "  slipway pipeline run hello -f hello.yaml -p greeting=hi -w src=.",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runPipeline(cmd.Context(), a, args[0], o)
		},
	}
	f := cmd.Flags()
	f.StringSliceVarP(&o.files, "file", "f", nil, "files or folders to read (default: the built-in pipelines)")
	f.StringArrayVarP(&o.params, "param", "p", nil, "NAME=VALUE, repeatable")
	f.StringArrayVarP(&o.workspaces, "workspace", "w", nil, "NAME=FOLDER, repeatable")
	f.StringVar(&o.dir, "dir", "", "folder of the run (default: a new one in the state directory)")
	return cmd
}

func runPipeline(ctx context.Context, a *app, name string, o pipelineRunOptions) error {
	set, err := a.loadPipelines(ctx, o.files)
	if err != nil {
		return err
	}
	p, err := set.Pipeline(name)
	if err != nil {
		return usage(err)
	}
	params, err := pipelines.ParseParams(p, o.params)
	if err != nil {
		return usage(err)
	}
	workspaces := map[string]string{}
	for _, w := range o.workspaces {
		k, v, ok := strings.Cut(w, "=")
		if !ok {
			return usage(fmt.Errorf("reading --workspace %q: it is not NAME=FOLDER", w))
		}
		workspaces[k] = v
	}
	st, err := a.state()
	if err != nil {
		return err
	}
	dir := o.dir
	if dir == "" {
		dir = st.Run(name + "-" + time.Now().UTC().Format("2006-01-02-150405"))
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	display := a.newDisplay()
	res, err := pipelines.Run(ctx, pipelines.RunOptions{
		Set: set, Pipeline: name, Params: params, Workspaces: workspaces, Dir: dir,
		Self: self, SelfImages: []string{slipwayImage}, Engine: &lazyEngine{app: a, state: st},
		Env: []string{"PATH=" + a.getenv("PATH"), "SLIPWAY_STEP=1"}, Abort: a.secondInterrupt(ctx), Display: display,
	})
	display.Close()
	if errors.Is(err, pipelines.ErrRefused) {
		return usage(err)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(a.Out, "%s: %s (%s), state and logs in %s\n", name, res.Status, res.Reason, dir)
	if failed, bad := res.FirstFailure(); bad {
		err := fmt.Errorf("task %q failed: %s; its log is %s", failed.Name, reasonOf(failed), filepath.Join(dir, failed.Log))
		if failed.ExitCode < exitRejected || failed.ExitCode > exitInconclusive {
			return err // a signal or a foreign program's code says nothing about a release
		}
		return &exitError{code: failed.ExitCode, err: err}
	}
	if res.Status != pipelines.Succeeded {
		return fmt.Errorf("pipeline %q ended as %s", name, res.Reason)
	}
	return nil
}

// lazyEngine looks for a container engine when the first step needs one.
type lazyEngine struct {
	app   *app
	state *state.Dir
}

// RunContainer runs one step of a foreign image.
func (l *lazyEngine) RunContainer(ctx context.Context, c pipelines.Container) error {
	e, err := l.app.openEngine(ctx, l.state, c.Stderr)
	if err != nil {
		return err
	}
	spec := engine.Container{
		Name: c.Name, Image: c.Image, Entrypoint: c.Command, Args: c.Args, Env: map[string]string{},
		WorkDir: c.WorkDir, Privileged: c.Privileged,
	}
	for _, kv := range c.Env {
		k, v, _ := strings.Cut(kv, "=")
		spec.Env[k] = v
	}
	for _, m := range c.Mounts {
		spec.Mounts = append(spec.Mounts, engine.Mount{Source: m.Source, Target: m.Target, ReadOnly: m.ReadOnly})
	}
	if _, found, err := e.Image(ctx, c.Image); err != nil {
		return err
	} else if !found && c.PullPolicy == "Never" {
		return errors.New("the engine does not have image " + c.Image)
	}
	return e.Run(ctx, spec, engine.Streams{Stdout: c.Stdout, Stderr: c.Stderr})
}
