package images

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Verify compares the lock with a newer one made of the same recipes. The error
// joins one *InputError for each input that changed, is gone or is new.
func (l *Lockfile) Verify(found *Lockfile) error {
	d := &difference{}
	d.text("platform", l.Platform, found.Platform)
	d.toolchain(l.Toolchain, found.Toolchain)
	d.modules(l.Modules, found.Modules)
	d.builds(l.Builds, found.Builds)
	d.debian(l.Debian, found.Debian)
	for _, key := range bothKeys(l.Files, found.Files) {
		d.text(filesInput(key), l.Files[key], found.Files[key])
	}
	return errors.Join(d.errs...)
}

type difference struct{ errs []error }

func (d *difference) text(input, locked, found string) {
	if locked != found {
		d.errs = append(d.errs, &InputError{Input: input, Locked: locked, Found: found})
	}
}

func (d *difference) toolchain(locked, found Toolchain) {
	d.text("the Go toolchain", locked.Go, found.Go)
	d.text("mmdebstrap", locked.Mmdebstrap, found.Mmdebstrap)
	var a, b CToolchain
	if locked.C != nil {
		a = *locked.C
	}
	if found.C != nil {
		b = *found.C
	}
	d.text("the C compiler", a.Compiler, b.Compiler)
	d.text("the linker", a.Linker, b.Linker)
	d.text("the C library libc.a", a.Libc, b.Libc)
	for _, name := range bothKeys(a.Libraries, b.Libraries) {
		d.text("the C library "+name, a.Libraries[name], b.Libraries[name])
	}
}

func (d *difference) modules(locked, found []LockedModule) {
	a, b := map[string]string{}, map[string]string{}
	for _, m := range locked {
		a[moduleInput(m.Module, m.Version)] = m.Sum
	}
	for _, m := range found {
		b[moduleInput(m.Module, m.Version)] = m.Sum
	}
	for _, input := range bothKeys(a, b) {
		d.text(input, a[input], b[input])
	}
}

// builds compares module graphs, and names the dependency where they part.
func (d *difference) builds(locked, found []LockedBuild) {
	a, b := map[string]LockedBuild{}, map[string]LockedBuild{}
	for _, x := range locked {
		a[x.request()] = x
	}
	for _, x := range found {
		b[x.request()] = x
	}
	for _, name := range bothKeys(a, b) {
		x, inLock := a[name]
		y, stillThere := b[name]
		switch {
		case !inLock:
			d.errs = append(d.errs, &InputError{Input: name, Found: fmt.Sprintf("%d dependencies", len(y.GoSum))})
		case !stillThere:
			d.errs = append(d.errs, &InputError{Input: name, Locked: fmt.Sprintf("%d dependencies", len(x.GoSum))})
		default:
			before := len(d.errs)
			d.sums(name, x.GoSum, y.GoSum)
			if len(d.errs) == before && !slices.Equal(x.GoMod, y.GoMod) {
				d.errs = append(d.errs, &InputError{Input: "go.mod of the " + name, Locked: lineDifference(x.GoMod, y.GoMod), Found: lineDifference(y.GoMod, x.GoMod)})
			}
		}
	}
}

func (d *difference) sums(build string, locked, found []string) {
	a, b := sumTable(locked), sumTable(found)
	for _, key := range bothKeys(a, b) {
		d.text("dependency "+key+" of the "+build, a[key], b[key])
	}
}

// sumTable splits lines of go.sum ("path version h1:…").
func sumTable(lines []string) map[string]string {
	t := map[string]string{}
	for _, line := range lines {
		if cut := strings.LastIndexByte(line, ' '); cut > 0 {
			t[line[:cut]] = line[cut+1:]
		}
	}
	return t
}

func lineDifference(a, b []string) string {
	var only []string
	for _, line := range a {
		if !slices.Contains(b, line) {
			only = append(only, strings.TrimSpace(line))
		}
	}
	if len(only) == 0 {
		return "(other order)"
	}
	return strings.Join(only, "; ")
}

// request names a build for messages; it tells builds of one lock apart.
func (b *LockedBuild) request() string {
	name := "build of " + b.Module + "@" + b.Version
	if b.LocalReplaces != "" {
		name += " with " + b.LocalReplaces
	}
	for _, m := range slices.Sorted(maps.Keys(b.Require)) {
		name += " with " + m + "@" + b.Require[m]
	}
	for _, load := range b.Loads {
		name += " (" + strings.Join(load.Packages, " ")
		if len(load.Tags) > 0 {
			name += " tags " + strings.Join(load.Tags, ",")
		}
		name += ")"
	}
	return name
}

// debian compares what was asked for and what it came to, package by package.
func (d *difference) debian(locked, found []LockedDebian) {
	a, b := map[string]LockedDebian{}, map[string]LockedDebian{}
	for _, x := range locked {
		a[x.input()] = x
	}
	for _, x := range found {
		b[x.input()] = x
	}
	for _, input := range bothKeys(a, b) {
		x, y := debTable(a[input].Closure), debTable(b[input].Closure)
		for _, name := range bothKeys(x, y) {
			d.text("debian package "+name+" of "+input, x[name], y[name])
		}
	}
}

func debTable(closure []DebPackage) map[string]string {
	t := map[string]string{}
	for _, p := range closure {
		t[p.Name] = p.Version + " (" + p.SHA256 + ")"
	}
	return t
}

func bothKeys[V any](a, b map[string]V) []string {
	keys := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(keys)
	return slices.Compact(keys)
}
