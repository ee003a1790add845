package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/slipway-release/slipway/internal/state"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/streams"
	"github.com/slipway-release/slipway/release/streams/journal"
)

// CheckEvidence is what a check's pipeline has shown, as it is attached to the payload.
type CheckEvidence struct {
	streams.Result
	Pipeline string            `json:"pipeline"`
	Params   map[string]string `json:"params,omitempty"`
	// Architecture is that whose image of a payload for declared architectures was checked.
	Architecture string `json:"architecture,omitempty"`
	// From is the payload that was upgraded from, or empty.
	From string `json:"from,omitempty"`
	// Started and Finished are the bounds of the run; zero when nothing ran, and in
	// evidence that was attached before they were noted.
	Started  time.Time `json:"started,omitzero"`
	Finished time.Time `json:"finished,omitzero"`
}

// worker makes one payload and sees it to its verdict.
type worker struct {
	*follower
	cut journal.Cut
	d   streams.Declaration // the one it was cut under
	log *slog.Logger
}

func (w *worker) work(ctx context.Context) error {
	select {
	case w.slots <- struct{}{}:
		defer func() { <-w.slots }()
	case <-ctx.Done():
	}
	var ended string
	var hostFailed bool
	var err error
	if ctx.Err() == nil {
		ended, hostFailed, err = w.run(ctx)
	}
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errSuperseded) || errors.Is(cause, errDecided):
		ended, hostFailed, err = cause.Error(), false, nil
		ctx = context.WithoutCancel(ctx)
	case ctx.Err() != nil:
		return cause // it goes on when somebody leads again
	}
	if err != nil {
		return err
	}
	return w.conclude(ctx, ended, hostFailed)
}

// run makes the payload and checks it. ended says why no more evidence will come.
func (w *worker) run(ctx context.Context) (ended string, hostFailed bool, err error) {
	if err := w.handOn(); err != nil {
		return "", false, err
	}
	outcome, err := w.attempt(ctx, "cut", Run{
		ID: w.runID(), Pipeline: w.d.Run.Pipeline, Params: w.replace(w.d.Run.Params, streams.Release{}),
		Offered: w.offered(""),
	})
	if err != nil || ctx.Err() != nil {
		return "", false, err
	}
	ended, hostFailed = outcome.Reason, outcome.Class == HostFailed
	if err := w.findPayload(ctx); err != nil || w.cut.Payload == "" {
		return ended, hostFailed, err
	}
	if hostFailed || outcome.Class == Refused {
		return ended, hostFailed, nil
	}
	for _, check := range w.ordered() {
		failed, err := w.check(ctx, check)
		if err != nil || ctx.Err() != nil {
			return "", false, err
		}
		hostFailed = hostFailed || failed
	}
	return "all that is to be checked was checked", hostFailed, nil
}

// handOn writes the declaration that the payload is cut under into the folder of its
// run, for steps that decide by it.
func (w *worker) handOn() error {
	data, err := json.Marshal(w.d)
	if err == nil {
		err = state.WriteFile(w.declarationFile(), data, 0o644)
	}
	if err != nil {
		return fmt.Errorf("handing the declaration of stream %q on to run %q: %w", w.d.Name, w.runID(), err)
	}
	return nil
}

func (w *worker) declarationFile() string {
	return filepath.Join(w.Runs.Folder(w.runID()), "declaration.json")
}

func (w *worker) runID() string {
	cut, _ := w.cut.Version.Time()
	return w.d.Name + "-" + cut.Format(release.StampLayout)
}

// ordered is the checks with the blocking ones first.
func (w *worker) ordered() []streams.Check {
	informing := func(c streams.Check) int {
		if slices.Contains(w.d.Policy.Blocking, c.Name) {
			return 0
		}
		return 1
	}
	checks := slices.Clone(w.d.Checks)
	slices.SortStableFunc(checks, func(a, b streams.Check) int { return informing(a) - informing(b) })
	return checks
}

