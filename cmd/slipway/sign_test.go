package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	pgp "github.com/ProtonMail/go-crypto/openpgp/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/internal/oci/ocitest"
	"github.com/slipway-release/slipway/release/releasetest"
	"github.com/slipway-release/slipway/release/sign"
	"github.com/slipway-release/slipway/release/sign/openpgp"
	"github.com/slipway-release/slipway/release/sign/policy"
)

const signedVersion = "1.36.3-0.nightly-2026-11-20-101500"

// signPlace is a foreign registry with a payload of a small set of components.
type signPlace struct {
	repository string
	reg        *oci.Registry
	payload    string // by digest
	tag        string
	set        *releasetest.Set
	state      string
}

func newSignPlace(t *testing.T) *signPlace {
	t.Helper()
	server := ocitest.Registry(t)
	p := &signPlace{repository: server.Addr() + "/okd/release", state: t.TempDir()}
	var err error
	if p.reg, err = oci.NewRegistry(p.repository, ""); err != nil {
		t.Fatal(err)
	}
	p.set = releasetest.New(t, server.Addr()+"/okd", releasetest.Options{Components: 3, Operators: 1, Manifests: 1})
	p.tag = p.repository + ":" + signedVersion
	digest, err := p.reg.Push(t.Context(), p.tag, p.set.Payload(signedVersion).Image(t))
	if err != nil {
		t.Fatal(err)
	}
	p.payload = p.repository + "@" + digest.String()
	return p
}

// run checks the exit code, and returns what was printed.
func (p *signPlace) run(t *testing.T, code int, args ...string) (out, errs string) {
	t.Helper()
	out, errs, got := slipway(t, p.state, args...)
	if got != code {
		t.Errorf("slipway %s: exit %d, want %d\n%s%s", strings.Join(args, " "), got, code, out, errs)
	}
	return out, errs
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q lacks %q", text, part)
		}
	}
}

// keyPair makes a key pair as cosign does, with the password "x".
func keyPair(t *testing.T) (private, public string) {
	t.Helper()
	dir := t.TempDir()
	if _, err := sign.LoadOrCreateKey(dir, "x"); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "cosign.key"), filepath.Join(dir, "cosign.pub")
}

func TestSignAndVerifyForeignPayload(t *testing.T) {
	t.Parallel()
	p := newSignPlace(t)
	out, errs := p.run(t, exitUsage, "verify", p.tag)
	contains(t, errs, "no public key", "--key")
	if out != "" {
		t.Errorf("standard output of a failure: %q", out)
	}
	out, _ = p.run(t, exitDone, "sign", p.tag, "--dry-run")
	contains(t, out, p.payload+" would be signed as version "+signedVersion+", stream nightly, architecture amd64")
	if left, _ := filepath.Glob(filepath.Join(p.state, "keys", "*")); len(left) != 0 {
		t.Errorf("a dry run made %v", left)
	}
	out, _ = p.run(t, exitDone, "sign", p.tag)
	contains(t, out, p.payload+" signed by key ")
	for range 2 {
		out, _ = p.run(t, exitDone, "verify", p.tag)
		contains(t, out, p.payload+" is "+signedVersion, "cosign signature by ", "is good")
		p.run(t, exitDone, "sign", p.payload)
	}
	_, other := keyPair(t)
	out, errs = p.run(t, exitRejected, "verify", p.payload, "--key", other, "-o", "json")
	contains(t, errs, "it is refused", "it takes a good signature of")
	var report policy.Report
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatal(err)
	}
	if report.Verdict != policy.Refused || len(report.Signatures) != 1 || !strings.Contains(report.Signatures[0].Reason, "not trusted") || len(report.Problems) != 1 {
		t.Errorf("%+v", report)
	}
}

// TestKeyRotation goes from an old key to a new one without a moment in which
// what is in use is refused.
// TestMadeStatementsAreAboutOwnPayloads names a copy elsewhere, about which
// Slipway has nothing to say: it must not say it about its own one of that digest.
func TestMadeStatementsAreAboutOwnPayloads(t *testing.T) {
	t.Parallel()
	p := newSignPlace(t)
	p.run(t, exitDone, "sign", p.payload)
	for _, kind := range []string{"sbom", "provenance"} {
		_, errs := p.run(t, exitUsage, "attest", p.payload, "--type", kind, "--images-file", "images.json", "--lock-file", "lock.json")
		contains(t, errs, "reading payload \""+p.payload+"\"", "must be in registry.slipway.internal/skiff/release", "slipway release mirror")
	}
}

