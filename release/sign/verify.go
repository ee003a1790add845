package sign

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/sigstore/cosign/v2/pkg/cosign"
	"github.com/sigstore/cosign/v2/pkg/oci/static"
	"github.com/sigstore/cosign/v2/pkg/types"

	"github.com/slipway-release/slipway/internal/oci"
)

// ErrRefused says that something is not signed as it should be. A registry that
// could not be read is another error: it says nothing about the release, and
// does not make it trusted either.
var ErrRefused = errors.New("refused")

// The forms of signatures.
const (
	FormCosign  = "cosign"  // a claim under the tag sha256-<hex>.sig
	FormBundle  = "bundle"  // a statement of cosign's, as a referrer; it claims nothing but the digest
	FormOpenPGP = "openpgp" // an atomic container signature, see package openpgp
)

// Signature is one that was found, and what came of it.
type Signature struct {
	Form     string   `json:"form"`
	Place    string   `json:"place"` // where it was found
	Claim    Claim    `json:"claim"` // what it says; proven when SignedBy is not empty
	SignedBy []string `json:"signedBy,omitempty"`
	// Reason is why it is not good, "" when it is: signed by somebody trusted,
	// about the right digest, with the claim that was asked for.
	Reason string `json:"reason,omitempty"`

	// rank is how far it came before it failed. The further, the more its reason
	// explains.
	rank int
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

// Verify checks that the digest ref ends in is signed by somebody trusted, and
// returns what the signature claims about it. It needs nothing but the place
// where signatures are, and believes it nothing. The error wraps ErrRefused when
// the image has no signature, or none that is good.
func (v *Verifier) Verify(ctx context.Context, from Source, ref string) (Claim, error) {
	return v.VerifyClaim(ctx, from, ref, Claim{})
}

// VerifyClaim is Verify for a caller who knows what the claim must be; empty
// fields of want may have any value. Of several signatures, one must be good in
// every respect.
func (v *Verifier) VerifyClaim(ctx context.Context, from Source, ref string, want Claim) (Claim, error) {
	var explains *Signature
	// Claims come first: a bundle is looked at only when no claim is good.
	for _, read := range []func(context.Context, Source, string, Claim) ([]Signature, error){v.claims, v.signatureBundles} {
		found, err := read(ctx, from, ref, want)
		if err != nil {
			return Claim{}, fmt.Errorf("verifying image %q: %w", ref, err)
		}
		for _, s := range found {
			if s.Reason == "" {
				return s.Claim, nil
			}
			if explains == nil || s.rank > explains.rank {
				explains = &s
			}
		}
	}
	if err := ctx.Err(); err != nil {
		return Claim{}, fmt.Errorf("verifying image %q: %w", ref, err)
	}
	if explains == nil {
		return Claim{}, &refusedError{"image", ref, "it has no signature"}
	}
	return Claim{}, &refusedError{"image", ref, explains.Reason}
}

// Signatures returns every signature of the digest that ref ends in, good or
// not. An error means that they could not be read.
func (v *Verifier) Signatures(ctx context.Context, from Source, ref string, want Claim) ([]Signature, error) {
	claims, err := v.claims(ctx, from, ref, want)
	if err != nil {
		return nil, fmt.Errorf("reading signatures of image %q: %w", ref, err)
	}
	bundles, err := v.signatureBundles(ctx, from, ref, want)
	if err != nil {
		return nil, fmt.Errorf("reading signatures of image %q: %w", ref, err)
	}
	return slices.Concat(claims, bundles), ctx.Err()
}

// claims reads the signatures under cosign's tag.
func (v *Verifier) claims(ctx context.Context, from Source, ref string, want Claim) ([]Signature, error) {
	repository, digest, err := pinned(ref)
	if err != nil {
		return nil, err
	}
	place := signatureTag(repository, digest)
	img, err := from.Image(ctx, place)
	if errors.Is(err, oci.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	stored, err := readSignatures(img)
	if err != nil {
		return nil, err
	}
	all := make([]Signature, len(stored))
	for i, s := range stored {
		all[i] = v.check(ctx, s, digest, want)
		all[i].Place = place
	}
	return all, nil
}

// check verifies one signature: first that somebody trusted made it, then what
// it says. Only cosign's own verification decides; the rest explains.
func (v *Verifier) check(ctx context.Context, s storedSignature, digest v1.Hash, want Claim) Signature {
	found := Signature{Form: FormCosign}
	refuse := func(rank int, reason string) Signature {
		found.rank, found.Reason = rank, reason
		return found
	}
	claim, unreadable := parseClaim(s.claim)
	if unreadable == nil {
		found.Claim = claimOf(claim.Optional)
	}
	found.SignedBy = v.signersOfClaim(ctx, s, digest)
	if len(found.SignedBy) == 0 {
		return refuse(v.explainSignature(s))
	}
	if unreadable != nil {
		return refuse(rankOtherImage, "what was signed is not a claim about an image")
	}
	stored, err := s.forCosign(false)
	if err != nil {
		return refuse(rankAltered, "its signature cannot be read")
	}
	if err := cosign.SimpleClaimVerifier(stored, digest, nil); err != nil {
		return refuse(rankOtherImage, fmt.Sprintf("its signature is about another image, %s", claim.Critical.Image.DockerManifestDigest))
	}
	if err := cosign.SimpleClaimVerifier(stored, digest, want.annotations()); err != nil {
		return refuse(rankOtherClaim, found.Claim.Differs(want))
	}
	return found
}

// signatureBundles reads what `cosign sign --new-bundle-format` attaches.
func (v *Verifier) signatureBundles(ctx context.Context, from Source, ref string, want Claim) ([]Signature, error) {
	found, err := v.bundles(ctx, from, ref, types.CosignSignPredicateType)
	if err != nil {
		return nil, err
	}
	var all []Signature
	for _, s := range found.Statements {
		bundle := Signature{Form: FormBundle, Place: s.Digest.String(), SignedBy: s.SignedBy}
		if (want != Claim{}) {
			bundle.rank, bundle.Reason = rankOtherClaim, Claim{}.Differs(want)
		}
		all = append(all, bundle)
	}
	for _, r := range found.Refused {
		if r.predicateType == types.CosignSignPredicateType {
			all = append(all, Signature{Form: FormBundle, Place: r.Digest.String(), Reason: r.Reason, rank: rankKey})
		}
	}
	return all, nil
}

// explainSignature tells a signature of somebody else from one that was altered.
func (v *Verifier) explainSignature(s storedSignature) (rank int, reason string) {
	if text := s.annotations[static.BundleAnnotationKey]; text != "" && !json.Valid([]byte(text)) {
		return rankAltered, "its entry in the transparency log cannot be read"
	}
	if cert := s.annotations[static.CertificateAnnotationKey]; cert != "" {
		return rankKey, v.explainCertificate([]byte(cert))
	}
	hint := s.annotations[keyAnnotation]
	if v.trusts(hint) {
		return rankAltered, "its signature does not fit what it claims: the claim or the signature was altered after signing"
	}
	if hint == "" {
		return rankKey, fmt.Sprintf("it is not signed with a trusted key (%s), or was altered after signing", v.names())
	}
	return rankKey, fmt.Sprintf("it is signed with key %s, which is not trusted (%s)", hint, v.names())
}

// Differs says in what a claim is not the one that was wanted, "" when it is;
// empty fields of want may have any value.
func (c Claim) Differs(want Claim) string {
	var parts []string
	for _, f := range []struct{ what, got, want string }{
		{"version", c.Version, want.Version}, {"stream", c.Stream, want.Stream}, {"architecture", c.Architecture, want.Architecture},
	} {
		if f.want != "" && f.got != f.want {
			parts = append(parts, fmt.Sprintf("%s %q, not %q", f.what, f.got, f.want))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "it was signed as " + strings.Join(parts, ", and ")
}
