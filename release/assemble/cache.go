package assemble

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"
)

const (
	// cacheFormat is part of every entry's path: another one finds nothing of this one's.
	cacheFormat = "v1"
	// cacheLimit is the size beyond which entries that were not used for the
	// longest time are dropped, in bytes.
	cacheLimit = 256 << 20
	// maxCacheEntry is the size of an entry that is still read, in bytes.
	maxCacheEntry = 64 << 20
	// stillFresh is how old the mark of an entry's last use may get.
	stillFresh = 24 * time.Hour
)

// The kinds of entries.
const (
	imageEntry = "image" // imageRecord by digest and platform
	layerEntry = "layer" // layer.Listing of manifestsDir by digest
)

// Cache keeps on disk what was read of images and layers, by their digests. It
// may be used by several processes at once and be deleted at any time; an entry that is
// damaged counts as missing. A nil Cache keeps nothing.
type Cache struct {
	dir      string
	readOnly bool
	limit    int64
	written  atomic.Int64
}

// OpenCache returns the cache in a folder, which is made when something is kept.
func OpenCache(dir string) *Cache {
	return &Cache{dir: filepath.Join(dir, cacheFormat), limit: cacheLimit}
}

// ReadOnly returns the cache for somebody who must not write.
func (c *Cache) ReadOnly() *Cache {
	return &Cache{dir: c.dir, limit: c.limit, readOnly: true}
}

func (c *Cache) path(kind, key string) string {
	return filepath.Join(c.dir, fmt.Sprintf("%s-%x", kind, sha256.Sum256([]byte(key))))
}

// get reads an entry into value and reports whether there was one.
func (c *Cache) get(kind, key string, value any) bool {
	if c == nil {
		return false
	}
	path := c.path(kind, key)
	info, err := os.Stat(path)
	if err != nil || info.Size() > maxCacheEntry {
		return false
	}
	data, err := os.ReadFile(path)
	if err != nil || len(data) < sha256.Size {
		return false
	}
	sum, body := data[:sha256.Size], data[sha256.Size:]
	if actual := sha256.Sum256(body); !bytes.Equal(sum, actual[:]) || json.Unmarshal(body, value) != nil {
		return false
	}
	if !c.readOnly && time.Since(info.ModTime()) > stillFresh {
		now := time.Now()
		_ = os.Chtimes(path, now, now) // an entry that looks older than it is costs little
	}
	return true
}

// put keeps an entry. Failures are none of the caller's concern: what is not
// kept is read again. The checksum tells an entry that a crash cut short, so
// nothing waits for the disk.
func (c *Cache) put(kind, key string, value any) {
	if c == nil || c.readOnly {
		return
	}
	body, err := json.Marshal(value)
	if err != nil || len(body) > maxCacheEntry-sha256.Size {
		return
	}
	path := c.path(kind, key)
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return
	}
	f, err := os.CreateTemp(c.dir, ".new-*")
	if err != nil {
		return
	}
	sum := sha256.Sum256(body)
	_, err = f.Write(append(sum[:], body...))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return
	}
	c.written.Add(int64(len(body)))
}

// Trim drops entries that were not used for the longest time until the rest is
// within the cache's bounds. It does nothing when nothing was written.
func (c *Cache) Trim() {
	if c == nil || c.readOnly || c.written.Swap(0) == 0 {
		return
	}
	listed, err := os.ReadDir(c.dir)
	if err != nil {
		return
	}
	var entries []fs.FileInfo
	var total int64
	for _, d := range listed {
		// One that another process dropped meanwhile is no entry any more.
		if info, err := d.Info(); err == nil {
			entries = append(entries, info)
			total += info.Size()
		}
	}
	slices.SortFunc(entries, func(a, b fs.FileInfo) int { return cmp.Compare(a.ModTime().UnixNano(), b.ModTime().UnixNano()) })
	for _, info := range entries {
		abandoned := info.Name()[0] == '.' && time.Since(info.ModTime()) > time.Hour
		if total <= c.limit && !abandoned {
			continue
		}
		if os.Remove(filepath.Join(c.dir, info.Name())) == nil {
			total -= info.Size()
		}
	}
}
