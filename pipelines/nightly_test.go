package pipelines_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"

	"github.com/slipway-release/slipway/internal/golden"
	"github.com/slipway-release/slipway/internal/progress"
	"github.com/slipway-release/slipway/internal/state"
	"github.com/slipway-release/slipway/pipelines"
)

// plan says how commands of a fake slipway end: exit codes one after another,
// the last one for good, and the verdict that is decided.
type plan struct {
	Exit    map[string][]int `json:"exit"`
	Verdict string           `json:"verdict"`
}

// fakeSlipway stands for the program in runs of the nightly pipeline: PLAN
// COMMAND. It notes the command, writes the result files that it is told to,
// and ends as planned.
func fakeSlipway(args []string) int {
	planFile := args[0]
	var p plan
	data, err := os.ReadFile(planFile)
	if err == nil {
		err = json.Unmarshal(data, &p)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	command := commandOf(args[1:])
	for _, a := range args[1:] {
		name, file, ok := strings.Cut(a, "=")
		if name == "--declaration" && step("append", []string{planFile + ".declared", command + ":" + file}) != 0 {
			return 3
		}
		text := map[string]string{"--version-file": "1.0.0", "--reference-file": "r/release@sha256:1", "--verdict-file": p.Verdict}[name]
		if ok && text != "" {
			if err := state.WriteFile(file, []byte(text), 0o644); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 3
			}
		}
	}
	if step("append", []string{planFile + ".log", command}) != 0 {
		return 3
	}
	codes := p.Exit[command]
	if len(codes) == 0 {
		return 0
	}
	log, err := os.ReadFile(planFile + ".log")
	if err != nil {
		return 3
	}
	calls := 0
	for _, l := range strings.Fields(string(log)) {
		if l == command {
			calls++
		}
	}
	return codes[min(calls, len(codes))-1]
}

// commandOf is the words of a command line before its first flag, without
// references and the name of the run.
func commandOf(args []string) string {
	var words []string
	for _, a := range args {
		if strings.HasPrefix(a, "-") {
			break
		}
		if !strings.Contains(a, "@") && a != "run-1" {
			words = append(words, a)
		}
	}
	return strings.Join(words, "-")
}

