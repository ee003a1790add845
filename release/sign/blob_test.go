package sign_test

import (
	"bytes"
	"crypto"
	"encoding/json"
	"testing"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/slipway-release/slipway/release/sign"
)

func TestBundleOfAFile(t *testing.T) {
	signer, err := sign.LoadOrCreateKey(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	data := []byte("0000  a.tar.gz\n")
	made, err := signer.SignBlob(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	var bundle struct {
		MediaType            string
		VerificationMaterial struct{ PublicKey struct{ Hint string } }
		MessageSignature     struct{ Signature []byte }
	}
	if err := json.Unmarshal(made, &bundle); err != nil {
		t.Fatal(err)
	}
	if bundle.MediaType != "application/vnd.dev.sigstore.bundle.v0.3+json" || bundle.VerificationMaterial.PublicKey.Hint != signer.KeyID() {
		t.Errorf("%s", made)
	}
	key, err := cryptoutils.UnmarshalPEMToPublicKey(signer.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := signature.LoadVerifier(key, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	if err := verifier.VerifySignature(bytes.NewReader(bundle.MessageSignature.Signature), bytes.NewReader(data)); err != nil {
		t.Error(err)
	}
	if err := verifier.VerifySignature(bytes.NewReader(bundle.MessageSignature.Signature), bytes.NewReader(data[1:])); err == nil {
		t.Error("the signature is good for other bytes too")
	}
}
