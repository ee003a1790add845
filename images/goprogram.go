package images

import (
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// goPackages lists the modules that Go programs are made of, as the programs
// themselves say.
func goPackages(programs []string) ([]Package, error) {
	seen := map[string]Package{}
	for _, p := range programs {
		info, err := buildinfo.ReadFile(p)
		if err != nil {
			return nil, fmt.Errorf("reading the dependencies of program %q: %w", p, err)
		}
		add := func(path, version, sum string) {
			pkg := goPackage(path, version, sum)
			seen[pkg.PURL] = pkg
		}
		add("stdlib", strings.TrimPrefix(info.GoVersion, "go"), "")
		add(info.Main.Path, info.Main.Version, info.Main.Sum)
		for _, d := range info.Deps {
			if d.Replace != nil {
				d = d.Replace
			}
			add(d.Path, d.Version, d.Sum)
		}
	}
	return sortedPackages(seen), nil
}

// goPackage writes the name as the package URL rules for Go want it, in small
// letters.
func goPackage(path, version, sum string) Package {
	return Package{
		Kind: "golang", Name: path, Version: version,
		PURL:   "pkg:golang/" + strings.ToLower(path) + "@" + strings.ReplaceAll(version, "+", "%2B"),
		Digest: dirHash(sum),
	}
}

// dirHash turns a sum of go.sum (h1:, base64) into in-toto's dirHash (hex).
func dirHash(sum string) map[string]string {
	encoded, ok := strings.CutPrefix(sum, "h1:")
	if !ok {
		return nil
	}
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil
	}
	return map[string]string{"dirHash": hex.EncodeToString(raw)}
}

func debPackages(suite string, closure []DebPackage) []Package {
	seen := map[string]Package{}
	for _, d := range closure {
		version := strings.NewReplacer("+", "%2B", ":", "%3A").Replace(d.Version)
		p := Package{
			Kind: "deb", Name: d.Name, Version: d.Version,
			PURL:   fmt.Sprintf("pkg:deb/debian/%s@%s?arch=%s&distro=%s", strings.ReplaceAll(d.Name, "+", "%2B"), version, d.Arch, suite),
			Digest: map[string]string{"sha256": d.SHA256},
		}
		seen[p.PURL] = p
	}
	return sortedPackages(seen)
}

// mergePackages joins lists of packages, each package once.
func mergePackages(lists ...[]Package) []Package {
	seen := map[string]Package{}
	for _, list := range lists {
		for _, p := range list {
			seen[p.PURL] = p
		}
	}
	return sortedPackages(seen)
}

func sortedPackages(seen map[string]Package) []Package {
	out := make([]Package, 0, len(seen))
	for _, p := range seen {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b Package) int { return strings.Compare(a.PURL, b.PURL) })
	return out
}
