package premerge

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/distros"
	"github.com/slipway-release/slipway/images"
	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/progress"
	"github.com/slipway-release/slipway/internal/state"
	"github.com/slipway-release/slipway/pipelines/report"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/assemble"
	"github.com/slipway-release/slipway/release/inspect/compare"
	"github.com/slipway-release/slipway/release/streams"
)

// Stream is the stream that the names of checked releases tell. No policy knows it, so
// that nothing promotes them.
const Stream = "check"

// Pipeline is what reports call a check.
const Pipeline = "upgrade-check"

// Base is the release that a change is laid over: verified, and read.
type Base struct {
	Payload *release.Payload
	Image   v1.Image
	// Lock is what its images were built from, as its provenance tells; nil when
	// that is not known.
	Lock *images.Lockfile
}

// Options say what is checked, and with what.
type Options struct {
	State *state.Dir
	// Distribution is that of the checkout, and Checkout the folder that git:REF is about.
	Distribution *distros.Distribution
	Checkout     string
	Base         Base
	// Sources are the changed components. Without any, all that differs between the
	// checkout and the base is the change.
	Sources []Source
	// Lock is that of the checkout, whose Debian packages are kept; nil when there is none.
	Lock *images.Lockfile

	Registry *oci.Registry
	// Images reads images wherever their references lead, and Open finds the one that
	// a person named: its reference by digest, which an image in files has in none of
	// the registries.
	Images assemble.Source
	Open   func(ctx context.Context, named string) (v1.Image, string, error)
	Cache  *assemble.Cache
	Self   string // the slipway executable

	// StaticOnly ends after what needs no cluster; MeasureAnyway goes on although that
	// rejects the change.
	StaticOnly, MeasureAnyway bool
	Profile                   string
	Policy                    streams.UpgradePolicy // of the stream, for the profile
	// Place and Sign are called when they are needed. Place says where is measured, for a
	// run by its id; Sign signs a payload, given by its reference by digest.
	Place func(ctx context.Context, run string) (Place, error)
	Sign  func(ctx context.Context, reference string, v release.Version) error

	Display *progress.Display
	Command string // that does the same again, for people
	Now     func() time.Time
}

// InputError is a mistake of whoever named the change, or in what he changed.
type InputError struct{ err error }

func (e *InputError) Error() string { return e.err.Error() }
func (e *InputError) Unwrap() error { return e.err }

func wrong(err error) error {
	if err == nil {
		return nil
	}
	return &InputError{err}
}

// The stages of a check, in their order.
const (
	stageChange   = "change"
	stageStatic   = "static"
	stageBuild    = "build"
	stageAssemble = "assemble"
	stageCluster  = "cluster"
	stageInto     = "into"
	stageOutOf    = "out-of"
)

// check is one check on its way.
type check struct {
	Options
	version release.Version
	dir     string // of the run
	report  *report.Report
	found   *report.Check

	distribution *distros.Distribution // with the changed folders
	changes      []*change
	removed      []string // components of the base that the checkout lacks
	draft        *draft
	diff         *compare.Diff // of draft and base; made when first asked for
	payload      *release.Payload
	results      []streams.Result
	measured     []measured
}

// Run checks the change, and leaves in the run's folder what it found. The caller
// holds the state directory's lock. An *InputError says that nothing was learned
// because of what was asked for. The report has a verdict unless there is an error.
func Run(ctx context.Context, o Options) (*report.Report, error) {
	c, err := newCheck(o)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return nil, fmt.Errorf("making the run's folder: %w", err)
	}
	err = c.run(ctx)
	c.conclude(err)
	if writeErr := c.write(); err == nil {
		err = writeErr
	}
	return c.report, err
}

