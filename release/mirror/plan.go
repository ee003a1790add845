package mirror

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/release"
)

// plan is what a run copies.
type plan struct {
	reference  string // of the payload at the source
	repository string // from which the payload's name in clusters is told
	root       v1.Descriptor
	payloads   []*release.Payload // one for each platform
	arches     []string           // of payloads
	version    string
	arch       string
	signedArch string // in OCI's words, of what was named
	components []*item
	payload    *item
}

// item is one image of the release and the names it gets.
type item struct {
	component  string
	pullspec   string // by digest
	digest     v1.Hash
	repository string // at the destination
	tag        string
	name       string // by which clusters know it; empty when nobody does
	version    string // of the release, for its payload
}

// inFiles says whether a reference is to files in place of a registry.
func inFiles(ref string) bool {
	return strings.HasPrefix(ref, "oci:") || strings.HasPrefix(ref, "oci-archive:")
}

// newPlan reads the payload and says what there is to copy. All that is wrong
// with it is reported at once.
func newPlan(ctx context.Context, o Options) (*plan, error) {
	p := &plan{reference: o.Reference, repository: repositoryOf(o.Reference)}
	if !strings.Contains(o.Reference, "@") {
		return nil, fmt.Errorf("reading payload %q: %w", o.Reference, errNotPinned)
	}
	var err error
	if p.root, err = o.Source.Descriptor(ctx, o.Reference); err != nil {
		return nil, err
	}
	if inFiles(o.Reference) {
		p.repository = ""
	}
	if from := p.root.Annotations[annotationFullName]; from != "" {
		p.repository = repositoryOf(from)
	}
	if err := p.load(ctx, o); err != nil {
		return nil, fmt.Errorf("reading payload %q: %w", o.Reference, err)
	}
	return p, p.name(o.To)
}

// load reads the payload of every platform.
func (p *plan) load(ctx context.Context, o Options) error {
	p.signedArch = multiArch
	if !p.root.MediaType.IsIndex() {
		img, err := o.Source.Image(ctx, o.Reference)
		if err != nil {
			return err
		}
		config, err := img.ConfigFile()
		if err != nil {
			return err
		}
		p.signedArch = config.Architecture
		return p.add(ctx, img)
	}
	index, err := o.Source.Index(ctx, o.Reference)
	if err != nil {
		return err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return err
	}
	for _, child := range manifest.Manifests {
		platform := child.Platform
		if platform == nil || platform.OS == "unknown" || !child.MediaType.IsImage() {
			continue // said by a builder about the others
		}
		if o.Platform != nil && !platform.Satisfies(*o.Platform) {
			continue
		}
		img, err := index.Image(child.Digest)
		if err != nil {
			return err
		}
		if err := p.add(ctx, img); err != nil {
			return fmt.Errorf("platform %s: %w", platform, err)
		}
		if o.Platform != nil {
			p.root = child
			p.reference = repositoryOf(o.Reference) + "@" + child.Digest.String()
			return nil
		}
	}
	if len(p.payloads) == 0 {
		return errors.New("the index has no payload for this platform")
	}
	p.arch = multiArch
	return nil
}

func (p *plan) add(ctx context.Context, img v1.Image) error {
	payload, err := release.Load(ctx, img)
	if err != nil {
		return err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return err
	}
	payload.Reference = repositoryOf(p.reference) + "@" + payload.Digest.String()
	p.payloads = append(p.payloads, payload)
	p.arch = archName(cmp.Or(config.Architecture, "amd64"))
	p.arches = append(p.arches, p.arch)
	if p.version == "" {
		p.version = payload.Version.String()
	}
	if got := payload.Version.String(); got != p.version {
		return fmt.Errorf("its images are of different versions, %s and %s", p.version, got)
	}
	return nil
}

// name gives every image its place at the destination.
func (p *plan) name(to Destination) error {
	var problems []error
	p.payload = &item{component: releaseComponent, pullspec: p.reference, digest: p.root.Digest, version: p.version}
	if p.repository != "" {
		p.payload.name = p.repository + "@" + p.root.Digest.String()
	}
	places := map[string]v1.Hash{}
	place := func(i *item, arch string) {
		var err error
		if i.repository, i.tag, err = to.place(p.version, arch, i.component); err != nil {
			problems = append(problems, fmt.Errorf("component %s: %w", i.component, err))
			return
		}
		where := i.repository + ":" + i.tag
		if other, ok := places[where]; ok && other != i.digest {
			problems = append(problems, fmt.Errorf("component %s: %s is taken by another image of the release", i.component, where))
		}
		places[where] = i.digest
	}
	place(p.payload, p.arch)
	for _, component := range p.componentNames() {
		items, err := p.itemsOf(component)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		for arch, i := range items {
			place(i, arch)
			p.components = append(p.components, i)
		}
	}
	sort.Slice(p.components, func(i, j int) bool {
		return p.components[i].repository+":"+p.components[i].tag < p.components[j].repository+":"+p.components[j].tag
	})
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("mirroring payload %q: %w", p.reference, err)
	}
	return nil
}

func (p *plan) componentNames() []string {
	var names []string
	for _, payload := range p.payloads {
		names = append(names, payload.Components()...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// itemsOf returns the images of a component by the architecture in their tags:
// one where all platforms name the same image, else one for each.
func (p *plan) itemsOf(component string) (map[string]*item, error) {
	items := map[string]*item{}
	var found []*item
	for i, payload := range p.payloads {
		pullspec, ok := payload.Image(component)
		if !ok {
			continue
		}
		_, digest, _ := strings.Cut(pullspec, "@")
		hash, err := v1.NewHash(digest)
		if err != nil {
			return nil, fmt.Errorf("component %s: %q is not named by digest, so nobody knows which image is meant", component, pullspec)
		}
		it := &item{component: component, pullspec: pullspec, digest: hash, name: repositoryOf(pullspec) + "@" + digest}
		items[p.arches[i]] = it
		found = append(found, it)
	}
	if len(found) == len(p.payloads) && !slices.ContainsFunc(found, func(i *item) bool { return i.digest != found[0].digest }) {
		return map[string]*item{p.arch: found[0]}, nil
	}
	return items, nil
}
