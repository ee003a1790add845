package compare

import (
	"bytes"
	"fmt"
	"html"
	"io"
	"strings"

	"github.com/slipway-release/slipway/release/inspect"
)

// maxComment is the largest Markdown that is written unless all is asked for, in
// bytes. GitHub and GitLab refuse comments beyond 65,536 characters, and about 1 MB.
const maxComment = 60_000

// WriteMarkdown writes the diff as a comment on a merge request: the summary is
// seen, what can be long is folded. Sections for which a comment has no room are named
// at its end.
func (d *Diff) WriteMarkdown(w io.Writer, v View) error {
	var b bytes.Buffer
	r := d.report(v)
	fmt.Fprintf(&b, "## %s\n\n", inline(r.Title))
	markdownTable(&b, r.Head)
	for _, l := range r.Summary {
		mark := ""
		if l.Mark != "" {
			mark = " ⚠️"
		}
		what, text, _ := strings.Cut(l.Text, " ")
		if d.Identical {
			fmt.Fprintf(&b, "%s\n", inline(l.Text))
			continue
		}
		fmt.Fprintf(&b, "- **%s:** %s%s\n", inline(what), inline(strings.TrimSpace(text)), mark)
	}
	var left []string
	for _, s := range r.Sections {
		part := markdownSection(s)
		if !v.Full && b.Len()+len(part) > maxComment {
			left = append(left, fmt.Sprintf("%s (%d)", s.Title, s.size()))
			continue
		}
		b.WriteString(part)
	}
	if len(left) > 0 {
		fmt.Fprintf(&b, "\nLeft out, as a comment has no room for it: %s.\n", strings.Join(left, "; "))
	}
	_, err := w.Write(b.Bytes())
	return err
}

// size is how many things a section tells.
func (s section) size() int { return max(len(s.Rows)-1, 0) + len(s.Items) }

func markdownSection(s section) string {
	var b bytes.Buffer
	open := ""
	if s.Alarm {
		open = " open"
	}
	fmt.Fprintf(&b, "\n<details%s><summary>%s (%d)</summary>\n\n", open, html.EscapeString(s.Title), s.size())
	if s.Note != "" {
		fmt.Fprintf(&b, "%s\n\n", inline(s.Note))
	}
	markdownTable(&b, s.Rows)
	if len(s.Items) > 0 {
		b.WriteString(fenced(s.Items))
	}
	return strings.TrimRight(b.String(), "\n") + "\n\n</details>\n"
}

func markdownTable(b *bytes.Buffer, t table) {
	for i, cells := range t {
		for _, c := range cells {
			text := inline(c.Text)
			if c.Link != "" {
				text = fmt.Sprintf("[%s](<%s>)", text, strings.NewReplacer("<", "%3C", ">", "%3E", "\n", "").Replace(c.Link))
			}
			fmt.Fprintf(b, "| %s ", text)
		}
		b.WriteString("|\n")
		if i == 0 {
			b.WriteString(strings.Repeat("|---", len(cells)) + "|\n")
		}
	}
	if len(t) > 0 {
		b.WriteByte('\n')
	}
}

// fenced writes items as a diff, which forges colour by the first character of a
// line. A fence longer than any in the text cannot be closed by it.
func fenced(items []item) string {
	var b bytes.Buffer
	for _, it := range items {
		text := it.Text
		if it.Aside != "" {
			text += "  (" + it.Aside + ")"
		}
		fmt.Fprintf(&b, "%s %s\n", it.Mark, inspect.Printable(text))
		for _, l := range it.Lines {
			fmt.Fprintf(&b, "%s   %s%s\n", l.Mark, strings.Repeat("  ", l.Depth), inspect.Printable(l.Text))
		}
	}
	fence := "```"
	for strings.Contains(b.String(), fence) {
		fence += "`"
	}
	return fence + "diff\n" + b.String() + fence + "\n"
}

var markdownEscapes = strings.NewReplacer(`\`, `\\`, "|", `\|`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "<", "&lt;", ">", "&gt;", "&", "&amp;", "#", `\#`, "@", "&#64;", "!", `\!`)

// inline makes text of others harmless in Markdown: no markup, no links, and no
// mention of people.
func inline(s string) string { return markdownEscapes.Replace(inspect.Printable(s)) }
