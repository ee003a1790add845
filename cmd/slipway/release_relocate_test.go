package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/ocitest"
	"github.com/slipway-release/slipway/release"
	"github.com/slipway-release/slipway/release/releasetest"
)

// OKD's promotion: a nightly's components under a final name, at the place of finals.
func TestReleaseNewWithMirror(t *testing.T) {
	g := newGenerated(t)
	nightly := g.server.Addr() + "/out/nightly"
	target := ocitest.Registry(t)
	left := g.set.Components[len(g.set.Components)-1] // an operator that no other names
	content, finals := target.Addr()+"/okd/content", target.Addr()+"/okd/release"
	releaseNew(t, g, "-f", g.path("stream.json"), "--prune=false", "--name", "4.15.0", "--to-image", nightly)
	args := []string{"--from-release", nightly + ":4.15.0", "--name", "4.15.1", "--mirror", content, "--to-image", finals, "--exclude", left.Name}
	releaseNew(t, g, append(args, "--dry-run")...)
	if n := target.Total(ocitest.Match{Method: ocitest.Writes}).Requests; n > 0 {
		t.Errorf("a dry run sent %d writing requests", n)
	}
	made := releaseNew(t, g, args...)
	p := loadPayload(t, made.PullSpec)
	registry, err := oci.NewRegistry(content, "")
	if err != nil {
		t.Fatal(err)
	}
	if got := len(p.Components()); got != len(g.set.Components)-1 {
		t.Errorf("%d components", got)
	}
	for _, name := range p.Components() {
		image, _ := p.Image(name)
		if want := content + "@" + g.set.Component(t, name).Digest.String(); image != want {
			t.Errorf("%s is %q, want %q", name, image, want)
		}
		if _, err := registry.Image(t.Context(), image); err != nil {
			t.Error(err)
		}
		if _, err := registry.Descriptor(t.Context(), content+":4.15.1-x86_64-"+name); err != nil {
			t.Error(err)
		}
	}
	for _, f := range p.Manifests {
		if strings.Contains(string(f.Data), g.server.Addr()) {
			t.Errorf("%s names an image where it was", f.Name)
		}
	}
	if _, err := registry.Descriptor(t.Context(), content+"@"+left.Digest.String()); err == nil {
		t.Error("a component that was left out was copied")
	}
	mustRun(t, g.path("state"), "release", "info", made.PullSpec, "--verify=digests")
}

func loadPayload(t *testing.T, pullSpec string) *release.Payload {
	t.Helper()
	repository, _, _ := strings.Cut(pullSpec, "@")
	registry, err := oci.NewRegistry(repository, "")
	if err != nil {
		t.Fatal(err)
	}
	img, err := registry.Image(t.Context(), pullSpec)
	if err != nil {
		t.Fatal(err)
	}
	p, err := release.Load(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestReleaseNewFromAClustersImageStream(t *testing.T) {
	g := newGenerated(t)
	var stream releasetest.Object
	if err := json.Unmarshal(g.set.ImageStream(), &stream); err != nil {
		t.Fatal(err)
	}
	stream["metadata"] = releasetest.Object{"name": "4.15", "namespace": "origin"}
	cluster := releasetest.NewCluster(t)
	cluster.Put("/apis/image.openshift.io/v1/namespaces/origin/imagestreams/4.15", stream)
	kubeconfig := cluster.Kubeconfig(t)
	args := []string{"--from-image-stream", "4.15", "--kubeconfig", kubeconfig, "--name", "4.15.0"}
	dir := g.path("files")
	made := releaseNew(t, g, append(args, "-n", "origin", "--to-dir", dir)...)
	contains(t, string(made.References), `"release.openshift.io/from-image-stream": "origin/4.15"`)
	releaseNew(t, g, "-f", g.path("stream.json"), "--name", "4.15.0", "--to-dir", g.path("other"))
	checkSameFiles(t, g.path("other"), dir)

	// The kubeconfig's namespace has no such stream.
	out, errs, code := slipway(t, g.path("state"), append([]string{"release", "new"}, args...)...)
	if code != exitUsage || out != "" || !strings.Contains(errs, "no such ImageStream") {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
	_, errs, code = slipway(t, g.path("state"), append([]string{"release", "new", "-f", "x"}, args...)...)
	if code != exitUsage || !strings.Contains(errs, "--from-image-stream and --from-image-stream-file") {
		t.Errorf("exit %d, %q", code, errs)
	}
}
