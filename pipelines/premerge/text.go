package premerge

import (
	"fmt"
	"io"
	"strings"

	"github.com/slipway-release/slipway/pipelines/report"
)

// position is where a person looks: file, line and field.
func position(file string, line int, field string) string {
	where := file
	if line > 0 {
		where += fmt.Sprintf(":%d", line)
	}
	if field != "" {
		if where != "" {
			where += " "
		}
		where += field
	}
	return where
}

// bounds are those of a time, for people.
func bounds(atLeast, atMost float64) string {
	switch {
	case atMost == 0:
		return "–"
	case atLeast == atMost:
		return fmt.Sprintf("%.0f ms", atMost)
	}
	return fmt.Sprintf("%.0f to %.0f ms", atLeast, atMost)
}

// most are the lines of a list that fit on one screen with the others.
const most = 8

// Text writes a report of a check so that it fits on one screen. folder is where the
// whole of it is.
func Text(w io.Writer, r *report.Report, folder string) {
	c := r.Check
	verdict := r.Run.Verdict
	if verdict == "" {
		verdict = "none: nothing is said about the change"
	}
	fmt.Fprintf(w, "Verdict   %s\n", verdict)
	for _, reason := range r.Reasons {
		fmt.Fprintf(w, "          %s\n", reason)
	}
	fmt.Fprintf(w, "Base      %s\n", c.Base.Version)
	for i, ch := range c.Changes {
		if i == most {
			fmt.Fprintf(w, "          and %d more\n", len(c.Changes)-most)
			break
		}
		fmt.Fprintf(w, "%-9s %s\n", once(i, "Change"), describe(ch))
	}
	if r.Payload != nil {
		fmt.Fprintf(w, "Payload   %s\n          %s\n", r.Payload.Version, r.Payload.PullSpec)
	}
	textFindings(w, c)
	textLosses(w, c)
	textSuspects(w, c)
	fmt.Fprintf(w, "\nReport    %s\n", folder)
}

func once(i int, word string) string {
	if i == 0 {
		return word
	}
	return ""
}

func describe(ch report.Change) string {
	s := ch.Component + ": " + ch.Source
	if ch.Origin != "" && !strings.Contains(ch.Source, ch.Origin) {
		s += " (" + short(ch.Origin) + ")"
	}
	return s
}

// short cuts a commit or digest to what people compare by eye.
func short(id string) string {
	if hex, ok := strings.CutPrefix(id, "sha256:"); ok {
		return "sha256:" + hex[:min(len(hex), 12)]
	}
	return id[:min(len(id), 12)]
}

func textFindings(w io.Writer, c *report.Check) {
	if len(c.Static.Findings) == 0 {
		fmt.Fprintf(w, "Static    nothing that the base does not have as well, in %.1f s\n", c.Static.Seconds)
		return
	}
	fmt.Fprintf(w, "\nStatic check, in %.1f s%s:\n", c.Static.Seconds, leftOut(c))
	for i, f := range c.Static.Findings {
		if i == most {
			fmt.Fprintf(w, "  and %d more\n", len(c.Static.Findings)-most)
			break
		}
		fmt.Fprintf(w, "  %-7s %s\n          %s\n          %s\n", f.Level, f.Rule, said(f), position(f.File, f.Line, f.Field))
	}
}

// leftOut says how many findings are not shown because the base has them too.
func leftOut(c *report.Check) string {
	if c.Static.Existing == 0 {
		return ""
	}
	return fmt.Sprintf(", without %s that the base has too", count(c.Static.Existing, "finding"))
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// said is a finding's message, with the upgrade that it is about.
func said(f report.Finding) string {
	if f.Hop != "" {
		return f.Message + " (from " + f.Hop + ")"
	}
	return f.Message
}

func textLosses(w io.Writer, c *report.Check) {
	for _, way := range c.Ways {
		fmt.Fprintf(w, "\n%s the change: %s, in %.0f s, %s without an answer\n", strings.ToUpper(way.Name[:1])+strings.ReplaceAll(way.Name[1:], "-", " "), way.Status, way.Seconds, bounds(way.AtLeastMs, way.AtMostMs))
		n := 0
		for _, l := range c.Losses {
			if l.Way != way.Name {
				continue
			}
			if n++; n > most {
				continue
			}
			name := l.Backend
			if l.Object != "" {
				name += " " + l.Object
			}
			fmt.Fprintf(w, "  %-34s %s, at %s: %s\n", name, bounds(l.AtLeastMs, l.AtMostMs), l.At.UTC().Format("15:04:05.000"), circumstances(l))
		}
		if n > most {
			fmt.Fprintf(w, "  and %d more\n", n-most)
		}
	}
}

// circumstances say when, by whom and why something was lost.
func circumstances(l report.Loss) string {
	var parts []string
	if l.Outages > 1 {
		parts = append(parts, fmt.Sprintf("in %d outages", l.Outages))
	}
	for _, part := range []string{l.Reason, l.During} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	if l.Cause != "" && l.Cause != l.During {
		parts = append(parts, "because of "+l.Cause)
	}
	return strings.Join(parts, ", ")
}

func textSuspects(w io.Writer, c *report.Check) {
	if len(c.Suspects) == 0 {
		return
	}
	fmt.Fprintln(w, "\nMost likely responsible:")
	for i, s := range c.Suspects {
		fmt.Fprintf(w, "%3d. %s\n     %s\n", i+1, headline(s), s.Why)
		if change := changeOf(s); change != "" {
			fmt.Fprintf(w, "     %s\n", change)
		}
	}
}

func headline(s report.Suspect) string {
	where := position(s.File, s.Line, s.Field)
	if where == "" {
		where = "its image"
	}
	return s.Component + ": " + where
}

func changeOf(s report.Suspect) string {
	switch {
	case s.From != "" && s.To != "":
		return "was " + s.From + ", is " + s.To
	case s.From != "":
		return "was " + s.From + ", and is gone"
	case s.To != "":
		return "is new: " + s.To
	}
	return ""
}
