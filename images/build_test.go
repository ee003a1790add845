package images_test

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/slipway-release/slipway/images"
)

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

func recipe(name string, layers ...images.Layer) *images.Recipe {
	return &images.Recipe{APIVersion: images.APIVersion, Kind: "Component", Metadata: images.Metadata{Name: name}, Layers: layers}
}

func goLayer(programs map[string]string) images.Layer {
	return images.Layer{Go: &images.GoLayer{
		Module: "example.com/tool", Version: "v1.2.3", Programs: programs,
		Ldflags: []string{"-X main.version=$(module.revision)"},
	}}
}

// small is a distribution with every kind of layer that needs no Debian.
func small() []*images.Recipe {
	base := recipe("base", images.Layer{Files: &images.FilesLayer{From: "rootfs", Directories: []string{"/var/empty"}, Links: map[string]string{"/bin": "usr/bin"}}})
	base.Files = fstest.MapFS{
		"rootfs/etc/motd":       {Data: []byte("hello\n"), Mode: 0o600},
		"rootfs/usr/bin/script": {Data: []byte("#!/bin/sh\n"), Mode: 0o600},
		"rootfs/.hidden":        {Data: []byte("dot\n")},
	}
	base.Image = images.ImageConfig{Env: map[string]string{"A": "base", "B": "base"}, Cmd: []string{"/bin/script"}, User: "1:1"}
	one := recipe("one", goLayer(map[string]string{"./cmd/one": "/usr/bin/one"}))
	one.From = "base"
	one.Versions = map[string]string{"tool": "v1.2.3"}
	one.Files = fstest.MapFS{"manifests/a.yaml": {Data: []byte("kind: A\n")}, "component.yaml": {}}
	one.Image = images.ImageConfig{Entrypoint: []string{"/usr/bin/one"}, Env: map[string]string{"B": "one"}, Ports: []string{"53/udp"}}
	two := recipe("two", goLayer(map[string]string{"./cmd/two": "/two"}),
		images.Layer{ModuleFiles: &images.ModuleFilesLayer{
			Module: "example.com/tool", Version: "v1.2.3", From: "conf", To: "/etc/tool", Exclude: []string{"skip"},
			Modes:   map[string]string{"/etc/tool/a.conf": "0600"},
			Replace: []images.Replacement{{Path: "/etc/tool/a.conf", Old: "strict", New: "lax"}},
		}})
	c := recipe("c", images.Layer{C: &images.CLayer{Module: "example.com/tool", Version: "v1.2.3", Sources: []string{"hello.c"}, Flags: []string{`-DWORD="x"`}, Program: "/hello"}})
	self := recipe("self", images.Layer{Self: &images.SelfLayer{Program: "/slipway"}})
	return []*images.Recipe{one, two, base, c, self}
}

func needsC(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("gcc is not installed")
	}
}

// TestBuildIsReproducible builds in two places that share nothing, and finds the
// same images; then everything in the cache, also from another machine.
func TestBuildIsReproducible(t *testing.T) {
	needsC(t)
	proxy := modules(t)
	a, b := newPlace(t, proxy), newPlace(t, proxy)
	b.environ = b.environ[:len(b.environ)-hostile] // the user of b has no settings of his own
	lock := a.lock(t, small())
	first, err := a.build(t.Context(), small(), lock)
	check(t, err)
	second, err := b.build(t.Context(), small(), b.lock(t, small()))
	check(t, err)
	if len(first) != len(small()) {
		t.Fatalf("%d of %d components were built", len(first), len(small()))
	}
	for name, r := range first {
		if r.Cached || second[name].Cached {
			t.Errorf("%s: came from a cache that was empty", name)
		}
		if second[name].Digest != r.Digest {
			t.Errorf("%s: %s in one place, %s in the other", name, r.Digest, second[name].Digest)
		}
	}
	again, err := a.build(t.Context(), small(), a.lock(t, small()))
	check(t, err)
	a.cache = t.TempDir() // another machine with the same registry
	elsewhere, err := a.build(t.Context(), small(), lock)
	check(t, err)
	for name, r := range first {
		for where, other := range map[string]images.Result{"again": again[name], "elsewhere": elsewhere[name]} {
			if !other.Cached || other.Digest != r.Digest {
				t.Errorf("%s %s: cached %v, digest %s, want %s from the cache", name, where, other.Cached, other.Digest, r.Digest)
			}
			if len(other.Packages) != len(r.Packages) || len(other.Materials) != len(r.Materials) {
				t.Errorf("%s %s: %d packages and %d materials, want %d and %d", name, where, len(other.Packages), len(other.Materials), len(r.Packages), len(r.Materials))
			}
		}
	}
}

