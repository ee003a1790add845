package streams_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/slipway-release/slipway/release/streams"
)

// upgrade is one without a gap, by a monitor that was tested.
func upgrade(change func(*streams.Upgrade)) streams.Upgrade {
	u := streams.Upgrade{
		From: streams.Endpoint{Version: "1.0.0", Digest: "sha256:a"}, To: streams.Endpoint{Version: "1.0.1", Digest: "sha256:b"},
		TesterHealthy: true,
		SelfTest:      &streams.SelfTest{Injections: []streams.Injection{{Name: "nothing"}, {Name: "refused", Found: true}, {Name: "frozen", Found: true}}},
	}
	for _, b := range []string{"kube-api/new", "kube-api-write/reused", "service/new", "dns/new", "pod-to-pod/new", "tcp/reused"} {
		name, connection, _ := strings.Cut(b, "/")
		u.Backends = append(u.Backends, streams.Backend{Name: name, Connection: connection, Intended: 1000, Sent: 999})
	}
	u.Backends[4].From = "poller-w1"
	if change != nil {
		change(&u)
	}
	return u
}

// gaps makes disruptions in backends, by their place.
func gaps(backends ...int) func(*streams.Upgrade) {
	return func(u *streams.Upgrade) {
		for _, b := range backends {
			u.Backends[b].Failed = 7
			u.Backends[b].Disruptions = []streams.Disruption{{AtLeastMs: 100, AtMostMs: 300, During: "cp2: kube-apiserver terminating"}, {AtLeastMs: 50, AtMostMs: 150}}
		}
	}
}

func tolerant(words ...string) streams.UpgradePolicy {
	p := streams.UpgradePolicy{Gaps: map[string]streams.Tolerance{}}
	for _, w := range words {
		name, t, _ := strings.Cut(w, "=")
		p.Gaps[name] = streams.Tolerance(t)
	}
	return p
}

