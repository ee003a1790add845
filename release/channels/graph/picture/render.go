package picture

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
)

//go:embed *.css *.tmpl
var files embed.FS

// Style is the style sheet of pictures: their colours, by day and by night, under names
// that the pages around them use as well, and how tones are drawn.
var Style = mustRead("picture.css")

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"style": func() template.CSS { return template.CSS(Style + mustRead("page.css")) },
	"count": count,
}).ParseFS(files, "*.tmpl"))

func mustRead(name string) string {
	data, err := files.ReadFile(name)
	if err != nil {
		panic(err) // it is compiled in
	}
	return string(data)
}

// SVG is the picture as an element to be put into a page that has Style.
func (p Picture) SVG() (template.HTML, error) {
	var out bytes.Buffer
	if err := templates.ExecuteTemplate(&out, "svg.tmpl", p); err != nil {
		return "", fmt.Errorf("drawing a graph: %w", err)
	}
	return template.HTML(bytes.TrimSuffix(out.Bytes(), []byte("\n"))), nil
}

// count writes a number with a noun in the right form.
func count(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
