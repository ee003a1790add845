package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/ocitest"
	"github.com/slipway-release/slipway/release/releasetest"
)

// okdPlace has two payloads as OKD's builds write them, manifest lists of Docker schema 2
// images, and so are their components.
type okdPlace struct {
	*signPlace
	address      string
	older, newer string // by tag
	newerDigest  string
}

func newOKDPlace(t *testing.T) *okdPlace {
	t.Helper()
	server := ocitest.Registry(t)
	p := &okdPlace{signPlace: &signPlace{repository: server.Addr() + "/okd/scos-release", state: t.TempDir()}, address: server.Addr() + "/okd"}
	var err error
	if p.reg, err = oci.NewRegistry(p.repository, ""); err != nil {
		t.Fatal(err)
	}
	p.set = releasetest.New(t, p.address, releasetest.Options{Components: 4, Operators: 2, Manifests: 3, Docker: true})
	p.set.ForPlatforms(t, "amd64", "arm64")
	for _, version := range []string{"4.19.0-okd-scos.16", "4.19.0-okd-scos.17"} {
		payload := p.set.Payload(version)
		payload.Previous = []string{"4.19.0-okd-scos.15"}
		tag := p.repository + ":" + version
		digest, err := p.reg.PushIndex(t.Context(), tag, payload.Index(t, "amd64", "arm64"))
		if err != nil {
			t.Fatal(err)
		}
		p.older, p.newer, p.newerDigest = p.newer, tag, digest.String()
	}
	return p
}

func TestEveryCommandReadsOKDPayloads(t *testing.T) {
	t.Parallel()
	p := newOKDPlace(t)
	component := p.set.Components[0]
	dir := t.TempDir()
	key, keyring := openPGPKey(t)
	store := t.TempDir()
	target := ocitest.Registry(t).Addr() + "/mirror"
	for _, c := range []struct {
		args []string
		code int
		want []string
	}{
		{[]string{"release", "info", p.newer}, exitDone, []string{"4.19.0-okd-scos.17", "multi (linux/amd64)", p.newerDigest, component.Digest.String()}},
		{[]string{"release", "info", p.newer, "--filter-by-os", "linux/arm64", "-o", "json"}, exitDone, []string{`"architecture": "arm64"`, p.newerDigest}},
		{[]string{"release", "info", p.newer, "--size"}, exitDone, []string{"across"}},
		{[]string{"release", "info", p.newer, "--contents"}, exitDone, []string{"# 0000_"}},
		{[]string{"release", "info", p.newer, "--image-for", component.Name}, exitDone, []string{component.Reference}},
		{[]string{"release", "info", p.newer, "--verify=layers", "--key", "x"}, exitUsage, nil},
		{[]string{"release", "info", p.newer, "--verify=digests"}, exitDone, []string{p.newerDigest, "signature NOT checked"}},
		{[]string{"release", "info", p.older, p.newer}, exitDone, []string{"okd-scos.16", "okd-scos.17"}},
		{[]string{"release", "diff", p.older, p.newer, "--exit-code"}, exitRejected, []string{"okd-scos.17"}},
		{[]string{"release", "changelog", p.older, p.newer, "--offline"}, exitDone, []string{"okd-scos.17"}},
		{[]string{"release", "extract", p.newer, "--to", filepath.Join(dir, "all")}, exitDone, []string{"Extracted"}},
		{[]string{"release", "extract", p.newer, "--file", "release-metadata"}, exitDone, []string{`"cincinnati-metadata-v0"`, `"multi"`}},
		{[]string{"release", "extract", p.newer, "--to", filepath.Join(dir, "some"), "--credentials-requests"}, exitDone, []string{"Extracted"}},
		{[]string{"release", "lint", p.newer, "--fail-on", "never", "-o", "sarif"}, exitDone, []string{`"2.1.0"`}},
		{[]string{"verify", p.newer, "--openpgp-keyring", keyring, "--signature-store", store}, exitRejected, nil},
		{[]string{"sign", p.newer, "--openpgp-key", key, "--store", store}, exitDone, []string{"signature-1"}},
		{[]string{"verify", p.newer, "--openpgp-keyring", keyring, "--signature-store", store}, exitDone, []string{"is good"}},
		{[]string{"release", "mirror", p.newer, "--to", target}, exitUsage, nil},
		{[]string{"sign", p.newer}, exitDone, nil},
		{[]string{"verify", p.newer}, exitDone, []string{"4.19.0-okd-scos.17"}},
		{[]string{"evidence", "list", p.newer}, exitDone, nil},
		{[]string{"release", "mirror", p.newer, "--to", target}, exitDone, []string{"ImageDigestMirrorSet", target + ":4.19.0-okd-scos.17-multi"}},
		{[]string{"release", "info", target + "@" + p.newerDigest, "--verify"}, exitDone, []string{p.newerDigest, "signature good"}},
		{[]string{"release", "mirror", p.newer, "--to-archive", filepath.Join(dir, "okd.tar")}, exitDone, nil},
		{[]string{"release", "mirror", "--from-archive", filepath.Join(dir, "okd.tar"), "--to", target + "/again"}, exitDone, []string{target + "/again"}},
		{[]string{"release", "info", "oci-archive:" + filepath.Join(dir, "okd.tar")}, exitDone, []string{p.newerDigest}},
		{[]string{"release", "mirror", p.newer, "--to", target + "/one", "--keep-manifest-list=false", "--skip-verification"}, exitDone, []string{":4.19.0-okd-scos.17-x86_64"}},
	} {
		out, errs := p.run(t, c.code, c.args...)
		contains(t, out, c.want...)
		if c.code == exitUsage && (out != "" || errs == "") {
			t.Errorf("%q: standard output %q, standard error %q", c.args, out, errs)
		}
	}
}