func TestEvaluateUpgrade(t *testing.T) {
	for name, tc := range map[string]struct {
		policy streams.UpgradePolicy
		change func(*streams.Upgrade)
		want   streams.Status
		detail string
	}{
		"no gap":                       {want: streams.Passed, detail: "6 backends answered without a gap"},
		"a gap":                        {change: gaps(0), want: streams.Failed, detail: "kube-api (new connections): 7 of 999 probes failed, 2 disruptions of 150 to 450 ms in all, during cp2: kube-apiserver terminating"},
		"a gap seen inside":            {change: gaps(4), want: streams.Failed, detail: "pod-to-pod (new connections) from poller-w1: 7 of 999"},
		"forbidden by word":            {policy: tolerant("kube-api=forbid"), change: gaps(0), want: streams.Failed, detail: "kube-api"},
		"forbidden by no word":         {policy: tolerant("kube-api=maybe"), change: gaps(0), want: streams.Failed, detail: "kube-api"},
		"tolerated":                    {policy: tolerant("kube-api=report"), change: gaps(0), want: streams.Passed, detail: "tolerated: kube-api (new connections): 7 of 999"},
		"by the beginning":             {policy: tolerant("kube-api=report"), change: gaps(1), want: streams.Passed, detail: "tolerated: kube-api-write"},
		"not within a word":            {policy: tolerant("kube-a=report", "dn=report"), change: gaps(0, 3), want: streams.Failed, detail: "kube-api"},
		"the longest counts":           {policy: tolerant("kube-api=report", "kube-api-write=forbid"), change: gaps(0, 1), want: streams.Failed, detail: "kube-api-write (reused connections): 7 of 999 probes failed, 2 disruptions of 150 to 450 ms in all, during cp2: kube-apiserver terminating; tolerated: kube-api (new"},
		"the longest counts, reversed": {policy: tolerant("kube=forbid", "kube-api=report"), change: gaps(0), want: streams.Passed, detail: "tolerated"},
		"another backend":              {policy: tolerant("kube-api=report", "service=report", "dns=report"), change: gaps(5), want: streams.Failed, detail: "tcp (reused"},
		"failures without windows":     {change: func(u *streams.Upgrade) { u.Backends[2].Failed = 1 }, want: streams.Failed, detail: "service"},
		"too few probes":               {change: func(u *streams.Upgrade) { u.Backends[1].Sent = 998 }, want: streams.Inconclusive, detail: "kube-api-write (reused connections) was sent 998 of 1000 intended probes, at least 99.9 % are needed"},
		"too few probes and a gap":     {change: func(u *streams.Upgrade) { gaps(0)(u); u.Backends[1].Sent = 900 }, want: streams.Inconclusive, detail: "900 of 1000"},
		"never ended":                  {change: func(u *streams.Upgrade) { u.Failure, u.TesterHealthy = "waiting for a Job", false }, want: streams.Failed, detail: "did not come to its end: waiting for a Job"},
		"tester ill":                   {change: func(u *streams.Upgrade) { u.TesterHealthy = false; gaps(0)(u) }, want: streams.Inconclusive, detail: "the tester was not healthy"},
		"idle cluster ill": {change: func(u *streams.Upgrade) {
			u.TesterHealthy, u.TesterReasons = false, []string{"dns on new connections had 3 failed samples before the upgrade began"}
		}, want: streams.Inconclusive, detail: "before the upgrade began"},
		"nothing probed":     {change: func(u *streams.Upgrade) { u.Backends = nil }, want: streams.Inconclusive, detail: "nothing was probed"},
		"nothing intended":   {change: func(u *streams.Upgrade) { u.Backends[0].Intended, u.Backends[0].Sent = 0, 0 }, want: streams.Inconclusive, detail: "0 of 0"},
		"to itself":          {change: func(u *streams.Upgrade) { u.From = u.To }, want: streams.Inconclusive, detail: "to itself"},
		"from nowhere":       {change: func(u *streams.Upgrade) { u.From = streams.Endpoint{} }, want: streams.Inconclusive, detail: "not known"},
		"monitor not tested": {change: func(u *streams.Upgrade) { u.SelfTest = nil }, want: streams.Inconclusive, detail: "did not prove by a self-test"},
		"test without injections": {change: func(u *streams.Upgrade) { u.SelfTest.Injections = u.SelfTest.Injections[:1] },
			want: streams.Inconclusive, detail: "did not prove by a self-test"},
		"monitor that is blind": {change: func(u *streams.Upgrade) {
			u.SelfTest.Injections[2] = streams.Injection{Name: "frozen", Problem: "it was missed"}
		}, want: streams.Inconclusive, detail: "the monitor failed its self-test: frozen: it was missed"},
		"blind, and a gap": {change: func(u *streams.Upgrade) { gaps(0)(u); u.SelfTest.Injections[1].Problem = "too wide" },
			want: streams.Inconclusive, detail: "refused: too wide"},
		"ill during the test": {change: func(u *streams.Upgrade) { u.SelfTest.Injections[1].Doubt = "late starts" },
			want: streams.Inconclusive, detail: "not healthy during its self-test: refused: late starts"},
	} {
		t.Run(name, func(t *testing.T) {
			got := streams.EvaluateUpgrade("upgrade", tc.policy, upgrade(tc.change))
			if got.Check != "upgrade" || got.Status != tc.want || !strings.Contains(got.Detail, tc.detail) {
				t.Errorf("got %+v, want %s with %q", got, tc.want, tc.detail)
			}
		})
	}
}

