package sign

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/sigstore/cosign/v2/pkg/cosign/bundle"
	"github.com/sigstore/cosign/v2/pkg/oci"
	"github.com/sigstore/cosign/v2/pkg/oci/empty"
	"github.com/sigstore/cosign/v2/pkg/oci/static"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/dsse"
	"github.com/sigstore/sigstore/pkg/signature/options"
	"github.com/sigstore/sigstore/pkg/signature/payload"
	"golang.org/x/sync/errgroup"
)

// Signer signs with one key, or in the name of one identity. It is safe for
// concurrent use.
type Signer struct {
	engine
	trust *Verifier // nil when nothing is at hand to verify its signatures with
}

// engine is a way to sign.
type engine interface {
	// KeyID names the key: base64 of the SHA-256 of its PKIX form. Of a keyless
	// signer it is "", for its keys last as long as the certificate.
	KeyID() string
	// Name is who signs, for messages: "key …", or an identity.
	Name() string
	// PublicKey is the public half in PEM, to be handed to whoever verifies; nil
	// of a keyless signer.
	PublicKey() []byte

	// claim signs a claim of cosign's.
	claim(ctx context.Context, data []byte) (oci.Signature, error)
	// statement signs an in-toto statement, and returns it as a sigstore bundle.
	statement(ctx context.Context, data []byte) ([]byte, error)
	// envelope signs an in-toto statement in the older form, without a bundle.
	envelope(ctx context.Context, data []byte, annotations map[string]string) (oci.Signature, error)
}

// Verifier returns one that trusts this signer alone. It is nil of a keyless
// signer that was given no trusted root.
func (s *Signer) Verifier() *Verifier { return s.trust }

// keySigner signs with a key that is at hand, or in a key management service.
type keySigner struct {
	key    signature.SignerVerifier
	public crypto.PublicKey
	id     string
	pem    []byte
}

