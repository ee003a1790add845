package deliver

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/slipway-release/slipway/internal/state"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/assemble"
	"github.com/slipway-release/slipway/release/sign"
	"github.com/slipway-release/slipway/release/sign/openpgp"
)

// WriteLayer writes the bare layer, a gzip tar of release-manifests/, to a file,
// or to stdout for "-".
func (p *Payload) WriteLayer(path string, stdout io.Writer) error {
	part, err := p.single("the bare layer")
	if err != nil {
		return err
	}
	l, err := payloadLayer(part.Image)
	if err != nil {
		return fmt.Errorf("writing the bare layer: %w", err)
	}
	rc, err := l.Compressed()
	if err != nil {
		return fmt.Errorf("writing the bare layer: %w", err)
	}
	defer rc.Close()
	if path == "-" {
		_, err = io.Copy(stdout, rc)
	} else {
		err = state.WriteStream(path, 0o644, func(w io.Writer) error {
			_, err := io.Copy(w, rc)
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("writing the bare layer to %q: %w", path, err)
	}
	return nil
}

// WriteDirectory writes the payload's files into a folder, one folder for each
// platform (linux-amd64) when there are several. The folder takes the place of an empty one or of
// one that holds a payload; anything else there is an error.
func (p *Payload) WriteDirectory(dir string) error {
	return ReplaceDirectory(dir, holdsPayload, func(fresh string) error {
		for _, part := range p.Parts {
			into := fresh
			if len(p.Parts) > 1 {
				into = filepath.Join(fresh, folderOf(part))
			}
			if err := writeFiles(into, part.Payload); err != nil {
				return err
			}
		}
		return nil
	})
}

func folderOf(part Part) string {
	name := part.Platform.OS + "-" + part.Platform.Architecture
	if part.Platform.Variant != "" {
		name += "-" + part.Platform.Variant
	}
	return name
}

func writeFiles(dir string, p *release.Payload) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	names := []string{release.ReferencesFile, release.MetadataFile}
	for _, f := range p.Manifests {
		names = append(names, f.Name)
	}
	for _, name := range names {
		data, _ := p.File(name)
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// WriteComponents writes components' manifests as they came, a folder for each,
// with the images of all in image-references. Components without manifests have no folder.
func WriteComponents(dir string, p *release.Payload, components []assemble.Component) error {
	mayReplace := func(dir string) bool {
		_, err := os.Stat(filepath.Join(dir, release.ReferencesFile))
		return err == nil && !holdsPayload(dir)
	}
	return ReplaceDirectory(dir, mayReplace, func(fresh string) error {
		references, _ := p.File(release.ReferencesFile)
		if err := os.WriteFile(filepath.Join(fresh, release.ReferencesFile), references, 0o644); err != nil {
			return err
		}
		for _, c := range components {
			if len(c.Files) == 0 {
				continue
			}
			if err := os.Mkdir(filepath.Join(fresh, c.Name), 0o755); err != nil {
				return err
			}
			for _, f := range c.Files {
				if err := os.WriteFile(filepath.Join(fresh, c.Name, f.Name), f.Data, 0o644); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// holdsPayload reports whether a folder was written by WriteDirectory.
func holdsPayload(dir string) bool {
	for _, pattern := range []string{release.MetadataFile, filepath.Join("*", release.MetadataFile)} {
		if found, err := filepath.Glob(filepath.Join(escapeGlob(dir), pattern)); err == nil && len(found) > 0 {
			return true
		}
	}
	return false
}

func escapeGlob(path string) string {
	var escaped []byte
	for _, c := range []byte(path) {
		if c == '*' || c == '?' || c == '[' || c == '\\' {
			escaped = append(escaped, '\\')
		}
		escaped = append(escaped, c)
	}
	return string(escaped)
}

// ReplaceDirectory fills a new folder and puts it in the place of dir, which may
// be missing, empty, or one that mayReplace agrees to.
func ReplaceDirectory(dir string, mayReplace func(string) bool, fill func(string) error) (err error) {
	dir = filepath.Clean(dir)
	entries, err := os.ReadDir(dir)
	exists := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("writing folder %q: %w", dir, err)
	}
	if len(entries) > 0 && !mayReplace(dir) {
		return fmt.Errorf("writing folder %q: it holds something else; name an empty or a new one", dir)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("writing folder %q: %w", dir, err)
	}
	fresh, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+".*")
	if err != nil {
		return fmt.Errorf("writing folder %q: %w", dir, err)
	}
	defer os.RemoveAll(fresh)
	if err := os.Chmod(fresh, 0o755); err != nil {
		return fmt.Errorf("writing folder %q: %w", dir, err)
	}
	if err := fill(fresh); err != nil {
		return fmt.Errorf("writing folder %q: %w", dir, err)
	}
	if exists {
		old := fresh + ".old"
		if err := os.Rename(dir, old); err != nil {
			return fmt.Errorf("replacing folder %q: %w", dir, err)
		}
		defer os.RemoveAll(old)
	}
	if err := os.Rename(fresh, dir); err != nil {
		return fmt.Errorf("writing folder %q: %w", dir, err)
	}
	return nil
}

// WriteClaim writes the unsigned claim that the payload is to be had in a
// repository, under its version. at is the payload's time, so that the same payload
// gives the same claim.
func (p *Payload) WriteClaim(path, repository string, at time.Time) error {
	digest, err := p.Digest()
	if err != nil {
		return err
	}
	says := sign.Claim{Version: p.Version().String(), Stream: p.Version().Stream(), Architecture: p.Parts[0].Platform.Architecture}
	if p.Index != nil {
		says.Architecture = release.ArchitectureMulti
	}
	claim, err := openpgp.NewClaim(repository+"@"+digest.String(), says, at)
	if err != nil {
		return err
	}
	data, err := claim.JSON()
	if err != nil {
		return err
	}
	if err := state.WriteFile(path, data, 0o644); err != nil {
		return fmt.Errorf("writing claim %q: %w", path, err)
	}
	return nil
}
