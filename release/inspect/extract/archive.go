package extract

import (
	"archive/tar"
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
)

// compression is fixed, like the version of the compressor in go.mod: both decide
// the bytes of archives.
const compression = 5

// earliest is the first time that a zip archive can hold.
var earliest = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// packer writes one program, and what stands beside it, into an archive. The same
// content gives the same bytes on any host at any time.
type packer struct {
	time   time.Time
	readme string
	names  []string // of the program; the first is its own
}

// pack writes the archive of the form that its name's end says.
func (p packer) pack(ctx context.Context, w io.Writer, archive string, program *os.File) error {
	info, err := program.Stat()
	if err != nil {
		return err
	}
	open := func() io.Reader { return &contextReader{ctx, io.NewSectionReader(program, 0, info.Size())} }
	if p.time.Before(earliest) {
		p.time = earliest
	}
	if strings.HasSuffix(archive, ".zip") {
		return p.zip(w, open)
	}
	return p.tar(w, info.Size(), open)
}

func (p packer) tar(w io.Writer, size int64, open func() io.Reader) error {
	gz, err := gzip.NewWriterLevel(w, compression)
	if err != nil {
		return err
	}
	tw := tar.NewWriter(gz)
	add := func(h tar.Header, content io.Reader) error {
		h.ModTime = p.time
		if err := tw.WriteHeader(&h); err != nil {
			return err
		}
		_, err := io.Copy(tw, content)
		return err
	}
	if err := add(tar.Header{Typeflag: tar.TypeReg, Name: readmeFile, Mode: 0o644, Size: int64(len(p.readme))}, strings.NewReader(p.readme)); err != nil {
		return err
	}
	if err := add(tar.Header{Typeflag: tar.TypeReg, Name: p.names[0], Mode: 0o755, Size: size}, open()); err != nil {
		return err
	}
	for _, name := range p.names[1:] {
		if err := add(tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: p.names[0], Mode: 0o755}, strings.NewReader("")); err != nil {
			return err
		}
	}
	return errors.Join(tw.Close(), gz.Close())
}

// zip has no links, so that each name is a copy.
func (p packer) zip(w io.Writer, open func() io.Reader) error {
	zw := zip.NewWriter(w)
	zw.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, compression) })
	add := func(name string, mode os.FileMode, content io.Reader) error {
		h := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: p.time}
		h.SetMode(mode)
		entry, err := zw.CreateHeader(h)
		if err != nil {
			return err
		}
		_, err = io.Copy(entry, content)
		return err
	}
	if err := add(readmeFile, 0o644, strings.NewReader(strings.ReplaceAll(p.readme, "\n", "\r\n"))); err != nil {
		return err
	}
	for _, name := range p.names {
		if err := add(name, 0o755, open()); err != nil {
			return err
		}
	}
	return zw.Close()
}

const readmeFile = "README.md"

// readme says what an archive is. It names the release and not where it was
// fetched from, so that a mirror gives the same bytes.
func (t target) readme(version, digest string) string {
	text := fmt.Sprintf("# %s\n\nThe program `%s` for %s/%s, as release %s (%s) holds it.\n", t.Name, t.file(t.Name), t.os, t.arch, version, digest)
	if len(t.Names) > 0 {
		text += fmt.Sprintf("It does another program's work when it is called by its other name: %s.\n", strings.Join(t.Names, ", "))
	}
	return text + "\nTo check this archive, compare it with `" + checksumFile + "`, which is published beside it:\n\n    sha256sum --check --ignore-missing " + checksumFile + "\n"
}

// contextReader ends with its context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(b)
}
