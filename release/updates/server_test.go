package updates_test

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/slipway-release/slipway/release/sign/openpgp"
	"github.com/slipway-release/slipway/release/updates"
)

// newServer is a server with a graph in it.
func newServer(t *testing.T) (*updates.Server, *script) {
	source := &script{snapshot: small()}
	metrics := updates.NewMetrics(prometheus.NewRegistry())
	r := &updates.Refresher{Source: source, Metrics: metrics}
	if err := r.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	return &updates.Server{Graph: &updates.Handler{Current: r.Current, Metrics: metrics}, Refresher: r, Metrics: metrics, Drain: 50 * time.Millisecond}, source
}

// run serves until the test ends or stop is called, and returns where.
func run(t *testing.T, s *updates.Server) (address string, stop func() error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, listener) }()
	stopped := false
	stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-ended
	}
	t.Cleanup(func() { _ = stop() })
	return listener.Addr().String(), stop
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode, content(t, resp)
}

func TestServer(t *testing.T) {
	s, source := newServer(t)
	store := t.TempDir()
	digest := v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("ab", 32)}
	if _, err := openpgp.Dir(store).Add(digest, []byte("a signature")); err != nil {
		t.Fatal(err)
	}
	s.Signatures = &updates.Signatures{Stores: []openpgp.Store{openpgp.Dir(store), openpgp.Dir(store)}}
	s.API = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "api") })
	s.Pages = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "page") })
	address, _ := run(t, s)
	hex := strings.Repeat("ab", 32)
	for _, tc := range []struct {
		path string
		code int
		want string
	}{
		{"/graph?channel=stable", 200, `"version":1`},
		{"/livez", 200, "ok"},
		{"/readyz", 200, `"ready":true`},
		{"/healthz", 200, `"degraded":false`},
		{"/metrics", 200, "slipway_updates_requests_total{code=\"200\"} 1"},
		{"/api/v1/releasestreams/all", 200, "api"},
		{"/anything", 200, "page"},
		{"/graph-data", 404, "does_not_exist"},
		{"/signatures/sha256=" + hex + "/signature-1", 200, "a signature"},
		{"/signatures/sha256=" + hex + "/signature-2", 200, "a signature"},
		{"/api/upgrades_info/signatures/sha256=" + hex + "/signature-1", 200, "a signature"},
		{"/signatures/sha=" + hex + "/signature-1", 200, "a signature"},
		{"/signatures/sha256=" + hex + "/signature-3", 404, "does_not_exist"},
		{"/signatures/sha256=" + strings.Repeat("cd", 32) + "/signature-1", 404, "does_not_exist"},
		{"/signatures/sha256=" + strings.ToUpper(hex) + "/signature-1", 404, "does_not_exist"},
		{"/signatures/md5=" + hex + "/signature-1", 404, "does_not_exist"},
		{"/signatures/sha256=" + hex + "/signature-0", 404, "does_not_exist"},
		{"/signatures/sha256=" + hex + "/signature-10", 404, "does_not_exist"},
		{"/signatures/sha256=" + hex + "/signature-1/../../../../etc/passwd", 404, "does_not_exist"},
		{"/signatures/%2e%2e/%2e%2e/etc/passwd", 404, "does_not_exist"},
		{"/signatures/sha256=..%2f..%2f..%2fetc/signature-1", 404, "does_not_exist"},
		{"/signatures/sha256=" + hex + "/signature-1%00", 404, "does_not_exist"},
	} {
		code, body := get(t, "http://"+address+tc.path)
		if code != tc.code || !strings.Contains(body, tc.want) {
			t.Errorf("%s: %d %.200s, want %d %s", tc.path, code, body, tc.code, tc.want)
		}
	}
	source.set(func() { source.err = errors.New("no such file") })
	_ = s.Refresher.Refresh(t.Context())
	if code, body := get(t, "http://"+address+"/readyz"); code != 200 || !strings.Contains(body, `"degraded":true`) || !strings.Contains(body, "no such file") {
		t.Errorf("/readyz with a failing source: %d %s", code, body)
	}
	resp, err := http.Post("http://"+address+"/api/v1/releasestream/nightly/cut", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if body := content(t, resp); resp.StatusCode != 405 {
		t.Errorf("writing where nothing is configured: %s %s", resp.Status, body)
	}
	resp.Body.Close()
}

func TestNotReadyWithoutGraph(t *testing.T) {
	r := &updates.Refresher{Source: &script{err: errors.New("down")}}
	s := &updates.Server{Graph: &updates.Handler{Current: r.Current}, Refresher: r, Drain: time.Millisecond}
	address, _ := run(t, s)
	for path, want := range map[string]int{"/livez": 200, "/readyz": 503, "/healthz": 200, "/graph?channel=stable": 503, "/metrics": 404} {
		if code, body := get(t, "http://"+address+path); code != want {
			t.Errorf("%s: %d %s, want %d", path, code, body, want)
		}
	}
}

