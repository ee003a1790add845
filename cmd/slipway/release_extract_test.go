package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/internal/git/gittest"
	"github.com/slipway-release/slipway/internal/layer/layertest"
	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/ocitest"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/releasetest"
)

// shelf is a registry in which a test puts payloads of others.
type shelf struct {
	address  string
	registry *oci.Registry
}

func newShelf(t testing.TB) shelf {
	t.Helper()
	s := ocitest.Registry(t)
	registry, err := oci.NewRegistry(s.Addr()+"/okd", "")
	if err != nil {
		t.Fatal(err)
	}
	return shelf{s.Addr() + "/okd", registry}
}

// push returns the pull spec by digest.
func (s shelf) push(t testing.TB, name string, img v1.Image) string {
	t.Helper()
	digest, err := s.registry.Push(t.Context(), s.address+"/"+name+":1", img)
	if err != nil {
		t.Fatal(err)
	}
	return s.address + "/" + name + "@" + digest.String()
}

func TestExtractManifests(t *testing.T) {
	s := newShelf(t)
	spec := releasetest.Small("4.15.0")
	ref := s.push(t, "release", spec.Image(t))
	dir := filepath.Join(t.TempDir(), "out")
	out := mustRun(t, t.TempDir(), "release", "extract", ref, "--to", dir)
	if !strings.Contains(out, "Extracted ") || !strings.Contains(out, "4.15.0") {
		t.Errorf("output %q", out)
	}
	for _, f := range spec.Files() {
		data, err := os.ReadFile(filepath.Join(dir, f.Name))
		if err != nil || string(data) != string(f.Data) {
			t.Errorf("%s: %v, %q", f.Name, err, data)
		}
		// One file, to standard output.
		if out := mustRun(t, t.TempDir(), "release", "extract", "--from", ref, "--file", f.Name); out != string(f.Data) {
			t.Errorf("%s is printed as %q", f.Name, out)
		}
	}
	var report struct {
		Files   []string
		LeftOut []struct{ Object, Reason string }
	}
	out = mustRun(t, t.TempDir(), "release", "extract", ref, "--to", t.TempDir(), "--profile", "nobodys", "-o", "json")
	if err := json.Unmarshal([]byte(out), &report); err != nil || len(report.LeftOut) == 0 || !strings.Contains(report.LeftOut[0].Reason, "include.release.openshift.io/nobodys") {
		t.Errorf("%v: %s", err, out)
	}
	if err := os.WriteFile(filepath.Join(dir, release.ReferencesFile), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := slipway(t, t.TempDir(), "release", "extract", ref, "--to", dir); code != exitHost || !strings.Contains(errs, release.ReferencesFile) {
		t.Errorf("exit code %d: %s", code, errs)
	}
	mustRun(t, t.TempDir(), "release", "extract", ref, "--to", dir, "--overwrite")
}

func TestExtractTools(t *testing.T) {
	s := newShelf(t)
	marker := "\x00_RELEASE_VERSION_LOCATION_\x00" + strings.Repeat("X", 64) + "\x00"
	spec := releasetest.Small("4.19.0-okd-scos.16")
	spec.Images = map[string]string{"cli": s.push(t, "cli", layertest.Image(t, nil, layertest.Layer(t, layertest.File("usr/bin/oc", "ELF"+marker))))}
	ref := s.push(t, "release", spec.Image(t))
	dir, state := t.TempDir(), t.TempDir()
	key := filepath.Join(t.TempDir(), "key.asc")
	home := gpgHome(t, key)
	mustRun(t, state, "release", "extract", ref, "--tools", "--to", dir, "--signing-key", key, "--sign")
	for _, check := range []struct {
		dir  string
		argv []string
	}{
		{dir, []string{"sha256sum", "--check", "--strict", "sha256sum.txt"}},
		{dir, []string{"gpg", "--homedir", home, "--verify", "sha256sum.txt.asc", "sha256sum.txt"}},
		{dir, []string{"tar", "-xzf", "openshift-client-linux-4.19.0-okd-scos.16.tar.gz"}},
		{dir, []string{"grep", "-q", "4.19.0-okd-scos.16", "oc"}},
		{dir, []string{"cmp", "oc", "kubectl"}},
		{dir, []string{"grep", "-q", "^Pull From: " + ref, "release.txt"}},
		{dir, []string{"test", "-s", "sha256sum.txt.sigstore.json"}},
	} {
		cmd := exec.Command(check.argv[0], check.argv[1:]...)
		cmd.Dir = check.dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", strings.Join(check.argv, " "), err, out)
		}
	}
	one := t.TempDir()
	mustRun(t, state, "release", "extract", ref, "--command", "oc", "--command-os", "linux/amd64", "--to", one)
	if data, err := os.ReadFile(filepath.Join(one, "oc")); err != nil || !strings.HasPrefix(string(data), "ELF4.19.0-okd-scos.16\x00") {
		t.Errorf("%v: %.60q", err, data)
	}
	if _, errs, code := slipway(t, state, "release", "extract", ref, "--command", "helm", "--command-os", "linux/amd64", "--to", one); code != exitUsage || !strings.Contains(errs, "oc for linux/amd64") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

// gpgHome makes a key pair, whose private half goes to a file.
func gpgHome(t *testing.T, key string) string {
	t.Helper()
	home, err := os.MkdirTemp("", "gpg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = exec.Command("gpgconf", "--homedir", home, "--kill", "all").Run()
		os.RemoveAll(home)
	})
	for _, args := range [][]string{
		{"--passphrase", "", "--quick-generate-key", "release@example.com", "rsa2048", "sign", "never"},
		{"--armor", "--output", key, "--export-secret-keys"},
	} {
		if out, err := exec.Command("gpg", append([]string{"--homedir", home, "--batch", "--pinentry-mode", "loopback"}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("gpg %v: %v\n%s", args, err, out)
		}
	}
	return home
}

func TestExtractAndChangelogFromSources(t *testing.T) {
	s := newShelf(t)
	source := gittest.New(t, filepath.Join(t.TempDir(), "source"))
	older := source.Commit("start")
	newer := source.Commit("Something new (#7)")
	push := func(version, commit string) string {
		spec := releasetest.Small(version)
		spec.Labels = map[string]map[string]string{}
		for name := range spec.Images {
			spec.Images[name] = "registry.example.com/x@sha256:" + strings.Repeat(commit[:2], 32)
			spec.Labels[name] = map[string]string{release.LabelSource: source.URL(), release.LabelCommit: commit}
		}
		return s.push(t, "release", spec.Image(t))
	}
	from, to := push("4.15.0", older), push("4.15.1", newer)
	dir, state := t.TempDir(), t.TempDir()
	out := mustRun(t, state, "release", "extract", to, "--git", dir, "--allow-file-repositories", "-o", "commit")
	path, commit, ok := strings.Cut(strings.TrimSpace(out), " ")
	if !ok || commit != newer || strings.Count(out, "\n") != 1 {
		t.Fatalf("output %q", out)
	}
	if files, err := filepath.Glob(filepath.Join(path, "file-*")); err != nil || len(files) != 2 {
		t.Errorf("%v, %v", files, err)
	}
	out = mustRun(t, state, "release", "changelog", from, to, "--allow-file-repositories", "--strict")
	if !strings.Contains(out, "Something new") || !strings.Contains(out, "# 4.15.1") {
		t.Errorf("output %q", out)
	}
	out, errs, code := slipway(t, state, "release", "changelog", from, to)
	if code != exitDone || !strings.Contains(out, "History not available") || !strings.Contains(errs, "Warning") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
	if out := mustRun(t, state, "release", "info", from, to, "--changelog", filepath.Join(dir, "none")); !strings.Contains(out, "# 4.15.1") || !strings.Contains(out, "History not available") {
		t.Errorf("output %q", out)
	}
	if out := mustRun(t, state, "release", "changelog", from, to, "--allow-file-repositories", "-o", "issues"); out != "" {
		t.Errorf("issues of changes that name none: %q", out)
	}
	if _, errs, code := slipway(t, state, "release", "changelog", from, to, "--strict"); code != exitHost || !strings.Contains(errs, "could not be had") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if out := mustRun(t, state, "release", "changelog", from, to, "-o", "html", "--allow-file-repositories"); !strings.HasPrefix(out, "<!DOCTYPE html>") {
		t.Errorf("output %.100q", out)
	}
}

func TestExtractWrongUsage(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no payload":         {[]string{}, "name one"},
		"two payloads":       {[]string{"a", "--from", "b"}, "named twice"},
		"cloud alone":        {[]string{"a", "--cloud", "aws"}, "--credentials-requests"},
		"two kinds":          {[]string{"a", "--tools", "--git", "x"}, "none of the others"},
		"platform alone":     {[]string{"a", "--command-os", "linux"}, "--tools"},
		"signature of one":   {[]string{"a", "--command", "oc", "--sign"}, "no list of checksums"},
		"commits of nothing": {[]string{"a", "-o", "commit"}, "--git"},
	} {
		_, errs, code := slipway(t, t.TempDir(), append([]string{"release", "extract"}, c.args...)...)
		if code != exitUsage || !strings.Contains(errs, c.want) {
			t.Errorf("%s: exit code %d: %s", name, code, errs)
		}
	}
}