func TestEvaluateFindings(t *testing.T) {
	at := time.Date(2026, 12, 31, 23, 59, 59, 0, time.UTC)
	found := func(rule, severity, object string) streams.Finding {
		return streams.Finding{Rule: rule, Severity: severity, Object: object, Message: "it happened", At: at}
	}
	exception := func(rule, object, until string) streams.UpgradePolicy {
		return streams.UpgradePolicy{Exceptions: []streams.Exception{{Rule: rule, Object: object, Reason: "issue 7", Until: until}}}
	}
	killed := found("container-killed", "error", "kube-system/coredns-1")
	for name, tc := range map[string]struct {
		policy   streams.UpgradePolicy
		findings []streams.Finding
		want     streams.Status
		detail   string
	}{
		"an error":               {findings: []streams.Finding{killed}, want: streams.Failed, detail: "container-killed: kube-system/coredns-1: it happened"},
		"a warning":              {findings: []streams.Finding{found("watch-relisted", "warning", "x"), found("node-not-ready-drained", "info", "y")}, want: streams.Passed, detail: "6 backends answered without a gap"},
		"many of a rule":         {findings: []streams.Finding{killed, killed, killed, killed, killed}, want: streams.Failed, detail: "it happened and 2 more"},
		"tolerated by rule":      {policy: streams.UpgradePolicy{Rules: map[string]streams.Tolerance{"container-killed": streams.Report}}, findings: []streams.Finding{killed}, want: streams.Passed, detail: "tolerated: container-killed: kube-system/coredns-1: it happened"},
		"another rule tolerated": {policy: streams.UpgradePolicy{Rules: map[string]streams.Tolerance{"node-not-ready": streams.Report}}, findings: []streams.Finding{killed}, want: streams.Failed},
		"forbidden by word":      {policy: streams.UpgradePolicy{Rules: map[string]streams.Tolerance{"container-killed": streams.Forbid}}, findings: []streams.Finding{killed}, want: streams.Failed},
		"excused":                {policy: exception("container-killed", "kube-system/coredns-*", "2026-12-31"), findings: []streams.Finding{killed}, want: streams.Passed, detail: "(excused until 2026-12-31: issue 7)"},
		"excused, any object":    {policy: exception("container-killed", "", "2027-01-01"), findings: []streams.Finding{killed}, want: streams.Passed, detail: "issue 7"},
		"another object":         {policy: exception("container-killed", "kube-system/etcd-*", "2027-01-01"), findings: []streams.Finding{killed}, want: streams.Failed},
		"another rule":           {policy: exception("node-not-ready", "*", "2027-01-01"), findings: []streams.Finding{killed}, want: streams.Failed},
		"expired":                {policy: exception("container-killed", "*", "2026-12-30"), findings: []streams.Finding{killed}, want: streams.Failed, detail: "(its exception ended on 2026-12-30)"},
		"without a time":         {policy: exception("container-killed", "*", "2027-01-01"), findings: []streams.Finding{{Rule: "container-killed", Severity: "error"}}, want: streams.Failed},
		"one that is not over": {policy: streams.UpgradePolicy{Exceptions: append(exception("container-killed", "*", "2026-01-01").Exceptions, exception("container-killed", "*", "2027-01-01").Exceptions...)},
			findings: []streams.Finding{killed}, want: streams.Passed, detail: "excused until 2027-01-01"},
		"one of two": {policy: exception("container-killed", "kube-system/coredns-*", "2027-01-01"), findings: []streams.Finding{killed, found("node-not-ready", "error", "w1")},
			want: streams.Failed, detail: "node-not-ready: w1: it happened; tolerated: container-killed: kube-system"},
	} {
		t.Run(name, func(t *testing.T) {
			got := streams.EvaluateUpgrade("upgrade", tc.policy, upgrade(func(u *streams.Upgrade) { u.Findings = tc.findings }))
			if got.Status != tc.want || !strings.Contains(got.Detail, tc.detail) {
				t.Errorf("got %+v, want %s with %q", got, tc.want, tc.detail)
			}
		})
	}
}

// The struct reads what a run report holds under `upgrade`. What stands under
// informing does not decide.
func TestUpgradeReadsTheReport(t *testing.T) {
	const report = `{"from":{"version":"1.0.0","digest":"sha256:a"},"to":{"version":"1.0.1","digest":"sha256:b"},"seconds":12.5,"nodes":1,
"backends":[{"name":"kube-api","connection":"new","hertz":20,"intended":100,"sent":100,"failed":3,"slow":0,"p50ms":1.5,
"disruptions":[{"from":"2026-11-20T10:15:00Z","to":"2026-11-20T10:15:01Z","atLeastMs":950.5,"atMostMs":1050,"reason":"refused","during":"node 1: control plane"}]}],
"informing":[{"name":"stateful","connection":"new","intended":100,"sent":2,"failed":2,"disruptions":[]}],
"findings":[{"rule":"node-not-ready","severity":"error","object":"node","message":"NotReady for 3s","at":"2026-11-20T10:15:00Z"}],
"selftest":{"hertz":20,"injections":[{"name":"refused","found":true,"trueMs":{"atLeast":300,"atMost":301}}]},
"testerHealthy":true,"downtimeMs":{"atLeast":950.5,"atMost":1050}}`
	var u streams.Upgrade
	if err := json.Unmarshal([]byte(report), &u); err != nil {
		t.Fatal(err)
	}
	policy := tolerant("kube-api=report")
	policy.Rules = map[string]streams.Tolerance{"node-not-ready": streams.Report}
	got := streams.EvaluateUpgrade("upgrade", policy, u)
	const want = "tolerated: kube-api (new connections): 3 of 100 probes failed, 1 disruption of 950 to 1050 ms in all, during node 1: control plane; node-not-ready: node: NotReady for 3s"
	if got.Status != streams.Passed || got.Detail != want {
		t.Errorf("got %+v", got)
	}
}
