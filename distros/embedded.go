package distros

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/slipway-release/slipway/internal/state"
)

// all: takes in files whose names begin with a dot as well.
//
//go:embed all:skiff
var skiff embed.FS

// Embedded returns the reference distribution Skiff.
func Embedded() fs.FS {
	sub, err := fs.Sub(skiff, "skiff")
	if err != nil {
		return skiff // the name is a constant and valid; Sub cannot fail
	}
	return sub
}

// Unpack writes a distribution into a folder, which must be empty or not exist.
func Unpack(fsys fs.FS, dir string) error {
	if err := emptyFolder(dir); err != nil {
		return fmt.Errorf("unpacking distribution to %q: %w", dir, err)
	}
	err := fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(fsys, p)
		if err != nil {
			return err
		}
		return state.WriteFile(filepath.Join(dir, filepath.FromSlash(p)), data, 0o644)
	})
	if err != nil {
		return fmt.Errorf("unpacking distribution to %q: %w", dir, err)
	}
	return nil
}

func emptyFolder(dir string) error {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		return err
	}
	defer d.Close()
	if _, err := d.ReadDir(1); !errors.Is(err, io.EOF) {
		return errors.Join(errors.New("there is something in it already"), err)
	}
	return nil
}
