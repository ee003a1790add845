package streams_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/streams"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func inputs(pairs ...string) []streams.Input {
	var in []streams.Input
	for i := 0; i < len(pairs); i += 2 {
		in = append(in, streams.Input{Name: pairs[i], Digest: pairs[i+1]})
	}
	return in
}

func TestHashInputs(t *testing.T) {
	base := streams.HashInputs(inputs("a", "1", "b", "2"))
	if streams.HashInputs(inputs("b", "2", "a", "1")) != base {
		t.Error("the order of inputs counts")
	}
	for name, in := range map[string][]streams.Input{
		"names swapped": inputs("a", "2", "b", "1"), "renamed": inputs("a", "1", "c", "2"), "one less": inputs("a", "1"),
		"run together": inputs("a", "1 b", "", "2"),
	} {
		if streams.HashInputs(in) == base {
			t.Errorf("%s: the same hash", name)
		}
	}
}

func TestNextCut(t *testing.T) {
	now := inputs("etcd", "sha256:1")
	same, other := streams.HashInputs(now), streams.HashInputs(inputs("etcd", "sha256:2"))
	past := func(hoursAgo int, hash string, phase streams.Phase) streams.Past {
		return streams.Past{Time: noon.Add(-time.Duration(hoursAgo) * time.Hour), Inputs: hash, Phase: phase}
	}
	burnt := past(2, same, streams.PhaseFailed)
	burnt.HostFailed = true
	changed := streams.Declaration{Name: "s", When: streams.WhenChanged, MaxUnfinished: 1}
	with := func(d streams.Declaration, edit func(*streams.Declaration)) streams.Declaration { edit(&d); return d }
	cooled := with(changed, func(d *streams.Declaration) { d.Cooldown = 3 * time.Hour })
	nightly := with(changed, func(d *streams.Declaration) { d.When, d.Schedule = streams.WhenSchedule, "0 1 * * *" })
	request := &streams.Request{ID: "r", By: "ann", Why: "to see"}
	for name, c := range map[string]struct {
		d      streams.Declaration
		s      streams.Situation
		cut    bool
		until  time.Time
		reason string
	}{
		"first":                    {changed, streams.Situation{Inputs: now}, true, time.Time{}, "nothing was cut"},
		"unchanged":                {changed, streams.Situation{Inputs: now, Past: []streams.Past{past(2, same, streams.PhaseRejected)}}, false, time.Time{}, "those of the newest cut"},
		"changed":                  {changed, streams.Situation{Inputs: now, Past: []streams.Past{past(2, other, streams.PhaseRejected)}}, true, time.Time{}, "have changed"},
		"changed back":             {changed, streams.Situation{Inputs: now, Past: []streams.Past{past(4, same, streams.PhaseAccepted), past(2, other, streams.PhaseRejected)}}, true, time.Time{}, "have changed"},
		"the host failed":          {changed, streams.Situation{Inputs: now, Past: []streams.Past{burnt}}, true, time.Time{}, "host failed"},
		"the build failed":         {changed, streams.Situation{Inputs: now, Past: []streams.Past{past(2, same, streams.PhaseFailed)}}, false, time.Time{}, "newest cut"},
		"cooling down":             {cooled, streams.Situation{Inputs: now, Past: []streams.Past{past(2, other, streams.PhaseAccepted)}}, false, noon.Add(time.Hour), "less than 3h0m0s ago"},
		"cooled down":              {cooled, streams.Situation{Inputs: now, Past: []streams.Past{past(3, other, streams.PhaseAccepted)}}, true, time.Time{}, "changed"},
		"asked for while cooling":  {cooled, streams.Situation{Inputs: now, Request: request, Past: []streams.Past{past(1, same, streams.PhaseAccepted)}}, true, time.Time{}, "ann asked for it: to see"},
		"full":                     {changed, streams.Situation{Inputs: now, Request: request, Past: []streams.Past{past(1, other, streams.PhaseReady)}}, false, time.Time{}, "1 payloads have no verdict yet"},
		"superseding":              {with(changed, func(d *streams.Declaration) { d.Supersede = true }), streams.Situation{Inputs: now, Past: []streams.Past{past(1, other, streams.PhasePending)}}, true, time.Time{}, "changed"},
		"frozen by somebody":       {changed, streams.Situation{Inputs: now, Request: request, Frozen: "release week"}, false, time.Time{}, "frozen: release week"},
		"frozen by declaration":    {with(changed, func(d *streams.Declaration) { d.Frozen = "end of life" }), streams.Situation{Inputs: now}, false, time.Time{}, "end of life"},
		"by hand only":             {with(changed, func(d *streams.Declaration) { d.When = streams.WhenManual }), streams.Situation{Inputs: now}, false, time.Time{}, "by hand"},
		"always":                   {with(changed, func(d *streams.Declaration) { d.When = streams.WhenAlways }), streams.Situation{Inputs: now, Past: []streams.Past{past(0, same, streams.PhaseAccepted)}}, true, time.Time{}, "always"},
		"before the schedule":      {nightly, streams.Situation{Inputs: now, Past: []streams.Past{past(2, same, streams.PhaseAccepted)}}, false, time.Date(2026, 11, 21, 1, 0, 0, 0, time.UTC), "schedule says 2026-11-21T01:00:00Z"},
		"after the schedule":       {nightly, streams.Situation{Inputs: now, Past: []streams.Past{past(12, same, streams.PhaseAccepted)}}, true, time.Time{}, "schedule said 2026-11-20T01:00:00Z"},
		"scheduled, and unchanged": {with(nightly, func(d *streams.Declaration) { d.When = streams.WhenChanged }), streams.Situation{Inputs: now, Past: []streams.Past{past(12, same, streams.PhaseAccepted)}}, false, time.Time{}, "newest cut"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := streams.NextCut(noon, c.d, c.s)
			if err != nil {
				t.Fatal(err)
			}
			if got.Cut != c.cut || !got.Until.Equal(c.until) || !strings.Contains(got.Reason, c.reason) {
				t.Errorf("got %+v", got)
			}
			if got.Supersedes != (name == "superseding") {
				t.Errorf("supersedes is %t", got.Supersedes)
			}
		})
	}
}

