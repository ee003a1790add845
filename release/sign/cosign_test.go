package sign_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/release/sign"
)

// cosignCommand is the cosign command of the version that go.mod names, built
// from its own module: SLIPWAY_TEST_COSIGN, or one that is built on first use and
// kept in the user's cache.
func cosignCommand(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("SLIPWAY_TEST_COSIGN"); path != "" {
		return path
	}
	if testing.Short() {
		t.Skip("builds the cosign command")
	}
	version, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Version}}", "github.com/sigstore/cosign/v2").Output()
	if err != nil {
		t.Fatalf("asking for the version of cosign: %v", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "slipway-tests", "cosign-"+strings.TrimSpace(string(version)))
	if _, err := os.Stat(filepath.Join(dir, "cosign")); err != nil {
		c := exec.CommandContext(t.Context(), "go", "install", "github.com/sigstore/cosign/v2/cmd/cosign@"+strings.TrimSpace(string(version)))
		c.Dir = t.TempDir() // outside our module: the command has dependencies of its own
		c.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=")
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("building cosign: %v\n%s", err, out)
		}
	}
	return filepath.Join(dir, "cosign")
}

// cosign runs the cosign command.
type cosign struct {
	command string
	env     []string
}

func newCosign(t *testing.T) *cosign {
	t.Helper()
	return &cosign{cosignCommand(t), append(os.Environ(), "COSIGN_PASSWORD=x", "HOME="+t.TempDir())}
}

