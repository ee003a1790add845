package manifests

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Flaw is the class of a problem.
type Flaw int

// The classes of what can be wrong with a manifest. The zero value is that of
// everything else, such as images and versions.
const (
	OtherFlaw        Flaw = iota
	Unreadable            // the file or one of its documents is not YAML or JSON, or no object
	MissingField          // apiVersion, kind or metadata.name is missing or no string
	MissingNamespace      // the kind lives in a namespace and the object names none
	DuplicateObject       // another file or document makes the same object
)

// Problem is one thing wrong with a manifest.
type Problem struct {
	File    string
	Line    int // from 1; 0 when it concerns the whole file
	Message string
	Flaw    Flaw
	Object  string // what Object.String says, where one is concerned
	Other   string // the other file, of a DuplicateObject
	Image   string // the reference, where CheckImages found fault with it
}

// String is "file:line: message".
func (p Problem) String() string {
	if p.Line == 0 {
		return p.File + ": " + p.Message
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Message)
}

// Problems is everything found wrong, as one error. All errors of this package
// are of this type (errors.As).
type Problems []Problem

// Error gives one line for every problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Err returns the problems sorted by file and line, each once, or nil when there are none.
func (ps Problems) Err() error {
	if len(ps) == 0 {
		return nil
	}
	sorted := slices.Clone(ps)
	slices.SortStableFunc(sorted, func(a, b Problem) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), strings.Compare(a.Message, b.Message))
	})
	return slices.Compact(sorted)
}

func (ps *Problems) add(file string, line int, format string, args ...any) {
	ps.flaw(OtherFlaw, file, line, format, args...)
}

func (ps *Problems) flaw(flaw Flaw, file string, line int, format string, args ...any) {
	*ps = append(*ps, Problem{File: file, Line: line, Message: fmt.Sprintf(format, args...), Flaw: flaw})
}
