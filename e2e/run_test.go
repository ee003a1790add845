package e2e

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/reporters"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
)

// Ginkgo runs one suite in a process, so every scenario gets a process of its own.
const scenarioVariable = "SLIPWAY_E2E_SCENARIO"

// outcome is what the process of a scenario writes down.
type outcome struct {
	Result Result
	Err    string
	Again  string // error of a second run in the process
	Said   string // progress
	Left   []string
}

func TestMain(m *testing.M) {
	name := os.Getenv(scenarioVariable)
	if name == "" {
		os.Exit(m.Run())
	}
	out := scenario(scenarios[name])
	data, err := json.Marshal(out)
	if err == nil {
		err = os.WriteFile(filepath.Join(os.Getenv(scenarioVariable+"_DIR"), "outcome.json"), data, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func pass(context.Context, *env) {}

func flakyOnce() func(context.Context, *env) {
	tries := 0
	return func(context.Context, *env) {
		tries++
		Expect(tries).To(Equal(2), "the first try fails")
	}
}

// scenarios are lists of specs that need no more than namespaces.
var scenarios = map[string]func(cancel context.CancelCauseFunc) ([]spec, Options){
	"mixed": func(context.CancelCauseFunc) ([]spec, Options) {
		return []spec{
			{group: "Z", name: "passes", run: pass},
			{group: "Y", name: "fails", run: func(_ context.Context, e *env) { Expect(e.namespace).To(Equal("another"), "which namespace") }},
			{group: "X", name: "is for others", profiles: []string{HA}, reason: "the profile has only one node", run: pass},
			{group: "W", name: "panics", run: func(context.Context, *env) { panic("on purpose") }},
			{group: "V", name: "skips itself", run: func(context.Context, *env) { ginkgo.Skip("not today") }},
			{group: "U", name: "hangs", run: func(ctx context.Context, _ *env) { <-ctx.Done() }},
			{group: "T", name: "cannot be prepared", run: pass, objects: func(*env) []runtime.Object { return objects(service("forbidden")) }},
		}, Options{SpecTimeout: 10 * time.Second}
	},
	"flaky": func(context.CancelCauseFunc) ([]spec, Options) {
		return []spec{{group: "A", name: "flakes", run: flakyOnce()}, {group: "A", name: "passes", run: pass}}, Options{FlakeAttempts: 2}
	},
	"strict": func(context.CancelCauseFunc) ([]spec, Options) {
		return []spec{{group: "A", name: "flakes", run: flakyOnce()}}, Options{}
	},
	"interrupted": func(cancel context.CancelCauseFunc) ([]spec, Options) {
		return []spec{
			{group: "A", name: "passes", run: pass},
			{group: "A", name: "is cut off", run: func(ctx context.Context, _ *env) { cancel(errors.New("enough")); <-ctx.Done() }},
			{group: "A", name: "never comes", run: pass},
		}, Options{}
	},
}

func scenario(make func(context.CancelCauseFunc) ([]spec, Options)) outcome {
	api := serveAPI()
	defer api.Close()
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	specs, options := make(cancel)
	dir := os.Getenv(scenarioVariable + "_DIR")
	var said strings.Builder
	options.RestConfig = &rest.Config{Host: api.URL, ContentConfig: rest.ContentConfig{ContentType: "application/json"}}
	options.Image = func(string) string { return "agnhost@sha256:1" }
	options.Digests = []string{"sha256:1"}
	options.Progress, options.JUnit, options.Artifacts = &said, filepath.Join(dir, "junit_test.xml"), filepath.Join(dir, "artifacts")
	var out outcome
	options, err := options.complete()
	if err == nil {
		var c *cluster
		if c, err = connect(ctx, options); err == nil {
			out.Result, err = runSpecs(ctx, options, c, specs)
			_, again := runSpecs(ctx, options, c, specs)
			out.Again = fmt.Sprint(again)
		}
	}
	out.Err, out.Said, out.Left = fmt.Sprint(err), said.String(), api.names()
	return out
}

func runScenario(t *testing.T, name string) (outcome, string) {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), scenarioVariable+"="+name, scenarioVariable+"_DIR="+dir)
	stdout, err := cmd.Output()
	if err != nil {
		t.Fatalf("scenario %s: %v\n%s", name, err, stdout)
	}
	if len(stdout) > 0 {
		t.Errorf("standard output is for results, but the suite wrote %q", stdout)
	}
	data, err := os.ReadFile(filepath.Join(dir, "outcome.json"))
	if err != nil {
		t.Fatal(err)
	}
	var out outcome
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out, dir
}

func TestEverySpecIsAccountedFor(t *testing.T) {
	out, dir := runScenario(t, "mixed")
	r := out.Result
	if out.Err != "<nil>" {
		t.Errorf("error %s; failed specs are part of the result", out.Err)
	}
	if r.Expected != 6 || r.Ran != 5 || r.Passed != 1 || r.Failed != 4 || r.Skipped != 1 || r.Flaked != 0 || r.OK() {
		t.Errorf("result %+v", r)
	}
	want := map[string]string{
		"Y: fails":              "which namespace",
		"W: panics":             "",
		"V: skips itself":       "it did not run: not today",
		"U: hangs":              "timeout",
		"T: cannot be prepared": "creating Service \"forbidden\"",
	}
	if len(r.Failures) != len(want) {
		t.Errorf("failures %+v", r.Failures)
	}
	for _, f := range r.Failures {
		if part, ok := want[f.Name]; !ok || !strings.Contains(f.Message, part) {
			t.Errorf("failure %q: %q, want a message with %q", f.Name, f.Message, part)
		}
	}
	if out.Again != ErrAlreadyRun.Error() {
		t.Errorf("a second run in the process gave %s", out.Again)
	}
	if len(out.Left) > 0 {
		t.Errorf("namespaces left behind: %v", out.Left)
	}
	checkOrder(t, out.Said)
	checkJUnit(t, filepath.Join(dir, "junit_test.xml"))
	if files, err := filepath.Glob(filepath.Join(dir, "artifacts", "y-fails-1.txt")); err != nil || len(files) != 1 {
		t.Errorf("there is nothing that explains the failure: %v", err)
	}
}

// checkOrder: the order is that of the list, though names and profiles vary.
func checkOrder(t *testing.T, said string) {
	t.Helper()
	var order []string
	for line := range strings.Lines(said) {
		if fields := strings.Fields(line); len(fields) > 2 {
			order = append(order, strings.TrimSuffix(fields[2], ":"))
		}
	}
	if !slices.Equal(order, []string{"Z", "Y", "X", "W", "V", "U", "T"}) {
		t.Errorf("the specs ran in the order %v:\n%s", order, said)
	}
}

func checkJUnit(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var suites reporters.JUnitTestSuites
	if err := xml.Unmarshal(data, &suites); err != nil {
		t.Fatal(err)
	}
	cases := map[string]reporters.JUnitTestCase{}
	for _, c := range suites.TestSuites[0].TestCases {
		cases[strings.TrimPrefix(c.Name, "smoke ")] = c
	}
	if len(cases) != 7 {
		t.Errorf("%d cases for 7 specs: %v", len(cases), cases)
	}
	if c := cases["X: is for others"]; c.Skipped == nil || !strings.Contains(c.Skipped.Message, "only one node") {
		t.Errorf("a skipped spec has no reason: %+v", c)
	}
	if c := cases["Y: fails"]; c.Failure == nil || !strings.Contains(c.SystemErr, "reading pods") && !strings.Contains(c.SystemErr, "event ") {
		t.Errorf("a failed spec explains nothing: %+v", c)
	}
}

func TestFlakesAreCountedAndOnlyWhenAllowed(t *testing.T) {
	out, _ := runScenario(t, "flaky")
	if r := out.Result; r.Passed != 2 || r.Flaked != 1 || !r.OK() {
		t.Errorf("with a second try: %+v", r)
	}
	out, _ = runScenario(t, "strict")
	if r := out.Result; r.Passed != 0 || r.Failed != 1 || r.OK() {
		t.Errorf("without: %+v", r)
	}
}

func TestInterruptedRunIsNotAPass(t *testing.T) {
	out, _ := runScenario(t, "interrupted")
	r := out.Result
	if !strings.Contains(out.Err, "enough") || r.OK() || r.Expected != 3 || r.Passed != 1 {
		t.Errorf("error %s, result %+v", out.Err, r)
	}
	if !slices.ContainsFunc(r.Failures, func(f Failure) bool { return f.Name == "A: never comes" }) {
		t.Errorf("the spec that never came is not named: %+v", r.Failures)
	}
	if len(out.Left) > 0 {
		t.Errorf("namespaces left behind: %v", out.Left)
	}
}

func TestOptionsNameEveryProblem(t *testing.T) {
	_, err := Run(t.Context(), Options{Suite: "full", Profile: "huge", Kubeconfig: "/nowhere/kubeconfig", Image: func(string) string { return "" }})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{`suite "full"`, `profile "huge"`, `component "agnhost"`, "digests", "/nowhere/kubeconfig"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
}

func TestUnreachableClusterIsAnErrorAndNoResult(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	_, err := Run(ctx, Options{RestConfig: &rest.Config{Host: "http://127.0.0.1:1"}, Image: func(string) string { return "x" }, Digests: []string{"x"}})
	if err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("error %v", err)
	}
}

func TestClusterThatDidNotComeUpFails(t *testing.T) {
	junit := filepath.Join(t.TempDir(), "junit_smoke.xml")
	for _, profile := range []string{Single, HA} {
		r, err := NotRun(Options{Profile: profile, JUnit: junit}, "rollout", "waiting for Job kube-system/never")
		if err != nil {
			t.Fatal(err)
		}
		if r.OK() || r.Expected == 0 || r.Ran != 0 || r.Suite != Smoke || len(r.Failures) != 1 || r.Expected+r.Skipped != len(smoke()) {
			t.Errorf("on %s: %+v", profile, r)
		}
	}
	data, err := os.ReadFile(junit)
	if err != nil || !strings.Contains(string(data), "waiting for Job kube-system/never") || !strings.Contains(string(data), `failures="1"`) {
		t.Errorf("JUnit: %v\n%s", err, data)
	}
}

func TestSmokeSuite(t *testing.T) {
	specs := smoke()
	if len(specs) < 30 {
		t.Errorf("the suite has shrunk to %d specs", len(specs))
	}
	seen := map[string]bool{}
	for _, s := range specs {
		name := s.group + ": " + s.name
		if seen[name] {
			t.Errorf("%q is there twice", name)
		}
		seen[name] = true
		if s.run == nil || (len(s.profiles) > 0) != (s.reason != "") {
			t.Errorf("%q: run %v, profiles %v, reason %q", name, s.run != nil, s.profiles, s.reason)
		}
	}
}
