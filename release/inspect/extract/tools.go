package extract

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/slipway-release/slipway/release"
)

// Tool is a row of the table of client tools: a program in a component's image,
// and the platforms it is there for. {name}, {version}, {os} and {arch} in Path and
// Archive stand for the tool's name, the release's version, and a platform's parts.
type Tool struct {
	// Name of the program, without .exe.
	Name string `json:"name"`
	// Component whose image holds it, and Path of the file there.
	Component string `json:"component"`
	Path      string `json:"path"`
	// Platforms are OS/ARCH, with Go's names. The architecture "payload" is that of
	// the payload itself.
	Platforms []string `json:"platforms"`
	// Archive is the name of the archive, which ends in .tar.gz or .zip.
	Archive string `json:"archive"`
	// Names are further names that the program has in the archive.
	Names []string `json:"names,omitempty"`
	// Markers are places in the program that are filled in: the name of a marker by
	// what goes there, one of version, image and architecture. In the program a
	// marker is a NUL, its name, a NUL and X up to the next NUL; the value and a
	// NUL are written over it.
	Markers map[string]string `json:"markers,omitempty"`
	// Optional says that payloads may lack the component or the file.
	Optional bool `json:"optional,omitempty"`
}

// Values that markers are filled with.
const (
	MarkVersion      = "version"
	MarkImage        = "image"
	MarkArchitecture = "architecture"
)

// payloadArch is the architecture of the payload in Tool.Platforms.
const payloadArch = "payload"

var (
	platformPattern = regexp.MustCompile(`^[a-z0-9]+/[a-z0-9]+$`)
	markerPattern   = regexp.MustCompile(`^[A-Za-z0-9_]{8,64}$`)
	placeholder     = regexp.MustCompile(`\{([^{}]*)\}`)
)

// ParseTools reads a table in YAML: a list under the key tools. Fields that are not
// known are errors.
func ParseTools(data []byte) ([]Tool, error) {
	var doc struct {
		Tools []Tool `json:"tools"`
	}
	if err := yaml.UnmarshalStrict(data, &doc); err != nil {
		return nil, fmt.Errorf("reading the table of tools: %w", err)
	}
	if len(doc.Tools) == 0 {
		return nil, errors.New("reading the table of tools: it has no row under tools")
	}
	return doc.Tools, CheckTools(doc.Tools)
}

// CheckTools reports all that is wrong with a table, one error for every row.
func CheckTools(tools []Tool) error {
	var problems []error
	seen := map[string]int{}
	for i, t := range tools {
		bad := t.problems()
		for _, platform := range t.Platforms {
			key := t.Name + " for " + platform
			if first, twice := seen[key]; twice {
				bad = append(bad, fmt.Sprintf("%s stands in row %d already", key, first+1))
			}
			seen[key] = i
		}
		if len(bad) > 0 {
			problems = append(problems, fmt.Errorf("reading the table of tools: row %d (%q): %s", i+1, t.Name, strings.Join(bad, "; ")))
		}
	}
	return errors.Join(problems...)
}

func (t Tool) problems() []string {
	var bad []string
	for _, name := range append([]string{t.Name}, t.Names...) {
		if err := CheckName(name); err != nil {
			bad = append(bad, err.Error())
		}
	}
	if t.Component == "" {
		bad = append(bad, "component is missing")
	}
	if !path.IsAbs(t.Path) || path.Clean(t.Path) != t.Path || t.Path == "/" {
		bad = append(bad, fmt.Sprintf("path must be the absolute path of a file, not %q", t.Path))
	}
	if len(t.Platforms) == 0 {
		bad = append(bad, "platforms is missing")
	}
	for _, p := range t.Platforms {
		if !platformPattern.MatchString(p) {
			bad = append(bad, fmt.Sprintf("platform %q is not OS/ARCH", p))
		}
	}
	for _, m := range slices.Sorted(maps.Keys(t.Markers)) {
		if m != MarkVersion && m != MarkImage && m != MarkArchitecture {
			bad = append(bad, fmt.Sprintf("a marker can be filled with %s, %s or %s, not with %q", MarkArchitecture, MarkImage, MarkVersion, m))
		}
		if !markerPattern.MatchString(t.Markers[m]) {
			bad = append(bad, fmt.Sprintf("marker %q must be 8 to 64 letters, digits and underscores", t.Markers[m]))
		}
	}
	return append(bad, t.templateProblems()...)
}

