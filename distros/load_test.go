package distros_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/distros"
)

const goodDistro = `apiVersion: slipway.dev/v1alpha1
kind: Distribution
metadata:
  name: tiny
repository: registry.example.com/tiny
version: 1.2.3
payloadBase: base
versions:
  tool: v1.2.3
modules:
  example.com/tool:
    version: $(versions.tool)
    ldflags: ["-X main.minor=$(versions.tool.minor)", "-X main.commit=$(module.revision)"]
components:
- base
- tool
streams:
- name: nightly
  channels: [candidate]
  checks:
    blocking: [conformance]
    informing: [upgrade]
  upgrade:
    profiles:
      single: {apiGap: report}
channels:
- name: candidate
`

const goodBase = `apiVersion: slipway.dev/v1alpha1
kind: Component
metadata:
  name: base
layers:
- files:
    from: rootfs
`

const goodTool = `apiVersion: slipway.dev/v1alpha1
kind: Component
metadata:
  name: tool
from: base
versions:
  tool: $(versions.tool.number)
layers:
- go:
    module: example.com/tool
    programs:
      ./cmd/tool: /usr/bin/tool
`

// tiny is a distribution without mistakes; each edit replaces text in a file.
func tiny(t *testing.T, edits ...string) fstest.MapFS {
	t.Helper()
	files := map[string]string{
		"distro.yaml": goodDistro, "components/base/component.yaml": goodBase, "components/tool/component.yaml": goodTool,
		"components/base/rootfs/etc/motd": "hello\n",
	}
	for i := 0; i+2 < len(edits); i += 3 {
		name, old, with := edits[i], edits[i+1], edits[i+2]
		if !strings.Contains(files[name], old) {
			t.Fatalf("%q does not stand in %s", old, name)
		}
		files[name] = strings.Replace(files[name], old, with, 1)
	}
	fsys := fstest.MapFS{}
	for name, content := range files {
		if content != "" {
			fsys[name] = &fstest.MapFile{Data: []byte(content), Mode: 0o644}
		}
	}
	return fsys
}

func TestLoad(t *testing.T) {
	d, err := distros.LoadFS(tiny(t), "tiny")
	if err != nil {
		t.Fatal(err)
	}
	if d.Name != "tiny" || d.Repository != "registry.example.com/tiny" || d.Version != "1.2.3" || d.Platform != "linux/amd64" || d.PayloadBase != "base" {
		t.Errorf("read as %+v", d)
	}
	want := []distros.Stream{{
		Name: "nightly", Channels: []string{"candidate"},
		Checks:  distros.Checks{Blocking: []string{"conformance"}, Informing: []string{"upgrade"}},
		Upgrade: distros.Upgrade{Profiles: map[string]distros.UpgradeProfile{"single": {APIGap: "report"}}},
	}}
	if diff := cmp.Diff(want, d.Streams); diff != "" {
		t.Errorf("streams (-want +got):\n%s", diff)
	}
	tool := d.Component("tool")
	g := tool.Layers[0].Go
	if g.Version != "v1.2.3" || !slices.Equal(g.Ldflags, []string{"-X main.minor=2", "-X main.commit=$(module.revision)"}) {
		t.Errorf("the settings of the module did not reach the component: %+v", g)
	}
	if tool.Versions["tool"] != "1.2.3" || tool.Dir != "tiny/components/tool" || d.Component("none") != nil {
		t.Errorf("component read as %+v", tool)
	}
}

func TestUpgradeProfile(t *testing.T) {
	d, err := distros.LoadFS(tiny(t, "distro.yaml", "{apiGap: report}", `
        apiGap: report
        gaps: {kube-api-write: forbid, tcp: report}
        findings:
          rules: {node-not-ready: report}
          exceptions:
          - {rule: container-restarted, object: kube-system/*, reason: a bug, until: 2027-01-31}
          - {rule: container-killed, reason: another, until: "2027-02-28"}`), "tiny")
	if err != nil {
		t.Fatal(err)
	}
	p := d.Streams[0].Upgrade.Profiles["single"]
	if diff := cmp.Diff(map[string]string{"kube-api": "report", "kube-api-write": "forbid", "tcp": "report"}, p.AllGaps()); diff != "" {
		t.Errorf("gaps (-want +got):\n%s", diff)
	}
	want := distros.UpgradeFindings{Rules: map[string]string{"node-not-ready": "report"}, Exceptions: []distros.FindingException{
		{Rule: "container-restarted", Object: "kube-system/*", Reason: "a bug", Until: "2027-01-31"},
		{Rule: "container-killed", Reason: "another", Until: "2027-02-28"},
	}}
	if diff := cmp.Diff(want, p.Findings); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}

