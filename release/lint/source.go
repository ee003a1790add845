package lint

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/manifests"
)

// Source is what a folder holds, by the names that the files have, or would have,
// in a payload.
type Source struct {
	Files []release.File
	// References are those of an extracted payload; of sources they are empty.
	References release.ImageReferences

	paths    map[string]string // by file
	replaced map[string]bool   // repositories
}

// manifestsDir is where a component keeps its manifests.
const manifestsDir = "manifests"

// Load reads a folder: an extracted payload; the components of a distribution, each with
// its manifests in its folder or in manifests/ below it; a distribution, which has them in
// components/; or the manifests of a single component.
func Load(dir string) (*Source, error) {
	s := &Source{paths: map[string]string{}, replaced: map[string]bool{}}
	for _, below := range []string{"release-manifests", "components"} {
		if info, err := os.Stat(filepath.Join(dir, below)); err == nil && info.IsDir() {
			dir = filepath.Join(dir, below)
			break
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("reading manifests: %w", err)
	}
	var folders []string
	isPayload, hasManifests := false, false
	for _, e := range entries {
		isPayload = isPayload || e.Name() == release.MetadataFile
		hasManifests = hasManifests || manifests.IsManifest(e.Name())
		if info, err := os.Stat(filepath.Join(dir, e.Name())); err == nil && info.IsDir() {
			folders = append(folders, e.Name())
		}
	}
	switch {
	case isPayload:
		err = s.payload(dir)
	case hasManifests || len(folders) == 0:
		err = s.component(componentOf(dir), dir)
	default:
		for _, name := range folders {
			err = errors.Join(err, s.component(name, filepath.Join(dir, name)))
		}
	}
	if err != nil {
		return nil, err
	}
	if len(s.Files) == 0 {
		return nil, fmt.Errorf("reading manifests: %q holds none, neither itself, nor in a folder below it or its %s/", dir, manifestsDir)
	}
	return s, nil
}

// componentOf guesses a component's name from where its manifests are.
func componentOf(dir string) string {
	if absolute, err := filepath.Abs(dir); err == nil {
		dir = absolute
	}
	if filepath.Base(dir) == manifestsDir {
		dir = filepath.Dir(dir)
	}
	return filepath.Base(dir)
}

// Origin returns the path of a file, for Options.
func (s *Source) Origin(file string) string {
	if path, ok := s.paths[file]; ok {
		return path
	}
	return file
}

// Replaced reports whether assembling replaces a repository, for Options: the image-references
// of a component list it, or Replace named it.
func (s *Source) Replaced(repository string) bool { return s.replaced[repository] }

// Replace names repositories that assembling replaces besides.
func (s *Source) Replace(repositories ...string) {
	for _, r := range repositories {
		s.replaced[r] = true
	}
}

func (s *Source) payload(dir string) error {
	return eachFile(dir, func(name, path string, data []byte) error {
		if name == release.ReferencesFile {
			var err error
			if s.References, err = release.ParseImageReferences(data); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			return nil
		}
		s.put(name, path, data)
		return nil
	})
}

func (s *Source) component(name, dir string) error {
	if info, err := os.Stat(filepath.Join(dir, manifestsDir)); err == nil && info.IsDir() {
		dir = filepath.Join(dir, manifestsDir)
	} else if _, err := os.Stat(filepath.Join(dir, "component.yaml")); err == nil {
		return nil // a component's recipe, and no manifests
	}
	if !bringsManifests(dir) {
		return nil
	}
	return eachFile(dir, func(file, path string, data []byte) error {
		if file != release.ReferencesFile {
			s.put(manifests.FileName(name, file), path, data)
			return nil
		}
		asJSON, err := yaml.YAMLToJSON(data)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		refs, err := release.ParseImageReferences(asJSON)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for _, t := range refs.Tags {
			s.replaced[manifests.RepositoryOf(t.Image)] = true
		}
		return nil
	})
}

func bringsManifests(dir string) bool {
	entries, err := os.ReadDir(dir)
	return err != nil || slices.ContainsFunc(entries, func(e os.DirEntry) bool { return manifests.IsManifest(e.Name()) })
}

func (s *Source) put(name, path string, data []byte) {
	if name == release.MetadataFile {
		return
	}
	if _, clash := s.paths[name]; !clash {
		s.paths[name] = path
	}
	s.Files = append(s.Files, release.File{Name: name, Data: data})
}

// maxFile bounds what is read of one file; no manifest comes near it.
const maxFile = 64 << 20

// eachFile visits the regular files of a folder, by name, and tells all that went
// wrong. Folders within it are left out, as from a payload.
func eachFile(dir string, visit func(name, path string, data []byte) error) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("reading manifests: %w", err)
	}
	var problems []error
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		path := filepath.Join(dir, e.Name())
		info, err := os.Stat(path)
		switch {
		case err != nil:
			problems = append(problems, fmt.Errorf("reading manifests: %w", err))
		case info.IsDir():
		case !info.Mode().IsRegular():
			problems = append(problems, fmt.Errorf("reading manifests: %s is no regular file (%s)", path, info.Mode().Type()))
		case info.Size() > maxFile:
			problems = append(problems, fmt.Errorf("reading manifests: %s holds %d bytes, and %d are the most", path, info.Size(), maxFile))
		default:
			data, err := os.ReadFile(path)
			if err == nil {
				err = visit(e.Name(), path, data)
			}
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}