func TestNightlyIsRight(t *testing.T) {
	set, problems := pipelines.LoadFS(t.Context(), pipelines.Embedded(), "pipelines")
	if len(problems) > 0 {
		t.Fatalf("the embedded pipelines have problems:\n%v", problems)
	}
	if problems := set.CheckLocal("nightly"); len(problems) > 0 {
		t.Fatalf("the nightly pipeline does not run here:\n%v", problems)
	}
	p, err := set.Pipeline("nightly")
	if err != nil {
		t.Fatal(err)
	}
	g := pipelines.GraphOf(p)
	golden.Check(t, "testdata/nightly.txt", g.Text())
	golden.Check(t, "testdata/nightly.dot", g.DOT())
	data, err := json.MarshalIndent(g, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/nightly.json", string(data)+"\n")

	entries := set.List()
	if len(entries) != 1 || entries[0].Name != "nightly" || entries[0].File != "pipelines/nightly.yaml" || entries[0].Tasks != len(g.Tasks) ||
		!slices.Equal(entries[0].Runs, []string{"nightly"}) {
		t.Errorf("list is %+v", entries)
	}
}

func TestNightlyVerdicts(t *testing.T) {
	always := []string{"cluster-delete", "report"}
	upTo := func(last string) []string {
		all := []string{"lock", "build", "release-new", "sign", "attest", "attest", "cluster-compose", "cluster-create-nightly-conformance", "test-run",
			"cluster-delete-nightly-conformance", "stream-source", "cluster-create-nightly-upgrade", "upgrade-test-run", "cluster-delete-nightly-upgrade", "stream-decide", "channel-promote"}
		k := slices.Index(all, last)
		return append(slices.Clone(all[:k+1]), always...)
	}
	for _, tc := range []struct {
		name    string
		plan    plan
		ran     []string
		status  pipelines.Status
		failed  string // the task that decided so
		exit    int
		results map[string]v1.ParamValue
	}{
		{
			name: "accepted", plan: plan{Verdict: "Accepted"}, ran: upTo("channel-promote"), status: pipelines.Succeeded,
			results: map[string]v1.ParamValue{
				"version": *v1.NewStructuredValues("1.0.0"), "verdict": *v1.NewStructuredValues("Accepted"), "IMAGES": *v1.NewStructuredValues("r/release@sha256:1"),
			},
		},
		{
			// What the tests found is evidence, so all of them run and the verdict comes.
			name: "rejected",
			plan: plan{Verdict: "Rejected", Exit: map[string][]int{"stream-decide": {1}}},
			ran:  upTo("stream-decide"), status: pipelines.Failed, failed: "decide", exit: 1,
		},
		{
			name: "inconclusive",
			plan: plan{Verdict: "Accepted", Exit: map[string][]int{"stream-decide": {4}}},
			ran:  upTo("stream-decide"), status: pipelines.Failed, failed: "decide", exit: 4,
		},
		{
			// The host failed once: the second attempt makes the cluster anew.
			name: "host failure that passes",
			plan: plan{Verdict: "Accepted", Exit: map[string][]int{"test-run": {3, 0}}},
			ran:  append([]string{"cluster-create-nightly-conformance", "test-run"}, upTo("channel-promote")...), status: pipelines.Succeeded,
			results: map[string]v1.ParamValue{
				"version": *v1.NewStructuredValues("1.0.0"), "verdict": *v1.NewStructuredValues("Accepted"), "IMAGES": *v1.NewStructuredValues("r/release@sha256:1"),
			},
		},
		{
			// The host failed for good: nothing is decided about the release.
			name: "host failure that stays",
			plan: plan{Exit: map[string][]int{"test-run": {3}}},
			ran:  append([]string{"cluster-create-nightly-conformance", "test-run"}, upTo("test-run")...), status: pipelines.Failed, failed: "conformance", exit: 3,
		},
		{
			name: "a component that does not compile",
			plan: plan{Exit: map[string][]int{"build": {3}}},
			ran:  upTo("build"), status: pipelines.Failed, failed: "build", exit: 3,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			opts := nightlyOptions(t, dir, tc.plan)
			res, err := pipelines.Run(t.Context(), opts)
			if err != nil {
				t.Fatal(err)
			}
			got, want := lines(t, filepath.Join(dir, "plan.json.log")), slices.Clone(tc.ran)
			for i, c := range got {
				if c == "cluster-delete" && !slices.Contains(got[:i], "lock") {
					t.Error("cleanup ran first")
				}
			}
			slices.Sort(got)
			slices.Sort(want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("commands that ran (-want +got):\n%s\n%v", diff, statuses(res))
			}
			first, failed := res.FirstFailure()
			if res.Status != tc.status || failed != (tc.failed != "") || first.Name != tc.failed || first.ExitCode != tc.exit {
				t.Errorf("run is %s because of %q with exit code %d", res.Status, first.Name, first.ExitCode)
			}
			if tc.results != nil {
				if diff := cmp.Diff(tc.results, res.Results); diff != "" {
					t.Errorf("results (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// What decides and what promotes is handed the declaration that the run is given, and
// otherwise none.
func TestNightlyByDeclaration(t *testing.T) {
	for _, file := range []string{"", "/run/declaration.json"} {
		dir := t.TempDir()
		opts := nightlyOptions(t, dir, plan{Verdict: "Accepted"})
		if file != "" {
			opts.Params["declaration"] = *v1.NewStructuredValues(file)
		}
		if res, err := pipelines.Run(t.Context(), opts); err != nil || res.Status != pipelines.Succeeded {
			t.Fatalf("%v, %v", res, err)
		}
		if diff := cmp.Diff([]string{"stream-decide:" + file, "channel-promote:" + file}, lines(t, filepath.Join(dir, "plan.json.declared"))); diff != "" {
			t.Error(diff)
		}
	}
}

func nightlyOptions(t *testing.T, dir string, p plan) pipelines.RunOptions {
	t.Helper()
	data, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	slipway := filepath.Join(dir, "slipway")
	for file, text := range map[string]string{
		filepath.Join(dir, "plan.json"): string(data),
		slipway:                         fmt.Sprintf("#!/bin/sh\nexec %s nightly %s/plan.json \"$@\"\n", self, dir),
	} {
		if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	set, problems := pipelines.LoadFS(t.Context(), pipelines.Embedded(), "pipelines")
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return pipelines.RunOptions{
		Set: set, Pipeline: "nightly", PipelineRun: "nightly", Dir: filepath.Join(dir, "run-1"), Self: slipway,
		SelfImages: []string{"registry.slipway.internal/skiff/slipway"}, Workspaces: map[string]string{"work": filepath.Join(dir, "work")},
		Params:    map[string]v1.ParamValue{"state-dir": *v1.NewStructuredValues(dir)},
		Retryable: func(exit int) bool { return exit == 3 },
	}
}

func TestNightlyOnDisplay(t *testing.T) {
	dir := t.TempDir()
	var out strings.Builder
	opts := nightlyOptions(t, dir, plan{Verdict: "Rejected", Exit: map[string][]int{"stream-decide": {1}}})
	opts.Display = progress.New(&out, progress.Options{Bare: true})
	if _, err := pipelines.Run(t.Context(), opts); err != nil {
		t.Fatal(err)
	}
	opts.Display.Close()
	for _, want := range []string{
		"lock: started\n", "assemble: succeeded in ", "version 1.0.0, payload r/release@sha256:1\n", "conformance/test: started\n",
		`decide: failed after `, `step "decide" ended with exit code 1` + "\n", "promote: skipped: another task failed\n", "report: succeeded in ",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("output lacks %q:\n%s", want, out.String())
		}
	}
}
