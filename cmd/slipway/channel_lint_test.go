package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slipway-release/slipway/distros"
	"github.com/slipway-release/slipway/internal/golden"
	"github.com/slipway-release/slipway/release/channels/graphdata"
)

// graphDataIn writes files, path and text by turns, into a folder and returns it.
func graphDataIn(t *testing.T, dir string, files ...string) string {
	t.Helper()
	for i := 0; i+1 < len(files); i += 2 {
		path := filepath.Join(dir, files[i])
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(files[i+1]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestChannelLint(t *testing.T) {
	t.Parallel()
	const stable = "name: stable-4.1\nversions:\n- 4.1.0\n- 4.1.1\n"
	skiff := filepath.Join(t.TempDir(), "skiff")
	if err := distros.Unpack(distros.Embedded(), skiff); err != nil {
		t.Fatal(err)
	}
	clean := graphDataIn(t, t.TempDir(), "version", "1.1.0\n", "channels/stable-4.1.yaml", stable)
	warned := graphDataIn(t, t.TempDir(), "version", "1.1.0\n", "channels/stable-4.1.yaml", "name: stable-4.1\nversions:\n- 4.1.1\n- 4.1.0\n")
	broken := graphDataIn(t, t.TempDir(), "version", "1.1.0\n", "channels/stable-4.1.yaml", stable, "blocked-edges/4.1.1.yaml", "to: 4.1.1\nfrom: ^4[.]1[.]0])$\n")
	wrong := graphDataIn(t, t.TempDir(), "version", "1.1.0\n", "channels/stable-4.1.yaml", stable,
		"blocked-edges/4.1.1-Slow.yaml", "to: 4.1.1\nfrom: 4[.]1[.]0\nurl: https://example.com\nname: Slow\nmessage: x\nmatchingRules:\n- type: PromQL\n  promql:\n    promql: max(up\n")
	ours := t.TempDir()
	if err := distros.Unpack(distros.Embedded(), ours); err != nil {
		t.Fatal(err)
	}
	graphDataIn(t, filepath.Join(ours, "channels"), "version", "1.1.0\n", "channels/stable-4.1.yaml", stable)
	for name, c := range map[string]struct {
		args []string
		code int
		out  []string // in what is printed
		errs string   // in the message
	}{
		"clean":               {[]string{clean}, exitDone, []string{"0 errors, 0 warnings, 0 notes in 2 files that name 2 versions"}, ""},
		"distribution":        {[]string{"--distro", ours}, exitDone, []string{"in 2 files that name 2 versions"}, ""},
		"no graph-data in it": {[]string{"--distro", skiff}, exitUsage, nil, "name a folder"},
		"no distribution":     {nil, exitUsage, nil, "name a folder"},
		"warning":             {[]string{warned}, exitDone, []string{"stable-4.1.yaml:4: warning: 4.1.0 stands behind 4.1.1", "fix: Move the version"}, ""},
		"warning fails":       {[]string{warned, "--fail-on", "warning"}, exitRejected, []string{"1 warning"}, "1 warning"},
		"unreadable":          {[]string{broken}, exitRejected, []string{"4.1.1.yaml:2: error: from: ", "[unreadable, SLG001]"}, "1 error"},
		"error":               {[]string{wrong}, exitRejected, []string{"4.1.1-Slow.yaml:9: error: it is no PromQL"}, "1 error"},
		"never":               {[]string{wrong, "--fail-on", "never"}, exitDone, []string{"1 error, 1 warning, 0 notes"}, ""},
		"several":             {[]string{clean, warned, wrong, "--fail-on", "never"}, exitDone, []string{"1 error, 2 warnings, 0 notes in 7 files that name 6 versions"}, ""},
		"names":               {[]string{warned, "-o", "name"}, exitDone, []string{"versions-unsorted " + warned}, ""},
		"sarif":               {[]string{wrong, "-o", "sarif"}, exitRejected, []string{`"version": "2.1.0"`, `"ruleId": "SLG005"`, `"startLine": 9`}, ""},
		"explain":             {[]string{"--explain", "slg003"}, exitDone, []string{"dead-alternative (SLG003, error)", "Fix: "}, ""},
		"unknown rule":        {[]string{"--explain", "nothing"}, exitUsage, nil, `"nothing"`},
		"unknown level":       {[]string{clean, "--fail-on", "sometimes"}, exitUsage, nil, `"sometimes"`},
		"no folder":           {[]string{clean, "/nonexistent", skiff}, exitUsage, nil, `"/nonexistent": it is no folder`},
		"rules and a folder":  {[]string{clean, "--list-rules"}, exitUsage, nil, ""},
		"unknown form":        {[]string{clean, "-o", "xml"}, exitUsage, nil, "sarif"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, errs, code := slipway(t, t.TempDir(), append([]string{"channel", "lint"}, c.args...)...)
			if code != c.code {
				t.Errorf("exit code %d, want %d: %s%s", code, c.code, out, errs)
			}
			for _, want := range c.out {
				if !strings.Contains(out, want) {
					t.Errorf("output lacks %q:\n%s", want, out)
				}
			}
			if !strings.Contains(errs, c.errs) || c.code == exitUsage && out != "" {
				t.Errorf("message lacks %q: %s (output %q)", c.errs, errs, out)
			}
		})
	}
	t.Run("golden", func(t *testing.T) {
		t.Parallel()
		out, _, _ := slipway(t, t.TempDir(), "channel", "lint", wrong, warned)
		golden.Check(t, "testdata/channel-lint.txt", strings.NewReplacer(wrong, "data", warned, "more").Replace(out))
		golden.Check(t, "testdata/channel-lint-rules.txt", mustRun(t, t.TempDir(), "channel", "lint", "--list-rules"))
		out, _, _ = slipway(t, t.TempDir(), "channel", "lint", wrong, "-o", "json")
		golden.Check(t, "testdata/channel-lint.json", strings.ReplaceAll(out, wrong, "data"))
		var report graphdata.Report
		if err := json.Unmarshal([]byte(out), &report); err != nil || report.Counts.Error != 1 {
			t.Errorf("%+v, %v", report, err)
		}
	})
}
