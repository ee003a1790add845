package images

import "slices"

// KeepPackages takes from another lock, mostly an older one, the Debian packages of the
// requests that both have. A name is all that a recipe says of such a package, and
// archives go on: what is built of the lock to see what one change does is then not
// built of newer packages as well.
func (l *Lockfile) KeepPackages(from *Lockfile) {
	for i := range l.Debian {
		for _, other := range from.Debian {
			if l.Debian[i].sameRequest(&other) {
				l.Debian[i].Closure = other.Closure
			}
		}
	}
}

// WithBases returns the recipes that are named and those that they stand on, in the
// order of all. Names that no recipe bears are passed over.
func WithBases(all []*Recipe, names ...string) []*Recipe {
	byName := map[string]*Recipe{}
	for _, r := range all {
		byName[r.Metadata.Name] = r
	}
	wanted := map[string]bool{}
	for _, name := range names {
		for r := byName[name]; r != nil && !wanted[r.Metadata.Name]; r = byName[r.From] {
			wanted[r.Metadata.Name] = true
		}
	}
	var chosen []*Recipe
	for _, r := range all {
		if wanted[r.Metadata.Name] {
			chosen = append(chosen, r)
		}
	}
	return chosen
}

// StandingOn returns the names of the recipes that stand on one of those named, by
// any number of steps, in the order of all. The named ones are not among them.
func StandingOn(all []*Recipe, names ...string) []string {
	var found []string
	for _, r := range all {
		if slices.Contains(names, r.Metadata.Name) {
			continue
		}
		for _, below := range WithBases(all, r.Metadata.Name) {
			if slices.Contains(names, below.Metadata.Name) {
				found = append(found, r.Metadata.Name)
				break
			}
		}
	}
	return found
}
