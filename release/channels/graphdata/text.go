package graphdata

import (
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/slipway-release/slipway/internal/sarif"
)

// Text writes the report for people: a line for every finding, as compilers write theirs,
// and below it what to do.
func (r Report) Text(w io.Writer) {
	for _, f := range r.Findings {
		fmt.Fprintf(w, "%s:%d: %s: %s [%s, %s]\n", printable(f.File), f.Line, f.Level, printable(f.Message), f.Rule, f.ID)
		fmt.Fprintf(w, "    fix: %s\n", f.Fix)
	}
	if len(r.Findings) > 0 {
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w, r.Summary())
}

// Summary is the report in one line.
func (r Report) Summary() string {
	found := fmt.Sprintf("%s, %s, %s", count(r.Counts.Error, "error"), count(r.Counts.Warning, "warning"), count(r.Counts.Note, "note"))
	if r.Files == 0 {
		return found + "; the rest cannot be judged before it can be read"
	}
	return fmt.Sprintf("%s in %s that name %s", found, count(r.Files, "file"), count(r.Versions, "version"))
}

// SARIF writes the report in the Static Analysis Results Interchange Format, version
// 2.1.0. version is that of the program, or empty.
func (r Report) SARIF(w io.Writer, version string) error {
	var all []sarif.Rule
	for _, rule := range rules {
		all = append(all, sarif.Rule{ID: rule.ID, Name: rule.Name, Level: rule.Level, Title: rule.Title, Why: rule.Why, Fix: rule.Fix})
	}
	var results []sarif.Result
	for _, f := range r.Findings {
		results = append(results, sarif.Result{Rule: f.ID, Level: f.Level, Text: f.Message + ". " + f.Fix, Key: f.Message, File: f.File, Line: f.Line})
	}
	return sarif.Write(w, version, all, results)
}

// Explain writes all that there is to say about a rule, for people.
func (r Rule) Explain(w io.Writer) {
	fmt.Fprintf(w, "%s (%s, %s)\n\n%s\n\n%s\n\nFix: %s\n", r.Name, r.ID, r.Level, r.Title, r.Why, r.Fix)
}

// longest bounds how much of a message is shown: what a folder holds may be of any length.
const longest = 1000

// printable keeps what a hostile file says from steering the terminal.
func printable(text string) string {
	return shorten(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '\ufffd'
		}
		return r
	}, text))
}

func shorten(text string) string {
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "…"
	}
	return text
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