func newSigner(ctx context.Context, key signature.SignerVerifier) (*Signer, error) {
	public, err := key.PublicKey(options.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	pem, err := cryptoutils.MarshalPublicKeyToPEM(public)
	if err != nil {
		return nil, err
	}
	known, err := trustKey(public)
	if err != nil {
		return nil, err
	}
	return &Signer{&keySigner{key: key, public: public, id: known.id, pem: pem}, &Verifier{trusted: []*authority{known}}}, nil
}

func (k *keySigner) KeyID() string     { return k.id }
func (k *keySigner) Name() string      { return "key " + k.id }
func (k *keySigner) PublicKey() []byte { return bytes.Clone(k.pem) }

func (k *keySigner) claim(ctx context.Context, data []byte) (oci.Signature, error) {
	signed, err := k.key.SignMessage(bytes.NewReader(data), options.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	return static.NewSignature(data, base64.StdEncoding.EncodeToString(signed), static.WithAnnotations(map[string]string{keyAnnotation: k.id}))
}

func (k *keySigner) statement(ctx context.Context, data []byte) ([]byte, error) {
	envelope, err := dsse.WrapSigner(k.key, payloadType).SignMessage(bytes.NewReader(data), options.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	return bundle.MakeNewBundle(k.public, nil, data, envelope, k.pem, nil)
}

func (k *keySigner) envelope(ctx context.Context, data []byte, annotations map[string]string) (oci.Signature, error) {
	envelope, err := dsse.WrapSigner(k.key, payloadType).SignMessage(bytes.NewReader(data), options.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	annotations[keyAnnotation] = k.id
	return static.NewAttestation(envelope, static.WithLayerMediaType(envelopeMediaType), static.WithAnnotations(annotations))
}

// Sign signs the digest that ref ends in, as the given claim. The place must
// have the image. An image that bears this signature already is left alone.
func (s *Signer) Sign(ctx context.Context, to Target, ref string, claim Claim) error {
	return s.signAs(ctx, to, Signed{Reference: ref, Claim: claim})
}

func (s *Signer) signAs(ctx context.Context, to Target, one Signed) error {
	if err := s.sign(ctx, to, one); err != nil {
		return fmt.Errorf("signing image %q: %w", one.Reference, err)
	}
	return nil
}

// Signed is an image, and what a signature of it claims.
type Signed struct {
	Reference string // ends in the digest
	Claim     Claim
	// Identity is the repository that the signature names the image by; that of the
	// reference when empty. Images in files need one.
	Identity string
}

// SignAll signs several images, up to jobs of them side by side. The error names
// every image that could not be signed; the others are.
func (s *Signer) SignAll(ctx context.Context, to Target, all []Signed, jobs int) error {
	failures := make([]error, len(all))
	var group errgroup.Group
	group.SetLimit(jobs)
	for i, one := range all {
		group.Go(func() error {
			failures[i] = s.signAs(ctx, to, one)
			return nil
		})
	}
	_ = group.Wait()
	return errors.Join(failures...)
}

func (s *Signer) sign(ctx context.Context, to Target, one Signed) error {
	repository, digest, err := pinned(one.Reference)
	if err != nil {
		return err
	}
	if _, err := to.Resolve(ctx, one.Reference); err != nil {
		return err
	}
	identity := cmp.Or(one.Identity, repository)
	subject, err := name.NewDigest(identity + "@" + digest.String())
	if err != nil {
		return err
	}
	data, err := payload.Cosign{Image: subject, ClaimedIdentity: identity, Annotations: one.Claim.annotations()}.MarshalJSON()
	if err != nil {
		return err
	}
	return s.addSignature(ctx, to, repository, digest, data, one.Claim)
}

// addSignature appends to the signatures that are there, unless they hold this
// one already. It signs once, however often others overwrite what it wrote.
func (s *Signer) addSignature(ctx context.Context, to Target, repository string, digest v1.Hash, data []byte, claim Claim) error {
	var signed oci.Signature
	return to.Amend(ctx, signatureTag(repository, digest), func(base v1.Image) (v1.Image, error) {
		if base == nil {
			base = empty.Signatures()
		} else {
			signatures, err := readSignatures(base)
			if err != nil {
				return nil, err
			}
			if s.among(ctx, signatures, signed, digest, claim) {
				return nil, nil
			}
			if len(signatures) >= maxSignatures {
				return nil, fmt.Errorf("it has %d signatures already, which is all that are read", maxSignatures)
			}
		}
		if signed == nil {
			var err error
			if signed, err = s.claim(ctx, data); err != nil {
				return nil, err
			}
			if err := s.proves(ctx, signed, digest, claim); err != nil {
				return nil, err
			}
		}
		return appendPart(base, signed)
	})
}

// proves checks what was just signed, where there is something to check it with:
// a key service or a log may have answered with something else.
func (s *Signer) proves(ctx context.Context, signed oci.Signature, digest v1.Hash, claim Claim) error {
	if s.trust == nil {
		return nil
	}
	data, err := signed.Payload()
	if err != nil {
		return err
	}
	annotations, err := signed.Annotations()
	if err != nil {
		return err
	}
	if got := s.trust.check(ctx, storedSignature{data, annotations}, digest, claim); got.Reason != "" {
		return fmt.Errorf("the signature that was made does not verify: %s", got.Reason)
	}
	return nil
}

// among says whether the signatures hold one of this signer that says the same.
func (s *Signer) among(ctx context.Context, all []storedSignature, signed oci.Signature, digest v1.Hash, claim Claim) bool {
	for _, known := range all {
		if signed != nil {
			if text, err := signed.Base64Signature(); err == nil && text == known.signature() {
				return true
			}
		}
		if s.trust == nil {
			continue
		}
		if got := s.trust.check(ctx, known, digest, claim); got.Reason == "" && got.Claim == claim {
			return true
		}
	}
	return false
}

func appendPart(base v1.Image, part oci.Signature) (v1.Image, error) {
	annotations, err := part.Annotations()
	if err != nil {
		return nil, err
	}
	return mutate.Append(base, mutate.Addendum{Layer: part, Annotations: annotations})
}
