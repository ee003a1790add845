package sign_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/release/sign"
)

// TestCosignCommand has the cosign command verify what this package signs, and
// the other way round. SLIPWAY_TEST_COSIGN names the command; it is built by
// go build github.com/sigstore/cosign/v2/cmd/cosign.
func TestCosignCommand(t *testing.T) {
	cosign := os.Getenv("SLIPWAY_TEST_COSIGN")
	if cosign == "" {
		t.Skip("SLIPWAY_TEST_COSIGN does not name the cosign command")
	}
	ctx := t.Context()
	run := func(good bool, args ...string) {
		t.Helper()
		c := exec.CommandContext(ctx, cosign, args...)
		c.Env = append(os.Environ(), "COSIGN_PASSWORD=x", "HOME="+t.TempDir())
		if out, err := c.CombinedOutput(); (err == nil) != good {
			t.Errorf("cosign %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	p := newPlace(t)
	signer := newSigner(t, 0)
	keys := keyDir(t, 0)
	pub, trusted := filepath.Join(keys, "cosign.pub"), filepath.Join(keys, "trusted-root.json")
	stored := p.addr + "/skiff/release@" + p.digest.String()
	theirs := filepath.Join(t.TempDir(), "theirs")
	run(true, "generate-key-pair", "--output-key-prefix", theirs)

	p.signed(t, signer)
	verify := []string{"verify", "--insecure-ignore-tlog=true", "--trusted-root", trusted}
	run(true, append(verify, "--key", pub, "-a", "version="+claim.Version, "-a", "stream=nightly", "-a", "architecture=amd64", stored)...)
	run(false, append(verify, "--key", pub, "-a", "version=other", stored)...)
	run(false, append(verify, "--key", theirs+".pub", stored)...)

	attest(t, signer, p, sign.PredicateDecision, verdict{"Accepted"})
	statements := []string{"verify-attestation", "--new-bundle-format", "--insecure-ignore-tlog=true", "--trusted-root", trusted, "--type", sign.PredicateDecision}
	run(true, append(statements, "--key", pub, stored)...)
	run(false, append(statements, "--key", theirs+".pub", stored)...)

	predicate := filepath.Join(t.TempDir(), "predicate.json")
	if err := os.WriteFile(predicate, []byte(`{"verdict":"Rejected"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	run(true, "sign", "--key", theirs+".key", "--tlog-upload=false", "-y", "-a", "version=theirs", stored)
	run(true, "attest", "--new-bundle-format", "--key", theirs+".key", "--tlog-upload=false", "-y", "--type", sign.PredicateDecision, "--predicate", predicate, stored)
	verifier, err := sign.LoadVerifier(theirs + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	got, err := verifier.Verify(ctx, p.reg, p.ref)
	if diff := cmp.Diff(sign.Claim{Version: "theirs"}, got); err != nil || diff != "" {
		t.Errorf("their claim: %v %s", err, diff)
	}
	found, err := verifier.Evidence(ctx, p.reg, p.ref, sign.PredicateDecision)
	if err != nil || len(found.Statements) != 1 || string(found.Statements[0].Predicate) != `{"verdict":"Rejected"}` || found.Statements[0].Time.IsZero() {
		t.Errorf("their statement: %+v, %v", found, err)
	}
	if _, err := signer.Verifier().Verify(ctx, p.reg, p.ref); err != nil {
		t.Errorf("our signature beside theirs: %v", err)
	}
}
