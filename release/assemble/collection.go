package assemble

import (
	"errors"
	"fmt"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/manifests"
)

// collection gathers the payload's files, component by component.
type collection struct {
	options  Options
	refs     release.ImageReferences
	versions map[string][]string

	files    []release.File
	owners   map[string]string // file of the payload → "<component>/<file>" it came from
	problems manifests.Problems
}

func (c *collection) add(component string, h harvest) {
	substitution := manifests.Substitution{
		Images:            c.images(component, h.sources),
		Repository:        c.options.Repository,
		Version:           c.options.Version.String(),
		ComponentVersions: c.versions,
	}
	for _, f := range h.files {
		origin := component + "/" + f.Name
		data := f.Data
		if manifests.IsManifest(f.Name) {
			var err error
			if data, err = manifests.Substitute(origin, data, substitution); err != nil {
				c.report(origin, err)
				continue
			}
		}
		c.put(component, origin, release.File{Name: manifests.FileName(component, f.Name), Data: data})
	}
}

func (c *collection) put(component, origin string, f release.File) {
	if err := manifests.CheckFileName(f.Name); err != nil && manifests.IsManifest(f.Name) {
		c.report(origin, errors.New("in the payload the file would be called \""+f.Name+"\", which does not follow 0000_NN_<component>_<file>"))
	}
	if f.Name == release.ReferencesFile || f.Name == release.MetadataFile {
		c.report(origin, errors.New("the payload has a file of this name of its own"))
	}
	if other, clash := c.owners[f.Name]; clash {
		c.report(origin, fmt.Errorf("%s has the same name in the payload, %q", other, f.Name))
		return
	}
	c.owners[f.Name] = origin
	c.files = append(c.files, f)
}

// images returns what a component's manifests may name: every component below
// the canonical repository, and what the component lists itself.
func (c *collection) images(component string, sources []release.ImageTag) map[string]string {
	images := map[string]string{}
	if c.options.Repository != "" {
		for _, t := range c.refs.Tags {
			images[c.options.Repository+"/"+t.Name] = t.Image
		}
	}
	listed := map[string]string{}
	origin := component + "/" + release.ReferencesFile
	for _, source := range sources {
		pinned, ok := c.refs.Image(source.Name)
		if !ok {
			c.report(origin, fmt.Errorf("component %q is not in the payload", source.Name))
			continue
		}
		repository := manifests.RepositoryOf(source.Image)
		if other, twice := listed[repository]; twice {
			c.report(origin, fmt.Errorf("image %q is listed for %q and for %q", repository, other, source.Name))
			continue
		}
		if canonical, ok := images[repository]; ok && canonical != pinned {
			c.report(origin, fmt.Errorf("image %q is listed for %q, but it is that of another component", repository, source.Name))
			continue
		}
		listed[repository] = source.Name
		images[repository] = pinned
	}
	return images
}

func (c *collection) report(origin string, err error) {
	var problems manifests.Problems
	if errors.As(err, &problems) {
		c.problems = append(c.problems, problems...)
		return
	}
	c.problems = append(c.problems, manifests.Problem{File: origin, Message: err.Error()})
}

// attribute names the component's own file in problems found in the payload's.
func (c *collection) attribute(err error) error {
	var problems manifests.Problems
	if !errors.As(err, &problems) {
		return err
	}
	attributed := make(manifests.Problems, 0, len(problems))
	for _, p := range problems {
		if origin, ok := c.owners[p.File]; ok {
			p.File = origin
		}
		attributed = append(attributed, p)
	}
	return attributed.Err()
}