// attempt runs a pipeline, and again after a while when the host failed it. How often
// it has failed is in the journal, so that nobody tries forever by being killed.
func (w *worker) attempt(ctx context.Context, stage string, run Run) (Outcome, error) {
	for {
		w.log.Info("running", "stage", stage, "pipeline", run.Pipeline, "run", run.ID)
		outcome := w.Runs.Run(ctx, run)
		if ctx.Err() != nil || outcome.Class != HostFailed {
			w.log.Info("ran", "stage", stage, "outcome", outcome.Class, "reason", outcome.Reason)
			return outcome, nil
		}
		failure := journal.Failure{At: w.Clock().UTC(), Stage: stage, Reason: outcome.Reason}
		after, err := w.Journal.Change(ctx, w.d.Name, journal.AddFailure(w.cut.Version, failure))
		if err != nil {
			return outcome, err
		}
		failures := 0
		for _, f := range after.Find(w.cut.Version).Failures {
			if f.Stage == stage {
				failures++
			}
		}
		w.Metrics.note(w.d.Name, func(m *StreamMetrics) { m.HostFailures++ })
		if failures > w.d.Retry.Limit {
			w.log.Error("giving up", "stage", stage, "attempts", failures, "reason", outcome.Reason)
			return outcome, nil
		}
		wait := w.d.Retry.Wait(failures)
		w.log.Warn("the host failed", "stage", stage, "attempt", failures, "again", wait, "reason", outcome.Reason)
		if err := pause(ctx, wait, nil); err != nil {
			return outcome, nil
		}
	}
}

// findPayload enters the payload's digest, and the cut as evidence beside it.
func (w *worker) findPayload(ctx context.Context) error {
	digest, err := w.Payloads.Digest(ctx, w.cut.Version)
	if err != nil || digest == "" {
		return err
	}
	if _, err := w.Journal.Change(ctx, w.d.Name, journal.SetPayload(w.cut.Version, digest)); err != nil {
		return err
	}
	w.cut.Payload = digest
	recorded := w.cut
	recorded.Failures, recorded.End, recorded.Override, recorded.Pin, recorded.Deleted = nil, nil, nil, nil, nil
	return w.Payloads.RecordCut(ctx, recorded, w.d)
}

// check runs a check's pipeline and records what it has shown.
func (w *worker) check(ctx context.Context, c streams.Check) (hostFailed bool, err error) {
	results, err := w.Payloads.Results(ctx, w.cut.Version, w.d.Policy)
	if err != nil {
		return false, err
	}
	if reason := streams.Pointless(w.d.Policy, results, c.Name); reason != "" {
		w.log.Info("not checking", "check", c.Name, "reason", reason)
		return false, nil
	}
	evidence := CheckEvidence{Result: streams.Result{Check: c.Name}, Pipeline: c.Pipeline, Architecture: w.checked()}
	var from streams.Release
	if c.From != "" {
		var reason string
		var ok bool
		if from, reason, ok, err = w.Payloads.Source(ctx, c.From, w.cut.Version); err != nil {
			return false, err
		}
		if !ok {
			evidence.Status, evidence.Detail = streams.Skipped, reason
			w.log.Info("skipped", "check", c.Name, "reason", reason)
			return false, w.Payloads.RecordCheck(ctx, w.cut.Version, evidence)
		}
		evidence.From = from.Reference
	}
	evidence.Params = w.replace(c.Params, from)
	outcome, err := w.attempt(ctx, c.Name, Run{
		ID: w.runID() + "-" + c.Name, Pipeline: c.Pipeline, Params: evidence.Params, Offered: w.offered(w.cut.Payload),
	})
	if err != nil || ctx.Err() != nil {
		return false, err
	}
	evidence.Detail, evidence.Started, evidence.Finished = outcome.Reason, outcome.Started, outcome.Finished
	switch outcome.Class {
	case Passed:
		evidence.Status = streams.Passed
	case Failed:
		evidence.Status = streams.Failed
	default:
		evidence.Status = streams.Inconclusive
	}
	if err := w.Payloads.RecordCheck(ctx, w.cut.Version, evidence); err != nil {
		return false, err
	}
	if !outcome.Started.IsZero() {
		w.Metrics.checked(w.d.Name, c.Name, evidence.Status, outcome.Finished.Sub(outcome.Started))
	}
	return outcome.Class == HostFailed, nil
}

