package distros_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/distros"
)

const weekly = `apiVersion: slipway.dev/v1alpha1
kind: Stream
spec:
  name: weekly
  base: 1.3.0
  channels: [candidate]
  inputs: {stream: nightly}
  cut: {when: changed, schedule: "0 2 * * 1", cooldown: 12h, maxUnfinished: 2, supersede: true}
  run: {pipeline: nightly, params: {profile: ha}}
  retries: {limit: 5, backoff: 30s, max: 5m}
  checks:
    blocking: [conformance, soak]
    pipelines:
      soak:
        pipeline: soak
        params: {to: "{payload}", from: "{source.payload}"}
        from: "range: >=1.0.0 <2.0.0"
        none: reject
  retain: {accepted: 5, others: 3, age: 72h}
  frozen: until the release
`

func withStream(t *testing.T, old, with string) fstest.MapFS {
	t.Helper()
	files := tiny(t)
	if !strings.Contains(weekly, old) {
		t.Fatalf("there is no %q", old)
	}
	files["streams/weekly.yaml"] = &fstest.MapFile{Data: []byte(strings.Replace(weekly, old, with, 1))}
	return files
}

func TestStreamFile(t *testing.T) {
	d, err := distros.LoadFS(withStream(t, "", ""), "tiny")
	if err != nil {
		t.Fatal(err)
	}
	s := d.Stream("weekly")
	if s == nil || s.Cut.MaxUnfinished != 2 || !s.Cut.Supersede || s.Checks.Pipelines["soak"].None != "reject" || s.Retain.Accepted != 5 {
		t.Errorf("stream is %+v", s)
	}
}

