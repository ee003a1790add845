package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/ocitest"
	"github.com/slipway-release/slipway/release/releasetest"
	"github.com/slipway-release/slipway/release/sign"
)

// infoPlace is a registry of others with two payloads, 4.15.0 and 4.15.1.
type infoPlace struct {
	server       *ocitest.Server
	registry     *oci.Registry
	set          *releasetest.Set
	older, newer string // pull specs by tag
	state        string
}

func newInfoPlace(t *testing.T) *infoPlace {
	t.Helper()
	p := &infoPlace{server: ocitest.Registry(t), state: t.TempDir()}
	address := p.server.Addr() + "/okd"
	p.set = releasetest.New(t, address, releasetest.Options{})
	var err error
	if p.registry, err = oci.NewRegistry(address, ""); err != nil {
		t.Fatal(err)
	}
	p.older, p.newer = address+"/release:4.15.0", address+"/release:4.15.1"
	for _, ref := range []string{p.older, p.newer} {
		payload := p.set.Payload(strings.TrimPrefix(ref, address+"/release:"))
		if ref == p.newer {
			payload.Previous = []string{"4.15.0"}
			payload.Manifests = payload.Manifests[1:]
			payload.Manifests = append(payload.Manifests, releasetest.File{Name: "0000_90_x_rbac.yaml", Data: []byte("apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: x}\nroleRef: {kind: ClusterRole, name: cluster-admin}\nsubjects: [{kind: User, name: x}]\n")})
		}
		if _, err := p.registry.Push(t.Context(), ref, payload.Image(t)); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func (p *infoPlace) run(t *testing.T, code int, args ...string) (stdout, stderr string) {
	t.Helper()
	out, errs, got := slipway(t, p.state, append([]string{"release"}, args...)...)
	if got != code {
		t.Errorf("slipway release %s: exit %d, want %d\n%s\n%s", strings.Join(args, " "), got, code, out, errs)
	}
	return out, errs
}

func TestReleaseInfo(t *testing.T) {
	t.Parallel()
	p := newInfoPlace(t)
	first := p.set.Components[0]

	out, errs := p.run(t, exitDone, "info", p.older)
	contains(t, out, "Name:      4.15.0\n", "OS/Arch:   linux/amd64\n", "Pull From: "+strings.TrimSuffix(p.older, ":4.15.0")+"@sha256:", first.Digest.String())
	if errs != "" {
		t.Errorf("standard error: %q", errs)
	}
	if _, err := os.Stat(filepath.Join(p.state, "store")); !errors.Is(err, os.ErrNotExist) {
		t.Error("looking at a payload of others opened the own registry")
	}
	for flag, want := range map[string]string{
		"--pullspecs": first.Reference, "--size": "across", "--contents": "# 0000_", "--commits": "COMMIT", "--commit-urls": "URL",
		"--image-for=" + first.Name: first.Reference + "\n", "-o=name": first.Name + "\n", "-o=digest": first.Digest.String() + "\n", "-o=pullspec": first.Reference + "\n",
		"-o=jsonpath={.displayVersions.kubernetes.Version}": releasetest.Version, "-o=jsonpath=.metadata.version": "4.15.0",
		"-o=go-template={{.metadata.version}}": "4.15.0", "-o=yaml": "\nversion: 4.15.0\n",
	} {
		out, _ := p.run(t, exitDone, "info", p.older, flag)
		contains(t, out, want)
	}
	out, _ = p.run(t, exitDone, "info", p.older, "--include-images", "-o", "json")
	var info struct {
		Images map[string]struct{ Digest string }
	}
	if err := json.Unmarshal([]byte(out), &info); err != nil || len(info.Images) != len(p.set.Components) {
		t.Errorf("%d images, %v", len(info.Images), err)
	}
	out, _ = p.run(t, exitDone, "info", p.older, p.newer, p.older)
	if got := strings.Count(out, "Pull From:"); got != 3 {
		t.Errorf("%d payloads are shown", got)
	}
	// One that is not there does not hide the other.
	out, errs = p.run(t, exitUsage, "info", p.older+"9", p.newer, p.older)
	contains(t, out, "4.15.1", "4.15.0")
	contains(t, errs, p.older+"9")

	layout := filepath.Join(t.TempDir(), "layout")
	l, err := oci.CreateLayout(layout)
	if err != nil {
		t.Fatal(err)
	}
	img, err := p.registry.Image(t.Context(), p.older)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Push(t.Context(), p.older, img); err != nil {
		t.Fatal(err)
	}
	l.Close()
	out, _ = p.run(t, exitDone, "info", "oci:"+layout)
	contains(t, out, "Name:      4.15.0\n", first.Digest.String())
}

func TestReleaseInfoMistakes(t *testing.T) {
	t.Parallel()
	p := newInfoPlace(t)
	for _, c := range []struct {
		code int
		args []string
		want string
	}{
		{exitUsage, []string{p.older, "-o", "xml"}, `"xml"`},
		{exitUsage, []string{p.older, "-o", "jsonpath={.a"}, "unclosed"},
		{exitUsage, []string{p.older, "-o", "jsonpath={.nothing}"}, "nothing"},
		{exitUsage, []string{p.older, "--image-for", "nobody"}, `"nobody"`},
		{exitUsage, []string{p.older, "--verify=everything"}, `"everything"`},
		{exitUsage, []string{p.older, "--forge", "a=svn"}, `"a=svn"`},
		{exitUsage, []string{p.older, p.newer, "--changes-from", p.older}, "--changes-from"},
		{exitUsage, []string{p.older, "--key", "x"}, "--verify"},
		{exitUsage, []string{p.older, "--changelog", "x"}, "--changes-from"},
		{exitUsage, []string{p.set.Components[0].Reference}, "release-manifests"},
		{exitHost, []string{"127.0.0.1:1/okd/release:4.15.0"}, "127.0.0.1:1"},
	} {
		out, errs := p.run(t, c.code, append([]string{"info"}, c.args...)...)
		contains(t, errs, c.want)
		if out != "" {
			t.Errorf("%q: standard output of a failure: %q", c.args, out)
		}
	}
}

// --verify fails closed: without a key, without a signature, and when a byte of a
// component is not what was signed.
func TestReleaseInfoVerify(t *testing.T) {
	t.Parallel()
	p := newInfoPlace(t)
	_, errs := p.run(t, exitUsage, "info", p.older, "--verify")
	contains(t, errs, "no public key")
	out, _ := p.run(t, exitDone, "info", p.older, "--verify=digests")
	contains(t, out, " 4.15.0  signature NOT checked")
	_, public := keyPair(t)
	_, errs = p.run(t, exitRejected, "info", p.older, "--verify", "--key", public)
	contains(t, errs, "refused")

	if out, errs, code := slipway(t, p.state, "sign", p.older); code != exitDone {
		t.Fatalf("%s\n%s", out, errs)
	}
	out, _ = p.run(t, exitDone, "info", p.older, "--verify")
	contains(t, out, "signature good", "layers not read")
	out, _ = p.run(t, exitDone, "info", p.older, "--verify=layers", "-o", "json")
	contains(t, out, `"layers": `, `"verdict": "Accepted"`)
	_, errs = p.run(t, exitRejected, "info", p.older, "--verify", "--key", public)
	contains(t, errs, "refused")

	own := p.set.Components[2].Layers[len(p.set.Components[2].Layers)-1]
	p.server.Inject(ocitest.Fault{On: ocitest.Match{Method: "GET", Kind: ocitest.Blob, Path: own.Hex}, Do: ocitest.WrongBytes()})
	_, errs = p.run(t, exitRejected, "info", p.older, "--verify=layers")
	contains(t, errs, "damaged", p.set.Components[2].Digest.String())
}

func TestReleaseDiff(t *testing.T) {
	t.Parallel()
	p := newInfoPlace(t)
	text, _ := p.run(t, exitDone, "diff", p.older, p.newer)
	contains(t, text, "4.15.0", "4.15.1", "Objects removed", "User x", "cluster-admin", "may do everything")
	for _, args := range [][]string{{"info", p.older, p.newer}, {"info", p.newer, "--changes-from", p.older}} {
		if out, _ := p.run(t, exitDone, args...); out != text {
			t.Errorf("%q prints something else than diff:\n%s", args, out)
		}
	}
	out, _ := p.run(t, exitDone, "diff", p.older, p.newer, "-o", "json")
	var d struct {
		From, To                        struct{ Digest string }
		ChangedImages, ChangedManifests map[string]any
		Upgradable                      bool
	}
	if err := json.Unmarshal([]byte(out), &d); err != nil || d.From.Digest == "" || d.ChangedImages == nil || len(d.ChangedManifests) == 0 || !d.Upgradable {
		t.Errorf("%+v, %v", d, err)
	}
	out, _ = p.run(t, exitDone, "diff", p.older, p.newer, "-o", "markdown")
	contains(t, out, "## 4.15.0 → 4.15.1", "<details")
	out, _ = p.run(t, exitDone, "diff", p.older, p.newer, "-o", "html")
	contains(t, out, "<!doctype html>", "cluster-admin")
	out, _ = p.run(t, exitDone, "diff", p.older, p.newer, "-o", "name")
	contains(t, out, "ClusterRoleBinding/x\n")

	_, errs := p.run(t, exitRejected, "diff", p.older, p.newer, "--fail-on", "risky-permissions,no-upgrade,images")
	contains(t, errs, ": risky-permissions\n")
	p.run(t, exitDone, "diff", p.older, p.older, "--fail-on", "permissions,removed,objects,images", "--exit-code")
	p.run(t, exitRejected, "diff", p.older, p.newer, "--exit-code")
	_, errs = p.run(t, exitUsage, "diff", p.older, p.newer, "--fail-on", "everything")
	contains(t, errs, `"everything"`, "removed")
	p.run(t, exitUsage, "diff", p.older)
}

// Packages come from statements that a trusted key signed; from others only with
// the word unverified.
func TestReleaseDiffPackages(t *testing.T) {
	t.Parallel()
	p := newInfoPlace(t)
	signer, err := sign.LoadOrCreateKey(filepath.Join(p.state, "keys"), "")
	if err != nil {
		t.Fatal(err)
	}
	component := p.set.Components[0]
	for ref, version := range map[string]string{p.older: "3.0.1", p.newer: "3.0.2"} {
		digest, err := p.registry.Resolve(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		payload := ref[:strings.LastIndex(ref, ":")] + "@" + digest.String()
		bill, err := sign.NewSBOM(sign.SBOMOptions{Name: version, Namespace: "https://example.com/" + version, Created: time.Now(), Tool: "test",
			Payload: sign.ImageContent{Component: "release", Reference: payload},
			Images: []sign.ImageContent{{Component: component.Name, Reference: component.Reference,
				Packages: []sign.Package{{Kind: "deb", Name: "openssl", Version: version, PURL: "pkg:deb/debian/openssl@" + version}}}}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := signer.Attest(t.Context(), p.registry, payload, sign.PredicateSBOM, bill); err != nil {
			t.Fatal(err)
		}
	}
	out, _ := p.run(t, exitDone, "diff", p.older, p.newer)
	contains(t, out, "of the older payload signed by key "+signer.KeyID(), "of the newer signed by key "+signer.KeyID(), "openssl  3.0.1  3.0.2  "+component.Name)
	if strings.Contains(out, "unverified") {
		t.Errorf("what is signed is called unverified:\n%s", out)
	}
	elsewhere := infoPlace{state: t.TempDir()}
	out, _ = elsewhere.run(t, exitDone, "diff", p.older, p.newer)
	contains(t, out, "of the older payload unverified, of the newer unverified", "openssl")
	if left, _ := filepath.Glob(filepath.Join(elsewhere.state, "*")); len(left) != 0 {
		t.Errorf("a comparison of payloads of others left %v", left)
	}
}
