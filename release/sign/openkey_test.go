package sign_test

import (
	"context"
	"crypto"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/kms"

	"github.com/slipway-release/slipway/release/sign"
)

func environment(values map[string]string) func(string) string {
	return func(name string) string { return values[name] }
}

// TestKeysByReference signs with keys from files and the environment, and
// verifies with their public halves from both.
func TestKeysByReference(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	made, err := sign.LoadOrCreateKey(dir, "x")
	if err != nil {
		t.Fatal(err)
	}
	private, public := filepath.Join(dir, "cosign.key"), filepath.Join(dir, "cosign.pub")
	read := func(path string) string {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	source := sign.KeySource{Password: "x", Getenv: environment(map[string]string{"PRIVATE": read(private), "PUBLIC": read(public)})}
	for _, key := range []string{private, "env://PRIVATE"} {
		s, err := source.Signer(ctx, key)
		if err != nil || s.KeyID() != made.KeyID() {
			t.Errorf("%s: %v", key, err)
		}
	}
	v, err := source.Verifier(ctx, public, "env://PUBLIC")
	if err != nil || len(v.Trusted()) != 2 || v.Trusted()[1] != made.KeyID() {
		t.Errorf("%v, %v", v, err)
	}
	for reference, part := range map[string]string{
		"env://MISSING":                     "MISSING is not set",
		"env://PUBLIC":                      "COSIGN_PASSWORD",
		public:                              "COSIGN_PASSWORD",
		filepath.Join(dir, "missing"):       "no such file",
		"unheardof://arn:aws:kms:eu-west-1": "sigstore-kms-unheardof",
	} {
		if _, err := source.Signer(ctx, reference); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v", reference, err)
		}
	}
	if _, err := (sign.KeySource{Password: "wrong battery"}).Signer(ctx, private); err == nil || strings.Contains(err.Error(), "battery") {
		t.Errorf("a wrong password: %v", err)
	}
	for _, references := range [][]string{{private}, {"env://PRIVATE"}, {public, "env://MISSING"}, nil} {
		if _, err := source.Verifier(ctx, references...); err == nil {
			t.Errorf("%v was trusted", references)
		}
	}
}

// TestKeyService signs with a key that is reached by URI alone.
func TestKeyService(t *testing.T) {
	ctx := t.Context()
	key, _, err := signature.NewDefaultECDSASignerVerifier()
	if err != nil {
		t.Fatal(err)
	}
	kms.AddProvider("testkms://", func(_ context.Context, uri string, _ crypto.Hash, _ ...signature.RPCOption) (kms.SignerVerifier, error) {
		if uri != "testkms://service/release" {
			return nil, os.ErrNotExist
		}
		return heldKey{key}, nil
	})
	source := sign.KeySource{}
	s, err := source.Signer(ctx, "testkms://service/release")
	if err != nil {
		t.Fatal(err)
	}
	p := newPlace(t)
	p.signed(t, s)
	attest(t, s, p, sign.PredicateDecision, verdict{"Accepted"})
	v, err := source.Verifier(ctx, "testkms://service/release")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := v.Verify(ctx, p.reg, p.ref); err != nil || got != claim {
		t.Errorf("%v, %v", got, err)
	}
	if found, err := v.Evidence(ctx, p.reg, p.ref, ""); err != nil || len(found.Statements) != 1 {
		t.Errorf("%+v, %v", found, err)
	}
	if _, err := source.Signer(ctx, "testkms://service/other"); err == nil {
		t.Error("a key that is not there was opened")
	}
}

// heldKey is a key as services hand it out.
type heldKey struct{ signature.SignerVerifier }

func (heldKey) CreateKey(context.Context, string) (crypto.PublicKey, error) {
	return nil, os.ErrInvalid
}
func (heldKey) CryptoSigner(context.Context, func(error)) (crypto.Signer, crypto.SignerOpts, error) {
	return nil, nil, os.ErrInvalid
}
func (heldKey) SupportedAlgorithms() []string { return nil }
func (heldKey) DefaultAlgorithm() string      { return "" }
