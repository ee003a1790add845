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
