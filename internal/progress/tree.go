package progress

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// The sequences of a redraw. The begin and end of a synchronized update keep
// terminals that know them from showing half a tree; the others ignore them.
const (
	beginUpdate = "\x1b[?2026h"
	endUpdate   = "\x1b[?2026l"
	clearLine   = "\x1b[K"
	clearBelow  = "\x1b[J"
)

// row is one line of the tree before it is cut to the terminal's width.
type row struct {
	item  *Item
	text  string
	depth int
}

// draw replaces the tree on the screen with the present one, after printing
// text above it. It writes once, and clears each line only behind its new
// text, so that nothing flickers. The caller holds the lock.
func (d *Display) draw(text string) {
	columns, rows := d.size()
	d.frame++
	d.replace(text, d.fit(d.rows(), rows-1), columns)
}

// drawFinal leaves the whole tree, which may be taller than the screen.
func (d *Display) drawFinal() {
	columns, _ := d.size()
	d.replace("", d.rows(), columns)
}

func (d *Display) replace(text string, rows []row, columns int) {
	var b strings.Builder
	b.WriteString(beginUpdate)
	if d.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", d.drawn)
	}
	b.WriteString("\r")
	for l := range strings.Lines(text) {
		b.WriteString(strings.TrimRight(l, "\n") + clearLine + "\n")
	}
	for _, r := range rows {
		// The last column stays free: writing to it makes some terminals wrap.
		b.WriteString(d.color(r, truncate(r.text, columns-1)) + clearLine + "\n")
	}
	b.WriteString(clearBelow + endUpdate)
	d.drawn = len(rows)
	_, _ = io.WriteString(d.w, b.String())
}

func (d *Display) size() (columns, rows int) {
	if d.opts.Size != nil {
		columns, rows = d.opts.Size()
	}
	if columns <= 0 {
		columns = 80
	}
	if rows <= 0 {
		rows = 24
	}
	return columns, rows
}

// rows lists the tree: every item, and what is below those that run or failed.
func (d *Display) rows() []row {
	width := 0
	for _, i := range d.items {
		width = max(width, displayWidth(i.name))
	}
	var out []row
	for _, i := range d.items {
		out = append(out, row{item: i, text: d.text(i, width)})
		if i.status != Running && i.status != Failed {
			continue
		}
		inner := 0
		for _, c := range i.children {
			inner = max(inner, displayWidth(c.name))
		}
		for _, c := range i.children {
			out = append(out, row{item: c, depth: 1, text: "  " + d.text(c, inner)})
		}
	}
	return out
}

func (d *Display) text(i *Item, width int) string {
	pad := strings.Repeat(" ", width-displayWidth(i.name))
	text := d.symbol(i) + " " + i.name + pad + "  "
	if i.started.IsZero() {
		return strings.TrimRight(text+"        "+i.note, " ")
	}
	end := i.finished
	if i.status == Running {
		end = d.opts.Now()
	}
	detail := i.note
	if i.status == Running {
		detail = i.line
	}
	return strings.TrimRight(fmt.Sprintf("%s%6s  %s", text, coarse(end.Sub(i.started).Round(time.Second/10)), detail), " ")
}

// fit leaves out what matters least until the tree has at most limit rows:
// first what is below an item, then items that succeeded or were skipped, from
// the top, then those that wait, from the bottom.
func (d *Display) fit(rows []row, limit int) []row {
	limit = max(limit, 1)
	over := len(rows) - limit
	if over <= 0 {
		return rows
	}
	over++ // the line that says how many are missing
	drop := make([]bool, len(rows))
	mark := func(k int, which func(row) bool) {
		if over > 0 && !drop[k] && which(rows[k]) {
			drop[k] = true
			over--
		}
	}
	for k := range rows {
		mark(k, func(r row) bool { return r.depth > 0 && r.item.status != Running })
	}
	for k := range rows {
		mark(k, func(r row) bool { return r.item.status == Succeeded || r.item.status == Skipped })
	}
	for k := len(rows) - 1; k >= 0; k-- {
		mark(k, func(r row) bool { return r.item.status == Waiting })
	}
	for k := len(rows) - 1; k >= 0; k-- {
		mark(k, func(row) bool { return true })
	}
	out := make([]row, 0, limit)
	missing := 0
	for k, r := range rows {
		if drop[k] {
			missing++
			continue
		}
		out = append(out, r)
	}
	return append(out, row{text: fmt.Sprintf("  and %d more", missing)})
}

func (d *Display) symbol(i *Item) string {
	if d.opts.ASCII {
		if i.status == Running {
			return string(`|/-\`[d.frame%4])
		}
		return [...]string{".", "", "+", "x", "-", "!"}[i.status]
	}
	if i.status == Running {
		frames := []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
		return string(frames[d.frame%len(frames)])
	}
	return [...]string{"·", "", "✓", "✗", "–", "!"}[i.status]
}

func (d *Display) color(r row, text string) string {
	if !d.opts.Color || r.item == nil {
		return text
	}
	code := [...]string{"2", "", "32", "31", "2", "33"}[r.item.status]
	if code == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}
