package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/internal/cluster"
	"github.com/slipway-release/slipway/internal/engine"
	"github.com/slipway-release/slipway/internal/state"
	"github.com/slipway-release/slipway/pipelines"
	"github.com/slipway-release/slipway/release"
)

type nightlyOptions struct {
	stream, lock string
	// profile is that of the cluster to upgrade, conformance that of the one that the
	// suites run on.
	profile, conformance string
	fresh                bool
	out                  output
}

func newNightly(a *app) *cobra.Command {
	var o nightlyOptions
	cmd := &cobra.Command{
		Use:   "nightly",
		Short: "Take the distribution from source to a tested, signed, promoted payload",
		Long: `Take the distribution from source to a tested, signed, promoted payload: lock,
build, assemble, sign, boot a cluster, test it, upgrade a cluster, decide, promote,
report. A run that was interrupted goes on where it stood.

The cluster that is upgraded has three control planes and two workers, so that the upgrade
may cost nothing; on a small host, --profile single upgrades one node, which cannot do
without a gap. The suites run on one node, which proves the same in half the time, unless
--conformance-profile says otherwise.

With a distro.lock beside distro.yaml, inputs must be those; without, they are
resolved anew and recorded in the run's folder.

The report is .slipway/runs/latest/report.html.`,
		Example: "  slipway nightly\n  slipway nightly --profile single --stream nightly\n  slipway nightly --conformance-profile ha\n  slipway nightly --registry registry.example.com/skiff",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runNightly(cmd.Context(), a, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.stream, "stream", "nightly", "stream of distro.yaml to cut a payload for")
	f.StringVar(&o.profile, "profile", cluster.ProfileHA, "cluster to upgrade: ha or single")
	f.StringVar(&o.conformance, "conformance-profile", cluster.ProfileSingle, "cluster to run the suites on: single or ha")
	f.StringVar(&o.lock, "lock", "", "lock that inputs must match (default: distro.lock beside distro.yaml, when there is one)")
	f.BoolVar(&o.fresh, "fresh", false, "begin a new run even when the last one was interrupted")
	o.out.addFlag(cmd)
	return cmd
}

func runNightly(ctx context.Context, a *app, o nightlyOptions) error {
	if err := o.out.check(); err != nil {
		return err
	}
	for _, p := range []string{o.profile, o.conformance} {
		if p != cluster.ProfileSingle && p != cluster.ProfileHA {
			return usage(fmt.Errorf("choosing profile %q: known are single and ha", p))
		}
	}
	st, err := a.state()
	if err != nil {
		return err
	}
	defer a.close()
	unlock, err := st.Lock()
	if err != nil {
		return err
	}
	defer unlock()
	d, err := a.distribution()
	if err != nil {
		return err
	}
	if d.Stream(o.stream) == nil {
		return usage(fmt.Errorf("choosing stream %q: distribution %q has no such stream", o.stream, d.Name))
	}
	if err := a.prepareHost(ctx, false); err != nil {
		return err
	}
	n := &nightly{app: a, opts: o, state: st, base: d.Version}
	if err := n.choose(); err != nil {
		return err
	}
	if n.resumed {
		// Steps of the killed process may still be ending.
		if err := pipelines.ClearLeftovers(ctx, st.Run(n.id)); err != nil {
			return err
		}
	}
	if err := a.removeStale(ctx, st); err != nil {
		return err
	}
	if _, err := a.openRegistry(ctx, st, d.Repository); err != nil {
		return err
	}
	return n.run(ctx)
}

// nightly is one run of the nightly pipeline.
type nightly struct {
	app    *app
	opts   nightlyOptions
	state  *state.Dir
	base   string
	id     string
	params []string
	self   string
	// resumed is true when the run was begun by a process that is gone.
	resumed bool
	// work is where the stages left their results, when not in the run's folder.
	work string
}

// choose takes up the last run when it was interrupted in the midst of the same
// work, and begins a new one otherwise.
func (n *nightly) choose() error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	n.self = self
	if n.resumable() {
		n.resumed = true
		return nil
	}
	version, err := release.New(n.base, n.opts.stream, time.Now(), nil)
	if err != nil {
		return usage(err)
	}
	cut, _ := version.Time()
	n.id = n.opts.stream + "-" + cut.Format(release.StampLayout)
	n.params, err = n.paramsOf(version.String())
	if err != nil {
		return err
	}
	if err := os.MkdirAll(n.state.Run(n.id), 0o755); err != nil {
		return err
	}
	if err := state.WriteFile(n.paramsFile(), []byte(strings.Join(n.params, "\n")), 0o644); err != nil {
		return err
	}
	return n.state.SetLatest(n.id)
}

func (n *nightly) paramsFile() string {
	return filepath.Join(n.state.Run(n.id), "params")
}

