package sign_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/slipway-release/slipway/internal/oci"
	"github.com/slipway-release/slipway/release/sign"
)

const envelopeType = "application/vnd.dsse.envelope.v1+json"

func (p *place) attestationTag() string {
	return canonical + "/release:sha256-" + p.digest.Hex + ".att"
}

func older(t *testing.T, s *sign.Signer, p *place, ref, predicateType string, predicate any) {
	t.Helper()
	if _, err := s.AttestAs(t.Context(), p.reg, ref, sign.Attestation{PredicateType: predicateType, Predicate: predicate, Layout: sign.Tag}); err != nil {
		t.Fatal(err)
	}
}

func TestOlderLayout(t *testing.T) {
	p := newPlace(t)
	one, two := newSigner(t, 0), newSigner(t, 1)
	older(t, one, p, p.ref, sign.PredicateDecision, verdict{"Rejected"})
	older(t, two, p, p.ref, sign.PredicateDecision, verdict{"Rejected"})
	older(t, one, p, p.ref, sign.PredicateDecision, verdict{"Rejected"}) // said already
	older(t, one, p, p.ref, sign.PredicateTestResult, sign.TestResult{Result: sign.TestPassed})
	attest(t, one, p, sign.PredicateDecision, verdict{"Accepted"})

	found := evidence(t, one, p, sign.PredicateDecision)
	if len(found.Statements) != 2 || len(found.Refused) != 1 || found.Statements[0].Result() != "Accepted" || found.Statements[1].Result() != "Rejected" {
		t.Errorf("both layouts: %+v", found)
	}
	if found.Statements[1].Key != one.KeyID() || !found.Statements[1].TimeProven || found.Statements[1].Digest.Hex == "" {
		t.Errorf("the older one: %+v", found.Statements[1])
	}
	if all := evidence(t, one, p, ""); len(all.Statements) != 3 {
		t.Errorf("of all types there are %d", len(all.Statements))
	}
	// What was said in the other layout only is said in this one, too.
	older(t, one, p, p.ref, sign.PredicateDecision, verdict{"Accepted"})
	if found := evidence(t, one, p, sign.PredicateDecision); len(found.Statements) != 3 {
		t.Errorf("said in both layouts: %+v", found.Statements)
	}
}

// TestOlderUnbelieved puts under the tag what must not count.
func TestOlderUnbelieved(t *testing.T) {
	ctx := t.Context()
	signer := newSigner(t, 0)
	stored := func(t *testing.T, p *place, ref string) []byte {
		t.Helper()
		older(t, signer, p, ref, sign.PredicateDecision, verdict{"Rejected"})
		_, hex, _ := strings.Cut(ref, "@sha256:")
		img, err := p.reg.Image(ctx, canonical+"/release:sha256-"+hex+".att")
		if err != nil {
			t.Fatal(err)
		}
		layers, err := img.Layers()
		if err != nil {
			t.Fatal(err)
		}
		return readAll(t, layers[0])
	}
	for name, test := range map[string]struct {
		forge  func(t *testing.T, p *place) []byte
		reason string
	}{
		"garbage": {func(*testing.T, *place) []byte { return []byte("garbage") }, "not an envelope"},
		"another image's": {func(t *testing.T, p *place) []byte {
			ref, _ := p.payload(t, "other")
			return stored(t, p, ref)
		}, "about another image"},
		"altered": {func(t *testing.T, p *place) []byte {
			return changed(t, stored(t, p, p.ref), func(payload []byte) []byte {
				return bytes.Replace(payload, []byte("Rejected"), []byte("Accepted"), 1)
			})
		}, "altered after signing"},
		"another image's with the subject replaced": {func(t *testing.T, p *place) []byte {
			ref, digest := p.payload(t, "other")
			return changed(t, stored(t, p, ref), func(payload []byte) []byte {
				return bytes.Replace(payload, []byte(digest.Hex), []byte(p.digest.Hex), 1)
			})
		}, "altered after signing"},
		"no statement": {func(t *testing.T, p *place) []byte {
			return changed(t, stored(t, p, p.ref), func([]byte) []byte { return []byte(`{"a":1}`) })
		}, "in-toto statement"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			img, err := mutate.Append(empty.Image, mutate.Addendum{Layer: static.NewLayer(test.forge(t, p), types.MediaType(envelopeType))})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.reg.Push(ctx, p.attestationTag(), img); err != nil {
				t.Fatal(err)
			}
			found := evidence(t, signer, p, sign.PredicateDecision)
			if len(found.Statements) != 0 || len(found.Refused) != 1 || !strings.Contains(found.Refused[0].Reason, test.reason) {
				t.Errorf("got %+v, want %q", found, test.reason)
			}
		})
	}
}