func (c *cosign) run(t *testing.T, good bool, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), c.command, args...)
	command.Env = c.env
	out, err := command.CombinedOutput()
	if (err == nil) != good {
		t.Errorf("cosign %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestIntegrationCosignVerifiesOurs has cosign verify what this package signs.
func TestIntegrationCosignVerifiesOurs(t *testing.T) {
	cosign := newCosign(t)
	p := newPlace(t)
	signer := newSigner(t, 0)
	keys := keyDir(t, 0)
	pub, trusted := filepath.Join(keys, "cosign.pub"), filepath.Join(keys, "trusted-root.json")
	foreign := filepath.Join(keyDir(t, 1), "cosign.pub")
	stored := p.addr + "/skiff/release@" + p.digest.String()

	p.signed(t, signer)
	verify := []string{"verify", "--insecure-ignore-tlog=true", "--trusted-root", trusted}
	cosign.run(t, true, slices.Concat(verify, []string{"--key", pub, "-a", "version=" + claim.Version, "-a", "stream=nightly", "-a", "architecture=amd64", stored})...)
	cosign.run(t, false, slices.Concat(verify, []string{"--key", pub, "-a", "version=other", stored})...)
	cosign.run(t, false, slices.Concat(verify, []string{"--key", foreign, stored})...)

	// The older layout is looked at as long as there is nothing newer.
	if _, err := signer.AttestAs(t.Context(), p.reg, p.ref, sign.Attestation{PredicateType: sign.PredicateDecision, Predicate: verdict{"Accepted"}, Layout: sign.Tag}); err != nil {
		t.Fatal(err)
	}
	older := []string{"verify-attestation", "--insecure-ignore-tlog=true", "--trusted-root", trusted, "--type", sign.PredicateDecision}
	cosign.run(t, true, slices.Concat(older, []string{"--key", pub, stored})...)
	cosign.run(t, false, slices.Concat(older, []string{"--key", foreign, stored})...)

	attest(t, signer, p, sign.PredicateProvenance, sign.NewProvenance(sign.BuildDefinition{BuildType: "https://slipway.dev/build/v1"}, sign.RunDetails{}))
	newer := []string{"verify-attestation", "--new-bundle-format", "--insecure-ignore-tlog=true", "--trusted-root", trusted, "--type", "slsaprovenance1"}
	cosign.run(t, true, slices.Concat(newer, []string{"--key", pub, stored})...)
	cosign.run(t, false, slices.Concat(newer, []string{"--key", foreign, stored})...)
}

// TestIntegrationCosignVerifiesKeyless is the same without a key. Our authority
// keeps no log of certificates, which cosign is told.
func TestIntegrationCosignVerifiesKeyless(t *testing.T) {
	cosign := newCosign(t)
	p := newPlace(t)
	a := newAuthority(t)
	s := a.signer(a.trustedRoot())
	stored := p.addr + "/skiff/release@" + p.digest.String()
	trust := []string{"--trusted-root", a.rootFile(t), "--insecure-ignore-sct=true", "--certificate-oidc-issuer", issuer}
	p.signed(t, s)
	cosign.run(t, true, slices.Concat([]string{"verify", "--offline", "--certificate-identity", subject, "-a", "version=" + claim.Version, stored}, trust)...)
	cosign.run(t, false, slices.Concat([]string{"verify", "--offline", "--certificate-identity", "else@example.internal", stored}, trust)...)
	if _, err := s.AttestAs(t.Context(), p.reg, p.ref, sign.Attestation{PredicateType: sign.PredicateDecision, Predicate: verdict{"Accepted"}, Layout: sign.Tag}); err != nil {
		t.Fatal(err)
	}
	roots, between, log := a.pemFiles(t)
	cosign.env = append(cosign.env, "SIGSTORE_REKOR_PUBLIC_KEY="+log)
	cosign.run(t, true, "verify-attestation", "--offline", "--type", sign.PredicateDecision, "--certificate-identity", subject, "--certificate-oidc-issuer", issuer,
		"--ca-roots", roots, "--ca-intermediates", between, "--insecure-ignore-sct=true", stored)
	attest(t, s, p, sign.PredicateDecision, verdict{"Rejected"})
	cosign.run(t, true, slices.Concat([]string{"verify-attestation", "--new-bundle-format", "--type", sign.PredicateDecision, "--certificate-identity", subject, stored}, trust)...)
	cosign.run(t, false, slices.Concat([]string{"verify-attestation", "--new-bundle-format", "--type", sign.PredicateDecision, "--certificate-identity", "else@example.internal", stored}, trust)...)
}

// TestIntegrationWeVerifyCosigns verifies what the cosign command signs, in each
// of its layouts.
func TestIntegrationWeVerifyCosigns(t *testing.T) {
	cosign := newCosign(t)
	ctx := t.Context()
	theirs := filepath.Join(t.TempDir(), "theirs")
	cosign.run(t, true, "generate-key-pair", "--output-key-prefix", theirs)
	verifier, err := sign.LoadVerifier(theirs + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	key := []string{"--key", theirs + ".key", "--tlog-upload=false", "-y"}
	predicate := filepath.Join(t.TempDir(), "predicate.json")
	if err := os.WriteFile(predicate, []byte(`{"verdict":"Rejected"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, newer := range map[string][]string{"older layout": nil, "new bundle format": {"--new-bundle-format"}} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			stored := p.addr + "/skiff/release@" + p.digest.String()
			want := sign.Claim{}
			if newer == nil {
				want.Version = "theirs"
			}
			cosign.run(t, true, slices.Concat([]string{"sign", "-a", "version=theirs", stored}, key, newer)...)
			got, err := verifier.Verify(ctx, p.reg, p.ref)
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("their claim: %v %s", err, diff)
			}
			_, err = verifier.VerifyClaim(ctx, p.reg, p.ref, sign.Claim{Version: "ours"})
			refused(t, err, `not "ours"`)
			_, err = newSigner(t, 0).Verifier().Verify(ctx, p.reg, p.ref)
			refused(t, err)

			cosign.run(t, true, slices.Concat([]string{"attest", "--type", sign.PredicateDecision, "--predicate", predicate, stored}, key, newer)...)
			found, err := verifier.Evidence(ctx, p.reg, p.ref, sign.PredicateDecision)
			if err != nil || len(found.Statements) != 1 || string(found.Statements[0].Predicate) != `{"verdict":"Rejected"}` || found.Statements[0].TimeProven {
				t.Errorf("their statement: %+v, %v", found, err)
			}
			if found, err := newSigner(t, 0).Verifier().Evidence(ctx, p.reg, p.ref, sign.PredicateDecision); err != nil || len(found.Statements) != 0 || len(found.Refused) != 1 {
				t.Errorf("believed without their key: %+v, %v", found, err)
			}
			p.signed(t, newSigner(t, 0))
			if _, err := newSigner(t, 0).Verifier().VerifyClaim(ctx, p.reg, p.ref, claim); err != nil {
				t.Errorf("our signature beside theirs: %v", err)
			}
			if _, err := verifier.Verify(ctx, p.reg, p.ref); err != nil {
				t.Errorf("their signature beside ours: %v", err)
			}
		})
	}
}

// TestIntegrationCosignKeyFile signs here with a key pair that cosign made.
func TestIntegrationCosignKeyFile(t *testing.T) {
	cosign := newCosign(t)
	p := newPlace(t)
	theirs := filepath.Join(t.TempDir(), "theirs")
	cosign.run(t, true, "generate-key-pair", "--output-key-prefix", theirs)
	s, err := sign.KeySource{Password: "x"}.Signer(t.Context(), theirs+".key")
	if err != nil {
		t.Fatal(err)
	}
	p.signed(t, s)
	cosign.run(t, true, "verify", "--insecure-ignore-tlog=true", "--trusted-root", filepath.Join(keyDir(t, 0), "trusted-root.json"), "--key", theirs+".pub", p.addr+"/skiff/release@"+p.digest.String())
}
