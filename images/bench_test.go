package images_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/slipway-release/slipway/distros"
	"github.com/slipway-release/slipway/images"
)

// programs are Skiff's components in which all comes from Go modules and the
// modules are small enough to be compiled from nothing in a benchmark.
func programs(b *testing.B) []*images.Recipe {
	b.Helper()
	d, err := distros.LoadFS(distros.Embedded(), "skiff")
	if err != nil {
		b.Fatal(err)
	}
	etcd := *d.Component("etcd")
	return []*images.Recipe{&etcd}
}

func benchPlace(b *testing.B) *place {
	b.Helper()
	p := newPlace(b, b.TempDir())
	p.environ = os.Environ()
	return p
}

// BenchmarkUnchanged builds images of which nothing changed.
func BenchmarkUnchanged(b *testing.B) {
	p, recipes := benchPlace(b), programs(b)
	if _, err := p.build(b.Context(), recipes, p.lock(b, recipes)); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		results, err := p.build(b.Context(), recipes, p.lock(b, recipes))
		if err != nil {
			b.Fatal(err)
		}
		for name, r := range results {
			if !r.Cached {
				b.Fatalf("%s was built again", name)
			}
		}
	}
}

// BenchmarkCold compares a build with an empty Go cache to bare calls of
// `go build` for the same programs, as ratio.
func BenchmarkCold(b *testing.B) {
	recipes := programs(b)
	for b.Loop() {
		p := benchPlace(b)
		lock := p.lock(b, recipes)
		p.environ = append(slices.Clone(p.environ), "GOCACHE="+b.TempDir())
		began := time.Now()
		if _, err := p.build(b.Context(), recipes, lock); err != nil {
			b.Fatal(err)
		}
		ours := time.Since(began)
		began = time.Now()
		bare(b, lock, "GOCACHE="+b.TempDir())
		b.ReportMetric(ours.Seconds()/time.Since(began).Seconds(), "ratio")
	}
}

// bare compiles what a lock names, without Slipway.
func bare(b *testing.B, lock *images.Lockfile, cache string) {
	b.Helper()
	for _, build := range lock.Builds {
		dir := b.TempDir()
		write(b, filepath.Join(dir, "go.mod"), strings.Join(build.GoMod, "\n"))
		write(b, filepath.Join(dir, "go.sum"), strings.Join(build.GoSum, "\n"))
		for _, load := range build.Loads {
			cmd := exec.Command("go", append([]string{"build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", b.TempDir() + "/"}, load.Packages...)...)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOTOOLCHAIN=local", cache)
			if out, err := cmd.CombinedOutput(); err != nil {
				b.Fatalf("go build: %v\n%s", err, out)
			}
		}
	}
}
