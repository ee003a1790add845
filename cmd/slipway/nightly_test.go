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

	"github.com/slipway-release/slipway/images"
	"github.com/slipway-release/slipway/internal/engine"
	"github.com/slipway-release/slipway/internal/proportion"
	"github.com/slipway-release/slipway/internal/state"
	"github.com/slipway-release/slipway/pipelines"
	"github.com/slipway-release/slipway/pipelines/report"
	"github.com/slipway-release/slipway/upgradetest"
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

// TestIntegrationNightly takes Skiff from source to a promoted payload, on real
// clusters of one node. The run is killed in stages that are taken up again in different
// ways.
func TestIntegrationNightly(t *testing.T) {
	needCluster(t)
	stateDir := t.TempDir()
	t.Cleanup(func() { removeImages(t, stateDir) })
	built := buildSkiff(t, stateDir)

	killInStages(t, stateDir)
	r := readReport(t, stateDir)
	checkAccepted(t, r)
	if r.Run.Profile != "single" || r.Upgrade.Nodes != 1 {
		t.Errorf("upgraded was profile %q with %d nodes", r.Run.Profile, r.Upgrade.Nodes)
	}
	for _, img := range r.Images {
		if i := slices.IndexFunc(built, func(b images.Result) bool { return b.Component == img.Component }); i < 0 || built[i].Digest != img.Digest || !img.Cached {
			t.Errorf("image %s was built again, as %s", img.Component, img.Digest)
		}
	}
	checkNothingLeft(t, stateDir)

	t.Run("verification", func(t *testing.T) { testRefusals(t, stateDir, r) })
	t.Run("the next release", func(t *testing.T) { testNext(t, stateDir, r) })
	t.Run("the server", func(t *testing.T) { testServed(t, stateDir, r) })
	t.Run("a release that does not come up", func(t *testing.T) { testStall(t, stateDir) })
	checkNothingLeft(t, stateDir)
}

