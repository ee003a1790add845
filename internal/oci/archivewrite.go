package oci

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"
)

const (
	// halfName is the folder of blobs that are not whole yet.
	halfFolder = "incoming/sha256/"
	// halfSuffix is what a tar file is called before it holds an index.json.
	halfSuffix = ".partial"
	tarBlock   = 512
	tarTrailer = 2 * tarBlock
)

// Archive writes a layout into one tar file, or into a series of files that are
// not larger than a given size, and goes on where an interrupted run ended.
//
// A blob's place is kept free before its bytes come, under a header that names
// it incoming/sha256/<hex>; when the bytes are there and have their digest, the
// header is written anew with the name blobs/sha256/<hex>. So blobs are written
// side by side, and whatever a killed process leaves is a chain of headers, which
// tells the next run what it has. An index.json follows when all is on the disk.
// Runs that add to an archive append behind it, with an index.json of their own:
// the last one counts, and up to that moment the one before. A file has the name
// it was asked for as soon as an index.json is in it, and ".partial" behind it
// before.
//
// An Archive is safe for concurrent use by one process at a time; it is locked.
type Archive struct {
	path  string
	limit int64 // of one file; 0 for a single one of any size
	lock  *os.File

	mu       sync.Mutex
	segments []*segment
	whole    map[v1.Hash]placed
	half     map[v1.Hash]placed
	index    *v1.IndexManifest
}

// segment is one tar file of an archive.
type segment struct {
	file    *os.File
	final   string // its name when it is whole
	partial bool
	end     int64 // where the next entry goes
	written bool  // by this run
}

// placed is where a blob lies.
type placed struct {
	segment *segment
	extent
}

// CreateArchive opens the tar file at path for writing, or makes it. With a
// limit, path is a directory and its files are mirror_000001.tar and so on, none
// of more bytes than the limit. Blobs that an interrupted run left are read and
// kept if they have their digests. A file that another process writes, and one
// that no layout can be in, are errors.
func CreateArchive(ctx context.Context, path string, limit int64) (*Archive, error) {
	a := &Archive{path: path, limit: limit, whole: map[v1.Hash]placed{}, half: map[v1.Hash]placed{}, index: emptyIndex()}
	if err := a.open(ctx); err != nil {
		a.Close()
		return nil, fmt.Errorf("writing archive %q: %w", path, err)
	}
	return a, nil
}

