package lint_test

import (
	"strings"
	"testing"

	"github.com/slipway-release/slipway/release/lint"
)

const header = "apiVersion: slipway.dev/v1alpha1\nkind: LintExceptions\n"

func TestParseExceptionsReportsEverything(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want []string
	}{
		"empty":          {"", []string{"x.yaml: the file is empty"}},
		"no YAML":        {"a: [", []string{"reading exceptions x.yaml"}},
		"another kind":   {"kind: Pod\n", []string{`kind is "Pod" in ""`}},
		"unknown field":  {header + "exemptions: []\n", []string{"exemptions"}},
		"two documents":  {header + "---\n" + header, []string{"more than one document"}},
		"all at once":    {header + "exceptions:\n- rule: x\n- rule: bare-pod\n  file: a\n  reason: b\n  until: tomorrow\n", []string{`x.yaml:4: exceptions[0]: there is no rule "x"; the reason is missing; until is ""`, `x.yaml:5: exceptions[1]: until is "tomorrow"`}},
		"of nothing":     {header + "exceptions: [{rule: bare-pod, reason: b, until: 2027-01-31}]\n", []string{"object and file are both missing"}},
		"field of one":   {header + "exceptions:\n- {rule: bare-pod, reason: b, until: 2027-01-31, file: a, untill: x}\n", []string{"x.yaml:4: exceptions[0]", "untill"}},
		"no such day":    {header + "exceptions: [{rule: bare-pod, file: a, reason: b, until: 2027-02-30}]\n", []string{`"2027-02-30", not a day`}},
		"not excepted":   {header + "exceptions: [{rule: SLW903, file: a, reason: b, until: 2027-02-20}]\n", []string{"rule unused-exception allows no exceptions"}},
		"an alias":       {header + "exceptions: [&a {rule: bare-pod}, *a]\n", []string{"exceptions[0]", "exceptions[1]"}},
		"a word in list": {header + "exceptions: [word]\n", []string{"exceptions[0]"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := lint.ParseExceptions([]byte(tc.text), "x.yaml")
			for _, want := range tc.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q", err, want)
				}
			}
		})
	}
}

func TestExceptionsOfFiles(t *testing.T) {
	text := deployment("replicas: 1", probed)
	for name, tc := range map[string]struct {
		exception string
		excepted  int
		left      []string // names of rules
	}{
		"by object":       {"rule: single-replica, object: Deployment default/web", 1, nil},
		"by pattern":      {"rule: SLW402, object: 'Deployment */w*b'", 1, nil},
		"by file":         {"rule: single-replica, file: 0000_50_web_web.yaml", 1, nil},
		"by end of path":  {"rule: single-replica, file: manifests/0000_50_web_web.yaml", 1, nil},
		"both":            {"rule: single-replica, file: 0000_50_web_web.yaml, object: Deployment default/web", 1, nil},
		"another object":  {"rule: single-replica, object: Deployment default/we", 0, []string{"single-replica", "unused-exception"}},
		"another file":    {"rule: single-replica, file: 0_web.yaml", 0, []string{"single-replica", "unused-exception"}},
		"part of a name":  {"rule: single-replica, file: _web.yaml", 0, []string{"single-replica", "unused-exception"}},
		"another rule":    {"rule: bare-pod, object: Deployment default/web", 0, []string{"single-replica", "unused-exception"}},
		"only one of two": {"rule: single-replica, file: nowhere, object: Deployment default/web", 0, []string{"single-replica", "unused-exception"}},
	} {
		t.Run(name, func(t *testing.T) {
			exceptions, err := lint.ParseExceptions([]byte(header+"exceptions: [{reason: why, until: 2027-01-31, "+tc.exception+"}]\n"), "x.yaml")
			if err != nil {
				t.Fatal(err)
			}
			report := lint.Run(files(text), references(), lint.Options{Now: today, Exceptions: exceptions, Origin: func(f string) string { return "a/manifests/" + f }})
			if got := names(report.Findings); strings.Join(got, " ") != strings.Join(sorted(tc.left), " ") {
				t.Errorf("left: %q, want %q", got, tc.left)
			}
			if len(report.Excepted) != tc.excepted || report.Counts.Excepted != tc.excepted {
				t.Errorf("excepted: %+v", report.Excepted)
			}
			if tc.excepted == 1 && (report.Excepted[0].Exception.Reason != "why" || report.Excepted[0].Exception.Source != "x.yaml:3") {
				t.Errorf("excepted by %+v", report.Excepted[0].Exception)
			}
		})
	}
}

// An exception that has expired excuses nothing any more.
func TestExpiredExceptionsBringFindingsBack(t *testing.T) {
	report := lint.Run(files(excepted("why; until=2026-11-19")), references(), lint.Options{Now: today})
	if got := strings.Join(names(report.Findings), " "); got != "expired-exception single-replica" || len(report.Excepted) != 0 {
		t.Errorf("got %q, excepted %v", got, report.Excepted)
	}
}

// An annotation holds for its own object only.
func TestAnnotationsHoldForTheirObject(t *testing.T) {
	text := excepted("why; until=2027-01-31") + "---\n" + strings.Replace(deployment("replicas: 1", probed), "name: web, n", "name: b, n", 1)
	report := lint.Run(files(text), references(), lint.Options{Now: today})
	if len(report.Findings) != 1 || report.Findings[0].Object != "Deployment default/b" || len(report.Excepted) != 1 {
		t.Errorf("got %+v and %+v", report.Findings, report.Excepted)
	}
}
