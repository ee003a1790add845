package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"

	"github.com/slipway-release/slipway/pipelines"
)

// Class is what the end of a run says.
type Class string

const (
	Passed       Class = "Passed"
	Failed       Class = "Failed"
	Inconclusive Class = "Inconclusive"
	Refused      Class = "Refused"    // it could not be started as it is configured
	HostFailed   Class = "HostFailed" // it says nothing, and may be tried again
)

// Run is a pipeline to be run.
type Run struct {
	ID       string // names its folder; a run of this id goes on where it stood
	Pipeline string
	// Params are given as they are. Offered are given if the pipeline declares them.
	Params, Offered map[string]string
}

// Outcome is what came of a run.
type Outcome struct {
	Class  Class
	Reason string
	// Started and Finished are zero when nothing ran. A run that was broken off began when
	// it was first begun.
	Started, Finished time.Time
}

// Runs runs pipelines on this host.
type Runs struct {
	// Sets are looked for a pipeline in this order.
	Sets []*pipelines.Set
	// Options are those of every run; Set, Pipeline, Params, Workspaces and Dir are filled in.
	Options pipelines.RunOptions
	// Folder is that of the run of an id.
	Folder func(id string) string
	// Started and Ended are told of every attempt; either may be nil.
	Started func(ctx context.Context, r Run, dir string) error
	Ended   func(ctx context.Context, r Run, dir string, res *pipelines.Result) error
}

// find returns the set that has a pipeline.
func (r Runs) find(name string) (*pipelines.Set, *v1.Pipeline, error) {
	var last error
	for _, s := range r.Sets {
		p, err := s.Pipeline(name)
		if err == nil {
			return s, p, nil
		}
		last = err
	}
	return nil, nil, last
}

// Check says why a run could not be started, without starting it.
func (r Runs) Check(run Run) error {
	_, p, err := r.find(run.Pipeline)
	if err != nil {
		return err
	}
	_, err = params(p, run)
	return err
}

// params gives a pipeline what it asks for.
func params(p *v1.Pipeline, run Run) (map[string]v1.ParamValue, error) {
	var args []string
	for _, name := range slices.Sorted(maps.Keys(run.Params)) {
		args = append(args, name+"="+run.Params[name])
	}
	declared := p.Spec.Params.GetNames()
	for _, name := range slices.Sorted(maps.Keys(run.Offered)) {
		if _, given := run.Params[name]; !given && slices.Contains(declared, name) {
			args = append(args, name+"="+run.Offered[name])
		}
	}
	return pipelines.ParseParams(p, args)
}

// Run runs a pipeline to its end. When ctx ends, so does the run, and the outcome
// means nothing. A run that was broken off goes on, if the pipeline is still the same;
// otherwise it begins anew in a folder of its own.
func (r Runs) Run(ctx context.Context, run Run) Outcome {
	set, p, err := r.find(run.Pipeline)
	if err != nil {
		return Outcome{Class: Refused, Reason: err.Error()}
	}
	given, err := params(p, run)
	if err != nil {
		return Outcome{Class: Refused, Reason: err.Error()}
	}
	for attempt := 1; ; attempt++ {
		dir := r.Folder(run.ID)
		if attempt > 1 {
			dir += fmt.Sprintf("-%d", attempt)
		}
		outcome, err := r.runIn(ctx, run, dir, set, p, given)
		if errors.Is(err, pipelines.ErrOtherRun) {
			continue
		}
		if errors.Is(err, pipelines.ErrRefused) {
			return Outcome{Class: Refused, Reason: err.Error()}
		}
		if err != nil {
			return Outcome{Class: HostFailed, Reason: err.Error()}
		}
		return outcome
	}
}

func (r Runs) runIn(ctx context.Context, run Run, dir string, set *pipelines.Set, p *v1.Pipeline, given map[string]v1.ParamValue) (Outcome, error) {
	opts := r.Options
	opts.Set, opts.Pipeline, opts.Params, opts.Dir = set, run.Pipeline, given, dir
	opts.Workspaces = map[string]string{}
	for _, w := range p.Spec.Workspaces {
		opts.Workspaces[w.Name] = filepath.Join(dir, w.Name)
	}
	if set.HasRun(run.Pipeline) {
		opts.PipelineRun = run.Pipeline
	}
	if before, err := pipelines.ReadResult(dir); err == nil && before.Status == pipelines.Failed {
		// One that the host failed is worth another go; a verdict is not.
		opts.RetryFailed = classify(before).Class == HostFailed
	}
	if r.Started != nil {
		if err := r.Started(ctx, run, dir); err != nil {
			return Outcome{}, err
		}
	}
	res, err := pipelines.Run(ctx, opts)
	if err != nil {
		return Outcome{}, err
	}
	if r.Ended != nil {
		if err := r.Ended(context.WithoutCancel(ctx), run, dir, res); err != nil {
			return Outcome{}, err
		}
	}
	outcome := classify(res)
	outcome.Started, outcome.Finished = res.Started, res.Finished
	return outcome, nil
}

// classify reads the exit code of what made a run fail.
func classify(res *pipelines.Result) Outcome {
	if res.Status == pipelines.Succeeded {
		return Outcome{Class: Passed, Reason: "the run succeeded"}
	}
	failed, found := res.FirstFailure()
	if !found {
		return Outcome{Class: HostFailed, Reason: fmt.Sprintf("the run ended as %s", res.Reason)}
	}
	reason := fmt.Sprintf("task %q failed: %s", failed.Name, firstOf(failed.Message, failed.Reason))
	switch failed.ExitCode {
	case 1:
		return Outcome{Class: Failed, Reason: reason}
	case 2:
		return Outcome{Class: Refused, Reason: reason}
	case 4:
		return Outcome{Class: Inconclusive, Reason: reason}
	}
	return Outcome{Class: HostFailed, Reason: reason}
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
