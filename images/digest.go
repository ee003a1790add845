package images

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
)

// layerFormat is part of every cache key. Raise it whenever the same inputs
// come to give other bytes: another tar order, another compression level.
const layerFormat = 1

// sortKey gives any value a text to sort and compare by.
func sortKey(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		// Only plain structs come here; the encoder cannot fail on them.
		return fmt.Sprintf("%+v", v)
	}
	return string(data)
}

// cacheKey is the hex digest of inputs.
func cacheKey(inputs any) string {
	sum := sha256.Sum256([]byte(sortKey(inputs)))
	return hex.EncodeToString(sum[:])
}

// fileDigest returns sha256:… of a file.
func fileDigest(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

// treeDigest returns sha256:… over the names, kinds and contents of all that is
// below a folder, or of one file. Times, owners and modes do not count.
func treeDigest(fsys fs.FS, root string) (string, error) {
	if fsys == nil {
		return "", errors.New("the component has no folder")
	}
	h := sha256.New()
	err := fs.WalkDir(fsys, root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		sum, err := entryDigest(fsys, p, d)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(h, "%q %s %s\n", p, d.Type(), sum)
		return err
	})
	if err != nil {
		return "", err
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

func entryDigest(fsys fs.FS, p string, d fs.DirEntry) (string, error) {
	switch {
	case d.IsDir():
		return "-", nil
	case d.Type() == fs.ModeSymlink:
		return fs.ReadLink(fsys, p)
	case !d.Type().IsRegular():
		return "", fmt.Errorf("%s is neither a file, a folder nor a symbolic link", path.Clean(p))
	}
	f, err := fsys.Open(p)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
