package changelog

import (
	_ "embed" // for the page
	"html/template"
	"io"
	"maps"
	"slices"
	"time"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"short":    short,
	"sections": Update.sections,
	"state":    Update.state,
	"sentence": Component.sentence,
	"when":     func(t time.Time) string { return t.UTC().Format(time.DateTime + " UTC") },
	"day":      func(t time.Time) string { return t.UTC().Format(time.DateOnly) },
	"label":    func(c Commit) string { text, _ := c.label(); return text },
	"href":     func(c Commit) string { _, link := c.label(); return link },
	"keys":     func(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) },
	"counted":  counted,
	"groups": func(c *Changelog) []imageGroup {
		return []imageGroup{{"New images", c.NewImages}, {"Removed images", c.RemovedImages}, {"Rebuilt images without code change", c.RebuiltImages}}
	},
}).Parse(pageText))

type imageGroup struct {
	Title  string
	Images []Image
}

// WriteHTML writes the changelog as one page that needs nothing else: no script,
// no font, no picture from elsewhere.
func (c *Changelog) WriteHTML(w io.Writer) error { return page.Execute(w, c) }
