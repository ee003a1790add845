package main

import (
	"fmt"
	"io"
)

// ruleLine is what a list of rules says of each.
type ruleLine struct{ id, name, level, title string }

// printRules prints the rules that a linter judges by, or explains the one that is
// named. sarif writes a report without findings, which has all rules.
func printRules[R interface{ Explain(io.Writer) }](a *app, out output, explain string, rules []R, find func(name string) (R, bool), line func(R) ruleLine, sarif func(w io.Writer, version string) error) error {
	if explain != "" {
		rule, ok := find(explain)
		if !ok {
			return usage(fmt.Errorf("explaining rule %q: there is no such rule; --list-rules names them all", explain))
		}
		rules = []R{rule}
	}
	var names []string
	width := 0
	for _, r := range rules {
		name := line(r).name
		names = append(names, name)
		width = max(width, len(name))
	}
	return out.print(a.Out, result{value: rules, names: names, forms: map[string]func(io.Writer) error{
		"sarif": func(w io.Writer) error { return sarif(w, programVersion()) },
	}, text: func(w io.Writer) {
		if explain != "" {
			rules[0].Explain(w)
			return
		}
		for _, r := range rules {
			l := line(r)
			fmt.Fprintf(w, "%s  %-*s %-8s %s\n", l.id, width+1, l.name, l.level, l.title)
		}
	}})
}
