package report_test

import (
	"encoding/json"
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/slipway-release/slipway/e2e"
	"github.com/slipway-release/slipway/internal/golden"
	"github.com/slipway-release/slipway/pipelines/report"
	"github.com/slipway-release/slipway/upgradetest"
)

func example() *report.Report {
	at := time.Date(2026, 11, 20, 10, 15, 0, 0, time.UTC)
	r := report.New(report.Run{ID: "nightly-2026-11-20-101500", Pipeline: "nightly", Profile: "single", Started: at, Finished: at.Add(4 * time.Minute), Verdict: "Accepted"})
	r.Payload = &report.Payload{Version: "1.36.3-0.nightly-2026-11-20-101500", Digest: "sha256:aa", PullSpec: "127.0.0.1:5000/skiff/release@sha256:aa"}
	r.Stages = []report.Stage{
		{Name: "build", Status: "Succeeded", Seconds: 1.5, Attempts: 1},
		{Name: "upgrade", Status: "Failed", Reason: "node <b>x</b> & more", Seconds: 61, Attempts: 2},
		{Name: "promote", Status: "Skipped", Reason: "another task failed"},
	}
	r.Images = []report.Image{{Component: "etcd", Digest: "sha256:bb", Cached: true}}
	r.Conformance = &e2e.Result{Suite: "smoke", Expected: 2, Ran: 2, Passed: 1, Failed: 1, Failures: []e2e.Failure{{Name: "Pods: run", Message: "it did not"}}}
	r.Upgrade = &upgradetest.Result{
		From: upgradetest.Release{Version: "1"}, To: upgradetest.Release{Version: "2"}, Seconds: 100, Nodes: 1, Started: at,
		Backends: []upgradetest.BackendResult{{
			Name: "kube-api", Connection: "new", Hertz: 20, Intended: 2000, Sent: 2000, Failed: 10, P50Ms: 1.25, P99Ms: 3, MaxMs: 9,
			Disruptions: []upgradetest.Disruption{{From: at.Add(50 * time.Second), To: at.Add(51 * time.Second), AtLeastMs: 900, AtMostMs: 1000, Reason: "refused", During: "control-plane"}},
		}},
		Informing: []upgradetest.BackendResult{{Name: "stateful", Connection: "new", From: "w1", Intended: 1000, Sent: 1000, Failed: 30, P99Ms: 4, MaxMs: 8}},
		Findings:  []upgradetest.Finding{{Rule: "node-not-ready", Severity: "error", Object: "w1", Message: "NotReady for 3s", At: at.Add(50 * time.Second)}},
		Skipped:   []string{"kube-api-direct: cannot be reached"},
		Baseline:  &upgradetest.Window{Seconds: 10, Backends: []upgradetest.BackendResult{{Name: "kube-api", Connection: "new", Intended: 200, Sent: 200, Failed: 1}}},
		SelfTest: &upgradetest.SelfTest{Hertz: 20, Injections: []upgradetest.Injection{
			{Name: "nothing", What: "nothing is done"},
			{Name: "refused", What: "connections are refused for 300 ms", Found: true, MeasuredMs: upgradetest.Bounds{AtLeast: 250, AtMost: 350}},
			{Name: "frozen", What: "the server is frozen", Problem: "it was missed"},
		}},
		TesterHealthy: true, DowntimeMs: upgradetest.Bounds{AtLeast: 900, AtMost: 1000},
	}
	r.Channels = []report.Channel{{Name: "candidate", Added: true}}
	r.Evidence = []report.Evidence{{PredicateType: "https://slsa.dev/provenance/v1", Digest: "sha256:cc", Subject: "release"}}
	r.Reasons = []string{"conformance: Passed"}
	return r
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	r := example()
	if err := r.Write(dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"report.json", "report.html", "junit_stages.xml"} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		golden.Check(t, filepath.Join("testdata", name), got)
	}
	data, _ := os.ReadFile(filepath.Join(dir, "report.json"))
	var back report.Report
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	if back.Kind != "RunReport" || back.Upgrade.Backends[0].Failed != 10 || back.Conformance.Failures[0].Name != "Pods: run" {
		t.Errorf("read back: %+v", back)
	}
}

// An upgrade that went another way than from one payload to the next says so.
func TestPageTellsTheRoute(t *testing.T) {
	r := example()
	r.Upgrade.Via = []upgradetest.Release{{Version: "1.5"}}
	r.Upgrade.Aborted, r.Upgrade.RolledBack, r.Upgrade.Failure = true, true, "waiting for Job kube-system/never"
	page, err := r.HTML()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<dd>1.5 ", "(aborted, and rolled back)", "waiting for Job kube-system/never"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

// The time line lists the disruptions itself.
func TestPageWithATimeline(t *testing.T) {
	r := example()
	r.Timeline = "<div>the time line</div>"
	page, err := r.HTML()
	if err != nil {
		t.Fatal(err)
	}
	if s := string(page); !strings.Contains(s, "<div>the time line</div>") || strings.Contains(s, ">Disruptions<") {
		t.Error("the page lacks the time line, or tells the disruptions twice")
	}
}

func TestPageIsSafeAndSelfContained(t *testing.T) {
	page, err := example().HTML()
	if err != nil {
		t.Fatal(err)
	}
	s := string(page)
	if strings.Contains(s, "<b>x</b>") || !strings.Contains(s, "&lt;b&gt;x&lt;/b&gt; &amp; more") {
		t.Error("text from outside is not escaped")
	}
	for _, bad := range []string{"src=", "href=", "@import", "url(", "ZgotmplZ"} {
		if strings.Contains(s, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	if !strings.Contains(s, "left:50.000%;width:calc(51.000% - 50.000%)") {
		t.Error("the disruption does not stand at its place in the lane")
	}
}

// A run that came to nothing has a report as well.
func TestEmpty(t *testing.T) {
	dir := t.TempDir()
	if err := report.New(report.Run{ID: "x"}).Write(dir); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range []string{`"stages": []`, `"images": []`, `"channels": []`, `"evidence": []`} {
		if !strings.Contains(string(data), list) {
			t.Errorf("report lacks %s", list)
		}
	}
}

func TestJUnit(t *testing.T) {
	dir := t.TempDir()
	if err := example().Write(dir); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "junit_stages.xml"))
	if err != nil {
		t.Fatal(err)
	}
	var suite struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Skipped  int `xml:"skipped,attr"`
	}
	if err := xml.Unmarshal(data, &suite); err != nil {
		t.Fatal(err)
	}
	if suite.Tests != 3 || suite.Failures != 1 || suite.Skipped != 1 {
		t.Errorf("suite: %+v", suite)
	}
}
