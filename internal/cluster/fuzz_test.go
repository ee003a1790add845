package cluster

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/slipway-release/slipway/internal/layer/layertest"
)

// FuzzUnpack unpacks any bytes as the archive that a node sent. Nothing but
// files and folders may come of it, all within the folder.
func FuzzUnpack(f *testing.F) {
	f.Add(layertest.Archive(f, layertest.Dir("var/log/"), layertest.File("var/log/x", "line\n")))
	f.Add(layertest.Archive(f, layertest.File("../../outside", "x"), layertest.File("/outside", "x"), layertest.File("outside/..", "x")))
	f.Add(layertest.Archive(f, layertest.Link("a", "/etc"), layertest.File("a/passwd", "x")))
	f.Add(layertest.Archive(f, layertest.File("a", "x"), layertest.File("a/b", "x"), layertest.File("", "x")))
	f.Add([]byte("no archive at all"))
	f.Fuzz(func(t *testing.T, archive []byte) {
		above := t.TempDir()
		inside := filepath.Join(above, "inside")
		if err := os.Mkdir(inside, 0o755); err != nil {
			t.Fatal(err)
		}
		root, err := os.OpenRoot(inside)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		_ = unpack(root, bytes.NewReader(archive)) // most of it is no archive
		entries, err := os.ReadDir(above)
		if err != nil || len(entries) != 1 {
			t.Errorf("something was written outside: %v %v", entries, err)
		}
		err = filepath.WalkDir(inside, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && !d.Type().IsRegular() {
				t.Errorf("%q is a %s", path, d.Type())
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
}
