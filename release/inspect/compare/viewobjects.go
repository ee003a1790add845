package compare

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

func (m Manifests) sections(v View) []section {
	added := section{Title: "Objects added"}
	for _, o := range m.Added {
		added.Items = append(added.Items, item{Mark: "+", Text: o.String(), Aside: o.File})
	}
	removed := section{Title: "Objects removed", Note: "the cluster-version operator leaves them in clusters", Alarm: true}
	for _, o := range m.Removed {
		removed.Items = append(removed.Items, item{Mark: "-", Text: o.String(), Aside: o.File})
	}
	changed := section{Title: "Objects changed"}
	for _, o := range m.Changed {
		it := item{Mark: "~", Text: o.String(), Aside: o.File}
		if o.FromFile != "" {
			it.Lines = append(it.Lines, line{Mark: "~", Text: fmt.Sprintf("file: %s → %s", o.FromFile, o.File)})
		}
		it.Lines = append(it.Lines, changeLines(o.Changes, v)...)
		changed.Items = append(changed.Items, it)
	}
	only := section{Title: "Objects that differ in images or version only"}
	for i, o := range m.OnlyImages {
		if !v.Full && i == maxNames && len(m.OnlyImages) > maxNames+1 {
			only.Items = append(only.Items, item{Mark: " ", Text: fmt.Sprintf("and %d more", len(m.OnlyImages)-i)})
			break
		}
		only.Items = append(only.Items, item{Mark: "~", Text: o.String(), Aside: o.File})
	}
	files := section{Title: "Other files"}
	for _, f := range []struct {
		mark  string
		names []string
	}{{"+", m.FilesAdded}, {"-", m.FilesRemoved}, {"~", m.FilesChanged}} {
		for _, name := range f.names {
			files.Items = append(files.Items, item{Mark: f.mark, Text: name})
		}
	}
	return []section{added, removed, changed, only, files}
}

func changeLines(changes []Change, v View) []line {
	var lines []line
	for i, c := range changes {
		if !v.Full && i == maxChanges && len(changes) > maxChanges+1 {
			return append(lines, line{Mark: " ", Text: fmt.Sprintf("and %d more changes; --full shows all", len(changes)-i)})
		}
		lines = append(lines, changeLine(c, v)...)
	}
	return lines
}

func changeLine(c Change, v View) []line {
	path := c.Path
	if path == "" {
		path = "(the whole object)"
	}
	switch c.Kind {
	case Added:
		return textLines("+", path, c.To, v)
	case Removed:
		return textLines("-", path, c.From, v)
	}
	from, isText := c.From.(string)
	to, bothText := c.To.(string)
	if isText && bothText && (strings.Contains(from, "\n") || strings.Contains(to, "\n")) {
		return append([]line{{Mark: "~", Text: path + ":"}}, hunk(from, to, v)...)
	}
	before, after := show(c.From, v), show(c.To, v)
	if len([]rune(path))+len([]rune(before))+len([]rune(after)) <= maxWidth {
		return []line{{Mark: "~", Text: fmt.Sprintf("%s: %s → %s", path, before, after)}}
	}
	return []line{{Mark: "~", Text: path + ":"}, {Mark: "-", Text: before, Depth: 1}, {Mark: "+", Text: after, Depth: 1}}
}

// textLines shows a value that is there on one side only; a text of several lines
// by its lines.
func textLines(mark, path string, value any, v View) []line {
	text, ok := value.(string)
	if !ok || !strings.Contains(text, "\n") {
		return []line{{Mark: mark, Text: path + ": " + show(value, v)}}
	}
	lines := []line{{Mark: mark, Text: path + ":"}}
	for _, l := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		lines = append(lines, line{Mark: mark, Text: cut(l, v), Depth: 1})
	}
	return bounded(lines, v)
}

// hunk shows the lines that differ between two texts, each with the one before it.
func hunk(from, to string, v View) []line {
	before, after := strings.Split(from, "\n"), strings.Split(to, "\n")
	var lines []line
	var context *line
	quiet := false // lines were left out since the last one shown
	for _, s := range align(before, after) {
		if s.from >= 0 && s.to >= 0 {
			quiet = quiet || context != nil
			context = &line{Mark: " ", Text: cut(before[s.from], v), Depth: 1}
			continue
		}
		if quiet && len(lines) > 0 {
			lines = append(lines, line{Mark: " ", Text: "…", Depth: 1})
		}
		if context != nil {
			lines = append(lines, *context)
		}
		context, quiet = nil, false
		if s.from >= 0 {
			lines = append(lines, line{Mark: "-", Text: cut(before[s.from], v), Depth: 1})
		} else {
			lines = append(lines, line{Mark: "+", Text: cut(after[s.to], v), Depth: 1})
		}
	}
	return bounded(lines, v)
}

func bounded(lines []line, v View) []line {
	if v.Full || len(lines) <= maxHunk+1 {
		return lines
	}
	return append(lines[:maxHunk:maxHunk], line{Mark: " ", Text: fmt.Sprintf("… %d more lines; --full shows all", len(lines)-maxHunk), Depth: 1})
}

// show writes a value on one line: texts as they are unless they are empty or
// would be taken for something else, the rest as JSON.
func show(value any, v View) string {
	if s, ok := value.(string); ok && s != "" && !strings.ContainsAny(s, "\n\t\"") && strings.TrimSpace(s) == s {
		return cut(s, v)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // <image NAME> is meant to be read
	if err := enc.Encode(value); err != nil {
		return cut(fmt.Sprint(value), v)
	}
	return cut(strings.TrimSpace(b.String()), v)
}

func cut(s string, v View) string {
	if runes := []rune(s); !v.Full && len(runes) > maxWidth {
		return string(runes[:maxWidth-1]) + "…"
	}
	return s
}