// What OKD made can be the start of what we make, in the formats that it came in.
func TestNewFromOKDPayload(t *testing.T) {
	t.Parallel()
	p := newOKDPlace(t)
	to := p.address + "/ours"
	p.run(t, exitDone, "release", "new", "--from-release", p.newer, "--name", "4.19.0-okd-scos.18", "--previous", "4.19.0-okd-scos.17,4.19.0-okd-scos.9",
		"--docker", "--keep-manifest-list", "--to-image-base-tag", releasetest.BaseName, "--to-image", to)
	out, _ := p.run(t, exitDone, "release", "info", to+":4.19.0-okd-scos.18")
	contains(t, out, "multi (linux/amd64)", "4.19.0-okd-scos.9, 4.19.0-okd-scos.17", p.set.Components[0].Digest.String())
	d, err := p.reg.Descriptor(t.Context(), to+":4.19.0-okd-scos.18")
	if err != nil || d.MediaType != types.DockerManifestList {
		t.Errorf("%+v, %v", d, err)
	}
	index, err := p.reg.Index(t.Context(), to+":4.19.0-okd-scos.18")
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil || len(manifest.Manifests) != 2 {
		t.Fatalf("%+v, %v", manifest, err)
	}
	for _, child := range manifest.Manifests {
		if img, err := index.Image(child.Digest); err != nil || child.MediaType != types.DockerManifestSchema2 {
			t.Errorf("%s is of %s, %v", child.Digest, child.MediaType, err)
		} else if mediaType, err := img.MediaType(); err != nil || mediaType != child.MediaType {
			t.Errorf("%s says it is of %s, the list says %s", child.Digest, mediaType, child.MediaType)
		}
	}
	// One platform of it, from files, without the list's mark.
	layout := filepath.Join(t.TempDir(), "layout")
	p.run(t, exitDone, "release", "new", "--from-release", to+":4.19.0-okd-scos.18", "--docker", "--to-layout", layout)
	out, _ = p.run(t, exitDone, "release", "extract", "oci:"+layout, "--file", "release-metadata")
	if strings.Contains(out, "architecture") {
		t.Errorf("a payload for one platform says it is for several: %s", out)
	}
	contains(t, out, "4.19.0-okd-scos.18")
}
