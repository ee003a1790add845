package registryserver

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/distribution/distribution/v3/registry/storage"
	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
)

// usedWithin is how exactly the time is kept when a blob was last asked for.
const usedWithin = 10 * time.Minute

// MinSweepAge is the least age of what Sweep may remove: an upload must have had the time
// to end in a manifest that names the blob.
const MinSweepAge = time.Hour

// SweepOptions says what may go.
type SweepOptions struct {
	// Before is the time before which a blob must have been asked for last. It must be
	// MinSweepAge ago, or more.
	Before time.Time
	// DryRun counts, and removes nothing.
	DryRun bool
}

// Swept is what Sweep has removed.
type Swept struct {
	Blobs int   `json:"blobs"`
	Bytes int64 `json:"bytes"`
}

// Sweep removes the blobs in the folder of a registry that no manifest names, tagged or
// not. Registries may be serving the folder meanwhile, in this process and in others: a
// client that asks whether a blob is there, so as not to upload it, makes it young, and
// young ones stay. When somebody asks in the very moment of the removal, the manifest that
// names the blob is refused, and a second push brings both.
//
// When a manifest cannot be read, nothing is removed. A sweep that is killed leaves some
// blobs to the next.
func Sweep(ctx context.Context, root string, o SweepOptions) (Swept, error) {
	if time.Since(o.Before) < MinSweepAge {
		return Swept{}, fmt.Errorf("sweeping the registry in %q: blobs must be left alone for %s or more", root, MinSweepAge)
	}
	// The storage below ours, to whom looking at a blob is asking for it, and which removes
	// a damaged manifest, so that what it names would be unknown.
	b := &broom{StorageDriver: newDriver(root).StorageDriver, options: o}
	if _, err := b.Stat(ctx, blobsFolder); errors.As(err, new(storagedriver.PathNotFoundError)) {
		return Swept{}, nil // nothing was ever pushed
	}
	registry, err := storage.NewRegistry(ctx, b.StorageDriver)
	if err == nil {
		err = storage.MarkAndSweep(ctx, b, registry, storage.GCOpts{Quiet: true})
	}
	if err != nil {
		return b.swept, fmt.Errorf("sweeping the registry in %q: %w", root, err)
	}
	return b.swept, nil
}

const blobsFolder = "/docker/registry/v2/blobs"

var blobFolder = regexp.MustCompile(`^` + blobsFolder + `/sha256/[0-9a-f]{2}/[0-9a-f]{64}$`)

// broom is a driver for what distribution wants to remove: it removes what is old enough.
type broom struct {
	storagedriver.StorageDriver
	options SweepOptions
	swept   Swept
}

// Delete implements storagedriver.StorageDriver.
func (b *broom) Delete(ctx context.Context, path string) error {
	data := path + "/data"
	if match := linkPath.FindStringSubmatch(path); match != nil {
		// A repository's link to a blob goes with the blob, or after it.
		data = fmt.Sprintf("%s/sha256/%s/%s/data", blobsFolder, match[1][:2], match[1])
	} else if !blobFolder.MatchString(path) {
		return fmt.Errorf("removing %q: it is no blob", path)
	}
	info, err := b.Stat(ctx, data)
	missing := errors.As(err, new(storagedriver.PathNotFoundError))
	if err != nil && !missing {
		return err
	}
	if !missing && !info.ModTime().Before(b.options.Before) {
		return nil
	}
	if blobFolder.MatchString(path) && !missing {
		b.swept.Blobs++
		b.swept.Bytes += info.Size()
	}
	if b.options.DryRun {
		return nil
	}
	return b.StorageDriver.Delete(ctx, path)
}
