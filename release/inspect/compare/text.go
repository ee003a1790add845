package compare

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/slipway-release/slipway/release/inspect"
)

// WriteText writes the diff for people at a terminal.
func (d *Diff) WriteText(w io.Writer, v View) error {
	var b bytes.Buffer
	r := d.report(v)
	textTable(&b, "", r.Head)
	b.WriteByte('\n')
	for _, l := range r.Summary {
		b.WriteString(inspect.Printable(strings.TrimRight(l.Text, " ")))
		if l.Mark != "" {
			b.WriteString(" " + l.Mark)
		}
		b.WriteByte('\n')
	}
	for _, s := range r.Sections {
		title := s.Title
		if s.Note != "" {
			title += " (" + s.Note + ")"
		}
		fmt.Fprintf(&b, "\n%s:\n", inspect.Printable(title))
		textTable(&b, "  ", s.Rows)
		textItems(&b, s.Items)
	}
	_, err := w.Write(b.Bytes())
	return err
}

func textTable(b *bytes.Buffer, indent string, t table) {
	var widths []int
	for _, cells := range t {
		for i, c := range cells {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], len([]rune(c.Text)))
		}
	}
	for _, cells := range t {
		var text strings.Builder
		for i, c := range cells {
			fmt.Fprintf(&text, "%-*s  ", widths[i], inspect.Printable(c.Text))
		}
		fmt.Fprintf(b, "%s%s\n", indent, strings.TrimRight(text.String(), " "))
	}
}

// textItems writes an object's file far to the right, where it does not disturb.
func textItems(b *bytes.Buffer, items []item) {
	width := 0
	for _, it := range items {
		if it.Aside != "" {
			width = max(width, len([]rune(it.Text)))
		}
	}
	width = min(width, 76)
	for _, it := range items {
		text := inspect.Printable(it.Text)
		if it.Aside != "" {
			text = fmt.Sprintf("%-*s  (%s)", width, text, inspect.Printable(it.Aside))
		}
		fmt.Fprintf(b, "  %s %s\n", it.Mark, text)
		for _, l := range it.Lines {
			fmt.Fprintf(b, "      %s%s %s\n", strings.Repeat("  ", l.Depth), l.Mark, inspect.Printable(l.Text))
		}
	}
}
