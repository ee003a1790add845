package upgradetest

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// judged makes a recording of events and ledgers and returns the findings' rules.
func judged(t *testing.T, letters string, events []eventFrame, ledgers ...Ledger) Result {
	t.Helper()
	dir := t.TempDir()
	rewrite(t, dir, at20Hz(0), func(w *writer) error {
		err := w.samples(slots(letters))
		for _, v := range events {
			err = errors.Join(err, w.json(kindEvent, v))
		}
		for _, l := range ledgers {
			err = errors.Join(err, w.json(kindLedger, l))
		}
		end := max(time.Minute, at20Hz(0).Series[0].due(int64(len(letters))))
		return errors.Join(err, w.json(kindEnd, endFrame{At: end, Wall: start.Add(end)}))
	})
	r, err := Evaluate(dir)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func at(seconds float64, lane, object, state string, facts ...string) eventFrame {
	v := eventFrame{At: time.Duration(seconds * float64(time.Second)), Lane: lane, Object: object, State: state, Facts: map[string]string{}}
	for i := 0; i+1 < len(facts); i += 2 {
		v.Facts[facts[i]] = facts[i+1]
	}
	return v
}

func TestRules(t *testing.T) {
	for _, test := range []struct {
		name    string
		events  []eventFrame
		ledgers []Ledger
		want    string // rules in the order of severity
	}{
		{name: "nothing"},
		{name: "a graceful restart", events: []eventFrame{
			at(0, LaneAPIServer, "cp1", "ready"), at(5, LaneAPIServer, "cp1", "terminating"), at(15, LaneAPIServer, "cp1", "down"),
			at(17, LaneAPIServer, "cp1", "not-ready"), at(20, LaneAPIServer, "cp1", "ready"), at(21, LaneAPIServer, "cp2", "terminating"), at(30, LaneAPIServer, "cp2", "ready"),
		}},
		{name: "killed", want: "apiserver-ungraceful", events: []eventFrame{at(0, LaneAPIServer, "cp1", "ready"), at(5, LaneAPIServer, "cp1", "down"), at(9, LaneAPIServer, "cp1", "ready")}},
		{name: "killed after a graceful restart", want: "apiserver-ungraceful", events: []eventFrame{
			at(0, LaneAPIServer, "cp1", "ready"), at(5, LaneAPIServer, "cp1", "terminating"), at(15, LaneAPIServer, "cp1", "down"),
			at(20, LaneAPIServer, "cp1", "ready"), at(25, LaneAPIServer, "cp1", "down"),
		}},
		{name: "two at a time", want: "apiserver-overlap", events: []eventFrame{
			at(5, LaneAPIServer, "cp1", "terminating"), at(9, LaneAPIServer, "cp2", "terminating"), at(20, LaneAPIServer, "cp1", "ready"), at(25, LaneAPIServer, "cp2", "ready"),
		}},
		{name: "a node", want: "node-not-ready", events: []eventFrame{at(1, LaneNode, "w1", "Ready", "cordoned", "false"), at(5, LaneNode, "w1", "NotReady", "cordoned", "false"), at(9, LaneNode, "w1", "Ready")}},
		{name: "a cordoned node", want: "node-not-ready-drained", events: []eventFrame{at(5, LaneNode, "w1", "NotReady", "cordoned", "true"), at(9, LaneNode, "w1", "Ready")}},
		{name: "evicted", want: "evicted-without-budget", events: []eventFrame{at(5, LanePod, "a/b", "evicted", "budget", ""), at(6, LanePod, "a/c", "evicted", "budget", "c")}},
		{name: "containers", want: "container-killed container-restarted", events: []eventFrame{
			at(5, LanePod, "a/b", "killed"), at(6, LanePod, "a/c", "restarted", "exitCode", "1"), at(7, LanePod, "kube-system/etcd", "restarted", "mirror", "true", "exitCode", "0"),
		}},
		{name: "etcd", want: "etcd-no-leader etcd-leader-changes etcd-slow-fsync", events: []eventFrame{
			at(0, LaneEtcd, "cp1", "leader", "leaderChanges", "0"), at(3, LaneEtcd, "cp1", "no-leader", "leaderChanges", "1"),
			at(4, LaneEtcd, "cp1", "follower", "leaderChanges", "2"), at(9, LaneEtcd, "cp1 disk", "slow-fsync"),
		}},
		{name: "workloads", want: "workload-unavailable workload-single", events: []eventFrame{
			at(5, LaneWorkload, "deployment kube-system/coredns", "unavailable", "replicas", "2"), at(6, LaneWorkload, "deployment kube-system/one", "unavailable", "replicas", "1"),
			at(7, LaneWorkload, "statefulset "+Namespace+"/"+storeName, "unavailable", "replicas", "1"),
		}},
		{name: "operators", want: "operator-unavailable operator-degraded operator-progressing", events: []eventFrame{
			at(0, LaneOperator, "dns", "available"), at(5, LaneOperator, "dns", "unavailable"), at(6, LaneOperator, "dns", "degraded"), at(9, LaneOperator, "dns", "available"),
			at(5, LaneOperator, "etcd", "degraded"), at(7, LaneOperator, "network", "progressing"),
		}},
		{name: "ledgers", want: "write-lost watch-gap watch-relisted watch-duplicate log-lines-lost", ledgers: []Ledger{
			{Name: BackendWrite, Acknowledged: 5, Missing: 1}, {Name: BackendWatch, Missing: 2, Duplicates: 1, Relists: 1}, {Name: BackendLogs, Missing: 3}, {Name: BackendStateful, Acknowledged: 9},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := judged(t, "....", test.events, test.ledgers...)
			var got []string
			for _, f := range r.Findings {
				got = append(got, f.Rule)
				if f.Object == "" || f.Message == "" && f.Rule != "evicted-without-budget" && !strings.HasPrefix(f.Rule, "container") && f.Rule != "etcd-slow-fsync" {
					t.Errorf("the finding says nothing: %+v", f)
				}
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("findings %q, want %q", got, test.want)
			}
		})
	}
}

func TestRulesAreDocumented(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Rules() {
		if seen[r.ID] || r.What == "" || r.Docs == "" || !slices.Contains([]string{SeverityError, SeverityWarning, SeverityInfo}, r.Severity) {
			t.Errorf("rule %+v", r)
		}
		seen[r.ID] = true
	}
}

func TestUnverifiedLedgerIsInconclusive(t *testing.T) {
	r := judged(t, "....", nil, Ledger{Name: BackendWrite, Acknowledged: 5, Unverified: "connection refused"})
	if r.TesterHealthy || len(r.Findings) != 0 {
		t.Errorf("healthy %v, findings %v", r.TesterHealthy, r.Findings)
	}
}

// TestCause: an outage of the API names the server that was away, not one that was well.
func TestCause(t *testing.T) {
	r := judged(t, "....................xxx....", []eventFrame{
		at(0, LaneAPIServer, "cp1", "ready"), at(0, LaneAPIServer, "cp2", "ready"),
		at(1.0, LaneAPIServer, "cp2", "terminating"), at(1.3, LaneAPIServer, "cp2", "ready"), at(40, LaneAPIServer, "cp1", "down"),
	})
	d := r.Backends[0].Disruptions[0]
	if want := "cp2: kube-apiserver terminating"; d.Cause != want || d.During != want {
		t.Errorf("cause %q, during %q; want %q", d.Cause, d.During, want)
	}
	if r := judged(t, "....................xxx....", nil); r.Backends[0].Disruptions[0].Cause != "" {
		t.Errorf("a cause without an event: %q", r.Backends[0].Disruptions[0].Cause)
	}
}

func TestJudge(t *testing.T) {
	healthy := Result{TesterHealthy: true, Backends: []BackendResult{{Name: "kube-api", Connection: New, Intended: 1000, Sent: 1000}}}
	for _, test := range []struct {
		name         string
		change       func(*Result)
		conclusive   bool
		gaps, doubts int
	}{
		{"well", func(*Result) {}, true, 0, 0},
		{"a failed sample", func(r *Result) { r.Backends[0].Failed = 1 }, true, 1, 0},
		{"one of an informing backend", func(r *Result) { r.Informing = []BackendResult{{Failed: 5}} }, true, 0, 0},
		{"a finding", func(r *Result) { r.Findings = []Finding{{Severity: SeverityError}, {Severity: SeverityWarning}} }, true, 1, 0},
		{"coverage", func(r *Result) { r.Backends[0].Sent = 998 }, false, 0, 1},
		{"ill", func(r *Result) { r.TesterReasons = []string{"it was"}; r.Backends[0].Failed = 1 }, false, 1, 1},
		{"nothing", func(r *Result) { r.Backends = nil }, false, 0, 1},
	} {
		r := healthy
		r.Backends = slices.Clone(healthy.Backends)
		test.change(&r)
		if v := r.Judge(); v.Conclusive != test.conclusive || len(v.Gaps) != test.gaps || len(v.Doubts) != test.doubts {
			t.Errorf("%s: %+v", test.name, v)
		}
		suite, err := r.JUnit()
		if err != nil || !strings.Contains(string(suite), "the tester is healthy") {
			t.Errorf("%s: %v\n%s", test.name, err, suite)
		}
	}
}
