package images

import (
	"fmt"
	"slices"
	"strings"
)

// Order sorts recipes so that each stands behind its base, and otherwise as
// given. Duplicate names, bases that do not exist and circles are problems; the
// order is nil then.
func Order(recipes []*Recipe) ([]*Recipe, []Problem) {
	byName := map[string]*Recipe{}
	var problems []Problem
	for _, r := range recipes {
		if _, twice := byName[r.Metadata.Name]; twice {
			problems = append(problems, Problem{r.Metadata.Name, "metadata.name", fmt.Sprintf("another component is named %q as well", r.Metadata.Name)})
			continue
		}
		byName[r.Metadata.Name] = r
	}
	for _, r := range recipes {
		if _, ok := byName[r.From]; r.From != "" && !ok {
			problems = append(problems, Problem{r.Metadata.Name, "from", fmt.Sprintf("there is no component %q", r.From)})
		}
	}
	problems = append(problems, circles(recipes, byName)...)
	if len(problems) > 0 {
		return nil, problems
	}
	return sorted(recipes, byName), nil
}

// circles reports every circle of bases once, at its alphabetically first member.
func circles(recipes []*Recipe, byName map[string]*Recipe) []Problem {
	var problems []Problem
	reported := map[string]bool{}
	for _, start := range recipes {
		var way []string
		for r := start; r != nil && !slices.Contains(way, r.Metadata.Name); r = byName[r.From] {
			way = append(way, r.Metadata.Name)
			if r.From != start.Metadata.Name {
				continue
			}
			first := slices.Min(way)
			if !reported[first] {
				reported[first] = true
				at := slices.Index(way, first)
				round := slices.Concat(way[at:], way[:at], []string{first})
				problems = append(problems, Problem{first, "from", "components are based on each other in a circle: " + strings.Join(round, " → ")})
			}
			break
		}
	}
	return problems
}

func sorted(recipes []*Recipe, byName map[string]*Recipe) []*Recipe {
	var order []*Recipe
	placed := map[string]bool{}
	var place func(r *Recipe)
	place = func(r *Recipe) {
		if placed[r.Metadata.Name] {
			return
		}
		placed[r.Metadata.Name] = true
		if base := byName[r.From]; base != nil {
			place(base)
		}
		order = append(order, r)
	}
	for _, r := range recipes {
		place(r)
	}
	return order
}
