package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/slipway-release/slipway/release/updates/load"
)

const servedGraph = `{"version":1,"nodes":[
{"version":"1.36.1","payload":"registry.example.com/skiff/release@sha256:1111","metadata":{"io.openshift.upgrades.graph.release.channels":"candidate,stable"}},
{"version":"1.36.2","payload":"registry.example.com/skiff/release@sha256:2222","metadata":{"io.openshift.upgrades.graph.release.channels":"candidate%s"}}],
"edges":[[0,1]],"conditionalEdges":[]}`

// serving is a process that serves.
type serving struct {
	cmd     *exec.Cmd
	address string
	log     string // file of what it says on standard error
	started time.Duration
}

// startServe starts `slipway serve` as a process of its own.
func startServe(t *testing.T, args ...string) *serving {
	t.Helper()
	s := &serving{cmd: exec.Command(program, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...), log: filepath.Join(t.TempDir(), "log")}
	log, err := os.Create(s.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close() // the process has its own
	s.cmd.Stderr = log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		_ = s.cmd.Wait()
		t.Fatalf("it did not start: %v\n%s", err, s.said())
	}
	s.started = time.Since(begin)
	_, s.address, _ = strings.Cut(strings.TrimSpace(line), "://")
	return s
}

func (s *serving) said() string {
	data, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

func (s *serving) get(t *testing.T, path string) (int, string) {
	t.Helper()
	resp, err := http.Get("http://" + s.address + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var body strings.Builder
	if _, err := bufio.NewReader(resp.Body).WriteTo(&body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body.String()
}

func (s *serving) until(t *testing.T, path string, code int, holds string) {
	t.Helper()
	var got string
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		c, body := s.get(t, path)
		if got = fmt.Sprint(c, " ", body); c == code && strings.Contains(body, holds) {
			return
		}
	}
	t.Fatalf("%s is %s, want %d with %q", path, got, code, holds)
}

// writeBeside replaces a file as an editor or a rollout would.
func writeBeside(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// A server as people run it: it serves a file, follows its changes, keeps the last good
// graph while the file is broken and over a restart, and ends without failing a request.
func TestServeProcess(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "graph.json")
	writeBeside(t, file, fmt.Sprintf(servedGraph, ""))
	args := []string{"--graph-file", file, "--state-dir", filepath.Join(dir, "state"), "--watch", "10ms", "--drain", "4s"} // in which a busy host answers too
	s := startServe(t, args...)
	s.until(t, "/readyz", 200, `"ready":true`)
	if code, body := s.get(t, "/api/upgrades_info/v1/graph?channel=stable"); code != 200 || strings.Contains(body, "1.36.2") || !strings.Contains(body, "1.36.1") {
		t.Errorf("got %d %s", code, body)
	}
	writeBeside(t, file, fmt.Sprintf(servedGraph, ",stable"))
	s.until(t, "/graph?channel=stable", 200, `"edges":[[0,1]]`)
	writeBeside(t, file, `{"version":1,"nodes":[`)
	s.until(t, "/readyz", 200, `"degraded":true`)
	s.until(t, "/graph?channel=stable", 200, `"edges":[[0,1]]`)

	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = s.cmd.Wait()
	again := startServe(t, args...) // the file is still broken
	if code, body := again.get(t, "/graph?channel=stable"); code != 200 || !strings.Contains(body, `"edges":[[0,1]]`) {
		t.Errorf("after a restart: %d %s", code, body)
	}
	if again.started > 30*time.Second { // it does not wait for the source, of which one reading may take minutes
		t.Errorf("a restart took %v", again.started)
	}
	stopUnderLoad(t, again)
}

// stopUnderLoad ends a server while a balancer sends it requests, which stops when it
// is no longer ready.
func stopUnderLoad(t *testing.T, s *serving) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all sync.WaitGroup
	all.Go(func() {
		got, err := load.Run(ctx, load.Options{Address: s.address, Connections: 8, Rate: 2000, Duration: time.Minute, Targets: []load.Target{{Path: "/graph?channel=stable"}, {Path: "/graph?channel=candidate", Headers: []string{"Accept-Encoding: gzip"}}}})
		if err != nil || got.Errors > 0 || got.Requests < 100 {
			t.Errorf("%v, %s, %v", got, got.Problem, err)
		}
		t.Log(got)
	})
	time.Sleep(time.Second)
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.until(t, "/readyz", 503, `"draining":true`)
	time.Sleep(100 * time.Millisecond)
	cancel()
	all.Wait()
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("it ended with %v\n%s", err, s.said())
	}
}

