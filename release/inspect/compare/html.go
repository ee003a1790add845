package compare

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
)

//go:embed diff.html
var page string

// WriteHTML writes the diff as one page that needs nothing besides itself.
func (d *Diff) WriteHTML(w io.Writer, v View) error {
	// Parsed here and not when the program starts, which most commands would pay for.
	t, err := template.New("diff").Parse(page)
	if err != nil {
		return fmt.Errorf("writing the diff as HTML: %w", err)
	}
	return t.Execute(w, d.report(v))
}

// Size is how many things a section tells.
func (s section) Size() int { return s.size() }

// Class is the colour of a line.
func (l line) Class() string { return classOf(l.Mark) }

// Class is the colour of an item.
func (i item) Class() string { return classOf(i.Mark) }

func classOf(mark string) string {
	switch mark {
	case "+":
		return "added"
	case "-":
		return "removed"
	case "!":
		return "alarm"
	}
	return "plain"
}

// Indent is the blanks before a line.
func (l line) Indent() string { return strings.Repeat("  ", 1+l.Depth) }
