package catalog

import (
	"context"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/sign"
)

// Registry is where the payloads and what was said about them are.
type Registry interface {
	sign.Source
	Tags(ctx context.Context, repository string) ([]string, error)
	Resolve(ctx context.Context, reference string) (v1.Hash, error)
}

// Verifier reads signed statements and signatures, and tells whom it trusts apart.
type Verifier interface {
	Evidence(ctx context.Context, from sign.Source, ref, predicateType string) (sign.Evidence, error)
	Signatures(ctx context.Context, from sign.Source, ref string, want sign.Claim) ([]sign.Signature, error)
}

var (
	_ Registry = (*oci.Registry)(nil)
	_ Verifier = (*sign.Verifier)(nil)
)

// Streams tells which streams there are.
type Streams interface {
	Streams(ctx context.Context) ([]Definition, error)
}

// Channels tells what clusters are offered.
type Channels interface {
	Channels(ctx context.Context) ([]Channel, error)
}

// Progress tells about payloads without a verdict what no evidence says yet: which are
// being built or could not be, which checks run and where.
type Progress interface {
	Progress(ctx context.Context) ([]Unfinished, error)
}

// Unfinished is a payload that is being worked on, or that failed to be built.
type Unfinished struct {
	Stream  string
	Version release.Version
	Phase   Phase // Pending, Ready or Failed
	Reason  string
	Created time.Time
	// Checks are those that are known of; they add to what evidence says.
	Checks           []Check
	Report, Timeline string
}

// Reports knows the pages about the run that made and checked a payload.
type Reports interface {
	// Report returns their addresses, "" for those that there are none of.
	Report(version release.Version, digest string) (report, timeline string)
}

// Sources are what a catalog is made from.
type Sources struct {
	Registry Registry
	Verifier Verifier
	// Repository holds the payloads, e.g. registry.slipway.internal/skiff/release.
	Repository string
	// PullFrom is the repository that people pull from, where it has another name.
	PullFrom string
	Streams  Streams
	// The others may be nil.
	Channels Channels
	Progress Progress
	Reports  Reports
}
