package promotion

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/blang/semver/v4"
)

// minor is the first two numbers of a version.
type minor struct{ major, minor uint64 }

func (m minor) String() string { return fmt.Sprintf("%d.%d", m.major, m.minor) }

func (m minor) compare(n minor) int {
	return cmp.Or(cmp.Compare(m.major, n.major), cmp.Compare(m.minor, n.minor))
}

// catalog numbers the versions that an input names, by semver, so that comparing two is
// comparing their numbers.
type catalog struct {
	all []entry
	ids map[string]int32
}

// entry is a version.
type entry struct {
	name   string
	semver semver.Version
	minor  minor
	// node is the number of the version without its architecture, which is its own for most.
	node int32
}

// bare cuts the architecture off a version.
func bare(version string) string {
	version, _, _ = strings.Cut(version, "+")
	return version
}

// newCatalog numbers versions, and those that they are without architectures. Names that
// are no versions are left out and reported.
func newCatalog(names map[string]string) (*catalog, error) {
	c := &catalog{ids: make(map[string]int32, len(names))}
	var problems []error
	for name, where := range names {
		v, err := semver.Parse(name)
		if err != nil {
			problems = append(problems, fmt.Errorf("version %q, which %s names, is not semver: %w", name, where, err))
			continue
		}
		c.ids[name] = -1
		c.all = append(c.all, entry{name: name, semver: v, minor: minor{v.Major, v.Minor}})
		if b := bare(name); b != name && names[b] == "" {
			if _, known := c.ids[b]; !known {
				c.ids[b] = -1
				v.Build = nil
				c.all = append(c.all, entry{name: b, semver: v, minor: minor{v.Major, v.Minor}})
			}
		}
	}
	slices.SortFunc(c.all, func(a, b entry) int {
		return cmp.Or(a.semver.Compare(b.semver), strings.Compare(a.name, b.name))
	})
	for i, e := range c.all {
		c.ids[e.name] = int32(i)
	}
	for i := range c.all {
		c.all[i].node = c.ids[bare(c.all[i].name)]
	}
	slices.SortFunc(problems, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return c, errors.Join(problems...)
}

func (c *catalog) name(id int32) string { return c.all[id].name }

// before finds the newest version of the same minor that is older, -1 when there is none.
func (c *catalog) before(id int32) int32 {
	e := c.all[id]
	for at := id - 1; at >= 0 && c.all[at].minor == e.minor; at-- {
		if c.all[at].node == at && c.all[at].semver.LT(e.semver) {
			return at
		}
	}
	return -1
}

// compareVersions orders names of versions that were read before.
func compareVersions(a, b string) int {
	va, _ := semver.Parse(a)
	vb, _ := semver.Parse(b)
	return cmp.Or(va.Compare(vb), strings.Compare(a, b))
}
