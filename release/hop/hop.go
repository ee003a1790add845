// Package hop compares two releases between which a cluster is upgraded in one step,
// and says what of that step cannot work: versions too far apart, changes that the
// API server refuses, and what is left behind. It needs no cluster.
package hop

import (
	"fmt"
	"slices"

	"github.com/slipway-release/slipway/internal/controlplane"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/manifests"
)

// End is what there is to know of the release at one end of a hop.
type End struct {
	Name string // its version; empty for sources
	// Versions as components announce them, "1.36.3"; empty where none does, and nothing is
	// said about them. Where components disagree, it is the newest.
	Kubernetes string // of the API servers
	Kubelet    string
	Etcd       string
	// Objects are those that a cluster may get. Deleted ones are among them.
	Objects []manifests.Object
}

// Of reads a payload. What of its manifests cannot be read is left out: it was
// judged when the payload was released.
func Of(p *release.Payload) End {
	objects, _ := manifests.Read(p.Manifests)
	return NewEnd(p.References, objects)
}

// NewEnd is Of for manifests that are read already.
func NewEnd(refs release.ImageReferences, objects []manifests.Object) End {
	e := End{Name: refs.Name, Objects: objects}
	versions, err := refs.ComponentVersions()
	if err != nil {
		return e
	}
	e.Kubernetes, e.Etcd, e.Kubelet = newest(versions["kubernetes"]), newest(versions["etcd"]), newest(versions["kubelet"])
	for _, t := range refs.Tags {
		own, err := release.ParseComponentVersions(t.Annotations[release.LabelVersions])
		if err != nil || own["kubernetes"] == "" {
			continue
		}
		switch {
		case t.Name == controlplane.APIServer:
			e.Kubernetes = own["kubernetes"]
		case t.Name == nodeContent && e.Kubelet == "":
			e.Kubelet = own["kubernetes"]
		}
	}
	return e
}

// nodeContent is the component that brings the kubelet to nodes.
const nodeContent = "machine-os"

// Flaw is the class of a problem.
type Flaw int

// The classes of what can be wrong with a hop.
const (
	KubernetesSkew Flaw = iota
	KubeletSkew
	EtcdSkew
	ImmutableField // the new release changes what the API server lets nobody change
	DroppedVersion // a definition lacks a version that objects may be stored in, or have
	DroppedObject  // the new release lacks an object of the old one
)

// Problem is one thing wrong with a hop.
type Problem struct {
	Flaw Flaw
	// Before and After are the object concerned in the old and in the new
	// release: nil where it is not, and both where no object is concerned.
	Before, After *manifests.Object
	Path          []any // of the value, as for manifests.Lines.Of
	Message       string
}

// Judge says what is wrong with upgrading from one release to another.
func Judge(from, to End) []Problem {
	return slices.Concat(skews(from, to), immutable(from, to), droppedVersions(from, to), droppedObjects(from, to))
}

// pairs visits every object that both ends may have in one cluster.
func pairs(from, to End, visit func(before, after *manifests.Object)) {
	old := byKey(from.Objects)
	for i := range to.Objects {
		after := &to.Objects[i]
		for _, before := range old[after.Key()] {
			if !manifests.Exclusive(*before, *after) {
				visit(before, after)
			}
		}
	}
}

func byKey(objects []manifests.Object) map[string][]*manifests.Object {
	index := make(map[string][]*manifests.Object, len(objects))
	for i := range objects {
		key := objects[i].Key()
		index[key] = append(index[key], &objects[i])
	}
	return index
}

// droppedObjects reports what a cluster keeps although no release looks after it any more.
func droppedObjects(from, to End) []Problem {
	current := byKey(to.Objects)
	var found []Problem
	for i := range from.Objects {
		before := &from.Objects[i]
		kept := slices.ContainsFunc(current[before.Key()], func(o *manifests.Object) bool { return !manifests.Exclusive(*before, *o) })
		if !before.Deleted() && !kept {
			found = append(found, Problem{Flaw: DroppedObject, Before: before, Message: fmt.Sprintf("%s is in the release before and not in this one", before)})
		}
	}
	return found
}
