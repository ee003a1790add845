package sarif

import "slices"

// Level is how much a finding weighs.
type Level string

// The levels, the gravest first.
const (
	Error   Level = "error"
	Warning Level = "warning"
	Note    Level = "note"
)

// AtLeast reports whether l is as grave as other, or graver.
func (l Level) AtLeast(other Level) bool {
	order := []Level{Note, Warning, Error}
	return slices.Index(order, l) >= slices.Index(order, other)
}
