package images_test

import (
	"archive/zip"
	"bytes"
	"context"
	"io/fs"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/slipway-release/slipway/images"
	"github.com/slipway-release/slipway/internal/oci"
)

// writeModule puts a version of a module where GOPROXY=file:// finds it.
func writeModule(t *testing.T, proxy, path, version string, files map[string]string) {
	t.Helper()
	dir := filepath.Join(proxy, path, "@v")
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	for name, content := range files {
		w, err := z.Create(path + "@" + version + "/" + name)
		check(t, err)
		_, err = w.Write([]byte(content))
		check(t, err)
	}
	check(t, z.Close())
	write(t, filepath.Join(dir, version+".zip"), buf.String())
	write(t, filepath.Join(dir, version+".mod"), files["go.mod"])
	write(t, filepath.Join(dir, version+".info"), `{"Version":"`+version+`","Time":"2026-01-02T03:04:05Z","Origin":{"VCS":"git","URL":"https://example.com/`+path+`.git","Hash":"0123456789abcdef0123456789abcdef01234567"}}`)
}

func write(t testing.TB, name, content string) {
	t.Helper()
	check(t, os.MkdirAll(filepath.Dir(name), 0o755))
	check(t, os.WriteFile(name, []byte(content), 0o644))
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// modules is a proxy with what the recipes of the tests are made of.
func modules(t *testing.T) string {
	proxy := t.TempDir()
	writeModule(t, proxy, "example.com/dep", "v1.0.0", map[string]string{
		"go.mod": "module example.com/dep\n\ngo 1.24\n",
		"dep.go": "package dep\n\nconst Name = \"dep 1.0.0\"\n",
	})
	writeModule(t, proxy, "example.com/dep", "v1.1.0", map[string]string{
		"go.mod": "module example.com/dep\n\ngo 1.24\n",
		"dep.go": "package dep\n\nconst Name = \"dep 1.1.0\"\n",
	})
	writeModule(t, proxy, "example.com/tool", "v1.2.3", map[string]string{
		"go.mod":          "module example.com/tool\n\ngo 1.24\n\nrequire example.com/dep v1.0.0\n\nreplace example.com/local => ./local\n",
		"cmd/one/main.go": "package main\n\nimport \"example.com/dep\"\n\nvar version = \"none\"\n\nfunc main() { println(\"one\", version, dep.Name) }\n",
		"cmd/two/main.go": "package main\n\nfunc main() { println(\"two\") }\n",
		"cmd/bad/main.go": "package main\n\nfunc main() { return 1 + undefinedName }\n",
		"conf/a.conf":     "mode = strict\n",
		"conf/skip/b":     "left out\n",
		"conf/run.sh":     "#!/bin/sh\necho run\n",
		"hello.c":         "#include <unistd.h>\nint main(void) { return write(1, __FILE__ WORD, 0) != 0; }\n",
	})
	return proxy
}

// hostile is how many variables at the end of host's environment would change
// what is compiled, if the compiler saw them.
const hostile = 4

// host is an environment for builds with caches of its own.
func host(t testing.TB, proxy string) []string {
	t.Helper()
	mods := t.TempDir()
	t.Cleanup(func() { makeWritable(mods) })
	// In a new home the go command starts a process that counts its calls there, and that
	// may still write while the folder is removed.
	home := t.TempDir()
	telemetry := filepath.Join(home, ".config/go/telemetry")
	check(t, os.MkdirAll(telemetry, 0o755))
	check(t, os.WriteFile(filepath.Join(telemetry, "mode"), []byte("off"), 0o644))
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "GOPROXY=file://" + proxy, "GOSUMDB=off", "GOMODCACHE=" + mods,
		"GOCACHE=" + goCache(t),
		"GOFLAGS=-tags=bogus -mod=vendor", "CGO_CFLAGS=-O0 -DBOGUS", "GOEXPERIMENT=boringcrypto", "GOAMD64=v3",
	}
}

// goCache is the user's cache, for the standard library need not be compiled for
// every test.
func goCache(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOCACHE").Output()
	check(t, err)
	return strings.TrimSpace(string(out))
}

// makeWritable lets a test remove the module cache, which go makes read-only.
func makeWritable(dir string) {
	_ = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			return os.Chmod(p, 0o755)
		}
		return nil
	})
}

// place is a registry, a cache and an environment.
type place struct {
	registry *oci.Registry
	cache    string
	environ  []string
	self     string
	progress images.Progress
}

func newPlace(t testing.TB, proxy string) *place {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(quiet())))
	t.Cleanup(server.Close)
	r, err := oci.NewRegistry("registry.example.com/test", strings.TrimPrefix(server.URL, "http://"))
	check(t, err)
	self, err := os.Executable()
	check(t, err)
	return &place{registry: r, cache: t.TempDir(), environ: host(t, proxy), self: self}
}

func (p *place) lock(t testing.TB, recipes []*images.Recipe) *images.Lockfile {
	t.Helper()
	lock, err := p.tryLock(t.Context(), recipes, nil)
	check(t, err)
	return lock
}

func (p *place) tryLock(ctx context.Context, recipes []*images.Recipe, existing *images.Lockfile) (*images.Lockfile, error) {
	return images.Lock(ctx, recipes, images.LockOptions{Cache: p.cache, Self: p.self, Environ: p.environ, Existing: existing})
}

func (p *place) build(ctx context.Context, recipes []*images.Recipe, lock *images.Lockfile) (map[string]images.Result, error) {
	results, err := images.Build(ctx, recipes, lock, images.BuildOptions{
		Registry: p.registry, Cache: p.cache, Self: p.self, Environ: p.environ, Progress: p.progress,
	})
	byName := map[string]images.Result{}
	for _, r := range results {
		byName[r.Component] = r
	}
	return byName, err
}
