package lint_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/lint"
)

// Whatever stands in a manifest, every finding has a rule and a place, and all
// forms of the report can be written.
func FuzzRun(f *testing.F) {
	for _, c := range ruleCases {
		f.Add([]byte(strings.ReplaceAll(c.text, "OWN", "registry.example/web"+digest)))
	}
	for _, text := range []string{
		"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a, namespace: b}\nspec: []\n",
		"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a, namespace: b}\nspec: {replicas: -1, template: {spec: {containers: [1, null, {ports: x}]}}}\n",
		"apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: a, namespace: b}\nspec: {minAvailable: -5%, maxUnavailable: 99999999999999999999%, selector: {matchExpressions: [{key: 1}]}}\n",
		"apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: b}\nspec: {selector: [a], ports: {a: b}}\n",
		"apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: b, annotations: {lint.slipway.dev/: '; until=', lint.slipway.dev/bare-pod: 'x;until=2027-01-01'}}\n",
	} {
		f.Add([]byte(text))
	}
	known := map[string]bool{}
	for _, r := range lint.Rules() {
		known[r.ID+r.Name+string(r.Level)] = true
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		half := len(data) / 2
		report := lint.Run([]release.File{{Name: "0000_10_a_x.yaml", Data: data}, {Name: "0000_10_b_y.json", Data: data[half:]}}, references(), lint.Options{Now: today})
		if n := report.Counts; n.Error+n.Warning+n.Note != len(report.Findings) || n.Excepted != len(report.Excepted) {
			t.Errorf("%+v of %d and %d findings", n, len(report.Findings), len(report.Excepted))
		}
		for _, finding := range report.Findings {
			if !known[finding.ID+finding.Rule+string(finding.Level)] || finding.File == "" || finding.Line < 0 || finding.Message == "" || finding.Exception != nil {
				t.Errorf("%+v", finding)
			}
		}
		var b bytes.Buffer
		report.Text(&b)
		if err := report.SARIF(&b, ""); err != nil {
			t.Error(err)
		}
		if _, err := json.Marshal(report); err != nil {
			t.Error(err)
		}
	})
}

func FuzzParseExceptions(f *testing.F) {
	for _, text := range []string{
		header, header + "exceptions:\n- {rule: bare-pod, file: a, reason: b, until: 2027-01-31}\n", header + "exceptions: [&a {rule: bare-pod}, *a]\n",
		header + "exceptions: [&a [*a]]\n", header + "exceptions: {}\n---\n", "<<: *a", header + "exceptions: [!!binary x, {<<: {rule: x}}]",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		exceptions, err := lint.ParseExceptions(data, "x.yaml")
		if err != nil {
			return
		}
		for _, e := range exceptions {
			if _, ok := lint.Find(e.Rule); !ok || e.Reason == "" || e.Object == "" && e.File == "" || len(e.Until) != len("2027-01-31") {
				t.Errorf("%+v came through", e)
			}
		}
	})
}
