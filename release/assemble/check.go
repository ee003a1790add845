package assemble

import (
	"slices"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/manifests"
)

// filesAtOnce bounds how many parsed manifests are held at a time.
const filesAtOnce = 64

// check parses the payload's files and reports what is wrong with them, and all
// that was found before. The images are not looked at when something was, for one
// that could not be put in place would be reported twice.
func (c *collection) check() error {
	images := make(map[string]bool, len(c.refs.Tags))
	for _, t := range c.refs.Tags {
		images[t.Image] = true
	}
	sound := len(c.problems) == 0
	var kept []manifests.Object
	for files := range slices.Chunk(sortedFiles(c.files), filesAtOnce) {
		objects, problems := manifests.Read(files)
		c.weigh(problems.Err())
		if sound {
			c.weigh(c.withoutMissing(manifests.CheckImages(objects, func(ref string) bool { return images[ref] })))
		}
		for _, o := range objects {
			kept = append(kept, identity(o))
		}
	}
	c.weigh(manifests.Duplicates(kept).Err())
	c.weigh(manifests.MissingNamespaces(kept).Err())
	return c.problems.Err()
}

func sortedFiles(files []release.File) []release.File {
	sorted := slices.Clone(files)
	slices.SortFunc(sorted, func(a, b release.File) int { return compareNames(a.Name, b.Name) })
	return sorted
}

// identity is what an object must show for a comparison with all others: its
// name, its annotations, and what a definition defines.
func identity(o manifests.Object) manifests.Object {
	content := map[string]any{"metadata": o.Content["metadata"]}
	if o.Kind == "CustomResourceDefinition" {
		if spec, ok := o.Content["spec"].(map[string]any); ok {
			content["spec"] = map[string]any{"group": spec["group"], "names": spec["names"], "scope": spec["scope"]}
		}
	}
	return manifests.Object{
		File: o.File, Line: o.Line, APIVersion: o.APIVersion, Kind: o.Kind, Namespace: o.Namespace, Name: o.Name, Content: content,
	}
}

// weigh attributes problems with the payload's files to the components they
// came from. They are warnings where SkipChecks says so.
func (c *collection) weigh(err error) {
	if err == nil {
		return
	}
	for _, p := range problemsOf("", c.attribute(err)) {
		if c.options.SkipChecks {
			c.warnings = append(c.warnings, p.String())
		} else {
			c.problems = append(c.problems, p)
		}
	}
}
