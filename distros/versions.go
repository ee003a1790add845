package distros

import (
	"fmt"
	"regexp"
	"strings"

	"golang.org/x/mod/semver"
)

// reference is $(versions.NAME), perhaps with a part of the version behind it:
// $(versions.kubernetes.minor).
var reference = regexp.MustCompile(`\$\(([^()]*)\)`)

// others are references with another meaning, replaced later.
var others = map[string]bool{"module.revision": true}

// expand replaces references to the table of versions.
func expand(text string, versions map[string]string) (string, error) {
	var problem error
	out := reference.ReplaceAllStringFunc(text, func(ref string) string {
		name := ref[2 : len(ref)-1]
		if others[name] {
			return ref
		}
		value, err := lookUp(name, versions)
		if err != nil && problem == nil {
			problem = fmt.Errorf("%s: %w", ref, err)
		}
		return value
	})
	return out, problem
}

func lookUp(name string, versions map[string]string) (string, error) {
	key, ok := strings.CutPrefix(name, "versions.")
	if !ok {
		return "", fmt.Errorf("only $(versions.NAME) and $(module.revision) can stand here")
	}
	if v, ok := versions[key]; ok {
		return v, nil
	}
	if cut := strings.LastIndexByte(key, '.'); cut > 0 {
		if v, ok := versions[key[:cut]]; ok {
			return versionPart(v, key[cut+1:])
		}
	}
	return "", fmt.Errorf("the versions of distro.yaml have no %q", key)
}

// versionPart takes v1.36.3 apart: number 1.36.3, major 1, minor 36, patch 3.
func versionPart(v, part string) (string, error) {
	number := strings.TrimPrefix(v, "v")
	if part == "number" {
		return number, nil
	}
	if !semver.IsValid("v" + number) {
		return "", fmt.Errorf("%q is not a version with parts", v)
	}
	core, _, _ := strings.Cut(number, "-")
	core, _, _ = strings.Cut(core, "+")
	fields := strings.Split(core, ".")
	for i, name := range []string{"major", "minor", "patch"} {
		if part == name && i < len(fields) {
			return fields[i], nil
		}
	}
	return "", fmt.Errorf("a version has number, major, minor and patch, but no %q", part)
}
