package catalog_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/slipway-release/slipway/internal/golden"
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
