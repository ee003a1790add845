package images

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Lockfile pins every input of a build. It is written as JSON, one input a
// line where possible, so that a change of one dependency shows as a change of
// one line.
type Lockfile struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"` // Lock
	Platform   string `json:"platform"`
	// Toolchain is what the build is done with.
	Toolchain Toolchain `json:"toolchain"`
	// Modules are the Go modules that recipes name.
	Modules []LockedModule `json:"modules,omitempty"`
	// Builds are the dependencies of programs compiled from these modules.
	Builds []LockedBuild `json:"builds,omitempty"`
	// Debian are root file systems.
	Debian []LockedDebian `json:"debian,omitempty"`
	// Files are digests of folders and files of the components:
	// component/path → sha256:….
	Files map[string]string `json:"files,omitempty"`
	// Self is the digest of the slipway executable that made the lock. It is
	// recorded, not pinned: whoever builds with another slipway gets another
	// slipway image, and that is what he wants.
	Self string `json:"self,omitempty"`
}

// Toolchain are the programs of the host whose version shows in what they make.
type Toolchain struct {
	Go         string      `json:"go,omitempty"`         // go1.26.8
	C          *CToolchain `json:"c,omitempty"`          // when something is compiled from C
	Mmdebstrap string      `json:"mmdebstrap,omitempty"` // 1.3.5
}

// CToolchain is the C compiler with what it links statically.
type CToolchain struct {
	Compiler string `json:"compiler"` // first line of gcc --version
	Linker   string `json:"linker"`   // first line of ld --version
	Libc     string `json:"libc"`     // sha256 of libc.a
	// Libraries maps pkg-config's names to the version and the sha256 of the static library.
	Libraries map[string]string `json:"libraries,omitempty"`
}

// only returns the toolchain with these libraries alone: what other programs are
// linked with does not matter.
func (c *CToolchain) only(libraries []string) *CToolchain {
	if c == nil {
		return nil
	}
	out := &CToolchain{Compiler: c.Compiler, Linker: c.Linker, Libc: c.Libc}
	for _, name := range libraries {
		if out.Libraries == nil {
			out.Libraries = map[string]string{}
		}
		out.Libraries[name] = c.Libraries[name]
	}
	return out
}

// LockedModule is the source of a Go module.
type LockedModule struct {
	Module   string `json:"module"`
	Version  string `json:"version"`
	Sum      string `json:"sum"`      // h1:… of the module's files
	GoModSum string `json:"goModSum"` // h1:… of its go.mod
	// Commit and Repository are where the module proxy says the version comes
	// from. Proxies need not say it; Commit is the tag or the short commit in
	// the version then, and Repository empty.
	Commit     string `json:"commit"`
	Repository string `json:"repository,omitempty"`
}

// LockedBuild is the module graph in which programs of one module are compiled.
type LockedBuild struct {
	Module        string            `json:"module"`
	Version       string            `json:"version"`
	LocalReplaces string            `json:"localReplaces,omitempty"`
	Require       map[string]string `json:"require,omitempty"`
	// Loads are the sets of packages for which GoSum holds every dependency.
	Loads []Load `json:"loads"`
	// GoMod and GoSum are the lines of the two files.
	GoMod []string `json:"goMod"`
	GoSum []string `json:"goSum"`
}

// Load is a set of main packages with what chooses among their source files.
type Load struct {
	Packages []string `json:"packages"` // import paths
	Tags     []string `json:"tags,omitempty"`
	Cgo      bool     `json:"cgo,omitempty"`
}

// LockedDebian is the closure of a set of Debian packages.
type LockedDebian struct {
	Suite    string       `json:"suite"`
	Variant  string       `json:"variant"`
	Packages []string     `json:"packages"`
	Closure  []DebPackage `json:"closure"`
}

// DebPackage is one binary package in an archive.
type DebPackage struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Arch    string `json:"arch"`
	Path    string `json:"path"` // relative to the archive's root, pool/main/…
	Size    int64  `json:"size"`
	SHA256  string `json:"sha256"` // hex
}

// Encode renders the lock. The same lock always gives the same bytes.
func (l *Lockfile) Encode() ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(l); err != nil {
		return nil, err
	}
	return compactPackages(buf.Bytes()), nil
}

