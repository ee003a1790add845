package images

import (
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// goBuild is what decides how a Go program comes out, besides its package:
// programs of equal settings are compiled together.
type goBuild struct {
	Module    LockedModule
	Build     LockedBuild
	Go        string
	C         *CToolchain
	Tags      []string
	Cgo       bool
	Libraries []string
	Ldflags   string
	Platform  string
	Format    int
}

// newGoBuild takes from the lock what a layer needs. Which other programs are
// compiled in the same module graph makes no difference to the layer, so the
// loads of the build do not count.
func newGoBuild(lock *Lockfile, g *GoLayer) (*goBuild, error) {
	module, err := lock.module(g.Module, g.Version)
	if err != nil {
		return nil, err
	}
	locked, err := lock.build(g)
	if err != nil {
		return nil, err
	}
	b := &goBuild{
		Module: *module, Build: *locked, Go: lock.Toolchain.Go,
		Tags: slices.Sorted(slices.Values(g.Tags)), Cgo: g.Cgo, Libraries: g.Libraries,
		Platform: lock.Platform, Format: layerFormat,
		Ldflags: strings.ReplaceAll(strings.Join(append([]string{"-s", "-w"}, g.Ldflags...), " "), "$(module.revision)", module.Commit),
	}
	b.Build.Loads = nil
	if g.Cgo {
		b.C = lock.Toolchain.C.only(g.Libraries)
	}
	return b, nil
}

// group is a set of programs compiled by one call.
type group struct {
	goBuild
	key      string
	packages map[string][]string // import path → components that want it

	done   chan struct{}
	err    error // nothing could be compiled at all
	failed map[string]error
}

func newGroup(b *goBuild) *group {
	return &group{goBuild: *b, key: cacheKey(b), packages: map[string][]string{}, done: make(chan struct{}), failed: map[string]error{}}
}

// name says in messages what is compiled.
func (g *group) name() string { return g.Module.Module + "@" + g.Module.Version }

// want notes that a component needs programs.
func (g *group) want(component string, packages []string) {
	for _, p := range packages {
		g.packages[p] = append(g.packages[p], component)
	}
}

// programPath is where a compiled program lies in the store.
func (s *store) programPath(groupKey, pkg string) string {
	return s.path("programs", groupKey, strings.ReplaceAll(pkg, "/", "!"))
}

// compile makes all programs of the group that are not in the store. One that
// does not compile is noted in failed, and the others are made all the same.
func (b *builder) compile(ctx context.Context, g *group) error {
	var missing []string
	for _, pkg := range slices.Sorted(maps.Keys(g.packages)) {
		if _, err := os.Stat(b.store.programPath(g.key, pkg)); err != nil {
			missing = append(missing, pkg)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	dir, err := os.MkdirTemp(b.store.work, "go-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for name, lines := range map[string][]string{"go.mod": g.Build.GoMod, "go.sum": g.Build.GoSum} {
		if err := os.WriteFile(filepath.Join(dir, name), joinLines(lines), 0o644); err != nil {
			return err
		}
	}
	b.opts.Progress.Log(g.name(), fmt.Sprintf("compiling %d programs", len(missing)))
	groupErr := b.goBuild(ctx, g, dir, missing)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if groupErr == nil {
		return nil
	}
	return b.compileSingly(ctx, g, dir, missing)
}

// compileSingly finds out which programs of a group are to blame.
func (b *builder) compileSingly(ctx context.Context, g *group, dir string, packages []string) error {
	for _, pkg := range packages {
		if _, err := os.Stat(b.store.programPath(g.key, pkg)); err == nil {
			continue
		}
		err := b.goBuild(ctx, g, dir, []string{pkg})
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			g.failed[pkg] = err
		}
	}
	return nil
}

// goBuild runs the go command once and moves what it made into the store.
func (b *builder) goBuild(ctx context.Context, g *group, dir string, packages []string) error {
	out, err := os.MkdirTemp(dir, "out-")
	if err != nil {
		return err
	}
	args := []string{"build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags=" + g.Ldflags, "-o", out + "/"}
	if len(g.Tags) > 0 {
		args = append(args, "-tags="+strings.Join(g.Tags, ","))
	}
	_, buildErr := b.goTool.run(ctx, dir, b.goTool.target(g.Platform, g.Cgo), append(args, packages...)...)
	// Even a failed call leaves the programs that did compile.
	return errors.Join(buildErr, b.collect(g, out, packages))
}

// collect moves compiled programs into the store. Which is which the programs
// say themselves: two of different packages may have the same file name, and the
// go command then writes only one of them.
func (b *builder) collect(g *group, out string, packages []string) error {
	entries, err := os.ReadDir(out)
	if err != nil {
		return err
	}
	found := map[string]bool{}
	for _, e := range entries {
		from := filepath.Join(out, e.Name())
		info, err := buildinfo.ReadFile(from)
		if err != nil {
			return fmt.Errorf("reading compiled program %q: %w", e.Name(), err)
		}
		found[info.Path] = true
		if err := moveProgram(from, b.store.programPath(g.key, info.Path)); err != nil {
			return err
		}
	}
	for _, pkg := range packages {
		if !found[pkg] {
			return fmt.Errorf("the go command made no program of %s", pkg)
		}
	}
	return nil
}

func moveProgram(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	err = f.Sync()
	f.Close()
	if err != nil {
		return err
	}
	return os.Rename(from, to)
}

// programs returns where a layer's compiled programs lie: path in the image →
// path on the host. Programs that did not compile are *CompileErrors.
func (b *builder) programs(component string, l *GoLayer, g *group) (map[string]string, error) {
	if g.err != nil {
		return nil, fmt.Errorf("compiling %s: %w", g.name(), g.err)
	}
	out := map[string]string{}
	var problems []error
	for _, pkg := range slices.Sorted(maps.Keys(l.Programs)) {
		full := importPath(l.Module, pkg)
		if err := g.failed[full]; err != nil {
			problems = append(problems, &CompileError{Component: component, Program: full, Output: compilerSaid(err, full)})
			continue
		}
		out[l.Programs[pkg]] = b.store.programPath(g.key, full)
	}
	return out, errors.Join(problems...)
}

// compilerSaid drops from a failure of goBuild that there was no program either.
func compilerSaid(err error, pkg string) string {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return said(err)
	}
	return said(joined.Unwrap()[0])
}
