package images

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/slipway-release/slipway/internal/oci"
)

// NotBuiltError names the components of a lock whose images are not in the registry.
type NotBuiltError struct{ Components []string }

func (e *NotBuiltError) Error() string {
	return "no image was built from this lock of " + strings.Join(e.Components, ", ")
}

// Built finds the images that Build made of the recipes with this lock, and
// makes nothing. Results have neither packages nor materials. When some are missing, or
// stand on one that is, the error is a *NotBuiltError, and the others are returned with it.
func Built(ctx context.Context, recipes []*Recipe, lock *Lockfile, registry Registry, epoch time.Time) ([]Result, error) {
	if epoch.IsZero() {
		epoch = time.Unix(0, 0)
	}
	plan, err := NewPlan(recipes, lock, epoch.UTC().Truncate(time.Second))
	if err != nil {
		return nil, err
	}
	found := map[string]Result{}
	missing := &NotBuiltError{}
	for _, c := range plan.Components {
		base := ""
		if c.Base != nil {
			on, ok := found[c.Base.Name()]
			if !ok {
				missing.Components = append(missing.Components, c.Name())
				continue
			}
			base = on.Digest
		}
		repository := registry.Canonical() + "/" + c.Name()
		digest, err := registry.Resolve(ctx, repository+":"+cacheTag(plan.ImageKey(c, base)))
		switch {
		case errors.Is(err, oci.ErrNotFound):
			missing.Components = append(missing.Components, c.Name())
		case err != nil:
			return nil, fmt.Errorf("finding the image of %q: %w", c.Name(), err)
		default:
			found[c.Name()] = Result{Component: c.Name(), Reference: repository + "@" + digest.String(), Digest: digest.String(), Cached: true}
		}
	}
	if len(missing.Components) > 0 {
		return inOrder(recipes, found), missing
	}
	return inOrder(recipes, found), nil
}
