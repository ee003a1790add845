// Package compare says what differs between two payloads: images, the objects that
// clusters apply, what those may do newly, versions and metadata, and the packages in
// the images. It reads what it is given and judges nothing.
package compare

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/inspect"
	"github.com/slipway-release/slipway/release/inspect/features"
	"github.com/slipway-release/slipway/release/inspect/forge"
	"github.com/slipway-release/slipway/release/inspect/permissions"
	"github.com/slipway-release/slipway/release/manifests"
)

// Side is one of two payloads.
type Side struct {
	Info    *inspect.Info
	Payload *release.Payload
	SBOM    *SBOM // nil when there is none
	// Warnings are about what could not be read; they become the Diff's.
	Warnings []string
}

// Diff is what differs. The first group of fields has the keys and shapes of
// `oc adm release info FROM TO -o json`; the second one is Slipway's.
type Diff struct {
	From             *inspect.Info            `json:"from"`
	To               *inspect.Info            `json:"to"`
	ChangedImages    map[string]ReferenceDiff `json:"changedImages"`
	ChangedManifests map[string]ManifestPair  `json:"changedManifests"`

	// Identical payloads have one digest; everything below is empty.
	Identical bool `json:"identical"`
	// Upgradable says that To names From as a version that may upgrade to it.
	Upgradable  bool              `json:"upgradable"`
	Images      Images            `json:"images"`
	Versions    []ValueChange     `json:"versions"`
	Metadata    []ValueChange     `json:"metadata"`
	Previous    ListChange        `json:"previous"`
	Next        ListChange        `json:"next"`
	Manifests   Manifests         `json:"manifests"`
	Permissions permissions.Gains `json:"permissions"`
	// FeatureGates are those whose state differs in some kind of cluster.
	FeatureGates []features.Change `json:"featureGates"`
	// Packages are null where one of the payloads has no bill of materials.
	Packages *Packages `json:"packages"`
	Warnings []string  `json:"warnings"`

	unread bool // a manifest of the newer payload could not be read
}

// ReferenceDiff is a component's entry in image-references, null where there is none.
type ReferenceDiff struct {
	Name string          `json:"name"`
	From json.RawMessage `json:"from"`
	To   json.RawMessage `json:"to"`
}

// ManifestPair holds the bytes of a file that differs, null where there is none.
type ManifestPair struct {
	Filename string `json:"filename"`
	From     []byte `json:"from"`
	To       []byte `json:"to"`
}

// ValueChange is a named value; "" where it is not set.
type ValueChange struct {
	Name string `json:"name"`
	From string `json:"from"`
	To   string `json:"to"`
}

// ListChange is what was put into a list and taken out of it.
type ListChange struct {
	Added   []string `json:"added,omitempty"`
	Removed []string `json:"removed,omitempty"`
}

// Empty reports whether the list is the same.
func (l ListChange) Empty() bool { return len(l.Added)+len(l.Removed) == 0 }

// Payloads compares two payloads. What cannot be compared, such as a manifest that
// is no YAML, is told in Warnings.
func Payloads(from, to Side, hosts forge.Hosts) *Diff {
	d := &Diff{From: from.Info, To: to.Info, Warnings: []string{}, Versions: []ValueChange{}, Metadata: []ValueChange{}}
	d.Identical = from.Info.Identity() == to.Info.Identity() && from.Info.Digest == to.Info.Digest
	d.Upgradable = slices.Contains(to.Info.Upgrades, from.Info.Version)
	d.Images = images(from.Info, to.Info, hosts)
	d.Versions = append(d.Versions, values(from.Info.Versions, to.Info.Versions)...)
	d.Metadata = append(d.Metadata, values(from.Info.Values, to.Info.Values)...)
	d.Previous = lists(from.Info.Upgrades, to.Info.Upgrades)
	d.Next = lists(from.Info.Next, to.Info.Next)

	older := read(from.Payload, content{})
	newer := read(to.Payload, older)
	before, after := namings(from.Payload, to.Payload)
	d.Manifests = objects(older, newer, before, after)
	d.Permissions = permissions.Gained(older.objects, newer.objects)
	d.unread = len(newer.warnings) > 0 || len(d.Permissions.Warnings) > 0
	for _, w := range newer.warnings {
		d.Warnings = append(d.Warnings, "the newer payload has a manifest that cannot be read, and was compared by its bytes: "+w)
	}
	for _, w := range older.warnings {
		d.Warnings = append(d.Warnings, "the older payload has a manifest that cannot be read, and was compared by its bytes: "+w)
	}
	gates, newGates := features.Read(from.Payload), features.Read(to.Payload)
	d.FeatureGates = features.Compare(gates, newGates)
	d.Warnings = slices.Concat(d.Warnings, gates.Warnings, newGates.Warnings, d.Permissions.Warnings, from.Warnings, to.Warnings)
	d.addPackages(from.SBOM, to.SBOM)
	d.ChangedImages = references(from.Payload, to.Payload)
	d.ChangedManifests = files(from.Payload, to.Payload)
	return d
}

