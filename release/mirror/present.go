package mirror

import (
	"context"
	"errors"

	"github.com/slipway-release/slipway/internal/oci"
)

// Present says whether the destination has a release, without reading all of it: its
// payload is there under its tag, which it gets last, and so is all that has been said
// about the payload since. What was said about components since is not looked for; Run
// copies that, too.
func Present(ctx context.Context, o Options) (bool, error) {
	p, err := newPlan(ctx, o)
	if err != nil {
		return false, err
	}
	there, err := o.To.tagged(ctx, p.payload.repository, p.payload.tag)
	if err != nil || there != p.root.Digest {
		return false, err
	}
	from := origin{from: repositoryOf(p.reference), to: p.payload.repository}
	found, err := newCopier(o).findCompanions(ctx, from, p.root.Digest)
	if err != nil {
		return false, err
	}
	for tag, m := range found.tagged {
		if there, err := o.To.tagged(ctx, from.to, tag); err != nil || there != m.descriptor.Digest {
			return false, err
		}
	}
	if len(found.referrers) == 0 {
		return true, nil
	}
	listed, err := o.To.listed(ctx, from.to, p.root.Digest)
	if err != nil {
		return false, err
	}
	for _, digest := range found.referrers {
		if listed[digest] {
			continue
		}
		// Lists may name what was deleted since, which nobody can copy.
		if _, err := o.Source.Descriptor(ctx, from.from+"@"+digest.String()); !errors.Is(err, oci.ErrNotFound) {
			return false, err
		}
	}
	return true, nil
}