// changed is altered for an envelope without a bundle around it.
func changed(t *testing.T, envelope []byte, change func([]byte) []byte) []byte {
	t.Helper()
	var e map[string]any
	if err := json.Unmarshal(envelope, &e); err != nil {
		t.Fatal(err)
	}
	alterPayload(t, e, change)
	out, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestTooManySignatures has more signatures than are looked at. That is an error,
// not a missing signature: somebody may want to hide one.
func TestTooManySignatures(t *testing.T) {
	ctx := t.Context()
	p := newPlace(t)
	signer := newSigner(t, 0)
	img := empty.Image
	for i := range 101 {
		var err error
		if img, err = mutate.Append(img, mutate.Addendum{Layer: static.NewLayer([]byte{byte(i)}, types.MediaType(envelopeType))}); err != nil {
			t.Fatal(err)
		}
	}
	for _, tag := range []string{p.attestationTag(), p.signatureTag()} {
		if _, err := p.reg.Push(ctx, tag, img); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := signer.Verifier().Verify(ctx, p.reg, p.ref); err == nil || errors.Is(err, sign.ErrRefused) {
		t.Errorf("verifying: %v", err)
	}
	if _, err := signer.Verifier().Evidence(ctx, p.reg, p.ref, ""); err == nil {
		t.Error("evidence that was not looked at counts as missing")
	}
	if err := signer.Sign(ctx, p.reg, p.ref, claim); err == nil {
		t.Error("a signature was added that nobody reads")
	}
}

// TestSignaturesShowsAll looks at all signatures at once.
func TestSignaturesShowsAll(t *testing.T) {
	ctx := t.Context()
	p := newPlace(t)
	trusted, stranger := newSigner(t, 0), newSigner(t, 1)
	p.signed(t, stranger)
	if err := trusted.Sign(ctx, p.reg, p.ref, sign.Claim{Version: "other"}); err != nil {
		t.Fatal(err)
	}
	p.signed(t, trusted)
	all, err := trusted.Verifier().Signatures(ctx, p.reg, p.ref, claim)
	if err != nil || len(all) != 3 {
		t.Fatalf("%+v, %v", all, err)
	}
	for i, part := range []string{"not trusted", `version "other"`, ""} {
		if !strings.Contains(all[i].Reason, part) || (part == "") != (all[i].Reason == "") || all[i].Place != p.signatureTag() {
			t.Errorf("signature %d: %+v", i, all[i])
		}
	}
	if all[0].Claim != claim || len(all[0].SignedBy) != 0 || len(all[2].SignedBy) != 1 || all[2].SignedBy[0] != trusted.KeyID() {
		t.Errorf("%+v", all)
	}
}

// TestInLayout signs and verifies in an OCI layout.
func TestInLayout(t *testing.T) {
	ctx := t.Context()
	p := newPlace(t)
	signer := newSigner(t, 0)
	layout, err := oci.CreateLayout(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	img, err := p.reg.Image(ctx, p.ref)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := layout.Push(ctx, canonical+"/release:"+claim.Version, img); err != nil {
		t.Fatal(err)
	}
	_, err = signer.Verifier().Verify(ctx, layout, p.ref)
	refused(t, err, "no signature")
	for range 2 {
		if err := signer.Sign(ctx, layout, p.ref, claim); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := signer.Verifier().VerifyClaim(ctx, layout, p.ref, claim); err != nil || got != claim {
		t.Errorf("%v, %v", got, err)
	}
	for _, layoutOf := range []sign.Layout{sign.Referrer, sign.Tag} {
		if _, err := signer.AttestAs(ctx, layout, p.ref, sign.Attestation{PredicateType: sign.PredicateDecision, Predicate: verdict{"Accepted"}, Layout: layoutOf}); err != nil {
			t.Fatal(err)
		}
	}
	if found, err := signer.Verifier().Evidence(ctx, layout, p.ref, sign.PredicateDecision); err != nil || len(found.Statements) != 2 {
		t.Errorf("%+v, %v", found, err)
	}
}
