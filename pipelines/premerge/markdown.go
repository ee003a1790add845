package premerge

import (
	"fmt"
	"io"
	"strings"

	"github.com/slipway-release/slipway/pipelines/report"
)

// Markdown writes a report of a check for a pull request.
func Markdown(w io.Writer, r *report.Report) {
	c := r.Check
	verdict := r.Run.Verdict
	if verdict == "" {
		verdict = "no verdict"
	}
	fmt.Fprintf(w, "## Upgrade check: %s\n\n", verdict)
	for _, reason := range r.Reasons {
		fmt.Fprintf(w, "- %s\n", escape(reason))
	}
	for _, s := range r.Stages {
		if s.Status == "Failed" {
			fmt.Fprintf(w, "- stage %s failed: %s\n", s.Name, escape(s.Reason))
		}
	}
	fmt.Fprintf(w, "\nLaid over `%s`:\n\n", c.Base.Version)
	for _, ch := range c.Changes {
		fmt.Fprintf(w, "- %s\n", escape(describe(ch)))
	}
	markdownSuspects(w, c)
	markdownLosses(w, c)
	markdownFindings(w, c)
	fmt.Fprintf(w, "\n### To see it again\n\n```sh\n%s\n```\n", c.Command)
}

func markdownSuspects(w io.Writer, c *report.Check) {
	if len(c.Suspects) == 0 {
		return
	}
	fmt.Fprint(w, "\n### Most likely responsible\n\n")
	for i, s := range c.Suspects {
		fmt.Fprintf(w, "%d. %s", i+1, s.Component)
		if where := position(s.File, s.Line, s.Field); where != "" {
			fmt.Fprintf(w, ": %s", code(where))
		} else {
			fmt.Fprint(w, ": its image")
		}
		fmt.Fprintf(w, "  \n   %s\n", escape(s.Why))
		if change := changeOf(s); change != "" {
			fmt.Fprintf(w, "   %s\n", code(change))
		}
	}
}

func markdownLosses(w io.Writer, c *report.Check) {
	if len(c.Ways) == 0 {
		return
	}
	fmt.Fprint(w, "\n### Measured\n\n| Way | Result | Took | Without an answer |\n|---|---|--:|--:|\n")
	for _, way := range c.Ways {
		fmt.Fprintf(w, "| %s | %s | %.0f s | %s |\n", strings.ReplaceAll(way.Name, "-", " "), way.Status, way.Seconds, bounds(way.AtLeastMs, way.AtMostMs))
	}
	if len(c.Losses) == 0 {
		return
	}
	fmt.Fprint(w, "\n| Backend | Way | Lost | At (UTC) | During and cause |\n|---|---|--:|---|---|\n")
	for _, l := range c.Losses {
		name := l.Backend
		if l.Object != "" {
			name += " " + l.Object
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s |\n", escape(name), strings.ReplaceAll(l.Way, "-", " "), bounds(l.AtLeastMs, l.AtMostMs), l.At.UTC().Format("15:04:05.000"), escape(circumstances(l)))
	}
}

func markdownFindings(w io.Writer, c *report.Check) {
	if len(c.Static.Findings) == 0 {
		return
	}
	fmt.Fprintf(w, "\n### Static check\n\nIn %.1f s%s.\n\n| Level | Rule | Where | What |\n|---|---|---|---|\n", c.Static.Seconds, leftOut(c))
	for _, f := range c.Static.Findings {
		fmt.Fprintf(w, "| %s | %s | %s | %s. %s |\n", f.Level, f.Rule, code(position(f.File, f.Line, f.Field)), escape(said(f)), escape(f.Fix))
	}
}

// special are characters that mean something in a table or in running text.
var special = strings.NewReplacer("\n", " ", "\r", " ", "|", "\\|", "<", "&lt;", "*", "\\*", "_", "\\_", "`", "\\`", "[", "\\[", "]", "\\]")

func escape(s string) string { return special.Replace(s) }

// code is s as it is, in a table as well.
func code(s string) string {
	return "`" + strings.NewReplacer("\n", " ", "\r", " ", "`", "'", "|", "\\|").Replace(s) + "`"
}
