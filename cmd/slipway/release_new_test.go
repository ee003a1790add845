package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slipway-release/slipway/images"
	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/ocitest"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/releasetest"
)

// generated is a set in a registry, with the files that name it.
type generated struct {
	server *ocitest.Server
	set    *releasetest.Set
	dir    string
}

func newGenerated(t *testing.T) *generated {
	t.Helper()
	g := &generated{server: ocitest.Registry(t), dir: t.TempDir()}
	g.set = releasetest.New(t, g.server.Addr()+"/skiff", releasetest.Options{Components: 6, Operators: 3, Manifests: 4})
	g.write(t, "stream.json", g.set.ImageStream())
	g.write(t, "mapping.txt", g.set.Mapping())
	var built []images.Result
	for _, c := range g.set.Components {
		_, digest, _ := strings.Cut(c.Reference, "@")
		built = append(built, images.Result{Component: c.Name, Reference: "registry.slipway.internal/skiff/" + c.Name + "@" + digest, Digest: digest})
	}
	data, err := json.Marshal(built)
	if err != nil {
		t.Fatal(err)
	}
	g.write(t, "images.json", data)
	return g
}

func (g *generated) path(name string) string { return filepath.Join(g.dir, name) }

func (g *generated) write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(g.path(name), data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func releaseNew(t *testing.T, g *generated, args ...string) newPayload {
	t.Helper()
	out := mustRun(t, g.path("state"), append([]string{"release", "new", "-o", "json"}, args...)...)
	var p newPayload
	if err := json.Unmarshal([]byte(out), &p); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return p
}

// Every input that names the same images gives the same files.
func TestReleaseNewFromEveryInput(t *testing.T) {
	g := newGenerated(t)
	repository := g.server.Addr() + "/out/release"
	common := []string{"--name", "4.15.0", "--previous", "4.14.11,4.14.9"}
	first := releaseNew(t, g, append(common, "--mapping-file", g.path("mapping.txt"), "--to-image", repository,
		"--to-layout", g.path("layout"), "--to-archive", g.path("p.tar"), "--to-dir", g.path("files"), "--to-file", g.path("layer.tgz"),
		"--dir", g.path("components"), "--to-signature", g.path("claim"), "--reference-file", g.path("reference"), "--version-file", g.path("version"))...)
	if first.Manifests == 0 || first.PullSpec != repository+"@"+first.Digest || len(first.Outputs) != 5 {
		t.Errorf("%+v", first)
	}
	for name, want := range map[string]string{"reference": first.Reference, "version": "4.15.0"} {
		if data, err := os.ReadFile(g.path(name)); err != nil || string(data) != want {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
	for _, path := range []string{g.path("layout"), g.path("p.tar")} {
		l, err := oci.OpenLayout(path)
		if err != nil {
			t.Fatal(err)
		}
		if digest, err := l.Resolve(t.Context(), "4.15.0"); err != nil || digest.String() != first.Digest {
			t.Errorf("%s: %s, %v", path, digest, err)
		}
		l.Close()
	}
	for name, args := range map[string][]string{
		"stream":  {"-f", g.path("stream.json"), "--prune=false"},
		"release": {"--from-release", repository + ":4.15.0"},
		"layout":  {"--from-release", "oci:" + g.path("layout") + ":4.15.0"},
		"folder":  {"--from-dir", g.path("components")},
	} {
		dir := g.path("files-" + name)
		releaseNew(t, g, append(append(common, args...), "--to-dir", dir)...)
		checkSameFiles(t, g.path("files"), dir)
	}
	if out := mustRun(t, g.path("state"), "release", "rebuild", repository+":4.15.0"); !strings.Contains(out, "the same to the byte") {
		t.Error(out)
	}
}

// checkSameFiles compares manifests and metadata; where the images are known
// from may differ.
func checkSameFiles(t *testing.T, want, got string) {
	t.Helper()
	entries, err := os.ReadDir(want)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		a, err := os.ReadFile(filepath.Join(want, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(got, e.Name()))
		if err != nil {
			t.Error(err)
			continue
		}
		if e.Name() == release.ReferencesFile {
			compareImages(t, a, b)
		} else if string(a) != string(b) {
			t.Errorf("%s of %s differs", e.Name(), got)
		}
	}
}

func compareImages(t *testing.T, a, b []byte) {
	t.Helper()
	was, err := release.ParseImageReferences(a)
	if err != nil {
		t.Fatal(err)
	}
	is, err := release.ParseImageReferences(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, tag := range was.Tags {
		if image, _ := is.Image(tag.Name); image != tag.Image {
			t.Errorf("%s is %q, not %q", tag.Name, image, tag.Image)
		}
	}
}

// The nightly pipeline's call: --images, an empty --name, and files for what comes next.
func TestReleaseNewOfADistribution(t *testing.T) {
	g := newGenerated(t)
	args := []string{"release", "new", "--stream=nightly", "--name=", "--images=" + g.path("images.json"), "--registry=" + g.server.Addr(),
		"--version-file=" + g.path("version"), "--reference-file=" + g.path("payload"), "--to-image-base-tag=" + releasetest.BaseName}
	out := mustRun(t, g.path("state"), args...)
	version, err := os.ReadFile(g.path("version"))
	if err != nil {
		t.Fatal(err)
	}
	reference, err := os.ReadFile(g.path("payload"))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(out)
	if len(fields) != 3 || fields[1] != string(version) || string(reference) != "registry.slipway.internal/skiff/release@"+fields[0] || !strings.Contains(fields[1], "-0.nightly-") {
		t.Errorf("%q, version %q, reference %q", out, version, reference)
	}
	if again := mustRun(t, g.path("state"), append(args, "--name="+string(version))...); again != out {
		t.Errorf("the second run says %q, the first %q", again, out)
	}
	if out := mustRun(t, g.path("state"), "release", "rebuild", string(version), "--registry", g.server.Addr()); !strings.Contains(out, "the same to the byte") {
		t.Error(out)
	}
}

func TestDryRunTouchesNothing(t *testing.T) {
	g := newGenerated(t)
	g.server.Forget()
	state := g.path("no-state")
	out := mustRun(t, state, "release", "new", "-f", g.path("stream.json"), "--name", "4.15.0", "--dry-run", "--to-image", g.server.Addr()+"/out/x",
		"--to-dir", g.path("d"), "--to-layout", g.path("l"), "--to-archive", g.path("a"), "--to-file", "-", "--to-signature", g.path("s"), "--dir", g.path("c"), "--reference-file", g.path("r"))
	if !strings.HasPrefix(out, "sha256:") {
		t.Error(out)
	}
	if n := g.server.Total(ocitest.Match{Method: ocitest.Writes}).Requests; n > 0 {
		t.Errorf("%d writing requests", n)
	}
	for _, name := range []string{"no-state", "d", "l", "a", "s", "c", "r"} {
		if _, err := os.Stat(g.path(name)); !os.IsNotExist(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReleaseNewRefuses(t *testing.T) {
	g := newGenerated(t)
	stream := []string{"-f", g.path("stream.json"), "--name", "4.15.0"}
	lock := g.path("lock.json")
	g.write(t, "lock.json", []byte(`{"apiVersion":"slipway.dev/v1alpha1","kind":"Lock","platform":"linux/amd64","toolchain":{}}`))
	for name, tc := range map[string]struct {
		args []string
		code int
		want string
	}{
		"two inputs":           {append(stream, "--from-dir", g.dir), exitUsage, "give one"},
		"a source named twice": {append(stream, "--mapping-file", g.path("mapping.txt"), "--mapping-file", g.path("mapping.txt")), exitUsage, "is given an image twice"},
		"no such override":     {append(stream, "cli="+g.server.Addr()+"/none:1"), exitUsage, `component "cli"`},
		"registry is down":     {append(stream, "cli=127.0.0.1:1/none:1"), exitHost, `component "cli"`},
		"metadata":             {append(stream, "--metadata", "[]"), exitUsage, "--metadata"},
		"both bases":           {append(stream, "--to-image-base", "x", "--to-image-base-tag", "y"), exitUsage, "give one"},
		"claim without image":  {append(stream, "--to-signature", "x"), exitUsage, "--to-image"},
		"mirror by mode":       {append(stream, "--mirror", "a.example/b", "--reference-mode", "source"), exitUsage, "give one"},
		"mirror to a tag":      {append(stream, "--mirror", "a.example/b:x"), exitUsage, "without a tag"},
		"mirror of the own":    {[]string{"--images", g.path("images.json"), "--mirror", "a.example/b"}, exitUsage, "slipway release mirror"},
		"namespace of nothing": {append(stream, "-n", "okd"), exitUsage, "--from-image-stream"},
		"reference mode":       {append(stream, "--reference-mode", "private"), exitUsage, "private"},
		"a lock without build": {[]string{"--from-lock", lock, "--registry", g.server.Addr()}, exitUsage, "slipway build"},
		"no such lock":         {[]string{"--from-lock", lock + "x"}, exitUsage, "slipway lock"},
		"an image, no payload": {[]string{"--from-release", g.set.Components[0].Reference}, exitUsage, "release-manifests"},
		"epoch":                {append(stream, "--keep-manifest-list", "--to-image-base", "scratch"), exitUsage, "keep-manifest-list"},
	} {
		t.Run(name, func(t *testing.T) {
			out, errs, code := slipway(t, g.path("state"), append([]string{"release", "new"}, tc.args...)...)
			if code != tc.code || !strings.Contains(errs, tc.want) || out != "" {
				t.Errorf("exit %d, %q, %q", code, out, errs)
			}
		})
	}
}

func TestRebuildShowsWhatDiffers(t *testing.T) {
	g := newGenerated(t)
	registry, err := oci.NewRegistry(g.server.Addr()+"/skiff", "")
	if err != nil {
		t.Fatal(err)
	}
	payload := g.set.Payload("4.15.0")
	if payload.Base, err = registry.Image(t.Context(), g.set.Component(t, releasetest.BaseName).Reference); err != nil {
		t.Fatal(err)
	}
	ref := g.server.Addr() + "/oc/release:4.15.0"
	if _, err := registry.Push(t.Context(), ref, payload.Image(t)); err != nil {
		t.Fatal(err)
	}
	if out := mustRun(t, g.path("state"), "release", "rebuild", ref); !strings.Contains(out, "same content, other packing") {
		t.Error(out)
	}
	payload.Manifests[0].Data = append(payload.Manifests[0].Data, "# added\n"...)
	if _, err := registry.Push(t.Context(), ref, payload.Image(t)); err != nil {
		t.Fatal(err)
	}
	out, errs, code := slipway(t, g.path("state"), "release", "rebuild", ref)
	if code != exitRejected || !strings.Contains(out, "-# added") || !strings.Contains(errs, "differs") {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
}

// tinyDistribution is made of files alone, so that it is built in a moment.
func tinyDistribution(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	component := "apiVersion: slipway.dev/v1alpha1\nkind: Component\nmetadata: {name: NAME}\nlayers:\n- files: {from: rootfs}\n"
	for name, data := range map[string]string{
		"distro.yaml": "apiVersion: slipway.dev/v1alpha1\nkind: Distribution\nmetadata: {name: tiny}\nrepository: registry.example.com/tiny\nversion: 1.2.3\npayloadBase: base\n" +
			"components: [base, op]\nstreams:\n- name: nightly\n  channels: [candidate]\n  checks: {blocking: [conformance]}\nchannels:\n- name: candidate\n",
		"components/base/component.yaml":  strings.Replace(component, "NAME", "base", 1),
		"components/base/rootfs/etc/motd": "hello\n",
		"components/op/component.yaml":    strings.Replace(component, "NAME", "op", 1),
		"components/op/rootfs/op":         "program\n",
		"components/op/manifests/ns.yaml": "apiVersion: v1\nkind: Namespace\nmetadata: {name: op}\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// signedTiny is a small distribution with a signed payload in the registry of a state
// directory.
func signedTiny(t *testing.T) (distro, state, version string) {
	t.Helper()
	distro, state, version = tinyDistribution(t), t.TempDir(), "1.2.3-0.nightly-2026-11-20-101500"
	built := filepath.Join(state, "images.json")
	for _, args := range [][]string{
		{"lock"}, {"build", "--images-file", built}, {"release", "new", "--images", built, "--name", version}, {"sign", version},
	} {
		mustRun(t, state, append(args, "--distro", distro)...)
	}
	return distro, state, version
}

// From a lock to a signed payload, and from its provenance to the same bytes again.
func TestFromLockToRebuild(t *testing.T) {
	distro, state := tinyDistribution(t), t.TempDir()
	run := func(args ...string) string {
		t.Helper()
		return mustRun(t, state, append(args, "--distro", distro)...)
	}
	lock, built, version := filepath.Join(distro, "distro.lock"), filepath.Join(state, "images.json"), "1.2.3-0.nightly-2026-11-20-101500"
	run("lock")
	if _, errs, code := slipway(t, state, "release", "new", "--from-lock", lock, "--distro", distro); code != exitUsage || !strings.Contains(errs, "base, op") || !strings.Contains(errs, "slipway build") {
		t.Errorf("exit %d, %q", code, errs)
	}
	run("build", "--images-file", built)
	fromLock := run("release", "new", "--from-lock", lock, "--name", version)
	if fromBuild := run("release", "new", "--images", built, "--name", version); fromLock != fromBuild {
		t.Errorf("%q, from the lock %q", fromBuild, fromLock)
	}
	run("sign", version)
	run("attest", version, "--type", "provenance", "--lock-file", lock, "--images-file", built)
	out := run("release", "rebuild", version, "--components")
	for _, want := range []string{"its signed provenance", "the same to the byte", "2 component images, 0 of them otherwise"} {
		if !strings.Contains(out, want) {
			t.Errorf("%s lacks %q", out, want)
		}
	}
	if err := os.WriteFile(filepath.Join(distro, "components/op/rootfs/op"), []byte("another program\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	out, _, code := slipway(t, state, "release", "rebuild", version, "--components", "--distro", distro)
	if code != exitRejected || !strings.Contains(out, "1 of them otherwise") {
		t.Errorf("exit %d, %s", code, out)
	}
}