// files returns the headers of an image's whole file system, and small contents.
func files(t *testing.T, img v1.Image) (map[string]*tar.Header, map[string]string) {
	t.Helper()
	r := mutate.Extract(img)
	defer r.Close()
	headers, contents := map[string]*tar.Header{}, map[string]string{}
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return headers, contents
		}
		check(t, err)
		name := strings.Trim(h.Name, "/")
		headers[name] = h
		data, err := io.ReadAll(io.LimitReader(tr, 4096))
		check(t, err)
		contents[name] = string(data)
	}
}

func TestImageContent(t *testing.T) {
	needsC(t)
	p := newPlace(t, modules(t))
	results, err := p.build(t.Context(), small(), p.lock(t, small()))
	check(t, err)
	one, err := p.registry.Image(t.Context(), results["one"].Reference)
	check(t, err)
	headers, _ := files(t, one)
	for name, mode := range map[string]int64{
		"etc/motd": 0o644, "usr/bin/script": 0o755, ".hidden": 0o644, "var/empty": 0o755, "usr/bin/one": 0o755, "manifests/a.yaml": 0o644, "usr": 0o755,
	} {
		h := headers[name]
		if h == nil {
			t.Errorf("%s is missing", name)
			continue
		}
		if h.Mode != mode || h.Uid != 0 || h.Gid != 0 || h.ModTime.Unix() != 0 {
			t.Errorf("%s: mode %o owner %d:%d time %v, want %o 0:0 1970", name, h.Mode, h.Uid, h.Gid, h.ModTime, mode)
		}
	}
	if h := headers["bin"]; h == nil || h.Typeflag != tar.TypeSymlink || h.Linkname != "usr/bin" {
		t.Errorf("bin is %+v, want a symbolic link to usr/bin", h)
	}
	two, err := p.registry.Image(t.Context(), results["two"].Reference)
	check(t, err)
	headers, contents := files(t, two)
	if got := contents["etc/tool/a.conf"]; got != "mode = lax\n" || headers["etc/tool/a.conf"].Mode != 0o600 {
		t.Errorf("a.conf is %q with mode %o, want the changed text with 600", got, headers["etc/tool/a.conf"].Mode)
	}
	if headers["etc/tool/skip"] != nil || headers["etc/tool/skip/b"] != nil {
		t.Error("the excluded folder is in the image")
	}
	if headers["etc/tool/run.sh"].Mode != 0o755 {
		t.Errorf("run.sh has mode %o, want 755", headers["etc/tool/run.sh"].Mode)
	}
}

