// Package layer reads files out of image layers made by others. Archives are
// streamed, paths and sizes are checked before a byte is believed, and deletions
// recorded by upper layers (whiteouts) are honoured. Nothing is written to disk.
package layer

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// ErrLimit is wrapped by every error about an archive that is larger than its reader allows.
var ErrLimit = errors.New("limit exceeded")

// Limits bounds what is read from one layer. Zero values mean the defaults.
type Limits struct {
	File    int64 // bytes of one file that is kept; default 8 MiB
	Total   int64 // bytes of all files that are kept; default 256 MiB
	Archive int64 // bytes of the unpacked layer; default 16 GiB
	Files   int   // files that are kept; default 20,000
}

func (l Limits) withDefaults() Limits {
	if l.File == 0 {
		l.File = 8 << 20
	}
	if l.Total == 0 {
		l.Total = 256 << 20
	}
	if l.Archive == 0 {
		l.Archive = 16 << 30
	}
	if l.Files == 0 {
		l.Files = 20_000
	}
	return l
}

// Entry is one entry of a layer's archive.
type Entry struct {
	// Path is relative to the root of the image, cleaned, without "..".
	Path string
	*tar.Header
	io.Reader
}

// Walk calls visit for every entry of the layer, in archive order. It reads the
// layer to its end, so that a layer whose bytes do not have the digest it was
// fetched by is an error and not a success. An entry that leaves the root is an error.
func Walk(ctx context.Context, l v1.Layer, limits Limits, visit func(*Entry) error) (err error) {
	rc, err := l.Uncompressed()
	if err != nil {
		return fmt.Errorf("opening layer: %w", err)
	}
	defer func() {
		if cerr := rc.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("closing layer: %w", cerr)
		}
	}()
	bounded := &boundedReader{ctx: ctx, r: rc, left: limits.withDefaults().Archive}
	tr := tar.NewReader(bounded)
	for {
		hdr, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("reading layer archive: %w", err)
		}
		name, err := cleanPath(hdr.Name)
		if err != nil {
			return err
		}
		if err := visit(&Entry{Path: name, Header: hdr, Reader: tr}); err != nil {
			return err
		}
	}
	// Padding behind the archive's end belongs to the digest as well.
	if _, err := io.Copy(io.Discard, bounded); err != nil {
		return fmt.Errorf("reading layer to its end: %w", err)
	}
	return nil
}

// cleanPath makes an archive's name relative to the image's root and refuses
// names that climb out of it, whether or not something would follow them.
func cleanPath(name string) (string, error) {
	if strings.ContainsRune(name, 0) {
		return "", fmt.Errorf("reading layer archive: entry %q has a NUL in its name", name)
	}
	for _, part := range strings.Split(name, "/") {
		if part == ".." {
			return "", fmt.Errorf("reading layer archive: entry %q leaves the root of the image", name)
		}
	}
	return strings.TrimPrefix(path.Clean("/"+name), "/"), nil
}

// boundedReader ends with the context and refuses to deliver more than left bytes.
type boundedReader struct {
	ctx  context.Context
	r    io.Reader
	left int64
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	if b.left < 0 {
		return 0, fmt.Errorf("unpacking layer: %w", ErrLimit)
	}
	return n, err
}
