package premerge

import (
	"context"
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/assemble"
	"github.com/slipway-release/slipway/release/assemble/input"
	"github.com/slipway-release/slipway/release/manifests"
)

// draft is the changed release before its images are built: the manifests are those
// of the change, and the images are still the base's where they must be built first.
type draft struct {
	image   v1.Image
	payload *release.Payload
	// owners maps the payload's files to where they come from.
	owners map[string]owner

	read []manifests.Object // made when first asked for
}

// owner says where a file of a payload comes from.
type owner struct {
	component string
	source    string // path of the file in the changed component's folder; "" for others
}

// assembleDraft puts the manifests of the change into the base.
func (c *check) assembleDraft(ctx context.Context) (*draft, error) {
	set := c.baseSet()
	for _, ch := range c.changes {
		component := ch.component()
		if ch.recipe != nil {
			files, err := manifestsOf(ch.recipe)
			if err != nil {
				return nil, wrong(err)
			}
			component.Files = files
			if v := ch.recipe.Announces(); v != "" {
				component.Tag.Annotations = map[string]string{release.LabelVersions: v}
			}
			if component.Reference, err = c.standIn(ch.Component); err != nil {
				return nil, err
			}
		}
		replace(set, component)
	}
	made, err := c.make(ctx, set)
	if err != nil {
		return nil, err
	}
	return &draft{image: made.Image, payload: made.Payload, owners: c.ownersOf(made)}, nil
}

// baseSet is what the base was made of, without what the change removes.
func (c *check) baseSet() *input.Set {
	set := input.FromPayload(c.Base.Payload)
	set.Components = slices.DeleteFunc(set.Components, func(a assemble.Component) bool { return slices.Contains(c.removed, a.Name) })
	set.Previous, set.Next = []release.Version{c.Base.Payload.Version}, nil
	return set
}

func replace(set *input.Set, component assemble.Component) {
	i := slices.IndexFunc(set.Components, func(a assemble.Component) bool { return a.Name == component.Name })
	if i < 0 {
		set.Components = append(set.Components, component)
		return
	}
	set.Components[i] = component
}

// standIn is the reference that a component has until its image is built: the base's,
// or that of the payload's own base where the component is new.
func (c *check) standIn(component string) (string, error) {
	for _, name := range []string{component, c.Distribution.PayloadBase} {
		if ref, ok := c.Base.Payload.Image(name); ok {
			return ref, nil
		}
	}
	return "", wrong(fmt.Errorf("checking component %q: release %s has no component %q that payloads stand on", component, c.Base.Payload.Version, c.Distribution.PayloadBase))
}

// make assembles a payload as the base was assembled.
func (c *check) make(ctx context.Context, set *input.Set) (*assemble.Result, error) {
	repository, err := assemble.RepositoryOf(c.Base.Image, c.Base.Payload)
	if err != nil {
		return nil, err
	}
	// Asked of the base: of the change, the component may have another image.
	base, err := input.FindBase(ctx, c.Images, c.Base.Image, input.Recorded(c.Base.Payload).Components, c.Distribution.PayloadBase)
	if err != nil {
		return nil, fmt.Errorf("laying the change over release %s: %w", c.Base.Payload.Version, err)
	}
	return assemble.Make(ctx, assemble.Options{
		Version: c.version, Components: set.Components, Source: c.Images, Cache: c.Cache, Base: base, Repository: repository,
		Previous: set.Previous, Metadata: set.Metadata, MetadataOther: set.MetadataOther, StreamAnnotations: set.Annotations,
	})
}

func (c *check) ownersOf(made *assemble.Result) map[string]owner {
	owners := map[string]owner{}
	for _, component := range made.Components {
		i := slices.IndexFunc(c.changes, func(ch *change) bool { return ch.Component == component.Name })
		for _, f := range component.Files {
			o := owner{component: component.Name}
			if i >= 0 {
				o.source = c.changes[i].sourceOf(f.Name)
			}
			owners[manifests.FileName(component.Name, f.Name)] = o
		}
	}
	return owners
}
