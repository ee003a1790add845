package oci

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Names inside an OCI image layout, from the image specification 1.1.
const (
	layoutFile    = "oci-layout"
	indexFile     = "index.json"
	blobFolder    = "blobs"
	layoutVersion = "1.0.0"

	// AnnotationRefName names an image in a layout's index.json, as a tag does in
	// a registry.
	AnnotationRefName = "org.opencontainers.image.ref.name"
)

// maxIndexFile bounds index.json, in bytes. A layout that holds ten releases of
// 200 components with three signatures each needs four megabytes.
const maxIndexFile = 64 << 20

// Layout is an OCI image layout (image specification 1.1): a directory, a plain
// tar file of one, or the series of tar files that an archive was split into. It
// has the methods of Registry. It is one repository: of a reference "host/path:tag"
// only the tag is stored, under AnnotationRefName, and a reference is found when
// its digest is there, or when a stored name equals the whole reference or its tag.
//
// All bytes are checked against their digests while they are read. A directory
// may be written by several processes at once, and a process that dies leaves
// every image whole. Layouts in tar files can only be read; Archive writes them.
// A Layout is safe for concurrent use.
type Layout struct {
	path     string
	files    layoutFiles
	writable *layoutDir // nil for tar files
	platform v1.Platform
	jobs     int

	mu    sync.Mutex
	known *contents
}

// layoutFiles are the files of a layout by their names, such as "index.json".
// The error wraps fs.ErrNotExist where there is no such file.
type layoutFiles interface {
	open(name string) (io.ReadCloser, int64, error)
	// stamp changes whenever the file's content may have changed.
	stamp(name string) (any, error)
	size(name string) (int64, error)
	Close() error
}

// OpenLayout opens a layout for reading: a directory (which may then be written
// as well), a plain tar file, or, named by its directory or first file, a series
// mirror_000001.tar and so on. Of the options only WithPlatform and WithJobs
// count. A file with paths, links or sizes that no layout has is refused.
func OpenLayout(path string, opts ...Option) (*Layout, error) {
	l, err := newLayout(path, opts)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("opening OCI layout %q: there is no such file or directory", path)
	}
	if err != nil {
		return nil, fmt.Errorf("opening OCI layout %q: %w", path, err)
	}
	if info.IsDir() {
		err = l.openDir()
	} else {
		err = l.openArchive(path)
	}
	if err == nil {
		err = l.checkVersion()
	}
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("opening OCI layout %q: %w", path, err)
	}
	return l, nil
}

// CreateLayout opens the layout in a directory for writing, and makes both where
// they are missing. A directory that holds something else is refused.
func CreateLayout(dir string, opts ...Option) (*Layout, error) {
	l, err := newLayout(dir, opts)
	if err != nil {
		return nil, err
	}
	if err = initLayout(dir); err == nil {
		err = l.openDir()
	}
	if err == nil {
		err = l.checkVersion()
	}
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("creating OCI layout %q: %w", dir, err)
	}
	return l, nil
}

func newLayout(path string, opts []Option) (*Layout, error) {
	s := settings{jobs: defaultJobs, platform: v1.Platform{OS: "linux", Architecture: "amd64"}}
	for _, o := range opts {
		if err := o(&s); err != nil {
			return nil, fmt.Errorf("opening OCI layout %q: %w", path, err)
		}
	}
	return &Layout{path: path, platform: s.platform, jobs: s.jobs}, nil
}

func (l *Layout) openDir() error {
	series, err := filepath.Glob(filepath.Join(l.path, seriesPattern))
	if err != nil {
		return err
	}
	_, err = os.Lstat(filepath.Join(l.path, layoutFile))
	if errors.Is(err, fs.ErrNotExist) && len(series) > 0 {
		return l.openArchive(filepath.Join(l.path, segmentName(1)))
	}
	dir, err := openLayoutDir(l.path)
	if err != nil {
		return err
	}
	l.files, l.writable = dir, dir
	return nil
}

