package upgradetest

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var start = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)

// at20Hz is a session of one series with a start every 50 ms.
func at20Hz(baseline time.Duration) session {
	return session{Start: start, Timeout: 3 * time.Second, Slow: time.Second, Baseline: baseline,
		Limits: Limits{Lateness99: 25 * time.Millisecond, Missed: 0.001, Steal: 0.1},
		Series: []series{{Name: "kube-api", Connection: Reused, Hertz: 20, Interval: 50 * time.Millisecond}}}
}

// slots makes a sample for every letter: . answered, x refused, r reset, - not sent,
// s answered after 1.5 s, space never recorded.
func slots(letters string) []sample {
	var out []sample
	for i, letter := range letters {
		s := sample{slot: int64(i), total: 2 * time.Millisecond, server: "cp1"}
		switch letter {
		case ' ':
			continue
		case 'x':
			s.class, s.server, s.detail = Refused, "", "connection refused"
		case 'r':
			s.class, s.detail = Reset, "connection reset by peer"
		case '-':
			s.class, s.server = NotSent, ""
		case 's':
			s.total = 1500 * time.Millisecond
		}
		out = append(out, s)
	}
	return out
}

func TestEvaluate(t *testing.T) {
	type disruption struct {
		atLeast, atMost float64
		reason, server  string
		failed          int
		open            bool
	}
	for _, test := range []struct {
		name, letters           string
		sent, failed, slow      int
		disruptions             []disruption
		downAtLeast, downAtMost float64
	}{
		{name: "nothing failed", letters: "..........", sent: 10},
		{name: "one failure has no certain length", letters: "...x....", sent: 8, failed: 1,
			disruptions: []disruption{{0, 102, "refused", "", 1, false}}, downAtMost: 102},
		{name: "a run", letters: "...xxx....", sent: 10, failed: 3,
			disruptions: []disruption{{98, 202, "refused", "", 3, false}}, downAtLeast: 98, downAtMost: 202},
		{name: "two runs are two disruptions", letters: "..xx..xx..", sent: 10, failed: 4,
			disruptions: []disruption{{48, 152, "refused", "", 2, false}, {48, 152, "refused", "", 2, false}}, downAtLeast: 96, downAtMost: 304},
		{name: "the most frequent class names it", letters: "..rxrr..", sent: 8, failed: 4,
			disruptions: []disruption{{148, 252, "reset", "cp1", 4, false}}, downAtLeast: 148, downAtMost: 252},
		{name: "what was not sent says nothing", letters: "..x-x-..", sent: 6, failed: 2,
			disruptions: []disruption{{98, 252, "refused", "", 2, false}}, downAtLeast: 98, downAtMost: 252},
		{name: "down from the beginning", letters: "xx....", sent: 6, failed: 2,
			disruptions: []disruption{{48, 102, "refused", "", 2, false}}, downAtLeast: 48, downAtMost: 102},
		{name: "down to the end", letters: "....xx", sent: 6, failed: 2,
			disruptions: []disruption{{48, 100, "refused", "", 2, true}}, downAtLeast: 48, downAtMost: 100},
		{name: "slow is not failed", letters: "..s...", sent: 6, slow: 1},
		{name: "down all the time", letters: "xxxx", sent: 4, failed: 4,
			disruptions: []disruption{{148, 150, "refused", "", 4, true}}, downAtLeast: 148, downAtMost: 150},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := at20Hz(0)
			end := s.Series[0].due(int64(len(test.letters) - 1))
			r, err := Evaluate(recording(t, s, slots(test.letters), end))
			if err != nil {
				t.Fatal(err)
			}
			b := r.Backends[0]
			if b.Intended != len(test.letters) || b.Sent != test.sent || b.Failed != test.failed || b.Slow != test.slow {
				t.Errorf("intended %d sent %d failed %d slow %d, want %d %d %d %d", b.Intended, b.Sent, b.Failed, b.Slow, len(test.letters), test.sent, test.failed, test.slow)
			}
			var got []disruption
			for _, d := range b.Disruptions {
				got = append(got, disruption{d.AtLeastMs, d.AtMostMs, d.Reason, d.Server, d.Failed, d.Open})
			}
			if len(got) != len(test.disruptions) {
				t.Fatalf("disruptions %+v, want %+v", got, test.disruptions)
			}
			for i := range got {
				if got[i] != test.disruptions[i] {
					t.Errorf("disruption %d: %+v, want %+v", i, got[i], test.disruptions[i])
				}
			}
			if want := (Bounds{test.downAtLeast, test.downAtMost}); r.DowntimeMs != want {
				t.Errorf("downtime %+v, want %+v", r.DowntimeMs, want)
			}
		})
	}
}

func TestBaselineIsReportedApart(t *testing.T) {
	s := at20Hz(500 * time.Millisecond) // slots 0 to 9
	r, err := Evaluate(recording(t, s, slots("...x......"+"..xx......"), s.Series[0].due(19)))
	if err != nil {
		t.Fatal(err)
	}
	before, after := r.Baseline.Backends[0], r.Backends[0]
	if before.Intended != 10 || before.Failed != 1 || after.Intended != 10 || after.Failed != 2 || len(after.Disruptions) != 1 {
		t.Errorf("baseline %+v, upgrade %+v", before, after)
	}
	if r.TesterHealthy || !strings.Contains(strings.Join(r.TesterReasons, "\n"), "before the upgrade began") {
		t.Errorf("a cluster that failed while idle is no base for a verdict, but reasons are %q", r.TesterReasons)
	}
	if r.Seconds != 0.45 || r.Baseline.Seconds != 0.5 {
		t.Errorf("upgrade %v s, baseline %v s", r.Seconds, r.Baseline.Seconds)
	}
}