func TestStreamMistakes(t *testing.T) {
	for name, m := range map[string]struct{ old, with, want string }{
		"when":           {"when: changed", "when: often", `8: spec.cut.when: must be one of changed, schedule, always, manual, not "often"|8: spec.cut.schedule: has no meaning unless when is schedule or changed`},
		"schedule":       {`"0 2 * * 1"`, `"0 25 * * 1"`, `8: spec.cut.schedule: must be five fields of cron such as 0 2 * * *, not "0 25 * * 1": end of range (25) above maximum (23): 25`},
		"a time zone":    {`"0 2 * * 1"`, `"TZ=Europe/Paris"`, `8: spec.cut.schedule: is in UTC and takes no time zone; write five fields of cron such as 0 2 * * *, not "TZ=Europe/Paris"`},
		"no schedule":    {`when: changed, schedule: "0 2 * * 1"`, "when: schedule", "8: spec.cut.schedule: is missing; it says when, as cron does: 0 2 * * *"},
		"cooldown":       {"12h", "12", `8: spec.cut.cooldown: must be a string, not a number; write "12"`},
		"no length":      {"12h", "soon", `8: spec.cut.cooldown: must be a length of time such as 90m or 12h, not "soon"`},
		"no number":      {"maxUnfinished: 2", "maxUnfinished: many", "8: spec.cut.maxUnfinished: must be a whole number, not a string"},
		"negative":       {"maxUnfinished: 2", "maxUnfinished: -2", "8: spec.cut.maxUnfinished: must not be negative"},
		"two inputs":     {"{stream: nightly}", "{stream: nightly, lock: distro.lock}", "7: spec.inputs: must be one of lock, components and stream, not several"},
		"own input":      {"{stream: nightly}", "{stream: weekly}", "7: spec.inputs.stream: a stream cannot be made of itself"},
		"no such stream": {"{stream: nightly}", "{stream: daily}", `7: spec.inputs.stream: there is no stream "daily"`},
		"lock":           {"{stream: nightly}", "{lock: ../x}", `7: spec.inputs.lock: must be a file below this folder such as distro.lock, not "../x"`},
		"component":      {"{stream: nightly}", "{components: {none: x}}", `7: spec.inputs.components.none: there is no component "none"|7: spec.inputs.components.none: must be a repository with a tag such as registry.example.com/ci/etcd:main, not "x"`},
		"architecture":   {"base: 1.3.0", "architectures: [amd64, aarch64, amd46, sparc, amd64, multi]", `5: spec.architectures[1]: there is no architecture "aarch64"; did you mean arm64?|5: spec.architectures[2]: there is no architecture "amd46"; did you mean amd64?|5: spec.architectures[3]: there is no architecture "sparc"; there are 386, amd64, arm, arm64, loong64, mips64le, ppc64le, riscv64, s390x|5: spec.architectures[4]: architecture "amd64" stands here twice|5: spec.architectures[5]: must list the architectures of the manifest list, such as [amd64, arm64], not "multi"`},
		"not fed":        {"base: 1.3.0", "architectures: [amd64, arm64]", `5: spec.architectures: stream "nightly", of which it is made, is not cut for "arm64", but for amd64`},
		"own components": {"  inputs: {stream: nightly}", "  architectures: [arm64]", "7: spec.architectures: need inputs.components or inputs.stream: components that are built here are built for amd64 alone"},
		"one is built":   {"base: 1.3.0\n  channels: [candidate]\n  inputs: {stream: nightly}", "architectures: [arm64]\n  inputs: {components: {tool: registry.example.com/ci/tool:main}}", `5: spec.architectures: component "base" is not among inputs.components, and is built here for amd64 alone; name a repository for it`},
		"publish":        {"base: 1.3.0", "publish: [{mirror: skiff/release}, {mirror: 'registry.example.com/skiff:1'}, {tag: x}, {mirror: registry.example.com/copies, tag: No}, {mirror: registry.example.com/copies}, {mirror: registry.example.com/tiny/copies}]", `5: spec.publish[0].mirror: must be a repository without a tag such as registry.example.com/skiff/release, not "skiff/release"|5: spec.publish[1].mirror: must be a repository without a tag such as registry.example.com/skiff/release, not "registry.example.com/skiff:1"|5: spec.publish[2].mirror: is missing; it is a repository such as registry.example.com/skiff/release|5: spec.publish[3].tag: must be a DNS label such as latest, not "No"|5: spec.publish[4].mirror: repository "registry.example.com/copies" stands here twice|5: spec.publish[5].mirror: must lie outside the distribution's own repository "registry.example.com/tiny", not be "registry.example.com/tiny/copies"`},
		"publish what":   {"base: 1.3.0", "publish: [{mirror: registry.example.com/copies, to: x}]", "5: spec.publish[0].to: is not a field; known here are mirror, tag"},
		"selector":       {"range: >=1.0.0 <2.0.0", "newest", `17: spec.checks.pipelines.soak.from: must be previous, previous-1, previous-patch, previous-minor, range: RANGE, channel: NAME or payload: VERSION, not "newest"`},
		"range":          {">=1.0.0 <2.0.0", "new", `17: spec.checks.pipelines.soak.from: must have a range such as range: >=1.35.0 <1.36.0, not "new": Could not get version from string: "new"`},
		"channel":        {"range: >=1.0.0 <2.0.0", "channel: stable", `17: spec.checks.pipelines.soak.from: there is no channel "stable"`},
		"none":           {"none: reject", "none: maybe", `18: spec.checks.pipelines.soak.none: must be allow or reject, not "maybe"`},
		"no source":      {"        from: \"range: >=1.0.0 <2.0.0\"\n", "", "16: spec.checks.pipelines.soak.params.from: speaks of a source, and there is no from"},
		"unlisted check": {"[conformance, soak]", "[conformance]", `14: spec.checks.pipelines.soak: check "soak" is neither blocking nor informing`},
		"other name":     {"name: weekly", "name: monthly", `4: spec.name: must be "weekly" like the file, not "monthly"`},
		"same name":      {"name: weekly", "name: nightly", `4: spec.name: must be "weekly" like the file, not "nightly"|4: spec.name: stream "nightly" stands here twice|7: spec.inputs.stream: a stream cannot be made of itself`},
		"base":           {"base: 1.3.0", "base: v1.3", `5: spec.base: must be three numbers such as 1.36.3, not "v1.3"`},
		"tag":            {"base: 1.3.0", "tag: 1.3.0", `5: spec.tag: must be a DNS label such as latest, not "1.3.0"`},
		"stable":         {"base: 1.3.0", "stable: true", fmt.Sprintf("7: spec.inputs: %[1]s|8: spec.cut: %[1]s|9: spec.run: %[1]s|10: spec.retries: %[1]s|13: spec.checks.pipelines: %[1]s|19: spec.retain: %[1]s|20: spec.frozen: %[1]s", "must be left out of a stable stream: nothing is cut of it, and nothing of it deleted")},
		"kind":           {"kind: Stream", "kind: Cut", `2: kind: must be "Stream", not "Cut"`},
		"unknown field":  {"  retain:", "  retained: 3\n  retain:", "19: spec.retained: is not a field; known here are architectures, base, channels, checks, cut, frozen, inputs, name, publish, retain, retries, run, stable, tag, upgrade"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := distros.LoadFS(withStream(t, m.old, m.with), "tiny")
			var config *distros.ConfigError
			if !errors.As(err, &config) {
				t.Fatalf("error %v, want a ConfigError", err)
			}
			want := "tiny/streams/weekly.yaml:" + strings.ReplaceAll(m.want, "|", "\ntiny/streams/weekly.yaml:")
			if diff := cmp.Diff(want, config.Error()); diff != "" {
				t.Errorf("other messages (-want +got):\n%s", diff)
			}
		})
	}
}
