package graph

import "fmt"

// Trials are how many trials of an upgrade have passed, of those that must have passed for
// it to count as tested. The zero value is that of an upgrade of which nobody counts.
type Trials struct{ Passed, Needed int }

// Short says that too few have passed.
func (t Trials) Short() bool { return t.Passed < t.Needed }

// String is "1 of 2", or "" where nobody counts.
func (t Trials) String() string {
	if t == (Trials{}) {
		return ""
	}
	return fmt.Sprintf("%d of %d", t.Passed, t.Needed)
}

// MarshalText implements encoding.TextMarshaler.
func (t Trials) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// Tried is an upgrade that was tried.
type Tried struct {
	Edge
	Passed int `json:"passed"`
}

// Trials are those of the upgrades that were tried. There are none where one trial is
// enough, of which nobody needs to be told.
func (s *Snapshot) Trials() map[Edge]Trials {
	all := make(map[Edge]Trials, len(s.Tried))
	for _, t := range s.Tried {
		all[t.Edge] = Trials{t.Passed, s.Needed}
	}
	return all
}
