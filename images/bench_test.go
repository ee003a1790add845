package images_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/slipway-release/slipway/distros"
	"github.com/slipway-release/slipway/images"
)

// programs are Skiff's components with those of their layers alone that are
// compiled from Go modules; only keeps the named ones.
func programs(b *testing.B, only ...string) []*images.Recipe {
	b.Helper()
	d, err := distros.LoadFS(distros.Embedded(), "skiff")
	if err != nil {
		b.Fatal(err)
	}
	var recipes []*images.Recipe
	for _, c := range d.Components {
		recipe := *c
		recipe.From = ""
		recipe.Layers = slices.DeleteFunc(slices.Clone(c.Layers), func(l images.Layer) bool { return l.Go == nil })
		if len(recipe.Layers) > 0 && (len(only) == 0 || slices.Contains(only, c.Metadata.Name)) {
			recipes = append(recipes, &recipe)
		}
	}
	return recipes
}

func benchPlace(b *testing.B) *place {
	b.Helper()
	p := newPlace(b, b.TempDir())
	p.environ = os.Environ()
	return p
}

// BenchmarkUnchanged builds images of which nothing changed.
func BenchmarkUnchanged(b *testing.B) {
	p, recipes := benchPlace(b), programs(b, "etcd")
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
// `go build` for the same programs, as ratios: of the time that passed, and of
// the processors' time, which says more on a host that has other work.
func BenchmarkCold(b *testing.B) {
	b.Run("etcd", func(b *testing.B) { cold(b, programs(b, "etcd")) })
	b.Run("all", func(b *testing.B) { cold(b, programs(b)) })
}

func cold(b *testing.B, recipes []*images.Recipe) {
	for b.Loop() {
		p := benchPlace(b)
		lock := p.lock(b, recipes)
		p.environ = append(slices.Clone(p.environ), "GOCACHE="+b.TempDir())
		ours := measure(b, func() error {
			_, err := p.build(b.Context(), recipes, lock)
			return err
		})
		theirs := measure(b, func() error { return bare(b, lock, "GOCACHE="+b.TempDir()) })
		b.ReportMetric(ours.wall.Seconds(), "s")
		b.ReportMetric(ours.wall.Seconds()/theirs.wall.Seconds(), "ratio")
		b.ReportMetric(ours.processor.Seconds()/theirs.processor.Seconds(), "cpu-ratio")
	}
}

// cost is what some work took: processor is the time of this process and of the
// child processes that it waited for.
type cost struct{ wall, processor time.Duration }

func measure(b *testing.B, work func() error) cost {
	b.Helper()
	began, before := time.Now(), processorTime(b)
	if err := work(); err != nil {
		b.Fatal(err)
	}
	return cost{time.Since(began), processorTime(b) - before}
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var sum time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err != nil {
			b.Fatal(err)
		}
		sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return sum
}

// bare compiles what a lock names, without Slipway: one call for every module
// graph and set of build tags.
func bare(b *testing.B, lock *images.Lockfile, cache string) error {
	b.Helper()
	for _, build := range lock.Builds {
		dir := b.TempDir()
		write(b, filepath.Join(dir, "go.mod"), strings.Join(build.GoMod, "\n"))
		write(b, filepath.Join(dir, "go.sum"), strings.Join(build.GoSum, "\n"))
		for _, load := range build.Loads {
			args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-tags=" + strings.Join(load.Tags, ","), "-o", b.TempDir() + "/"}
			cmd := exec.Command("go", append(args, load.Packages...)...)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOTOOLCHAIN=local", cache)
			if load.Cgo {
				cmd.Env = append(cmd.Env, "CGO_ENABLED=1")
			}
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("go build: %w\n%s", err, out)
			}
		}
	}
	return nil
}
