package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/e2e"
	"github.com/slipway-release/slipway/images"
	"github.com/slipway-release/slipway/pipelines"
	"github.com/slipway-release/slipway/pipelines/report"
	"github.com/slipway-release/slipway/release/streams"
	"github.com/slipway-release/slipway/upgradetest"
)

func newReport(a *app) *cobra.Command {
	var work string
	cmd := &cobra.Command{
		Use:     "report [RUN]",
		Short:   "Write report.json, report.html and JUnit of a run again (default: the latest)",
		Example: "  slipway report\n  slipway report nightly-2026-11-20-101500",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			st, err := a.state()
			if err != nil {
				return err
			}
			id, err := st.Latest()
			if len(args) > 0 {
				id, err = args[0], nil
			}
			if err != nil {
				return err
			}
			n := &nightly{app: a, state: st, id: id, work: work}
			res, err := pipelines.ReadResult(st.Run(id))
			if work != "" && errors.Is(err, os.ErrNotExist) {
				// The pipeline is run by Tekton: the stages are its to report.
				res, err = &pipelines.Result{Pipeline: "nightly"}, nil
				if err := os.MkdirAll(st.Run(id), 0o755); err != nil {
					return err
				}
			}
			if id == "" || errors.Is(err, os.ErrNotExist) {
				return usage(fmt.Errorf("writing the report of run %q: there is no such run in %s", id, st.Runs()))
			}
			if err != nil {
				return err
			}
			if _, err := n.report(cmd.Context(), res); err != nil {
				return err
			}
			fmt.Fprintln(a.Out, filepath.Join(st.Run(id), "report.html"))
			return nil
		},
	}
	cmd.Flags().StringVar(&work, "work", "", "folder that the stages left their results in (default: the run's)")
	return cmd
}

// report gathers what the stages left in the run's folder and beside the
// payload, and writes it.
func (n *nightly) report(ctx context.Context, res *pipelines.Result) (*report.Report, error) {
	dir := n.state.Run(n.id)
	r := report.New(report.Run{ID: n.id, Pipeline: res.Pipeline, Profile: n.profile(), Started: res.Started, Finished: res.Finished, MaxRSSBytes: n.peakMemory()})
	for _, t := range res.Tasks {
		r.Stages = append(r.Stages, report.Stage{Name: t.Name, Status: string(t.Status), Reason: reasonOf(t), Seconds: t.Seconds, Attempts: t.Attempts})
	}
	work := n.workDir()
	var built []images.Result
	var promoted []promotion
	err := errors.Join(
		readJSON(filepath.Join(work, "images.json"), &built),
		readJSON(filepath.Join(work, "channels.json"), &promoted),
		readOptional(filepath.Join(work, "conformance", "conformance.json"), &r.Conformance),
		readOptional(filepath.Join(work, "upgrade", "upgrade.json"), &r.Upgrade),
	)
	if err != nil {
		return nil, err
	}
	if err := n.addTimeline(r); err != nil {
		return nil, err
	}
	for _, b := range built {
		r.Images = append(r.Images, report.Image{Component: b.Component, Digest: b.Digest, Cached: b.Cached, Seconds: b.Seconds})
	}
	for _, p := range promoted {
		r.Channels = append(r.Channels, report.Channel{Name: p.Name, Added: p.Added})
	}
	if err := n.addPayload(ctx, r, res); err != nil {
		return nil, err
	}
	return r, r.Write(dir)
}

// addTimeline draws the recording of the upgrade, when there is one.
func (n *nightly) addTimeline(r *report.Report) error {
	samples := filepath.Join(n.workDir(), "upgrade", "samples")
	if _, err := os.Stat(samples); err != nil || r.Upgrade == nil {
		return nil
	}
	var err error
	r.Timeline, err = upgradetest.TimelineFragment(samples, *r.Upgrade)
	return err
}

func (n *nightly) workDir() string {
	if n.work != "" {
		return n.work
	}
	return filepath.Join(n.state.Run(n.id), "work")
}

// addPayload adds the payload and what is attached to it, when the run came to
// one.
func (n *nightly) addPayload(ctx context.Context, r *report.Report, res *pipelines.Result) error {
	assembled, ok := res.Task("assemble")
	if !ok || assembled.Results["payload"].StringVal == "" {
		r.Run.Verdict = string(verdictOf(res))
		return nil
	}
	reference := assembled.Results["payload"].StringVal
	w, err := n.app.open(ctx)
	if err != nil {
		return err
	}
	where, err := w.registry.Locate(reference)
	if err != nil {
		return err
	}
	digest, err := w.registry.Resolve(ctx, reference)
	if err != nil {
		return err
	}
	r.Payload = &report.Payload{Version: assembled.Results["version"].StringVal, Digest: digest.String(), PullSpec: where.String(), Reference: reference}
	verifier, err := n.app.verifier(n.state)
	if err != nil {
		return err
	}
	found, err := verifier.Evidence(ctx, w.registry, reference, "")
	if err != nil {
		return err
	}
	for _, s := range found.Statements {
		r.Evidence = append(r.Evidence, report.Evidence{PredicateType: s.PredicateType, Digest: s.Digest.String(), Subject: reference})
	}
	r.Run.Verdict = string(verdictOf(res))
	if r.Run.Verdict == "" {
		return nil
	}
	var v streams.Verdict
	if err := readJSON(filepath.Join(n.workDir(), "verdict.json"), &v); err != nil {
		return err
	}
	for _, reason := range v.Reasons {
		line := fmt.Sprintf("%s: %s", reason.Check, reason.Status)
		if reason.Detail != "" {
			line += ": " + reason.Detail
		}
		r.Reasons = append(r.Reasons, line)
	}
	return nil
}

