package sign

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/sigstore/cosign/v2/pkg/cosign"
	"github.com/sigstore/cosign/v2/pkg/oci/static"

	"github.com/slipway-release/slipway/internal/oci"
)

// ErrRefused says that something is not signed as it should be. A registry that
// could not be read is another error: it says nothing about the release, and
// does not make it trusted either.
var ErrRefused = errors.New("refused")

// refusal is why a signature was not accepted. The further a signature came
// before it failed, the more its reason explains.
type refusal struct {
	rank   int
	reason string
}

const (
	rankKey = iota
	rankAltered
	rankOtherImage
	rankOtherClaim
)

// refusedError is the sentence for a refusal.
type refusedError struct{ what, subject, reason string }

func (e *refusedError) Error() string {
	return fmt.Sprintf("verifying %s %q: %s", e.what, e.subject, e.reason)
}

// Is makes the error an ErrRefused.
func (e *refusedError) Is(target error) bool { return target == ErrRefused }

// Verify checks that the digest ref ends in is signed with a trusted key, and
// returns what the signature claims about it. It needs nothing but the registry,
// and believes it nothing. The error wraps ErrRefused when the image has no
// signature, or none that is good.
func (v *Verifier) Verify(ctx context.Context, reg *oci.Registry, ref string) (Claim, error) {
	return v.VerifyClaim(ctx, reg, ref, Claim{})
}

// VerifyClaim is Verify for a caller who knows what the claim must be; empty
// fields of want may have any value. Of several signatures, one must be good in
// every respect.
func (v *Verifier) VerifyClaim(ctx context.Context, reg *oci.Registry, ref string, want Claim) (Claim, error) {
	repository, digest, err := pinned(ref)
	if err != nil {
		return Claim{}, fmt.Errorf("verifying image %q: %w", ref, err)
	}
	var signatures []storedSignature
	img, err := reg.Image(ctx, signatureTag(repository, digest))
	if err == nil {
		signatures, err = readSignatures(img)
	}
	if err != nil && !errors.Is(err, oci.ErrNotFound) {
		return Claim{}, fmt.Errorf("verifying image %q: %w", ref, err)
	}
	if len(signatures) == 0 {
		return Claim{}, &refusedError{"image", ref, "it has no signature"}
	}
	var worst *refusal
	for _, s := range signatures {
		claim, no := v.check(ctx, s, digest, want)
		if no == nil {
			return claim, nil
		}
		if worst == nil || no.rank > worst.rank {
			worst = no
		}
	}
	if err := ctx.Err(); err != nil {
		return Claim{}, fmt.Errorf("verifying image %q: %w", ref, err)
	}
	return Claim{}, &refusedError{"image", ref, worst.reason}
}

// check verifies one signature: first that a trusted key made it, then what it
// says. Only cosign's own verification decides; the rest explains.
func (v *Verifier) check(ctx context.Context, s storedSignature, digest v1.Hash, want Claim) (Claim, *refusal) {
	stored, err := static.NewSignature(s.claim, s.signature)
	if err != nil {
		return Claim{}, &refusal{rankAltered, "its signature cannot be read"}
	}
	good := false
	for _, key := range v.keys {
		_, err := cosign.VerifyImageSignature(ctx, stored, digest, &cosign.CheckOpts{SigVerifier: key.verifier, IgnoreTlog: true, Offline: true})
		good = good || err == nil
	}
	if !good {
		return Claim{}, v.explainSignature(s)
	}
	claim, err := parseClaim(s.claim)
	if err != nil {
		return Claim{}, &refusal{rankOtherImage, "what was signed is not a claim about an image"}
	}
	if err := cosign.SimpleClaimVerifier(stored, digest, nil); err != nil {
		return Claim{}, &refusal{rankOtherImage, fmt.Sprintf("its signature is about another image, %s", claim.Critical.Image.DockerManifestDigest)}
	}
	got := claimOf(claim.Optional)
	if err := cosign.SimpleClaimVerifier(stored, digest, want.annotations()); err != nil {
		return Claim{}, &refusal{rankOtherClaim, differing(got, want)}
	}
	return got, nil
}

// explainSignature tells a signature of somebody else from one that was altered.
func (v *Verifier) explainSignature(s storedSignature) *refusal {
	if v.trusts(s.keyHint) {
		return &refusal{rankAltered, "its signature does not fit what it claims: the claim or the signature was altered after signing"}
	}
	if s.keyHint == "" {
		return &refusal{rankKey, fmt.Sprintf("it is not signed with a trusted key (%s), or was altered after signing", v.trusted())}
	}
	return &refusal{rankKey, fmt.Sprintf("it is signed with key %s, which is not trusted (%s)", s.keyHint, v.trusted())}
}

func (v *Verifier) trusts(id string) bool {
	return slices.ContainsFunc(v.keys, func(k *publicKey) bool { return k.id == id })
}

func (v *Verifier) trusted() string {
	ids := make([]string, 0, len(v.keys))
	for _, k := range v.keys {
		ids = append(ids, k.id)
	}
	return "trusted: " + strings.Join(ids, ", ")
}

func differing(got, want Claim) string {
	var parts []string
	for _, f := range []struct{ what, got, want string }{
		{"version", got.Version, want.Version}, {"stream", got.Stream, want.Stream}, {"architecture", got.Architecture, want.Architecture},
	} {
		if f.want != "" && f.got != f.want {
			parts = append(parts, fmt.Sprintf("%s %q, not %q", f.what, f.got, f.want))
		}
	}
	return "it was signed as " + strings.Join(parts, ", and ")
}
