package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp/armor"

	"github.com/slipway-release/slipway/internal/oci/ocitest"
	"github.com/slipway-release/slipway/release/releasetest"
)

// rootPlace is a registry with two payloads, each with a trust root, whose signatures
// are in a store.
type rootPlace struct {
	*signPlace
	older, newer       string // by digest
	key, public, store string
}

func newRootPlace(t *testing.T) *rootPlace {
	t.Helper()
	p := &rootPlace{signPlace: newSignPlace(t), store: t.TempDir()}
	p.key, p.public = openPGPKey(t)
	data, err := os.ReadFile(p.public)
	if err != nil {
		t.Fatal(err)
	}
	keyring := strings.TrimSpace(armored(t, data))
	for version, into := range map[string]*string{"1.36.2": &p.older, "1.36.3": &p.newer} {
		spec := p.set.Payload(version)
		spec.Manifests = append(spec.Manifests, releasetest.File{Name: "0000_90_cvo_trust.yaml", Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: release-verification\n  namespace: openshift-config-managed\n  annotations:\n    release.openshift.io/verification-config-map: \"\"\ndata:\n  store-test: file://" + p.store + "\n  verifier-public-key-test: |\n    " + strings.ReplaceAll(keyring, "\n", "\n    ") + "\n")})
		digest, err := p.reg.Push(t.Context(), p.repository+":"+version, spec.Image(t))
		if err != nil {
			t.Fatal(err)
		}
		*into = p.repository + "@" + digest.String()
	}
	return p
}