func (t Tool) templateProblems() []string {
	var bad []string
	for _, text := range []string{t.Path, t.Archive} {
		for _, m := range placeholder.FindAllStringSubmatch(text, -1) {
			if !slices.Contains([]string{"name", "version", "os", "arch"}, m[1]) {
				bad = append(bad, fmt.Sprintf("%s is none of {name}, {version}, {os}, {arch}", m[0]))
			}
		}
	}
	if !strings.HasSuffix(t.Archive, ".tar.gz") && !strings.HasSuffix(t.Archive, ".zip") {
		bad = append(bad, fmt.Sprintf("archive %q must end in .tar.gz or .zip", t.Archive))
	} else if err := CheckName(placeholder.ReplaceAllString(t.Archive, "x")); err != nil {
		bad = append(bad, "archive: "+err.Error())
	}
	return bad
}

// target is a tool for one platform.
type target struct {
	Tool
	os, arch  string
	reference string // of the image
	path      string // relative to the image's root
	archive   string
}

// label names a target for messages.
func (t target) label() string { return fmt.Sprintf("%s for %s/%s", t.Name, t.os, t.arch) }

// file is the name of the program on its platform.
func (t target) file(name string) string {
	if t.os == "windows" {
		return name + ".exe"
	}
	return name
}

func (t Tool) on(platform, arch string, version release.Version) target {
	os, own, _ := strings.Cut(platform, "/")
	if own != payloadArch {
		arch = own
	}
	fill := strings.NewReplacer("{name}", t.Name, "{version}", version.String(), "{os}", os, "{arch}", arch)
	return target{Tool: t, os: os, arch: arch, path: strings.TrimPrefix(fill.Replace(t.Path), "/"), archive: fill.Replace(t.Archive)}
}

// Choice says which tools are wanted.
type Choice struct {
	Name string // of the tool; empty for all
	OS   string // with Go's name, or mac for darwin; empty or * for all
	Arch string // empty or * for all
}

// ParsePlatform reads OS, OS/ARCH or * into a choice of all tools.
func ParsePlatform(s string) (Choice, error) {
	if s == "*" || s == "" {
		return Choice{}, nil
	}
	os, arch, _ := strings.Cut(s, "/")
	if os == "mac" {
		os = "darwin"
	}
	if os == "" || strings.Contains(arch, "/") || (strings.Contains(s, "/") && arch == "") {
		return Choice{}, fmt.Errorf("reading platform %q: it must be OS, OS/ARCH or *", s)
	}
	if arch == "*" {
		arch = ""
	}
	return Choice{OS: os, Arch: arch}, nil
}

// ErrNoTool says that the table has no such tool, or not for the platform.
var ErrNoTool = errors.New("no such tool")

// targets finds the rows that are wanted in the payload. Those of which optional
// images are missing are named apart.
func (c Choice) targets(p *release.Payload, arch string, tools []Tool) (chosen []target, missing []string, err error) {
	var lacking, known []string
	archives := map[string]string{}
	for _, t := range tools {
		reference, there := p.Image(t.Component)
		for _, platform := range t.Platforms {
			one := t.on(platform, arch, p.Version)
			known = append(known, one.label())
			if (c.Name != "" && c.Name != t.Name) || (c.OS != "" && c.OS != one.os) || (c.Arch != "" && c.Arch != one.arch) {
				continue
			}
			one.reference = reference
			switch {
			case there && archives[one.archive] != "":
				// Two rows may come to one platform, when one of them follows the payload's.
				lacking = append(lacking, fmt.Sprintf("%s and %s have one archive %s", archives[one.archive], one.label(), one.archive))
			case there:
				archives[one.archive] = one.label()
				chosen = append(chosen, one)
			case t.Optional:
				missing = append(missing, fmt.Sprintf("%s: the payload has no component %q", one.label(), t.Component))
			default:
				lacking = append(lacking, fmt.Sprintf("%s: the payload has no component %q", one.label(), t.Component))
			}
		}
	}
	switch {
	case len(lacking) > 0:
		return nil, nil, fmt.Errorf("extracting tools: %s", strings.Join(lacking, "; "))
	case len(chosen) == 0 && len(missing) > 0:
		return nil, nil, fmt.Errorf("extracting tools: %s", strings.Join(missing, "; "))
	case len(chosen) == 0:
		slices.Sort(known)
		return nil, nil, fmt.Errorf("extracting tools: %w; there are %s", ErrNoTool, strings.Join(slices.Compact(known), ", "))
	}
	return chosen, missing, nil
}
