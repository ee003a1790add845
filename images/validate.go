package images

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// APIVersion of all configuration files.
const APIVersion = "slipway.dev/v1alpha1"

var (
	dnsLabel      = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
	debianName    = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+$`)
	debianSuite   = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)
	buildTag      = regexp.MustCompile(`^[A-Za-z0-9_.]+$`)
	pkgConfigName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9+._-]*$`)
	imagePort     = regexp.MustCompile(`^[0-9]{1,5}(/(tcp|udp|sctp))?$`)
)

// variants maps the names of root file systems to what apt selects for them,
// besides the named packages.
var variants = map[string][]string{
	"essential": {"?essential"},
	"apt":       {"?essential", "apt"},
	"minbase":   {"?essential", "apt", "?priority(required)"},
	"important": {"?essential", "apt", "?priority(required)", "?priority(important)"},
}

// Validate returns all mistakes that can be seen in the recipe and its folder alone.
func (r *Recipe) Validate() []Problem {
	c := &checker{component: r.Metadata.Name}
	if r.APIVersion != APIVersion {
		c.add("apiVersion", "must be %q, not %q", APIVersion, r.APIVersion)
	}
	if r.Kind != "Component" {
		c.add("kind", `must be "Component", not %q`, r.Kind)
	}
	c.match("metadata.name", r.Metadata.Name, dnsLabel, "a DNS label such as kube-proxy")
	if r.From != "" {
		c.match("from", r.From, dnsLabel, "the name of a component")
	}
	if len(r.Layers) == 0 && !r.HasManifests() {
		c.add("layers", "the component has neither layers nor a folder manifests/")
	}
	written := map[string]string{}
	for i := range r.Layers {
		c.layer(fmt.Sprintf("layers[%d]", i), &r.Layers[i], r.Files, written)
	}
	for i, port := range r.Image.Ports {
		c.match(fmt.Sprintf("image.ports[%d]", i), port, imagePort, "a port such as 53/udp")
	}
	if r.Image.WorkingDir != "" {
		c.absolute("image.workingDir", r.Image.WorkingDir)
	}
	return c.problems
}

// HasManifests says whether the component carries manifests of its own.
func (r *Recipe) HasManifests() bool {
	if r.Files == nil {
		return false
	}
	info, err := fs.Stat(r.Files, "manifests")
	return err == nil && info.IsDir()
}

type checker struct {
	component string
	problems  []Problem
}

func (c *checker) add(field, format string, args ...any) {
	c.problems = append(c.problems, Problem{c.component, field, fmt.Sprintf(format, args...)})
}

func (c *checker) match(field, value string, re *regexp.Regexp, what string) {
	if value == "" {
		c.add(field, "is missing; it must be %s", what)
	} else if !re.MatchString(value) {
		c.add(field, "must be %s, not %q", what, value)
	}
}

// absolute checks a path inside an image.
func (c *checker) absolute(field, p string) {
	switch {
	case p == "":
		c.add(field, "is missing; it must be an absolute path in the image")
	case !path.IsAbs(p):
		c.add(field, "must be an absolute path in the image, not %q", p)
	case path.Clean(p) != p:
		c.add(field, "must be written %q, not %q", path.Clean(p), p)
	}
}

func (c *checker) layer(field string, l *Layer, files fs.FS, written map[string]string) {
	kinds := 0
	for _, set := range []bool{l.Go != nil, l.Debian != nil, l.Files != nil, l.ModuleFiles != nil, l.C != nil, l.Self != nil} {
		if set {
			kinds++
		}
	}
	if kinds != 1 {
		c.add(field, "must have exactly one of go, debian, files, moduleFiles, c, self; it has %d", kinds)
		return
	}
	switch {
	case l.Go != nil:
		c.goLayer(field+".go", l.Go, written)
	case l.Debian != nil:
		c.debianLayer(field+".debian", l.Debian)
	case l.Files != nil:
		c.filesLayer(field+".files", l.Files, files)
	case l.ModuleFiles != nil:
		c.moduleFilesLayer(field+".moduleFiles", l.ModuleFiles)
	case l.C != nil:
		c.cLayer(field+".c", l.C, files, written)
	case l.Self != nil:
		c.program(field+".self.program", l.Self.Program, written)
	}
}

// program checks the place of a program and that no other one has it.
func (c *checker) program(field, p string, written map[string]string) {
	c.absolute(field, p)
	if other, twice := written[p]; twice {
		c.add(field, "%s puts its program at %q as well", other, p)
	}
	written[p] = field
}

func (c *checker) module(field, modulePath, version string) {
	if err := module.CheckPath(modulePath); err != nil {
		c.add(field+".module", "must be a Go module path: %v", err)
		return
	}
	c.version(field+".version", modulePath, version)
}

func (c *checker) version(field, modulePath, version string) {
	switch {
	case version == "":
		c.add(field, "is missing; it must be a version such as v1.36.3")
	case !semver.IsValid(version) || module.CanonicalVersion(version) != version:
		c.add(field, "must be a whole version such as v1.36.3, not %q", version)
	case modulePath != "" && module.Check(modulePath, version) != nil:
		c.add(field, "%v", module.Check(modulePath, version))
	}
}