func newCheck(o Options) (*check, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	c := &check{Options: o, distribution: o.Distribution}
	var err error
	if c.version, err = release.New(o.Base.Payload.Version.Base(), Stream, o.Now(), nil); err != nil {
		return nil, err
	}
	cut, _ := c.version.Time()
	id := Stream + "-" + cut.Format(release.StampLayout)
	c.dir = o.State.Run(id)
	c.report = report.New(report.Run{ID: id, Pipeline: Pipeline, Started: o.Now().UTC()})
	if !o.StaticOnly {
		c.report.Run.Profile = o.Profile
	}
	base := o.Base.Payload
	c.found = &report.Check{
		Base:    report.Payload{Version: base.Version.String(), Digest: base.Digest.String(), Reference: base.Reference},
		Changes: []report.Change{}, Static: report.Static{Findings: []report.Finding{}}, Command: o.Command,
	}
	c.report.Check = c.found
	return c, nil
}

func (c *check) run(ctx context.Context) error {
	if err := c.stage(stageChange, func(item *progress.Item) (string, error) { return c.resolve(ctx, item) }); err != nil {
		return err
	}
	if err := c.stage(stageStatic, func(*progress.Item) (string, error) { return c.judge(ctx) }); err != nil {
		return err
	}
	switch {
	case c.StaticOnly:
		return nil
	case c.rejected() && !c.MeasureAnyway:
		c.skip("the change is rejected already; --measure-anyway goes on", stageBuild, stageAssemble, stageCluster, stageInto, stageOutOf)
		return nil
	}
	if err := c.stage(stageBuild, func(item *progress.Item) (string, error) { return c.build(ctx, item) }); err != nil {
		return err
	}
	if len(c.changes) == 0 && len(c.removed) == 0 {
		c.skip("nothing differs from the base", stageAssemble, stageCluster, stageInto, stageOutOf)
		return nil
	}
	if err := c.stage(stageAssemble, func(*progress.Item) (string, error) { return c.assemble(ctx) }); err != nil {
		return err
	}
	return c.measure(ctx)
}

// stage runs one step and keeps how it went: what work returns is for the reader.
func (c *check) stage(name string, work func(*progress.Item) (string, error)) error {
	item := c.Display.Start(name)
	began := time.Now()
	note, err := work(item)
	s := report.Stage{Name: name, Status: "Succeeded", Reason: note, Seconds: time.Since(began).Seconds(), Attempts: 1}
	status := progress.Succeeded
	if err != nil {
		s.Status, s.Reason, status = "Failed", err.Error(), progress.Failed
	}
	item.Done(status, note)
	c.report.Stages = append(c.report.Stages, s)
	return err
}

// skip notes stages that are not run, and why.
func (c *check) skip(why string, names ...string) {
	for _, name := range names {
		c.Display.Add(name).Done(progress.Skipped, why)
		c.report.Stages = append(c.report.Stages, report.Stage{Name: name, Status: "Skipped", Reason: why})
	}
}

func (c *check) rejected() bool {
	for _, r := range c.results {
		if r.Status == streams.Failed {
			return true
		}
	}
	return false
}

// conclude gives the verdict, unless the check itself failed.
func (c *check) conclude(err error) {
	c.report.Run.Finished = c.Now().UTC()
	for _, ch := range c.changes {
		c.found.Changes = append(c.found.Changes, ch.Change)
	}
	for _, name := range c.removed {
		c.found.Changes = append(c.found.Changes, report.Change{Component: name, Source: "not in the checkout any more"})
	}
	if err != nil {
		return
	}
	policy := streams.Policy{Name: Stream, Blocking: []string{stageStatic}}
	for _, m := range c.measured {
		policy.Blocking = append(policy.Blocking, m.way)
	}
	v := streams.Decide(policy, c.results)
	c.report.Run.Verdict = string(v.Verdict)
	for _, r := range v.Reasons {
		line := fmt.Sprintf("%s: %s", r.Check, r.Status)
		if r.Detail != "" {
			line += ": " + r.Detail
		}
		c.report.Reasons = append(c.report.Reasons, line)
	}
	if c.report.Run.Verdict != string(streams.Accepted) {
		c.found.Suspects = c.suspects()
	}
}

// path is a place in the run's folder.
func (c *check) path(parts ...string) string {
	return filepath.Join(append([]string{c.dir}, parts...)...)
}
