package images

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/slipway-release/slipway/internal/state"
)

// scratchModule is the main module of every compilation.
const scratchModule = "slipway.dev/build"

// lockGo resolves the Go modules and the module graphs of what is compiled.
func (l *locker) lockGo(ctx context.Context) error {
	if len(l.requests.modules) == 0 {
		return nil
	}
	tool, err := newGoTool(ctx, l.opts.Environ)
	if err != nil {
		return err
	}
	l.file.Toolchain.Go = tool.version
	names := make([]string, len(l.requests.modules))
	for i, m := range l.requests.modules {
		names[i] = m.Module + "@" + m.Version
	}
	l.opts.Progress.Log("lock", fmt.Sprintf("looking up %d Go modules", len(names)))
	found, err := tool.download(ctx, names)
	if err != nil {
		return err
	}
	upstream := map[string]goModule{}
	for i, m := range l.requests.modules {
		m.Sum, m.GoModSum = found[i].Sum, found[i].GoModSum
		m.Commit = revision(m.Version)
		if o := found[i].Origin; o != nil && o.Hash != "" {
			m.Commit, m.Repository = o.Hash, o.URL
		}
		l.file.Modules = append(l.file.Modules, m)
		upstream[names[i]] = found[i]
	}
	var problems []error
	for _, b := range l.requests.builds {
		locked, err := l.lockBuild(ctx, tool, b, upstream[b.Module+"@"+b.Version])
		if err != nil {
			problems = append(problems, err)
			continue
		}
		l.file.Builds = append(l.file.Builds, *locked)
	}
	return errors.Join(problems...)
}

// revision is what a version itself says about its commit.
func revision(version string) string {
	if rev, err := module.PseudoVersionRev(version); err == nil {
		return rev
	}
	return strings.TrimSuffix(version, "+incompatible")
}

// lockBuild resolves a module graph, or takes it from the cache: versions of Go
// modules never change, so the same question always has the same answer.
func (l *locker) lockBuild(ctx context.Context, tool *goTool, b LockedBuild, upstream goModule) (*LockedBuild, error) {
	question := struct {
		Build             LockedBuild
		GoModSum, Go, For string
		Format            int
	}{b, upstream.GoModSum, tool.version, l.opts.Platform, 1}
	cached := filepath.Join(l.opts.Cache, "lock", "go-"+cacheKey(question)+".json")
	if data, err := os.ReadFile(cached); err == nil {
		var known LockedBuild
		if json.Unmarshal(data, &known) == nil && len(known.GoSum) > 0 {
			return &known, nil
		}
	}
	l.opts.Progress.Log("lock", "resolving the dependencies of "+b.Module+"@"+b.Version)
	if err := l.resolveBuild(ctx, tool, &b, upstream); err != nil {
		return nil, err
	}
	data, err := json.Marshal(b)
	if err != nil {
		return nil, err
	}
	return &b, state.WriteFile(cached, data, 0o644)
}

func (l *locker) resolveBuild(ctx context.Context, tool *goTool, b *LockedBuild, upstream goModule) error {
	dir, err := os.MkdirTemp("", "slipway-lock-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	data, err := os.ReadFile(upstream.GoMod)
	if err != nil {
		return err
	}
	mod, err := scratchGoMod(b, data)
	if err != nil {
		return fmt.Errorf("reading go.mod of %s: %w", moduleInput(b.Module, b.Version), err)
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), mod, 0o644); err != nil {
		return err
	}
	for _, load := range b.Loads {
		args := append([]string{"list", "-mod=mod", "-deps", "-tags=" + strings.Join(load.Tags, ","), "-f", "{{if eq .Name `main`}}{{.ImportPath}}{{end}}"}, load.Packages...)
		out, err := tool.run(ctx, dir, tool.target(l.opts.Platform, load.Cgo), args...)
		if err != nil {
			return notThere("dependencies of "+moduleInput(b.Module, b.Version), said(err))
		}
		mains := strings.Fields(string(out))
		for _, pkg := range load.Packages {
			if !slices.Contains(mains, pkg) {
				return notThere("program "+pkg, "the package is not a main package")
			}
		}
	}
	if b.GoMod, err = readLines(filepath.Join(dir, "go.mod")); err != nil {
		return err
	}
	b.GoSum, err = readLines(filepath.Join(dir, "go.sum"))
	return err
}

// scratchGoMod makes the go.mod of a module that only depends on another one,
// so that all is as if that other one were the main module: the same versions,
// replacements, exclusions and GODEBUG settings.
func scratchGoMod(b *LockedBuild, upstream []byte) ([]byte, error) {
	up, err := modfile.Parse("go.mod", upstream, nil)
	if err != nil {
		return nil, err
	}
	f := &modfile.File{Syntax: &modfile.FileSyntax{}}
	if err := f.AddModuleStmt(scratchModule); err != nil {
		return nil, err
	}
	if up.Go != nil {
		err = f.AddGoStmt(up.Go.Version)
	}
	for _, g := range up.Godebug {
		err = errors.Join(err, f.AddGodebug(g.Key, g.Value))
	}
	versions := map[string]string{}
	for _, r := range up.Require {
		versions[r.Mod.Path] = r.Mod.Version
	}
	versions[b.Module] = b.Version
	for path, v := range b.Require {
		if semver.Compare(v, versions[path]) > 0 {
			versions[path] = v
		}
	}
	for _, path := range slices.Sorted(maps.Keys(versions)) {
		f.AddNewRequire(path, versions[path], path != b.Module)
	}
	for _, r := range up.Replace {
		err = errors.Join(err, addReplace(f, r, b.LocalReplaces))
	}
	for _, e := range up.Exclude {
		err = errors.Join(err, f.AddExclude(e.Mod.Path, e.Mod.Version))
	}
	if err != nil {
		return nil, err
	}
	f.Cleanup()
	return f.Format()
}

// addReplace carries a replacement over. One by a local path exists only in the
// module's own repository; there its version stands in, or without one, what the
// module requires.
func addReplace(f *modfile.File, r *modfile.Replace, local string) error {
	if r.New.Version != "" {
		return f.AddReplace(r.Old.Path, r.Old.Version, r.New.Path, r.New.Version)
	}
	if local == "" {
		return nil
	}
	return f.AddReplace(r.Old.Path, r.Old.Version, r.Old.Path, local)
}

func readLines(name string) ([]string, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n"), nil
}

func joinLines(lines []string) []byte {
	var buf bytes.Buffer
	for _, l := range lines {
		buf.WriteString(l)
		buf.WriteByte('\n')
	}
	return buf.Bytes()
}