func TestKeyRotation(t *testing.T) {
	t.Parallel()
	p := newSignPlace(t)
	t1, err := p.reg.Push(t.Context(), p.repository+":older", p.set.Payload("1.36.3-0.nightly-2026-11-19-101500").Image(t))
	if err != nil {
		t.Fatal(err)
	}
	older := p.repository + "@" + t1.String()
	oldKey, oldPub := keyPair(t)
	newKey, newPub := keyPair(t)
	signWith := func(key, payload string) {
		t.Helper()
		c := command(t, p.state, "sign", payload, "--key", key)
		c.Env = append(os.Environ(), "COSIGN_PASSWORD=x")
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	signWith(oldKey, older)
	// 1. Verifiers trust both.
	p.run(t, exitDone, "verify", older, "--key", oldPub, "--key", newPub)
	// 2. What is new is signed with the new key; what is in use, again.
	signWith(newKey, p.payload)
	p.run(t, exitDone, "verify", p.payload, "--key", oldPub, "--key", newPub)
	p.run(t, exitRejected, "verify", older, "--key", newPub)
	signWith(newKey, older)
	p.run(t, exitDone, "verify", older, "--key", oldPub)
	// 3. Verifiers drop the old key.
	p.run(t, exitDone, "verify", older, "--key", newPub)
	p.run(t, exitDone, "verify", p.payload, "--key", newPub)
	p.run(t, exitRejected, "verify", p.payload, "--key", oldPub)
	// The environment names several keys as well, URIs among them.
	c := command(t, p.state, "verify", p.payload)
	pem, err := os.ReadFile(newPub)
	if err != nil {
		t.Fatal(err)
	}
	c.Env = append(os.Environ(), "SLIPWAY_VERIFY_KEYS="+oldPub+",env://NEW_KEY", "NEW_KEY="+string(pem))
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func openPGPKey(t *testing.T) (private, public string) {
	t.Helper()
	e, err := pgp.NewEntity("Releases", "", "releases@example.internal", &packet.Config{Algorithm: packet.PubKeyAlgoECDSA, Curve: packet.CurveNistP256})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	private, public = filepath.Join(dir, "key"), filepath.Join(dir, "keyring")
	var secret, open bytes.Buffer
	if err := e.SerializePrivateWithoutSigning(&secret, nil); err != nil {
		t.Fatal(err)
	}
	if err := e.Serialize(&open); err != nil {
		t.Fatal(err)
	}
	for path, data := range map[string][]byte{private: secret.Bytes(), public: open.Bytes()} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return private, public
}

func TestSignForClusters(t *testing.T) {
	t.Parallel()
	p := newSignPlace(t)
	key, keyring := openPGPKey(t)
	_, strangers := openPGPKey(t)
	dir := t.TempDir()
	store, configMap := filepath.Join(dir, "store"), filepath.Join(dir, "map.yaml")
	out, _ := p.run(t, exitDone, "sign", p.tag, "--openpgp-key", key, "--store", store, "--to-config-map", configMap)
	_, hex, _ := strings.Cut(p.payload, "@sha256:")
	first := filepath.Join(store, "sha256="+hex, "signature-1")
	contains(t, out, first, configMap+": sha256-"+hex+"-1")
	out, _ = p.run(t, exitDone, "sign", p.tag, "--openpgp-key", key, "--store", store, "-o", "json")
	contains(t, out, `"present": true`)
	if _, err := os.Stat(filepath.Join(store, "sha256="+hex, "signature-2")); err == nil {
		t.Error("signing again added a signature")
	}
	if _, err := p.reg.Image(t.Context(), p.repository+":sha256-"+hex+".sig"); err == nil {
		t.Error("it was signed as cosign does it, which nobody asked for")
	}
	for _, from := range [][]string{{"--signature-store", store}, {"--signature-config-map", configMap}, {"--signature-store", "file://" + store}} {
		out, _ = p.run(t, exitDone, append([]string{"verify", p.tag, "--openpgp-keyring", strangers, "--openpgp-keyring", keyring}, from...)...)
		contains(t, out, "openpgp signature by", "is good")
		_, errs := p.run(t, exitRejected, append([]string{"verify", p.tag, "--openpgp-keyring", strangers}, from...)...)
		contains(t, errs, "it is refused")
	}
	p.run(t, exitHost, "verify", p.tag, "--openpgp-keyring", keyring, "--signature-store", "http://127.0.0.1:1/signatures")

	out, _ = p.run(t, exitDone, "sign", p.tag, "--claim-only")
	claim, err := openpgp.ParseClaim(bytes.TrimSpace([]byte(out)))
	if err != nil || claim.Reference != p.tag || claim.Digest.Hex != hex {
		t.Errorf("the claim is %+v, %v: %s", claim, err, out)
	}
	for name, args := range map[string][]string{
		"nowhere to keep it":   {"sign", p.tag, "--openpgp-key", key},
		"nobody to sign":       {"sign", p.tag, "--store", store},
		"nowhere to look":      {"verify", p.tag, "--openpgp-keyring", keyring},
		"a public key":         {"sign", p.tag, "--openpgp-key", keyring, "--store", store},
		"two ways":             {"sign", p.tag, "--openpgp-key", key, "--gpg-homedir", dir, "--store", store},
		"no key of cosign's":   {"sign", p.tag, "--key", keyring},
		"no such key service":  {"verify", p.tag, "--key", "nosuch://key"},
		"half of keyless":      {"sign", p.tag, "--fulcio-url", "https://fulcio.example.internal"},
		"an identity, no root": {"verify", p.tag, "--certificate-identity", "a", "--certificate-oidc-issuer", "b"},
		"a root, no identity":  {"verify", p.tag, "--trusted-root", keyring},
		"a token as argument":  {"sign", p.tag, "--fulcio-url", "https://f.example.internal", "--rekor-url", "https://r.example.internal", "--identity-token", "eyJh.eyJi.c"},
	} {
		_, errs := p.run(t, exitUsage, args...)
		if strings.Contains(errs, "eyJh") {
			t.Errorf("%s: the message shows the token: %s", name, errs)
		}
	}
}

// TestSignByGPG signs with gpg's agent, and has gpg verify it.
func TestSignByGPG(t *testing.T) {
	if _, err := exec.LookPath("gpg"); err != nil {
		t.Skip("gpg is not installed; slipway host prepare --tests installs it")
	}
	t.Parallel()
	p := newSignPlace(t)
	home, err := os.MkdirTemp("", "gpg") // the path of the agent's socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = exec.Command("gpgconf", "--homedir", home, "--kill", "all").Run()
		os.RemoveAll(home)
	})
	gpg := func(args ...string) []byte {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "gpg", append([]string{"--homedir", home, "--batch", "--no-tty", "--pinentry-mode", "loopback", "--passphrase", ""}, args...)...).Output()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	gpg("--quick-generate-key", "releases@example.internal", "rsa2048", "sign", "1d")
	keyring := filepath.Join(home, "keyring.asc")
	if err := os.WriteFile(keyring, gpg("--armor", "--export"), 0o600); err != nil {
		t.Fatal(err)
	}
	store := t.TempDir()
	p.run(t, exitDone, "sign", p.tag, "--gpg-homedir", home, "--gpg-user", "releases@example.internal", "--store", store)
	p.run(t, exitDone, "verify", p.tag, "--openpgp-keyring", keyring, "--signature-store", store)
	files, err := filepath.Glob(filepath.Join(store, "*", "signature-1"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	contains(t, string(gpg("--decrypt", files[0])), `"atomic container signature"`, p.tag)
}

func TestSignRecursively(t *testing.T) {
	t.Parallel()
	p := newSignPlace(t)
	index := p.set.Payload(signedVersion).Index(t, "amd64", "arm64")
	digest, err := p.reg.PushIndex(t.Context(), p.repository+":multi", index)
	if err != nil {
		t.Fatal(err)
	}
	named := p.repository + "@" + digest.String()
	out, _ := p.run(t, exitDone, "sign", named, "--recursive", "-o", "json")
	var done []signed
	if err := json.Unmarshal([]byte(out), &done); err != nil {
		t.Fatal(err)
	}
	if len(done) != 1+2+3 {
		t.Fatalf("%d images were signed: %s", len(done), out)
	}
	verifier, err := sign.LoadKeyDir(filepath.Join(p.state, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, d := range done {
		claim, err := verifier.VerifyClaim(t.Context(), p.reg, d.Reference, d.Claim)
		if err != nil {
			t.Error(err)
		}
		got[claim.Architecture]++
	}
	if diff := cmp.Diff(map[string]int{"multi": 4, "amd64": 1, "arm64": 1}, got); diff != "" {
		t.Error(diff)
	}
	p.run(t, exitDone, "verify", named)
}

// TestVerifyByPolicy asks for evidence that is there or not, offline as well.
func TestVerifyByPolicy(t *testing.T) {
	t.Parallel()
	p := newSignPlace(t)
	p.run(t, exitDone, "sign", p.tag)
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key, err := os.ReadFile(filepath.Join(p.state, "keys", "cosign.pub"))
	if err != nil {
		t.Fatal(err)
	}
	write("cosign.pub", string(key))
	file := write("policy.yaml", `apiVersion: slipway.dev/v1alpha1
kind: VerificationPolicy
signers: {release: {key: cosign.pub}}
signatures: [{anyOf: [release]}]
bind: [version, stream, architecture]
evidence:
- {predicateType: test-result, result: Passed, maxAge: 1d}
- {predicateType: vuln}
payload: {streams: [nightly], notBefore: 1.36.3-0.nightly-2026-01-01-000000}
`)
	_, errs := p.run(t, exitRejected, "verify", p.tag, "--policy", file)
	contains(t, errs, "test-result/v0.1 with result Passed", "attestation/vuln/v1")
	predicate := write("predicate.json", `{"result":"PASSED","configuration":[]}`)
	p.run(t, exitDone, "attest", p.tag, "--type", "test-result", "--predicate", predicate)
	c := command(t, p.state, "attest", p.tag, "--type", "vuln", "--predicate", "-", "--older-layout")
	c.Stdin = strings.NewReader(`{"scanner":{}}`)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, _ := p.run(t, exitDone, "verify", p.tag, "--policy", file)
	contains(t, out, "evidence https://in-toto.io/attestation/test-result/v0.1 by release is good")
	p.run(t, exitUsage, "verify", p.tag, "--policy", file, "--key", filepath.Join(dir, "cosign.pub"))
	_, errs = p.run(t, exitUsage, "verify", p.tag, "--policy", predicate)
	contains(t, errs, "predicate.json", "line 1", `no field "result"`)

	_, errs = p.run(t, exitUsage, "attest", p.tag, "--type", "test-result", "--predicate", file)
	contains(t, errs, "JSON object")
	p.run(t, exitUsage, "attest", p.tag, "--type", "nonsense", "--predicate", predicate)
}

func TestEvidenceOfComponents(t *testing.T) {
	t.Parallel()
	p := newSignPlace(t)
	component := p.set.Components[0]
	predicate := filepath.Join(t.TempDir(), "p.json")
	if err := os.WriteFile(predicate, []byte(`{"bomFormat":"CycloneDX"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	p.run(t, exitDone, "attest", component.Reference, "--type", "cyclonedx", "--predicate", predicate)
	for _, args := range [][]string{{component.Reference}, {p.tag, "--component", component.Name}} {
		out, _ := p.run(t, exitDone, append([]string{"evidence", "list"}, args...)...)
		contains(t, out, "https://cyclonedx.org/bom")
	}
	out, _ := p.run(t, exitDone, "evidence", "show", p.tag, "cyclonedx", "--component", component.Name)
	if out != "{\"bomFormat\":\"CycloneDX\"}\n" {
		t.Errorf("shown: %q", out)
	}
	_, other := keyPair(t)
	out, _ = p.run(t, exitDone, "evidence", "list", component.Reference, "--key", other)
	contains(t, out, "REFUSED", "is not trusted")
	p.run(t, exitUsage, "evidence", "show", component.Reference, "cyclonedx", "--key", other)
	p.run(t, exitUsage, "evidence", "list", p.tag, "--component", "nosuch")
}

// TestSignInLayout signs and verifies without any registry.
func TestSignInLayout(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "layout")
	layout, err := oci.CreateLayout(dir)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := layout.Push(t.Context(), "registry.example.internal/skiff/release:"+signedVersion, releasetest.Small(signedVersion).Image(t))
	if err != nil {
		t.Fatal(err)
	}
	state := t.TempDir()
	mustRun(t, state, "sign", "oci:"+dir)
	contains(t, mustRun(t, state, "verify", "oci:"+dir), digest.String(), "is good")
	contains(t, mustRun(t, state, "sign", dir, "--claim-only"), "registry.slipway.internal/skiff/release:"+signedVersion)
	contains(t, mustRun(t, state, "sign", dir, "--claim-only", "--identity", "example.internal/x"), `"example.internal/x:`+signedVersion)
	predicate := filepath.Join(t.TempDir(), "p.json")
	if err := os.WriteFile(predicate, []byte(`{"a":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	mustRun(t, state, "attest", dir, "--type", "https://example.internal/x", "--predicate", predicate)
	contains(t, mustRun(t, state, "evidence", "list", dir), "https://example.internal/x")
	if _, errs, code := slipway(t, t.TempDir(), "verify", "oci:"+dir, "--key", filepath.Join(state, "keys", "cosign.pub")); code != exitDone {
		t.Errorf("with the key alone: exit %d: %s", code, errs)
	}
}
