package path

import (
	"cmp"
	"slices"
	"strings"

	"github.com/slipway-release/slipway/internal/spelling"
)

// maxNear bounds the names for which near ones are looked for, in bytes.
const maxNear = 128

// didYouMean ends a sentence about a name that there is not with those that look like it.
func didYouMean(name string, known []string) string {
	if near := Near(name, known); len(near) > 0 {
		return "; did you mean " + join(near, "or") + "?"
	}
	return ""
}

// Near are a few names that look like one that there is not: those that begin with it,
// then those that differ in the fewest letters.
func Near(name string, known []string) []string {
	if name == "" || len(name) > maxNear {
		return nil
	}
	type candidate struct {
		name string
		far  int
	}
	var near []candidate
	for _, k := range known {
		far := 0
		if !strings.HasPrefix(k, name) {
			far = spelling.Distance(name, k)
		}
		if far <= max(1, len(name)/4) {
			near = append(near, candidate{k, far})
		}
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return cmp.Compare(a.far, b.far) })
	var names []string
	for _, c := range near[:min(few, len(near))] {
		names = append(names, c.name)
	}
	return names
}
