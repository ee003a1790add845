package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/slipway-release/slipway/internal/cluster"
	"github.com/slipway-release/slipway/internal/engine"
	"github.com/slipway-release/slipway/pipelines"
	"github.com/slipway-release/slipway/pipelines/controller"
)

// streamRuns runs the pipelines of streams on this host.
type streamRuns struct {
	app *app
	*world
	log *slog.Logger
}

func (r *streamRuns) runs(ctx context.Context) (controller.Runs, error) {
	sets, err := r.sets(ctx)
	if err != nil {
		return controller.Runs{}, err
	}
	self, err := os.Executable()
	if err != nil {
		return controller.Runs{}, fmt.Errorf("finding this program: %w", err)
	}
	env, err := (&nightly{app: r.app, state: r.state}).environment()
	if err != nil {
		return controller.Runs{}, err
	}
	env = slices.DeleteFunc(env, func(kv string) bool { return strings.HasPrefix(kv, "SLIPWAY_MEMORY_DIR=") })
	return controller.Runs{
		Sets: sets, Folder: r.state.Run, Started: r.started, Ended: r.ended,
		Options: pipelines.RunOptions{
			Self: self, SelfImages: []string{slipwayImage}, Engine: &lazyEngine{app: r.app, state: r.state}, Env: env,
			Retryable: func(exit int) bool { return exit == exitHost || exit < 0 },
			Abort:     r.app.secondInterrupt(ctx),
			OnEvent: func(e pipelines.Event) {
				r.log.Info("task", "task", e.Task.Name, "status", e.Task.Status, "seconds", e.Task.Seconds, "message", e.Task.Message)
			},
		},
	}, nil
}

// sets are the pipelines beside distro.yaml, and the built-in ones.
func (r *streamRuns) sets(ctx context.Context) ([]*pipelines.Set, error) {
	builtIn, err := r.app.loadPipelines(ctx, nil)
	if err != nil {
		return nil, err
	}
	distro, err := r.app.distroPath()
	if err != nil || distro == "" {
		return []*pipelines.Set{builtIn}, err
	}
	own := filepath.Join(distro, "pipelines")
	if _, err := os.Stat(own); err != nil {
		return []*pipelines.Set{builtIn}, nil
	}
	set, err := r.app.loadPipelines(ctx, []string{own})
	return []*pipelines.Set{set, builtIn}, err
}

// offered are the params that the built-in pipelines take from this host.
func (r *streamRuns) offered() (map[string]string, error) {
	distro, err := r.app.distroPath()
	if err != nil {
		return nil, err
	}
	lock, err := (&nightly{app: r.app}).lockFile()
	return map[string]string{
		"distro": distro, "lock": lock, "state-dir": r.state.Root(), "cluster-prefix": "n" + engine.StateID(r.state.Root())[:6],
	}, err
}

func (r *streamRuns) started(ctx context.Context, run controller.Run, dir string) error {
	if run.Pipeline != "nightly" {
		return nil
	}
	if _, err := os.Stat(dir); err == nil {
		// Steps of a killed controller may still be ending.
		if err := pipelines.ClearLeftovers(ctx, dir); err != nil {
			return err
		}
	}
	if err := r.app.removeStale(ctx, r.state); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return r.state.SetLatest(filepath.Base(dir))
}

// ended writes the report, which finally has written without what came after it.
func (r *streamRuns) ended(ctx context.Context, run controller.Run, dir string, res *pipelines.Result) error {
	if run.Pipeline != "nightly" {
		return nil
	}
	n := &nightly{app: r.app, state: r.state, id: filepath.Base(dir), opts: nightlyOptions{profile: orElse(run.Params["profile"], cluster.ProfileHA)}}
	_, err := n.report(ctx, res)
	return err
}