// verdictOf is the decision's. A run that failed before says nothing about the
// release: what a release did wrong is evidence, and comes before decide.
func verdictOf(res *pipelines.Result) streams.Outcome {
	if decided, ok := res.Task("decide"); ok {
		if v := decided.Results["verdict"].StringVal; v != "" {
			return streams.Outcome(v)
		}
		switch {
		case decided.Status == pipelines.Failed && decided.ExitCode == exitRejected:
			return streams.Rejected
		case decided.Status == pipelines.Failed && decided.ExitCode == exitInconclusive:
			return streams.Undecided
		}
	}
	return ""
}

func reasonOf(t pipelines.TaskResult) string {
	if t.Message != "" {
		return t.Message
	}
	if t.Status == pipelines.Succeeded {
		return ""
	}
	return t.Reason
}

// conclude prints how the run ended; the error carries the exit code.
func (n *nightly) conclude(ctx context.Context, res *pipelines.Result, r *report.Report) error {
	page := filepath.Join(n.state.Run(n.id), "report.html")
	if err := n.opts.out.print(n.app.Out, result{value: r, names: []string{n.id}, text: func(w io.Writer) { printConclusion(w, r, page) }}); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("run %s was interrupted; slipway nightly goes on with it", n.id)
	}
	failed, bad := res.FirstFailure()
	switch streams.Outcome(r.Run.Verdict) {
	case streams.Accepted:
		if !bad {
			return nil
		}
	case streams.Rejected:
		return rejected(fmt.Errorf("release %s was rejected in stage %q: %s", version(r), failed.Name, reasonOf(failed)))
	case streams.Undecided:
		return inconclusive(fmt.Errorf("release %s is undecided: %s", version(r), reasonOf(failed)))
	}
	if !bad {
		return fmt.Errorf("run %s ended as %q without a verdict; see %s", n.id, res.Reason, page)
	}
	err := fmt.Errorf("stage %q failed: %s; its log is %s", failed.Name, reasonOf(failed), filepath.Join(n.state.Run(n.id), failed.Log))
	if failed.ExitCode == exitUsage {
		return usage(err)
	}
	return err
}

func version(r *report.Report) string {
	if r.Payload == nil {
		return "(unnamed)"
	}
	return r.Payload.Version
}

func printConclusion(w io.Writer, r *report.Report, page string) {
	if r.Payload != nil {
		fmt.Fprintf(w, "Payload   %s\n          %s\n", r.Payload.Version, r.Payload.PullSpec)
	}
	if r.Upgrade != nil {
		lost := "without a gap"
		if d := r.Upgrade.DowntimeMs; d.AtMost > 0 {
			lost = fmt.Sprintf("%.0f to %.0f ms without an answer", d.AtLeast, d.AtMost)
		}
		fmt.Fprintf(w, "Upgraded  from %s (%s)\n", r.Upgrade.From.Version, lost)
	}
	for _, c := range r.Channels {
		fmt.Fprintf(w, "Channel   %s\n", c.Name)
	}
	verdict := r.Run.Verdict
	if verdict == "" {
		verdict = "none: nothing is said about the release"
	}
	fmt.Fprintf(w, "Verdict   %s\nReport    %s\n", verdict, page)
}

// readJSON reads a file that a stage may not have come to write.
func readJSON(path string, into any) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("reading %q: %w", path, err)
	}
	return nil
}

// readOptional sets a pointer when the file is there.
func readOptional[T e2e.Result | upgradetest.Result](path string, into **T) error {
	if _, err := os.Stat(path); err != nil {
		return nil
	}
	*into = new(T)
	return readJSON(path, *into)
}

// profile is that of the run, which the params file tells.
func (n *nightly) profile() string {
	data, err := os.ReadFile(n.paramsFile())
	if err != nil {
		return n.opts.profile
	}
	for line := range strings.Lines(string(data)) {
		if p, ok := strings.CutPrefix(strings.TrimSpace(line), "profile="); ok {
			return p
		}
	}
	return n.opts.profile
}

// peakMemory is the most resident memory, in bytes, that this process or any
// step of the run had.
func (n *nightly) peakMemory() int64 {
	peak := residentPeak()
	files, _ := filepath.Glob(filepath.Join(n.memoryDir(), "*"))
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		if v, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64); err == nil {
			peak = max(peak, v)
		}
	}
	return peak
}

// memoryDir is where the steps leave their peaks.
func (n *nightly) memoryDir() string { return filepath.Join(n.state.Run(n.id), "memory") }

// residentPeak is this process's own peak (VmHWM of proc(5)), in bytes. rusage
// would count the compilers that it started as well.
func residentPeak() int64 {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmHWM:" {
			kib, _ := strconv.ParseInt(f[1], 10, 64)
			return kib << 10
		}
	}
	return 0
}

func marshalIndent(v any) ([]byte, error) {
	data, err := json.MarshalIndent(v, "", "  ")
	return append(data, '\n'), err
}
