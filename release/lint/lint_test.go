package lint_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/lint"
	"github.com/slipway-release/slipway/release/manifests"
)

var update = flag.Bool("update", false, "write golden files and docs/lint.md anew")

// today is the day on which all tests judge.
var today = time.Date(2026, 11, 20, 23, 59, 59, 0, time.UTC)

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s is not current; go test -update writes it anew (-want +got):\n%s", path, diff)
	}
}

func TestDocumentIsCurrent(t *testing.T) {
	var b bytes.Buffer
	lint.Document(&b)
	golden(t, "../../docs/lint.md", b.Bytes())
}

// mixed has findings of all levels, an exception in its place and one in a file.
func mixed(t *testing.T) lint.Report {
	t.Helper()
	exceptions, err := lint.ParseExceptions([]byte(`apiVersion: slipway.dev/v1alpha1
kind: LintExceptions
exceptions:
- {rule: SLW405, object: PodDisruptionBudget */odd, reason: pods of others, until: 2027-01-31}
- {rule: bare-pod, file: nowhere.yaml, reason: left over, until: 2027-01-31}
`), "exceptions.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text := excepted("elects no leader; until=2027-01-31") +
		strings.Replace(pdb("maxUnavailable: 0"), "unhealthyPodEvictionPolicy: AlwaysAllow, ", "", 1) +
		strings.NewReplacer("name: web", "name: odd", "app: web", "app: odd").Replace(pdb("maxUnavailable: 1")) +
		"== 0000_50_web_README.md\nhello\n== wrong name.yaml\na: [\n"
	return lint.Run(files(text), references(), lint.Options{
		Now: today, Exceptions: exceptions, Origin: func(file string) string { return "web/manifests/" + file },
	})
}

func TestText(t *testing.T) {
	var b bytes.Buffer
	mixed(t).Text(&b)
	golden(t, "testdata/report.txt", b.Bytes())
}

func TestJSON(t *testing.T) {
	data, err := json.MarshalIndent(mixed(t), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/report.json", append(data, '\n'))
}

func TestFailed(t *testing.T) {
	clean := lint.Run(files(makesNS), references(), lint.Options{Now: today})
	warned := lint.Run(files(deployment("replicas: 1", probed)), references(), lint.Options{Now: today})
	broken := mixed(t)
	for _, c := range []struct {
		report lint.Report
		at     lint.Level
		want   bool
	}{
		{clean, lint.Note, false}, {warned, lint.Error, false}, {warned, lint.Warning, true}, {warned, lint.Note, true}, {broken, lint.Error, true},
	} {
		if got := c.report.Failed(c.at); got != c.want {
			t.Errorf("%v at %s: %v, want %v", c.report.Counts, c.at, got, c.want)
		}
	}
}

// The order in which files are given changes nothing.
func TestRunIsDeterministic(t *testing.T) {
	in := files(deployment("", bare) + svc + pdb("maxUnavailable: 0") + "== 0000_10_a_b.yaml\n" + inNS + "== 0000_60_a_b.yaml\n" + makesNS)
	first := lint.Run(in, references(), lint.Options{Now: today})
	turned := []release.File{in[2], in[0], in[1]}
	if diff := cmp.Diff(first.Findings, lint.Run(turned, references(), lint.Options{Now: today}).Findings, cmp.AllowUnexported(lint.Finding{})); diff != "" {
		t.Error(diff)
	}
	if first.Counts.Error == 0 {
		t.Error("nothing was found to compare")
	}
}

// Without a version of Kubernetes, rules about it say nothing, and the report says so.
func TestUnknownKubernetes(t *testing.T) {
	report := lint.Run(files("apiVersion: apps/v1beta1\nkind: Deployment\nmetadata: {name: a, namespace: default}\n"), release.ImageReferences{}, lint.Options{Now: today})
	for _, f := range report.Findings {
		if f.Rule == "removed-api" || f.Rule == "deprecated-api" {
			t.Errorf("got %+v", f)
		}
	}
	if report.Kubernetes != "" || !strings.Contains(report.Summary(), "is not known") {
		t.Errorf("the summary is %q", report.Summary())
	}
}

func TestExplain(t *testing.T) {
	for _, name := range []string{"single-replica", "SLW402", "slw402"} {
		r, ok := lint.Find(name)
		var b strings.Builder
		r.Explain(&b)
		if !ok || !strings.Contains(b.String(), "SLW402") || !strings.Contains(b.String(), "Fix: ") {
			t.Errorf("%s: %v, %q", name, ok, b.String())
		}
	}
	if _, ok := lint.Find("nothing"); ok {
		t.Error("a rule that does not exist was found")
	}
}

// A manifest cannot steer the terminal of whoever reads the report.
func TestTextIsPrintable(t *testing.T) {
	report := lint.Run([]release.File{{Name: "0000_10_a_\x1b[2Jx.yaml", Data: []byte("apiVersion: v1\nkind: \"A\\e[2J\\n\"\nmetadata: {name: a, namespace: b}\n")}}, references(), lint.Options{Now: today})
	var b strings.Builder
	report.Text(&b)
	if strings.ContainsAny(b.String(), "\x1b\r") || strings.Count(b.String(), "\n") != 2*len(report.Findings)+2 || len(report.Findings) < 2 {
		t.Errorf("got %q", b.String())
	}
}

// Parts that were parsed elsewhere are judged as the whole is.
func TestLinter(t *testing.T) {
	in := files(deployment("", bare) + svc + "== 0000_10_a_b.yaml\n" + inNS + "---\na: [\n== 0000_60_a_b.yaml\n" + makesNS)
	l := lint.New(references(), lint.Options{Now: today})
	for _, f := range in {
		objects, problems := manifests.Read([]release.File{f})
		l.Add([]release.File{f}, objects, problems)
	}
	if diff := cmp.Diff(lint.Run(in, references(), lint.Options{Now: today}), l.Report(), cmp.AllowUnexported(lint.Finding{})); diff != "" {
		t.Error(diff)
	}
}