// Readiness fails first, then who still comes is answered, then what is under way is
// finished.
func TestShutdown(t *testing.T) {
	s, _ := newServer(t)
	s.Drain = 3 * time.Second // long enough for two requests on a busy host
	entered, leave := make(chan struct{}), make(chan struct{})
	s.Pages = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-leave
		fmt.Fprint(w, "late")
	})
	address, stop := run(t, s)
	late := make(chan string, 1)
	go func() {
		resp, err := http.Get("http://" + address + "/slow")
		if err != nil {
			late <- err.Error()
			return
		}
		defer resp.Body.Close()
		data, _ := io.ReadAll(resp.Body)
		late <- string(data)
	}()
	<-entered
	ended := make(chan error, 1)
	go func() { ended <- stop() }()
	eventually(t, "not being ready", func() bool {
		code, body := get(t, "http://"+address+"/readyz")
		return code == 503 && strings.Contains(body, `"draining":true`)
	})
	resp, err := http.Get("http://" + address + "/graph?channel=stable")
	if err != nil || resp.StatusCode != 200 || !resp.Close {
		t.Errorf("while draining: %v, %v", resp, err)
	}
	eventually(t, "the end of draining", func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	close(leave)
	if got := <-late; got != "late" {
		t.Errorf("the request under way got %q", got)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// What is evil costs it a moment at most, and others are answered all the while.
func TestEvilRequests(t *testing.T) {
	s, _ := newServer(t)
	s.Connections = 40
	address, _ := run(t, s)
	var held []net.Conn
	for range 60 { // more than may be open, which say nothing
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		held = append(held, conn)
	}
	for name, request := range map[string]string{
		"huge query":       "GET /graph?channel=" + strings.Repeat("a", 40<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n",
		"flood of headers": "GET /graph?channel=stable HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X-A: b\r\n", 10_000) + "\r\n",
		"no HTTP":          "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
		"two lengths":      "POST /-/refresh HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
		"line end in path": "GET /graph\r\n HTTP/1.1\r\nHost: x\r\n\r\n",
		"no host":          "GET /graph?channel=stable HTTP/1.1\r\n\r\n",
		"path upwards":     "GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
		"double slashes":   "GET //signatures//../..//etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
		"other method":     "TRACE /graph?channel=stable HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		go func() { _, _ = io.WriteString(conn, request) }()
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err == nil && (resp.StatusCode < 400 || resp.StatusCode > 499) {
			t.Errorf("%s: %s", name, resp.Status)
		}
		conn.Close()
		if code, _ := get(t, "http://"+address+"/graph?channel=stable"); code != 200 {
			t.Errorf("after %s: %d", name, code)
		}
	}
	// A header that never ends is given up.
	slow := held[len(held)-1]
	if _, err := io.WriteString(slow, "GET / HTTP/1.1\r\nX: "); err == nil {
		_ = slow.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.ReadAll(slow); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("a header that never ends is waited for")
		}
	}
}

func TestGraphData(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"version": "1.1.0\n", "channels/stable-1.36.yaml": "name: stable-1.36\nversions: []\n", "blocked-edges/a.yaml": "to: 1.36.1\nfrom: .*\n",
		"raw/metadata.json": "{}", "README.md": "not for clusters", ".git/config": "secret",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	one, err := updates.PackGraphData(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	unzip, err := gzip.NewReader(strings.NewReader(string(one)))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for files := tar.NewReader(unzip); ; {
		h, err := files.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
	}
	want := []string{"blocked-edges/", "blocked-edges/a.yaml", "channels/", "channels/stable-1.36.yaml", "raw/", "raw/metadata.json", "version"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
	e := edition(t, small())
	g := &updates.GraphData{Dir: dir, Current: func() *updates.Edition { return e }}
	resp := ask(g, "/api/upgrades_info/graph-data")
	if got := content(t, resp); got != string(one) || resp.Header.Get("Content-Type") != "application/gzip" {
		t.Errorf("%s, %d bytes", resp.Status, len(got))
	}
	if again := ask(g, "/graph-data", "If-None-Match", resp.Header.Get("ETag")); again.StatusCode != 304 {
		t.Error(again.Status)
	}

	// It is packed anew when a file changed, though the graph is the same; a folder that
	// is broken leaves what was packed.
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("blocked-edges/b.yaml", "to: 1.36.2\nfrom: .*\n")
	two, err := updates.PackGraphData(dir, nil)
	if err != nil || string(two) == string(one) {
		t.Fatalf("another file makes the same archive: %v", err)
	}
	for _, change := range []string{"", "to: 1.36.2\nfroms: .*\n"} {
		if change != "" {
			write("blocked-edges/b.yaml", change)
		}
		for range 2 {
			if got := content(t, ask(g, "/graph-data")); got != string(two) {
				t.Errorf("after %q: %d bytes, want the %d of the last good folder", change, len(got), len(two))
			}
		}
	}
	lazy := &updates.GraphData{Dir: dir, Current: g.Current, Watch: time.Hour}
	if resp := ask(lazy, "/graph-data"); resp.StatusCode != 500 {
		t.Errorf("%s of a folder that was never understood", resp.Status)
	}
	write("blocked-edges/b.yaml", "to: 1.36.2\nfrom: .*\n")
	for range 2 {
		if got := content(t, ask(lazy, "/graph-data")); got != string(two) {
			t.Errorf("%d bytes, want %d", len(got), len(two))
		}
		write("blocked-edges/c.yaml", "to: 1.36.3\nfrom: .*\n") // within the hour
	}

	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "channels", "evil.yaml")); err != nil {
		t.Fatal(err)
	}
	if _, err := updates.PackGraphData(dir, nil); err == nil || !strings.Contains(err.Error(), "evil.yaml") {
		t.Errorf("a link was packed: %v", err)
	}
	if _, err := updates.PackGraphData(t.TempDir(), nil); err == nil {
		t.Error("an empty folder was packed")
	}
}

// Errors of everything under the address are JSON.
func TestErrorsOfServer(t *testing.T) {
	s, _ := newServer(t)
	for _, target := range []string{"/x", "POST /x", "/api/v1/x", "PUT /metrics", "POST /livez"} {
		method, path, ok := strings.Cut(target, " ")
		if !ok {
			method, path = http.MethodGet, target
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(method, path, nil))
		var got struct{ Kind, Value string }
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.Kind == "" || w.Code != map[bool]int{true: 404, false: 405}[method == "GET"] {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
}
