package main

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/slipway-release/slipway/distros"
	"github.com/slipway-release/slipway/internal/layer/layertest"
	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/ocitest"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/channels/graph"
)

// cutPipeline makes and signs a payload, and does nothing else.
const cutPipeline = `apiVersion: tekton.dev/v1
kind: Pipeline
metadata: {name: cut}
spec:
  params: [{name: version}, {name: stream}, {name: inputs}, {name: architectures, default: ""}, {name: distro}, {name: state-dir}]
  workspaces: [{name: work}]
  tasks:
  - name: make
    workspaces: [{name: work}]
    params:
    - {name: version, value: $(params.version)}
    - {name: stream, value: $(params.stream)}
    - {name: inputs, value: $(params.inputs)}
    - {name: architectures, value: $(params.architectures)}
    - {name: distro, value: $(params.distro)}
    - {name: state-dir, value: $(params.state-dir)}
    taskSpec:
      params: [{name: version}, {name: stream}, {name: inputs}, {name: architectures}, {name: distro}, {name: state-dir}]
      workspaces: [{name: work}]
      stepTemplate: {image: registry.slipway.internal/skiff/slipway, command: [slipway]}
      steps:
      - name: lock
        args: [lock, --lock-file=$(workspaces.work.path)/lock.json, --distro=$(params.distro), --state-dir=$(params.state-dir)]
      - name: build
        args: [build, --lock-file=$(workspaces.work.path)/lock.json, --images-file=$(workspaces.work.path)/images.json, --inputs=$(params.inputs), --architectures=$(params.architectures), --distro=$(params.distro), --state-dir=$(params.state-dir)]
      - name: assemble
        args: [release, new, --images=$(workspaces.work.path)/images.json, --name=$(params.version), --stream=$(params.stream), --architectures=$(params.architectures), --distro=$(params.distro), --state-dir=$(params.state-dir)]
      - name: sign
        args: [sign, $(params.version), --distro=$(params.distro), --state-dir=$(params.state-dir)]
`

const architectureStreams = `
- name: both
  architectures: [arm64, amd64]
  channels: [candidate]
  inputs: {components: {base: CI/base:main, op: CI/op:main}}
  cut: {when: changed}
  run: {pipeline: cut}
  checks: {blocking: [conformance]}
- name: arm
  architectures: [arm64]
  channels: [candidate]
  inputs: {stream: both}
  cut: {when: changed}
  run: {pipeline: cut}
  checks: {blocking: [conformance]}
channels:`

