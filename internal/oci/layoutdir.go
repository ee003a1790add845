package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/internal/clock"
)

// incoming is the folder of a layout in which files are written before they get
// their names. Whoever writes holds a shared lock on it; what lies there when
// nobody does was left by a process that died.
const incoming = ".incoming"

// layoutDir is a layout in a directory. Files are opened below root, so that no
// link in somebody's layout leads out of it.
type layoutDir struct {
	root    *os.Root
	writing *os.File // locked while this process may write
}

var _ layoutFiles = (*layoutDir)(nil)

func openLayoutDir(dir string) (*layoutDir, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &layoutDir{root: root}, nil
}

// initLayout makes a directory a layout, unless it is one.
func initLayout(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	d, err := openLayoutDir(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if _, err := d.root.Lstat(layoutFile); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		// What a process left that died, or one that runs now has made so far.
		if e.Name() != incoming && e.Name() != blobFolder && e.Name() != layoutFile {
			return fmt.Errorf("it holds %q and is no OCI layout; name an empty or new directory", e.Name())
		}
	}
	if err := d.root.MkdirAll(blobFolder+"/sha256", 0o755); err != nil {
		return err
	}
	if err := d.beginWriting(); err != nil {
		return err
	}
	// Never in place of another one, which somebody may hold locked already.
	err = d.write(layoutFile, d.root.Link, func(w io.Writer) error {
		_, err := w.Write(layoutContent)
		return err
	})
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// open implements layoutFiles.
func (d *layoutDir) open(name string) (io.ReadCloser, int64, error) {
	size, err := d.size(name)
	if err != nil {
		return nil, 0, err
	}
	f, err := d.root.Open(name)
	if err != nil {
		return nil, 0, err
	}
	return f, size, nil
}

// size implements layoutFiles. What is no regular file is refused: a pipe would
// never end, and a link may point to anything.
func (d *layoutDir) size(name string) (int64, error) {
	info, err := d.root.Lstat(name)
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("its %s is not a file", name)
	}
	return info.Size(), nil
}

// stamp implements layoutFiles. Every change makes a new file, and with it a new
// inode or time.
func (d *layoutDir) stamp(name string) (any, error) {
	info, err := d.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	stamp := [3]int64{info.ModTime().UnixNano(), info.Size()}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		stamp[2] = int64(stat.Ino) //nolint:gosec // only compared
	}
	return stamp, nil
}

// Close implements layoutFiles.
func (d *layoutDir) Close() error {
	if d.writing != nil {
		d.writing.Close()
		d.writing = nil
	}
	return d.root.Close()
}

// beginWriting makes ready for writing, and removes what dead processes left.
func (d *layoutDir) beginWriting() error {
	if d.writing != nil {
		return nil
	}
	if err := d.root.MkdirAll(incoming, 0o755); err != nil {
		return err
	}
	folder, err := d.root.Open(incoming)
	if err != nil {
		return err
	}
	if unix.Flock(int(folder.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
		names, err := folder.Readdirnames(-1)
		if err != nil {
			folder.Close()
			return err
		}
		for _, n := range names {
			if err := d.root.RemoveAll(incoming + "/" + n); err != nil {
				folder.Close()
				return err
			}
		}
	}
	if err := unix.Flock(int(folder.Fd()), unix.LOCK_SH); err != nil {
		folder.Close()
		return err
	}
	d.writing = folder
	return nil
}

// lock waits for the right to change index.json and takes it.
func (d *layoutDir) lock(ctx context.Context) (unlock func(), err error) {
	f, err := d.root.Open(layoutFile)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, fmt.Errorf("locking it: %w", err)
		}
		if err := clock.Sleep(ctx, 5*time.Millisecond); err != nil {
			f.Close()
			return nil, err
		}
	}
}

// writeFile puts a small file in its place, whole.
func (d *layoutDir) writeFile(name string, data []byte) error {
	return d.write(name, d.root.Rename, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// writeBlob puts a blob in its place once its bytes are known to be right.
func (d *layoutDir) writeBlob(want v1.Descriptor, body io.ReadCloser) error {
	return d.write(blobName(want.Digest), d.root.Rename, func(w io.Writer) error {
		_, err := io.Copy(w, struct{ io.Reader }{newChecked(body, want)})
		return err
	})
}

// write fills a file beside and puts it in its place by a rename or a link.
func (d *layoutDir) write(name string, put func(from, to string) error, fill func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Join(d.root.Name(), incoming), filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	temporary := incoming + "/" + filepath.Base(f.Name())
	defer func() {
		if err != nil {
			f.Close()
			_ = d.root.Remove(temporary)
		}
	}()
	if err = fill(f); err != nil {
		return err
	}
	if err = f.Chmod(0o644); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = put(temporary, name); err != nil {
		return err
	}
	_ = d.root.Remove(temporary) // a second name of the file after a link
	return nil
}

// syncFolders makes renames survive a power cut.
func (d *layoutDir) syncFolders() error {
	for _, folder := range []string{blobFolder + "/sha256", "."} {
		f, err := d.root.Open(folder)
		if err != nil {
			return err
		}
		err = f.Sync()
		f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}
