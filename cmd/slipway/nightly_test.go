package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/slipway-release/slipway/internal/engine"
	"github.com/slipway-release/slipway/internal/state"
	"github.com/slipway-release/slipway/pipelines"
	"github.com/slipway-release/slipway/pipelines/report"
)

// program is the slipway binary under test, built once as a release would be.
var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "slipway-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	program = filepath.Join(dir, "slipway")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building slipway: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// needCluster skips a test on hosts that cannot run clusters, which somebody
// has to say in so many words.
func needCluster(t *testing.T) {
	t.Helper()
	if os.Getenv("SLIPWAY_TEST_NO_CLUSTER") != "" {
		t.Skip("SKIPPED, AS SLIPWAY_TEST_NO_CLUSTER IS SET: nothing is known of real clusters")
	}
}

// slipway runs the program in an empty folder, so that the built-in Skiff is
// used, and returns what it printed and its exit code.
func slipway(t *testing.T, stateDir string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := command(t, stateDir, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func command(t *testing.T, stateDir string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(program, append(args, "--state-dir", stateDir)...)
	cmd.Dir = t.TempDir()
	return cmd
}

func mustRun(t *testing.T, stateDir string, args ...string) string {
	t.Helper()
	out, errs, code := slipway(t, stateDir, args...)
	if code != 0 {
		t.Fatalf("slipway %s: exit %d\n%s\n%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

func readReport(t *testing.T, stateDir string) *report.Report {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(stateDir, "runs", "latest", "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	var r report.Report
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	return &r
}

// TestIntegrationNightly takes Skiff from source to a promoted payload twice, on
// real clusters; the second run is killed in every stage and taken up again.
func TestIntegrationNightly(t *testing.T) {
	needCluster(t)
	stateDir := t.TempDir()
	t.Cleanup(func() { removeImages(t, stateDir) })
	mustRun(t, stateDir, "nightly")
	first := readReport(t, stateDir)
	checkAccepted(t, first)

	killInEveryStage(t, stateDir)
	second := readReport(t, stateDir)
	checkAccepted(t, second)
	if second.Upgrade.From.Version != first.Payload.Version {
		t.Errorf("the second run upgraded from %s, not from the first's payload %s", second.Upgrade.From.Version, first.Payload.Version)
	}
	if !slices.EqualFunc(first.Images, second.Images, func(a, b report.Image) bool { return a.Component == b.Component && a.Digest == b.Digest }) {
		t.Errorf("image digests differ:\n%v\n%v", first.Images, second.Images)
	}
	for _, img := range second.Images {
		if !img.Cached {
			t.Errorf("image %s was built again", img.Component)
		}
	}
	checkGraph(t, stateDir, first, second)
	checkNothingLeft(t, stateDir)

	t.Run("verification", func(t *testing.T) { testRefusals(t, stateDir, second) })
	t.Run("ha", func(t *testing.T) { testHA(t, stateDir, second) })
	t.Run("a release that does not come up", func(t *testing.T) { testStall(t, stateDir) })
	checkNothingLeft(t, stateDir)
}

func checkAccepted(t *testing.T, r *report.Report) {
	t.Helper()
	if r.Run.Verdict != "Accepted" || len(r.Channels) != 1 || r.Channels[0].Name != "candidate" {
		t.Fatalf("verdict %q, channels %v: %v", r.Run.Verdict, r.Channels, r.Reasons)
	}
	c, u := r.Conformance, r.Upgrade
	if c == nil || c.Expected == 0 || c.Ran != c.Expected || c.Failed != 0 {
		t.Errorf("conformance: %+v", c)
	}
	if u == nil || u.From.Digest == u.To.Digest || u.From.Version == u.To.Version || u.Nodes == 0 || u.To.Digest != r.Payload.Digest {
		t.Fatalf("upgrade: %+v", u)
	}
	if len(u.Backends) < 5 {
		t.Errorf("only %d backends were probed", len(u.Backends))
	}
	for _, b := range u.Backends {
		if b.Coverage() < 0.99 || b.Hertz < 10 {
			t.Errorf("backend %s (%s): %d of %d samples at %g Hz", b.Name, b.Connection, b.Sent, b.Intended, b.Hertz)
		}
	}
	for _, predicate := range []string{"https://slsa.dev/provenance/v1", "https://spdx.dev/Document", "https://in-toto.io/attestation/test-result/v0.1", "https://slipway.dev/upgrade-result/v1", "https://slipway.dev/decision/v1"} {
		if !slices.ContainsFunc(r.Evidence, func(e report.Evidence) bool { return e.PredicateType == predicate }) {
			t.Errorf("no evidence of type %s", predicate)
		}
	}
	if limit := int64(300 << 20); r.Run.MaxRSSBytes > limit {
		t.Errorf("slipway took %d MB of memory", r.Run.MaxRSSBytes>>20)
	}
}

// killInEveryStage begins a run and kills it, with SIGKILL, in each of its
// stages in turn; the last process finishes it.
func killInEveryStage(t *testing.T, stateDir string) {
	killed := map[string]bool{}
	for _, stage := range []string{"lock", "build", "assemble", "sign", "node-image", "conformance", "upgrade", "decide", "promote"} {
		if killIn(t, stateDir, stage) {
			killed[stage] = true
		}
	}
	for _, long := range []string{"conformance", "upgrade"} {
		if !killed[long] {
			t.Errorf("stage %s was never caught running", long)
		}
	}
	t.Logf("killed in %v", killed)
	out, errs, code := slipway(t, stateDir, "nightly")
	if code != 0 {
		t.Fatalf("after the kills: exit %d\n%s\n%s", code, out, errs)
	}
}

// killIn runs nightly until a stage runs, for a moment, and kills it. It returns
// false when the run ended before it was seen.
func killIn(t *testing.T, stateDir, stage string) bool {
	t.Helper()
	cmd := command(t, stateDir, "nightly")
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	deadline := time.After(15 * time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	dir := filepath.Join(stateDir, "runs", "latest")
	for {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("the run ended before stage %s: %v\n%s", stage, err, output.String())
			}
			return false
		case <-deadline:
			_ = cmd.Process.Kill()
			t.Fatalf("stage %s did not begin:\n%s", stage, output.String())
		case <-tick.C:
		}
		res, err := pipelines.ReadResult(dir)
		if err != nil || res.Status != pipelines.Running {
			continue
		}
		task, ok := res.Task(stage)
		if !ok {
			t.Fatalf("there is no stage %s", stage)
		}
		if task.Status == pipelines.Succeeded {
			// Too short to be caught this time.
			_ = cmd.Process.Kill()
			<-ended
			return false
		}
		if task.Status == pipelines.Running {
			if stage == "conformance" || stage == "upgrade" {
				time.Sleep(12 * time.Second) // into the creation of the cluster
			}
			if err := syscall.Kill(cmd.Process.Pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			<-ended
			return true
		}
	}
}

// removeImages takes back what the engine keeps as a cache of a state directory
// that is about to go.
func removeImages(t *testing.T, stateDir string) {
	ctx := context.Background()
	e, err := engine.Detect(ctx, engine.Options{StateDir: stateDir})
	if err != nil {
		t.Error(err)
		return
	}
	images, err := e.Images(ctx, map[string]string{engine.StateLabel: e.State()})
	if err != nil {
		t.Error(err)
	}
	for _, img := range images {
		if err := e.RemoveImages(ctx, img.Tags...); err != nil {
			t.Error(err)
		}
	}
}

func checkGraph(t *testing.T, stateDir string, first, second *report.Report) {
	t.Helper()
	var graph struct {
		Version int
		Nodes   []struct{ Version, Payload string }
		Edges   [][2]int
	}
	out := mustRun(t, stateDir, "graph", "--channel", "candidate", "-o", "json")
	if err := json.Unmarshal([]byte(out), &graph); err != nil {
		t.Fatal(err)
	}
	if len(graph.Nodes) != 2 || len(graph.Edges) != 1 {
		t.Fatalf("graph has %d nodes and %d edges, want 2 and 1: %s", len(graph.Nodes), len(graph.Edges), out)
	}
	from, to := graph.Nodes[graph.Edges[0][0]], graph.Nodes[graph.Edges[0][1]]
	if from.Version != first.Payload.Version || to.Version != second.Payload.Version || !strings.HasSuffix(to.Payload, second.Payload.Digest) {
		t.Errorf("edge from %v to %v", from, to)
	}
}

func checkNothingLeft(t *testing.T, stateDir string) {
	t.Helper()
	st, err := state.Open(stateDir)
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.Detect(t.Context(), engine.Options{StateDir: st.Root()})
	if err != nil {
		t.Fatal(err)
	}
	left, err := e.Leftovers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(left) > 0 {
		t.Errorf("left on the host: %v", left)
	}
}

// testRefusals checks that nothing goes on with a payload that is not signed, or
// not by a trusted key.
func testRefusals(t *testing.T, stateDir string, r *report.Report) {
	images := filepath.Join(stateDir, "runs", "latest", "work", "images.json")
	unsigned := strings.TrimSpace(mustRun(t, stateDir, "release", "new", "--images", images, "--name", "1.36.3-0.unsigned-2026-01-01-000000", "-o", "name"))
	commands := map[string][]string{
		"verify":  {"verify", unsigned},
		"create":  {"cluster", "create", "refused", "--payload", unsigned},
		"decide":  {"stream", "decide", unsigned},
		"promote": {"channel", "promote", unsigned},
		"attest":  {"attest", unsigned, "--images-file", images},
	}
	for name, args := range commands {
		_, errs, code := slipway(t, stateDir, args...)
		if code != exitRejected || !strings.Contains(errs, "signature") {
			t.Errorf("%s of an unsigned payload: exit %d, %s", name, code, errs)
		}
	}
	stranger := t.TempDir()
	mustRun(t, stranger, "version")
	if err := os.CopyFS(filepath.Join(stranger, "store"), os.DirFS(filepath.Join(stateDir, "store"))); err != nil {
		t.Fatal(err)
	}
	mustRun(t, stranger, "sign", unsigned) // makes keys of its own
	if _, errs, code := slipway(t, stranger, "verify", r.Payload.Digest); code != exitRejected {
		t.Errorf("verifying with a key that did not sign: exit %d, %s", code, errs)
	}
}

// testHA brings up the profile with three control planes.
func testHA(t *testing.T, stateDir string, r *report.Report) {
	artifacts := t.TempDir()
	mustRun(t, stateDir, "cluster", "create", "ha", "--profile", "ha", "--rollout", "--payload", r.Payload.Digest)
	defer mustRun(t, stateDir, "cluster", "delete", "ha")
	var clusters []struct{ Name, Profile string }
	if err := json.Unmarshal([]byte(mustRun(t, stateDir, "cluster", "list", "-o", "json")), &clusters); err != nil {
		t.Fatal(err)
	}
	if len(clusters) != 1 || clusters[0].Profile != "ha" {
		t.Errorf("clusters: %v", clusters)
	}
	out := mustRun(t, stateDir, "test", "run", "--cluster", "ha", "--profile", "ha", "--payload", r.Payload.Digest, "--artifacts", artifacts)
	t.Log(out)
	logs := filepath.Join(artifacts, "logs")
	mustRun(t, stateDir, "cluster", "logs", "ha", "--dir", logs)
	if entries, err := os.ReadDir(logs); err != nil || len(entries) == 0 {
		t.Errorf("no logs were collected: %v", err)
	}
	if !strings.Contains(mustRun(t, stateDir, "cluster", "kubeconfig", "ha"), "kind: Config") {
		t.Error("kubeconfig is none")
	}
}

// testStall makes a release whose rollout cannot end, and expects a decision
// against it, attached to its digest.
func testStall(t *testing.T, stateDir string) {
	dir := t.TempDir()
	distro, lock, built := filepath.Join(dir, "distro"), filepath.Join(dir, "lock.json"), filepath.Join(dir, "images.json")
	if err := os.CopyFS(distro, os.DirFS("../../distros/skiff")); err != nil {
		t.Fatal(err)
	}
	job := `apiVersion: batch/v1
kind: Job
metadata: {name: never, namespace: kube-system}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers:
      - name: never
        image: registry.slipway.internal/skiff/agnhost
        args: [no-such-command]
`
	path := filepath.Join(distro, "components", "cluster-policy", "manifests", "0000_90_cluster-policy_never.yaml")
	if err := os.WriteFile(path, []byte(job), 0o644); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string { return mustRun(t, stateDir, append(args, "--distro", distro)...) }
	run("lock", "--lock-file", lock)
	run("build", "--lock-file", lock, "--images-file", built)
	payload := strings.TrimSpace(run("release", "new", "--images", built, "--name", "1.36.3-0.broken-2026-01-01-000000", "-o", "name"))
	run("sign", payload)
	run("cluster", "create", "broken", "--payload", payload)
	defer run("cluster", "delete", "broken")
	out := run("test", "run", "--rollout", "--findings-ok", "--cluster", "broken", "--payload", payload, "--artifacts", dir)
	if !strings.Contains(out, "kube-system/never") {
		t.Errorf("the test does not say what did not come up:\n%s", out)
	}
	_, errs, code := slipway(t, stateDir, "stream", "decide", payload, "--distro", distro)
	if code != exitRejected || !strings.Contains(errs, "kube-system/never") {
		t.Errorf("deciding about it: exit %d, %s", code, errs)
	}
	decision := run("evidence", "show", payload, "https://slipway.dev/decision/v1")
	if !strings.Contains(decision, `"verdict":"Rejected"`) {
		t.Errorf("the decision attached to it is %s", decision)
	}
	junit, err := os.ReadFile(filepath.Join(dir, "junit_smoke.xml"))
	if err != nil || !strings.Contains(string(junit), `failures="1"`) {
		t.Errorf("JUnit: %v\n%s", err, junit)
	}
}
