package upgradetest_test

import (
	"encoding/xml"
	"math"
	"strings"
	"testing"

	"github.com/slipway-release/slipway/upgradetest"
)

// measured is a run in which two backends were probed, one of them by two pollers.
func measured(change func(*upgradetest.Result)) upgradetest.Result {
	backend := func(name, from string) upgradetest.BackendResult {
		return upgradetest.BackendResult{Name: name, Connection: "new", From: from, Intended: 1000, Sent: 1000, MaxMs: 5}
	}
	r := upgradetest.Result{TesterHealthy: true, Seconds: 50, Backends: []upgradetest.BackendResult{backend("kube-api", ""), backend("pod-to-pod", "w1"), backend("pod-to-pod", "w2")}}
	if change != nil {
		change(&r)
	}
	return r
}

func gap(r *upgradetest.Result) {
	r.Backends[1].Failed, r.Backends[1].Slow = 2, 1
	r.Backends[1].Disruptions = []upgradetest.Disruption{{AtLeastMs: 10, AtMostMs: 90}, {AtLeastMs: 40, AtMostMs: 140}}
}

func ill(r *upgradetest.Result) { r.TesterReasons = []string{"late starts"}; gap(r) }

func TestAggregated(t *testing.T) {
	finding := func(severity string) func(*upgradetest.Result) {
		return func(r *upgradetest.Result) {
			r.Findings = []upgradetest.Finding{{Rule: "node-not-ready", Severity: severity, Object: "w1"}}
		}
	}
	for name, tc := range map[string]struct {
		runs       []func(*upgradetest.Result)
		wanted     int
		verdict    string
		conclusive int
		says       string
	}{
		"all good":                      {runs: []func(*upgradetest.Result){nil, nil, nil}, verdict: "Accepted", conclusive: 3},
		"a warning":                     {runs: []func(*upgradetest.Result){finding("warning")}, verdict: "Accepted", conclusive: 1},
		"one sample in one run":         {runs: []func(*upgradetest.Result){nil, nil, gap, nil}, verdict: "Rejected", conclusive: 4, says: "c: pod-to-pod/new from w1: 2 of 1000"},
		"a finding":                     {runs: []func(*upgradetest.Result){nil, finding("error")}, verdict: "Rejected", conclusive: 2, says: "b: node-not-ready"},
		"one run says nothing":          {runs: []func(*upgradetest.Result){nil, ill}, verdict: "Inconclusive", conclusive: 1, says: "b: late starts"},
		"enough runs are conclusive":    {runs: []func(*upgradetest.Result){nil, ill, nil}, wanted: 2, verdict: "Accepted", conclusive: 2},
		"too few":                       {runs: []func(*upgradetest.Result){nil, nil}, wanted: 3, verdict: "Inconclusive", conclusive: 2, says: "2 of 2 runs are conclusive, and 3 are needed"},
		"a failure beats doubt":         {runs: []func(*upgradetest.Result){ill, gap}, verdict: "Rejected", conclusive: 1},
		"never ended, by an ill tester": {runs: []func(*upgradetest.Result){func(r *upgradetest.Result) { ill(r); r.Failure = "node 2 is stuck" }}, verdict: "Rejected", conclusive: 1, says: "node 2 is stuck"},
		"blind monitor": {runs: []func(*upgradetest.Result){func(r *upgradetest.Result) {
			r.SelfTest = &upgradetest.SelfTest{Injections: []upgradetest.Injection{{Name: "frozen", Problem: "it was missed"}}}
		}}, verdict: "Inconclusive", says: "frozen: it was missed"},
		"nothing": {verdict: "Inconclusive"},
	} {
		t.Run(name, func(t *testing.T) {
			var results []upgradetest.Result
			var names []string
			for i, change := range tc.runs {
				results, names = append(results, measured(change)), append(names, string(rune('a'+i)))
			}
			a := upgradetest.Aggregated(names, results, tc.wanted)
			if a.Verdict != tc.verdict || a.Conclusive != tc.conclusive || !strings.Contains(strings.Join(a.Reasons, "\n"), tc.says) {
				t.Errorf("%s with %d conclusive runs: %q", a.Verdict, a.Conclusive, a.Reasons)
			}
		})
	}
}

func TestAggregatedBackends(t *testing.T) {
	a := upgradetest.Aggregated([]string{"a", "b", "c"}, []upgradetest.Result{measured(nil), measured(gap), measured(ill)}, 0)
	if len(a.Backends) != 2 {
		t.Fatalf("backends %+v", a.Backends)
	}
	api, pods := a.Backends[0], a.Backends[1]
	if api.Name != "kube-api" || api.Runs != 2 || api.RunsFailed != 0 || api.Sent != 2000 || math.Abs(api.FailuresAtMost-3.0/2000) > 1e-5 {
		t.Errorf("%+v", api) // the rule of three
	}
	if pods.Runs != 2 || pods.RunsFailed != 1 || pods.Sent != 4000 || pods.Failed != 2 || pods.Slow != 1 || pods.WorstRun != "b" || pods.Worst != (upgradetest.Bounds{AtLeast: 40, AtMost: 140}) {
		t.Errorf("%+v", pods)
	}
	data, err := a.JUnit()
	if err != nil {
		t.Fatal(err)
	}
	var suite struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Skipped  int `xml:"skipped,attr"`
	}
	if err := xml.Unmarshal(data, &suite); err != nil || suite.Tests != 5 || suite.Failures != 2 || suite.Skipped != 1 {
		t.Errorf("%+v, %v\n%s", suite, err, data)
	}
}
