package upgradetest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// big is a recording of 100,000 samples, with outages, states and phases.
func big(t testing.TB) (string, Result) {
	t.Helper()
	dir := t.TempDir()
	s := session{Start: start, Timeout: 3 * time.Second, Slow: time.Second, Limits: Limits{Lateness99: time.Second, Missed: 1, Steal: 1}}
	names := []string{"kube-api", "kube-api-cache", "kube-api-write", "kube-api-lease", "service", "dns", "tcp", "kube-api-direct-10-89-0-2", "kube-api-direct-10-89-0-3", "control"}
	for i, name := range names {
		for _, connection := range []string{New, Reused} {
			s.Series = append(s.Series, series{Name: name, Connection: connection, Hertz: 20, Interval: 50 * time.Millisecond,
				Offset: time.Duration(i) * time.Millisecond, Control: name == "control", Informing: strings.Contains(name, "direct")})
		}
	}
	rewrite(t, dir, s, func(w *writer) error {
		for i := range s.Series {
			var batch []sample
			for slot := range int64(5000) {
				one := sample{series: i, slot: slot, total: time.Duration(1+(slot*7+int64(i))%13) * time.Millisecond, server: fmt.Sprintf("cp%d", slot%3)}
				switch {
				case i < 8 && slot >= 2000 && slot < 2100+int64(i)*9:
					one.class, one.detail = Refused, "connection refused"
				case i < 4 && slot >= 3000 && slot < 3060:
					one.total = 1500 * time.Millisecond
				case slot == 4000+int64(i):
					one.class = NotSent
				}
				batch = append(batch, one)
			}
			if err := w.samples(batch); err != nil {
				return err
			}
		}
		for i, phase := range []string{"manifests, run level 10", "control-plane 1", "control-plane 2", "workers"} {
			if err := w.json(kindMark, markFrame{At: time.Duration(i) * time.Minute, Label: phase}); err != nil {
				return err
			}
		}
		for _, v := range []eventFrame{
			{At: 0, Lane: LaneAPIServer, Object: "cp1", State: "ready"}, {At: 99 * time.Second, Lane: LaneAPIServer, Object: "cp1", State: "terminating"},
			{At: 100 * time.Second, Lane: LaneAPIServer, Object: "cp1", State: "down", Detail: "refused"}, {At: 106 * time.Second, Lane: LaneAPIServer, Object: "cp1", State: "ready"},
			{At: 0, Lane: LaneEtcd, Object: "cp1", State: "leader"}, {At: 100 * time.Second, Lane: LaneEtcd, Object: "cp1", State: "follower"},
			{At: 0, Lane: LaneNode, Object: "worker1", State: "Ready"}, {At: 150 * time.Second, Lane: LaneNode, Object: "worker1", State: "NotReady", Facts: map[string]string{"cordoned": "true"}},
			{At: 170 * time.Second, Lane: LaneNode, Object: "worker1", State: "Ready"},
			{At: 151 * time.Second, Lane: LanePod, Object: "kube-system/coredns-1</script>", State: "evicted", Detail: "<b>EvictionByEvictionAPI</b>", Facts: map[string]string{"budget": ""}},
		} {
			if err := w.json(kindEvent, v); err != nil {
				return err
			}
		}
		return w.json(kindEnd, endFrame{At: 250 * time.Second, Wall: start.Add(250 * time.Second)})
	})
	r, err := Evaluate(dir)
	if err != nil {
		t.Fatal(err)
	}
	return dir, r
}

var outside = regexp.MustCompile(`(?i)(src|href)\s*=|@import|url\(|https?://|fetch\(|XMLHttpRequest`)

func TestTimelineStandsAlone(t *testing.T) {
	dir, r := big(t)
	page, err := Timeline(dir, r)
	if err != nil {
		t.Fatal(err)
	}
	if keep := os.Getenv("SLIPWAY_TIMELINE"); keep != "" {
		if err := os.WriteFile(keep, page, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if found := outside.Find(page); found != nil {
		t.Errorf("the page refers to something outside: %s", found)
	}
	if len(page) > 2<<20 {
		t.Errorf("the page of 100,000 samples has %d bytes", len(page))
	}
	if bytes.Contains(page, []byte("</script>\"")) || bytes.Count(page, []byte("</script>")) != 2 {
		t.Error("a name in the data ends the script")
	}
	fragment, err := TimelineFragment(dir, r)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(fragment), "<html") || !bytes.Contains(page, []byte(fragment)) {
		t.Error("the fragment is not the part of the page")
	}
}

// TestTimelineInABrowser lets the script run: only what it draws makes the lists.
func TestTimelineInABrowser(t *testing.T) {
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("there is no chromium")
	}
	dir, r := big(t)
	page, err := Timeline(dir, r)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "timeline.html")
	if err := os.WriteFile(path, page, 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
		"--user-data-dir="+t.TempDir(), "--window-size=1400,900", "--dump-dom", "file://"+path).Output()
	if err != nil {
		t.Fatalf("running the browser: %v", err)
	}
	dom := string(out)
	for _, want := range []string{"Disruptions", "kube-api/new", "control-plane 1", "evicted-without-budget", "&lt;b&gt;EvictionByEvictionAPI"} {
		if !strings.Contains(dom, want) {
			t.Errorf("the page as drawn does not have %q", want)
		}
	}
	if !regexp.MustCompile(`<canvas[^>]* style="[^"]*height: [0-9]{3}px`).MatchString(dom) {
		t.Error("the lanes were not laid out")
	}
}

func BenchmarkTimeline(b *testing.B) {
	dir, r := big(b)
	for b.Loop() {
		if _, err := Timeline(dir, r); err != nil {
			b.Fatal(err)
		}
	}
}
