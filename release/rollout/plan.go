package rollout

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/manifests"
)

// Plan is the manifests of a payload in the order in which they are applied.
// Making it asks no cluster.
type Plan struct {
	Version string
	Digest  string // sha256:…, of the payload
	Levels  []manifests.RunLevel
}

// PlanOf orders the manifests of a payload. The error holds all that is wrong
// with them.
func PlanOf(payload *release.Payload) (*Plan, error) {
	levels, err := manifests.Plan(payload.Manifests)
	if err != nil {
		return nil, fmt.Errorf("planning the rollout of payload %q: %w", payload.Version, err)
	}
	return &Plan{Version: payload.Version.String(), Digest: payload.Digest.String(), Levels: levels}, nil
}

// file holds the objects of one manifest file in the order in which they stand there.
type file struct {
	name    string
	objects []*unstructured.Unstructured
}

// filesOf cuts a component's objects into files: what stands in one file is
// applied together, and waited for before the next.
func filesOf(c manifests.Component) []file {
	var files []file
	for _, o := range c.Objects {
		if len(files) == 0 || files[len(files)-1].name != o.File {
			files = append(files, file{name: o.File})
		}
		f := &files[len(files)-1]
		f.objects = append(f.objects, (&unstructured.Unstructured{Object: o.Content}).DeepCopy())
	}
	return files
}

// objects returns what the plan leaves in the cluster.
func (p *Plan) objects() []ObjectID {
	var ids []ObjectID
	for _, l := range p.Levels {
		for _, c := range l.Components {
			for _, o := range c.Objects {
				u := &unstructured.Unstructured{Object: o.Content}
				if u.GetAnnotations()[deleteAnnotation] != "true" {
					ids = append(ids, idOf(u))
				}
			}
		}
	}
	return sortIDs(ids)
}

func countObjects(l manifests.RunLevel) int {
	n := 0
	for _, c := range l.Components {
		n += len(c.Objects)
	}
	return n
}
