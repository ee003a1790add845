package promotion

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/blang/semver/v4"
)

// riskIndex finds risks by the version that bears them.
type riskIndex map[int32][]risk

// risk is one that a version bears.
type risk struct {
	name    string
	fixed   bool
	fixedIn semver.Version
}

func newRiskIndex(risks []Risk, c *catalog) (riskIndex, error) {
	index := riskIndex{}
	var problems []error
	for _, r := range risks {
		one := risk{name: r.Name, fixed: r.FixedIn != ""}
		if one.fixed {
			var err error
			if one.fixedIn, err = semver.Parse(r.FixedIn); err != nil {
				problems = append(problems, fmt.Errorf("risk %q is fixed in version %q, which is not semver: %w", r.Name, r.FixedIn, err))
			}
		}
		for _, to := range r.To {
			if id, ok := c.ids[bare(to)]; ok {
				index[id] = append(index[id], one)
			}
		}
	}
	for _, on := range index {
		slices.SortFunc(on, func(a, b risk) int { return strings.Compare(a.name, b.name) })
	}
	slices.SortFunc(problems, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return index, errors.Join(problems...)
}

// forgotten are the risks on the patch before a version that it neither bears nor fixes.
func (x riskIndex) forgotten(c *catalog, v int32) (names []string, before int32) {
	before = c.before(v)
	if before < 0 {
		return nil, before
	}
	for _, r := range x[before] {
		borne := slices.ContainsFunc(x[v], func(on risk) bool { return on.name == r.name })
		if !borne && !(r.fixed && r.fixedIn.LTE(c.all[v].semver)) {
			names = append(names, r.name)
		}
	}
	return slices.Compact(names), before
}