// BenchmarkExtract is the whole process, with a payload of OpenShift's size.
func BenchmarkExtract(b *testing.B) {
	s := newShelf(b)
	spec := releasetest.Small("4.15.0")
	for i := range 1080 {
		spec.Manifests = append(spec.Manifests, releasetest.File{
			Name: fmt.Sprintf("0000_50_component-%03d_%02d.yaml", i/12, i%12),
			Data: fmt.Appendf(nil, "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a%d\n  namespace: b\ndata:\n  x: %q\n", i, strings.Repeat("y", 3000)),
		})
	}
	ref, state := s.push(b, "release", spec.Image(b)), b.TempDir()
	for b.Loop() {
		cmd := exec.Command(program, "release", "extract", ref, "--to", b.TempDir(), "--state-dir", state)
		peaks := b.TempDir()
		cmd.Env = append(os.Environ(), "SLIPWAY_MEMORY_DIR="+peaks)
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v\n%s", err, out)
		}
		// The kernel's own count of a child begins with the parent's memory.
		peak, err := os.ReadFile(filepath.Join(peaks, strconv.Itoa(cmd.Process.Pid)))
		if err != nil {
			b.Fatal(err)
		}
		bytes, err := strconv.ParseFloat(string(peak), 64)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(bytes/(1<<20), "MiB-peak")
		b.ReportMetric(cmd.ProcessState.UserTime().Seconds()+cmd.ProcessState.SystemTime().Seconds(), "cpu-s")
	}
}
