package lint

import (
	"slices"
	"strconv"
	"strings"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/manifests"
)

// payload is what the rules look at.
type payload struct {
	options    Options
	refs       release.ImageReferences
	kubernetes minorVersion

	files    []release.File     // without their bytes
	objects  []manifests.Object // all, by file
	problems manifests.Problems // of reading them

	// applied are the objects that a cluster of the profile has in the end, and
	// byKind the same by group and kind. No rule about how objects work together
	// looks at others.
	applied []manifests.Object
	byKind  map[groupKind][]manifests.Object

	positions   map[string]position // by identity
	definitions map[groupKind][]manifests.Object
	namespaces  map[string][]manifests.Object
	workloads   []*workload
	services    []*service
	budgets     []*budget
	control     *controlPlane // nil: nothing is known of it
	hops        []hopProblem
	judged      []string // names of the hops
}

type groupKind struct{ group, kind string }

func (p *payload) add(files []release.File, objects []manifests.Object, problems manifests.Problems) {
	for _, f := range files {
		if f.Name != release.ReferencesFile && f.Name != release.MetadataFile {
			p.files = append(p.files, release.File{Name: f.Name})
		}
	}
	for _, o := range objects {
		p.objects = append(p.objects, slim(o))
	}
	p.problems = append(p.problems, problems...)
}

// prepare finds out what the objects have to do with each other.
func (p *payload) prepare() {
	p.byKind, p.definitions, p.namespaces = map[groupKind][]manifests.Object{}, map[groupKind][]manifests.Object{}, map[string][]manifests.Object{}
	slices.SortStableFunc(p.objects, func(a, b manifests.Object) int { return strings.Compare(a.File, b.File) })
	for _, object := range p.objects {
		if !p.included(object) || object.Deleted() {
			continue
		}
		p.applied = append(p.applied, object)
		key := groupKind{object.Group(), object.Kind}
		p.byKind[key] = append(p.byKind[key], object)
	}
	p.positions = positionsOf(p.applied)
	for _, d := range p.byKind[groupKind{"apiextensions.k8s.io", "CustomResourceDefinition"}] {
		defined := groupKind{text(d.Content, "spec", "group"), text(d.Content, "spec", "names", "kind")}
		p.definitions[defined] = append(p.definitions[defined], d)
	}
	for _, n := range p.byKind[groupKind{"", "Namespace"}] {
		p.namespaces[n.Name] = append(p.namespaces[n.Name], n)
	}
	p.readWorkloads()
	p.control = p.readControlPlane()
	p.judgeHops()
}

// included reports whether clusters of the profile have to do with an object.
func (p *payload) included(o manifests.Object) bool {
	included, _ := manifests.Included(o, manifests.Selection{Profile: p.options.Profile})
	return included
}

// slim leaves out of a definition the schemas of its versions, which are most of
// what a payload holds.
func slim(o manifests.Object) manifests.Object {
	if o.Kind != "CustomResourceDefinition" {
		return o
	}
	var versions []any
	for _, item := range list(o.Content, "spec", "versions") {
		version, _ := item.(map[string]any)
		versions = append(versions, map[string]any{"name": version["name"], "served": version["served"], "storage": version["storage"]})
	}
	o.Content = map[string]any{"metadata": o.Content["metadata"], "spec": map[string]any{
		"group": value(o.Content, "spec", "group"), "names": value(o.Content, "spec", "names"), "scope": value(o.Content, "spec", "scope"), "versions": versions,
	}}
	return o
}

func kubernetesOf(refs release.ImageReferences, o Options) minorVersion {
	if o.Kubernetes != "" {
		return parseMinor(o.Kubernetes)
	}
	versions, err := refs.ComponentVersions()
	if err != nil || len(versions["kubernetes"]) == 0 {
		return minorVersion{}
	}
	// Where components disagree, the newest is what the cluster's APIs come from in the end.
	newest := minorVersion{}
	for _, v := range versions["kubernetes"] {
		if m := parseMinor(v); newest.less(m) {
			newest = m
		}
	}
	return newest
}

// position is a place in the order in which a cluster applies objects.
type position struct {
	level     int // index of the run level, or of the barrier within it
	component string
	index     int // within all objects, by file
}

func positionsOf(objects []manifests.Object) map[string]position {
	positions := make(map[string]position, len(objects))
	index := make(map[string]int, len(objects))
	for i, o := range objects {
		index[identity(o)] = i
	}
	for i, level := range manifests.Order(objects) {
		for _, c := range level.Components {
			for _, o := range c.Objects {
				positions[identity(o)] = position{i, c.Name, index[identity(o)]}
			}
		}
	}
	return positions
}

func identity(o manifests.Object) string {
	return o.File + "\x00" + strconv.Itoa(o.Line) + "\x00" + o.Key()
}

// order says how one object stands to another in time.
type order int

const (
	before order = iota
	beside       // at the same time, by another component
	after
)

// orderOf says when a is applied, compared with b.
func (p *payload) orderOf(a, b manifests.Object) order {
	x, y := p.positions[identity(a)], p.positions[identity(b)]
	switch {
	case x.level < y.level, x.level == y.level && x.component == y.component && x.index < y.index:
		return before
	case x.level == y.level && x.component != y.component:
		return beside
	}
	return after
}

// earliest says how the best of several variants of a prerequisite stands to the
// object that needs it. ok is false when none of them goes with the object.
func (p *payload) earliest(prerequisites []manifests.Object, o manifests.Object) (best manifests.Object, when order, ok bool) {
	for _, r := range prerequisites {
		if manifests.Exclusive(r, o) {
			continue
		}
		if w := p.orderOf(r, o); !ok || w < when {
			best, when, ok = r, w, true
		}
	}
	return best, when, ok
}

// has reports whether the payload makes an object.
func (p *payload) has(group, kind, namespace, name string) bool {
	return slices.ContainsFunc(p.byKind[groupKind{group, kind}], func(o manifests.Object) bool {
		return o.Namespace == namespace && o.Name == name
	})
}

// value returns what stands at the end of a way of keys, nil when there is nothing.
func value(content map[string]any, path ...string) any {
	var v any = content
	for _, key := range path {
		m, _ := v.(map[string]any)
		v = m[key]
	}
	return v
}

func text(content map[string]any, path ...string) string {
	s, _ := value(content, path...).(string)
	return s
}

func list(content map[string]any, path ...string) []any {
	l, _ := value(content, path...).([]any)
	return l
}
