package input

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/assemble"
)

const (
	// maxFile and maxFiles bound one file of a component, in bytes, and their number.
	maxFile  = 8 << 20
	maxFiles = 20_000
)

// FromDirectory takes components that somebody extracted: every folder in dir
// is one, with the files of its /manifests. The file image-references in dir, if there is one,
// says which images they and further components are; the rest needs overrides.
// Folders in a component's folder are left out, as they are in images; links are errors.
func FromDirectory(dir string) (*Set, error) {
	s := &Set{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("reading components: %w", err)
	}
	var problems []error
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		c, err := readComponent(filepath.Join(dir, e.Name()), e.Name())
		problems = append(problems, err)
		s.Components = append(s.Components, c)
	}
	problems = append(problems, s.readReferences(filepath.Join(dir, release.ReferencesFile)))
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("reading components in %q: %w", dir, err)
	}
	if len(s.Components) == 0 {
		return nil, fmt.Errorf("reading components in %q: there are none; each is a folder with its manifests", dir)
	}
	s.sort()
	return s, nil
}

func readComponent(dir, name string) (assemble.Component, error) {
	c := assemble.Component{Name: name, Files: []release.File{}}
	if !componentName.MatchString(name) {
		return c, fmt.Errorf("%q is not the name of a component", name)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return c, err
	}
	if len(entries) > maxFiles {
		return c, fmt.Errorf("component %q has more than %d files", name, maxFiles)
	}
	var problems []error
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		info, err := e.Info()
		switch {
		case err != nil:
		case !info.Mode().IsRegular():
			err = fmt.Errorf("%q is no file", filepath.Join(name, e.Name()))
		case info.Size() > maxFile:
			err = fmt.Errorf("%q has %d bytes, at most %d are accepted", filepath.Join(name, e.Name()), info.Size(), maxFile)
		default:
			var data []byte
			if data, err = os.ReadFile(filepath.Join(dir, e.Name())); err == nil {
				c.Files = append(c.Files, release.File{Name: e.Name(), Data: data})
			}
		}
		problems = append(problems, err)
	}
	return c, errors.Join(problems...)
}

// readReferences gives the components of folders their images, and adds those
// that have no folder. Such a component brings no manifests, whatever its image holds.
func (s *Set) readReferences(path string) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	is, err := parseStream(data)
	if err != nil {
		return err
	}
	from, err := is.set(ReferencePublic)
	if err != nil {
		return err
	}
	// The file is what --dir wrote or somebody wrote for this, and goes on as it is.
	s.Annotations = is.Metadata.Annotations
	for _, listed := range from.Components {
		listed.Files = []release.File{}
		i := slices.IndexFunc(s.Components, func(c assemble.Component) bool { return c.Name == listed.Name })
		if i < 0 {
			s.Components = append(s.Components, listed)
			continue
		}
		listed.Files = s.Components[i].Files
		s.Components[i] = listed
	}
	return nil
}
