package main

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slipway-release/slipway/distros"
	"github.com/slipway-release/slipway/images"
	"github.com/slipway-release/slipway/internal/layer/layertest"
	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/ocitest"
	"github.com/slipway-release/slipway/internal/state"
	"github.com/slipway-release/slipway/pipelines/premerge"
	"github.com/slipway-release/slipway/pipelines/report"
	"github.com/slipway-release/slipway/release"
)

// checked is a checkout of Skiff with a signed release of it, whose images hold nothing
// but the manifests.
type checked struct {
	dir, state, registry, base string
}

func newChecked(t *testing.T) *checked {
	t.Helper()
	c := &checked{dir: filepath.Join(t.TempDir(), "skiff"), state: t.TempDir(), registry: ocitest.Registry(t).Addr() + "/skiff"}
	if err := distros.Unpack(distros.Embedded(), c.dir); err != nil {
		t.Fatal(err)
	}
	d, err := distros.Load(c.dir)
	if err != nil {
		t.Fatal(err)
	}
	registry, err := oci.NewRegistry(d.Repository, c.registry)
	if err != nil {
		t.Fatal(err)
	}
	var built []images.Result
	for _, r := range d.Components {
		built = append(built, pushManifests(t, registry, r))
	}
	data, err := json.Marshal(built)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(c.state, "images.json")
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	c.base = "1.36.3-0.nightly-2026-11-20-101500"
	mustRun(t, c.state, "release", "new", "--images", file, "--name", c.base, "--registry", c.registry)
	mustRun(t, c.state, "sign", c.base, "--registry", c.registry)
	return c
}

func pushManifests(t *testing.T, registry *oci.Registry, r *images.Recipe) images.Result {
	t.Helper()
	labels := map[string]string{release.LabelVersions: r.Announces()}
	entries := []layertest.Entry{layertest.File("name", r.Metadata.Name)}
	files, err := fs.Glob(r.Files, "manifests/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := fs.ReadFile(r.Files, file)
		if err != nil {
			t.Fatal(err)
		}
		labels[release.LabelOperator] = "true"
		entries = append(entries, layertest.File(file, string(data)))
	}
	repository := registry.Canonical() + "/" + r.Metadata.Name
	digest, err := registry.Push(t.Context(), repository+":base", layertest.Image(t, labels, layertest.Layer(t, entries...)))
	if err != nil {
		t.Fatal(err)
	}
	return images.Result{Component: r.Metadata.Name, Reference: repository + "@" + digest.String(), Digest: digest.String()}
}

func (c *checked) args(more ...string) []string {
	return append([]string{"upgrade-check", "--distro", c.dir, "--registry", c.registry}, more...)
}

