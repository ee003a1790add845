package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// chained are channels that feed each other, in place of the one that there was.
const chained = `channels:
- name: candidate
- name: early
  feeder: {channel: candidate, delay: 1000h, approvals: 1}
- name: stable
  feeder: {channel: early, delay: 0s}
  rollout: 48h
- name: proven
  feeder: {channel: candidate, delay: 0s}
  evidence: [conformance]
`

// A release goes from its stream's channel along the feeders once somebody approves it,
// is rolled out there, and bears a risk that is declared.
func TestChannelCommands(t *testing.T) {
	t.Parallel()
	distro, state, version := signedTiny(t)
	file := filepath.Join(distro, "distro.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	edited := strings.Replace(string(text), "channels:\n- name: candidate\n", chained, 1)
	if edited == string(text) {
		t.Fatalf("distro.yaml declares other channels than this test replaces:\n%s", text)
	}
	if err := os.WriteFile(file, []byte(edited), 0o644); err != nil {
		t.Fatal(err)
	}
	risk := []string{"channel", "block", "SlowStart", "--to", ">=1.0.0", "--url", "https://example.com/1", "--message", "It is slow."}
	for _, step := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"channel", "plan"}, exitDone, "no release waits"},
		{[]string{"stream", "accept", version, "--by", "ann", "--reason", "for this test"}, exitDone, "is Accepted"},
		{[]string{"channel", "promote", version, "--stream", "nightly"}, exitDone, "candidate: version " + version},
		{[]string{"channel", "plan"}, exitDone, version + " is held from early by delay"},
		{[]string{"channel", "plan"}, exitDone, version + " is held from proven by evidence-missing: No evidence shows that it passed conformance."},
		{[]string{"channel", "plan", "--at", "2100-01-01T00:00:00Z"}, exitDone, version + " would enter early, from candidate"},
		{[]string{"channel", "plan", "--at", "soon"}, exitUsage, "reading --at"},
		{[]string{"channel", "plan", "0.0.9"}, exitUsage, "0.0.9"},
		{[]string{"channel", "promote", "--apply"}, exitDone, version + " is held from early"},
		{[]string{"channel", "show", "early"}, exitDone, "early: 0 versions, 0 edges\nfed by candidate, after 1000h or with 1 approvals"},
		{[]string{"channel", "approve", version, "--channel", "stable", "--reason", "x"}, exitUsage, "no approval lets a release into"},
		{[]string{"channel", "approve", version, "--channel", "early", "--by", "ann", "--reason", "it is urgent", "--dry-run"}, exitDone, "would be done"},
		{[]string{"channel", "plan"}, exitDone, "held from early"},
		{[]string{"channel", "approve", version, "--channel", "early", "--by", "ann", "--reason", "it is urgent"}, exitDone, "is approved for channel early by ann"},
		{[]string{"channel", "promote"}, exitDone, version + " would enter early, from candidate since"},
		{[]string{"channel", "show", "early"}, exitDone, "0 versions"},
		{[]string{"channel", "promote", version, "--apply"}, exitDone, version + " entered stable, from early"},
		{[]string{"channel", "promote", "--apply", "-o", "name"}, exitDone, ""},
		{[]string{"channel", "diff", "candidate", "stable"}, exitDone, "candidate and stable hold the same"},
		{[]string{"channel", "diff", "candidate", "proven"}, exitDone, "- " + version},
		{[]string{"channel", "diff", "candidate", "none"}, exitUsage, `no channel "none"`},
		{[]string{"channel", "show", "stable"}, exitDone, "open to 0 % of clusters"},
		{[]string{"channel", "rollout", version, "--channel", "stable", "--halt"}, exitDone, "is halted"},
		{[]string{"channel", "rollout", version, "--channel", "stable", "--halt"}, exitDone, "nothing to change"},
		{[]string{"channel", "rollout", version, "--channel", "stable", "--resume", "--dry-run"}, exitDone, "goes on"},
		{[]string{"channel", "rollout", version, "--channel", "stable", "--all"}, exitDone, "is open to all clusters"},
		{[]string{"channel", "rollout", version, "--channel", "stable", "--halt"}, exitUsage, "is not being rolled out"},
		{[]string{"channel", "rollout", version, "--channel", "stable"}, exitUsage, "over"},
		{[]string{"channel", "rollout", "9.9.9", "--channel", "stable", "--over", "1h"}, exitUsage, "does not hold"},
		{[]string{"channel", "rollout", version, "--channel", "none", "--all"}, exitUsage, "no such channel"},
		{[]string{"channel", "remove", version, "--channel", "stable", "--by", "ann", "--reason", "it was too early"}, exitUsage, `held by contradiction: It is to leave the channel, and channel "early" would bring it in again`},
		{[]string{"channel", "remove", version, "--channel", "stable"}, exitUsage, "reason"},
		{[]string{"channel", "remove", version, "--channel", "proven", "--reason", "x"}, exitUsage, "does not hold it"},
		{[]string{"channel", "remove", version, "--channel", "none", "--reason", "x"}, exitUsage, `no channel "none"`},
		{append(risk, "--promql", "sum("), exitUsage, "parse error"},
		{append(risk, "--dry-run"), exitDone, "risks/SlowStart.yaml would be written"},
		{risk, exitDone, "concerns upgrades to " + version},
		{[]string{"channel", "unblock", "Other"}, exitUsage, "no such risk"},
		{[]string{"graph", "--channel", "stable"}, exitDone, version},
		{[]string{"channel", "unblock", "SlowStart", "--fixed-in", "0.0.1"}, exitDone, "risks/SlowStart.yaml written"},
		{[]string{"channel", "unblock", "SlowStart"}, exitDone, "risks/SlowStart.yaml removed"},
	} {
		out, errs, code := slipway(t, state, append(step.args, "--distro", distro)...)
		if code != step.code || !strings.Contains(out+errs, step.want) {
			t.Errorf("slipway %s: exit %d, want %d with %q\n%s%s", strings.Join(step.args, " "), code, step.code, step.want, out, errs)
		}
	}
	if out := mustRun(t, state, "channel", "promote", "--apply", "-o", "name", "--distro", distro); out != "" {
		t.Errorf("what was promoted is promoted again: %q", out)
	}
	var view channelView
	if err := json.Unmarshal([]byte(mustRun(t, state, "channel", "show", "stable", "-o", "json", "--distro", distro)), &view); err != nil {
		t.Fatal(err)
	}
	if len(view.Versions) != 1 || view.Versions[0].Share != 1 || view.Feeder == nil || len(view.Rollouts) != 0 {
		t.Errorf("channel stable is %+v", view)
	}

	// With a tombstone in the feeder, it may leave.
	buried := strings.Replace(edited, "- name: early\n", "- name: early\n  tombstones: ["+version+"]\n", 1)
	if err := os.WriteFile(file, []byte(buried), 0o644); err != nil {
		t.Fatal(err)
	}
	remove := []string{"channel", "remove", version, "--channel", "stable", "--by", "ann", "--reason", "it was too early", "--distro", distro}
	for _, step := range []struct {
		args []string
		want string
	}{
		{append(remove, "--dry-run"), "would be done: " + version + " is removed from channel stable by ann"},
		{[]string{"channel", "show", "stable", "--distro", distro}, "stable: 1 versions"},
		{remove, version + " is removed from channel stable by ann"},
		{remove, "has left channel stable already"},
		{[]string{"channel", "show", "stable", "--distro", distro}, "by ann: it was too early"},
		{[]string{"channel", "promote", "--apply", "--distro", distro}, version + " is held from stable by tombstone"},
		{[]string{"channel", "diff", "early", "stable", "--distro", distro}, "- " + version},
	} {
		if out := mustRun(t, state, step.args...); !strings.Contains(out, step.want) {
			t.Errorf("slipway %s: want %q\n%s", strings.Join(step.args, " "), step.want, out)
		}
	}
	out := mustRun(t, state, "evidence", "list", version, "--distro", distro)
	for _, kind := range []string{predicatePromotion, predicateApproval, predicateRemoval} {
		if strings.Count(out, kind) != 1 {
			t.Errorf("%s is not there once:\n%s", kind, out)
		}
	}
}

// A file that cannot be understood ends whatever would offer upgrades without it.
func TestBrokenRiskIsNoRiskLess(t *testing.T) {
	t.Parallel()
	distro, state, version := signedTiny(t)
	if err := os.MkdirAll(filepath.Join(distro, "channels", "risks"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"version": "1.1.0\n", "risks/Bad.yaml": "to: [\n"} {
		if err := os.WriteFile(filepath.Join(distro, "channels", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"graph", "--channel", "candidate"}, {"channel", "plan"}} {
		_, errs, code := slipway(t, state, append(args, "--distro", distro)...)
		if code != exitUsage || !strings.Contains(errs, "risks/Bad.yaml:1") {
			t.Errorf("slipway %s: exit %d: %s", strings.Join(args, " "), code, errs)
		}
	}
	mustRun(t, state, "stream", "accept", version, "--by", "ann", "--reason", "for this test", "--distro", distro)
}
