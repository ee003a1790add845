package streams_test

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/release/streams"
)

func result(check string, status streams.Status) streams.Result {
	return streams.Result{Check: check, Status: status, Detail: check + " " + string(status)}
}

func TestDecide(t *testing.T) {
	policy := streams.Policy{Name: "nightly", Blocking: []string{"conformance", "upgrade"}, Informing: []string{"scale"}}
	for name, tc := range map[string]struct {
		results []streams.Result
		want    streams.Outcome
		reasons string
	}{
		"all passed": {
			results: []streams.Result{result("upgrade", streams.Passed), result("conformance", streams.Passed), result("scale", streams.Passed)},
			want:    streams.Accepted, reasons: "conformance+Passed upgrade+Passed scale-Passed",
		},
		"an informing check failed": {
			results: []streams.Result{result("upgrade", streams.Passed), result("conformance", streams.Passed), result("scale", streams.Failed)},
			want:    streams.Accepted, reasons: "conformance+Passed upgrade+Passed scale-Failed",
		},
		"a blocking check failed": {
			results: []streams.Result{result("upgrade", streams.Failed), result("conformance", streams.Passed)},
			want:    streams.Rejected, reasons: "conformance+Passed upgrade+Failed scale-Missing",
		},
		"failed beats missing": {
			results: []streams.Result{result("upgrade", streams.Failed)},
			want:    streams.Rejected, reasons: "conformance+Missing upgrade+Failed scale-Missing",
		},
		"inconclusive": {
			results: []streams.Result{result("upgrade", streams.Inconclusive), result("conformance", streams.Passed)},
			want:    streams.Undecided, reasons: "conformance+Passed upgrade+Inconclusive scale-Missing",
		},
		"nothing at all": {want: streams.Undecided, reasons: "conformance+Missing upgrade+Missing scale-Missing"},
		"a status nobody knows": {
			results: []streams.Result{result("upgrade", "Great"), result("conformance", streams.Passed)},
			want:    streams.Undecided, reasons: "conformance+Passed upgrade+Inconclusive scale-Missing",
		},
		"a second try told what the first could not": {
			results: []streams.Result{result("upgrade", streams.Inconclusive), result("upgrade", streams.Passed), result("conformance", streams.Passed)},
			want:    streams.Accepted, reasons: "conformance+Passed upgrade+Passed scale-Missing",
		},
		"a second try does not take a failure back": {
			results: []streams.Result{result("upgrade", streams.Failed), result("upgrade", streams.Passed), result("conformance", streams.Passed)},
			want:    streams.Rejected, reasons: "conformance+Passed upgrade+Failed scale-Missing",
		},
		"a check the policy does not know": {
			results: []streams.Result{result("upgrade", streams.Passed), result("conformance", streams.Passed), result("extra", streams.Failed)},
			want:    streams.Accepted, reasons: "conformance+Passed upgrade+Passed scale-Missing extra-Failed",
		},
	} {
		t.Run(name, func(t *testing.T) {
			first := streams.Decide(policy, tc.results)
			var reasons []string
			for _, r := range first.Reasons {
				sign := "-"
				if r.Blocking {
					sign = "+"
				}
				reasons = append(reasons, r.Check+sign+string(r.Status))
			}
			if got := strings.Join(reasons, " "); first.Verdict != tc.want || got != tc.reasons {
				t.Errorf("got %s: %s", first.Verdict, got)
			}
			for range 10 {
				rand.Shuffle(len(tc.results), func(i, j int) { tc.results[i], tc.results[j] = tc.results[j], tc.results[i] })
				if diff := cmp.Diff(first, streams.Decide(policy, tc.results)); diff != "" {
					t.Errorf("the order of results matters: %s", diff)
				}
			}
		})
	}
}

func TestVerdictText(t *testing.T) {
	policy := streams.Policy{Blocking: []string{"conformance", "upgrade"}}
	v := streams.Decide(policy, []streams.Result{{Check: "upgrade", Status: streams.Failed, Detail: "dns: 3 of 100 probes failed"}})
	if got := v.String(); got != "Rejected: conformance missing: there is no evidence of this check; upgrade failed: dns: 3 of 100 probes failed" {
		t.Errorf("got %q", got)
	}
	data, err := json.Marshal(streams.Decide(streams.Policy{}, nil))
	if err != nil || string(data) != `{"verdict":"Accepted","reasons":[]}` {
		t.Errorf("got %s, %v", data, err)
	}
}

func upgrade(change func(*streams.Upgrade)) streams.Upgrade {
	u := streams.Upgrade{
		From: streams.Endpoint{Version: "1.0.0", Digest: "sha256:a"}, To: streams.Endpoint{Version: "1.0.1", Digest: "sha256:b"},
		TesterHealthy: true,
	}
	for _, b := range []string{"kube-api/new", "kube-api/reused", "service/new", "dns/new"} {
		name, connection, _ := strings.Cut(b, "/")
		u.Backends = append(u.Backends, streams.Backend{Name: name, Connection: connection, Intended: 1000, Sent: 990})
	}
	if change != nil {
		change(&u)
	}
	return u
}