func rel(t *testing.T, name string) streams.Release {
	t.Helper()
	v, err := release.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	return streams.Release{Version: v, Reference: "r@" + name}
}

func TestSource(t *testing.T) {
	var all []streams.Release
	for _, name := range []string{
		"1.35.9-0.nightly-2026-10-01-000000", "1.36.2-0.nightly-2026-11-01-000000", "1.36.3-0.nightly-2026-11-02-000000",
		"1.36.3-0.nightly-2026-11-03-000000", "1.36.3-0.nightly-2026-11-05-000000", "1.36.1", "1.35.10", "1.36.3-0.weekly-2026-11-03-120000",
	} {
		all = append(all, rel(t, name))
	}
	c := streams.Candidates{Accepted: all, Heads: map[string]streams.Release{"candidate": rel(t, "1.36.2")}, Given: map[string]streams.Release{"1.0.0": rel(t, "1.0.0")}}
	for _, tt := range []struct{ selector, to, want string }{
		{"previous", "1.36.3-0.nightly-2026-11-04-000000", "1.36.3-0.nightly-2026-11-03-000000"},
		{"previous-1", "1.36.3-0.nightly-2026-11-04-000000", "1.36.3-0.nightly-2026-11-02-000000"},
		{"previous", "1.35.9-0.nightly-2026-10-01-000000", ""},
		{"previous-patch", "1.36.3-0.nightly-2026-11-04-000000", "1.36.2-0.nightly-2026-11-01-000000"},
		{"previous-minor", "1.36.3-0.nightly-2026-11-04-000000", "1.35.10"},
		{"previous-minor", "1.0.0", ""},
		{"range: >=1.35.0 <1.35.10", "1.36.3-0.nightly-2026-11-04-000000", "1.35.9-0.nightly-2026-10-01-000000"},
		{"range: >=2.0.0", "1.36.3-0.nightly-2026-11-04-000000", ""},
		{"channel: candidate", "1.36.3-0.nightly-2026-11-04-000000", "1.36.2"},
		{"channel: candidate", "1.36.2", ""},
		{"channel: stable", "1.36.2", ""},
		{"payload: 1.0.0", "1.36.2", "1.0.0"},
	} {
		got, reason, ok, err := streams.Source(streams.Selector(tt.selector), rel(t, tt.to).Version, c)
		if err != nil || got.Version.String() != tt.want || ok != (tt.want != "") || (reason == "") != ok {
			t.Errorf("%s for %s: %q, %q, %t, %v; want %q", tt.selector, tt.to, got.Version, reason, ok, err, tt.want)
		}
	}
	if _, _, _, err := streams.Source("newest", rel(t, "1.0.0").Version, c); err == nil {
		t.Error("a selector that does not exist is no error")
	}
}

