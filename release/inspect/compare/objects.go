package compare

import (
	"bytes"
	"cmp"
	"errors"
	"reflect"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/manifests"
)

// Object names a Kubernetes object and the file it stands in.
type Object struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name"`
	File       string `json:"file"`
}

// String is "Deployment kube-system/coredns".
func (o Object) String() string {
	return manifests.Object{Kind: o.Kind, Namespace: o.Namespace, Name: o.Name}.String()
}

// ObjectChange is an object that both payloads have, and how it differs. Images of
// the payloads stand in it by component, <image NAME>, and their versions as
// <version>: what differs only in these is no change.
type ObjectChange struct {
	Object
	// FromFile is set where the object stood in another file, and with it
	// perhaps in another run level.
	FromFile string   `json:"fromFile,omitempty"`
	Changes  []Change `json:"changes"`
}

// Manifests are the differences of the objects that clusters apply.
type Manifests struct {
	Added   []Object       `json:"added"`
	Removed []Object       `json:"removed"`
	Changed []ObjectChange `json:"changed"`
	// OnlyImages differ in nothing but the digests of component images, or the
	// payload's version.
	OnlyImages []Object `json:"onlyImages"`
	Unchanged  int      `json:"unchanged"` // objects
	// Files are those that are no manifests, or that could not be read as such.
	FilesAdded   []string `json:"filesAdded,omitempty"`
	FilesRemoved []string `json:"filesRemoved,omitempty"`
	FilesChanged []string `json:"filesChanged,omitempty"`
}

// Empty reports whether clusters would be given the same objects, images aside.
func (m Manifests) Empty() bool {
	return len(m.Added)+len(m.Removed)+len(m.Changed)+len(m.FilesAdded)+len(m.FilesRemoved)+len(m.FilesChanged) == 0
}

// content is what a payload's files hold.
type content struct {
	objects  []manifests.Object
	files    map[string][]byte // that are no manifests, or cannot be read as such
	warnings []string

	parsed map[string]parsedFile
}

type parsedFile struct {
	data    []byte
	objects []manifests.Object
	err     error
}

// read parses all files of a payload. One that is broken is compared by its bytes.
// What another payload has in the same words is taken from there.
func read(p *release.Payload, other content) content {
	parsed := make([]parsedFile, len(p.Manifests))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, f := range p.Manifests {
		if known, ok := other.parsed[f.Name]; ok && bytes.Equal(known.data, f.Data) {
			parsed[i] = known
		} else if manifests.IsManifest(f.Name) {
			group.Go(func() error {
				parsed[i] = parse(f)
				return nil
			})
		}
	}
	_ = group.Wait()
	c := content{files: map[string][]byte{}, parsed: map[string]parsedFile{}}
	for i, f := range p.Manifests {
		c.objects = append(c.objects, parsed[i].objects...)
		if !manifests.IsManifest(f.Name) || parsed[i].err != nil {
			c.files[f.Name] = f.Data
		}
		if parsed[i].data != nil {
			c.parsed[f.Name] = parsed[i]
		}
		var problems manifests.Problems
		if errors.As(parsed[i].err, &problems) {
			c.warnings = append(c.warnings, problems[0].String())
		}
	}
	return c
}

func parse(f release.File) parsedFile {
	objects, err := manifests.Parse(f.Data, f.Name)
	for i, o := range objects {
		// Without the YAML it came from, which takes several times the memory.
		objects[i] = manifests.Object{File: o.File, Line: o.Line, APIVersion: o.APIVersion, Kind: o.Kind, Namespace: o.Namespace, Name: o.Name, Content: o.Content}
	}
	return parsedFile{data: f.Data, objects: objects, err: err}
}

