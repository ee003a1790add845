package graphdata

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/slipway-release/slipway/internal/config"
	"github.com/slipway-release/slipway/internal/sarif"
)

// Level is how much a finding weighs.
type Level = sarif.Level

// Levels, from the gravest on.
const (
	LevelError   = sarif.Error
	LevelWarning = sarif.Warning
	LevelNote    = sarif.Note
)

// Finding is one thing that a rule reports.
type Finding struct {
	ID      string `json:"id"`   // SLG and three digits
	Rule    string `json:"rule"` // name of the rule
	Level   Level  `json:"level"`
	File    string `json:"file"`
	Line    int    `json:"line"` // from 1
	Message string `json:"message"`
	Fix     string `json:"fix"`
}

// Report is the outcome of a run.
type Report struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Files is how many were read, Versions how many they name.
	Files    int    `json:"files"`
	Versions int    `json:"versions"`
	Counts   Counts `json:"counts"`
	// Findings are by file, line and rule; never nil.
	Findings []Finding `json:"findings"`
}

// Counts are the findings by level.
type Counts struct {
	Error   int `json:"error"`
	Warning int `json:"warning"`
	Note    int `json:"note"`
}

// Failed reports whether there is a finding of this level or a graver one.
func (r Report) Failed(at Level) bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Level.AtLeast(at) })
}

// Lint reports everything that is doubtful about a folder of graph-data. Where it cannot
// be loaded, it reports that, for the rest cannot be judged.
func Lint(dir string) (Report, error) {
	data, err := Load(dir)
	var wrong *config.Error
	if errors.As(err, &wrong) {
		r := newReport()
		for _, p := range wrong.Problems {
			message := p.Message
			if p.Field != "" {
				message = p.Field + ": " + message
			}
			r.Findings = append(r.Findings, loadRule.finding(p.File, p.Line, message))
		}
		r.finish()
		return r, nil
	}
	if err != nil {
		return Report{}, err
	}
	return data.Lint(), nil
}

func newReport() Report {
	return Report{APIVersion: "slipway.dev/v1alpha1", Kind: "GraphDataLintReport", Findings: []Finding{}}
}

// Join is the outcome of several runs in one.
func Join(reports ...Report) Report {
	all := newReport()
	for _, r := range reports {
		all.Files += r.Files
		all.Versions += r.Versions
		all.Findings = append(all.Findings, r.Findings...)
	}
	all.finish()
	return all
}

// finish puts the findings in order and counts them.
func (r *Report) finish() {
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), strings.Compare(a.ID, b.ID), strings.Compare(a.Message, b.Message))
	})
	r.Findings = slices.Compact(r.Findings)
	for _, f := range r.Findings {
		switch f.Level {
		case LevelError:
			r.Counts.Error++
		case LevelWarning:
			r.Counts.Warning++
		default:
			r.Counts.Note++
		}
	}
}

// Lint reports everything that is doubtful about graph-data that was loaded.
func (d *Data) Lint() Report {
	k := newKnowledge(d)
	r := newReport()
	r.Files, r.Versions = len(d.files), len(k.versions)
	for i := range rules {
		rule := rules[i]
		if rule.check == nil {
			continue
		}
		rule.check(k, func(s source, field, message string) {
			r.Findings = append(r.Findings, rule.finding(s.decoderFile(), s.Line(field), message))
		})
	}
	r.finish()
	return r
}

func (s source) decoderFile() string {
	if s.decoder == nil {
		return s.file
	}
	return s.decoder.File
}

// Rule is one thing that graph-data must not do.
type Rule struct {
	ID    string `json:"id"` // SLG and three digits; never given to another rule
	Name  string `json:"name"`
	Level Level  `json:"level"`
	// Title says in one sentence what is reported.
	Title string `json:"title"`
	// Why says what happens otherwise, Fix what to do.
	Why string `json:"why"`
	Fix string `json:"fix"`

	check func(k *knowledge, report func(s source, field, message string))
}

func (r Rule) finding(file string, line int, message string) Finding {
	return Finding{ID: r.ID, Rule: r.Name, Level: r.Level, File: file, Line: max(line, 1), Message: message, Fix: r.Fix}
}

// Rules returns all rules, by id.
func Rules() []Rule { return slices.Clone(rules) }

// Find returns the rule of this name or id.
func Find(name string) (Rule, bool) {
	for _, r := range rules {
		if r.Name == name || strings.EqualFold(r.ID, name) {
			return r, true
		}
	}
	return Rule{}, false
}

// IsFolder says whether a folder looks like one of graph-data: it has one of its folders.
func IsFolder(dir string) bool {
	return slices.ContainsFunc(folders, func(name string) bool {
		info, err := os.Stat(filepath.Join(dir, name))
		return err == nil && info.IsDir()
	})
}
