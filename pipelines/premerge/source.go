package premerge

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/slipway-release/slipway/internal/git"
)

// Source says where a changed component comes from. Exactly one of Folder, Ref and
// Image is set.
type Source struct {
	Component string
	Named     string // what a person typed behind the component's name
	// Folder is a component's folder on this host.
	Folder string
	// Ref is a branch, tag, commit or other ref of Repository, or of the checkout when
	// that is nil. Path is the component's folder in it; empty: it is looked for.
	Ref        string
	Repository *git.URL
	Path       string
	// Image is a pull spec or an image in files.
	Image string
}

var componentName = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}$`)

// gitPrefix begins a ref of the checkout.
const gitPrefix = "git:"

// ParseSource reads NAME=SOURCE, where SOURCE is a component's folder, git:REF for the
// component as of another commit of the checkout, URL#REF or URL#REF:PATH for one in
// a repository of others, or an image: a pull spec or oci:LAYOUT.
func ParseSource(arg string) (Source, error) {
	name, named, ok := strings.Cut(arg, "=")
	if !ok || named == "" || !componentName.MatchString(name) {
		return Source{}, fmt.Errorf("reading --component %q: it is not NAME=SOURCE, with the name of a component and a folder, git:REF, URL#REF or image", arg)
	}
	s := Source{Component: name, Named: named}
	if err := s.parse(named); err != nil {
		return Source{}, fmt.Errorf("reading --component %q: %w", arg, err)
	}
	return s, nil
}

// ParseSources reads several, and reports all that is wrong at once.
func ParseSources(args []string) ([]Source, error) {
	var sources []Source
	var problems []error
	first := map[string]string{}
	for _, arg := range args {
		s, err := ParseSource(arg)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		if before, twice := first[s.Component]; twice {
			problems = append(problems, fmt.Errorf("reading --component: %q is given twice, as %s and %s", s.Component, before, s.Named))
			continue
		}
		first[s.Component] = s.Named
		sources = append(sources, s)
	}
	return sources, errors.Join(problems...)
}

func (s *Source) parse(named string) error {
	if ref, ok := strings.CutPrefix(named, gitPrefix); ok {
		if s.Ref = ref; ref == "" {
			return errors.New("git: must be followed by a branch, a tag or a commit")
		}
		return nil
	}
	if location, rest, ok := strings.Cut(named, "#"); ok {
		return s.parseURL(location, rest)
	}
	if strings.Contains(named, "://") {
		return errors.New("a repository must be followed by #REF, a branch, tag or commit of it")
	}
	info, err := os.Stat(named)
	switch {
	case err == nil && info.IsDir() && isLayout(named):
		s.Image = named
	case err == nil && info.IsDir():
		if _, err := os.Stat(filepath.Join(named, componentFile)); err != nil {
			return fmt.Errorf("the folder has no %s: %w", componentFile, err)
		}
		s.Folder = filepath.Clean(named)
	case strings.HasPrefix(named, ".") || strings.HasPrefix(named, "/"):
		if err == nil {
			err = errors.New("it is a file")
		}
		return fmt.Errorf("it must be a component's folder: %w", err)
	default:
		s.Image = named
	}
	return nil
}

// componentFile makes a folder that of a component.
const componentFile = "component.yaml"

// isLayout tells the folder of an OCI layout.
func isLayout(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "oci-layout"))
	return err == nil
}

func (s *Source) parseURL(location, rest string) error {
	u, err := git.ParseURL(location)
	if err != nil {
		return err
	}
	s.Repository = &u
	if s.Ref, s.Path, _ = strings.Cut(rest, ":"); s.Ref == "" {
		return errors.New("# must be followed by a branch, a tag or a commit")
	}
	if s.Path = strings.Trim(s.Path, "/"); s.Path != "" && !filepath.IsLocal(s.Path) {
		return fmt.Errorf("the path %q leaves the repository", s.Path)
	}
	return nil
}
