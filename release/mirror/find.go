package mirror

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/release"
)

// companion is the name of something that was said about an image.
var companion = regexp.MustCompile(`^sha256-[0-9a-f]{64}(\.[a-z.]+)?$`)

// FindPayload chooses a payload among what a layout's index.json lists. named is
// a digest, a name in the layout or a version; when it is empty, the layout must
// hold one payload only. Copies that this package made say which entries are
// payloads; in other layouts every image that has a name counts as one, or all
// of them where none has.
func FindPayload(entries []v1.Descriptor, named string) (v1.Descriptor, error) {
	candidates := payloads(entries)
	if named != "" {
		return findNamed(entries, candidates, named)
	}
	switch len(candidates) {
	case 0:
		return v1.Descriptor{}, fmt.Errorf("it holds no payload")
	case 1:
		return candidates[0], nil
	}
	return v1.Descriptor{}, fmt.Errorf("it holds %d images, say which one: %s", len(candidates), listed(candidates))
}

func findNamed(entries, candidates []v1.Descriptor, named string) (v1.Descriptor, error) {
	wanted := []string{strings.TrimPrefix(named, "@")}
	// Of a whole reference, a layout knows the digest or the tag.
	if _, digest, ok := strings.Cut(named, "@"); ok {
		wanted = append(wanted, digest)
	} else if _, tag := splitTag(named); tag != "" {
		wanted = append(wanted, tag)
	}
	for _, w := range wanted {
		for _, d := range entries {
			if d.Digest.String() == w || d.Annotations[oci.AnnotationRefName] == w {
				return d, nil
			}
		}
		for _, d := range candidates {
			if d.Annotations[release.LabelRelease] == w {
				return d, nil
			}
		}
	}
	return v1.Descriptor{}, fmt.Errorf("it holds no payload %q; it has %s", named, listed(candidates))
}

// payloads returns the entries that may be payloads, each digest once.
func payloads(entries []v1.Descriptor) []v1.Descriptor {
	for _, wanted := range []func(v1.Descriptor) bool{
		func(d v1.Descriptor) bool { return d.Annotations[release.LabelRelease] != "" },
		func(d v1.Descriptor) bool {
			name := d.Annotations[oci.AnnotationRefName]
			return name != "" && !companion.MatchString(name)
		},
		func(d v1.Descriptor) bool {
			return d.ArtifactType == "" && !companion.MatchString(d.Annotations[oci.AnnotationRefName])
		},
	} {
		var found []v1.Descriptor
		for _, d := range entries {
			if wanted(d) && !slices.ContainsFunc(found, func(f v1.Descriptor) bool { return f.Digest == d.Digest }) {
				found = append(found, d)
			}
		}
		if len(found) > 0 {
			return found
		}
	}
	return nil
}

// listed names entries for a message, a few of them.
func listed(entries []v1.Descriptor) string {
	const shown = 10
	var names []string
	for _, d := range entries {
		name := d.Annotations[oci.AnnotationRefName]
		if name == "" {
			name = d.Digest.String()
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return "none"
	}
	slices.Sort(names)
	if len(names) > shown {
		return strings.Join(names[:shown], ", ") + fmt.Sprintf(" and %d more", len(names)-shown)
	}
	return strings.Join(names, ", ")
}
