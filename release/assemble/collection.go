package assemble

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/manifests"
)

// collection gathers the payload's files, component by component.
type collection struct {
	options  Options
	refs     release.ImageReferences
	versions map[string][]string
	partial  bool

	files    []release.File
	owners   map[string]string // file of the payload → "<component>/<file>" it came from
	missing  map[string]bool   // repositories listed for components that may be missing
	problems manifests.Problems
	warnings []string
}

// substituted is a component's files with everything put in place.
type substituted struct {
	data     [][]byte // one for each file; nil for one with problems
	problems []error  // likewise
}

// addAll adds what the components bring, in their order. The work of
// substitution is done side by side.
func (c *collection) addAll(harvests []harvest) {
	substitutions := make([]manifests.Substitution, len(harvests))
	for i, h := range harvests {
		name := c.options.Components[i].Name
		substitutions[i] = manifests.Substitution{
			Images:            c.images(name, h.sources),
			Repository:        c.options.Repository,
			Version:           c.options.Version.String(),
			ComponentVersions: c.versionsFor(h),
		}
	}
	results := make([]substituted, len(harvests))
	var group errgroup.Group
	group.SetLimit(parallelism())
	for i, h := range harvests {
		group.Go(func() error {
			results[i] = substitute(c.options.Components[i].Name, h, substitutions[i])
			return nil
		})
	}
	_ = group.Wait()
	for i, h := range harvests {
		c.add(c.options.Components[i].Name, h, results[i])
	}
}

func substitute(component string, h harvest, s manifests.Substitution) substituted {
	r := substituted{data: make([][]byte, len(h.files)), problems: make([]error, len(h.files))}
	for i, f := range h.files {
		if !manifests.IsManifest(f.Name) {
			r.data[i] = f.Data
			continue
		}
		r.data[i], r.problems[i] = manifests.Substitute(component+"/"+f.Name, f.Data, s)
	}
	return r
}

func (c *collection) add(component string, h harvest, r substituted) {
	for i, f := range h.files {
		origin := component + "/" + f.Name
		data := r.data[i]
		if err := r.problems[i]; err != nil {
			// What nobody can read can go as it is. A version or image that cannot be
			// put in place would go wrong in a cluster.
			if !unreadable(origin, err) {
				c.report(origin, err)
				continue
			}
			c.doubt(origin, err)
			if data = f.Data; !c.options.SkipChecks {
				continue
			}
		}
		c.put(component, origin, release.File{Name: manifests.FileName(component, f.Name), Data: data})
	}
}

func (c *collection) put(component, origin string, f release.File) {
	if err := manifests.CheckFileName(f.Name); err != nil && manifests.IsManifest(f.Name) {
		c.doubt(origin, errors.New("in the payload the file would be called \""+f.Name+"\", which does not follow 0000_NN_<component>_<file>"))
	}
	if f.Name == release.ReferencesFile || f.Name == release.MetadataFile {
		c.report(origin, errors.New("the payload has a file of this name of its own"))
	}
	if other, clash := c.owners[f.Name]; clash {
		c.doubt(origin, fmt.Errorf("%s has the same name in the payload, %q", other, f.Name))
		if !c.options.SkipChecks {
			return
		}
		f.Name = c.freeName(f.Name)
	}
	c.owners[f.Name] = origin
	c.files = append(c.files, f)
}

// freeName puts the first number that is free, from 2, behind a file's name.
func (c *collection) freeName(file string) string {
	ext := path.Ext(file)
	for n := 2; ; n++ {
		name := fmt.Sprintf("%s_%d%s", strings.TrimSuffix(file, ext), n, ext)
		if _, taken := c.owners[name]; !taken {
			return name
		}
	}
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
			err := fmt.Errorf("component %q is not in the payload", source.Name)
			if c.options.AllowMissing {
				c.missing[manifests.RepositoryOf(source.Image)] = true
				c.warn(origin, err)
			} else {
				c.report(origin, err)
			}
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
	c.problems = append(c.problems, problemsOf(origin, err)...)
}

func (c *collection) warn(origin string, err error) {
	for _, p := range problemsOf(origin, err) {
		c.warnings = append(c.warnings, p.String())
	}
}

// doubt is a problem unless SkipChecks makes a warning of it.
func (c *collection) doubt(origin string, err error) {
	if c.options.SkipChecks {
		c.warn(origin, err)
		return
	}
	c.report(origin, err)
}

func problemsOf(origin string, err error) manifests.Problems {
	var problems manifests.Problems
	if errors.As(err, &problems) {
		return problems
	}
	return manifests.Problems{{File: origin, Message: err.Error()}}
}

func unreadable(origin string, err error) bool {
	return !slices.ContainsFunc(problemsOf(origin, err), func(p manifests.Problem) bool { return p.Flaw != manifests.Unreadable })
}

// withoutMissing drops problems with images that were allowed to be missing.
func (c *collection) withoutMissing(err error) error {
	var problems manifests.Problems
	if len(c.missing) == 0 || !errors.As(err, &problems) {
		return err
	}
	return slices.DeleteFunc(problems, func(p manifests.Problem) bool {
		return p.Image != "" && c.missing[manifests.RepositoryOf(p.Image)]
	}).Err()
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

// versionsFor returns what stands for 0.0.1-snapshot-<key> in a component's
// manifests: where components disagree, what those say that it lists itself, if
// these agree.
func (c *collection) versionsFor(h harvest) map[string][]string {
	versions := c.versions
	narrowed := false
	for key, all := range c.versions {
		if len(all) < 2 {
			continue
		}
		if own := c.listedVersions(h.sources, key); len(own) == 1 {
			if !narrowed {
				versions, narrowed = maps.Clone(c.versions), true
			}
			versions[key] = own
		}
	}
	if c.partial {
		return withGuesses(versions, h.files)
	}
	return versions
}

func (c *collection) listedVersions(sources []release.ImageTag, key string) []string {
	var found []string
	for _, s := range sources {
		for _, t := range c.refs.Tags {
			if t.Name != s.Name {
				continue
			}
			// What a label says was checked when it was read.
			announced, _ := release.ParseComponentVersions(t.Annotations[release.LabelVersions])
			if v, ok := announced[key]; ok && !slices.Contains(found, v) {
				found = append(found, v)
			}
		}
	}
	return found
}