func TestPhaseOf(t *testing.T) {
	policy := streams.Policy{Blocking: []string{"a", "b"}, Informing: []string{"c"}}
	strict := streams.Policy{Blocking: []string{"a"}, RejectSkipped: []string{"a"}}
	is := func(pairs ...string) (out []streams.Result) {
		for i := 0; i < len(pairs); i += 2 {
			out = append(out, streams.Result{Check: pairs[i], Status: streams.Status(pairs[i+1])})
		}
		return out
	}
	for name, c := range map[string]struct {
		policy streams.Policy
		facts  streams.Facts
		want   streams.Phase
	}{
		"begun":                  {policy, streams.Facts{}, streams.PhasePending},
		"never made":             {policy, streams.Facts{Ended: "the build failed"}, streams.PhaseFailed},
		"made":                   {policy, streams.Facts{Payload: "x"}, streams.PhaseReady},
		"half way":               {policy, streams.Facts{Payload: "x", Results: is("a", "Passed")}, streams.PhaseReady},
		"one failed":             {policy, streams.Facts{Payload: "x", Results: is("a", "Failed")}, streams.PhaseRejected},
		"all passed":             {policy, streams.Facts{Payload: "x", Results: is("a", "Passed", "b", "Passed")}, streams.PhaseAccepted},
		"informing failed":       {policy, streams.Facts{Payload: "x", Results: is("a", "Passed", "b", "Passed", "c", "Failed")}, streams.PhaseAccepted},
		"nothing more comes":     {policy, streams.Facts{Payload: "x", Results: is("a", "Passed"), Ended: "the host failed"}, streams.PhaseInconclusive},
		"skipped":                {policy, streams.Facts{Payload: "x", Results: is("a", "Passed", "b", "Skipped")}, streams.PhaseAccepted},
		"skipped, and must not":  {strict, streams.Facts{Payload: "x", Results: is("a", "Skipped")}, streams.PhaseRejected},
		"accepted by hand":       {policy, streams.Facts{Payload: "x", Results: is("a", "Failed"), Override: streams.Accepted}, streams.PhaseAccepted},
		"rejected by hand":       {policy, streams.Facts{Payload: "x", Override: streams.Rejected}, streams.PhaseRejected},
		"accepted without being": {policy, streams.Facts{Override: streams.Accepted}, streams.PhasePending},
	} {
		if got, reason := streams.PhaseOf(c.policy, c.facts); got != c.want || reason == "" {
			t.Errorf("%s: %s (%s), want %s", name, got, reason, c.want)
		}
	}
	for _, c := range []struct {
		results   []streams.Result
		pointless bool
	}{{nil, false}, {is("b", "Passed"), true}, {is("a", "Failed"), true}, {is("a", "Passed", "c", "Failed"), false}, {is("b", "Missing"), false}} {
		if got := streams.Pointless(policy, c.results, "b"); (got != "") != c.pointless {
			t.Errorf("after %v, b is pointless: %q", c.results, got)
		}
	}
}

func TestRetain(t *testing.T) {
	held := func(day int, phase streams.Phase) streams.Held {
		at := time.Date(2026, 11, day, 0, 0, 0, 0, time.UTC)
		v, err := release.New("1.0.0", "s", at, nil)
		if err != nil {
			t.Fatal(err)
		}
		return streams.Held{Version: v, Digest: v.String(), Time: at, Phase: phase}
	}
	all := []streams.Held{
		held(19, streams.PhaseReady), held(18, streams.PhaseRejected), held(17, streams.PhaseAccepted), held(16, streams.PhaseAccepted),
		held(15, streams.PhaseAccepted), held(14, streams.PhaseAccepted), held(13, streams.PhaseRejected), held(12, streams.PhaseAccepted), held(11, streams.PhaseAccepted),
	}
	all[5].Pinned = "ann needs it"
	all[7].Referred = []string{"channel candidate"}
	all[8].Digest = all[2].Digest
	deleted := func(r streams.Retention) (days []int) {
		for _, x := range streams.Retain(noon, r, all) {
			if x.Reason == "" {
				t.Errorf("no reason for %s", x.Version)
			}
			if at, _ := x.Version.Time(); x.Delete {
				days = append(days, at.Day())
			}
		}
		return days
	}
	for name, c := range map[string]struct {
		r    streams.Retention
		want []int
	}{
		"nothing declared": {streams.Retention{}, nil},
		"newest two":       {streams.Retention{Accepted: 2}, []int{15}},
		"none is kept":     {streams.Retention{Accepted: 1}, []int{16, 15}},
		"others":           {streams.Retention{Others: 1}, []int{13}},
		"by age":           {streams.Retention{Age: 120 * time.Hour}, []int{15, 13}},
		"both":             {streams.Retention{Accepted: 3, Others: 1, Age: 24 * time.Hour}, []int{13}},
	} {
		if diff := cmp.Diff(c.want, deleted(c.r)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestRetryWait(t *testing.T) {
	r := streams.Retry{Backoff: time.Minute, Max: 5 * time.Minute}
	for failed, want := range map[int]time.Duration{1: time.Minute, 2: 2 * time.Minute, 3: 4 * time.Minute, 4: 5 * time.Minute, 40: 5 * time.Minute} {
		if got := r.Wait(failed); got != want {
			t.Errorf("after %d: %s, want %s", failed, got, want)
		}
	}
}
