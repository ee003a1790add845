package streams_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/release/streams"
)

var whole = streams.Declaration{
	Name: "nightly", Base: "1.36.3", When: streams.WhenChanged, Schedule: "0 2 * * *", Cooldown: time.Hour, MaxUnfinished: 2, Supersede: true,
	Policy: streams.Policy{
		Name: "nightly", Channels: []string{"candidate"}, Blocking: []string{"upgrade"}, Informing: []string{"soak"}, RejectSkipped: []string{"soak"},
		Upgrade: map[string]streams.UpgradePolicy{"single": {
			Gaps: map[string]streams.Tolerance{"kube-api": streams.Report}, Rules: map[string]streams.Tolerance{"event-repeated": streams.Report},
			Exceptions: []streams.Exception{{Rule: "container-restarted", Object: "kube-system/coredns-*", Reason: "see issue 12", Until: "2027-01-31"}},
		}},
	},
	Run:    streams.PipelineRun{Pipeline: "nightly", Params: map[string]string{"profile": "ha"}},
	Checks: []streams.Check{{Name: "soak", PipelineRun: streams.PipelineRun{Pipeline: "soak"}, From: "previous"}},
	Retry:  streams.Retry{Limit: 3, Backoff: time.Minute, Max: time.Hour}, Retain: streams.Retention{Accepted: 5, Others: 3, Age: time.Hour}, Frozen: "release week",
}

func TestParseDeclaration(t *testing.T) {
	data, err := json.Marshal(whole)
	if err != nil {
		t.Fatal(err)
	}
	got, err := streams.ParseDeclaration(append(data, '\n'))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(whole, got); diff != "" || got.Digest() != whole.Digest() {
		t.Errorf("it comes back otherwise: %s", diff)
	}
	for name, c := range map[string]struct{ text, want string }{
		"nothing":          {"", "EOF"},
		"a list":           {"[]", "array"},
		"no name":          {"{}", `named ""`},
		"two names":        {`{"name":"nightly","policy":{"Name":"stable"}}`, `its policy "stable"`},
		"a rule more":      {strings.Replace(string(data), `"Blocking"`, `"Demanding"`, 1), `"Demanding"`},
		"a brace too many": {string(data) + "}", "behind its end"},
		"a second one":     {string(data) + string(data), "behind its end"},
		"half of it":       {string(data[:len(data)/2]), "EOF"},
	} {
		if _, err := streams.ParseDeclaration([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v does not say %q", name, err, c.want)
		}
	}
}

func FuzzParseDeclaration(f *testing.F) {
	data, err := json.Marshal(whole)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"name":"a","policy":{"Name":"a","Upgrade":{"":{}}},"retry":{"backoff":-1}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := streams.ParseDeclaration(data)
		if err != nil {
			return
		}
		written, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		again, err := streams.ParseDeclaration(written)
		if err != nil || again.Digest() != d.Digest() {
			t.Errorf("%v: %s is read as %+v", err, written, again)
		}
		streams.Decide(again.Policy, []streams.Result{{Check: "upgrade", Status: streams.Skipped}})
	})
}
