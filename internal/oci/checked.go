package oci

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync/atomic"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// maxManifest bounds the manifests that are read, in bytes. It is the size that
// the distribution specification obliges registries to take.
const maxManifest = 4 << 20

// ErrDamaged says that what was read is not what its digest or size says.
var ErrDamaged = errors.New("damaged")

// damagedError is the sentence for bytes that are not what they should be.
type damagedError struct{ message string }

func (e *damagedError) Error() string { return e.message }

// Is makes the error an ErrDamaged.
func (e *damagedError) Is(target error) bool { return target == ErrDamaged }

// checked hands on a blob and fails at its last byte when it does not have the
// digest and size of its descriptor.
type checked struct {
	io.ReadCloser
	want v1.Descriptor
	sum  hash.Hash
	read int64
	err  error         // what every Read after the last one says
	seen *atomic.Int64 // counts bytes, for whoever watches; may be nil
	// failed is err, for whoever asks while somebody else reads.
	failed atomic.Pointer[error]
}

var _ io.ReadCloser = (*checked)(nil)

// newChecked wraps a blob, unless that is done already. Only SHA-256 is known;
// v1.Hash knows no other either.
func newChecked(blob io.ReadCloser, want v1.Descriptor) *checked {
	if c, ok := blob.(*checked); ok && c.want.Digest == want.Digest && c.want.Size == want.Size {
		return c
	}
	return &checked{ReadCloser: blob, want: want, sum: sha256.New()}
}

// Read implements io.Reader.
func (c *checked) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.ReadCloser.Read(p)
	c.read += int64(n)
	if c.seen != nil {
		c.seen.Add(int64(n))
	}
	c.sum.Write(p[:n])
	switch {
	case c.read > c.want.Size:
		c.err = &damagedError{fmt.Sprintf("blob %s has more than its %d bytes", c.want.Digest, c.want.Size)}
	case c.read == c.want.Size && hex.EncodeToString(c.sum.Sum(nil)) != c.want.Digest.Hex:
		c.err = &damagedError{fmt.Sprintf("the bytes of blob %s do not have this digest", c.want.Digest)}
	case err == io.EOF && c.read < c.want.Size:
		c.err = &damagedError{fmt.Sprintf("blob %s ends after %d of its %d bytes", c.want.Digest, c.read, c.want.Size)}
	case err != nil && err != io.EOF:
		c.err = err
	default:
		return n, err
	}
	failed := c.err
	c.failed.Store(&failed)
	return 0, c.err
}

// Watched adds the number of bytes that are read from a blob to a counter.
func Watched(blob io.ReadCloser, seen *atomic.Int64) io.ReadCloser {
	if c, ok := blob.(*checked); ok {
		c.seen = seen
		return c
	}
	return &watchedBlob{blob, seen}
}

type watchedBlob struct {
	io.ReadCloser
	seen *atomic.Int64
}

// Read implements io.Reader.
func (w *watchedBlob) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	w.seen.Add(int64(n))
	return n, err
}

// failure returns why the bytes could not be had, nil as long as they can.
func (c *checked) failure() error {
	if err := c.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// hasDigest says whether bytes are what a digest says.
func hasDigest(data []byte, digest v1.Hash) bool {
	got, _, err := v1.SHA256(bytes.NewReader(data))
	return err == nil && got == digest
}
