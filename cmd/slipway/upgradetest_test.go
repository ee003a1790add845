package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/slipway-release/slipway/upgradetest"
	"github.com/slipway-release/slipway/upgradetest/driver/drivertest"
)

// kubeconfigFor names a server that asks for no credentials, and another context that
// leads nowhere.
func kubeconfigFor(t *testing.T, address string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: nowhere
clusters:
- {name: here, cluster: {server: %q}}
- {name: nowhere, cluster: {server: "http://127.0.0.1:1"}}
contexts:
- {name: here, context: {cluster: here, user: nobody}}
- {name: nowhere, context: {cluster: nowhere, user: nobody}}
users:
- {name: nobody, user: {}}
`, address)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// call runs the program within this one.
func call(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), append([]string{"--state-dir", t.TempDir()}, args...), stdio{In: strings.NewReader(""), Out: &out, Err: &errs}, os.Getenv)
	return out.String(), errs.String(), code
}

// A cluster that Slipway did not make is upgraded and measured; the exit code is the
// judgement.
func TestUpgradeTestOfForeignClusters(t *testing.T) {
	script := filepath.Join(t.TempDir(), "upgrade.sh")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho \"to $SLIPWAY_UPGRADE_TO\"\ngrep server: \"$KUBECONFIG\" >&2\nsleep 0.5\nexit $1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	okd := []string{"--driver", "clusterversion", "--to", drivertest.Newer.Version}
	for name, tc := range map[string]struct {
		change func(*drivertest.OKD)
		args   []string
		code   int
		says   string
	}{
		"clusterversion":      {args: okd, says: drivertest.Newer.Version},
		"one with a gap":      {change: func(o *drivertest.OKD) { o.Down = func(percent int) bool { return percent == 50 } }, args: okd, code: exitRejected, says: "kube-api/new"},
		"a gap, but reported": {change: func(o *drivertest.OKD) { o.Down = func(percent int) bool { return percent == 50 } }, args: append([]string{"--findings-ok"}, okd...), says: "kube-api"},
		"one that is refused": {change: func(o *drivertest.OKD) { o.Refuses = true }, args: okd, code: exitRejected, says: "cannot be verified"},
		"program":             {args: []string{"--driver", "exec", "--to", "v2", "--", script, "0"}, says: "to   v2"},
		"program gives up":    {args: []string{"--driver", "exec", "--", script, "1"}, code: exitRejected, says: "gave up"},
		"program breaks":      {args: []string{"--driver", "exec", "--", script, "7"}, code: exitHost, says: "7"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, address := drivertest.Serve(t, func(o *drivertest.OKD) {
				o.Step, o.NoPools = 50, true
				if tc.change != nil {
					tc.change(o)
				}
			})
			artifacts := filepath.Join(t.TempDir(), "out")
			args := append([]string{"upgrade-test", "run", "--selftest=false", "--baseline", "500ms", "--backends", "kube-api", "--kubeconfig", kubeconfigFor(t, address), "--context", "here", "--artifacts", artifacts}, tc.args...)
			out, errs, code := call(t, args...)
			if code == exitInconclusive {
				t.Skipf("the tester was ill: %s", errs)
			}
			if code != tc.code || !strings.Contains(out+errs, tc.says) {
				t.Errorf("exit %d, want %d and %q\n%s%s", code, tc.code, tc.says, out, errs)
			}
			if code == exitHost {
				return
			}
			for _, file := range []string{"upgrade.json", "junit_upgrade.xml", "timeline.html"} {
				if _, err := os.Stat(filepath.Join(artifacts, file)); err != nil {
					t.Error(err)
				}
			}
			if log, err := os.ReadFile(filepath.Join(artifacts, "upgrade.log")); strings.HasPrefix(name, "program") && !strings.Contains(string(log), address) {
				t.Errorf("the program was told another cluster: %s, %v", log, err)
			}
		})
	}
}

func TestUpgradeTestUsage(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		want []string
	}{
		"no cluster":            {[]string{"--to", "1.0.0"}, []string{"--cluster"}},
		"unknown driver":        {[]string{"--driver", "ssh"}, []string{`"ssh"`, "clusterversion"}},
		"program for kind":      {[]string{"--cluster", "dev", "--to", "1.0.0", "--", "true"}, []string{"exec"}},
		"foreign flag":          {[]string{"--cluster", "dev", "--to", "1.0.0", "--context", "x", "--force"}, []string{"--kubeconfig", "--force"}},
		"own flag":              {[]string{"--driver", "clusterversion", "--to", "4.20.0", "--cluster", "dev", "--log-dir", "x"}, []string{"--cluster", "--log-dir"}},
		"upgrade to nothing":    {[]string{"--driver", "clusterversion"}, []string{"--to"}},
		"no program":            {[]string{"--driver", "exec"}, []string{"--", "program"}},
		"program told to abort": {[]string{"--driver", "exec", "--abort-at", "50%", "--", "true"}, []string{"--abort-at"}},
		"pods without images":   {[]string{"--driver", "exec", "--backends", "service", "--", "true"}, []string{"--image"}},
		"no such backend":       {[]string{"--cluster", "dev", "--to", "1.0.0", "--backends", "ingress"}, []string{`"ingress"`}},
		"no kubeconfig":         {[]string{"--driver", "clusterversion", "--to", "4.20.0", "--kubeconfig", "/nonexistent"}, []string{"/nonexistent"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, errs, code := call(t, append([]string{"upgrade-test", "run"}, tc.args...)...)
			if code != exitUsage {
				t.Errorf("exit code %d: %s", code, errs)
			}
			for _, want := range tc.want {
				if !strings.Contains(errs, want) {
					t.Errorf("message %q lacks %q", errs, want)
				}
			}
		})
	}
}

func TestUpgradeTestAggregate(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, value any) string {
		data, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := upgradetest.Result{TesterHealthy: true, Started: time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC), Backends: []upgradetest.BackendResult{{Name: "dns", Connection: "new", Intended: 3000, Sent: 3000}}}
	bad, ill := good, good
	bad.Backends = []upgradetest.BackendResult{{Name: "dns", Connection: "new", Intended: 3000, Sent: 3000, Failed: 1, Disruptions: []upgradetest.Disruption{{AtLeastMs: 10, AtMostMs: 90}}}}
	ill.TesterReasons = []string{"it was late"}
	a, b, c := write("a.json", good), write("b.json", bad), write("c.json", ill)
	nightly := write("report.json", map[string]any{"kind": "RunReport", "upgrade": good})
	for name, tc := range map[string]struct {
		args []string
		code int
		says string
	}{
		"good":       {[]string{a, nightly}, exitDone, "Accepted: 2 runs, 2 conclusive"},
		"one bad":    {[]string{a, b, nightly}, exitRejected, "1 of 3"},
		"one ill":    {[]string{a, c}, exitInconclusive, "it was late"},
		"enough":     {[]string{a, c, "--runs", "1"}, exitDone, "Accepted: 2 runs, 1 conclusive"},
		"as JUnit":   {[]string{a, b, "-o", "junit"}, exitRejected, `failures="2"`},
		"as JSON":    {[]string{a, "-o", "json"}, exitDone, `"failuresAtMost": 0.00099`},
		"no result":  {[]string{write("x.json", map[string]any{})}, exitUsage, "x.json"},
		"no file":    {[]string{filepath.Join(dir, "none.json")}, exitUsage, "none.json"},
		"no results": {nil, exitUsage, "requires at least 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, errs, code := call(t, append([]string{"upgrade-test", "aggregate"}, tc.args...)...)
			if code != tc.code || !strings.Contains(out+errs, tc.says) {
				t.Errorf("exit %d, want %d and %q\n%s%s", code, tc.code, tc.says, out, errs)
			}
		})
	}
}
