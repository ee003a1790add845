package registryserver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/factory"
	"github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/sirupsen/logrus"
)

// driverName is how the configuration asks for the driver below.
const driverName = "slipway"

func init() { factory.Register(driverName, driverFactory{}) }

type driverFactory struct{}

func (driverFactory) Create(_ context.Context, parameters map[string]any) (storagedriver.StorageDriver, error) {
	return newDriver(fmt.Sprint(parameters["rootdirectory"])), nil
}

// checkedOnStat is the size up to which a blob is hashed whenever it is looked
// up, in bytes. Manifests and configurations are smaller.
const checkedOnStat = 256 << 10

var (
	blobPath = regexp.MustCompile(`^/docker/registry/v2/blobs/sha256/[0-9a-f]{2}/([0-9a-f]{64})/data$`)
	linkPath = regexp.MustCompile(`/_layers/sha256/([0-9a-f]{64})/link$`)
)

// driver is distribution's file storage, less its faith that a file bearing a
// digest has it. The registry skips an upload whose blob is there, and deleting
// a blob removes a link only: a damaged file would stay for ever. So the driver
// removes a damaged blob wherever it comes across one, and the next push
// brings it back:
//
//   - small blobs are checked whenever they are looked up,
//   - large ones while they are sent, and
//   - when somebody deletes them, which is how a client that found a wrong size
//     or digest says so.
//
// It also keeps the time when a blob was last asked for, as the time of its file, to
// usedWithin: see Sweep.
type driver struct {
	storagedriver.StorageDriver
	root string // folder; empty is memory
}

var _ storagedriver.StorageDriver = (*driver)(nil)

// newDriver stores in a folder, or in memory when there is none.
func newDriver(root string) *driver {
	if root == "" {
		return &driver{StorageDriver: inmemory.New()}
	}
	return &driver{filesystem.New(filesystem.DriverParameters{RootDirectory: root, MaxThreads: 100}), root}
}

// Stat implements storagedriver.StorageDriver.
func (d *driver) Stat(ctx context.Context, path string) (storagedriver.FileInfo, error) {
	info, err := d.StorageDriver.Stat(ctx, path)
	if err != nil {
		return nil, err
	}
	match := blobPath.FindStringSubmatch(path)
	if match == nil || info.IsDir() {
		return info, nil
	}
	d.used(path, info.ModTime())
	if info.Size() > checkedOnStat {
		return info, nil
	}
	intact, err := d.intact(ctx, path, match[1])
	if err != nil {
		return nil, err
	}
	if !intact {
		d.drop(ctx, path)
		return nil, storagedriver.PathNotFoundError{Path: path, DriverName: driverName}
	}
	return info, nil
}

// used notes that a blob was asked for: whoever hears that it is there does not upload it.
func (d *driver) used(path string, before time.Time) {
	if now := time.Now(); d.root != "" && now.Sub(before) > usedWithin {
		// Where it cannot be noted, the blob is swept a little earlier.
		_ = os.Chtimes(filepath.Join(d.root, filepath.FromSlash(path)), now, now)
	}
}

// Reader implements storagedriver.StorageDriver.
func (d *driver) Reader(ctx context.Context, path string, offset int64) (io.ReadCloser, error) {
	body, err := d.StorageDriver.Reader(ctx, path, offset)
	if err != nil {
		return nil, err
	}
	match := blobPath.FindStringSubmatch(path)
	if match == nil || offset != 0 {
		return body, nil
	}
	info, err := d.StorageDriver.Stat(ctx, path)
	if err != nil {
		body.Close()
		return nil, err
	}
	return &checkedReader{
		ReadCloser: body, sum: sha256.New(), want: match[1], left: info.Size(),
		drop: func() { d.drop(context.WithoutCancel(ctx), path) },
	}, nil
}

// Delete implements storagedriver.StorageDriver.
func (d *driver) Delete(ctx context.Context, path string) error {
	if match := linkPath.FindStringSubmatch(path); match != nil {
		data := fmt.Sprintf("/docker/registry/v2/blobs/sha256/%s/%s/data", match[1][:2], match[1])
		if intact, err := d.intact(ctx, data, match[1]); err == nil && !intact {
			d.drop(ctx, data)
		}
	}
	return d.StorageDriver.Delete(ctx, path)
}

// intact says whether a file has the digest it bears.
func (d *driver) intact(ctx context.Context, path, want string) (bool, error) {
	body, err := d.StorageDriver.Reader(ctx, path, 0)
	if err != nil {
		return false, err
	}
	defer body.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, body); err != nil {
		return false, err
	}
	return hex.EncodeToString(sum.Sum(nil)) == want, nil
}

func (d *driver) drop(ctx context.Context, path string) {
	logrus.Warnf("removing the damaged blob %s; push it again", path)
	err := d.StorageDriver.Delete(ctx, path)
	if missing := (storagedriver.PathNotFoundError{}); err != nil && !errors.As(err, &missing) {
		logrus.Errorf("removing the damaged blob %s: %v", path, err)
	}
}

// checkedReader hashes a blob while it is read, and has it dropped when it ends
// and was not what its name says. The reader at the other end of the line finds
// the same by itself.
type checkedReader struct {
	io.ReadCloser
	sum  hash.Hash
	want string
	left int64
	drop func()
}

// Read implements io.Reader.
func (r *checkedReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.sum.Write(p[:n])
	r.left -= int64(n)
	if (r.left <= 0 || err == io.EOF) && r.drop != nil {
		if hex.EncodeToString(r.sum.Sum(nil)) != r.want {
			r.drop()
		}
		r.drop = nil
	}
	return n, err
}
