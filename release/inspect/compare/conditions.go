package compare

import (
	"slices"
	"strings"
)

// condition is a difference that somebody may not want to let pass.
type condition struct {
	name string
	met  func(*Diff) bool
}

var conditions = []condition{
	{"images", func(d *Diff) bool { return !d.Images.Empty() }},
	{"objects", func(d *Diff) bool { return !d.Manifests.Empty() }},
	{"removed", func(d *Diff) bool { return len(d.Images.Removed)+len(d.Manifests.Removed) > 0 }},
	{"removed-images", func(d *Diff) bool { return len(d.Images.Removed) > 0 }},
	{"removed-objects", func(d *Diff) bool { return len(d.Manifests.Removed) > 0 }},
	{"permissions", func(d *Diff) bool { return d.unread || !d.Permissions.Empty() }},
	{"risky-permissions", func(d *Diff) bool {
		_, risky := d.Permissions.Count()
		return d.unread || risky > 0
	}},
	{"versions", func(d *Diff) bool { return len(d.Versions) > 0 }},
	{"feature-gates", func(d *Diff) bool { return d.unread || len(d.FeatureGates) > 0 }},
	{"packages", func(d *Diff) bool { return d.Packages == nil || !d.Packages.Empty() }},
	{"no-upgrade", func(d *Diff) bool { return !d.Upgradable && d.From.Version != d.To.Version }},
}

// Conditions returns the names that Met knows.
func Conditions() []string {
	names := make([]string, len(conditions))
	for i, c := range conditions {
		names[i] = c.name
	}
	return names
}

// Met returns those of the conditions named that hold. What could not be
// compared counts as different: a check that saw nothing must not pass.
func (d *Diff) Met(names []string) []string {
	var met []string
	for _, c := range conditions {
		if slices.Contains(names, c.name) && c.met(d) {
			met = append(met, c.name)
		}
	}
	return met
}

// Names returns what differs, one name each: image/NAME, and KIND/NAMESPACE/NAME of objects.
func (d *Diff) Names() []string {
	var names []string
	for _, list := range [][]ImageChange{d.Images.Changed, d.Images.Rebuilt, d.Images.Relocated, d.Images.Added, d.Images.Removed} {
		for _, c := range list {
			names = append(names, "image/"+c.Name)
		}
	}
	for _, list := range [][]Object{d.Manifests.Added, d.Manifests.Removed} {
		for _, o := range list {
			names = append(names, o.path())
		}
	}
	for _, c := range d.Manifests.Changed {
		names = append(names, c.path())
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (o Object) path() string {
	return strings.Join(slices.DeleteFunc([]string{o.Kind, o.Namespace, o.Name}, func(s string) bool { return s == "" }), "/")
}
