package graphdata

import (
	_ "embed"
	"fmt"
	"io"
	"strings"
)

// introduction is what docs/graph-data.md says before the rules.
//
//go:embed introduction.md
var introduction string

// Document writes docs/graph-data.md.
func Document(w io.Writer) {
	fmt.Fprint(w, strings.TrimSpace(introduction), "\n\n")
	fmt.Fprint(w, "| id | name | level | what is reported |\n|---|---|---|---|\n")
	for _, r := range rules {
		fmt.Fprintf(w, "| %s | [%s](#%s) | %s | %s |\n", r.ID, r.Name, r.Name, r.Level, r.Title)
	}
	for _, r := range rules {
		fmt.Fprintf(w, "\n### %s\n\n%s, %s. %s\n\n%s\n\n**Fix.** %s\n", r.Name, r.ID, r.Level, r.Title, r.Why, r.Fix)
	}
}