// Empty reports whether nothing that clusters would notice differs. Two payloads of
// different names and times may be alike in this sense.
func (d *Diff) Empty() bool {
	return d.Images.Empty() && d.Manifests.Empty() && len(d.Versions)+len(d.Metadata) == 0 && d.Previous.Empty() && d.Next.Empty() && d.Packages.Empty()
}

func (d *Diff) addPackages(from, to *SBOM) {
	if from == nil || to == nil {
		return
	}
	found, err := BillsOfMaterials(*from, *to)
	if err != nil {
		d.Warnings = append(d.Warnings, fmt.Sprintf("packages were not compared: %v", err))
		return
	}
	d.Packages = found
}

func values(from, to map[string]string) []ValueChange {
	keys := map[string]bool{}
	for _, m := range []map[string]string{from, to} {
		for k := range m {
			keys[k] = true
		}
	}
	var changes []ValueChange
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if from[k] != to[k] {
			changes = append(changes, ValueChange{Name: k, From: from[k], To: to[k]})
		}
	}
	return changes
}

func lists(from, to []string) ListChange {
	var c ListChange
	for _, s := range to {
		if !slices.Contains(from, s) {
			c.Added = append(c.Added, s)
		}
	}
	for _, s := range from {
		if !slices.Contains(to, s) {
			c.Removed = append(c.Removed, s)
		}
	}
	return c
}

// references pairs the entries of image-references whose images differ.
func references(from, to *release.Payload) map[string]ReferenceDiff {
	before, after := entries(from), entries(to)
	changed := map[string]ReferenceDiff{}
	for _, p := range []*release.Payload{from, to} {
		for _, t := range p.References.Tags {
			old, had := from.Image(t.Name)
			now, has := to.Image(t.Name)
			if !had || !has || old != now {
				changed[t.Name] = ReferenceDiff{Name: t.Name, From: before[t.Name], To: after[t.Name]}
			}
		}
	}
	return changed
}

func entries(p *release.Payload) map[string]json.RawMessage {
	var stream struct {
		Spec struct {
			Tags []json.RawMessage `json:"tags"`
		} `json:"spec"`
	}
	data, _ := p.File(release.ReferencesFile)
	all := map[string]json.RawMessage{}
	// It was parsed strictly when the payload was loaded.
	if err := json.Unmarshal(data, &stream); err != nil {
		return all
	}
	for _, raw := range stream.Spec.Tags {
		var tag struct {
			Name string `json:"name"`
		}
		if err := json.Unmarshal(raw, &tag); err == nil {
			all[tag.Name] = raw
		}
	}
	return all
}

func files(from, to *release.Payload) map[string]ManifestPair {
	changed := map[string]ManifestPair{}
	for _, p := range []*release.Payload{from, to} {
		for _, f := range p.Manifests {
			if !manifests.IsManifest(f.Name) {
				continue
			}
			old, had := from.File(f.Name)
			now, has := to.File(f.Name)
			if had != has || !bytes.Equal(old, now) {
				changed[f.Name] = ManifestPair{Filename: f.Name, From: old, To: now}
			}
		}
	}
	return changed
}
