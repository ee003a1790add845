package bench

import (
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	"github.com/slipway-release/slipway/release/lint"
)

// staticCheck is what judging a distribution's manifests may take.
const staticCheck = 2 * time.Second

// BenchmarkLintSkiff judges the manifests of Skiff as whoever changes them does.
func BenchmarkLintSkiff(b *testing.B) {
	p := newProgram(b)
	var starts measured
	for range repeats {
		_, u := p.run(b, "version")
		starts = append(starts, u)
	}
	idle := starts.typical()
	dir, err := filepath.Abs("../distros/skiff")
	if err != nil {
		b.Fatal(err)
	}
	var m measured
	for b.Loop() {
		for range repeats {
			out, u := p.run(b, "release", "lint", dir, "-o", "json", "--fail-on", "note")
			m = append(m, u)
			var report lint.Report
			if err := json.Unmarshal([]byte(out), &report); err != nil || report.Objects == 0 {
				b.Fatalf("judged %d objects: %v", report.Objects, err)
			}
			if u.Wall > staticCheck {
				b.Errorf("it took %s, and %s are the most", u.Wall, staticCheck)
			}
		}
	}
	m.report(b, idle, idle.Wall, "start")
}
