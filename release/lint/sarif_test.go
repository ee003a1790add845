package lint_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/slipway-release/slipway/release/lint"
)

// What the schema of SARIF 2.1.0 requires, and what consumers need besides:
// docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json
func TestSARIF(t *testing.T) {
	report := mixed(t)
	var b bytes.Buffer
	if err := report.SARIF(&b, "v1.2.3"); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/report.sarif", b.Bytes())
	var log map[string]any
	if err := json.Unmarshal(b.Bytes(), &log); err != nil {
		t.Fatal(err)
	}
	v := sarifChecker{t: t}
	v.is(log, "version", "2.1.0")
	for _, run := range v.list(log, "runs", 1) {
		driver := v.object(v.object(run, "tool"), "driver")
		v.text(driver, "name")
		var ids []string
		for _, rule := range v.list(driver, "rules", len(lint.Rules())) {
			ids = append(ids, v.text(rule, "id"))
			v.text(v.object(rule, "shortDescription"), "text")
			v.text(v.object(rule, "fullDescription"), "text")
			v.text(v.object(rule, "help"), "text")
			v.oneOf(v.object(rule, "defaultConfiguration"), "level", "none", "note", "warning", "error")
		}
		results := v.list(run, "results", len(report.Findings)+len(report.Excepted))
		suppressed := 0
		for _, result := range results {
			v.text(v.object(result, "message"), "text")
			v.oneOf(result, "level", "none", "note", "warning", "error")
			index, _ := result["ruleIndex"].(float64)
			if id := v.text(result, "ruleId"); int(index) >= len(ids) || ids[int(index)] != id {
				t.Errorf("ruleIndex %v is not that of %s", index, id)
			}
			for _, location := range v.list(result, "locations", 1) {
				physical := v.object(location, "physicalLocation")
				uri := v.text(v.object(physical, "artifactLocation"), "uri")
				if strings.ContainsAny(uri, " \\") {
					t.Errorf("%q is no URI", uri)
				}
				if region, ok := physical["region"].(map[string]any); ok {
					if line, _ := region["startLine"].(float64); line < 1 {
						t.Errorf("startLine is %v", region["startLine"])
					}
				}
			}
			if items, _ := result["suppressions"].([]any); len(items) > 0 {
				suppressed++
				for _, s := range v.list(result, "suppressions", 1) {
					v.oneOf(s, "kind", "inSource", "external")
					v.oneOf(s, "status", "accepted", "underReview", "rejected")
				}
			}
		}
		if suppressed != len(report.Excepted) || suppressed != 2 {
			t.Errorf("%d results are suppressed, want %d", suppressed, len(report.Excepted))
		}
	}
}

type sarifChecker struct{ t *testing.T }

func (v sarifChecker) object(in map[string]any, key string) map[string]any {
	v.t.Helper()
	m, ok := in[key].(map[string]any)
	if !ok {
		v.t.Fatalf("%s is missing or no object in %v", key, in)
	}
	return m
}

func (v sarifChecker) list(in map[string]any, key string, length int) []map[string]any {
	v.t.Helper()
	items, ok := in[key].([]any)
	if !ok || len(items) != length {
		v.t.Fatalf("%s is not a list of %d in %v", key, length, in)
	}
	out := make([]map[string]any, 0, length)
	for _, item := range items {
		m, ok := item.(map[string]any)
		if !ok {
			v.t.Fatalf("%s holds %v", key, item)
		}
		out = append(out, m)
	}
	return out
}

func (v sarifChecker) text(in map[string]any, key string) string {
	v.t.Helper()
	s, _ := in[key].(string)
	if s == "" {
		v.t.Errorf("%s is missing or empty in %v", key, in)
	}
	return s
}

func (v sarifChecker) is(in map[string]any, key, want string) {
	v.t.Helper()
	v.oneOf(in, key, want)
}

func (v sarifChecker) oneOf(in map[string]any, key string, values ...string) {
	v.t.Helper()
	if got := fmt.Sprint(in[key]); !slices.Contains(values, got) {
		v.t.Errorf("%s is %q, none of %q", key, got, values)
	}
}

// The fingerprint of a finding stays when lines are added above it.
func TestFingerprintsSurviveLines(t *testing.T) {
	prints := func(text string) string {
		var b bytes.Buffer
		if err := lint.Run(files(text), references(), lint.Options{Now: today}).SARIF(&b, ""); err != nil {
			t.Fatal(err)
		}
		var found []string
		for _, line := range strings.Split(b.String(), "\n") {
			if strings.Contains(line, "slipwayFinding") {
				found = append(found, strings.TrimSpace(line))
			}
		}
		slices.Sort(found)
		return strings.Join(found, "\n")
	}
	text := deployment("", bare) + svc
	if a, b := prints(text), prints("# a comment\n\n"+text); a != b || !strings.Contains(a, "\n") {
		t.Errorf("%s\nbecame\n%s", a, b)
	}
}