func (a *Archive) open(ctx context.Context) error {
	if a.limit < 0 || (a.limit > 0 && a.limit < 16<<10) {
		return fmt.Errorf("files of %d bytes are too small to hold anything", a.limit)
	}
	if a.limit == 0 {
		if info, err := os.Stat(a.path); err == nil && !info.Mode().IsRegular() {
			return errors.New("it is not a file; name a file, or a size for the parts of a series")
		}
		if err := os.MkdirAll(filepath.Dir(a.path), 0o755); err != nil {
			return err
		}
		return a.openSegment(ctx, a.path)
	}
	if err := os.MkdirAll(a.path, 0o755); err != nil {
		return err
	}
	lock, err := os.Open(a.path)
	if err != nil {
		return err
	}
	a.lock = lock
	if err := lockFile(lock); err != nil {
		return err
	}
	for n := 1; ; n++ {
		final := filepath.Join(a.path, segmentName(n))
		if !exists(final) && !exists(final+halfSuffix) && n > 1 {
			return nil
		}
		if err := a.openSegment(ctx, final); err != nil {
			return fmt.Errorf("%s: %w", segmentName(n), err)
		}
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

func lockFile(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return errors.New("another process writes it; wait for it to end")
	}
	return err
}

// closeLocked gives the lock back at once. Closing alone would not, while a program that
// this process is just starting has the file open as well.
func closeLocked(f *os.File) error {
	_ = unix.Flock(int(f.Fd()), unix.LOCK_UN)
	return f.Close()
}

// openSegment opens one file of the archive and takes in what it holds.
func (a *Archive) openSegment(ctx context.Context, final string) error {
	s := &segment{final: final, partial: !exists(final)}
	name := final
	if s.partial {
		name += halfSuffix
	}
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	s.file = f
	a.segments = append(a.segments, s)
	if err := lockFile(f); err != nil {
		return err
	}
	if err := a.takeIn(ctx, s); err != nil {
		return err
	}
	if s.end == 0 {
		return a.appendFile(s, layoutFile, layoutContent)
	}
	return nil
}

// takeIn reads the headers of a file, and the bytes of what was written after
// its last index.json: up to that everything is known to have reached the disk.
func (a *Archive) takeIn(ctx context.Context, s *segment) error {
	type entry struct {
		name string
		extent
	}
	var entries []entry
	end, err := scanTar(s.file, func(name string, offset, size int64) {
		entries = append(entries, entry{name, extent{offset: offset, size: size}})
	})
	if err != nil && s.partial && end == 0 && s.torn() {
		return nil // it was never more than begun
	}
	if err != nil {
		return err
	}
	layout := slices.IndexFunc(entries, func(e entry) bool { return e.name == layoutFile })
	if len(entries) > 0 && layout < 0 {
		return errors.New("it is a tar file of something else; name another file")
	}
	s.end = end
	closed, err := s.closed()
	if err != nil {
		return err
	}
	sure := -1 // the last entry that has reached the disk, with all before it
	for i := len(entries) - 1; i >= 0 && sure < 0; i-- {
		if e := entries[i]; e.name == indexFile && a.takeIndex(s, e.extent) {
			sure = i
		}
	}
	if closed {
		sure = len(entries)
	} else if sure < 0 && layout >= 0 {
		if err := s.writeLayoutFile(entries[layout].extent); err != nil {
			return err
		}
	}
	if layout >= 0 {
		if err := s.checkLayout(entries[layout].extent); err != nil {
			return err
		}
	}
	for i, e := range entries {
		if err := a.takeBlob(ctx, placed{s, e.extent}, e.name, i <= sure); err != nil {
			return err
		}
	}
	return nil
}

// takeBlob notes a blob, after a look at its bytes when it is not sure that they
// are right.
func (a *Archive) takeBlob(ctx context.Context, p placed, name string, sure bool) error {
	if digest, ok := digestOfName(name, halfFolder); ok {
		a.half[digest] = p
		return nil
	}
	digest, ok := digestOfName(name, blobFolder+"/sha256/")
	if !ok {
		return nil
	}
	if !sure {
		intact, err := p.intact(ctx, digest)
		if err != nil {
			return err
		}
		if !intact {
			a.half[digest] = p
			return p.segment.writeHeader(halfFolder+digest.Hex, p.extent)
		}
	}
	a.whole[digest] = p
	return nil
}

// takeIndex reads an index.json, and says whether it is one.
func (a *Archive) takeIndex(s *segment, e extent) bool {
	if e.size > maxIndexFile {
		return false
	}
	data := make([]byte, e.size)
	if _, err := s.file.ReadAt(data, e.offset); err != nil {
		return false
	}
	index, err := parseIndexFile(data)
	if err != nil {
		return false
	}
	a.index = index
	return true
}

var layoutContent = []byte(`{"imageLayoutVersion":"` + layoutVersion + `"}`)

// writeLayoutFile writes the content of oci-layout anew, if it is ours.
func (s *segment) writeLayoutFile(e extent) error {
	if e.size != int64(len(layoutContent)) {
		return nil
	}
	_, err := s.file.WriteAt(layoutContent, e.offset)
	return err
}

// checkLayout refuses to add to what nobody could open afterwards.
func (s *segment) checkLayout(e extent) error {
	data := make([]byte, min(e.size, 4096))
	if _, err := s.file.ReadAt(data, e.offset); err != nil {
		return err
	}
	return checkLayoutFile(data)
}

// torn says whether the file is the beginning of an archive whose first header
// did not reach the disk whole.
func (s *segment) torn() bool {
	head := make([]byte, tarBlock)
	n, err := s.file.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return false
	}
	begun := bytes.TrimRight(head[:n], "\x00")
	return len(begun) == 0 || bytes.HasPrefix(begun, []byte(layoutFile)) || bytes.HasPrefix([]byte(layoutFile), begun)
}