// checked is the architecture that a check on this host runs: of a manifest list, the
// host's. It is empty where nothing was declared, or the host has none of those.
func (w *worker) checked() string {
	switch all := w.d.Architectures; {
	case len(all) == 1:
		return all[0]
	case slices.Contains(all, runtime.GOARCH):
		return runtime.GOARCH
	}
	return ""
}

// replace fills in what params say in braces.
func (w *worker) replace(params map[string]string, from streams.Release) map[string]string {
	out := maps.Clone(params)
	r := strings.NewReplacer("{payload}", w.cut.Payload, "{version}", w.cut.Version.String(), "{stream}", w.d.Name,
		"{source.payload}", from.Reference, "{source.version}", from.Version.String())
	for name, value := range out {
		out[name] = r.Replace(value)
	}
	return out
}

// offered are the params that pipelines get if they declare them.
func (c *Controller) offered(d streams.Declaration, v release.Version, payload string) map[string]string {
	out := maps.Clone(c.Offered)
	if out == nil {
		out = map[string]string{}
	}
	out["stream"], out["version"], out["payload"] = d.Name, v.String(), payload
	out["inputs"], out["declaration"] = "{}", ""
	return out
}

// offered adds the inputs that the cut keeps, as a JSON object of digests by name, and the
// file with the declaration that it was made under.
func (w *worker) offered(payload string) map[string]string {
	out := w.Controller.offered(w.d, w.cut.Version, payload)
	inputs := map[string]string{}
	for _, in := range w.cut.Inputs {
		inputs[in.Name] = in.Digest
	}
	data, _ := json.Marshal(inputs) // of strings: cannot fail
	out["inputs"], out["declaration"] = string(data), w.declarationFile()
	return out
}

// conclude gives the verdict, promotes what it accepts, and enters the end.
func (w *worker) conclude(ctx context.Context, ended string, hostFailed bool) error {
	now, err := w.Journal.Read(ctx, w.d.Name)
	if err != nil {
		return err
	}
	facts := streams.Facts{Payload: w.cut.Payload, Ended: ended}
	if c := now.Find(w.cut.Version); c != nil {
		facts.Payload = c.Payload
		if c.Override != nil {
			facts.Override, facts.By = c.Override.Verdict, c.Override.By
		}
	}
	if facts.Payload != "" {
		if facts.Results, err = w.Payloads.Results(ctx, w.cut.Version, w.d.Policy); err != nil {
			return err
		}
	}
	phase, reason := streams.PhaseOf(w.d.Policy, facts)
	if facts.Payload != "" && facts.Override == "" {
		if err := w.Payloads.RecordVerdict(ctx, w.cut.Version, streams.Decide(w.d.Policy, facts.Results)); err != nil {
			return err
		}
	}
	if phase == streams.PhaseAccepted {
		if err := w.Payloads.Promote(ctx, w.cut.Version, w.d.Policy); err != nil {
			return fmt.Errorf("promoting %q: %w", w.cut.Version, err)
		}
	}
	e := journal.End{At: w.Clock().UTC().Truncate(time.Second), Phase: phase, Reason: reason, HostFailed: hostFailed && !verdict(phase)}
	if _, err := w.Journal.Change(ctx, w.d.Name, journal.Finish(w.cut.Version, e)); err != nil {
		return err
	}
	w.log.Info("finished", "phase", phase, "reason", reason, "seconds", e.At.Sub(w.cut.At).Seconds())
	w.Metrics.finish(w.d.Name, phase, e.At.Sub(w.cut.At))
	return nil
}

func verdict(p streams.Phase) bool {
	return p == streams.PhaseAccepted || p == streams.PhaseRejected
}