func TestImageConfiguration(t *testing.T) {
	needsC(t)
	p := newPlace(t, modules(t))
	results, err := p.build(t.Context(), small(), p.lock(t, small()))
	check(t, err)
	img, err := p.registry.Image(t.Context(), results["one"].Reference)
	check(t, err)
	manifest, err := img.Manifest()
	check(t, err)
	if manifest.MediaType != types.OCIManifestSchema1 || manifest.Config.MediaType != types.OCIConfigJSON {
		t.Errorf("media types %s and %s, want OCI's", manifest.MediaType, manifest.Config.MediaType)
	}
	for _, l := range manifest.Layers {
		if l.MediaType != types.OCILayer {
			t.Errorf("layer of type %s", l.MediaType)
		}
	}
	if got := manifest.Annotations["org.opencontainers.image.base.digest"]; got != results["base"].Digest {
		t.Errorf("base digest %q, want %q", got, results["base"].Digest)
	}
	file, err := img.ConfigFile()
	check(t, err)
	if file.OS != "linux" || file.Architecture != "amd64" || file.Created.Unix() != 0 || len(file.History) != 3 {
		t.Errorf("os %s, architecture %s, created %v, %d history entries", file.OS, file.Architecture, file.Created, len(file.History))
	}
	c := file.Config
	wantEnv := []string{"A=base", "B=one", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	if !slices.Equal(c.Env, wantEnv) || c.User != "1:1" || !slices.Equal(c.Entrypoint, []string{"/usr/bin/one"}) || len(c.Cmd) != 0 {
		t.Errorf("env %q user %q entrypoint %q cmd %q", c.Env, c.User, c.Entrypoint, c.Cmd)
	}
	if _, ok := c.ExposedPorts["53/udp"]; !ok {
		t.Errorf("ports %v", c.ExposedPorts)
	}
	for label, want := range map[string]string{
		"io.openshift.build.commit.id": "0123456789abcdef0123456789abcdef01234567", "io.openshift.build.source-location": "https://example.com/example.com/tool.git",
		"io.openshift.build.versions": "tool=1.2.3", "io.openshift.release.operator": "true",
		"org.opencontainers.image.version": "1.2.3", "org.opencontainers.image.title": "one",
	} {
		if c.Labels[label] != want {
			t.Errorf("label %s is %q, want %q", label, c.Labels[label], want)
		}
	}
}

// TestProgramsRun takes programs out of their images and runs them: version and
// dependency are stamped and raised as asked.
func TestProgramsRun(t *testing.T) {
	p := newPlace(t, modules(t))
	raised := recipe("raised", images.Layer{Go: &images.GoLayer{
		Module: "example.com/tool", Version: "v1.2.3", Require: map[string]string{"example.com/dep": "v1.1.0"},
		Programs: map[string]string{"./cmd/one": "/one"},
	}})
	one := recipe("one", goLayer(map[string]string{"./cmd/one": "/one"}))
	results, err := p.build(t.Context(), []*images.Recipe{one, raised}, p.lock(t, []*images.Recipe{one, raised}))
	check(t, err)
	for name, want := range map[string]string{
		"one": "one 0123456789abcdef0123456789abcdef01234567 dep 1.0.0\n", "raised": "one none dep 1.1.0\n",
	} {
		img, err := p.registry.Image(t.Context(), results[name].Reference)
		check(t, err)
		program := filepath.Join(t.TempDir(), "one")
		extract(t, img, "one", program)
		out, err := exec.Command(program).CombinedOutput()
		check(t, err)
		if string(out) != want {
			t.Errorf("%s prints %q, want %q", name, out, want)
		}
		dep := func(p images.Package) bool { return p.Name == "example.com/dep" && p.Digest["dirHash"] != "" }
		if !slices.ContainsFunc(results[name].Packages, dep) {
			t.Errorf("%s: example.com/dep is not among the packages %v", name, results[name].Packages)
		}
	}
}

func extract(t *testing.T, img v1.Image, name, to string) {
	t.Helper()
	r := mutate.Extract(img)
	defer r.Close()
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		check(t, err)
		if h.Name == name {
			f, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
			check(t, err)
			_, err = io.Copy(f, tr)
			check(t, errors.Join(err, f.Close()))
			return
		}
	}
}

