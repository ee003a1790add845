package input

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/assemble"
	"github.com/slipway-release/slipway/release/manifests"
)

// Annotations of image-references by which oc records where a release comes from.
const (
	AnnotationFromRelease     = "release.openshift.io/from-release"
	AnnotationFromImageStream = "release.openshift.io/from-image-stream"
	// AnnotationOverride marks a tag whose image was named by a mapping.
	AnnotationOverride = "io.openshift.release.override"
)

// Set is what a release is to be made of.
type Set struct {
	// Version is that of the payload the set was taken from, zero for other inputs.
	Version release.Version
	// Components are in the order of their names. References may be by tag until Pin.
	Components []assemble.Component
	// Base is the component that the payload stands on, "" where the input does not tell.
	Base string
	// Annotations are those of the file image-references.
	Annotations    map[string]string
	Previous, Next []release.Version
	Metadata       map[string]string
	MetadataOther  map[string]json.RawMessage
	// Created is the time of the payload the set was taken from.
	Created time.Time
}

// Override names the image of one component.
type Override struct {
	Name  string // of the component
	Image string // pull spec, by tag or digest
	From  string // where it was given, for messages: "line 3 of components.txt"
}

var componentName = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}$`)

// Override gives components other images, and adds those that the set lacks.
// What was known of the image before, such as its commit, is dropped.
func (s *Set) Override(overrides []Override) {
	for _, o := range overrides {
		c := assemble.Component{Name: o.Name, Reference: o.Image, Tag: release.ImageTag{
			Name: o.Name, Annotations: map[string]string{AnnotationOverride: "true"},
		}}
		i := slices.IndexFunc(s.Components, func(have assemble.Component) bool { return have.Name == o.Name })
		if i < 0 {
			s.Components = append(s.Components, c)
			continue
		}
		c.Files = s.Components[i].Files
		s.Components[i] = c
	}
	s.sort()
}

func (s *Set) sort() {
	slices.SortFunc(s.Components, func(a, b assemble.Component) int { return strings.Compare(a.Name, b.Name) })
}

// Resolver tells the digest of an image that is named by its tag.
type Resolver interface {
	Descriptor(ctx context.Context, ref string) (v1.Descriptor, error)
}

// Pin replaces tags by digests, several side by side. Every reference that
// cannot be resolved is reported. Components named in skip are left as they are.
func (s *Set) Pin(ctx context.Context, from Resolver, jobs int, skip []string) error {
	problems := make([]error, len(s.Components))
	var group errgroup.Group
	group.SetLimit(max(jobs, 1))
	for i := range s.Components {
		c := &s.Components[i]
		if slices.Contains(skip, c.Name) {
			continue
		}
		group.Go(func() error {
			pinned, err := PinReference(ctx, from, c.Reference)
			if err != nil {
				problems[i] = fmt.Errorf("component %q: %w", c.Name, err)
				return nil
			}
			c.Reference = pinned
			return nil
		})
	}
	_ = group.Wait()
	return errors.Join(problems...)
}

// PinReference returns a reference by digest; one that is so already is not asked for.
func PinReference(ctx context.Context, from Resolver, ref string) (string, error) {
	if ref == "" {
		return "", errors.New("no image is known; give one as NAME=PULLSPEC")
	}
	if _, err := name.NewDigest(ref); err == nil {
		return manifests.RepositoryOf(ref) + ref[strings.LastIndexByte(ref, '@'):], nil
	}
	if strings.Contains(ref, "@") {
		return "", fmt.Errorf("image %q does not end in a digest, @sha256: and 64 hexadecimal digits", ref)
	}
	d, err := from.Descriptor(ctx, ref)
	if err != nil {
		return "", err
	}
	return manifests.RepositoryOf(ref) + "@" + d.Digest.String(), nil
}
