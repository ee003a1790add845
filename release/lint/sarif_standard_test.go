package lint_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"

	"github.com/slipway-release/slipway/release/lint"
)

func TestSARIFFitsItsStandard(t *testing.T) {
	rule := lint.Rules()[0]
	for name, report := range map[string]lint.Report{
		"findings and exceptions": mixed(t),
		"nothing":                 {},
		"a finding without place": {Findings: []lint.Finding{{ID: rule.ID, Rule: rule.Name, Level: rule.Level, Message: "x"}}},
		"a hop":                   {Findings: []lint.Finding{{ID: rule.ID, Rule: rule.Name, Level: rule.Level, File: "a b/ü:1.yaml", Line: 3, Object: "v1 Pod a/b", Field: "spec", Hop: "4.15.0", Message: "x"}}},
	} {
		for _, version := range []string{"", "v1.2.3"} {
			var b bytes.Buffer
			if err := report.SARIF(&b, version); err != nil {
				t.Fatal(err)
			}
			if err := validateSARIF(b.Bytes()); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// validateSARIF holds a report against SARIF 2.1.0 (OASIS, errata 01): a property that the
// library's types do not name the standard does not allow either, and what is required or
// bounded of the properties that reports use stands here.
func validateSARIF(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var log sarif.Report
	if err := dec.Decode(&log); err != nil {
		return err
	}
	if log.Version != "2.1.0" || len(log.Runs) == 0 {
		return fmt.Errorf("version %q, %d runs", log.Version, len(log.Runs))
	}
	for _, run := range log.Runs {
		if run.Tool == nil || run.Tool.Driver == nil || run.Tool.Driver.Name == nil || *run.Tool.Driver.Name == "" {
			return errors.New("§3.18.2, §3.19.8: a run's tool has a driver, and that a name")
		}
		for _, r := range run.Results {
			if err := validateResult(r, run.Tool.Driver.Rules); err != nil {
				return err
			}
		}
	}
	return nil
}

func validateResult(r *sarif.Result, rules []*sarif.ReportingDescriptor) error {
	if r.Message == nil || r.Message.Text == nil {
		return errors.New("§3.27.11: a result has a message")
	}
	if !slices.Contains([]string{"none", "note", "warning", "error"}, r.Level) {
		return fmt.Errorf("§3.27.10: level %q", r.Level)
	}
	if i := r.RuleIndex; r.RuleID == nil || i < 0 || i >= len(rules) || *rules[i].ID != *r.RuleID {
		return errors.New("§3.27.6: ruleIndex and ruleId mean different rules")
	}
	for _, l := range r.Locations {
		if p := l.PhysicalLocation; p != nil && p.Region != nil && p.Region.StartLine != nil && *p.Region.StartLine < 1 {
			return fmt.Errorf("§3.30.5: startLine %d", *p.Region.StartLine)
		}
	}
	for _, s := range r.Suppressions {
		if s.Kind == nil || !slices.Contains([]string{"inSource", "external"}, *s.Kind) {
			return errors.New("§3.35.2: a suppression is inSource or external")
		}
		if s.Status != nil && !slices.Contains([]string{"accepted", "underReview", "rejected"}, *s.Status) {
			return fmt.Errorf("§3.35.3: status %q", *s.Status)
		}
	}
	return nil
}

// It is a check that can fail: on what is missing, unknown or of a wrong kind.
func TestSARIFStandardRefuses(t *testing.T) {
	report := mixed(t)
	var b bytes.Buffer
	if err := report.SARIF(&b, ""); err != nil {
		t.Fatal(err)
	}
	for old, broken := range map[string]string{
		`"version": "2.1.0"`:   `"version": "2.2.0"`,
		`"ruleIndex":`:         `"ruleNumber":`,
		`"startLine": `:        `"startLine": -`,
		`"kind": "external"`:   `"kind": "elsewhere"`,
		`"name": "slipway"`:    `"fullName": "slipway"`,
		`"status": "accepted"`: `"status": "good"`,
	} {
		data := bytes.Replace(b.Bytes(), []byte(old), []byte(broken), 1)
		if bytes.Equal(data, b.Bytes()) {
			t.Errorf("the report lacks %s", old)
		}
		if err := validateSARIF(data); err == nil {
			t.Errorf("%s was taken", broken)
		}
	}
}
