package sign

import (
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-release/slipway/internal/oci"
)

// strangers is a verifier whose key signed nothing that the fuzzers make.
func strangers(f *testing.F) (*Signer, *Verifier) {
	s, err := LoadOrCreateKey(f.TempDir(), "")
	if err != nil {
		f.Fatal(err)
	}
	other, err := LoadOrCreateKey(f.TempDir(), "")
	if err != nil {
		f.Fatal(err)
	}
	return s, other.Verifier()
}

// FuzzBundle reads attestations as a hostile registry may serve them: none may
// be believed, and each refusal has a reason.
func FuzzBundle(f *testing.F) {
	signer, verifier := strangers(f)
	digest := v1.Hash{Algorithm: "sha256", Hex: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}
	genuine, err := signer.bundle(f.Context(), statement{
		Type: statementType, Subject: []subject{{Name: "a/b", Digest: map[string]string{"sha256": digest.Hex}}},
		PredicateType: PredicateDecision, Predicate: []byte(`{"verdict":"Accepted"}`),
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(genuine)
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","dsseEnvelope":{}}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		st, reason := verifier.statement(t.Context(), content, digest, oci.Referrer{})
		if st != nil || reason == "" {
			t.Errorf("believed %+v, refused with %q", st, reason)
		}
	})
}

// FuzzClaim does the same for claims.
func FuzzClaim(f *testing.F) {
	_, verifier := strangers(f)
	digest := v1.Hash{Algorithm: "sha256", Hex: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}
	f.Add([]byte(`{"critical":{"identity":{"docker-reference":"a/b"},"image":{"docker-manifest-digest":"sha256:e3b0"},"type":"cosign container image signature"},"optional":{"version":"1"}}`), "MEUCIQ==", "")
	f.Add([]byte(`null`), "", "key")
	f.Fuzz(func(t *testing.T, claim []byte, signature, hint string) {
		if parsed, err := parseClaim(claim); err == nil {
			claimOf(parsed.Optional)
		}
		if _, no := verifier.check(t.Context(), storedSignature{claim, signature, hint}, digest, Claim{}); no == nil || no.reason == "" {
			t.Errorf("refused with %+v", no)
		}
	})
}
