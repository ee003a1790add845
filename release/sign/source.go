package sign

import (
	"context"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/internal/oci"
)

// Source is where signatures and evidence are read: an *oci.Registry, or an OCI
// layout or archive. What it returns is believed only after verification. A
// reference that it does not have is an error that wraps oci.ErrNotFound.
type Source interface {
	Image(ctx context.Context, ref string) (v1.Image, error)
	Referrers(ctx context.Context, subject, artifactType string) ([]oci.Referrer, error)
	Fetch(ctx context.Context, ref oci.Referrer) ([]byte, error)
}

// Target is where signatures and evidence are stored as well.
type Target interface {
	Source
	Resolve(ctx context.Context, ref string) (v1.Hash, error)
	// Amend changes the image under a tag that others may change at the same time;
	// change gets the present one, nil when there is none, and returns the one to
	// store, or nil when nothing is to be done.
	Amend(ctx context.Context, ref string, change func(v1.Image) (v1.Image, error)) error
	Attach(ctx context.Context, subject string, a oci.Artifact) (v1.Hash, error)
}

var (
	_ Target = (*oci.Registry)(nil)
	_ Target = (*oci.Layout)(nil)
)
