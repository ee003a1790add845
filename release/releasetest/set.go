package releasetest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sync/errgroup"
)

// Options say how large a generated set is. Zero values mean those of the small
// set: 12 components, 6 of them operators with 12 manifests each, 16 KiB layers.
type Options struct {
	Components int   // all of them
	Operators  int   // those that bring manifests
	Manifests  int   // files that each operator brings, image-references not counted
	LayerBytes int64 // incompressible bytes of each component's own layer, held in memory four times
	// OneRepository puts all components into one repository, ADDRESS/components, in
	// place of one for each.
	OneRepository bool
	// Docker writes Docker schema 2 in place of OCI media types.
	Docker bool
	// Seed changes all bytes that are not words. Same options, same digests.
	Seed uint64
}

// Full is the set of OpenShift's size that benchmarks use: 190 components, 90 of
// them with 12 manifests each, a layer of 8 MB for each.
func Full() Options {
	return Options{Components: 190, Operators: 90, Manifests: 12, LayerBytes: 8 << 20}
}

func (o Options) withDefaults() Options {
	if o.Components == 0 {
		o.Components = 12
	}
	if o.Operators == 0 {
		o.Operators = min(o.Components/2, 90)
	}
	if o.Manifests == 0 {
		o.Manifests = 12
	}
	if o.LayerBytes == 0 {
		o.LayerBytes = 16 << 10
	}
	return o
}

// Set is what was generated.
type Set struct {
	Options    Options // with their defaults
	Address    string
	Components []Component // in the order of their names
	// Blobs are all layers and configurations, each once, with their sizes.
	Blobs map[v1.Hash]int64
}

// Component is one image of a set.
type Component struct {
	Name      string
	Reference string // pull spec by digest
	Digest    v1.Hash
	Layers    []v1.Hash // from the base up; the last is its own
	Labels    map[string]string
	// Source is what manifests call the image before it is put in place; operators
	// list it in their image-references.
	Source string
	// Operator says that the image brings manifests.
	Operator bool
	// Uses are the names of the components an operator's manifests name, itself first.
	Uses []string
	// Files are an operator's /manifests, image-references included.
	Files []File
}

// File is a file of a component or payload.
type File struct {
	Name string
	Data []byte
}

// New writes a set to a registry, given as HOST[:PORT][/REPOSITORY], or fails the test.
func New(t testing.TB, address string, o Options) *Set {
	t.Helper()
	set, err := Write(t.Context(), address, o)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// Write writes a set to a registry. Four layers are in memory at a time.
func Write(ctx context.Context, address string, o Options) (*Set, error) {
	o = o.withDefaults()
	if o.Operators >= o.Components {
		return nil, fmt.Errorf("generating a set: %d operators need more than %d components", o.Operators, o.Components)
	}
	base, err := name.NewRepository(address + "/base")
	if err != nil {
		return nil, fmt.Errorf("generating a set: %w", err)
	}
	pusher, err := remote.NewPusher(remote.WithJobs(2))
	if err != nil {
		return nil, fmt.Errorf("generating a set: %w", err)
	}
	set := &Set{Options: o, Address: address, Components: components(address, o), Blobs: map[v1.Hash]int64{}}
	shared := sharedLayers(o)
	if o.OneRepository {
		base = base.Registry.Repo(strings.TrimPrefix(set.repository(""), base.RegistryStr()+"/"))
	}
	if err := pusher.Push(ctx, base.Tag("base"), newImage(o, nil, shared...)); err != nil {
		return nil, fmt.Errorf("generating a set: %w", err)
	}
	images := make([]*image, len(set.Components))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i := range set.Components {
		group.Go(func() error {
			c := &set.Components[i]
			layers := shared[:1:1]
			if c.Operator {
				layers = shared
			}
			img := newImage(o, c.Labels, append(layers[:len(layers):len(layers)], ownLayer(o, i, c))...)
			c.Digest = img.digest
			c.Reference = set.repository(c.Name) + "@" + c.Digest.String()
			images[i] = img.forget()
			ref, err := name.NewDigest(c.Reference)
			if err != nil {
				return fmt.Errorf("generating a set: %w", err)
			}
			if err := pusher.Push(ctx, ref, mounting{img, base, shared}); err != nil {
				return fmt.Errorf("generating a set: %w", err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for i, img := range images {
		for _, l := range append(img.layers, img.config) {
			set.Blobs[l.digest] = l.size
		}
		for _, l := range img.layers {
			set.Components[i].Layers = append(set.Components[i].Layers, l.digest)
		}
	}
	return set, nil
}

func (s *Set) repository(component string) string {
	if s.Options.OneRepository {
		component = "components"
	}
	return s.Address + "/" + component
}

// Component returns a component by its name, or fails the test.
func (s *Set) Component(t testing.TB, name string) Component {
	t.Helper()
	for _, c := range s.Components {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("the set has no component %q", name)
	return Component{}
}

// Bytes is the size of all blobs, each counted once.
func (s *Set) Bytes() int64 {
	var sum int64
	for _, size := range s.Blobs {
		sum += size
	}
	return sum
}

// References returns the pull spec of every component by its name.
func (s *Set) References() map[string]string {
	references := map[string]string{}
	for _, c := range s.Components {
		references[c.Name] = c.Reference
	}
	return references
}

// Mapping is a file for --mapping-file: a line NAME=PULLSPEC for every component.
func (s *Set) Mapping() []byte {
	var b bytes.Buffer
	fmt.Fprintln(&b, "# generated")
	for _, c := range s.Components {
		fmt.Fprintf(&b, "%s=%s\n", c.Name, c.Reference)
	}
	return b.Bytes()
}

// ImageStream is a file for --from-image-stream-file, as `oc get imagestream -o
// json` prints it. It tells a public repository if all components are in one.
func (s *Set) ImageStream() []byte {
	type object = map[string]any
	tags, items := []object{}, []object{}
	for _, c := range s.Components {
		tags = append(tags, object{
			"name": c.Name, "annotations": nil, "generation": 2, "importPolicy": object{"importMode": "Legacy"},
			"from": object{"kind": "DockerImage", "name": c.Reference}, "referencePolicy": object{"type": "Source"},
		})
		items = append(items, object{"tag": c.Name, "items": []object{{
			"created": created.Format(time.RFC3339), "dockerImageReference": c.Reference, "image": c.Digest.String(), "generation": 2,
		}}})
	}
	status := object{"dockerImageRepository": "", "tags": items}
	if s.Options.OneRepository {
		status["dockerImageRepository"] = s.repository("")
		status["publicDockerImageRepository"] = s.repository("")
	}
	data, err := json.MarshalIndent(object{
		"kind": "ImageStream", "apiVersion": "image.openshift.io/v1",
		"metadata": object{"name": "generated", "namespace": "releases", "creationTimestamp": created.Format(time.RFC3339), "resourceVersion": "1"},
		"spec":     object{"lookupPolicy": object{"local": false}, "tags": tags},
		"status":   status,
	}, "", "    ")
	if err != nil {
		panic(err) // maps of strings
	}
	return data
}
