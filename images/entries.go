package images

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/internal/oci"
)

// Entry is an image in a registry that builds find by their inputs.
type Entry struct {
	Repository string // of the component
	Digest     v1.Hash
	// Built is when it was stored; zero when its record does not say.
	Built time.Time
	// records are the digests of what is known of the image besides, one for each set of
	// inputs that gave it, unless they are equal.
	records []v1.Hash
}

// Entries lists the images that builds find in a repository, by digest. Images under tags
// that are not of builds are none.
func Entries(ctx context.Context, registry *oci.Registry, repository string) ([]Entry, error) {
	tags, err := registry.Tags(ctx, repository)
	if errors.Is(err, oci.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	all := map[v1.Hash]*Entry{}
	for _, tag := range tags {
		key, ok := strings.CutPrefix(tag, cacheTag(""))
		if !ok || strings.HasSuffix(tag, recordSuffix) {
			continue
		}
		digest, err := registry.Resolve(ctx, repository+":"+tag)
		if errors.Is(err, oci.ErrNotFound) {
			continue // somebody else has removed it
		}
		if err != nil {
			return nil, err
		}
		if all[digest] == nil {
			all[digest] = &Entry{Repository: repository, Digest: digest}
		}
		if err := all[digest].addRecord(ctx, registry, recordTag(key)); err != nil {
			return nil, err
		}
	}
	entries := make([]Entry, 0, len(all))
	for _, digest := range slices.SortedFunc(maps.Keys(all), func(a, b v1.Hash) int { return strings.Compare(a.String(), b.String()) }) {
		entries = append(entries, *all[digest])
	}
	return entries, nil
}

func (e *Entry) addRecord(ctx context.Context, registry *oci.Registry, tag string) error {
	img, err := registry.Image(ctx, e.Repository+":"+tag)
	if errors.Is(err, oci.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	digest, err := img.Digest()
	if err != nil {
		return err
	}
	if !slices.Contains(e.records, digest) {
		e.records = append(e.records, digest)
	}
	// One that cannot be read is as good as none, as in a build.
	if r, err := readRecord(img); err == nil && r.Built.After(e.Built) {
		e.Built = r.Built
	}
	return ctx.Err()
}

// Remove deletes the image with all of its tags, and what is known of it. The image goes
// last, for it is found by it: a removal that was cut short is done by the next.
func (e Entry) Remove(ctx context.Context, registry *oci.Registry) error {
	for _, digest := range append(slices.Clone(e.records), e.Digest) {
		if err := registry.Delete(ctx, e.Repository+"@"+digest.String()); err != nil && !errors.Is(err, oci.ErrNotFound) {
			return fmt.Errorf("removing the image %s@%s: %w", e.Repository, e.Digest, err)
		}
	}
	return nil
}
