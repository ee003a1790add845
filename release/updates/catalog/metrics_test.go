package catalog_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/slipway-release/slipway/internal/golden"
	"github.com/slipway-release/slipway/release/sign"
	"github.com/slipway-release/slipway/release/updates/catalog"
	"github.com/slipway-release/slipway/release/updates/catalog/catalogtest"
)

// exposed is what Prometheus is told, without the lines of help.
func exposed(t *testing.T, m catalog.Metrics) string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(m); err != nil {
		t.Fatal(err)
	}
	problems, err := testutil.GatherAndLint(registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	var lines []string
	for line := range strings.Lines(answer.Body.String()) {
		if !strings.HasPrefix(line, "# HELP") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

func TestMetrics(t *testing.T) {
	k := catalogtest.New(t).Keeper(t)
	later := func() time.Time { return catalogtest.Now.Add(90 * time.Second) }
	golden.Check(t, "testdata/metrics.txt", []byte(exposed(t, catalog.Metrics{Catalog: k.Catalog, Now: later})))
	// What is stuck is told by the clock, not by when the catalog was read.
	week := exposed(t, catalog.Metrics{Catalog: k.Catalog, Now: func() time.Time { return catalogtest.Now.AddDate(0, 0, 7) }})
	if want := `slipway_releases_stuck{stream="nightly"} 2`; !strings.Contains(week, want) {
		t.Errorf("a week later there is no %s in\n%s", want, week)
	}
	none := exposed(t, catalog.Metrics{Catalog: func() *catalog.Catalog { return nil }})
	if none != "# TYPE slipway_releases_catalog_age_seconds gauge\nslipway_releases_catalog_age_seconds +Inf\n" {
		t.Errorf("before anything was read: %s", none)
	}
}

// How long checks took is what their evidence says, be it old, of a check with a pipeline of
// its own, or nonsense.
func TestCheckSeconds(t *testing.T) {
	const began = `"started":"2026-11-22T10:00:00Z"`
	for name, c := range map[string]struct {
		predicate string
		runs      string // result, or "" for none
		seconds   string
	}{
		"bounds":       {`{"check":"soak","status":"Passed",` + began + `,"finished":"2026-11-22T10:02:30Z"}`, "Passed", "150"},
		"failed":       {`{"check":"soak","status":"Failed",` + began + `,"finished":"2026-11-22T10:00:01Z"}`, "Failed", "1"},
		"old":          {`{"check":"soak","status":"Passed","pipeline":"soak"}`, "Passed", ""},
		"skipped":      {`{"check":"soak","status":"Skipped","pipeline":"soak"}`, "", ""},
		"unknown word": {`{"check":"soak","status":"Perhaps",` + began + `,"finished":"2026-11-22T10:00:01Z"}`, "Inconclusive", "1"},
		"backwards":    {`{"check":"soak","status":"Passed",` + began + `,"finished":"2026-11-22T09:00:00Z"}`, "Passed", ""},
		"no end":       {`{"check":"soak","status":"Passed",` + began + `}`, "Passed", ""},
		"no check":     {`{"status":"Passed"}`, "", ""},
		"no object":    {`[]`, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := catalogtest.New(t)
			digest := w.Digest(t, catalogtest.Nightly(22)).String()
			e := w.Said[digest]
			e.Statements = append(e.Statements, sign.Statement{PredicateType: sign.PredicateCheckResult, Predicate: []byte(c.predicate), Subject: catalogtest.Repository, Time: catalogtest.Now})
			w.Said[digest] = e
			k := w.Keeper(t)
			var lines []string
			for line := range strings.Lines(exposed(t, catalog.Metrics{Catalog: k.Catalog})) {
				if strings.Contains(line, `check="soak"`) || strings.Contains(line, `check=""`) {
					lines = append(lines, line)
				}
			}
			got := strings.Join(lines, "")
			var want string
			if c.runs != "" {
				want = fmt.Sprintf("slipway_releases_check_runs{check=\"soak\",result=%q,stream=\"nightly\"} 1\n", c.runs)
			}
			if c.seconds != "" {
				for _, of := range []string{"longest", "median", "newest"} {
					want += fmt.Sprintf("slipway_releases_check_seconds{check=\"soak\",of=%q,result=%q,stream=\"nightly\"} %s\n", of, c.runs, c.seconds)
				}
			}
			if got != want {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}