// resumable sets id and params to those of the last run when that was
// interrupted and would do the same work.
func (n *nightly) resumable() bool {
	id, err := n.state.Latest()
	if err != nil || id == "" || n.opts.fresh {
		return false
	}
	n.id = id
	data, err := os.ReadFile(n.paramsFile())
	if err != nil {
		return false
	}
	before := strings.Split(string(data), "\n")
	var version string
	for _, p := range before {
		if v, ok := strings.CutPrefix(p, "version="); ok {
			version = v
		}
	}
	now, err := n.paramsOf(version)
	if err != nil || strings.Join(now, "\n") != strings.Join(before, "\n") {
		return false
	}
	n.params = now
	res, err := pipelines.ReadResult(n.state.Run(id))
	if errors.Is(err, os.ErrNotExist) {
		return true // it died before the pipeline began
	}
	return err == nil && (res.Status == pipelines.Running || res.Status == pipelines.Pending || res.Status == pipelines.Cancelled)
}

// programKey begins the line of a run's params file that holds the digest of the
// program that began it.
const programKey = "program="

// paramsOf are the pipeline's params and the digest of this program.
func (n *nightly) paramsOf(version string) ([]string, error) {
	digest, err := fileDigest(n.self)
	if err != nil {
		return nil, err
	}
	lock, err := n.lockFile()
	if err != nil {
		return nil, err
	}
	distro, err := n.app.distroPath()
	if err != nil {
		return nil, err
	}
	return []string{
		"version=" + version,
		"stream=" + n.opts.stream,
		"profile=" + n.opts.profile,
		"conformance-profile=" + n.opts.conformance,
		"lock=" + lock,
		"distro=" + distro,
		"state-dir=" + n.state.Root(),
		"cluster-prefix=n" + engine.StateID(n.state.Root())[:6],
		// Not a param of the pipeline: another program would do other work.
		programKey + digest,
	}, nil
}

// lockFile is the lock to go by, or "".
func (n *nightly) lockFile() (string, error) {
	if n.opts.lock != "" {
		return filepath.Abs(n.opts.lock)
	}
	path, err := n.app.defaultLockFile()
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err != nil {
		return "", nil
	}
	return path, nil
}

// removeStale removes what killed runs left on the host.
func (a *app) removeStale(ctx context.Context, st *state.Dir) error {
	m, err := a.manager(ctx, st)
	if err != nil {
		return err
	}
	removed, err := m.RemoveStale(ctx)
	for _, name := range removed {
		fmt.Fprintf(a.Err, "removed cluster %s, which a killed run had left\n", name)
	}
	return err
}

func (n *nightly) run(ctx context.Context) error {
	a := n.app
	set, problems := pipelines.LoadFS(ctx, pipelines.Embedded(), "pipelines")
	if err := problems.Err(); err != nil {
		return usage(err)
	}
	pipeline, err := set.Pipeline("nightly")
	if err != nil {
		return err
	}
	params, err := pipelines.ParseParams(pipeline, slices.DeleteFunc(slices.Clone(n.params), func(p string) bool { return strings.HasPrefix(p, programKey) }))
	if err != nil {
		return usage(err)
	}
	verb := "starting"
	if n.resumed {
		verb = "going on with"
	}
	fmt.Fprintf(a.Err, "%s run %s\n", verb, n.id)
	dir := n.state.Run(n.id)
	env, err := n.environment()
	if err != nil {
		return err
	}
	display := a.newDisplay()
	res, err := pipelines.Run(ctx, pipelines.RunOptions{
		Set: set, Pipeline: "nightly", PipelineRun: "nightly", Params: params, Dir: dir,
		Workspaces: map[string]string{"work": filepath.Join(dir, "work")},
		Self:       n.self, SelfImages: []string{slipwayImage}, Env: env,
		Retryable: func(exit int) bool { return exit == exitHost || exit < 0 },
		Abort:     a.secondInterrupt(ctx),
		Display:   display,
	})
	display.Close()
	if err != nil {
		return err
	}
	report, err := n.report(context.WithoutCancel(ctx), res)
	if err != nil {
		return err
	}
	return n.conclude(ctx, res, report)
}

// slipwayImage is the image that the steps of the built-in pipelines name; on
// this host it is this program.
const slipwayImage = "registry.slipway.internal/skiff/slipway"

// environment tells the steps what the global flags told this process.
func (n *nightly) environment() ([]string, error) {
	distro, err := n.app.distroPath()
	if err != nil {
		return nil, err
	}
	env := []string{
		"SLIPWAY_STATE_DIR=" + n.state.Root(),
		"SLIPWAY_REGISTRY=" + n.app.address,
		"SLIPWAY_DISTRO=" + distro,
		"SLIPWAY_STEP=1",
		"SLIPWAY_MEMORY_DIR=" + n.memoryDir(),
		"PATH=" + n.app.getenv("PATH"),
	}
	if n.app.insecure {
		env = append(env, "SLIPWAY_INSECURE=1")
	}
	if n.app.engine != "" {
		env = append(env, "SLIPWAY_ENGINE="+n.app.engine)
	}
	return env, nil
}

func fileDigest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return fmt.Sprintf("sha256:%x", h.Sum(nil)), nil
}
