package lint

import (
	"fmt"
	"io"
	"strings"
	"unicode"
)

// Text writes the report for people: a line for every finding, as compilers
// write theirs, and below it what to do.
func (r Report) Text(w io.Writer) {
	for _, f := range r.Findings {
		fmt.Fprintf(w, "%s%s: %s [%s, %s]\n", f.where(), f.Level, printable(f.Message), f.Rule, f.ID)
		fmt.Fprintf(w, "    fix: %s\n", f.Fix)
	}
	if len(r.Findings) > 0 {
		fmt.Fprintln(w)
	}
	for _, f := range r.Excepted {
		fmt.Fprintf(w, "%sexcepted until %s: %s [%s]: %s\n", f.where(), f.Exception.Until, printable(f.Message), f.Rule, printable(f.Exception.Reason))
	}
	if len(r.Excepted) > 0 {
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w, r.Summary())
}

// Summary is the report in one line.
func (r Report) Summary() string {
	about := "Kubernetes " + r.Kubernetes
	if r.Kubernetes == "" {
		about = "the version of Kubernetes is not known, so the ends of its APIs were not looked at"
	}
	return fmt.Sprintf("%s, %s, %s, %d excepted in %s of %s; %s", count(r.Counts.Error, "error"), count(r.Counts.Warning, "warning"),
		count(r.Counts.Note, "note"), r.Counts.Excepted, count(r.Objects, "object"), count(r.Files, "file"), about)
}

func (f Finding) where() string {
	switch {
	case f.File == "":
		return ""
	case f.Line == 0:
		return printable(f.File) + ": "
	}
	return fmt.Sprintf("%s:%d: ", printable(f.File), f.Line)
}

// printable keeps what a hostile manifest says from steering the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '\ufffd'
		}
		return r
	}, text)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// Explain writes all that there is to say about a rule, for people.
func (r Rule) Explain(w io.Writer) {
	fmt.Fprintf(w, "%s (%s, %s)\n\n%s\n\n%s\n\nFix: %s\n", r.Name, r.ID, r.Level, r.Title, r.Why, r.Fix)
}

// Document writes docs/lint.md.
func Document(w io.Writer) {
	fmt.Fprint(w, strings.TrimSpace(introduction), "\n\n")
	fmt.Fprint(w, "| id | name | level | what is reported |\n|---|---|---|---|\n")
	for _, r := range Rules() {
		fmt.Fprintf(w, "| %s | [%s](#%s) | %s | %s |\n", r.ID, r.Name, r.Name, r.Level, r.Title)
	}
	for _, r := range Rules() {
		fmt.Fprintf(w, "\n### %s\n\n%s, %s. %s\n\n%s\n\n**Fix.** %s\n", r.Name, r.ID, r.Level, r.Title, r.Why, r.Fix)
	}
}

const introduction = `
# Rules for manifests

` + "`slipway release lint PAYLOAD|DIR`" + ` judges the manifests of a release before a cluster has to. Everything is reported at
once, as text, as JSON (` + "`-o json`" + `), or as SARIF 2.1.0 (` + "`-o sarif`" + `) for what shows findings beside the code. The
exit code is 1 when there is an error; ` + "`--fail-on`" + ` moves that. This file is made of the rules' own texts, which
` + "`--explain RULE`" + ` shows as well.

## Exceptions

A finding that is meant is excepted, with a reason and the last day on which that holds. On the object itself:

` + "```yaml" + `
metadata:
  annotations:
    lint.slipway.dev/single-replica: "It elects no leader; volumes in use do not need it; until=2027-06-30"
` + "```" + `

or in a file for ` + "`--exceptions`" + `, which may be given several times. ` + "`object` and `file`" + ` choose the findings, and ` + "`*`" + ` in them stands
for any characters:

` + "```yaml" + `
apiVersion: slipway.dev/v1alpha1
kind: LintExceptions
exceptions:
- rule: single-replica
  object: Deployment local-path-storage/local-path-provisioner
  reason: It elects no leader; volumes in use do not need it.
  until: 2027-06-30
` + "```" + `

An exception that has expired is a finding beside the one it excused, and one that covers nothing is a finding too.

## All rules
`