func TestTesterHealth(t *testing.T) {
	for _, test := range []struct {
		name    string
		samples func() []sample
		control string
		steal   uint64
		want    string // part of the only reason; empty for none
	}{
		{name: "healthy", control: strings.Repeat(".", 100)},
		{name: "control failed", control: strings.Repeat(".", 99) + "x", want: "control backend"},
		{name: "control slow", control: strings.Repeat(".", 99) + "s", want: "control backend"},
		{name: "starts missed", control: strings.Repeat(".", 99) + "-", want: "1 of 200 starts were not sent"},
		{name: "never recorded", control: strings.Repeat(".", 99) + " ", want: "1 of 200 starts were not sent"},
		{name: "late", control: strings.Repeat(".", 100), want: "late", samples: func() []sample {
			all := slots(strings.Repeat(".", 100))
			for i := range all[:5] {
				all[i].late = 40 * time.Millisecond
				all[i].total += all[i].late
			}
			return all
		}},
		{name: "steal", control: strings.Repeat(".", 100), steal: 30, want: "30.0 % of the CPU time"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := at20Hz(0)
			s.Series = append(s.Series, series{Name: "control", Connection: New, Hertz: 20, Interval: 50 * time.Millisecond, Control: true})
			all := slots(strings.Repeat(".", 100))
			if test.samples != nil {
				all = test.samples()
			}
			for _, c := range slots(test.control) {
				c.series = 1
				all = append(all, c)
			}
			dir := recording(t, s, nil, 0)
			rewrite(t, dir, s, func(w *writer) error {
				return errors.Join(w.samples(all), w.json(kindHost, hostFrame{At: time.Second, Steal: test.steal, Total: 100}),
					w.json(kindEnd, endFrame{At: s.Series[0].due(99), Wall: start.Add(s.Series[0].due(99))}))
			})
			r, err := Evaluate(dir)
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Backends) != 1 || len(r.Tester.Control) != 1 {
				t.Fatalf("%d backends and %d controls, want one each", len(r.Backends), len(r.Tester.Control))
			}
			switch reasons := strings.Join(r.TesterReasons, "; "); {
			case r.TesterHealthy != (test.want == ""):
				t.Errorf("healthy %v, reasons %q", r.TesterHealthy, reasons)
			case test.want != "" && (len(r.TesterReasons) != 1 || !strings.Contains(reasons, test.want)):
				t.Errorf("reasons %q, want the one with %q", reasons, test.want)
			}
		})
	}
}

func rewrite(t testing.TB, dir string, s session, f func(*writer) error) {
	t.Helper()
	file, err := os.Create(filepath.Join(dir, SamplesFile))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w, err := newWriter(file, s)
	if err == nil {
		err = f(w)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestDuringNamesTheMark(t *testing.T) {
	s := at20Hz(0)
	dir := t.TempDir()
	rewrite(t, dir, s, func(w *writer) error {
		return errors.Join(
			w.json(kindMark, markFrame{At: 900 * time.Millisecond, Label: "workers"}), // recorded out of order
			w.json(kindMark, markFrame{At: 0, Label: "manifests"}),
			w.json(kindMark, markFrame{At: 480 * time.Millisecond, Label: "control-plane 2: kube-apiserver"}),
			w.samples(slots("..xx......xx.....xx.")))
	})
	r, err := Evaluate(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Truncated {
		t.Error("a recording without an end is not called truncated")
	}
	var got []string
	for _, d := range r.Backends[0].Disruptions {
		got = append(got, d.During)
	}
	want := []string{"manifests", "control-plane 2: kube-apiserver", "control-plane 2: kube-apiserver, then workers"}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("during %q, want %q", got, want)
	}
	if first := r.Backends[0].Disruptions[0]; !first.From.Equal(start.Add(50*time.Millisecond)) || !first.To.Equal(start.Add(202*time.Millisecond)) {
		t.Errorf("the first disruption is from %v to %v", first.From, first.To)
	}
}

func TestResultHasTheReportsFields(t *testing.T) {
	r, err := Evaluate(recording(t, at20Hz(0), slots("..xx.."), 250*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	has(t, got, "from", "to", "seconds", "nodes", "backends", "testerHealthy", "downtimeMs")
	has(t, got["from"], "version", "digest")
	has(t, got["downtimeMs"], "atLeast", "atMost")
	backend := got["backends"].([]any)[0]
	has(t, backend, "name", "connection", "hertz", "intended", "sent", "failed", "slow", "p50ms", "p99ms", "maxms", "disruptions")
	has(t, backend.(map[string]any)["disruptions"].([]any)[0], "from", "to", "atLeastMs", "atMostMs", "reason", "server", "during")
}

func has(t *testing.T, object any, keys ...string) {
	t.Helper()
	for _, key := range keys {
		if _, ok := object.(map[string]any)[key]; !ok {
			t.Errorf("the field %q is missing in %v", key, object)
		}
	}
}

func TestEvaluateRefusesWhatIsNoRecording(t *testing.T) {
	if _, err := Evaluate(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty folder gave %v", err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, SamplesFile), []byte("something else\n and more of it"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Evaluate(dir); !errors.Is(err, ErrDamaged) {
		t.Errorf("another file gave %v", err)
	}
	doubled := append(slots("...."), slots("..")...)
	if _, err := Evaluate(recording(t, at20Hz(0), doubled, time.Second)); !errors.Is(err, ErrDamaged) {
		t.Errorf("a slot recorded twice gave %v", err)
	}
}