// objects compares what two payloads hold.
func objects(from, to content, before, after naming) Manifests {
	m := Manifests{Added: []Object{}, Removed: []Object{}, Changed: []ObjectChange{}, OnlyImages: []Object{}}
	for _, p := range pair(from.objects, to.objects) {
		switch {
		case p.from == nil:
			m.Added = append(m.Added, nameOf(*p.to))
		case p.to == nil:
			m.Removed = append(m.Removed, nameOf(*p.from))
		default:
			m.compare(*p.from, *p.to, before, after)
		}
	}
	for file, data := range from.files {
		switch other, ok := to.files[file]; {
		case ok && !bytes.Equal(data, other):
			m.FilesChanged = append(m.FilesChanged, file)
		case !ok:
			m.FilesRemoved = append(m.FilesRemoved, file)
		}
	}
	for file := range to.files {
		if _, ok := from.files[file]; !ok {
			m.FilesAdded = append(m.FilesAdded, file)
		}
	}
	for _, files := range [][]string{m.FilesAdded, m.FilesRemoved, m.FilesChanged} {
		slices.Sort(files)
	}
	return m
}

func (m *Manifests) compare(from, to manifests.Object, before, after naming) {
	moved := from.File != to.File
	if !moved && reflect.DeepEqual(from.Content, to.Content) {
		m.Unchanged++
		return
	}
	changes := Values(before.value(from.Content), after.value(to.Content))
	if len(changes) == 0 && !moved {
		m.OnlyImages = append(m.OnlyImages, nameOf(to))
		return
	}
	change := ObjectChange{Object: nameOf(to), Changes: changes}
	if moved {
		change.FromFile = from.File
	}
	m.Changed = append(m.Changed, change)
}

func nameOf(o manifests.Object) Object {
	return Object{APIVersion: o.APIVersion, Kind: o.Kind, Namespace: o.Namespace, Name: o.Name, File: o.File}
}

// objectPair is one object on both sides, or on one of them.
type objectPair struct{ from, to *manifests.Object }

// pair finds for every object its counterpart, in the order of kinds and names.
// Payloads hold variants of an object, for other profiles and feature sets, so of
// several with one identity those of one file belong together, then those that are
// for the same clusters, then what is left in its order.
func pair(from, to []manifests.Object) []objectPair {
	type sides struct{ from, to []*manifests.Object }
	all := map[string]*sides{}
	var order []*manifests.Object // one of each identity
	at := func(o *manifests.Object) *sides {
		id := o.Key()
		if all[id] == nil {
			all[id] = &sides{}
			order = append(order, o)
		}
		return all[id]
	}
	for i := range from {
		s := at(&from[i])
		s.from = append(s.from, &from[i])
	}
	for i := range to {
		s := at(&to[i])
		s.to = append(s.to, &to[i])
	}
	slices.SortFunc(order, func(a, b *manifests.Object) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Kind, b.Kind), strings.Compare(a.Name, b.Name), strings.Compare(a.Group(), b.Group()))
	})
	var pairs []objectPair
	for _, o := range order {
		s := all[o.Key()]
		pairs = append(pairs, pairVariants(s.from, s.to)...)
	}
	return pairs
}

func pairVariants(from, to []*manifests.Object) []objectPair {
	var pairs []objectPair
	for _, fit := range []func(a, b *manifests.Object) bool{
		func(a, b *manifests.Object) bool { return a.File == b.File && audience(*a) == audience(*b) },
		func(a, b *manifests.Object) bool { return a.File == b.File },
		func(a, b *manifests.Object) bool { return audience(*a) == audience(*b) },
		func(a, b *manifests.Object) bool { return true },
	} {
		for i := 0; i < len(from); {
			j := slices.IndexFunc(to, func(o *manifests.Object) bool { return fit(from[i], o) })
			if j < 0 {
				i++
				continue
			}
			pairs = append(pairs, objectPair{from[i], to[j]})
			from, to = slices.Delete(from, i, i+1), slices.Delete(to, j, j+1)
		}
	}
	for _, o := range from {
		pairs = append(pairs, objectPair{from: o})
	}
	for _, o := range to {
		pairs = append(pairs, objectPair{to: o})
	}
	return pairs
}

// audience is what chooses the clusters an object is for: profiles, feature sets
// and capabilities, as annotations of the cluster-version operator's.
func audience(o manifests.Object) string {
	var parts []string
	for k, v := range o.Annotations() {
		if strings.Contains(k, "release.openshift.io/") || strings.HasPrefix(k, "capability.openshift.io/") {
			parts = append(parts, k+"="+v)
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, "\n")
}
