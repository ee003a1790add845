package mirror

import (
	"context"
	"io"
	"sync/atomic"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/release"
)

// Source is where a release is read: an *oci.Registry or an *oci.Layout. What it
// does not have is an error that wraps oci.ErrNotFound.
type Source interface {
	Descriptor(ctx context.Context, ref string) (v1.Descriptor, error)
	Image(ctx context.Context, ref string) (v1.Image, error)
	Index(ctx context.Context, ref string) (v1.ImageIndex, error)
	Manifest(ctx context.Context, ref string) ([]byte, v1.Descriptor, error)
	Blob(ctx context.Context, repository string, d v1.Descriptor) (io.ReadCloser, error)
	Referrers(ctx context.Context, subject, artifactType string) ([]oci.Referrer, error)
}

// Options say what is copied where.
type Options struct {
	Source Source
	// Reference is the payload, by digest: of the index for one of several platforms.
	Reference string
	// To is where it goes; see ToRegistry, ToLayout and ToArchive.
	To Destination
	// Verify decides whether the payload may be copied at all, before anything is.
	// Leaving it nil is an error unless Unverified says that nobody is to decide.
	Verify     func(ctx context.Context, s Subject) error
	Unverified bool
	// Platform takes one image of a multi-platform payload in place of all of
	// them; nil takes the index whole. Component images always stay whole, for the
	// payload names their digests.
	Platform *v1.Platform
	// SkipRelease copies the components alone.
	SkipRelease bool
	// Overwrite replaces signatures and attestations under cosign's tags even when
	// the destination has some there that the source has not.
	Overwrite bool
	// DryRun writes nothing.
	DryRun bool
	// Jobs is how many requests are under way at a time; 8 when zero.
	Jobs int
	// Progress, if not nil, is kept up to date.
	Progress *Progress
}

// Subject is what Verify decides about.
type Subject struct {
	Reference    string // by digest, at the source
	Version      release.Version
	Architecture string // as OCI names it, "amd64"; "multi" for an index
}

// Progress is how far a run has come. Its fields may be read at any time.
type Progress struct {
	Images     atomic.Int64 // to be copied, of the release itself
	ImagesDone atomic.Int64
	Bytes      atomic.Int64 // that were copied, or are being
}

// Result says what became of a run.
type Result struct {
	Version      string  `json:"version"`
	Digest       string  `json:"digest"`       // of the payload's index or image
	Architecture string  `json:"architecture"` // as in tags: x86_64, aarch64, …, multi
	Source       string  `json:"source"`
	Target       string  `json:"target,omitempty"` // the payload's reference there; empty when it was skipped
	DryRun       bool    `json:"dryRun,omitempty"`
	Images       []Image `json:"images"`
	// Copied, mounted and present count blobs; bytes are those that were copied.
	Blobs   Blobs   `json:"blobs"`
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"`
	// Kept are cosign's tags that were left as the destination has them.
	Kept []string `json:"kept,omitempty"`
	// Sources says, for every repository that the payload names, where the copies
	// are; it is what cluster mirror configuration is made of.
	Sources []oci.Mirror `json:"mirrors,omitempty"`
	// Payload is what was copied, of the first platform where there are several.
	Payload *release.Payload `json:"-"`
}

// Blobs counts how blobs came to be where they are.
type Blobs struct {
	Copied  int64 `json:"copied"`
	Mounted int64 `json:"mounted"`
	Present int64 `json:"present"`
}

// What became of an image.
const (
	StatusCopied  = "copied"
	StatusPresent = "present"
)

// Image is one image of the release.
type Image struct {
	Component string `json:"component"` // "release" for the payload
	From      string `json:"from"`
	To        string `json:"to"` // with tag
	Digest    string `json:"digest"`
	Status    string `json:"status"` // StatusCopied or StatusPresent
	// Companions are signatures, attestations and the like, of the image and of
	// what it holds, and how many of them were missing before.
	Companions       int `json:"companions"`
	CompanionsCopied int `json:"companionsCopied"`
}

// elapsed returns seconds since a time, rounded to milliseconds.
func elapsed(since time.Time) float64 {
	return time.Since(since).Round(time.Millisecond).Seconds()
}