// closed says whether the file ends as a tar file does, and nowhere else: that is
// written when everything before it has reached the disk.
func (s *segment) closed() (bool, error) {
	info, err := s.file.Stat()
	if err != nil || s.end == 0 || info.Size() != s.end+tarTrailer {
		return false, err
	}
	tail := make([]byte, tarTrailer)
	n, err := s.file.ReadAt(tail, s.end)
	if err != nil && err != io.EOF {
		return false, err
	}
	return n == tarTrailer && !slices.ContainsFunc(tail, func(b byte) bool { return b != 0 }), nil
}

// intact reads a blob and compares it with its digest.
func (p placed) intact(ctx context.Context, digest v1.Hash) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	got, _, err := v1.SHA256(io.NewSectionReader(p.segment.file, p.offset, p.size))
	return got == digest, err
}

// Has says whether the archive has a blob of this digest and size.
func (a *Archive) Has(d v1.Descriptor) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	p, ok := a.whole[d.Digest]
	return ok && p.size == d.Size
}

// Room returns an error when a blob is too large for any file of a series.
func (a *Archive) Room(d v1.Descriptor) error {
	if needed := entrySize(d.Size) + entrySize(64) + tarTrailer; a.limit > 0 && needed > a.limit {
		return fmt.Errorf("writing archive %q: blob %s does not fit into files of %d bytes; they must have %d or more", a.path, d.Digest, a.limit, needed)
	}
	return nil
}

func entrySize(size int64) int64 { return tarBlock + (size+tarBlock-1)/tarBlock*tarBlock }

// PutBlob stores a blob under its digest, unless it is there. from is opened only
// when the bytes are needed; they are checked. repository is not looked at.
func (a *Archive) PutBlob(ctx context.Context, _ string, d v1.Descriptor, from BlobSource) (Stored, error) {
	if a.Has(d) {
		return Present, nil
	}
	body, err := from.Open()
	if err != nil {
		return Present, err
	}
	defer body.Close()
	if err := a.write(ctx, d, body); err != nil {
		return Present, fmt.Errorf("writing blob %s to archive %q: %w", d.Digest, a.path, err)
	}
	return Copied, nil
}

func (a *Archive) write(ctx context.Context, d v1.Descriptor, body io.ReadCloser) error {
	p, err := a.place(ctx, d)
	if err != nil {
		return err
	}
	err = func() error {
		if _, err := io.Copy(io.NewOffsetWriter(p.segment.file, p.offset), struct{ io.Reader }{newChecked(body, d)}); err != nil {
			return err
		}
		return p.segment.writeHeader(blobName(d.Digest), p.extent)
	}()
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		a.half[d.Digest] = p // for the next attempt
		return err
	}
	a.whole[d.Digest] = p
	return nil
}

// place keeps room for a blob, or takes the room that an attempt before had.
func (a *Archive) place(ctx context.Context, d v1.Descriptor) (placed, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p, ok := a.half[d.Digest]; ok && p.size == d.Size {
		delete(a.half, d.Digest)
		p.segment.written = true
		// It may be there under its final name, with bytes that are not right.
		return p, p.segment.writeHeader(halfFolder+d.Digest.Hex, p.extent)
	}
	if err := a.Room(d); err != nil {
		return placed{}, err
	}
	s, err := a.roomFor(ctx, d.Size)
	if err != nil {
		return placed{}, err
	}
	p := placed{s, extent{offset: s.end + tarBlock, size: d.Size}}
	return p, s.keep(halfFolder+d.Digest.Hex, p.extent)
}

// roomFor returns the last file, or a new one when an entry does not fit into it
// any more. Called under mu.
func (a *Archive) roomFor(ctx context.Context, size int64) (*segment, error) {
	last := a.segments[len(a.segments)-1]
	if a.limit == 0 || last.end+entrySize(size)+tarTrailer <= a.limit {
		return last, nil
	}
	final := filepath.Join(a.path, segmentName(len(a.segments)+1))
	if err := a.openSegment(ctx, final); err != nil {
		return nil, err
	}
	return a.segments[len(a.segments)-1], nil
}