// TestOneThatDoesNotCompile keeps nobody else from being built.
func TestOneThatDoesNotCompile(t *testing.T) {
	p := newPlace(t, modules(t))
	bad := recipe("bad", goLayer(map[string]string{"./cmd/bad": "/bad"}))
	onBad := recipe("on-bad", images.Layer{Files: &images.FilesLayer{Directories: []string{"/x"}}})
	onBad.From = "bad"
	recipes := []*images.Recipe{onBad, bad, recipe("one", goLayer(map[string]string{"./cmd/one": "/one"})), recipe("two", goLayer(map[string]string{"./cmd/two": "/two"}))}
	results, err := p.build(t.Context(), recipes, p.lock(t, recipes))
	var compile *images.CompileError
	if !errors.As(err, &compile) {
		t.Fatalf("error %v, want a CompileError", err)
	}
	if compile.Component != "bad" || compile.Program != "example.com/tool/cmd/bad" || !strings.Contains(compile.Output, "undefined: undefinedName") {
		t.Errorf("component %q, program %q, output %q", compile.Component, compile.Program, compile.Output)
	}
	if !strings.Contains(err.Error(), `building image "on-bad": its base "bad" could not be built`) {
		t.Errorf("the error does not speak of what stands on the component:\n%v", err)
	}
	if len(results) != 2 || results["one"].Digest == "" || results["two"].Digest == "" {
		t.Errorf("built were %v, want one and two", results)
	}
}

func TestCThatDoesNotCompile(t *testing.T) {
	needsC(t)
	p := newPlace(t, modules(t))
	bad := recipe("bad", images.Layer{C: &images.CLayer{Sources: []string{"x.c"}, Program: "/x"}})
	bad.Files = fstest.MapFS{"x.c": {Data: []byte("int main(void) { return nowhere; }\n")}}
	_, err := p.build(t.Context(), []*images.Recipe{bad}, p.lock(t, []*images.Recipe{bad}))
	var compile *images.CompileError
	if !errors.As(err, &compile) || !strings.Contains(compile.Output, "nowhere") {
		t.Fatalf("error %v, want a CompileError that names the mistake", err)
	}
}

// recorder counts what is compiled.
type recorder struct {
	mu    sync.Mutex
	lines []string
}

func (r *recorder) Start(name string)           { r.add("start " + name) }
func (r *recorder) Done(name string, err error) { r.add(fmt.Sprintf("done %s %v", name, err)) }
func (r *recorder) Log(name, text string)       { r.add(name + ": " + text) }
func (r *recorder) add(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, line)
}

// TestOneCallPerModule compiles the programs of several components at once, and
// later only what a change touches.
func TestOneCallPerModule(t *testing.T) {
	p := newPlace(t, modules(t))
	recipes := []*images.Recipe{recipe("one", goLayer(map[string]string{"./cmd/one": "/one"})), recipe("two", goLayer(map[string]string{"./cmd/two": "/two"}))}
	seen := &recorder{}
	p.progress = seen
	_, err := p.build(t.Context(), recipes, p.lock(t, recipes))
	check(t, err)
	want := "example.com/tool@v1.2.3: compiling 2 programs"
	compiling := func(line string) bool { return strings.Contains(line, "compiling") }
	if got := slices.DeleteFunc(slices.Clone(seen.lines), func(l string) bool { return !compiling(l) }); !slices.Equal(got, []string{want}) {
		t.Errorf("compiled: %q, want one call for both", got)
	}
	seen.lines = nil
	recipes[0].Layers = append(recipes[0].Layers, images.Layer{Files: &images.FilesLayer{Directories: []string{"/new"}}})
	results, err := p.build(t.Context(), recipes, p.lock(t, recipes))
	check(t, err)
	if slices.ContainsFunc(seen.lines, compiling) {
		t.Errorf("a new layer of files made the compiler run: %q", seen.lines)
	}
	if results["one"].Cached || !results["two"].Cached {
		t.Errorf("one cached %v, two cached %v, want only two", results["one"].Cached, results["two"].Cached)
	}
}
