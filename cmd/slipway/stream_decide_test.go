package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is decided about a payload, and where it is promoted, follows the declaration that
// is handed on, not what distro.yaml has come to declare.
func TestDecideByDeclaration(t *testing.T) {
	t.Parallel()
	distro, state, version := signedTiny(t)
	var s struct {
		Declaration map[string]any `json:"declaration"`
	}
	if err := json.Unmarshal([]byte(mustRun(t, state, "stream", "show", "nightly", "-o", "json", "--distro", distro)), &s); err != nil {
		t.Fatal(err)
	}
	file := func(name string, edit func(declaration, policy map[string]any)) string {
		edit(s.Declaration, s.Declaration["policy"].(map[string]any))
		data, err := json.Marshal(s.Declaration)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	lax := file("lax.json", func(_, policy map[string]any) {
		policy["Blocking"], policy["Channels"] = []string{}, []string{"candidate", "early"}
	})
	foreign := file("foreign.json", func(d, policy map[string]any) { d["name"], policy["Name"] = "weekly", "weekly" })
	for _, step := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"stream", "decide", version, "--dry-run"}, exitInconclusive, "conformance (blocking): Missing"},
		{[]string{"stream", "decide", version, "--declaration", ""}, exitInconclusive, "conformance (blocking): Missing"},
		{[]string{"stream", "decide", version, "--declaration", foreign}, exitUsage, `it is that of stream "weekly", not "nightly"`},
		{[]string{"stream", "decide", version, "--declaration", filepath.Join(state, "images.json")}, exitUsage, "parsing the declaration"},
		{[]string{"stream", "decide", version, "--declaration", "/nonexistent"}, exitUsage, "/nonexistent"},
		{[]string{"channel", "promote", version, "--stream", "nightly", "--declaration", lax}, exitRejected, "run slipway stream decide"},
		{[]string{"stream", "decide", version, "--declaration", lax}, exitDone, "Accepted"},
		{[]string{"channel", "promote", version, "--stream", "nightly", "--declaration", foreign}, exitUsage, "weekly"},
		{[]string{"channel", "promote", version, "--stream", "nightly", "--declaration", lax, "-o", "name"}, exitDone, "candidate\nearly"},
	} {
		out, errs, code := slipway(t, state, append(step.args, "--distro", distro)...)
		if code != step.code || !strings.Contains(out+errs, step.want) {
			t.Errorf("slipway %s: exit %d, want %d with %q\n%s%s", strings.Join(step.args, " "), code, step.code, step.want, out, errs)
		}
	}
}
