// Package state owns Slipway's directory on disk: where everything lies, who
// may write it, and how a file is written so that a crash cannot tear it.
//
//	.slipway/
//	  lock                 held while a run goes on
//	  store/registry/      data of the embedded registry
//	  cache/<name>/        derived data; may be deleted at any time
//	  keys/                signing keys, mode 0700
//	  clusters/<name>/     kubeconfig and facts of a cluster that exists
//	  runs/<id>/           state, logs and artifacts of one run
//	  runs/latest          symbolic link to the newest run
package state

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// ErrLocked says that another process works on the same state directory.
var ErrLocked = errors.New("another slipway run holds the state directory")

// ErrBusy says that another process changes the same folder.
var ErrBusy = errors.New("another process has been at work in it")

// Dir is a state directory.
type Dir struct{ root string }

// Open makes the directory where it is missing and returns it.
func Open(root string) (*Dir, error) {
	abs, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("opening state directory %q: %w", root, err)
	}
	d := &Dir{root: abs}
	for _, sub := range []string{"store/registry", "cache", "clusters", "runs"} {
		if err := os.MkdirAll(filepath.Join(abs, sub), 0o755); err != nil {
			return nil, fmt.Errorf("opening state directory %q: %w", root, err)
		}
	}
	if err := os.MkdirAll(d.Keys(), 0o700); err != nil {
		return nil, fmt.Errorf("opening state directory %q: %w", root, err)
	}
	return d, nil
}

// Root is the absolute path of the directory.
func (d *Dir) Root() string { return d.root }

// Registry is where the embedded registry keeps its data.
func (d *Dir) Registry() string { return filepath.Join(d.root, "store", "registry") }

// Cache is a folder for derived data of one kind.
func (d *Dir) Cache(name string) string { return filepath.Join(d.root, "cache", name) }

// Keys is where signing keys lie.
func (d *Dir) Keys() string { return filepath.Join(d.root, "keys") }

// Clusters is where each cluster has a folder of its name.
func (d *Dir) Clusters() string { return filepath.Join(d.root, "clusters") }

// Runs is where each run has a folder of its id.
func (d *Dir) Runs() string { return filepath.Join(d.root, "runs") }

// Run is the folder of one run.
func (d *Dir) Run(id string) string { return filepath.Join(d.Runs(), id) }

// Latest returns the id of the newest run, or "" when there was none.
func (d *Dir) Latest() (string, error) {
	id, err := os.Readlink(filepath.Join(d.Runs(), "latest"))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	return id, err
}

// SetLatest points runs/latest to a run.
func (d *Dir) SetLatest(id string) error {
	link := filepath.Join(d.Runs(), "latest")
	beside := fmt.Sprintf("%s.%d", link, os.Getpid())
	_ = os.Remove(beside)
	if err := os.Symlink(id, beside); err != nil {
		return err
	}
	return os.Rename(beside, link)
}

// Lock takes the directory for one run and returns how to give it back. The
// kernel gives it back when the process dies. When somebody else has it, the
// error wraps ErrLocked and names the process.
func (d *Dir) Lock() (func(), error) {
	path := filepath.Join(d.root, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("locking state directory %q: %w", d.root, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder, _ := os.ReadFile(path)
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("locking state directory %q: %w (process %s); wait for it, stop it, or give this run another --state-dir",
				d.root, ErrLocked, strings.TrimSpace(string(holder)))
		}
		return nil, fmt.Errorf("locking state directory %q: %w", d.root, err)
	}
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(fmt.Sprintln(os.Getpid())), 0)
	}
	return func() { unlock(f) }, nil
}

// lockWait is how long LockFolder waits for others, lockPause how long before it looks again.
const (
	lockWait  = 10 * time.Second
	lockPause = 5 * time.Millisecond
)

// LockFolder takes any folder and returns how to give it back: shared with other readers,
// or for a writer alone. It leaves nothing in the folder, and the kernel gives it back when
// the process dies. Whoever has it works for moments; after ten seconds the error wraps
// ErrBusy.
func LockFolder(path string, shared bool) (func(), error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	how := syscall.LOCK_EX
	if shared {
		how = syscall.LOCK_SH
	}
	for end := time.Now().Add(lockWait); ; time.Sleep(lockPause) {
		err = syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
		if err == nil {
			return func() { unlock(f) }, nil
		}
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) || time.Now().After(end) {
			break
		}
	}
	f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = fmt.Errorf("%w for %s; try again when it is done", ErrBusy, lockWait)
	}
	return nil, fmt.Errorf("locking folder %q: %w", path, err)
}

// unlock gives a lock back at once. Closing alone would not, while a program that this
// process is just starting has the file open as well.
func unlock(f *os.File) {
	_ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN)
	f.Close()
}

// WriteFile writes a file so that after a crash either the old or the new
// content stands there, whole.
func WriteFile(path string, data []byte, mode os.FileMode) error {
	return WriteStream(path, mode, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// WriteStream is WriteFile for content that need not be held: write is handed the
// new file.
func WriteStream(path string, mode os.FileMode, write func(io.Writer) error) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err = write(f); err != nil {
		return err
	}
	if err = f.Chmod(mode); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename in dir survive a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