func (c *checker) goLayer(field string, l *GoLayer, written map[string]string) {
	c.module(field, l.Module, l.Version)
	if l.LocalReplaces != "" {
		c.version(field+".localReplaces", "", l.LocalReplaces)
	}
	for _, m := range slices.Sorted(maps.Keys(l.Require)) {
		if err := module.CheckPath(m); err != nil {
			c.add(field+".require."+m, "must be a Go module path: %v", err)
			continue
		}
		c.version(field+".require."+m, m, l.Require[m])
	}
	for i, t := range l.Tags {
		c.match(fmt.Sprintf("%s.tags[%d]", field, i), t, buildTag, "a build tag")
	}
	for i, lib := range l.Libraries {
		c.match(fmt.Sprintf("%s.libraries[%d]", field, i), lib, pkgConfigName, "a name that pkg-config knows")
	}
	if len(l.Libraries) > 0 && !l.Cgo {
		c.add(field+".libraries", "C libraries need cgo: true")
	}
	if len(l.Programs) == 0 {
		c.add(field+".programs", "is missing; it maps main packages (./cmd/kubelet) to paths in the image")
	}
	for _, pkg := range slices.Sorted(maps.Keys(l.Programs)) {
		if pkg != "." && (!strings.HasPrefix(pkg, "./") || "./"+path.Clean(pkg) != pkg) {
			c.add(field+".programs."+pkg, "must be a package of the module, written . or ./cmd/name")
		}
		c.program(field+".programs."+pkg, l.Programs[pkg], written)
	}
}

func (c *checker) debianLayer(field string, l *DebianLayer) {
	c.match(field+".suite", l.Suite, debianSuite, "a Debian suite such as bookworm")
	if _, ok := variants[l.Variant]; l.Variant != "" && !ok {
		c.add(field+".variant", "must be one of %s, not %q", strings.Join(slices.Sorted(maps.Keys(variants)), ", "), l.Variant)
	}
	for i, p := range l.Packages {
		at := fmt.Sprintf("%s.packages[%d]", field, i)
		c.match(at, p, debianName, "the name of a Debian package")
		if slices.Index(l.Packages, p) < i {
			c.add(at, "package %q is named twice", p)
		}
	}
	for i, p := range l.Remove {
		at := fmt.Sprintf("%s.remove[%d]", field, i)
		c.absolute(at, p)
		if _, err := path.Match(p, ""); err != nil {
			c.add(at, "%q is no pattern: %v", p, err)
		}
	}
}

func (c *checker) filesLayer(field string, l *FilesLayer, files fs.FS) {
	if l.From != "" {
		c.folder(field+".from", l.From, files)
	} else if len(l.Links) == 0 && len(l.Directories) == 0 {
		c.add(field+".from", "is missing; without it there must be links or directories")
	}
	if l.To != "" {
		c.absolute(field+".to", l.To)
	}
	for _, link := range slices.Sorted(maps.Keys(l.Links)) {
		c.absolute(field+".links."+link, link)
		if l.Links[link] == "" {
			c.add(field+".links."+link, "must name the link's target")
		}
	}
	for i, d := range l.Directories {
		c.absolute(fmt.Sprintf("%s.directories[%d]", field, i), d)
	}
	c.modes(field+".modes", l.Modes)
}

func (c *checker) moduleFilesLayer(field string, l *ModuleFilesLayer) {
	c.module(field, l.Module, l.Version)
	if !fs.ValidPath(l.From) {
		c.add(field+".from", "must be a folder of the module, relative and without .. , not %q", l.From)
	}
	if l.To != "" {
		c.absolute(field+".to", l.To)
	}
	for i, p := range l.Exclude {
		if _, err := path.Match(p, ""); err != nil {
			c.add(fmt.Sprintf("%s.exclude[%d]", field, i), "%q is no pattern: %v", p, err)
		}
	}
	c.modes(field+".modes", l.Modes)
	for i, r := range l.Replace {
		at := fmt.Sprintf("%s.replace[%d]", field, i)
		c.absolute(at+".path", r.Path)
		if r.Old == "" {
			c.add(at+".old", "is missing; it must be the text to change")
		}
	}
}

func (c *checker) cLayer(field string, l *CLayer, files fs.FS, written map[string]string) {
	if l.Module != "" {
		c.module(field, l.Module, l.Version)
	}
	if len(l.Sources) == 0 {
		c.add(field+".sources", "is missing; it lists the C files")
	}
	for i, s := range l.Sources {
		at := fmt.Sprintf("%s.sources[%d]", field, i)
		if !fs.ValidPath(s) {
			c.add(at, "must be a relative path without .. , not %q", s)
		} else if l.Module == "" && files != nil {
			if _, err := fs.Stat(files, s); err != nil {
				c.add(at, "there is no file %q in the component's folder", s)
			}
		}
	}
	c.program(field+".program", l.Program, written)
}

func (c *checker) folder(field, p string, files fs.FS) {
	if !fs.ValidPath(p) {
		c.add(field, "must be a folder of the component, relative and without .. , not %q", p)
		return
	}
	if files == nil {
		return
	}
	if info, err := fs.Stat(files, p); err != nil || !info.IsDir() {
		c.add(field, "there is no folder %q in the component's folder", p)
	}
}

func (c *checker) modes(field string, modes map[string]string) {
	for _, p := range slices.Sorted(maps.Keys(modes)) {
		c.absolute(field+"."+p, p)
		if _, err := parseMode(modes[p]); err != nil {
			c.add(field+"."+p, "%v", err)
		}
	}
}

// parseMode reads an octal file mode, with the bits for set-user-ID and sticky.
func parseMode(s string) (int64, error) {
	m, err := strconv.ParseUint(s, 8, 12)
	if err != nil {
		return 0, fmt.Errorf("must be an octal mode such as \"0755\", not %q", s)
	}
	return int64(m), nil
}
