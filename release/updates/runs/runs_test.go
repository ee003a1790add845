package runs_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/updates/catalog"
	"github.com/slipway-release/slipway/release/updates/runs"
)

var _ catalog.Reports = (*runs.Folder)(nil)

var (
	digest = "sha256:" + strings.Repeat("1", 64)
	other  = "sha256:" + strings.Repeat("2", 64)
)

func write(t *testing.T, text string, elements ...string) {
	t.Helper()
	name := filepath.Join(elements...)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func reportOf(digest, finished string) string {
	return fmt.Sprintf(`{"apiVersion":"slipway.dev/v1alpha1","kind":"RunReport","run":{"id":"x","finished":%q},"payload":{"version":"1.0.0","digest":%q},"stages":[]}`, finished, digest)
}

// folder makes a folder of runs as nightlies leave it, with secrets in it and around it.
func folder(t *testing.T) *runs.Folder {
	t.Helper()
	state := t.TempDir()
	dir := filepath.Join(state, "runs")
	write(t, reportOf(digest, "2026-11-20T10:00:00Z"), dir, "nightly-2026-11-20-100000", "report.json")
	write(t, "<p>old", dir, "nightly-2026-11-20-100000", "report.html")
	good := filepath.Join(dir, "nightly-2026-11-20-100000-2")
	write(t, reportOf(digest, "2026-11-20T11:00:00Z"), good, "report.json")
	write(t, "<p>new", good, "report.html")
	write(t, "<script>line", good, "work", "upgrade", "timeline.html")
	write(t, "<testsuite/>", good, "work", "conformance", "junit_1.xml")
	write(t, "{}", good, "work", "upgrade", "upgrade.json")
	write(t, "secret", good, "work", "kubeconfig")
	write(t, "secret", good, "logs", "report.log")
	write(t, "secret", good, ".hidden", "report.html")
	write(t, "secret", state, "keys", "report.json")
	write(t, "secret", dir, "report.html")
	for link, to := range map[string]string{
		filepath.Join(dir, "latest"):                    "nightly-2026-11-20-100000-2",
		filepath.Join(dir, "outside"):                   "../keys",
		filepath.Join(good, "work", "report.html"):      "../../../keys/report.json",
		filepath.Join(good, "work", "verdict.json"):     "upgrade/upgrade.json",
		filepath.Join(good, "work", "keys"):             "../../../keys",
		filepath.Join(good, "work", "conformance", "k"): "../upgrade",
	} {
		if err := os.Symlink(to, link); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(good, "summary.md"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(good, "timeline.html"), 0o644); err != nil {
		t.Fatal(err)
	}
	write(t, "{}", dir, "cheap-2026-11-20-100000", "report.json")
	write(t, "<p>no payload", dir, "cheap-2026-11-20-100000", "report.html")
	write(t, "<p>not over", dir, "weekly-2026-11-20-100000", "report.html")
	return &runs.Folder{Dir: dir}
}

func TestReport(t *testing.T) {
	f := folder(t)
	var problems []error
	now := time.Now()
	f.Now, f.Problem = func() time.Time { return now }, func(err error) { problems = append(problems, err) }
	report, timeline := f.Report(release.Version{}, digest)
	const run = "/runs/nightly-2026-11-20-100000-2/"
	if report != run+"report.html" || timeline != run+"work/upgrade/timeline.html" {
		t.Errorf("the newest run of the payload is not found: %q, %q", report, timeline)
	}
	if report, timeline := f.Report(release.Version{}, ""); report != "" || timeline != "" {
		t.Errorf("of no payload: %q, %q", report, timeline)
	}
	// What comes later is found a little later; what is broken is told once.
	write(t, reportOf(other, "2026-11-21T10:00:00Z"), f.Dir, "nightly-2026-11-21-100000", "report.json")
	write(t, `{"kind":`, f.Dir, "nightly-2026-11-22-100000", "report.json")
	if report, _ := f.Report(release.Version{}, other); report != "" {
		t.Errorf("the folder was read for a second question: %q", report)
	}
	for range 3 {
		now = now.Add(time.Minute)
		if report, timeline := f.Report(release.Version{}, other); report != "" || timeline != "" {
			t.Errorf("there is no page: %q, %q", report, timeline)
		}
	}
	if len(problems) != 1 || !strings.Contains(problems[0].Error(), "nightly-2026-11-22-100000/report.json") {
		t.Errorf("problems are %v", problems)
	}
	write(t, "<p>", f.Dir, "nightly-2026-11-21-100000", "report.html")
	if report, _ := f.Report(release.Version{}, other); report != "/runs/nightly-2026-11-21-100000/report.html" {
		t.Errorf("a report that came later: %q", report)
	}
	gone := &runs.Folder{Dir: filepath.Join(f.Dir, "none"), Problem: func(err error) { t.Error(err) }}
	if report, _ := gone.Report(release.Version{}, digest); report != "" {
		t.Errorf("of no folder: %q", report)
	}
}

func TestServe(t *testing.T) {
	f := folder(t)
	s := httptest.NewServer(f)
	defer s.Close()
	const run = "/runs/nightly-2026-11-20-100000-2"
	for path, want := range map[string]struct{ kind, body string }{
		run + "/report.html":                             {"text/html", "<p>new"},
		run + "/report.json":                             {"application/json", digest},
		run + "/work/upgrade/timeline.html":              {"text/html", "<script>line"},
		run + "/work/upgrade/upgrade.json":               {"application/json", "{}"},
		run + "/work/conformance/junit_1.xml":            {"text/xml", "<testsuite/>"},
		"/runs/nightly-2026-11-20-100000/report.html":    {"text/html", "<p>old"},
		"/runs/nightly-2026-11-20-100000/report%2Ehtml":  {"text/html", "<p>old"},
		"/runs/nightly-2026-11-20-100000/report.html?x=": {"text/html", "<p>old"},
	} {
		code, header, body := get(t, s, "GET", path)
		if code != http.StatusOK || !strings.HasPrefix(header.Get("Content-Type"), want.kind) || !strings.Contains(body, want.body) {
			t.Errorf("%s: %d %s %q", path, code, header.Get("Content-Type"), body)
		}
		policy := header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "sandbox allow-scripts;") || header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: headers are %v", path, header)
		}
	}
	evil := []string{
		"/runs", "/runs/", run, run + "/", "/runs//report.html", "/runs/./report.html", "/runs/../runs/report.html", "/report.html",
		"/runs/latest/report.html", "/runs/outside/report.json", "/runs/../keys/report.json", "/runs/%2e%2e/keys/report.json", "/runs/..%2fkeys/report.json",
		run + "/../../keys/report.json", run + "/%2e%2e/%2e%2e/keys/report.json", run + "/..%2f..%2fkeys%2freport.json", run + "/..\\..\\keys\\report.json",
		run + "//report.html", run + "/work/../report.html", run + "/report.html/", run + "/report.html/report.html", run + "/report.html%00", run + "/%00/report.html",
		run + "/work/kubeconfig", run + "/logs/report.log", run + "/.hidden/report.html", run + "/work", run + "/summary.md",
		run + "/work/report.html", run + "/work/verdict.json", run + "/work/keys/report.json", run + "/work/conformance/k/upgrade.json",
		run + "/timeline.html",
		"/runs/cheap-2026-11-20-100000/report.html", "/runs/weekly-2026-11-20-100000/report.html", "/runs/none/report.html", "/runs/report.html/report.html",
		run + "/" + strings.Repeat("a/", 300) + "report.html", "/runs/" + strings.Repeat("a", 5000) + "/report.html",
	}
	for _, path := range evil {
		if code, _, body := get(t, s, "GET", path); code != http.StatusNotFound || strings.Contains(body, "secret") {
			t.Errorf("%s: %d %q", path, code, body)
		}
	}
	if code, _, body := get(t, s, "HEAD", run+"/report.html"); code != http.StatusOK || body != "" {
		t.Errorf("HEAD: %d %q", code, body)
	}
	if code, header, _ := get(t, s, "DELETE", run+"/report.html"); code != http.StatusMethodNotAllowed || header.Get("Allow") != "GET, HEAD" {
		t.Errorf("DELETE: %d", code)
	}
}

// Nothing is served of a file that is too large to be a page.
func TestServeNothingHuge(t *testing.T) {
	f := folder(t)
	huge := filepath.Join(f.Dir, "nightly-2026-11-20-100000", "timeline.html")
	write(t, "", huge)
	if err := os.Truncate(huge, 1<<40); errors.Is(err, syscall.EFBIG) {
		t.Skip("this file system has no such files")
	} else if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(f)
	defer s.Close()
	if code, _, _ := get(t, s, "GET", "/runs/nightly-2026-11-20-100000/timeline.html"); code != http.StatusNotFound {
		t.Errorf("got %d", code)
	}
}

// get asks without cleaning the path first.
func get(t *testing.T, s *httptest.Server, method, path string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.URL.Opaque = path
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(body)
}
