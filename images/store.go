package images

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"

	"github.com/slipway-release/slipway/internal/state"
)

// compressionLevel trades time for size; it shows in every digest.
const compressionLevel = 4

// store keeps finished work below the cache folder:
//
//	blobs/<hex>                  compressed layers
//	layers/<key>.json            what a layer with these inputs came to
//	programs/<group>/<name>      compiled programs not yet in a layer
//	debs/<sha256>.deb            Debian packages
//	records/<digest>.json        packages and materials of an image
//	lock/…, apt/…                what Lock looked up
//	tmp/<random>/                work of one process
type store struct {
	dir string
	// work is this process's folder below tmp/: files are written there and get
	// their place by a rename.
	work string
}

// storedLayer is a layer in the store.
type storedLayer struct {
	Hash     v1.Hash   `json:"digest"`
	Diff     v1.Hash   `json:"diffID"`
	Bytes    int64     `json:"size"`
	Packages []Package `json:"packages,omitempty"`

	path string
}

var _ v1.Layer = (*storedLayer)(nil)

func (l *storedLayer) Digest() (v1.Hash, error)            { return l.Hash, nil }
func (l *storedLayer) DiffID() (v1.Hash, error)            { return l.Diff, nil }
func (l *storedLayer) Size() (int64, error)                { return l.Bytes, nil }
func (l *storedLayer) MediaType() (types.MediaType, error) { return types.OCILayer, nil }
func (l *storedLayer) Compressed() (io.ReadCloser, error)  { return os.Open(l.path) }

func (l *storedLayer) Uncompressed() (io.ReadCloser, error) {
	f, err := os.Open(l.path)
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(bufio.NewReaderSize(f, 1<<16))
	if err != nil {
		f.Close()
		return nil, err
	}
	return &uncompressed{z, f}, nil
}

type uncompressed struct {
	*gzip.Reader
	file *os.File
}

func (u *uncompressed) Close() error { return u.file.Close() }

func (s *store) path(parts ...string) string {
	return filepath.Join(append([]string{s.dir}, parts...)...)
}

// layer returns a finished layer, or nil when there is none with this key. A
// record whose blob is gone or was cut short does not count.
func (s *store) layer(key string) *storedLayer {
	data, err := os.ReadFile(s.path("layers", key+".json"))
	if err != nil {
		return nil
	}
	var l storedLayer
	if json.Unmarshal(data, &l) != nil {
		return nil
	}
	l.path = s.path("blobs", l.Hash.Hex)
	if info, err := os.Stat(l.path); err != nil || info.Size() != l.Bytes {
		return nil
	}
	return &l
}

// write makes a layer of what fill puts into the archive. It is there either
// whole or not at all.
func (s *store) write(ctx context.Context, key string, epoch time.Time, content *layerContent) (*storedLayer, error) {
	for _, d := range []string{"blobs", "layers"} {
		if err := os.MkdirAll(s.path(d), 0o755); err != nil {
			return nil, err
		}
	}
	f, err := os.CreateTemp(s.work, "layer-*")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name()) // does nothing once it is renamed
	defer f.Close()
	l, err := writeLayer(ctx, f, epoch, content)
	if err != nil {
		return nil, err
	}
	l.Packages = content.packages
	l.path = s.path("blobs", l.Hash.Hex)
	if err := f.Sync(); err != nil {
		return nil, err
	}
	if err := os.Rename(f.Name(), l.path); err != nil {
		return nil, err
	}
	data, err := json.Marshal(l)
	if err != nil {
		return nil, err
	}
	return l, state.WriteFile(s.path("layers", key+".json"), data, 0o644)
}

// layerContent fills the archive of a layer.
type layerContent struct {
	write    func(ctx context.Context, tw *tar.Writer, epoch time.Time) error
	packages []Package
	close    func() error // may be nil
}

func writeLayer(ctx context.Context, f io.Writer, epoch time.Time, content *layerContent) (*storedLayer, error) {
	buffered := bufio.NewWriterSize(f, 1<<20)
	compressed := &counter{w: buffered, h: sha256.New()}
	z, err := gzip.NewWriterLevel(compressed, compressionLevel)
	if err != nil {
		return nil, err
	}
	plain := &counter{w: z, h: sha256.New()}
	tw := tar.NewWriter(plain)
	if err := content.write(ctx, tw, epoch); err != nil {
		return nil, err
	}
	for _, closing := range []func() error{tw.Close, z.Close, buffered.Flush} {
		if err := closing(); err != nil {
			return nil, err
		}
	}
	return &storedLayer{Hash: compressed.hash(), Diff: plain.hash(), Bytes: compressed.n}, nil
}

// counter passes bytes on, counts and hashes them.
type counter struct {
	w io.Writer
	h hash.Hash
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.h.Write(p[:n])
	c.n += int64(n)
	return n, err
}

func (c *counter) hash() v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(c.h.Sum(nil))}
}

// record remembers what is known of an image besides its bytes.
func (s *store) record(digest v1.Hash) *record {
	data, err := os.ReadFile(s.path("records", digest.Hex+".json"))
	if err != nil {
		return nil
	}
	r, err := parseRecord(data)
	if err != nil {
		return nil
	}
	return r
}

func (s *store) putRecord(digest v1.Hash, r *record) error {
	data, err := r.encode()
	if err != nil {
		return err
	}
	return state.WriteFile(s.path("records", digest.Hex+".json"), data, 0o644)
}

// openStore returns the store in a folder, with a folder for the work of this
// process, and how to give that back. Folders of processes that died are removed
// first; that a folder's owner lives shows by its lock.
func openStore(dir string) (*store, func(), error) {
	// Programs that work in other folders are given its paths.
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, nil, err
	}
	s := &store{dir: dir}
	root := s.path("tmp")
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, nil, err
	}
	// One process at a time, or another would sweep a folder not yet locked.
	gate, err := lockFile(filepath.Join(root, ".lock"), true)
	if err != nil {
		return nil, nil, err
	}
	defer gate.Close()
	if err := sweep(root); err != nil {
		return nil, nil, err
	}
	if s.work, err = os.MkdirTemp(root, "build-"); err != nil {
		return nil, nil, err
	}
	lock, err := lockFile(filepath.Join(s.work, ".lock"), false)
	if err != nil {
		return nil, nil, fmt.Errorf("locking %q: %w", s.work, err)
	}
	return s, func() {
		os.RemoveAll(s.work)
		lock.Close()
	}, nil
}
