package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/slipway-release/slipway/distros"
	"github.com/slipway-release/slipway/internal/state"
)

// Bad input ends in the documented exit code with one clear sentence.
func TestBadInput(t *testing.T) {
	broken := func(name, old, with string) string {
		dir := filepath.Join(t.TempDir(), name)
		if err := distros.Unpack(distros.Embedded(), dir); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "distro.yaml")
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(data), old) {
			t.Fatalf("distro.yaml does not hold %q", old)
		}
		if err := os.WriteFile(path, []byte(strings.Replace(string(data), old, with, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	notALock := filepath.Join(t.TempDir(), "lock.json")
	if err := os.WriteFile(notALock, []byte(`{"kind":"Something"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	badPipeline := filepath.Join(t.TempDir(), "p.yaml")
	if err := os.WriteFile(badPipeline, []byte("apiVersion: tekton.dev/v1\nkind: Pipeline\nmetadata: {name: p}\nspec:\n  task: []\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		code int
		want []string
	}{
		"unknown command":   {[]string{"nightlyy"}, exitUsage, []string{"unknown command"}},
		"unknown flag":      {[]string{"nightly", "--profil", "ha"}, exitUsage, []string{"unknown flag", "--help"}},
		"unknown profile":   {[]string{"nightly", "--profile", "huge"}, exitUsage, []string{`"huge"`, "single", "ha"}},
		"unknown stream":    {[]string{"nightly", "--stream", "weekly"}, exitUsage, []string{`"weekly"`}},
		"unknown output":    {[]string{"graph", "-o", "xml"}, exitUsage, []string{`"xml"`, "json"}},
		"unknown channel":   {[]string{"graph", "--channel", "nowhere"}, exitUsage, []string{`"nowhere"`}},
		"missing argument":  {[]string{"verify"}, exitUsage, []string{"accepts 1 arg"}},
		"missing flag":      {[]string{"release", "new"}, exitUsage, []string{"--images", "--from-release"}},
		"no payload":        {[]string{"release", "info", "a"}, exitUsage, []string{`"a"`, "pull spec"}},
		"abort nowhere":     {[]string{"cluster", "upgrade", "dev", "--to", "1.0.0", "--abort-at", "200%"}, exitUsage, []string{"--abort-at", "50%"}},
		"upgrade to what":   {[]string{"cluster", "upgrade", "dev"}, exitUsage, []string{"--to", "--rollback"}},
		"reconfigure what":  {[]string{"cluster", "upgrade", "dev", "--reconfigure", "kubelet.v=3", "--reconfigure", "etcd.v"}, exitUsage, []string{`"kubelet"`, "kube-scheduler", `"etcd.v"`, "PART.FLAG=VALUE"}},
		"two at once":       {[]string{"cluster", "upgrade", "dev", "--to", "1.0.0", "--rotate-certificates"}, exitUsage, []string{"rotate-certificates", "to"}},
		"no such images":    {[]string{"release", "new", "--images", "/nonexistent"}, exitUsage, []string{"/nonexistent"}},
		"no such lock":      {[]string{"build", "--lock-file", "/nonexistent"}, exitUsage, []string{"/nonexistent", "slipway lock"}},
		"not a lock":        {[]string{"build", "--lock-file", notALock}, exitUsage, []string{"lock"}},
		"no such payload":   {[]string{"sign", "1.36.3-0.nightly-2026-01-01-000000"}, exitUsage, []string{"1.36.3-0.nightly-2026-01-01-000000"}},
		"no key to verify":  {[]string{"verify", "1.36.3-0.nightly-2026-01-01-000000"}, exitUsage, []string{"public key"}},
		"no such cluster":   {[]string{"rollout", "x", "--cluster", "none"}, exitUsage, []string{}},
		"registry is down":  {[]string{"sign", "1.36.3-0.nightly-2026-01-01-000000", "--registry", "127.0.0.1:1"}, exitHost, []string{"127.0.0.1:1"}},
		"no distribution":   {[]string{"lock", "--distro", "/nonexistent"}, exitUsage, []string{"/nonexistent", "distro.yaml"}},
		"unknown field":     {[]string{"lock", "--distro", broken("field", "payloadBase:", "payloadBasis:")}, exitUsage, []string{"distro.yaml:", "payloadBasis"}},
		"dangling name":     {[]string{"lock", "--distro", broken("dangling", "payloadBase: slipway", "payloadBase: nobody")}, exitUsage, []string{"distro.yaml:", `"nobody"`}},
		"duplicate name":    {[]string{"lock", "--distro", broken("duplicate", "- kube-scheduler", "- kube-apiserver")}, exitUsage, []string{"distro.yaml:", "kube-apiserver"}},
		"no such component": {[]string{"lock", "--distro", broken("component", "- kube-scheduler", "- kube-juggler")}, exitUsage, []string{"kube-juggler"}},
		"wrong type":        {[]string{"lock", "--distro", broken("type", "platform: linux/amd64", "platform: [linux]")}, exitUsage, []string{"distro.yaml:", "platform"}},
		"bad pipeline":      {[]string{"pipeline", "validate", badPipeline}, exitUsage, []string{"p.yaml:5", "task"}},
		"no such pipeline":  {[]string{"pipeline", "run", "daily"}, exitUsage, []string{`"daily"`}},
		"no such run":       {[]string{"report", "yesterday"}, exitUsage, []string{`"yesterday"`}},
		"no such recording": {[]string{"upgrade-test", "report", "/nonexistent"}, exitUsage, []string{"/nonexistent"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, errs, code := slipway(t, t.TempDir(), c.args...)
			if code != c.code {
				t.Errorf("exit code %d, want %d: %s", code, c.code, errs)
			}
			if out != "" {
				t.Errorf("standard output of a failure: %q", out)
			}
			if !strings.HasPrefix(errs, "Error: ") || strings.Contains(errs, "goroutine") {
				t.Errorf("message is not one sentence for people: %q", errs)
			}
			for _, want := range c.want {
				if !strings.Contains(errs, want) {
					t.Errorf("message %q lacks %q", errs, want)
				}
			}
		})
	}
}

func TestSecondRunIsRefused(t *testing.T) {
	dir := t.TempDir()
	st, err := state.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	unlock, err := st.Lock()
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	_, errs, code := slipway(t, dir, "nightly")
	if code != exitHost || !strings.Contains(errs, "another slipway run") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

func TestMissingPackagesAreNamed(t *testing.T) {
	cmd := command(t, t.TempDir(), "nightly", "--no-install")
	cmd.Env = append(os.Environ(), "PATH="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() != exitHost || !strings.Contains(string(out), "apt-get install") {
		t.Errorf("exit code %d: %s", cmd.ProcessState.ExitCode(), out)
	}
}

// Every command that a person can call says what it does and shows how.
func TestHelp(t *testing.T) {
	root := newRoot(&app{getenv: func(string) string { return "" }})
	var walk func(*cobra.Command)
	seen := 0
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			walk(sub)
		}
		if c.Hidden || c.HasSubCommands() || c.Name() == "help" || strings.HasPrefix(c.CommandPath(), "slipway completion") {
			return
		}
		seen++
		if c.Short == "" || c.Example == "" {
			t.Errorf("%s has no description or no example", c.CommandPath())
		}
	}
	walk(root)
	if seen < 20 {
		t.Errorf("only %d commands were looked at", seen)
	}
}

func TestPipelineCommands(t *testing.T) {
	dir := t.TempDir()
	if out := mustRun(t, dir, "pipeline", "validate"); !strings.Contains(out, "pipeline nightly is valid") {
		t.Errorf("validate: %s", out)
	}
	if out := mustRun(t, dir, "pipeline", "graph", "nightly", "-o", "dot"); !strings.Contains(out, "digraph") {
		t.Errorf("graph: %s", out)
	}
	if out := mustRun(t, dir, "pipeline", "list", "-o", "name"); out != "nightly\n" {
		t.Errorf("list: %q", out)
	}
	file := filepath.Join(t.TempDir(), "hello.yaml")
	const hello = `apiVersion: tekton.dev/v1
kind: Pipeline
metadata: {name: hello}
spec:
  tasks:
  - name: greet
    taskSpec:
      results: [{name: version}]
      steps:
      - name: ask
        image: registry.slipway.internal/skiff/slipway
        script: |
          #!/bin/sh
          slipway version -o name > $(results.version.path)
`
	if err := os.WriteFile(file, []byte(hello), 0o644); err != nil {
		t.Fatal(err)
	}
	if out := mustRun(t, dir, "pipeline", "run", "hello", "-f", file); !strings.Contains(out, "Succeeded") {
		t.Errorf("run: %s", out)
	}
}

// A step's own exit code is passed on only where it means what ours mean.
func TestPipelineExitCodes(t *testing.T) {
	for step, want := range map[string]int{"exit 1": exitRejected, "exit 4": exitInconclusive, "exit 77": exitHost, "kill -9 $$": exitHost} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "p.yaml")
			yaml := "apiVersion: tekton.dev/v1\nkind: Pipeline\nmetadata: {name: p}\nspec:\n  tasks:\n  - name: t\n    taskSpec:\n      steps:\n      - name: s\n        image: " +
				slipwayImage + "\n        script: |\n          #!/bin/sh\n          " + step + "\n"
			if err := os.WriteFile(file, []byte(yaml), 0o644); err != nil {
				t.Fatal(err)
			}
			if _, errs, code := slipway(t, t.TempDir(), "pipeline", "run", "p", "-f", file); code != want {
				t.Errorf("exit code %d, want %d: %s", code, want, errs)
			}
		})
	}
}

// What keeps a pipeline from starting is either the caller's to mend or the host's.
func TestPipelineThatDoesNotStart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "p.yaml")
	yaml := "apiVersion: tekton.dev/v1\nkind: Pipeline\nmetadata: {name: p}\nspec:\n  workspaces: [{name: src}]\n  tasks:\n  - name: t\n    taskSpec:\n      steps:\n      - name: s\n        image: " +
		slipwayImage + "\n        script: exit 0\n"
	if err := os.WriteFile(file, []byte(yaml), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		want int
	}{
		"workspace missing": {nil, exitUsage},
		"folder is a file":  {[]string{"-w", "src=.", "--dir", filepath.Join(file, "run")}, exitHost},
	} {
		if _, errs, code := slipway(t, t.TempDir(), append([]string{"pipeline", "run", "p", "-f", file}, c.args...)...); code != c.want {
			t.Errorf("%s: exit code %d, want %d: %s", name, code, c.want, errs)
		}
	}
}

// The reference of the commands in docs/ is what the commands say themselves;
// make generate writes it.
func TestCommandReferenceIsCurrent(t *testing.T) {
	dir := t.TempDir()
	mustRun(t, t.TempDir(), "docs", "--dir", dir)
	made, err := os.ReadDir(dir)
	if err != nil || len(made) == 0 {
		t.Fatalf("nothing was generated: %v", err)
	}
	kept, err := os.ReadDir("../../docs/commands")
	if err != nil {
		t.Fatal(err)
	}
	if len(kept) != len(made) {
		t.Errorf("docs/commands has %d files, %d are generated", len(kept), len(made))
	}
	for _, f := range made {
		want, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join("../../docs/commands", f.Name()))
		if err != nil || string(got) != string(want) {
			t.Errorf("docs/commands/%s is out of date; run make generate", f.Name())
		}
	}
}
