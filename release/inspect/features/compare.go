package features

import (
	"maps"
	"slices"
)

// The states of a gate in one kind of cluster.
const (
	Enabled  = "Enabled"
	Disabled = "Disabled"
	Unknown  = "" // the payload does not have the gate there
)

// Change is a gate whose state differs in some kind of cluster.
type Change struct {
	Name string `json:"name"`
	// Tests are how many the newer payload names for the gate.
	Tests int `json:"tests"`
	// States has one entry for every kind that both payloads know, in the order of
	// their names.
	States []State `json:"states"`
}

// State is a gate's in one kind of cluster, before and after: Enabled, Disabled or
// Unknown.
type State struct {
	Kind
	From string `json:"from"`
	To   string `json:"to"`
}

// String says the state in the words of oc's tables; "" of a gate that is, and was,
// off or not there.
func (s State) String() string {
	switch {
	case s.From == s.To && s.To == Enabled:
		return Enabled
	case s.From != Unknown && s.To == Unknown:
		return "Removed"
	case s.To == Disabled && s.From == Enabled:
		return Disabled + " (Changed)"
	case s.To == Enabled && s.From == Disabled:
		return Enabled + " (Changed)"
	case s.To == Enabled:
		return Enabled + " (New)"
	}
	return ""
}

// New reports whether the older payload does not have the gate at all.
func (c Change) New() bool { return c.all(func(s State) bool { return s.From == Unknown }) }

// Gone reports whether the newer payload does not have the gate at all.
func (c Change) Gone() bool { return c.all(func(s State) bool { return s.To == Unknown }) }

func (c Change) all(is func(State) bool) bool {
	return !slices.ContainsFunc(c.States, func(s State) bool { return !is(s) })
}

// Compare returns the gates that differ, sorted by name. Kinds of clusters that only
// one of the payloads knows are not compared: all their gates would be new.
func Compare(from, to *Gates) []Change {
	var kinds []Kind
	all := map[string]bool{}
	for _, k := range to.Kinds() {
		if from.on[k] == nil {
			continue
		}
		kinds = append(kinds, k)
		for _, g := range []*Gates{from, to} {
			for name := range g.on[k] {
				all[name] = true
			}
		}
	}
	changes := []Change{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		c := Change{Name: name, Tests: to.tests[name]}
		differs := false
		for _, k := range kinds {
			s := State{Kind: k, From: from.state(k, name), To: to.state(k, name)}
			differs = differs || s.From != s.To
			c.States = append(c.States, s)
		}
		if differs {
			changes = append(changes, c)
		}
	}
	return changes
}

func (g *Gates) state(k Kind, name string) string {
	switch on, known := g.on[k][name]; {
	case !known:
		return Unknown
	case on:
		return Enabled
	}
	return Disabled
}