// edited is a component's folder with a text replaced in one of its manifests.
func (c *checked) edited(t *testing.T, component, file, before, after string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), component)
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(c.dir, "components", component))); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "manifests", file)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(data), before, after, 1)
	if changed == string(data) {
		t.Fatalf("%s does not hold %q", path, before)
	}
	if err := os.WriteFile(path, []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// The static part ends in the documented exit code, prints one screen, and leaves its
// files in a folder of its own.
func TestUpgradeCheckStatic(t *testing.T) {
	c := newChecked(t)
	dir := c.edited(t, "coredns", "0000_20_coredns_04-deployment.yaml", "replicas: 2", "replicas: 1")
	args := c.args("--base", c.base, "--component", "coredns="+dir, "--static-only")
	out, errs, code := slipway(t, c.state, args...)
	if code != exitRejected || !strings.Contains(errs, "the change is rejected") {
		t.Fatalf("exit code %d: %s%s", code, out, errs)
	}
	for _, want := range []string{"Verdict   Rejected", c.base, "single-replica-served", filepath.Join(dir, "manifests/0000_20_coredns_04-deployment.yaml") + ":10 spec.replicas", "Most likely responsible"} {
		if !strings.Contains(out, want) {
			t.Errorf("the screen lacks %q:\n%s", want, out)
		}
	}
	if lines := strings.Count(out, "\n"); lines > 40 {
		t.Errorf("%d lines are no one screen:\n%s", lines, out)
	}
	runs, err := filepath.Glob(filepath.Join(c.state, "runs", premerge.Stream+"-*"))
	if err != nil || len(runs) != 1 {
		t.Fatalf("runs %v, %v", runs, err)
	}
	for _, name := range []string{"report.json", "report.html", "junit_stages.xml", "junit_static.xml", "summary.md"} {
		if info, err := os.Stat(filepath.Join(runs[0], name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	out, _, _ = slipway(t, c.state, append(args, "-o", "json")...)
	var r report.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil || r.Run.Pipeline != premerge.Pipeline || r.Check.Static.Findings[0].Rule != "single-replica-served" {
		t.Errorf("%v: %s", err, out)
	}
	if out, _, _ = slipway(t, c.state, append(args, "-o", "markdown")...); !strings.HasPrefix(out, "## Upgrade check: Rejected") || !strings.Contains(out, "slipway upgrade-check --component coredns="+dir+" --base "+c.base+" --static-only") {
		t.Errorf("the summary is:\n%s", out)
	}
	// Nothing of it was taken for a run of the nightly, or for a release.
	if _, err := os.Lstat(filepath.Join(c.state, "runs", "latest")); err == nil {
		t.Error("the check became the latest run")
	}
	if out := mustRun(t, c.state, "stream", "list", premerge.Stream, "--registry", c.registry); out != "" {
		t.Errorf("the stream of checks holds %s", out)
	}
}

func TestUpgradeCheckAcceptsWhatBreaksNothing(t *testing.T) {
	c := newChecked(t)
	dir := c.edited(t, "coredns", "0000_20_coredns_04-deployment.yaml", "memory: 50Mi", "memory: 60Mi")
	if out, errs, code := slipway(t, c.state, c.args("--base", c.base, "--component", "coredns="+dir, "--static-only")...); code != exitDone || !strings.Contains(out, "Accepted") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
	out, errs, code := slipway(t, c.state, c.args("--base", c.base, "--component", "kube-proxy="+filepath.Join(c.dir, "components/kube-proxy"), "--dry-run")...)
	if code != exitDone || !strings.Contains(out, "build     kube-proxy, debian-base") || !strings.Contains(out, "into, out-of") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
	if runs, _ := filepath.Glob(filepath.Join(c.state, "runs", "*")); len(runs) != 1 {
		t.Errorf("a dry run left a run: %v", runs)
	}
}

func TestUpgradeCheckBadInput(t *testing.T) {
	c := newChecked(t)
	coredns := "coredns=" + filepath.Join(c.dir, "components/coredns")
	for name, x := range map[string]struct {
		args []string
		want []string
	}{
		"nothing accepted yet": {[]string{"--component", coredns}, []string{`stream "nightly" has no accepted payload`, "make nightly", "--base"}},
		"unknown stream":       {[]string{"--stream", "weekly"}, []string{`"weekly"`}},
		"unknown profile":      {[]string{"--profile", "huge"}, []string{`"huge"`, "single"}},
		"no such payload":      {[]string{"--base", "1.36.3-0.nightly-2026-01-01-000000"}, []string{"no such payload"}},
		"no such component":    {[]string{"--base", c.base, "--component", "cordns=" + filepath.Join(c.dir, "components/coredns")}, []string{`"cordns"`, "did you mean coredns?"}},
		"no such folder":       {[]string{"--component", "coredns=./none"}, []string{"./none", "no such file"}},
		"no source":            {[]string{"--component", "coredns"}, []string{"NAME=SOURCE"}},
		"no such image":        {[]string{"--base", c.base, "--component", "coredns=registry.slipway.internal/skiff/coredns:none"}, []string{"coredns:none", "./"}},
		"no such backend":      {[]string{"--backends", "telnet"}, []string{"telnet"}},
		"contradiction":        {[]string{"--static-only", "--measure-anyway"}, []string{"if any flags in the group"}},
	} {
		t.Run(name, func(t *testing.T) {
			out, errs, code := slipway(t, c.state, c.args(append(x.args, "--no-install")...)...)
			if code != exitUsage || out != "" {
				t.Errorf("exit code %d: %s%s", code, out, errs)
			}
			for _, want := range x.want {
				if !strings.Contains(errs, want) {
					t.Errorf("message %q lacks %q", errs, want)
				}
			}
		})
	}
}

// Two at once on one state directory would take each other's clusters away.
func TestUpgradeCheckHoldsTheLock(t *testing.T) {
	c := newChecked(t)
	st, err := state.Open(c.state)
	if err != nil {
		t.Fatal(err)
	}
	unlock, err := st.Lock()
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	_, errs, code := slipway(t, c.state, c.args("--base", c.base, "--static-only")...)
	if code != exitHost || !strings.Contains(errs, "another slipway run") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}
