package extract

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"
)

// stagingPrefix begins the name of the folder in which files are written first.
const stagingPrefix = ".slipway-extract-"

// folder is where files are extracted to. All access goes through a root, which no
// link or name leads out of.
type folder struct {
	path      string
	overwrite bool
	root      *os.Root
	stage     *os.Root
	stageName string
	stageLock *os.File
}

// openFolder makes the folder where it is missing and a stage in it.
func openFolder(path string, overwrite bool) (_ *folder, err error) {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, fmt.Errorf("extracting to %q: %w", path, err)
	}
	f := &folder{path: path, overwrite: overwrite}
	defer func() {
		if err != nil {
			f.close()
			err = fmt.Errorf("extracting to %q: %w", path, err)
		}
	}()
	if f.root, err = os.OpenRoot(path); err != nil {
		return nil, err
	}
	if err := f.sweep(); err != nil {
		return nil, err
	}
	if err := f.makeStage(); err != nil {
		return nil, err
	}
	f.stage, err = f.root.OpenRoot(f.stageName)
	return f, err
}

// makeStage makes the stage and locks it. Between the two somebody else may take it
// for one that was left behind, and then another is made.
func (f *folder) makeStage() error {
	for attempt := 0; ; attempt++ {
		name := stagingPrefix + rand.Text()[:12]
		if err := f.root.Mkdir(name, 0o700); err != nil {
			return err
		}
		held, err := f.root.Open(name)
		if err == nil {
			if err = syscall.Flock(int(held.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
				if _, err = f.root.Lstat(name); err == nil {
					f.stageName, f.stageLock = name, held
					return nil
				}
			}
			held.Close()
		}
		if lost := errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EWOULDBLOCK); !lost || attempt == 100 {
			return err
		}
	}
}

// sweep removes the stages of processes that were killed, whose locks the kernel
// has given back.
func (f *folder) sweep() error {
	entries, err := fs.ReadDir(f.root.FS(), ".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), stagingPrefix) {
			continue
		}
		held, err := f.root.Open(e.Name())
		if err != nil {
			continue
		}
		if syscall.Flock(int(held.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			err = f.root.RemoveAll(e.Name())
		}
		held.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// close removes the stage with what was not moved to its place.
func (f *folder) close() {
	if f.stage != nil {
		f.stage.Close()
	}
	if f.stageLock != nil {
		_ = f.root.RemoveAll(f.stageName)
		f.stageLock.Close()
	}
	if f.root != nil {
		f.root.Close()
	}
}

// create opens a new file in the stage.
func (f *folder) create(name string, mode fs.FileMode) (*os.File, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	return f.stage.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, mode)
}

// scratch opens a new file in the stage under a name that no extracted file can
// have.
func (f *folder) scratch(name string) (*os.File, error) {
	return f.stage.OpenFile(scratchName(name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
}

func scratchName(name string) string { return "." + name }

// finish closes a file of the stage when its bytes are on the disk.
func finish(file *os.File, mode fs.FileMode) error {
	err := file.Chmod(mode)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// publish moves files of the stage to their places. A place that holds the same
// bytes already counts as done; other files there are refused, all at once, unless
// they may be overwritten.
func (f *folder) publish(names []string) error {
	var move, taken []string
	for _, name := range names {
		info, err := f.root.Lstat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			move = append(move, name)
		case err != nil:
			return fmt.Errorf("extracting to %q: %w", f.path, err)
		case info.IsDir():
			taken = append(taken, name+" (a folder)")
		default:
			same, err := f.same(name, info)
			if err != nil {
				return fmt.Errorf("extracting to %q: %w", f.path, err)
			}
			if same {
				continue
			}
			if f.overwrite {
				move = append(move, name)
			} else {
				taken = append(taken, name)
			}
		}
	}
	if len(taken) > 0 {
		return fmt.Errorf("extracting to %q: %s there already with other content; remove them, choose another folder, or allow to overwrite", f.path, list(taken))
	}
	for _, name := range move {
		if err := f.root.Rename(filepath.Join(f.stageName, name), name); err != nil {
			return fmt.Errorf("extracting to %q: %w", f.path, err)
		}
	}
	dir, err := f.root.Open(".")
	if err != nil {
		return fmt.Errorf("extracting to %q: %w", f.path, err)
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// same reports whether a place holds the bytes and the mode that the stage has for
// it.
func (f *folder) same(name string, there fs.FileInfo) (bool, error) {
	staged, err := f.stage.Lstat(name)
	if err != nil {
		return false, err
	}
	if there.Mode() != staged.Mode() || there.Size() != staged.Size() {
		return false, nil
	}
	a, err := f.root.Open(name)
	if err != nil {
		return false, err
	}
	defer a.Close()
	b, err := f.stage.Open(name)
	if err != nil {
		return false, err
	}
	defer b.Close()
	return equal(a, b)
}

func equal(a, b io.Reader) (bool, error) {
	x, y := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, errA := io.ReadFull(a, x)
		m, errB := io.ReadFull(b, y)
		if n != m || !bytes.Equal(x[:n], y[:m]) {
			return false, nil
		}
		for _, err := range []error{errA, errB} {
			if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				return false, err
			}
		}
		if errA != nil {
			return true, nil
		}
	}
}

// content is a small file to be written.
type content struct {
	name string
	data []byte
	mode fs.FileMode
}

// write puts small files into the stage. Waiting for the disk takes the time, so
// many wait at once.
func (f *folder) write(files []content) error {
	var g errgroup.Group
	g.SetLimit(64)
	for _, c := range files {
		g.Go(func() error {
			file, err := f.create(c.name, c.mode)
			if err != nil {
				return err
			}
			_, err = file.Write(c.data)
			return errors.Join(err, finish(file, c.mode))
		})
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("extracting to %q: %w", f.path, err)
	}
	return nil
}

// CheckName refuses what is not the plain name of a file in a folder: paths, names
// that a terminal or a shell would take for something else, and those that begin
// with a dot or a dash.
func CheckName(name string) error {
	switch {
	case name == "" || len(name) > 255 || !utf8.ValidString(name):
		return fmt.Errorf("%q is not the name of a file", name)
	case strings.ContainsAny(name, `/\:`) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("%q is not the plain name of a file: it holds a separator or a character that is not printed", name)
	case name[0] == '.' || name[0] == '-':
		return fmt.Errorf("%q is not the plain name of a file: it begins with %q", name, name[:1])
	}
	return nil
}

// list joins names for a message, of many only the first.
func list(names []string) string {
	slices.Sort(names)
	const shown = 10
	if more := len(names) - shown; more > 1 {
		return fmt.Sprintf("%s and %d more are", strings.Join(names[:shown], ", "), more)
	}
	if len(names) == 1 {
		return names[0] + " is"
	}
	return strings.Join(names, ", ") + " are"
}