func armored(t *testing.T, key []byte) string {
	t.Helper()
	var out bytes.Buffer
	w, err := armor.Encode(&out, "PGP PUBLIC KEY BLOCK", nil)
	if err == nil {
		_, err = w.Write(key)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// A payload is verified by what the one before it says, as a cluster does.
func TestTrustFrom(t *testing.T) {
	t.Parallel()
	p := newRootPlace(t)
	_, errs := p.run(t, exitRejected, "verify", p.newer, "--trust-from", p.older)
	contains(t, errs, "it is refused", "there is none")
	for _, ref := range []string{p.older, p.newer} {
		p.run(t, exitDone, "sign", ref, "--openpgp-key", p.key, "--store", p.store)
	}
	out, _ := p.run(t, exitDone, "verify", p.newer, "--trust-from", p.older)
	contains(t, out, p.newer+" is 1.36.3", "openpgp signature by", "is good")
	p.run(t, exitDone, "release", "info", p.newer, "--verify", "--trust-from", p.older)
	p.run(t, exitDone, "release", "extract", p.newer, "--file", "release-metadata", "--verify", "--trust-from", p.older)

	// Nobody vouches for himself, under whatever name.
	for _, args := range [][]string{{p.older, "--trust-from", p.older}, {p.repository + ":1.36.3", "--trust-from", p.newer}} {
		_, errs = p.run(t, exitRejected, append([]string{"verify"}, args...)...)
		contains(t, errs, "cannot vouch for itself")
	}
	// Nor does one that nobody can name for sure, or that says nothing.
	for says, args := range map[string][]string{
		"by its digest":          {"--trust-from", p.repository + ":1.36.2"},
		"no ConfigMap in it":     {"--trust-from", p.payload},
		"leave out --key":        {"--trust-from", p.older, "--key", "x"},
		"--policy":               {"--trust-from", p.older, "--policy", "x"},
		"there is no such image": {"--trust-from", p.repository + "@sha256:" + strings.Repeat("0", 64)},
		"no such file":           {"--trust-from", "oci:/nonexistent"},
	} {
		_, errs = p.run(t, exitUsage, append([]string{"verify", p.newer}, args...)...)
		contains(t, errs, says)
	}

	layout := filepath.Join(t.TempDir(), "older")
	p.run(t, exitDone, "release", "mirror", p.older, "--to-dir", layout, "--skip-verification")
	p.run(t, exitDone, "verify", p.newer, "--trust-from", "oci:"+layout)
}

// The signatures that were verified are kept for clusters that reach no store.
func TestMirrorKeepsSignatures(t *testing.T) {
	t.Parallel()
	p := newRootPlace(t)
	p.run(t, exitDone, "sign", p.newer, "--openpgp-key", p.key, "--store", p.store)
	target := ocitest.Registry(t)
	cluster := releasetest.NewOKD(t, "1.36.2", p.older, nil)
	dir := t.TempDir()
	_, hex, _ := strings.Cut(p.newer, "@sha256:")
	name := "sha256-" + hex
	file := filepath.Join(dir, "signature-sha256-"+hex[:16]+".json")
	path := "/api/v1/namespaces/openshift-config-managed/configmaps/" + name

	mirrored := []string{"release", "mirror", p.newer, "--to", target.Addr() + "/copy", "--trust-from", p.older, "--kubeconfig", cluster.Kubeconfig(t), "--apply-release-image-signature", "--release-image-signature-to-dir", dir}
	p.run(t, exitDone, append(mirrored, "--dry-run")...)
	if _, err := os.Stat(file); err == nil || cluster.Get(path) != nil {
		t.Error("a dry run kept signatures")
	}
	for range 2 {
		out, _ := p.run(t, exitDone, mirrored...)
		contains(t, out, "# Signatures are in "+file, "# Signatures are in ConfigMap openshift-config-managed/"+name)
		data := cluster.Get(path)["binaryData"].(releasetest.Object)
		if len(data) != 1 || data[name+"-1"] == nil {
			t.Errorf("the cluster has %v", data)
		}
	}
	data, err := os.ReadFile(file)
	if err != nil || !json.Valid(data) {
		t.Errorf("%v: %s", err, data)
	}
	// What was kept is enough for the next to verify by, without the store.
	p.run(t, exitDone, "verify", p.newer, "--openpgp-keyring", p.public, "--signature-config-map", file)
	// Where no flag says where signatures are, the payload does.
	other := t.TempDir()
	p.run(t, exitDone, "release", "mirror", p.newer, "--to", target.Addr()+"/other", "--skip-verification", "--release-image-signature-to-dir", other)
	if _, err := os.Stat(filepath.Join(other, filepath.Base(file))); err != nil {
		t.Error(err)
	}
	_, errs := p.run(t, exitHost, "release", "mirror", p.payload, "--to", target.Addr()+"/none", "--skip-verification", "--release-image-signature-to-dir", other)
	contains(t, errs, "no signature store has any")
}

func TestMirrorToImageStream(t *testing.T) {
	t.Parallel()
	p := newSignPlace(t)
	p.run(t, exitDone, "sign", p.payload)
	cluster := releasetest.NewCluster(t)
	var asked []string
	cluster.Answer = func(w http.ResponseWriter, r *http.Request, body releasetest.Object) bool {
		asked = append(asked, r.URL.Path)
		var said []any
		for range body["spec"].(releasetest.Object)["images"].([]any) {
			said = append(said, releasetest.Object{"status": releasetest.Object{"status": "Success"}})
		}
		body["status"] = releasetest.Object{"images": said}
		_ = json.NewEncoder(w).Encode(body)
		return true
	}
	kubeconfig := cluster.Kubeconfig(t)
	out, _ := p.run(t, exitDone, "release", "mirror", p.payload, "--to-image-stream", "okd", "--kubeconfig", kubeconfig)
	contains(t, out, "# The cluster imported "+signedVersion+" into image stream okd: 4 images")
	p.run(t, exitDone, "release", "mirror", p.payload, "--to-image-stream", "okd", "-n", "other", "--kubeconfig", kubeconfig, "--dry-run")
	want := []string{"/apis/image.openshift.io/v1/namespaces/builds/imagestreamimports", "/apis/image.openshift.io/v1/namespaces/other/imagestreamimports"}
	if strings.Join(asked, " ") != strings.Join(want, " ") {
		t.Errorf("asked were %q", asked)
	}
	_, public := keyPair(t)
	_, errs := p.run(t, exitRejected, "release", "mirror", p.payload, "--to-image-stream", "okd", "--kubeconfig", kubeconfig, "--key", public)
	contains(t, errs, "it is refused")
	if len(asked) != 2 {
		t.Error("the cluster was asked for a payload that is refused")
	}
}