// keep makes the file longer by an entry, whose bytes may come later.
func (s *segment) keep(name string, e extent) error {
	if err := s.writeHeader(name, e); err != nil {
		return err
	}
	end := e.offset + (e.size+tarBlock-1)/tarBlock*tarBlock
	if err := s.file.Truncate(end); err != nil {
		return err
	}
	s.end, s.written = end, true
	return nil
}

func (s *segment) writeHeader(name string, e extent) error {
	var block bytes.Buffer
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: e.size, Mode: 0o644, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
	if e.size >= 8<<30 {
		h.Format = tar.FormatGNU // whose sizes have no bounds
	}
	if err := tar.NewWriter(&block).WriteHeader(h); err != nil {
		return err
	}
	_, err := s.file.WriteAt(block.Bytes(), e.offset-tarBlock)
	return err
}

// appendFile puts a small file at the end. Called under mu, or before others
// know the archive.
func (a *Archive) appendFile(s *segment, name string, data []byte) error {
	e := extent{offset: s.end + tarBlock, size: int64(len(data))}
	// What an interrupted run left behind the end must not come to light again.
	if err := s.file.Truncate(s.end); err != nil {
		return err
	}
	if err := s.keep(name, e); err != nil {
		return err
	}
	_, err := s.file.WriteAt(data, e.offset)
	return err
}

// List completes the archive: it makes index.json list manifests that the
// archive has, as Layout's List does, when everything is on the disk. An archive
// that lists them already is left as it is.
func (a *Archive) List(ctx context.Context, entries ...v1.Descriptor) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.list(ctx, entries); err != nil {
		return fmt.Errorf("writing archive %q: %w", a.path, err)
	}
	return nil
}

func (a *Archive) list(ctx context.Context, entries []v1.Descriptor) error {
	before, err := json.Marshal(a.index)
	if err != nil {
		return err
	}
	mergeEntries(a.index, entries)
	data, err := json.Marshal(a.index)
	if err != nil {
		return err
	}
	written := slices.ContainsFunc(a.segments, func(s *segment) bool { return s.written })
	if bytes.Equal(before, data) && !written {
		return nil
	}
	if needed := entrySize(int64(len(data))) + entrySize(64) + tarTrailer; a.limit > 0 && needed > a.limit {
		return fmt.Errorf("its %s does not fit into files of %d bytes; they must have %d or more", indexFile, a.limit, needed)
	}
	if err := a.sync(); err != nil {
		return err
	}
	last, err := a.roomFor(ctx, int64(len(data)))
	if err != nil {
		return err
	}
	if err := a.appendFile(last, indexFile, data); err != nil {
		return err
	}
	for _, s := range a.segments {
		if err := s.finish(); err != nil {
			return err
		}
	}
	return syncPath(filepath.Dir(a.segments[0].final))
}

// sync brings everything to the disk.
func (a *Archive) sync() error {
	for _, s := range a.segments {
		if s.written {
			if err := s.file.Sync(); err != nil {
				return err
			}
		}
	}
	return nil
}

// finish ends the file as a tar file ends, and gives it its name.
func (s *segment) finish() error {
	if s.written {
		if err := s.file.Truncate(s.end + tarTrailer); err != nil {
			return err
		}
		if err := s.file.Sync(); err != nil {
			return err
		}
		s.written = false
	}
	if !s.partial {
		return nil
	}
	s.partial = false
	return os.Rename(s.final+halfSuffix, s.final)
}

func syncPath(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Files returns the names of the archive's files.
func (a *Archive) Files() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var names []string
	for _, s := range a.segments {
		names = append(names, s.final)
	}
	return names
}

// Close gives back files and locks. Without List before it, the archive stays
// for a later run to go on with.
func (a *Archive) Close() error {
	var errs []error
	for _, s := range a.segments {
		if s.file != nil {
			errs = append(errs, closeLocked(s.file))
		}
	}
	if a.lock != nil {
		errs = append(errs, closeLocked(a.lock))
	}
	a.segments = nil
	return errors.Join(errs...)
}
