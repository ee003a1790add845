package compare

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// SBOM is an SPDX 2.3 document in JSON about a payload: the payload contains the
// images, which contain their packages.
type SBOM struct {
	Document []byte
	// Trust says why the document is to be believed, "signed by key …", or that it is
	// "unverified".
	Trust string
}

// Packages are the differences of the software in the images.
type Packages struct {
	FromTrust string `json:"fromTrust"`
	ToTrust   string `json:"toTrust"`
	// System are packages of operating systems (deb, rpm, apk), Others what is
	// compiled in or installed by languages' own tools.
	System []PackageChange `json:"system"`
	Others []PackageChange `json:"others"`
}

// PackageChange is one package, and the images it changed in.
type PackageChange struct {
	Kind   string   `json:"kind"` // deb, rpm, apk, golang, …: the type of its package URL
	Name   string   `json:"name"`
	From   []string `json:"from,omitempty"` // versions; none: it is new
	To     []string `json:"to,omitempty"`   // none: it is gone
	Images []string `json:"images"`         // components
}

// Empty reports whether all packages are the same.
func (p *Packages) Empty() bool { return p == nil || len(p.System)+len(p.Others) == 0 }

type spdxDocument struct {
	SPDXVersion   string             `json:"spdxVersion"`
	Packages      []spdxPackage      `json:"packages"`
	Relationships []spdxRelationship `json:"relationships"`
}

type spdxPackage struct {
	ID           string `json:"SPDXID"`
	Name         string `json:"name"`
	Version      string `json:"versionInfo"`
	Purpose      string `json:"primaryPackagePurpose"`
	ExternalRefs []struct {
		Type    string `json:"referenceType"`
		Locator string `json:"referenceLocator"`
	} `json:"externalRefs"`
}

type spdxRelationship struct {
	From string `json:"spdxElementId"`
	Type string `json:"relationshipType"`
	To   string `json:"relatedSpdxElement"`
}

// software is what a document says: image → package → versions.
type software map[string]map[packageKey][]string

type packageKey struct{ kind, name string }

// readSBOM reads a document. It is evidence that others may have written, so
// what does not fit is an error and not left out: a package that is overlooked would
// look as if it had been removed.
func readSBOM(data []byte) (software, error) {
	var doc spdxDocument
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("reading the bill of materials: %w", err)
	}
	if !strings.HasPrefix(doc.SPDXVersion, "SPDX-2.") {
		return nil, fmt.Errorf("reading the bill of materials: its format is %q, and SPDX 2 is read", doc.SPDXVersion)
	}
	packages := map[string]spdxPackage{}
	for _, p := range doc.Packages {
		if _, twice := packages[p.ID]; twice || p.ID == "" {
			return nil, fmt.Errorf("reading the bill of materials: package identifier %q is empty or stands in it twice", p.ID)
		}
		packages[p.ID] = p
	}
	found := software{}
	images := 0
	for id, p := range packages {
		if p.Purpose == "CONTAINER" {
			images++
			if found[p.Name] != nil {
				return nil, fmt.Errorf("reading the bill of materials: image %q stands in it twice (%s)", p.Name, id)
			}
			found[p.Name] = map[packageKey][]string{}
		}
	}
	if images == 0 {
		return nil, errors.New("reading the bill of materials: it names no image (a package with the purpose CONTAINER)")
	}
	for _, r := range doc.Relationships {
		from, to := packages[r.From], packages[r.To]
		if r.Type != "CONTAINS" || from.Purpose != "CONTAINER" || to.ID == "" || to.Purpose == "CONTAINER" {
			continue
		}
		key := packageKey{kindOf(to), to.Name}
		if versions := found[from.Name][key]; !slices.Contains(versions, to.Version) {
			found[from.Name][key] = append(versions, to.Version)
		}
	}
	return found, nil
}

// kindOf takes the type out of a package URL, pkg:deb/debian/bash@5.2.
func kindOf(p spdxPackage) string {
	for _, r := range p.ExternalRefs {
		if rest, ok := strings.CutPrefix(r.Locator, "pkg:"); ok && r.Type == "purl" {
			kind, _, _ := strings.Cut(rest, "/")
			return strings.ToLower(kind)
		}
	}
	return ""
}

// BillsOfMaterials compares two documents. Images that only one payload has are left
// out: all their packages would be listed, and say no more than the image does.
func BillsOfMaterials(from, to SBOM) (*Packages, error) {
	before, err := readSBOM(from.Document)
	if err != nil {
		return nil, fmt.Errorf("of the older payload: %w", err)
	}
	after, err := readSBOM(to.Document)
	if err != nil {
		return nil, fmt.Errorf("of the newer payload: %w", err)
	}
	changes := map[string]*PackageChange{}
	for _, image := range slices.Sorted(maps.Keys(after)) {
		if before[image] == nil {
			continue
		}
		keys := maps.Clone(after[image])
		maps.Copy(keys, before[image])
		for key := range keys {
			old, now := slices.Sorted(slices.Values(before[image][key])), slices.Sorted(slices.Values(after[image][key]))
			if slices.Equal(old, now) {
				continue
			}
			id := fmt.Sprintf("%q%q%q", key, old, now)
			if changes[id] == nil {
				changes[id] = &PackageChange{Kind: key.kind, Name: key.name, From: old, To: now}
			}
			changes[id].Images = append(changes[id].Images, image)
		}
	}
	found := &Packages{FromTrust: from.Trust, ToTrust: to.Trust, System: []PackageChange{}, Others: []PackageChange{}}
	for _, id := range slices.Sorted(maps.Keys(changes)) {
		switch c := *changes[id]; c.Kind {
		case "deb", "rpm", "apk", "alpm":
			found.System = append(found.System, c)
		default:
			found.Others = append(found.Others, c)
		}
	}
	return found, nil
}