// compactPackages puts each package of a closure on one line.
func compactPackages(indented []byte) []byte {
	var out []string
	lines := strings.Split(string(indented), "\n")
	for i := 0; i < len(lines); i++ {
		if strings.TrimSpace(lines[i]) != "{" || i+1 >= len(lines) || !strings.HasPrefix(strings.TrimSpace(lines[i+1]), `"name": `) {
			out = append(out, lines[i])
			continue
		}
		line := lines[i]
		for i++; !strings.HasPrefix(strings.TrimSpace(lines[i]), "}"); i++ {
			line += strings.TrimSpace(lines[i]) + " "
		}
		out = append(out, strings.TrimRight(line, " ")+strings.TrimSpace(lines[i]))
	}
	return []byte(strings.Join(out, "\n"))
}

// ParseLock reads a lock. Unknown fields are errors, for they may pin something
// that this version of Slipway would overlook.
func ParseLock(data []byte) (*Lockfile, error) {
	var l Lockfile
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&l); err != nil {
		return nil, fmt.Errorf("reading lock: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("reading lock: something stands behind its end")
	}
	if l.APIVersion != APIVersion || l.Kind != "Lock" {
		return nil, fmt.Errorf("reading lock: it must be a Lock of %s, not a %q of %q", APIVersion, l.Kind, l.APIVersion)
	}
	return &l, nil
}

func (l *Lockfile) module(path, version string) (*LockedModule, error) {
	for i := range l.Modules {
		if m := &l.Modules[i]; m.Module == path && m.Version == version {
			return m, nil
		}
	}
	return nil, &InputError{Input: moduleInput(path, version), Found: "it in a recipe"}
}

func (l *Lockfile) build(g *GoLayer) (*LockedBuild, error) {
	load := loadOf(g)
	for i := range l.Builds {
		if b := &l.Builds[i]; b.serves(g) && b.covers(load) {
			return b, nil
		}
	}
	return nil, &InputError{Input: fmt.Sprintf("build of %s from %s", strings.Join(load.Packages, ", "), moduleInput(g.Module, g.Version)), Found: "it in a recipe"}
}

func (l *Lockfile) debian(d *DebianLayer) (*LockedDebian, error) {
	want := debianRequest(d)
	for i := range l.Debian {
		if have := &l.Debian[i]; have.sameRequest(&want) {
			return have, nil
		}
	}
	return nil, &InputError{Input: want.input(), Found: "it in a recipe"}
}

func (l *Lockfile) file(component, path string) (string, error) {
	key := component + "/" + path
	if digest, ok := l.Files[key]; ok {
		return digest, nil
	}
	return "", &InputError{Input: filesInput(key), Found: "it in a recipe"}
}

func (b *LockedBuild) serves(g *GoLayer) bool {
	return b.Module == g.Module && b.Version == g.Version && b.LocalReplaces == g.LocalReplaces && maps.Equal(b.Require, g.Require)
}

func (b *LockedBuild) covers(want Load) bool {
	for _, have := range b.Loads {
		if have.Cgo != want.Cgo || !slices.Equal(have.Tags, want.Tags) {
			continue
		}
		missing := func(p string) bool { return !slices.Contains(have.Packages, p) }
		if !slices.ContainsFunc(want.Packages, missing) {
			return true
		}
	}
	return false
}

func (d *LockedDebian) sameRequest(want *LockedDebian) bool {
	return d.Suite == want.Suite && d.Variant == want.Variant && slices.Equal(d.Packages, want.Packages)
}

func (d *LockedDebian) input() string {
	return fmt.Sprintf("debian %s (%s) with %s", d.Suite, d.Variant, strings.Join(d.Packages, ", "))
}

func moduleInput(path, version string) string { return "go module " + path + "@" + version }

func filesInput(key string) string { return "component file " + key }

// loadOf returns what a layer compiles.
func loadOf(g *GoLayer) Load {
	load := Load{Tags: slices.Sorted(slices.Values(g.Tags)), Cgo: g.Cgo}
	for pkg := range g.Programs {
		load.Packages = append(load.Packages, importPath(g.Module, pkg))
	}
	slices.Sort(load.Packages)
	return load
}

// importPath turns a package relative to its module (. or ./cmd/x) into a path.
func importPath(module, pkg string) string {
	if pkg == "." {
		return module
	}
	return module + strings.TrimPrefix(pkg, ".")
}

// debianRequest is the recipe's side of a LockedDebian, in normal form.
func debianRequest(d *DebianLayer) LockedDebian {
	variant := d.Variant
	if variant == "" {
		variant = "minbase"
	}
	return LockedDebian{Suite: d.Suite, Variant: variant, Packages: slices.Sorted(slices.Values(d.Packages))}
}
