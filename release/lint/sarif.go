package lint

import (
	"io"
	"slices"

	"github.com/slipway-release/slipway/internal/sarif"
)

// SARIF writes the report in the Static Analysis Results Interchange Format,
// version 2.1.0. Findings that are excepted are in it as suppressed. version is that of the
// program, or empty.
func (r Report) SARIF(w io.Writer, version string) error {
	var all []sarif.Rule
	for _, rule := range Rules() {
		all = append(all, sarif.Rule{ID: rule.ID, Name: rule.Name, Level: rule.Level, Title: rule.Title, Why: rule.Why, Fix: rule.Fix})
	}
	var results []sarif.Result
	for _, f := range slices.Concat(r.Findings, r.Excepted) {
		results = append(results, f.sarif())
	}
	return sarif.Write(w, version, all, results)
}

func (f Finding) inHop() string {
	if f.Hop == "" {
		return ""
	}
	return " (from " + f.Hop + ")"
}

func (f Finding) sarif() sarif.Result {
	result := sarif.Result{
		Rule: f.ID, Level: f.Level, Text: f.Message + f.inHop() + ". " + f.Fix, Key: f.Message,
		File: f.File, Line: f.Line, Object: f.Object, Field: f.Field,
	}
	if e := f.Exception; e != nil {
		result.Suppression = &sarif.Suppression{InSource: e.inside, Justification: e.Reason}
	}
	return result
}