// checkVersion reads the file that makes a directory a layout.
func (l *Layout) checkVersion() error {
	data, err := l.readFile(layoutFile, 4096)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("it is not an OCI layout: it has no file %s", layoutFile)
	}
	if err != nil {
		return err
	}
	return checkLayoutFile(data)
}

// checkLayoutFile reads the content of oci-layout.
func checkLayoutFile(data []byte) error {
	var header struct {
		Version string `json:"imageLayoutVersion"`
	}
	if err := json.Unmarshal(data, &header); err != nil {
		return fmt.Errorf("its file %s is not valid: %w", layoutFile, err)
	}
	if !strings.HasPrefix(header.Version, "1.") {
		return fmt.Errorf("it is of version %q, and only 1.0.0 is known", header.Version)
	}
	return nil
}

// Path returns what the layout was opened as.
func (l *Layout) Path() string { return l.path }

// Close gives back files and locks. A closed layout must not be used.
func (l *Layout) Close() error {
	if l.files == nil {
		return nil
	}
	return l.files.Close()
}

// Entries returns what index.json lists, in its order.
func (l *Layout) Entries() ([]v1.Descriptor, error) {
	c, err := l.contents()
	if err != nil {
		return nil, err
	}
	return append([]v1.Descriptor(nil), c.index.Manifests...), nil
}

// contents is index.json and what follows from it.
type contents struct {
	stamp    any
	index    v1.IndexManifest
	names    map[string]v1.Descriptor
	digests  map[v1.Hash]v1.Descriptor
	once     sync.Once
	subjects map[v1.Hash][]v1.Descriptor
	err      error
}

// contents returns index.json, read again only when it has changed.
func (l *Layout) contents() (*contents, error) {
	stamp, err := l.files.stamp(indexFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading OCI layout %q: it has no %s; what wrote it was interrupted, or a part of it is missing", l.path, indexFile)
	}
	if err != nil {
		return nil, fmt.Errorf("reading OCI layout %q: %w", l.path, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known != nil && l.known.stamp == stamp {
		return l.known, nil
	}
	index, err := l.readIndex()
	if err != nil {
		return nil, fmt.Errorf("reading OCI layout %q: %w", l.path, err)
	}
	c := &contents{stamp: stamp, index: *index, names: map[string]v1.Descriptor{}, digests: map[v1.Hash]v1.Descriptor{}}
	for _, d := range index.Manifests {
		if n := d.Annotations[AnnotationRefName]; n != "" {
			c.names[n] = d
		}
		if _, ok := c.digests[d.Digest]; !ok {
			c.digests[d.Digest] = d
		}
	}
	l.known = c
	return c, nil
}

func (l *Layout) readIndex() (*v1.IndexManifest, error) {
	data, err := l.readFile(indexFile, maxIndexFile)
	if err != nil {
		return nil, err
	}
	return parseIndexFile(data)
}

// parseIndexFile reads index.json. Descriptors of a size below zero are refused.
func parseIndexFile(data []byte) (*v1.IndexManifest, error) {
	var index v1.IndexManifest
	if err := json.Unmarshal(data, &index); err != nil {
		return nil, fmt.Errorf("its %s is not valid: %w", indexFile, err)
	}
	for _, d := range index.Manifests {
		if d.Size < 0 {
			return nil, fmt.Errorf("its %s says that %s has %d bytes", indexFile, d.Digest, d.Size)
		}
	}
	return &index, nil
}

// emptyIndex is the index.json of a layout that holds nothing.
func emptyIndex() *v1.IndexManifest {
	return &v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{}}
}

// readFile reads a small file of the layout whole.
func (l *Layout) readFile(name string, limit int64) ([]byte, error) {
	body, size, err := l.files.open(name)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	if size > limit {
		return nil, fmt.Errorf("its file %s has %d bytes, more than the %d allowed", name, size, limit)
	}
	return io.ReadAll(io.LimitReader(body, limit+1))
}

func blobName(digest v1.Hash) string {
	return blobFolder + "/" + digest.Algorithm + "/" + digest.Hex
}
