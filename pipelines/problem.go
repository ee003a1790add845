package pipelines

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing wrong with a file.
type Problem struct {
	File string
	// Line is that of the field or of the nearest one above it that exists; 0
	// when the file as a whole is meant.
	Line int
	// Field is a path such as spec.tasks[2].params[digest]; empty when the
	// document as a whole is meant.
	Field   string
	Message string
	// Warning marks what is odd but does not stop anything.
	Warning bool
}

// String gives file:line: field: message.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	b.WriteString(": ")
	if p.Warning {
		b.WriteString("warning: ")
	}
	if p.Field != "" {
		b.WriteString(p.Field + ": ")
	}
	b.WriteString(p.Message)
	return b.String()
}

// Problems are all that was found, in the order of files and lines.
type Problems []Problem

// Error lists the problems one to a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Err returns the problems that are not warnings as an error, or nil.
func (ps Problems) Err() error {
	if errs := slices.DeleteFunc(slices.Clone(ps), func(p Problem) bool { return p.Warning }); len(errs) > 0 {
		return errs
	}
	return nil
}

// Warnings returns the problems that do not stop anything.
func (ps Problems) Warnings() Problems {
	return slices.DeleteFunc(slices.Clone(ps), func(p Problem) bool { return !p.Warning })
}

func (ps Problems) sorted() Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line),
			strings.Compare(a.Field, b.Field), strings.Compare(a.Message, b.Message))
	})
	return slices.Compact(ps)
}