func TestEvaluateUpgrade(t *testing.T) {
	gap := []streams.Disruption{{AtLeastMs: 100, AtMostMs: 300}, {AtLeastMs: 50, AtMostMs: 150}}
	in := func(backends ...int) func(*streams.Upgrade) {
		return func(u *streams.Upgrade) {
			for _, b := range backends {
				u.Backends[b].Disruptions, u.Backends[b].Failed = gap, 7
			}
		}
	}
	report := streams.UpgradePolicy{APIGap: streams.Report}
	for name, tc := range map[string]struct {
		policy streams.UpgradePolicy
		change func(*streams.Upgrade)
		want   streams.Status
		detail string
	}{
		"no gap":                    {want: streams.Passed, detail: "4 backends answered without a gap"},
		"API gap forbidden":         {change: in(0), want: streams.Failed, detail: "kube-api (new connections): 7 of 990 probes failed, 2 disruptions of 150 to 450 ms in all"},
		"API gap forbidden by word": {policy: streams.UpgradePolicy{APIGap: streams.Forbid}, change: in(1), want: streams.Failed, detail: "reused"},
		"API gap tolerated":         {policy: report, change: in(0, 1), want: streams.Passed, detail: "tolerated: kube-api (new connections)"},
		"service gap":               {policy: report, change: in(0, 2), want: streams.Failed, detail: "service (new connections)"},
		"service gap tolerated":     {policy: streams.UpgradePolicy{ServiceGap: streams.Report}, change: in(2), want: streams.Passed, detail: "tolerated: service"},
		"DNS gap":                   {policy: streams.UpgradePolicy{APIGap: streams.Report, ServiceGap: streams.Report}, change: in(3), want: streams.Failed, detail: "dns"},
		"DNS gap tolerated":         {policy: streams.UpgradePolicy{DNSGap: streams.Report}, change: in(3), want: streams.Passed, detail: "dns"},
		"failures without windows":  {change: func(u *streams.Upgrade) { u.Backends[2].Failed = 1 }, want: streams.Failed, detail: "service"},
		"another backend":           {policy: streams.UpgradePolicy{APIGap: streams.Report, ServiceGap: streams.Report, DNSGap: streams.Report}, change: func(u *streams.Upgrade) { u.Backends[0].Name = "registry"; in(0)(u) }, want: streams.Failed, detail: "registry"},
		"99 % is enough":            {change: func(u *streams.Upgrade) { u.Backends[0].Sent = 990 }, want: streams.Passed},
		"less is not":               {change: func(u *streams.Upgrade) { u.Backends[1].Sent = 989 }, want: streams.Inconclusive, detail: "kube-api (reused connections) was sent 989 of 1000 intended probes"},
		"never ended":               {policy: report, change: func(u *streams.Upgrade) { u.Failure, u.TesterHealthy = "waiting for a Job", false }, want: streams.Failed, detail: "did not come to its end: waiting for a Job"},
		"tester ill":                {change: func(u *streams.Upgrade) { u.TesterHealthy = false; in(0)(u) }, want: streams.Inconclusive, detail: "tester"},
		"nothing probed":            {change: func(u *streams.Upgrade) { u.Backends = nil }, want: streams.Inconclusive, detail: "nothing was probed"},
		"nothing intended":          {change: func(u *streams.Upgrade) { u.Backends[0].Intended, u.Backends[0].Sent = 0, 0 }, want: streams.Inconclusive, detail: "0 of 0"},
		"to itself":                 {change: func(u *streams.Upgrade) { u.From = u.To }, want: streams.Inconclusive, detail: "to itself"},
		"from nowhere":              {change: func(u *streams.Upgrade) { u.From = streams.Endpoint{} }, want: streams.Inconclusive, detail: "not known"},
	} {
		t.Run(name, func(t *testing.T) {
			got := streams.EvaluateUpgrade("upgrade", tc.policy, upgrade(tc.change))
			if got.Check != "upgrade" || got.Status != tc.want || !strings.Contains(got.Detail, tc.detail) {
				t.Errorf("got %+v, want %s with %q", got, tc.want, tc.detail)
			}
		})
	}
}

// The struct reads what a run report holds under `upgrade`.
func TestUpgradeReadsTheReport(t *testing.T) {
	const report = `{"from":{"version":"1.0.0","digest":"sha256:a"},"to":{"version":"1.0.1","digest":"sha256:b"},"seconds":12.5,"nodes":1,
"backends":[{"name":"kube-api","connection":"new","hertz":20,"intended":100,"sent":100,"failed":3,"slow":0,"p50ms":1.5,
"disruptions":[{"from":"2026-11-20T10:15:00Z","to":"2026-11-20T10:15:01Z","atLeastMs":950.5,"atMostMs":1050,"reason":"refused"}]}],
"testerHealthy":true,"downtimeMs":{"atLeast":950.5,"atMost":1050}}`
	var u streams.Upgrade
	if err := json.Unmarshal([]byte(report), &u); err != nil {
		t.Fatal(err)
	}
	got := streams.EvaluateUpgrade("upgrade", streams.UpgradePolicy{APIGap: streams.Report}, u)
	if got.Status != streams.Passed || got.Detail != "tolerated: kube-api (new connections): 3 of 100 probes failed, 1 disruption of 950 to 1050 ms in all" {
		t.Errorf("got %+v", got)
	}
}

func TestUpgradePolicyValidate(t *testing.T) {
	if err := (streams.UpgradePolicy{APIGap: "report", DNSGap: "forbid"}).Validate(); err != nil {
		t.Error(err)
	}
	if err := (streams.UpgradePolicy{ServiceGap: "maybe"}).Validate(); err == nil || !strings.Contains(err.Error(), `serviceGap: "maybe"`) {
		t.Errorf("got %v", err)
	}
}