// pushList pushes a component as a list of images for architectures, whose manifests differ.
func pushList(t *testing.T, ref string, operator bool, architectures ...string) v1.Hash {
	t.Helper()
	var list v1.ImageIndex = mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arch := range architectures {
		labels := map[string]string{}
		entries := []layertest.Entry{layertest.File("component", ref+" for "+arch)}
		if operator {
			labels[release.LabelOperator] = "true"
			entries = append(entries, layertest.File("manifests/where.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: where, namespace: op}\ndata: {runs: on-"+arch+"}\n"))
		}
		img := layertest.Image(t, labels, layertest.Layer(t, entries...))
		config, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		config = config.DeepCopy()
		config.OS, config.Architecture = "linux", arch
		if img, err = mutate.ConfigFile(img, config); err != nil {
			t.Fatal(err)
		}
		list = mutate.AppendManifests(list, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}})
	}
	registry, err := oci.NewRegistry(ref[:strings.LastIndexByte(ref, '/')], "")
	if err != nil {
		t.Fatal(err)
	}
	digest, err := registry.PushIndex(t.Context(), ref, list)
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// One controller cuts payloads for several architectures and for another one than the
// host's, and clusters of each are offered what is for them.
func TestStreamsOfArchitectures(t *testing.T) {
	t.Parallel()
	distro, state := tinyDistribution(t), t.TempDir()
	ci := ocitest.Registry(t).Addr() + "/ci"
	pushList(t, ci+"/base:main", false, "amd64", "arm64", "s390x")
	op := pushList(t, ci+"/op:main", true, "amd64", "arm64")
	edit := func(name, old, with string) {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(distro, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(distro, name), []byte(strings.Replace(string(data), old, with, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	edit("distro.yaml", "\nchannels:", strings.ReplaceAll(architectureStreams, "CI", ci))
	if err := os.Mkdir(filepath.Join(distro, "pipelines"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(distro, "pipelines", "cut.yaml"), []byte(cutPipeline), 0o644); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		t.Helper()
		return mustRun(t, state, append(args, "--distro", distro)...)
	}
	show := func(stream string) streamState {
		t.Helper()
		var s streamState
		if err := json.Unmarshal([]byte(run("stream", "show", stream, "-o", "json")), &s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	cut := func(stream string) (version string, reason string) {
		t.Helper()
		_, errs, _ := slipway(t, state, "controller", "--stream", stream, "--once", "--distro", distro)
		s := show(stream)
		if len(s.Journal.Cuts) == 0 {
			t.Fatalf("nothing was cut of %q:\n%s", stream, errs)
		}
		c := s.Journal.Cuts[len(s.Journal.Cuts)-1]
		if c.End == nil {
			t.Fatalf("%s has not ended:\n%s", c.Version, errs)
		}
		if c.Payload == "" {
			return "", c.End.Reason
		}
		return c.Version.String(), ""
	}

	both, reason := cut("both")
	if both == "" {
		t.Fatal(reason)
	}
	c := show("both").Journal.Cuts[0]
	if !strings.HasSuffix(c.Inputs[1].Digest, "/op@"+op.String()) || len(c.Inputs[1].Images) != 2 || c.Inputs[1].Images["arm64"] == c.Inputs[1].Images["amd64"] || len(c.Inputs[0].Images) != 2 {
		t.Errorf("the journal has inputs %+v", c.Inputs)
	}
	for _, arch := range []string{"amd64", "arm64"} {
		out := run("release", "info", both, "--filter-by-os", "linux/"+arch, "--contents")
		if !strings.Contains(out, "on-"+arch) {
			t.Errorf("the payload for %s holds\n%s", arch, out)
		}
	}
	if out := run("release", "info", both); !strings.Contains(out, "multi (linux/amd64)") || !strings.Contains(out, "  linux/arm64") {
		t.Errorf("info tells\n%s", out)
	}
	work := filepath.Join(state, "runs", "both-"+both[strings.Index(both, "both-")+5:], "work")
	var made newPayload
	if err := json.Unmarshal([]byte(run("release", "new", "--images", filepath.Join(work, "images.json"), "--name", both, "--architectures", "arm64,amd64", "--dry-run", "-o", "json")), &made); err != nil {
		t.Fatal(err)
	}
	if made.Digest != c.Payload || !slices.Equal(made.Platforms, []string{"linux/amd64", "linux/arm64"}) {
		t.Errorf("cut again it is %s for %v, want %s", made.Digest, made.Platforms, c.Payload)
	}
	accept := func(version, stream string) {
		t.Helper()
		run("stream", "accept", version, "--reason", "tried by hand")
		run("channel", "promote", version, "--stream", stream)
	}
	accept(both, "both")

	arm, reason := cut("arm")
	if arm == "" {
		t.Fatal(reason)
	}
	if out := run("release", "info", arm, "--contents"); !strings.Contains(out, "on-arm64") {
		t.Errorf("the payload for arm64 holds\n%s", out)
	}
	if c := show("arm").Journal.Cuts[0]; c.Inputs[1].Images["arm64"] == "" || len(c.Inputs[1].Images) != 1 {
		t.Errorf("the journal has inputs %+v", c.Inputs)
	}
	accept(arm, "arm")

	offered := map[string][]string{"amd64": {both}, "multi": {both}, "arm64": {arm, both}}
	for arch, versions := range offered {
		var g graph.Graph
		if err := json.Unmarshal([]byte(run("graph", "--channel", "candidate", "--arch", arch, "-o", "json")), &g); err != nil {
			t.Fatal(err)
		}
		specs := map[string]string{}
		for _, n := range g.Nodes {
			specs[n.Version] = n.Payload
		}
		if got := slices.Sorted(maps.Keys(specs)); !slices.Equal(got, versions) || !strings.HasSuffix(specs[both], "/release@"+c.Payload) {
			t.Errorf("offered to %s are %v, want %v with %s", arch, specs, versions, c.Payload)
		}
	}
	if out := run("channel", "show", "candidate"); !strings.Contains(out, "for amd64, arm64") || !strings.Contains(out, "for arm64") {
		t.Errorf("the channel is shown as\n%s", out)
	}

	served := startServe(t, "--distro", distro, "--state-dir", state)
	for arch, versions := range offered {
		served.until(t, "/graph?channel=candidate&arch="+arch, 200, `"version":"`+versions[len(versions)-1]+`","payload":"registry.example.com/tiny/release@`+c.Payload)
	}
	served.until(t, "/channels/candidate", 200, "for amd64, arm64")
	served.until(t, "/releasetag/"+both, 200, "by the same pull spec")
	served.until(t, "/releasetag/"+arm, 200, "<dd>arm64</dd>")

	if s := show("both"); s.Next.Cut {
		t.Errorf("it is to be cut again: %+v", s.Next)
	}
	pushList(t, ci+"/op:main", true, "amd64")
	if version, reason := cut("both"); version != "" || !strings.Contains(reason, `component "op"`) || !strings.Contains(reason, "no image for arm64") {
		t.Errorf("made was %q, %q", version, reason)
	}
	if s := show("both"); s.Next.Cut {
		t.Errorf("what failed is to be cut again: %+v", s.Next)
	}
}

// With a payload of several architectures go its images, and nothing else.
func TestDeleteOfArchitectures(t *testing.T) {
	t.Parallel()
	server := ocitest.Registry(t)
	repository := server.Addr() + "/tiny"
	registry, err := oci.NewRegistry(repository, "")
	if err != nil {
		t.Fatal(err)
	}
	version, err := release.Parse("1.2.3-0.nightly-2026-11-20-101500")
	if err != nil {
		t.Fatal(err)
	}
	kept := pushList(t, repository+"/release:1.2.3-0.nightly-2026-11-19-101500", true, "amd64", "arm64")
	list := pushList(t, repository+"/release:"+version.Tag(), false, "amd64", "arm64")
	index, err := registry.Index(t.Context(), repository+"/release@"+list.String())
	if err != nil {
		t.Fatal(err)
	}
	gone := []string{list.String()}
	images, err := oci.PlatformsOf(index)
	if err != nil || len(images) != 2 {
		t.Fatalf("%d images, %v", len(images), err)
	}
	for _, d := range images {
		gone = append(gone, d.Digest.String())
	}
	p := &payloads{world: &world{registry: registry, distro: &distros.Distribution{Repository: repository}}}
	for range 2 {
		if err := p.Delete(t.Context(), version, list.String()); err != nil {
			t.Fatal(err)
		}
	}
	for _, digest := range gone {
		if _, err := registry.Resolve(t.Context(), repository+"/release@"+digest); !errors.Is(err, oci.ErrNotFound) {
			t.Errorf("%s is still there: %v", digest, err)
		}
	}
	if _, err := oci.AnyImage(t.Context(), registry, repository+"/release@"+kept.String(), hostPlatform()); err != nil {
		t.Error(err)
	}
}