// buildSkiff builds all images into a state directory, and returns what was built. What
// was compiled by an earlier call on this host, with the same inputs, is taken from
// there: that takes minutes, and the tests of package images look at it.
func buildSkiff(t *testing.T, stateDir string) []images.Result {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	kept := filepath.Join(cache, "slipway-test", "skiff")
	copyTree := func(from, to string) {
		if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
			t.Fatalf("copying %s: %v\n%s", from, err, out)
		}
	}
	if _, err := os.Stat(kept); err == nil {
		copyTree(kept+"/.", stateDir)
	}
	dir := t.TempDir()
	lock, file := filepath.Join(dir, "lock.json"), filepath.Join(dir, "images.json")
	mustRun(t, stateDir, "lock", "--lock-file", lock)
	mustRun(t, stateDir, "build", "--lock-file", lock, "--images-file", file)
	built, err := readResults(file)
	if err != nil {
		t.Fatal(err)
	}
	// The program under test is another each time, and made in a second.
	if slices.ContainsFunc(built, func(r images.Result) bool { return !r.Cached && r.Component != "slipway" }) {
		fresh := kept + ".new"
		if err := errors.Join(os.RemoveAll(fresh), os.MkdirAll(fresh, 0o755)); err != nil {
			t.Fatal(err)
		}
		copyTree(filepath.Join(stateDir, "store"), fresh)
		copyTree(filepath.Join(stateDir, "cache"), fresh)
		if err := errors.Join(os.RemoveAll(kept), os.Rename(fresh, kept)); err != nil {
			t.Fatal(err)
		}
	}
	return built
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
	for _, name := range []string{"kube-api", "kube-api-cache", "kube-api-write", "kube-api-watch", "kube-api-lease", "service", "tcp", "dns"} {
		if !slices.ContainsFunc(u.Backends, func(b upgradetest.BackendResult) bool { return b.Name == name }) {
			t.Errorf("backend %s was not probed; skipped were %q", name, u.Skipped)
		}
	}
	for _, b := range u.Backends {
		if !proportion.Covered(int64(b.Sent), int64(b.Intended)) {
			t.Errorf("backend %s: %d of %d samples", b.Label(), b.Sent, b.Intended)
		}
	}
	if u.SelfTest == nil || len(u.SelfTest.Injections) == 0 || u.Baseline == nil {
		t.Errorf("self-test %v, baseline %v", u.SelfTest, u.Baseline)
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

// killInStages begins a run and kills it, with SIGKILL, in stages that leave
// different things behind: images, a payload, a cluster, a channel. The last process finishes it.
func killInStages(t *testing.T, stateDir string) {
	t.Helper()
	var killed []string
	for _, stage := range []string{"build", "assemble", "conformance", "upgrade", "promote"} {
		if killIn(t, stateDir, stage) {
			killed = append(killed, stage)
		}
	}
	for _, long := range []string{"conformance", "upgrade"} {
		if !slices.Contains(killed, long) {
			t.Errorf("stage %s was never caught running", long)
		}
	}
	t.Logf("killed in %v", killed)
	// A host that other work slows down proves nothing about a release, and says so. Then
	// the next run is asked, as whoever runs nightlies would.
	for attempt := 1; ; attempt++ {
		out, errs, code := slipway(t, stateDir, "nightly", "--profile", "single")
		if code == exitInconclusive && attempt < 3 {
			t.Logf("after the kills: no verdict\n%s\n%s", out, errs)
			continue
		}
		if code != exitDone {
			t.Fatalf("after the kills: exit %d\n%s\n%s", code, out, errs)
		}
		return
	}
}

// killIn runs nightly until a stage runs, and a cluster of it if it makes one, and
// kills it. It returns false when the stage ended before it was seen.
func killIn(t *testing.T, stateDir, stage string) bool {
	t.Helper()
	cmd := command(t, stateDir, "nightly", "--profile", "single")
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
			if err != nil && cmd.ProcessState.ExitCode() != exitInconclusive {
				t.Fatalf("the run ended before stage %s: %v\n%s", stage, err, output.String())
			}
			t.Logf("the run ended before stage %s\n%s", stage, output.String())
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
		makesCluster := stage == "conformance" || stage == "upgrade"
		if task.Status == pipelines.Pending || (task.Status == pipelines.Running && makesCluster && !hasContainer(t, stateDir)) {
			continue
		}
		if err := syscall.Kill(cmd.Process.Pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-ended
		return task.Status == pipelines.Running // others were too short to be caught
	}
}

// hasContainer reports whether anything runs on the host for a state directory.
func hasContainer(t *testing.T, stateDir string) bool {
	t.Helper()
	return slices.ContainsFunc(leftovers(t, stateDir), func(what string) bool { return strings.HasPrefix(what, "container/") })
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
	held, err := e.Images(ctx, map[string]string{engine.StateLabel: e.State()})
	if err != nil {
		t.Error(err)
	}
	for _, img := range held {
		if err := e.RemoveImages(ctx, img.Tags...); err != nil {
			t.Error(err)
		}
	}
}

func checkGraph(t *testing.T, stateDir, older, newer, digest string) {
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
	if from.Version != older || to.Version != newer || !strings.HasSuffix(to.Payload, digest) {
		t.Errorf("edge from %v to %v", from, to)
	}
}

func checkNothingLeft(t *testing.T, stateDir string) {
	t.Helper()
	if left := leftovers(t, stateDir); len(left) > 0 {
		t.Errorf("left on the host: %v", left)
	}
}

func leftovers(t *testing.T, stateDir string) []string {
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
	return left
}

// testRefusals checks that nothing goes on with a payload that is not signed, or
// not by a trusted key.
func testRefusals(t *testing.T, stateDir string, r *report.Report) {
	built := filepath.Join(stateDir, "runs", "latest", "work", "images.json")
	unsigned := strings.TrimSpace(mustRun(t, stateDir, "release", "new", "--images", built, "--name", "1.36.3-0.unsigned-2026-01-01-000000", "-o", "name"))
	commands := map[string][]string{
		"verify":  {"verify", unsigned},
		"create":  {"cluster", "create", "refused", "--payload", unsigned},
		"decide":  {"stream", "decide", unsigned},
		"promote": {"channel", "promote", unsigned, "--stream", "nightly"},
		"attest":  {"attest", unsigned, "--images-file", built},
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

// testNext decides about releases of the same images with evidence of their own, and
// promotes the one that passes: an edge leads to it from the one before.
func testNext(t *testing.T, stateDir string, before *report.Report) {
	tested := mustRun(t, stateDir, "evidence", "show", before.Payload.Digest, "test-result")
	for i, tc := range []struct {
		name   string
		change func(map[string]any)
		code   int
		says   string
	}{
		{"without a self-test", func(u map[string]any) { delete(u, "selftest") }, exitInconclusive, "self-test"},
		{"with a gap", func(u map[string]any) {
			for _, b := range u["backends"].([]any) {
				if b := b.(map[string]any); b["name"] == "tcp" {
					b["failed"] = 7
					b["disruptions"] = []any{map[string]any{"atLeastMs": 300, "atMostMs": 400, "during": "draining node 2"}}
				}
			}
		}, exitRejected, "7 of "},
		{"with a finding", func(u map[string]any) {
			u["findings"] = []any{map[string]any{"rule": "write-lost", "severity": "error", "object": "kube-api-write", "message": "1 is missing", "at": "2026-01-01T00:00:00Z"}}
		}, exitRejected, "write-lost: kube-api-write"},
		{"as good", func(map[string]any) {}, exitDone, "Accepted"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			version := fmt.Sprintf("1.36.3-0.nightly-2099-01-01-00000%d", i)
			payload := strings.TrimSpace(mustRun(t, stateDir, "release", "new", "--images", filepath.Join(stateDir, "runs", "latest", "work", "images.json"), "--name", version, "-o", "name"))
			mustRun(t, stateDir, "sign", payload)
			source := mustRun(t, stateDir, "stream", "source", payload)
			if !strings.Contains(source, before.Payload.Version) {
				t.Errorf("an upgrade to it would be tested from %s", source)
			}
			_, digest, _ := strings.Cut(payload, "@")
			var u map[string]any
			if err := json.Unmarshal([]byte(mustRun(t, stateDir, "evidence", "show", before.Payload.Digest, "upgrade-result")), &u); err != nil {
				t.Fatal(err)
			}
			u["from"], u["to"] = before.Upgrade.To, upgradetest.Release{Version: version, Digest: digest}
			tc.change(u)
			attach(t, stateDir, payload, "test-result", json.RawMessage(tested))
			attach(t, stateDir, payload, "upgrade-result", u)
			out, errs, code := slipway(t, stateDir, "stream", "decide", payload)
			if code != tc.code || !strings.Contains(out+errs, tc.says) {
				t.Fatalf("exit %d, %s%s", code, out, errs)
			}
			if code == exitDone {
				mustRun(t, stateDir, "channel", "promote", payload, "--stream", "nightly")
				checkGraph(t, stateDir, before.Payload.Version, version, digest)
			}
		})
	}
}

func attach(t *testing.T, stateDir, payload, kind string, predicate any) {
	t.Helper()
	data, err := json.Marshal(predicate)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "predicate.json")
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	mustRun(t, stateDir, "attest", payload, "--type", kind, "--predicate", file)
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