func awaitFile(t *testing.T, path string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return
		}
	}
	t.Fatalf("there is no %s", path)
}

// A server that is killed at any moment of a refresh serves a whole graph afterwards,
// the old one or the new one.
func TestServeKilledDuringRefresh(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "graph.json")
	args := []string{"--graph-file", file, "--state-dir", filepath.Join(dir, "state"), "--watch", "1ms"}
	for round := range 8 {
		writeBeside(t, file, fmt.Sprintf(servedGraph, ""))
		s := startServe(t, args...)
		s.until(t, "/readyz", 200, `"ready":true`)
		awaitFile(t, filepath.Join(dir, "state", "updates", "graph")) // readiness does not wait for the disk
		end := time.Now().Add(time.Duration(20+round*7) * time.Millisecond)
		for i := 0; time.Now().Before(end); i++ {
			writeBeside(t, file, fmt.Sprintf(servedGraph, []string{"", ",stable"}[i%2]))
		}
		if err := s.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = s.cmd.Wait()
		writeBeside(t, file, "broken")
		again := startServe(t, args...)
		if code, body := again.get(t, "/graph?channel=candidate"); code != 200 || !strings.Contains(body, `"edges":[[0,1]]`) {
			t.Fatalf("round %d: %d %s\n%s", round, code, body, again.said())
		}
		_ = again.cmd.Process.Kill()
		_ = again.cmd.Wait()
	}
}

// What would let tokens be read on the way, or is contradictory, is refused at once.
func TestServeRefuses(t *testing.T) {
	dir := t.TempDir()
	tokens := filepath.Join(dir, "tokens")
	if err := os.WriteFile(tokens, []byte("jo admin sha256:00\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		args []string
		want []string
	}{
		"tokens in the clear": {[]string{"--listen", "0.0.0.0:0", "--tokens", tokens}, []string{"--tls-cert", "--behind-proxy"}},
		"bad tokens":          {[]string{"--tokens", tokens}, []string{tokens + ":1:", "roles"}},
		"no tokens":           {[]string{"--tokens", filepath.Join(dir, "none")}, []string{"none"}},
		"half of TLS":         {[]string{"--tls-cert", tokens}, []string{"tls-key"}},
		"no certificate":      {[]string{"--tls-cert", tokens, "--tls-key", tokens}, []string{"certificate", tokens}},
		"no graph file":       {[]string{"--graph-file", filepath.Join(dir, "none")}, []string{"--graph-file", "none"}},
		"two for one":         {[]string{"--graph-file", tokens, "--graph-file", "amd64=" + tokens}, []string{"amd64", "twice"}},
		"no graph-data":       {[]string{"--graph-data", dir}, []string{"channels"}},
		"no channels":         {[]string{"--releases", "quay.io/okd/release"}, []string{"--graph-data", "quay.io/okd/release"}},
		"no data of releases": {[]string{"--releases", "quay.io/okd/release", "--graph-data", dir}, []string{"graph-data", "channels"}},
		"releases by tag":     {[]string{"--releases", "quay.io/okd/release:4.16", "--graph-data", dir}, []string{"without a tag"}},
		"two graphs":          {[]string{"--releases", "quay.io/okd/release", "--graph-data", dir, "--graph-file", tokens}, []string{"leave out one"}},
		"no store":            {[]string{"--signature-store", "ftp://x/y"}, []string{"ftp://x/y"}},
		"never":               {[]string{"--poll", "0s"}, []string{"--poll"}},
		"token without roles": {[]string{"token", "jo"}, []string{"roles"}},
		"token for a role":    {[]string{"token", "jo", "--roles", "admin"}, []string{"accept", "jo"}},
		"token until":         {[]string{"token", "jo", "--roles", "cut", "--expires", "soon"}, []string{"--expires"}},
	} {
		var errs strings.Builder
		code := run(t.Context(), append([]string{"serve", "--state-dir", filepath.Join(dir, "state")}, tc.args...), stdio{Out: &strings.Builder{}, Err: &errs}, func(string) string { return "" })
		if code != exitUsage {
			t.Errorf("%s: exit code %d: %s", name, code, errs.String())
		}
		for _, want := range tc.want {
			if !strings.Contains(errs.String(), want) {
				t.Errorf("%s: %q does not say %q", name, errs.String(), want)
			}
		}
	}
}
