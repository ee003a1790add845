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
		fmt.Fprintf(w, "%s%s: %s%s [%s, %s]\n", f.where(), f.Level, printable(f.Message), printable(f.context()), f.Rule, f.ID)
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
	if len(r.Hops) > 0 {
		about += "; upgrades judged: " + strings.Join(r.Hops, ", ")
	}
	return fmt.Sprintf("%s, %s, %s, %d excepted in %s of %s; %s", count(r.Counts.Error, "error"), count(r.Counts.Warning, "warning"),
		count(r.Counts.Note, "note"), r.Counts.Excepted, count(r.Objects, "object"), count(r.Files, "file"), about)
}

// context is what else there is to say of the place, in brackets.
func (f Finding) context() string {
	var parts []string
	if f.Field != "" {
		parts = append(parts, f.Field)
	}
	if f.Hop != "" {
		parts = append(parts, "from "+f.Hop)
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
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

## What an upgrade would cost

The rules SLW4xx say which workloads would not answer while nodes are drained or the workload is replaced, and SLW6xx
the same of the control plane. They know about it from the payload's ConfigMaps with the label
` + "`slipway.dev/control-plane`" + `, whose value is a part of it (` + "`kube-apiserver`, `kube-controller-manager`, `kube-scheduler`, `etcd`, `load-balancer`" + `) and
whose key ` + "`settings.yaml`" + ` has its flags, its grace period, or the balancer's check. A payload without
them and without a component ` + "`kube-apiserver`" + ` is another distribution's, of which these rules say nothing.

` + "`--from PAYLOAD`" + ` judges the step from that payload to this one as well (SLW7xx), and with ` + "`--both-ways`" + ` the step back, which a
cluster takes when an upgrade is broken off. It may be given several times, once for every payload that clusters are
upgraded from. Findings name the file of the payload that is judged, where that has the object.

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
