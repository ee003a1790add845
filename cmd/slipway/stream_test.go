package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slipway-release/slipway/distros"
	"github.com/slipway-release/slipway/release/streams"
)

const cheapStream = `apiVersion: slipway.dev/v1alpha1
kind: Stream
spec:
  name: cheap
  cut: {when: changed}
  run: {pipeline: cheap, params: {code: "0"}}
  retries: {limit: 1, backoff: 10ms}
  checks: {blocking: [conformance]}
`

// The pipeline makes nothing: what comes of it is a payload that failed.
const cheapPipeline = `apiVersion: tekton.dev/v1
kind: Pipeline
metadata: {name: cheap}
spec:
  params: [{name: version}, {name: inputs}, {name: code}]
  tasks:
  - name: look
    taskSpec:
      params: [{name: version}, {name: inputs}]
      steps:
      - name: do
        image: registry.slipway.internal/skiff/slipway
        command: [slipway]
        args: [version]
    params: [{name: version, value: $(params.version)}, {name: inputs, value: $(params.inputs)}]
`

func cheapDistro(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := distros.Unpack(distros.Embedded(), filepath.Join(dir, "skiff")); err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(dir, "skiff")
	for name, text := range map[string]string{"streams/cheap.yaml": cheapStream, "pipelines/cheap.yaml": cheapPipeline} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func shown(t *testing.T, stateDir, distro string) streamState {
	t.Helper()
	var s streamState
	if err := json.Unmarshal([]byte(mustRun(t, stateDir, "stream", "show", "cheap", "-o", "json", "--distro", distro)), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStreamCommands(t *testing.T) {
	t.Parallel()
	stateDir, distro := t.TempDir(), cheapDistro(t)
	if s := shown(t, stateDir, distro); !s.Next.Cut || s.Next.Reason != "nothing was cut of it before" || len(s.Inputs) == 0 {
		t.Errorf("show tells %+v", s)
	}
	if out := mustRun(t, stateDir, "controller", "--once", "--dry-run", "--stream", "cheap", "--distro", distro); !strings.Contains(out, "cheap: would be cut: nothing was cut") {
		t.Errorf("a dry run says %q", out)
	}
	out, errs, code := slipway(t, stateDir, "controller", "--once", "--stream", "cheap", "--lease", "1m", "--distro", distro)
	if code != exitHost || !strings.Contains(out, "cheap: 1 cut, 0 accepted, 0 rejected, 0 undecided, 1 failed") {
		t.Fatalf("exit %d\n%s\n%s", code, out, errs)
	}
	s := shown(t, stateDir, distro)
	if len(s.Journal.Cuts) != 1 || s.Journal.Cuts[0].Phase() != streams.PhaseFailed || s.Next.Cut {
		t.Errorf("after a cut: %+v", s)
	}
	steps := []struct {
		args []string
		code int
		want string
	}{
		{[]string{"stream", "freeze", "cheap"}, exitUsage, `required flag(s) "reason"`},
		{[]string{"stream", "freeze", "cheap", "--by", "ann", "--reason", "release week"}, exitDone, "cheap is frozen"},
		{[]string{"stream", "cut", "cheap"}, exitUsage, "the stream is frozen by ann: release week"},
		{[]string{"stream", "list"}, exitDone, "frozen: by ann: release week"},
		{[]string{"stream", "unfreeze", "cheap"}, exitDone, "frozen no longer"},
		{[]string{"stream", "cut", "cheap", "--dry-run"}, exitDone, "would be done"},
		{[]string{"stream", "cut", "cheap", "--by", "ann", "--reason", "to see"}, exitDone, "is asked for"},
		{[]string{"stream", "cut", "none"}, exitUsage, `no such stream`},
		{[]string{"stream", "accept", "1.36.3-0.cheap-2026-01-01-000000", "--reason", "x"}, exitUsage, "no such payload"},
		{[]string{"stream", "pin", "cheap", "--reason", "x"}, exitUsage, "stream"},
		{[]string{"stream", "prune", "cheap", "--dry-run"}, exitDone, ""},
		{[]string{"stream", "list", "cheap"}, exitDone, "Failed"},
		{[]string{"controller", "--lease-in", "etcd"}, exitUsage, "--lease-in"},
	}
	for _, step := range steps {
		out, errs, code := slipway(t, stateDir, append(step.args, "--distro", distro)...)
		if code != step.code || !strings.Contains(out+errs, step.want) {
			t.Errorf("slipway %s: exit %d\n%s%s", strings.Join(step.args, " "), code, out, errs)
		}
	}
	if s := shown(t, stateDir, distro); len(s.Journal.Requests) != 1 || s.Next.Reason != "ann asked for it: to see" {
		t.Errorf("after a request: %+v", s)
	}
}

// A stream with a lock of its own is cut from that, not from the distribution's.
func TestStreamIsCutFromItsLock(t *testing.T) {
	t.Parallel()
	distro := cheapDistro(t)
	for name, text := range map[string]string{
		"streams/weekly.yaml": "apiVersion: slipway.dev/v1alpha1\nkind: Stream\nspec:\n  name: weekly\n  inputs: {lock: weekly.lock}\n",
		"weekly.lock":         "{}",
	} {
		if err := os.WriteFile(filepath.Join(distro, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var s streamState
	if err := json.Unmarshal([]byte(mustRun(t, t.TempDir(), "stream", "show", "weekly", "-o", "json", "--distro", distro)), &s); err != nil {
		t.Fatal(err)
	}
	if got := s.Declaration.Run.Params["lock"]; got != filepath.Join(distro, "weekly.lock") || len(s.Inputs) != 1 || s.Inputs[0].Name != "weekly.lock" {
		t.Errorf("it runs with lock %q on inputs %+v", got, s.Inputs)
	}
}

// A release without a date is made of the components of a nightly under its own version,
// belongs to the stable stream, and is decided about, kept and promoted like the others.
func TestStableStream(t *testing.T) {
	t.Parallel()
	distro, state, version := signedTiny(t)
	file := filepath.Join(distro, "distro.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	edited := strings.Replace(string(text), "channels:\n- name: candidate\n", "- name: stable\n  stable: true\n  channels: [stable-1.2]\n  tag: newest\nchannels:\n- name: candidate\n- name: stable-1.2\n", 1)
	if err := os.WriteFile(file, []byte(edited), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"release", "new", "--from-release", version, "--name", "1.2.3", "--to-image", "registry.example.com/tiny/release"}, exitDone, ""},
		{[]string{"sign", "1.2.3"}, exitDone, ""},
		{[]string{"stream", "list", "stable"}, exitDone, "1.2.3 "},
		{[]string{"stream", "list", "nightly"}, exitDone, version},
		{[]string{"stream", "list"}, exitDone, "the stream is frozen: it holds the releases that people bring in"},
		{[]string{"stream", "cut", "stable"}, exitUsage, "it holds the releases that people bring in"},
		{[]string{"controller", "--once", "--dry-run", "--stream", "stable"}, exitUsage, "it holds the releases that people bring in"},
		{[]string{"stream", "accept", "1.2.4", "--by", "ann", "--reason", "x"}, exitUsage, "no such payload"},
		{[]string{"channel", "promote", "1.2.3", "--stream", "stable"}, exitRejected, "its decision is"},
		{[]string{"stream", "accept", "1.2.3", "--by", "ann", "--reason", "it passed as " + version}, exitDone, "1.2.3 is Accepted by ann"},
		{[]string{"stream", "pin", "1.2.3", "--by", "ann", "--reason", "for ever"}, exitDone, "is pinned"},
		{[]string{"stream", "list", "stable"}, exitDone, "pinned"},
		{[]string{"channel", "promote", "1.2.3", "--stream", "stable"}, exitDone, "stable-1.2: version 1.2.3"},
		{[]string{"channel", "show", "stable-1.2"}, exitDone, "1.2.3  since"},
		{[]string{"release", "info", "registry.example.com/tiny/release:newest", "-o=jsonpath=<{.metadata.version}>"}, exitDone, "<1.2.3>"},
		// One that is older does not take the tag back.
		{[]string{"release", "new", "--from-release", version, "--name", "1.2.2", "--to-image", "registry.example.com/tiny/release"}, exitDone, ""},
		{[]string{"sign", "1.2.2"}, exitDone, ""},
		{[]string{"stream", "accept", "1.2.2", "--by", "ann", "--reason", "it is late"}, exitDone, "1.2.2 is Accepted by ann"},
		{[]string{"channel", "promote", "1.2.2", "--stream", "stable"}, exitDone, "stable-1.2: version 1.2.2"},
		{[]string{"release", "info", "registry.example.com/tiny/release:newest", "-o=jsonpath=<{.metadata.version}>"}, exitDone, "<1.2.3>"},
	} {
		out, errs, code := slipway(t, state, append(step.args, "--distro", distro)...)
		if code != step.code || !strings.Contains(out+errs, step.want) {
			t.Errorf("slipway %s: exit %d, want %d with %q\n%s%s", strings.Join(step.args, " "), code, step.code, step.want, out, errs)
		}
	}
	s := startServe(t, "--state-dir", state, "--distro", distro, "--drain", "10ms")
	s.until(t, "/api/v1/releasestream/stable/latest?format=name", http.StatusOK, "1.2.3")
	s.until(t, "/releasestream/stable", http.StatusOK, "1.2.3")
}