// TestMistakes makes one mistake after the other; the messages are the whole
// error.
func TestMistakes(t *testing.T) {
	const d, b, c = "distro.yaml", "components/base/component.yaml", "components/tool/component.yaml"
	for name, m := range map[string]struct {
		edits []string
		want  []string
	}{
		"tool of nobody":          {[]string{d, "channels:\n", "tools:\n- {name: x, component: nobody, path: x, platforms: [linux], archive: x}\nchannels:\n"}, []string{`tiny/distro.yaml:27: tools[0].component: must be one of the components, not "nobody"`, `tiny/distro.yaml:27: tools[0].path: must be an absolute path in the component's image, not "x"`, `tiny/distro.yaml:27: tools[0].platforms[0]: must be OS/ARCH such as linux/amd64, not "linux"`, `tiny/distro.yaml:27: tools[0].archive: must end in .tar.gz or .zip, not "x"`}},
		"channel with a bad name": {[]string{d, "channels:\n", "channels:\n- name: Stable_1\n"}, []string{`tiny/distro.yaml:27: channels[0].name: must be lower case letters, digits, dots and dashes such as stable-1.36, not "Stable_1"`}},
		"feeder without a rule": {[]string{d, "channels:\n", "channels:\n- name: stable-1.36\n  feeder: {channel: nobody, versions: \"=>1\"}\n"}, []string{
			`tiny/distro.yaml:28: channels[0].feeder: needs a delay or approvals; delay: 0s lets releases go on at once`,
			`tiny/distro.yaml:28: channels[0].feeder.versions: must be a range such as ">=1.36.0 <1.37.0", not "=>1": Could not parse Range "=>1": Could not parse comparator "=>" in "=>1"`,
			`tiny/distro.yaml:28: channels[0].feeder.channel: there is no channel "nobody"`,
		}},
		"feeders in a circle": {[]string{d, "channels:\n", "channels:\n- {name: a, feeder: {channel: b, delay: 1h}}\n- {name: b, feeder: {channel: a, approvals: 1}}\n"}, []string{`tiny/distro.yaml:27: channels[0].feeder.channel: channels feed each other in a circle: a ← b ← a`, `tiny/distro.yaml:28: channels[1].feeder.channel: channels feed each other in a circle: b ← a ← b`}},
		"channel's other fields": {[]string{d, "channels:\n", "graph: {untested: maybe, passes: 0}\nchannels:\n- {name: a, tombstones: [x], evidence: [nothing], freshFor: long, rollout: -1h}\n"}, []string{
			`tiny/distro.yaml:26: graph.untested: must be one of conditional, offer, omit, not "maybe"`,
			`tiny/distro.yaml:26: graph.passes: must be at least 1, not 0`,
			`tiny/distro.yaml:28: channels[0].tombstones[0]: must be a version, not "x"`,
			`tiny/distro.yaml:28: channels[0].evidence[0]: no stream has a check "nothing"`,
			`tiny/distro.yaml:28: channels[0].freshFor: must be a length of time such as 90m or 12h, not "long"`,
			`tiny/distro.yaml:28: channels[0].rollout: must be a length of time such as 90m or 12h, not "-1h"`,
		}},
		"unknown field":             {[]string{d, "version: 1.2.3\n", "version: 1.2.3\nregistry: x\n"}, []string{"tiny/distro.yaml:7: registry: is not a field; known here are apiVersion, channels, components, graph, kind, metadata, modules, payloadBase, platform, repository, streams, tools, version, versions"}},
		"unknown field in a recipe": {[]string{c, "    module:", "    modul: x\n    module:"}, []string{"tiny/components/tool/component.yaml:10: layers[0].go.modul: is not a field; known here are cgo, ldflags, libraries, localReplaces, module, programs, require, tags, version"}},
		"number for a string":       {[]string{d, "tool: v1.2.3", "tool: 1.2"}, []string{`tiny/distro.yaml:9: versions.tool: must be a string, not a number; write "1.2"`}},
		"string for a list":         {[]string{d, "channels: [candidate]", "channels: candidate"}, []string{"tiny/distro.yaml:19: streams[0].channels: must be a list, not a string"}},
		"list for a mapping":        {[]string{c, "  name: tool\n", "- tool\n"}, []string{"tiny/components/tool/component.yaml:4: metadata: must be a mapping of names to values, not a list"}},
		"string for a truth":        {[]string{c, "    programs:", "    cgo: \"yes\"\n    programs:"}, []string{"tiny/components/tool/component.yaml:11: layers[0].go.cgo: must be true or false, not a string"}},
		"field twice":               {[]string{c, "from: base\n", "from: base\nfrom: base\n"}, []string{"tiny/components/tool/component.yaml:6: from: stands here twice; the first time in line 5"}},
		"no value":                  {[]string{c, "from: base", "from:"}, []string{"tiny/components/tool/component.yaml:5: from: has no value"}},
		"no YAML":                   {[]string{c, "from: base", "from: [base"}, []string{"tiny/components/tool/component.yaml:4: did not find expected ',' or ']'"}},
		"two documents":             {[]string{b, "layers:", "---\nlayers:"}, []string{"tiny/components/base/component.yaml:5: there must be one document in this file, not several"}},
		"component twice":           {[]string{d, "- tool\n", "- tool\n- base\n"}, []string{`tiny/distro.yaml:17: components[2]: component "base" stands here twice`}},
		"component without folder":  {[]string{d, "- tool\n", "- tool\n- none\n"}, []string{`tiny/distro.yaml:17: components[2]: component "none" has no file components/none/component.yaml`}},
		"folder without component":  {[]string{d, "- tool\n", "", d, "modules:\n  example.com/tool:\n    version: $(versions.tool)\n    ldflags: [\"-X main.minor=$(versions.tool.minor)\", \"-X main.commit=$(module.revision)\"]\n", ""}, []string{`tiny/distro.yaml:10: components: component "tool" has a folder but is not in this list; add it or remove components/tool`}},
		"name unlike the folder":    {[]string{c, "name: tool", "name: other"}, []string{`tiny/components/tool/component.yaml:4: metadata.name: must be "tool" like the folder, not "other"`}},
		"dangling base":             {[]string{c, "from: base", "from: bose"}, []string{`tiny/components/tool/component.yaml:5: from: there is no component "bose"`}},
		"circle":                    {[]string{b, "layers:", "from: tool\nlayers:"}, []string{`tiny/components/base/component.yaml:5: from: components are based on each other in a circle: base → tool → base`}},
		"unknown version":           {[]string{c, "$(versions.tool.number)", "$(versions.toll)"}, []string{`tiny/components/tool/component.yaml:7: versions.tool: $(versions.toll): the versions of distro.yaml have no "toll"`}},
		"empty version":             {[]string{d, "tool: v1.2.3", "tool: \"\""}, []string{"tiny/distro.yaml:9: versions.tool: is empty"}},
		"unknown part":              {[]string{c, "$(versions.tool.number)", "$(versions.tool.micro)"}, []string{`tiny/components/tool/component.yaml:7: versions.tool: $(versions.tool.micro): a version has number, major, minor and patch, but no "micro"`}},
		"unknown reference":         {[]string{c, "$(versions.tool.number)", "$(params.x)"}, []string{`tiny/components/tool/component.yaml:7: versions.tool: $(params.x): only $(versions.NAME) and $(module.revision) can stand here`}},
		"bad version":               {[]string{d, "tool: v1.2.3", "tool: v1.2"}, []string{`tiny/components/tool/component.yaml:9: layers[0].go.version: must be a whole version such as v1.36.3, not "v1.2"`}},
		"two kinds of layer":        {[]string{c, "- go:", "- self: {program: /x}\n  go:"}, []string{"tiny/components/tool/component.yaml:9: layers[0]: must have exactly one of go, debian, files, moduleFiles, c, self; it has 2"}},
		"folder that is not there":  {[]string{b, "from: rootfs", "from: root"}, []string{`tiny/components/base/component.yaml:7: layers[0].files.from: there is no folder "root" in the component's folder`}},
		"way out of the folder":     {[]string{b, "from: rootfs", "from: ../tool"}, []string{`tiny/components/base/component.yaml:7: layers[0].files.from: must be a folder of the component, relative and without .. , not "../tool"`}},
		"relative program":          {[]string{c, "/usr/bin/tool", "usr/bin/tool"}, []string{`tiny/components/tool/component.yaml:12: layers[0].go.programs../cmd/tool: must be an absolute path in the image, not "usr/bin/tool"`}},
		"unclean package":           {[]string{c, "./cmd/tool", "cmd/tool"}, []string{"tiny/components/tool/component.yaml:12: layers[0].go.programs.cmd/tool: must be a package of the module, written . or ./cmd/name"}},
		"mode that is none":         {[]string{b, "from: rootfs", "from: rootfs\n    modes: {/etc/motd: \"888\"}"}, []string{`tiny/components/base/component.yaml:8: layers[0].files.modes./etc/motd: must be an octal mode such as "0755", not "888"`}},
		"payload base":              {[]string{d, "payloadBase: base", "payloadBase: none"}, []string{`tiny/distro.yaml:7: payloadBase: must be one of the components, not "none"`}},
		"repository":                {[]string{d, "registry.example.com/tiny", "Tiny"}, []string{`tiny/distro.yaml:5: repository: must be HOST/PATH such as registry.example.com/skiff, not "Tiny"`}},
		"release version":           {[]string{d, "version: 1.2.3", "version: v1.2"}, []string{`tiny/distro.yaml:6: version: must be a version such as 1.36.3, not "v1.2"`}},
		"other kind":                {[]string{d, "kind: Distribution", "kind: Cluster"}, []string{`tiny/distro.yaml:2: kind: must be "Distribution", not "Cluster"`}},
		"other schema":              {[]string{c, "slipway.dev/v1alpha1", "slipway.dev/v2"}, []string{`tiny/components/tool/component.yaml:1: apiVersion: must be "slipway.dev/v1alpha1", not "slipway.dev/v2"`}},
		"dangling channel":          {[]string{d, "[candidate]", "[candidate, stable]"}, []string{`tiny/distro.yaml:19: streams[0].channels[1]: there is no channel "stable"`}},
		"unknown check":             {[]string{d, "[conformance]", "[conformity]"}, []string{`tiny/distro.yaml:21: streams[0].checks.blocking[0]: must be one of conformance, upgrade, not "conformity"`}},
		"check both ways":           {[]string{d, "informing: [upgrade]", "informing: [conformance]"}, []string{`tiny/distro.yaml:22: streams[0].checks.informing[0]: check "conformance" is blocking already`}},
		"unknown profile":           {[]string{d, "single:", "double:"}, []string{`tiny/distro.yaml:25: streams[0].upgrade.profiles.double: must be single or ha, not "double"`}},
		"unknown consequence":       {[]string{d, "apiGap: report", "apiGap: ignore"}, []string{`tiny/distro.yaml:25: streams[0].upgrade.profiles.single.apiGap: must be report or forbid, not "ignore"`}},
		"unknown consequences": {[]string{d, "{apiGap: report}", "{gaps: {tcp: ignore, Kube: report}, findings: {rules: {a: maybe, a-: report}}}"}, []string{
			`tiny/distro.yaml:25: streams[0].upgrade.profiles.single.gaps.Kube: must be words of lower case letters and digits with dashes between them, such as kube-api, not "Kube"`,
			`tiny/distro.yaml:25: streams[0].upgrade.profiles.single.gaps.tcp: must be report or forbid, not "ignore"`,
			`tiny/distro.yaml:25: streams[0].upgrade.profiles.single.findings.rules.a: must be report or forbid, not "maybe"`,
			`tiny/distro.yaml:25: streams[0].upgrade.profiles.single.findings.rules.a-: must be words of lower case letters and digits with dashes between them, such as kube-api, not "a-"`,
		}},
		"consequence said twice": {[]string{d, "{apiGap: report}", "{apiGap: report, gaps: {kube-api: forbid}}"}, []string{`tiny/distro.yaml:25: streams[0].upgrade.profiles.single.apiGap: gaps.kube-api says the same; leave one of them out`}},
		"bare exception": {[]string{d, "{apiGap: report}", "{findings: {exceptions: [{rule: Node}, {rule: a, reason: b, until: soon}, {rule: a, reason: b, until: 2027-02-30}, {rules: a}]}}"}, []string{
			"tiny/distro.yaml:25: streams[0].upgrade.profiles.single.findings.exceptions[3].rules: is not a field; known here are object, reason, rule, until",
			`tiny/distro.yaml:25: streams[0].upgrade.profiles.single.findings.exceptions[0].rule: must be the id of a rule such as node-not-ready, not "Node"`,
			"tiny/distro.yaml:25: streams[0].upgrade.profiles.single.findings.exceptions[0].reason: is missing; it says why the finding is borne with",
			`tiny/distro.yaml:25: streams[0].upgrade.profiles.single.findings.exceptions[0].until: must be the last day of the exception such as 2027-01-31, not ""`,
			`tiny/distro.yaml:25: streams[0].upgrade.profiles.single.findings.exceptions[1].until: must be the last day of the exception such as 2027-01-31, not "soon"`,
			`tiny/distro.yaml:25: streams[0].upgrade.profiles.single.findings.exceptions[2].until: must be the last day of the exception such as 2027-01-31, not "2027-02-30"`,
			`tiny/distro.yaml:25: streams[0].upgrade.profiles.single.findings.exceptions[3].rule: must be the id of a rule such as node-not-ready, not ""`,
			"tiny/distro.yaml:25: streams[0].upgrade.profiles.single.findings.exceptions[3].reason: is missing; it says why the finding is borne with",
			`tiny/distro.yaml:25: streams[0].upgrade.profiles.single.findings.exceptions[3].until: must be the last day of the exception such as 2027-01-31, not ""`,
		}},
		"channel twice":              {[]string{d, "- name: candidate", "- name: candidate\n- name: candidate"}, []string{`tiny/distro.yaml:28: channels[1].name: channel "candidate" stands here twice`}},
		"module nobody uses":         {[]string{d, "modules:\n", "modules:\n  example.com/other: {version: v1.0.0}\n"}, []string{"tiny/distro.yaml:11: modules.example.com/other: no component is made of this module"}},
		"several, in several files":  {[]string{d, "kind: Distribution", "kind: X", c, "kind: Component", "kind: Y", b, "kind: Component", "kind: Z"}, []string{`tiny/components/base/component.yaml:2: kind: must be "Component", not "Z"`, `tiny/components/tool/component.yaml:2: kind: must be "Component", not "Y"`, `tiny/distro.yaml:2: kind: must be "Distribution", not "X"`}},
		"several, in the same field": {[]string{c, "/usr/bin/tool", "usr//bin", c, "./cmd/tool", "x"}, []string{"tiny/components/tool/component.yaml:12: layers[0].go.programs.x: must be a package of the module, written . or ./cmd/name", `tiny/components/tool/component.yaml:12: layers[0].go.programs.x: must be an absolute path in the image, not "usr//bin"`}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := distros.LoadFS(tiny(t, m.edits...), "tiny")
			var config *distros.ConfigError
			if !errors.As(err, &config) {
				t.Fatalf("error %v, want a ConfigError", err)
			}
			if diff := cmp.Diff(strings.Join(m.want, "\n"), config.Error()); diff != "" {
				t.Errorf("other messages (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoadOfNothing(t *testing.T) {
	if _, err := distros.Load(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want that distro.yaml does not exist", err)
	}
}

// TestSkiff loads the reference distribution as it is embedded, as it lies in the
// repository, and unpacked; all three are the same.
func TestSkiff(t *testing.T) {
	embedded, err := distros.LoadFS(distros.Embedded(), "skiff")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd", "pause", "machine-os", "haproxy", "coredns", "kube-proxy", "flannel", "agnhost", "slipway"} {
		if embedded.Component(name) == nil {
			t.Errorf("component %q is missing, and other packages know it by this name", name)
		}
	}
	dir := filepath.Join(t.TempDir(), "unpacked")
	if err := distros.Unpack(distros.Embedded(), dir); err != nil {
		t.Fatal(err)
	}
	if err := distros.Unpack(distros.Embedded(), dir); err == nil {
		t.Error("unpacked over what was there")
	}
	if _, err := distros.Load(dir); err != nil {
		t.Error(err)
	}
	want := tree(t, os.DirFS("skiff"))
	for where, fsys := range map[string]fs.FS{"embedded": distros.Embedded(), "unpacked": os.DirFS(dir)} {
		if diff := cmp.Diff(want, tree(t, fsys)); diff != "" {
			t.Errorf("%s is not what lies in the repository (-want +got):\n%s", where, diff)
		}
	}
}

func tree(t *testing.T, fsys fs.FS) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if !d.Type().IsRegular() {
			t.Errorf("%s is not a regular file; it cannot be embedded", p)
		}
		data, err := fs.ReadFile(fsys, p)
		out[p] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// FuzzLoad reads any two files; a mistake is a ConfigError with a line for every
// problem, and nothing panics.
func FuzzLoad(f *testing.F) {
	f.Add(goodDistro, goodTool)
	f.Add("components: [tool]\nmodules: {a: {}}\nversions: {a.b: v1}", "layers: [{go: {}}, {debian: {}}, {files: {}}, {moduleFiles: {}}, {c: {}}, {self: {}}]")
	f.Add("a: &a {b: *a}\n", "layers:\n- &x\n  go: *x\n")
	f.Fuzz(func(t *testing.T, distro, component string) {
		fsys := fstest.MapFS{
			"distro.yaml":                    {Data: []byte(distro)},
			"components/tool/component.yaml": {Data: []byte(component)},
			"components/base/component.yaml": {Data: []byte(goodBase)},
			"components/base/rootfs/x":       {},
		}
		_, err := distros.LoadFS(fsys, "fuzz")
		if err == nil {
			return
		}
		var config *distros.ConfigError
		if !errors.As(err, &config) || len(config.Problems) == 0 {
			t.Fatalf("error %v, want a ConfigError", err)
		}
		for _, p := range config.Problems {
			if p.Line < 1 || p.Message == "" {
				t.Fatalf("problem without line or message: %+v", p)
			}
		}
	})
}

// A folder from elsewhere stands in for one of the distribution's, and mistakes in it
// are reported where it is.
func TestWith(t *testing.T) {
	d, err := distros.LoadFS(tiny(t), "tiny")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(goodBase, "name: base", "name: base\n  description: another one", 1)
	other := distros.Folder{FS: fstest.MapFS{"component.yaml": {Data: []byte(text)}, "rootfs/a": {Data: []byte("a")}}, Path: "../mine"}
	changed, err := d.With(map[string]distros.Folder{"base": other})
	if err != nil {
		t.Fatal(err)
	}
	if r := changed.Component("base"); r.Metadata.Description != "another one" || r.Dir != "../mine" || changed.Component("tool").From != "base" {
		t.Errorf("got %+v", r)
	}
	if d.Component("base").Metadata.Description != "" {
		t.Error("the distribution itself was changed")
	}
	other.FS = fstest.MapFS{"component.yaml": {Data: []byte(strings.Replace(goodBase, "name: base", "nane: base", 1))}}
	if _, err := d.With(map[string]distros.Folder{"base": other}); err == nil || !strings.Contains(err.Error(), "../mine/component.yaml:4: metadata.nane") {
		t.Errorf("got %v", err)
	}
}
