package sign

import (
	"encoding/json"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/sigstore/cosign/v2/pkg/oci/static"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"

	"github.com/slipway-release/slipway/internal/oci"
)

// strangers is a verifier whose key and identity signed nothing that the fuzzers
// make.
func strangers(f *testing.F) (*Signer, *Verifier) {
	s, err := LoadOrCreateKey(f.TempDir(), "")
	if err != nil {
		f.Fatal(err)
	}
	other, err := LoadOrCreateKey(f.TempDir(), "")
	if err != nil {
		f.Fatal(err)
	}
	virtual, err := ca.NewVirtualSigstore()
	if err != nil {
		f.Fatal(err)
	}
	somebody, err := trustIdentity(Identity{SubjectRegexp: ".*", IssuerRegexp: ".*"}, virtual)
	if err != nil {
		f.Fatal(err)
	}
	return s, AnyOf(other.Verifier(), &Verifier{trusted: []*authority{somebody}})
}

// FuzzBundle reads attestations as a hostile registry may serve them: none may
// be believed, and each refusal has a reason.
func FuzzBundle(f *testing.F) {
	signer, verifier := strangers(f)
	digest := fuzzed
	data, err := json.Marshal(statement{
		Type: statementType, Subject: []subject{{Name: "a/b", Digest: map[string]string{"sha256": digest.Hex}}},
		PredicateType: PredicateDecision, Predicate: []byte(`{"verdict":"Accepted"}`),
	})
	if err != nil {
		f.Fatal(err)
	}
	genuine, err := signer.statement(f.Context(), data)
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

// FuzzEnvelope does the same for the older layout, with what comes beside it.
func FuzzEnvelope(f *testing.F) {
	signer, verifier := strangers(f)
	data, err := json.Marshal(statement{Type: statementType, Subject: []subject{{Digest: map[string]string{"sha256": fuzzed.Hex}}}, PredicateType: PredicateDecision})
	if err != nil {
		f.Fatal(err)
	}
	genuine, err := signer.envelope(f.Context(), data, map[string]string{})
	if err != nil {
		f.Fatal(err)
	}
	content, err := genuine.Payload()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(content, "", "", "")
	f.Add(content, "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----", `{"Payload":{"body":7}}`, `{}`)
	f.Fuzz(func(t *testing.T, content []byte, cert, entry, stamp string) {
		st, reason := verifier.envelope(t.Context(), storedSignature{content, material(cert, entry, stamp)}, fuzzed)
		if st != nil || reason == "" {
			t.Errorf("believed %+v, refused with %q", st, reason)
		}
	})
}

var fuzzed = v1.Hash{Algorithm: "sha256", Hex: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}

// material is what may come with a signature, where it is not empty.
func material(cert, entry, stamp string) map[string]string {
	all := map[string]string{}
	for k, v := range map[string]string{static.CertificateAnnotationKey: cert, static.BundleAnnotationKey: entry, static.RFC3161TimestampAnnotationKey: stamp} {
		if v != "" {
			all[k] = v
		}
	}
	return all
}

// FuzzClaim does the same for claims.
func FuzzClaim(f *testing.F) {
	_, verifier := strangers(f)
	f.Add([]byte(`{"critical":{"identity":{"docker-reference":"a/b"},"image":{"docker-manifest-digest":"sha256:e3b0"},"type":"cosign container image signature"},"optional":{"version":"1"}}`), "MEUCIQ==", "", "", "", "")
	f.Add([]byte(`null`), "", "key", "", "", "")
	f.Add([]byte(`{}`), "MEUCIQ==", "", "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----", `{"Payload":{"body":"e30=","logID":"00"}}`, `{"SignedRFC3161Timestamp":"MA=="}`)
	f.Fuzz(func(t *testing.T, claim []byte, signature, hint, cert, entry, stamp string) {
		annotations := material(cert, entry, stamp)
		annotations[static.SignatureAnnotationKey], annotations[keyAnnotation] = signature, hint
		if got := verifier.check(t.Context(), storedSignature{claim, annotations}, fuzzed, Claim{}); got.Reason == "" || len(got.SignedBy) > 0 {
			t.Errorf("believed %+v", got)
		}
	})
}
